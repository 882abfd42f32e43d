"""`taod doctor` on damaged roots, and its repairs."""

from __future__ import annotations

import os
import shutil
import socket
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace

import pytest

from runners import cgroup, embedded
from runners.registry import RunnerRegistry
from store import Store
from store.migrations import SET, TABLE
from store.records import DatasetRecord, NewJob
from taod import installed
from taod.cli.commands import doctor as doctor_module
from taod.cli.commands.doctor import examine
from taod.cli.support.check_result import CheckResult
from taod.config import (
    Config,
    EmbeddedConfig,
    RunnerConfig,
    ServerConfig,
    StorageConfig,
    SupervisionConfig,
    TrackersConfig,
)
from taod.daemon import root_lock
from taod.ids import new_id
from taod.paths import Root
from taod.types.reason import POSTED
from taod.types.state import State
from tests.patience import PATIENCE_S

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
    job = NewJob(new_id(), user.id, "dataset", data.id, "image_classification", "convert", None, State.QUEUED, POSTED)
    store.jobs.add([job])
    store.close()
    root.job(job.id).path.mkdir()
    root.dataset(data.id).mkdir()
    return job.id


def found(root: Root, port: int = 0) -> dict[str, CheckResult]:
    return {result.name: result for result in examine(config_of(root, port))}


def config_of(root: Root, port: int = 0, **supervision: int) -> Config:
    return Config(
        storage=StorageConfig(root=str(root.path)),
        server=ServerConfig(port=port),
        supervision=SupervisionConfig(**supervision),
    )


def test_a_sound_root_passes(root: Root) -> None:
    job_of(root)
    results = found(root)
    wrong = [name for name, result in results.items() if not result.ok]
    assert set(wrong) <= {"containers", "disk", "engine", "runners"}, wrong  # these depend on the machine
    assert "intact" in results["database"].found and "1 jobs, 1 datasets" in results["database"].found


def test_open_permissions_are_reported_and_repaired(root: Root) -> None:
    root.database.chmod(0o644)
    result = found(root)["access"]
    assert not result.ok and f"chmod 600 {root.database}" in result.remedy
    assert result.repaired().fixed == "made private"
    assert root.database.stat().st_mode & 0o777 == 0o600 and found(root)["access"].ok


def test_a_damaged_database_is_reported(root: Root) -> None:
    job_of(root)
    with root.database.open("r+b") as file:
        file.seek(8192)
        file.write(os.urandom(20_000))
    result = found(root)["database"]
    assert not result.ok and "damaged" in result.found and ".recover" in result.remedy


def test_an_orphaned_process_of_a_run_is_reported_and_killed(root: Root) -> None:
    job_id = job_of(root)
    environ = {"PATH": os.environ["PATH"]}
    mark = {"TAOD_RUN": f"{job_id}/1"}
    other = {"TAOD_RUN": f"{new_id()}/1"}  # a run of another root's daemon
    with (
        subprocess.Popen(["sleep", "3600"], env=environ | mark, cwd=root.job(job_id).path) as orphan,
        subprocess.Popen(["sleep", "3600"], env=environ | other, cwd="/") as foreign,
    ):
        try:
            result = found(root)["orphans"]
            assert result.found == f"pid {orphan.pid} of job {job_id[:8]}"
            assert result.repaired().fixed == "1 killed"
            assert orphan.wait(PATIENCE_S) == -9 and foreign.poll() is None
            assert found(root)["orphans"].ok
        finally:
            foreign.kill()
            orphan.kill()


def test_the_process_of_a_leased_job_is_not_an_orphan(root: Root) -> None:
    job_id = job_of(root)
    store = Store.open(root.database)
    store.jobs.lease(job_id, [("cpu:0", 0)], POSTED)
    store.close()
    environ = {"PATH": os.environ["PATH"], "TAOD_RUN": f"{job_id}/1"}
    with subprocess.Popen(["sleep", "3600"], env=environ, cwd=root.job(job_id).path) as run:
        try:
            assert found(root)["orphans"].ok
        finally:
            run.kill()


def test_stray_folders_are_moved_and_not_deleted(root: Root) -> None:
    kept, stray = job_of(root), new_id()
    (root.job(stray).path / "results").mkdir(parents=True)
    (root.job(stray).path / "results" / "weights").write_text("precious")
    (root.jobs / "notes").mkdir()
    result = found(root)["folders"]
    assert result.found == f"jobs/{stray}: without a job or dataset"
    result.repaired()
    assert (root.stray / f"jobs-{stray}" / "results" / "weights").read_text() == "precious"
    assert root.job(kept).path.exists() and (root.jobs / "notes").exists() and found(root)["folders"].ok


def test_a_used_port_and_a_stale_daemon_json_are_reported(root: Root) -> None:
    root.daemon_file.touch(0o600)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        results = found(root, port=taken.getsockname()[1])
    assert not results["port"].ok and "--port 0" in results["port"].remedy
    assert "has died" in results["lock"].found
    results["lock"].repaired()
    assert not root.daemon_file.exists()


def test_a_newer_database_and_a_stray_lease_are_reported(root: Root) -> None:
    job_id = job_of(root)
    with closing(sqlite3.connect(root.database, isolation_level=None)) as database:
        database.execute("INSERT INTO leases (device_id, slot, job_id, since) VALUES ('cpu:7', 0, ?, '2024')", [job_id])
        result = found(root)["database"]
        assert not result.ok and result.found == "cpu:7 leased by a job that does not run"
        database.execute(f"INSERT INTO {TABLE} (migration_set, name, applied_at) VALUES (?, 'tomorrow', '2099')", [SET])
    result = found(root)["database"]
    assert not result.ok and result.found == "written by a newer taod (with tomorrow)"
    assert "install that version" in result.remedy


def test_low_disk_space_and_an_unwritable_root_are_reported(root: Root, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=3 * GIB))
    # The superuser can write everywhere, so the answer of the kernel is replaced.
    monkeypatch.setattr(os, "access", lambda path, mode: not str(path).startswith(str(root.path)))
    results = found(root)
    assert (results["disk"].ok, results["disk"].found) == (False, "3 GiB free")
    assert "free some space, or move the root" in results["disk"].remedy
    assert not results["root"].ok and f"make {root.path} writable" in results["root"].remedy


@pytest.fixture
def bare(tmp_path: Path, root: Root, monkeypatch: pytest.MonkeyPatch) -> tuple[Config, str]:
    """A configuration whose only runners are the tools, of which none is installed, and an engine whose interpreter
    has no packages; and that interpreter."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", tmp_path / "bare"], check=True)
    config, python = config_of(root), f"{tmp_path}/bare/bin/python"
    config.runner = RunnerConfig(order=["native", "embedded"], embedded=EmbeddedConfig(python=python))
    monkeypatch.setenv("PATH", "/usr/bin:/bin")
    return config, python


def test_without_a_gpu_the_first_remedy_is_the_engine_and_with_one_the_tools(
    bare: tuple[Config, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config, python = bare
    monkeypatch.setattr(embedded, "DRIVER", tmp_path / "none")
    result = next(one for one in examine(config) if one.name == "runners")
    assert not result.ok and f"transformers, which {python} lacks" in result.found
    assert result.remedy == f"{python} -m pip install 'taod[engine]'"
    assert [line.partition(":")[0] for line in result.details] == ["native"]
    monkeypatch.setattr(embedded, "DRIVER", tmp_path)
    result = next(one for one in examine(config) if one.name == "runners")
    assert "taod tools ls" in result.remedy and [line.partition(":")[0] for line in result.details] == ["embedded"]


def test_the_engine_is_not_reported_twice(bare: tuple[Config, str]) -> None:
    config, _ = bare
    assert "engine" not in [one.name for one in examine(config)]
    config.runner.embedded.python = ""
    registry = RunnerRegistry.from_config(config.runner)
    able = registry.choose("classification_pyt", "train").runner is not None
    assert ("engine" in [one.name for one in examine(config)]) is able


def test_an_engine_without_some_libraries_is_reported(root: Root, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("torch")
    monkeypatch.setattr(embedded, "find_spec", lambda name: None if name in ("onnx", "timm") else object())
    results = {one.name: one for one in examine(config_of(root))}
    assert results["runners"].ok and not results["engine"].ok
    assert results["engine"].found == "without onnx, timm" and "[engine]" in results["engine"].remedy


def test_failed_checks_come_first_with_two_lines_each(capsys: pytest.CaptureFixture[str]) -> None:
    given = [
        CheckResult(True, "python", "3.11", "a hint", details=("more",)),
        CheckResult(False, "disk", "1 GiB free", "free some"),
        CheckResult(False, "runners", "none", "pip install it", details=("docker: is absent → start it",)),
        CheckResult(True, "docker", "is absent", "start it"),
        CheckResult(False, "database", "damaged", "restore it"),
    ]
    results = sorted(given, key=doctor_module._rank)
    doctor_module._print(results)
    lines = [" ".join(line.split()) for line in capsys.readouterr().out.splitlines()]
    assert lines == [
        "✗ database damaged",
        "→ restore it",
        "✗ runners none",
        "→ pip install it",
        "✗ disk 1 GiB free",
        "→ free some",
        "✓ python 3.11",
        "✓ docker is absent",
        "3 problems; --verbose shows details.",
    ]
    doctor_module._print(results, verbose=True)
    lines = [" ".join(line.split()) for line in capsys.readouterr().out.splitlines()]
    assert lines[4:] == [
        "docker: is absent → start it",
        "✗ disk 1 GiB free",
        "→ free some",
        "✓ python 3.11",
        "→ a hint",
        "more",
    ], "the container engine's line would repeat what the runners' has said"


def test_a_served_root_has_no_line_about_the_next_daemons_port(root: Root) -> None:
    assert "port" in found(root)
    with root_lock(root):
        assert "port" not in found(root)


@pytest.mark.parametrize("wanted", [0, 1024**3])
def test_missing_memory_limits_fail_only_if_the_configuration_uses_them(
    root: Root, monkeypatch: pytest.MonkeyPatch, wanted: int
) -> None:
    monkeypatch.setattr(cgroup, "available_method", lambda: cgroup.Method(unavailable="there are no control groups"))
    result = {one.name: one for one in examine(config_of(root, memory_bytes=wanted))}["memory"]
    assert result.ok is (wanted == 0) and result.found == "runs cannot be limited: there are no control groups"
    assert result.ok or "supervision.memory_bytes = 0" in result.remedy


def test_a_machine_without_devices_is_reported(root: Root) -> None:
    config = config_of(root)
    config.devices.gpus, config.devices.cpu_slots = False, 0
    results = {one.name: one for one in examine(config)}
    assert not results["devices"].ok and "devices.cpu_slots = 1" in results["devices"].remedy
    assert results["nvml"].found == "not queried (devices.gpus = false)"


def test_a_served_root_is_not_repaired(root: Root) -> None:
    stray = new_id()
    root.job(stray).path.mkdir()
    with root_lock(root):
        results = found(root)
        assert results["lock"].found == "held by the daemon"
        assert not results["folders"].ok and results["folders"].fix is None
        assert "once the daemon has stopped" in results["folders"].remedy
    assert found(root)["folders"].fix is not None


def test_brackets_in_texts_are_printed(capsys: pytest.CaptureFixture[str]) -> None:
    remedy = "pip install 'taod[engine]', or add a [[notify.target]]"
    doctor_module._print([CheckResult(False, "engine", "without [torch]", remedy)])
    shown = capsys.readouterr().out
    assert "✗ engine     without [torch]" in shown and remedy in shown


def test_trackers_are_named_with_their_missing_libraries(root: Root, monkeypatch: pytest.MonkeyPatch) -> None:
    from taod.trackers import feed

    config = TrackersConfig(tensorboard="boards", mlflow="https://127.0.0.1:1")
    monkeypatch.setattr(feed, "find_spec", lambda name: None if name == "mlflow" else name)
    found = {
        each.found: each
        for each in doctor_module._trackers(Config(trackers=config, storage=StorageConfig(str(root.path))))
    }
    assert found[f"tensorboard: {root.path / 'boards'}"].ok
    assert found["mlflow: the library mlflow is not installed"].remedy == installed.add("mlflow")
