"""What doctor finds in a root that something is wrong with, and what --fix does about it."""

from __future__ import annotations

import os
import shutil
import socket
import sqlite3
import subprocess
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace

import pytest

from runners import cgroup
from store import Store
from store.migrations import SET, TABLE
from store.records import DatasetRecord, NewJob
from taod.cli.commands import doctor as doctor_module
from taod.cli.commands.doctor import examine
from taod.cli.support.check_result import Finding
from taod.config import Config, ServerConfig, StorageConfig, SupervisionConfig
from taod.daemon import root_lock
from taod.ids import new_id
from taod.paths import Root
from taod.types.state import State

GIB = 1024**3


@pytest.fixture
def root(tmp_path: Path) -> Root:
    root = Root(tmp_path / "root")
    root.make()
    Store.open(root.database).close()
    return root


def job_of(root: Root) -> str:
    """A queued job, with its folder."""
    store = Store.open(root.database)
    user = store.users.add("ada")
    data = DatasetRecord(new_id(), user.id, "d", "", "", "1", "image_classification", "custom", "2024", "2024")
    store.datasets.add(data)
    job = NewJob(new_id(), user.id, "dataset", data.id, "image_classification", "convert", None, State.QUEUED, "")
    store.jobs.add([job])
    store.close()
    root.job(job.id).path.mkdir()
    root.dataset(data.id).mkdir()
    return job.id


def found(root: Root, port: int = 0) -> dict[str, Finding]:
    return {finding.what: finding for finding in examine(config_of(root, port))}


def config_of(root: Root, port: int = 0, **supervision: int) -> Config:
    return Config(
        storage=StorageConfig(root=str(root.path)),
        server=ServerConfig(port=port),
        supervision=SupervisionConfig(**supervision),
    )


def test_a_root_in_order_is_said_to_be(root: Root) -> None:
    job_of(root)
    findings = found(root)
    wrong = [name for name, finding in findings.items() if not finding.ok]
    assert set(wrong) <= {"containers", "disk", "engine", "runners"}, wrong  # what depends on the machine
    assert "whole" in findings["database"].found and "1 jobs, 1 datasets" in findings["database"].found


def test_open_permissions_are_told_and_mended(root: Root) -> None:
    root.database.chmod(0o644)
    finding = found(root)["access"]
    assert not finding.ok and f"chmod 600 {root.database}" in finding.remedy
    assert finding.mended().fixed == "made private"
    assert root.database.stat().st_mode & 0o777 == 0o600 and found(root)["access"].ok


def test_a_damaged_database_is_told(root: Root) -> None:
    job_of(root)
    with root.database.open("r+b") as file:
        file.seek(8192)
        file.write(os.urandom(20_000))
    finding = found(root)["database"]
    assert not finding.ok and "damaged" in finding.found and ".recover" in finding.remedy


def test_a_process_of_a_run_that_nobody_knows_is_found_and_ended(root: Root) -> None:
    job_id = job_of(root)
    environ = {"PATH": os.environ["PATH"]}
    mark = {"TAOD_RUN": f"{job_id}/1"}
    other = {"TAOD_RUN": f"{new_id()}/1"}  # of another root's daemon: none of ours
    with (
        subprocess.Popen(["sleep", "60"], env=environ | mark, cwd=root.job(job_id).path) as left,
        subprocess.Popen(["sleep", "60"], env=environ | other, cwd="/") as stranger,
    ):
        try:
            finding = found(root)["orphans"]
            assert finding.found == f"pid {left.pid} of job {job_id[:8]}"
            assert finding.mended().fixed == "1 killed"
            assert left.wait(10) == -9 and stranger.poll() is None
            assert found(root)["orphans"].ok
        finally:
            stranger.kill()
            left.kill()


def test_the_process_of_a_run_that_a_daemon_will_adopt_is_no_orphan(root: Root) -> None:
    job_id = job_of(root)
    store = Store.open(root.database)
    store.jobs.lease(job_id, [("cpu:0", 0)], "Leased")
    store.close()
    environ = {"PATH": os.environ["PATH"], "TAOD_RUN": f"{job_id}/1"}
    with subprocess.Popen(["sleep", "60"], env=environ, cwd=root.job(job_id).path) as run:
        try:
            assert found(root)["orphans"].ok
        finally:
            run.kill()


def test_folders_of_nothing_are_moved_aside_not_deleted(root: Root) -> None:
    kept, stray = job_of(root), new_id()
    (root.job(stray).path / "results").mkdir(parents=True)
    (root.job(stray).path / "results" / "weights").write_text("precious")
    (root.jobs / "notes").mkdir()
    finding = found(root)["folders"]
    assert finding.found == f"jobs/{stray}: of no job or dataset"
    finding.mended()
    assert (root.stray / f"jobs-{stray}" / "results" / "weights").read_text() == "precious"
    assert root.job(kept).path.exists() and (root.jobs / "notes").exists() and found(root)["folders"].ok


def test_a_taken_port_and_a_stale_daemon_json_are_told(root: Root) -> None:
    root.daemon_file.touch(0o600)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        findings = found(root, port=taken.getsockname()[1])
    assert not findings["port"].ok and "--port 0" in findings["port"].remedy
    assert "has died" in findings["lock"].found
    findings["lock"].mended()
    assert not root.daemon_file.exists()


def test_a_newer_database_and_a_lease_of_nobody_are_told(root: Root) -> None:
    job_id = job_of(root)
    with closing(sqlite3.connect(root.database, isolation_level=None)) as database:
        database.execute("INSERT INTO leases (device_id, slot, job_id, since) VALUES ('cpu:7', 0, ?, '2024')", [job_id])
        finding = found(root)["database"]
        assert not finding.ok and finding.found == "cpu:7 leased by a job that does not run"
        database.execute(f"INSERT INTO {TABLE} (migration_set, name, applied_at) VALUES (?, 'tomorrow', '2099')", [SET])
    finding = found(root)["database"]
    assert not finding.ok and finding.found == "written by a newer taod (with tomorrow)"
    assert "install that version" in finding.remedy


def test_a_disk_with_little_room_and_a_root_that_cannot_be_written_are_told(
    root: Root, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=3 * GIB))
    # Root may write everywhere: the kernel is asked as for somebody else.
    monkeypatch.setattr(os, "access", lambda path, mode: not str(path).startswith(str(root.path)))
    findings = found(root)
    assert (findings["disk"].ok, findings["disk"].found) == (False, "3 GiB free")
    assert "free some, or move the root" in findings["disk"].remedy
    assert not findings["root"].ok and f"make {root.path} writable" in findings["root"].remedy


def test_what_the_engine_lacks_is_named_with_the_order_that_installs_it(
    root: Root, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(doctor_module, "ENGINE", ("json", "no_such_library", "another_one"))
    finding = found(root)["engine"]
    assert (finding.ok, finding.found) == (False, "without no_such_library, another_one")
    assert finding.remedy == "pip install 'taod[engine]'"


@pytest.mark.parametrize("wanted", [0, 1024**3])
def test_where_memory_cannot_be_limited_it_matters_only_to_who_wants_it(
    root: Root, monkeypatch: pytest.MonkeyPatch, wanted: int
) -> None:
    monkeypatch.setattr(cgroup, "way", lambda: cgroup.Way(refusal="there are no control groups"))
    finding = {one.what: one for one in examine(config_of(root, memory_bytes=wanted))}["memory"]
    assert finding.ok is (wanted == 0) and finding.found == "runs cannot be limited: there are no control groups"
    assert finding.ok or "supervision.memory_bytes = 0" in finding.remedy


def test_a_machine_that_offers_no_device_is_told(root: Root) -> None:
    config = config_of(root)
    config.devices.gpus, config.devices.cpu_slots = False, 0
    findings = {one.what: one for one in examine(config)}
    assert not findings["devices"].ok and "devices.cpu_slots = 1" in findings["devices"].remedy
    assert findings["nvml"].found == "not asked (devices.gpus)"


def test_while_a_daemon_runs_nothing_is_mended_that_may_be_its_own(root: Root) -> None:
    stray = new_id()
    root.job(stray).path.mkdir()
    with root_lock(root):
        findings = found(root)
        assert findings["lock"].found == "held by the daemon"
        assert not findings["folders"].ok and findings["folders"].fix is None
        assert "while no daemon is running" in findings["folders"].remedy
    assert found(root)["folders"].fix is not None
