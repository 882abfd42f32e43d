"""The pure parts of the docker and slurm runners: sizes, mounts, progress, scripts, states, and what doctor says."""

from __future__ import annotations

import asyncio
import json
import shlex
import subprocess
from pathlib import Path

import pytest

from runners.docker import container, doctor, endpoint
from runners.docker.container import Mount, mounts, size
from runners.docker.endpoint import EngineInfo
from runners.docker.progress import Progress
from runners.environment import Rules
from runners.protocol import Command, RunEnd, RunRequest, StartFailed
from runners.registry import RunnerRegistry
from runners.rules import read_secrets
from runners.slurm import script, state
from runners.slurm.runner import Slurm
from runners.slurm.state import ClusterJob
from runners.slurm.watcher import Watcher
from taod.config import DockerConfig, DockerRule, RunnerConfig, SlurmConfig, SlurmRule
from taod.errors import ConfigError
from tests.patience import PATIENCE_S
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
    text = script.script(request(KEY="a'b"), config, Rules())
    assert text.startswith("#!/bin/sh\n")
    assert subprocess.run(["sh", "-n"], input=text, text=True, check=False).returncode == 0
    assert """export KEY='a'"'"'b'""" in text
    words = ["apptainer", "exec", "--nv", "dino", "train", "-k", "it's $HOME"]
    assert f"export TAOD_COMMAND={shlex.quote(shlex.join(words))}" in text
    assert text.index("ulimit -n 1") < text.index("apptainer")


def test_a_rule_of_the_cluster_gives_variables_prefix_and_set_up_and_keeps_secrets_out_of_the_script(
    tmp_path: Path,
) -> None:
    rule = SlurmRule(
        network="dino", environment={"HF_HUB_OFFLINE": "1"}, secrets={"HF_TOKEN": "$HF_TOKEN"},
        setup="module load tao", prefix=["apptainer", "exec", "/shared/tao-7.3.0-pyt.sif"],
    )  # fmt: skip
    config = SlurmConfig(prefix=["apptainer", "exec", "/shared/tao-5.0.0-pyt.sif"], rule=[rule])
    text = script.script(request(), config, Rules(cache=tmp_path, cache_for_all=True))
    assert "export HF_HUB_OFFLINE=1" in text
    assert f"export HF_HOME={tmp_path}/huggingface" in text
    assert text.index("module load tao") < text.index("apptainer exec /shared/tao-7.3.0-pyt.sif dino")
    assert "HF_TOKEN" not in text
    assert script.secrets(config, "dino", "train") == {"HF_TOKEN": "$HF_TOKEN"}
    assert "HF_HOME" not in script.script(request(), config, Rules(cache=tmp_path))


@pytest.mark.parametrize(
    ("prefix", "named", "release"),
    [
        ([], "", "5.0"),
        (["apptainer", "exec", "/shared/tao-7.3.0-pyt.sif"], "", "7.3"),
        (["podman", "run", "--env", "A=8.1", "nvcr.io/nvidia/tao/tao-toolkit:7.3.0-pyt"], "", "7.3"),
        (["/opt/python3.11/bin/run"], "", "5.0"),
        (["apptainer", "exec", "/shared/tao.sif"], "7.3.0", "7.3.0"),
    ],
)
def test_the_release_of_a_clusters_tools(prefix: list[str], named: str, release: str) -> None:
    config = SlurmConfig(prefix=prefix, release=named)
    assert script.release(config, "dino", "train") == release
    assert Slurm(config).can_release("dino", "train", release[:3]).can
    verdict = Slurm(config).can_release("dino", "train", "7.3" if release == "5.0" else "5.0")
    assert "the cluster's tools are of release" in verdict.reason


def test_an_unknown_release_of_a_cluster_or_an_image_is_rejected_with_the_nearest() -> None:
    for config in (
        RunnerConfig(slurm=SlurmConfig(release="9.0")),
        RunnerConfig(docker=DockerConfig(rule=[DockerRule(release="9.0")])),
    ):
        with pytest.raises(ConfigError, match=r"release = '9\.0' is unknown; the nearest is '7\.3'"):
            RunnerRegistry.from_config(config)
    verdict = Slurm(SlurmConfig(prefix=["tao-9.0.sif"])).can_release("dino", "train", "7.3")
    assert verdict.reason == "taod knows no release 9.0 of the cluster's tools"


def test_every_rule_that_matches_adds_to_a_container(tmp_path: Path) -> None:
    rules = [
        DockerRule(environment={"A": "1", "B": "1"}, mounts=["/srv/a", "/srv/b:/b:ro"], network_mode="bridge"),
        DockerRule(network="d*", action="train", environment={"B": "2"}, secrets={"HF_TOKEN": "/nowhere"}),
        DockerRule(network="dino", mounts=["/srv/c:/b"], entrypoint=["/entry.sh", "--quiet"]),
        DockerRule(network="unet", environment={"A": "3"}),
    ]
    config = DockerConfig(rule=rules)
    made = container.describe_container(request(), "tao:5", config, Rules(extra={"A": "0"}, cache=tmp_path), threads=1)
    assert (made.environment["A"], made.environment["B"]) == ("1", "2")
    assert made.environment["HF_HOME"] == str(tmp_path / "huggingface")
    assert made.mounts[:3] == [Mount(str(tmp_path), False), Mount("/srv/a", False), Mount("/srv/c", False, "/b")]
    assert made.network == "bridge"
    assert made.argv[:4] == ["/entry.sh", "--quiet", "dino", "train"] and made.wrapped[-1] == "all"
    assert made.secrets == {"HF_TOKEN": "/nowhere"}
    assert "HF_TOKEN" not in made.environment
    other = container.describe_container(request(), "tao:5", DockerConfig(rule=[rules[3]]), Rules(), threads=1)
    assert (other.network, other.secrets, other.argv[0]) == ("none", {}, "dino")


@pytest.mark.parametrize(
    ("source", "fault"),
    [
        ("$TAOD_TEST_NONE", "the daemon's environment has no $TAOD_TEST_NONE; set it, and restart taod"),
        ("{folder}/none", "{folder}/none cannot be read: No such file or directory; correct the path in the rule"),
        ("{folder}/short", "is not one word of at least 8 characters"),
        ("{folder}/words", "is not one word of at least 8 characters"),
        ("{folder}/bytes", "it is not text"),
    ],
)
def test_a_secret_without_a_usable_value_fails_the_start_without_its_value(
    tmp_path: Path, source: str, fault: str
) -> None:
    for name, value in (("short", b"hf_1\n"), ("words", b"hf_12345 678\n"), ("bytes", b"hf_\xff12345678")):
        (tmp_path / name).write_bytes(value)
    with pytest.raises(StartFailed) as failure:
        read_secrets({"HF_TOKEN": source.format(folder=tmp_path)})
    assert str(failure.value).startswith("secret HF_TOKEN: ")
    assert fault.format(folder=tmp_path) in str(failure.value)
    assert "hf_1" not in str(failure.value)


def test_the_states_of_the_cluster_are_read() -> None:
    assert state.queue("12|taod-a-1|RUNNING|None\n13|taod-b-1|PENDING|(Resources)|x\nnonsense\n") == [
        ClusterJob("12", "taod-a-1", "RUNNING"), ClusterJob("13", "taod-b-1", "PENDING", "(Resources)|x"),
    ]  # fmt: skip
    line = "JobId=12 JobName=taod-a-1 JobState=TIMEOUT Reason=TimeLimit ExitCode=0:15 Command=/x"
    assert state.shown(line) == ClusterJob("12", "taod-a-1", "TIMEOUT", "TimeLimit", 143)
    assert state.shown("No jobs in the system") is None
    assert state.accounted("12|taod-a-1|CANCELLED by 1000|0:9\n") == ClusterJob("12", "taod-a-1", "CANCELLED", "", 137)
    assert state.accounted("") is None


@pytest.mark.parametrize(
    ("seen", "recorded", "end"),
    [
        (ClusterJob("7", "n", "COMPLETED"), 0, RunEnd(0)),
        (ClusterJob("7", "n", "COMPLETED", exit_code=0), None, RunEnd(0)),
        (ClusterJob("7", "n", "FAILED", exit_code=3), 3, RunEnd(3)),
        (ClusterJob("7", "n", "TIMEOUT", exit_code=None), 143, RunEnd(143, state.MEANINGS["TIMEOUT"])),
        (ClusterJob("7", "n", "NODE_FAIL", exit_code=0), None, RunEnd(None, "its node failed")),
        (ClusterJob("7", "n", "OUT_OF_MEMORY", exit_code=125), None, RunEnd(125, "out of memory on its node")),
        (ClusterJob("7", "n", "PREEMPTED"), 143, RunEnd(143, "it was pre-empted on the cluster")),
        (None, None, RunEnd(None, "the cluster knows nothing of job 7 any more")),
        (None, 5, RunEnd(5)),
    ],
)
def test_how_a_run_ended_on_the_cluster(seen: ClusterJob | None, recorded: int | None, end: RunEnd) -> None:
    assert state.ended(seen, recorded, "7") == end


def test_doctor_says_nothing_is_wrong_where_no_container_was_asked_for(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(endpoint, "usual", lambda: [tmp_path / "none.sock"])
    monkeypatch.delenv("DOCKER_HOST", raising=False)
    (check,) = doctor.examine(RunnerConfig())
    assert check.ok
    assert check.found == "there is no container engine"
    assert check.details == (f"none of {tmp_path}/none.sock is there",)
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
    assert checks[2].found == "1 of 2 are there" and checks[2].details == ("missing: tao:none",)
    assert "docker pull tao:none" in checks[2].remedy


def test_doctor_on_gpus_without_the_toolkit_and_on_passwords(tmp_path: Path) -> None:
    missing = doctor.toolkit(EngineInfo(runtimes={"runc": {}}), gpus=True)
    assert not missing.ok
    assert "NVIDIA Container Toolkit" in missing.remedy
    assert doctor.toolkit(EngineInfo(runtimes={"nvidia": {}}), gpus=True).ok
    assert doctor.toolkit(EngineInfo(), gpus=False).ok
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

        async def own_jobs(self) -> list[ClusterJob]:
            self.asked += 1
            if self.asked == 1:
                raise ValueError("squeue: a column is missing")
            return [ClusterJob("7", "one", "RUNNING")]

    def deaf(_: ClusterJob | None) -> None:
        raise OSError("the disk is full")

    reported: asyncio.Queue[ClusterJob | None] = asyncio.Queue()
    watcher = Watcher(Answers(), 0.01)  # type: ignore[arg-type]
    watcher.watch("other", deaf)
    watcher.watch("one", reported.put_nowait)
    async with asyncio.timeout(PATIENCE_S):
        assert [await reported.get(), await reported.get()] == [ClusterJob("7", "one", "RUNNING")] * 2
    watcher.leave(deaf)
    watcher.leave(reported.put_nowait)
