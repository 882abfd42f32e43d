"""The pure parts of the docker and slurm runners: sizes, mounts, progress, scripts, states, and what doctor says."""

from __future__ import annotations

import asyncio
import json
import subprocess
from pathlib import Path

import pytest

from runners.docker import doctor, endpoint
from runners.docker.container import Mount, mounts, size
from runners.docker.endpoint import Facts
from runners.docker.progress import Progress
from runners.protocol import Command, Ended, RunRequest
from runners.slurm import script, state
from runners.slurm.state import Seen
from runners.slurm.watcher import Watcher
from taod.config import DockerConfig, RunnerConfig, SlurmConfig, SlurmRule
from tests.runners.engines import Dockerd

GIB = 1024**3


@pytest.mark.parametrize(
    ("text", "count"), [("16g", 16 * GIB), ("512M", 512 * 1024**2), ("1.5 GB", 3 * GIB // 2), ("7", 7)]
)
def test_sizes(text: str, count: int) -> None:
    assert size(text, "key") == count


def test_a_wrong_size_names_its_key() -> None:
    with pytest.raises(ValueError, match=r"runner\.docker\.shm_size = 'much' is not a size"):
        size("much", "runner.docker.shm_size")


def test_a_container_sees_each_folder_once_and_writes_only_its_own() -> None:
    reads = ["/data/a", "/data/a/below", "/jobs/2/results", "/jobs/1/results", "/data/ab", "/data/a"]
    assert mounts("/jobs/1", reads) == [
        Mount("/data/a", True), Mount("/data/ab", True), Mount("/jobs/2/results", True), Mount("/jobs/1", False),
    ]  # fmt: skip


def test_a_container_may_write_to_the_dataset_that_it_converts() -> None:
    assert mounts("/jobs/1", ["/data/a", "/data/b"], ["/data/b"]) == [
        Mount("/data/a", True), Mount("/data/b", False), Mount("/jobs/1", False),
    ]  # fmt: skip


def test_a_download_without_bytes_is_reported_in_layers() -> None:
    progress = Progress("tao:5")
    reports = [(each, status) for status in ("Pulling fs layer", "Download complete") for each in ("a", "b")]
    reported = [
        progress.line_for({"status": status, "progressDetail": {}, "id": each})
        for each, status in [*reports, reports[-1]]
    ]
    assert reported == [None, None, "tao:5: 1 of 2 layers", "tao:5: 2 of 2 layers", None]


def test_a_download_is_reported_in_steps() -> None:
    progress = Progress("tao:5")
    reported = [progress.line_for({"status": "Pulling fs layer", "id": "a"})]
    for current in range(0, 101, 2):
        reported.append(
            progress.line_for(
                {"status": "Downloading", "id": "a", "progressDetail": {"current": current * GIB, "total": 100 * GIB}}
            )
        )
    lines = [line for line in reported if line]
    assert lines[0] == "tao:5: 0% of 100.0 GiB"
    assert lines[-1] == "tao:5: 100% of 100.0 GiB"
    assert len(lines) < 22


def request(gpus: int = 0, **more: str) -> RunRequest:
    argv = ["dino", "train", "-k", "it's $HOME"]
    return RunRequest("job-1", 2, Command("dino", "train", argv, "tlt-pytorch", more, gpus=gpus), "/jobs/1")


def test_a_batch_script_asks_for_what_is_configured_and_its_rules() -> None:
    config = SlurmConfig(
        partition="main", account="vision", cpus=4, memory="64G", gres="gpu:a100", options=["--exclusive"],
        rule=[SlurmRule(network="d*", partition="large"), SlurmRule(network="unet", time="1"), SlurmRule(time="3-0")],
    )  # fmt: skip
    assert script.options(request(gpus=2), config) == [
        "--job-name=taod-job-1-2", "--output=/jobs/1/log.txt", "--open-mode=append", "--chdir=/jobs/1", "--nodes=1",
        "--ntasks=1", "--export=ALL", "--no-requeue", "--partition=large", "--account=vision", "--time=3-0",
        "--cpus-per-task=8", "--mem=64G", "--gres=gpu:a100:2", "--exclusive",
    ]  # fmt: skip


def test_a_batch_script_is_one_and_keeps_every_word_whole() -> None:
    config = SlurmConfig(
        path=["/opt/tao bin"], setup="module load x\nulimit -n 1", prefix=["apptainer", "exec", "--nv"]
    )
    text = script.script(request(KEY="a'b"), config, {})
    assert text.startswith("#!/bin/sh\n")
    assert subprocess.run(["sh", "-n"], input=text, text=True, check=False).returncode == 0
    assert """export KEY='a'"'"'b'""" in text
    assert """apptainer exec --nv dino train -k 'it'"'"'s $HOME'""" in text
    assert text.index("ulimit -n 1") < text.index("apptainer")


def test_the_states_of_the_cluster_are_read() -> None:
    assert state.queue("12|taod-a-1|RUNNING|None\n13|taod-b-1|PENDING|(Resources)|x\nnonsense\n") == [
        Seen("12", "taod-a-1", "RUNNING"), Seen("13", "taod-b-1", "PENDING", "(Resources)|x"),
    ]  # fmt: skip
    line = "JobId=12 JobName=taod-a-1 JobState=TIMEOUT Reason=TimeLimit ExitCode=0:15 Command=/x"
    assert state.shown(line) == Seen("12", "taod-a-1", "TIMEOUT", "TimeLimit", 143)
    assert state.shown("No jobs in the system") is None
    assert state.accounted("12|taod-a-1|CANCELLED by 1000|0:9\n") == Seen("12", "taod-a-1", "CANCELLED", "", 137)
    assert state.accounted("") is None


@pytest.mark.parametrize(
    ("seen", "recorded", "end"),
    [
        (Seen("7", "n", "COMPLETED"), 0, Ended(0)),
        (Seen("7", "n", "COMPLETED", exit_code=0), None, Ended(0)),
        (Seen("7", "n", "FAILED", exit_code=3), 3, Ended(3)),
        (Seen("7", "n", "TIMEOUT", exit_code=None), 143, Ended(143, state.MEANINGS["TIMEOUT"])),
        (Seen("7", "n", "NODE_FAIL", exit_code=0), None, Ended(None, "its node failed")),
        (Seen("7", "n", "OUT_OF_MEMORY", exit_code=125), None, Ended(125, "out of memory on its node")),
        (Seen("7", "n", "PREEMPTED"), 143, Ended(143, "it was pre-empted on the cluster")),
        (None, None, Ended(None, "the cluster knows nothing of job 7 any more")),
        (None, 5, Ended(5)),
    ],
)
def test_how_a_run_ended_on_the_cluster(seen: Seen | None, recorded: int | None, end: Ended) -> None:
    assert state.ended(seen, recorded, "7") == end


def test_doctor_says_nothing_is_wrong_where_no_container_was_asked_for(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(endpoint, "usual", lambda: [tmp_path / "none.sock"])
    monkeypatch.delenv("DOCKER_HOST", raising=False)
    (check,) = doctor.examine(RunnerConfig())
    assert check.ok
    assert f"none of {tmp_path}/none.sock is there" in check.found
    (check,) = doctor.examine(RunnerConfig(docker=DockerConfig(pull="missing")))
    assert not check.ok
    assert "start Docker or podman" in check.remedy
    assert list(doctor.examine(RunnerConfig(order=["native"]))) == []


def test_doctor_on_a_real_engine_names_the_missing_images(docker_engine: Dockerd) -> None:
    config = DockerConfig(socket=docker_engine.url, images={"tlt-pytorch": "taod-test:1", "tlt-tf1": "tao:none"})
    checks = list(doctor.examine(RunnerConfig(docker=config)))
    assert [check.what for check in checks] == ["docker", "toolkit", "images", "images", "registry"]
    assert checks[0].ok
    assert docker_engine.url in checks[0].found
    assert not checks[2].ok
    assert "1 of 2 are there; missing: tao:none" in checks[2].found
    assert "docker pull tao:none" in checks[2].remedy


def test_doctor_on_gpus_without_the_toolkit_and_on_passwords(tmp_path: Path) -> None:
    missing = doctor.toolkit(Facts(runtimes={"runc": {}}), gpus=True)
    assert not missing.ok
    assert "NVIDIA Container Toolkit" in missing.remedy
    assert doctor.toolkit(Facts(runtimes={"nvidia": {}}), gpus=True).ok
    assert doctor.toolkit(Facts(), gpus=False).ok
    file = tmp_path / "config.json"
    assert "not logged in" in doctor.login(file).found
    file.write_text(json.dumps({"auths": {"nvcr.io": {"auth": "c2VjcmV0"}}}))
    assert "which taod does not use" in doctor.login(file).found
    file.write_text(json.dumps({"credHelpers": {"nvcr.io": "pass"}}))
    assert "by a credential helper" in doctor.login(file).found


async def test_the_watch_over_the_cluster_continues_whatever_one_answer_does_to_it() -> None:
    class Answers:
        """What a cluster says: once nothing that can be read, then of one job."""

        asked = 0

        async def mine(self) -> list[Seen]:
            self.asked += 1
            if self.asked == 1:
                raise ValueError("squeue: a column is missing")
            return [Seen("7", "one", "RUNNING")]

    def deaf(_: Seen | None) -> None:
        raise OSError("the disk is full")

    reported: asyncio.Queue[Seen | None] = asyncio.Queue()
    watcher = Watcher(Answers(), 0.01)  # type: ignore[arg-type]
    watcher.watch("other", deaf)
    watcher.watch("one", reported.put_nowait)
    async with asyncio.timeout(20):
        assert [await reported.get(), await reported.get()] == [Seen("7", "one", "RUNNING")] * 2
    watcher.leave(deaf)
    watcher.leave(reported.put_nowait)
