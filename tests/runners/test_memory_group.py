"""How a run's memory is limited: the available method, and what it writes. Real kills are in the scheduler's tests."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from runners import cgroup
from runners.cgroup import Method, available_method, create, kills, machine_kills, systemd_words


def v2(folder: Path) -> Path:
    folder.mkdir()
    (folder / "cgroup.controllers").write_text("cpu memory pids\n")
    (folder / "cgroup.subtree_control").write_text("cpu\n")
    return folder


def test_version_2_by_hand(tmp_path: Path) -> None:
    top = v2(tmp_path / "cgroup")
    found = available_method(top, systemd=tmp_path / "none", root=True)
    assert found == Method(folder=top / "taod", version=2)
    group = create(found, "job-1", 5000)
    assert group is not None
    assert (group / "memory.max").read_text() == "5000" and (group / "memory.swap.max").read_text() == "0"
    assert "memory" in (top / "cgroup.subtree_control").read_text()
    (group / "memory.events").write_text("low 0\noom 1\noom_kill 2\n")
    assert kills(group) == 2


def test_a_group_that_cannot_be_made_is_no_group(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    assert create(Method(folder=tmp_path / "file" / "taod"), "job-1", 5000) is None


def test_systemd_comes_first_and_the_user_s_own_needs_its_socket(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "bin" / "systemd-run"
    program.parent.mkdir()
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path / "run"))
    booted, top = tmp_path / "systemd", v2(tmp_path / "cgroup")
    booted.mkdir()
    found = available_method(top, systemd=booted, root=True)
    assert systemd_words(found, "job-1", 5000) == [
        *(str(program), "--scope", "--quiet", "--collect"),
        *("--property=MemoryMax=5000", "--property=MemorySwapMax=0", "--unit=taod-job-1", "--"),
    ]
    assert create(found, "job-1", 5000) is None
    assert available_method(top, systemd=booted, root=False).folder == top / "taod"
    (tmp_path / "run" / "systemd").mkdir(parents=True)
    (tmp_path / "run" / "systemd" / "private").touch()
    assert "--user" in available_method(top, systemd=booted, root=False).systemd


def test_without_control_groups_the_reason_is_given(tmp_path: Path) -> None:
    found = available_method(tmp_path, systemd=tmp_path / "none")
    assert found.unavailable == "the kernel offers no control groups for memory here"


def test_the_kernel_s_count_of_kills_is_read() -> None:
    count = machine_kills()
    assert count is None or count >= 0
    assert machine_kills(Path("/nowhere")) is None
    assert cgroup.VMSTAT.exists()
