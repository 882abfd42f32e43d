"""What doctor finds in a root that something is wrong with, and what --fix does about it."""

from __future__ import annotations

import os
import socket
import subprocess
from pathlib import Path

import pytest

from store import Store
from store.records import DatasetRecord, NewJob
from taod.cli.doctor import examine
from taod.cli.finding import Finding
from taod.config import Config, ServerConfig, StorageConfig
from taod.ids import new_id
from taod.paths import Root
from taod.types.state import State


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
    config = Config(storage=StorageConfig(root=str(root.path)), server=ServerConfig(port=port))
    return {finding.what: finding for finding in examine(config)}


def test_a_root_in_order_is_said_to_be(root: Root) -> None:
    job_of(root)
    findings = found(root)
    wrong = [name for name, finding in findings.items() if not finding.ok]
    assert set(wrong) <= {"containers", "disk", "engine", "runners"}, wrong  # what depends on the machine
    assert "whole" in findings["database"].found and "1 jobs, 1 data sets" in findings["database"].found


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
    assert finding.found == f"jobs/{stray}: of no job or data set"
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
