"""Containers of a real engine: what they are given, and what becomes of them when things go wrong around them."""

from __future__ import annotations

import asyncio
import os
import re
import socket
import tempfile
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from runners.docker import engine as engine_api
from runners.docker.runner import Docker
from runners.environment import Rules
from runners.protocol import Claim, Command, DeviceGrant, RunEnd, RunRequest, StartFailed
from taod.config import DockerConfig, DockerRule
from tests.runners import engines
from tests.runners.conformance.waiting import go, log_of, ready, within
from tests.runners.engines import IMAGE, Dockerd, Podman
from tests.runners.recorder import Recorder

Engine = Dockerd | Podman
GPUS = [DeviceGrant("GPU-aa", "gpu", 0), DeviceGrant("GPU-bb", "gpu", 3)]
EMPTY_TAR = bytes(10240)
"""The two zero blocks that end an archive, padded to a record."""


def docker(engine: Engine, **config: Any) -> Docker:
    return Docker(DockerConfig(**{"socket": engine.url, "images": {"tlt-pytorch": IMAGE}, "ulimits": {}, **config}))


def run_of(
    folder: Path, do: str, *, devices: list[DeviceGrant] | None = None, reads: list[str] | None = None
) -> RunRequest:
    job_id = str(uuid.uuid4())
    home = folder / job_id
    (home / "results").mkdir(parents=True)
    argv = ["classification_pyt", "train", f"--results_dir={home}/results", f"--do={do}"]
    command = Command("classification_pyt", "train", argv, "tlt-pytorch", reads=reads or [])
    return RunRequest(job_id, 1, command, str(home), devices or [])


@pytest.fixture
def recorder(docker_engine: Dockerd) -> Iterator[Recorder]:
    with tempfile.TemporaryDirectory(prefix="taod-recorder-", dir="/tmp") as folder:
        recorder = Recorder(docker_engine.url, Path(folder))
        yield recorder
        recorder.close()


async def test_what_is_asked_of_the_engine(docker_engine: Dockerd, recorder: Recorder, tmp_path: Path) -> None:
    data = tmp_path / "data"
    (data / "below").mkdir(parents=True)
    request = run_of(tmp_path, "exit:0", devices=GPUS, reads=[str(data), str(data / "below")])
    limits = {"memlock": -1, "stack": 67108864}
    runner = docker(docker_engine, socket=recorder.url, shm_size="2g", memory="1g", ulimits=limits)
    # This machine has no GPUs: the engine takes the order and cannot carry it out.
    with pytest.raises(StartFailed, match="install the NVIDIA Container Toolkit"):
        await within(runner.start(request))
    (body,) = recorder.bodies("/containers/create")
    host = body["HostConfig"]
    assert host["DeviceRequests"] == [
        {"Driver": "nvidia", "Count": 0, "DeviceIDs": ["GPU-aa", "GPU-bb"], "Capabilities": [["gpu"]], "Options": {}}
    ]
    assert host["NetworkMode"] == "none"
    assert not host.get("Privileged")
    assert host["SecurityOpt"] == ["no-new-privileges"]
    assert host["ShmSize"] == 2 * 1024**3
    assert host["Memory"] == host["MemorySwap"] == 1024**3
    assert {limit["Name"]: limit["Hard"] for limit in host["Ulimits"]} == limits
    assert [(m["Source"], m["Target"], m["ReadOnly"]) for m in host["Mounts"]] == [
        (str(data), str(data), True),
        (request.folder, request.folder, False),
    ]
    assert body["User"] == f"{os.getuid()}:{os.getgid()}"
    assert body["Labels"] == {"taod.job": request.job_id, "taod.attempt": "1"}
    environment = dict(each.split("=", 1) for each in body["Env"])
    assert environment["CUDA_VISIBLE_DEVICES"] == environment["NVIDIA_VISIBLE_DEVICES"] == "GPU-aa,GPU-bb"
    assert environment["NUM_GPU_PER_NODE"] == "2"
    # Nothing is left of what could not be started, and nothing can come of it.
    assert request.job_id not in docker_engine.docker("ps", "--all", "--format", "{{.Names}}")
    assert await within(docker(docker_engine).recover(request)) == (Claim.NEVER, None)


async def test_a_rule_gives_variables_secrets_mounts_and_an_entry_point_and_the_cache_is_shared(
    container_engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TAOD_TEST_TOKEN", "hf_of_the_daemon")
    weights, entry, token = tmp_path / "weights", tmp_path / "entry.sh", tmp_path / "token"
    weights.mkdir()
    entry.write_text('#!/bin/sh\necho "entered $*"\nexport FROM_ENTRY=1\nexec "$@"\n')
    entry.chmod(0o755)
    token.write_text("ngc_of_a_file\n")
    rule = DockerRule(
        environment={"HF_HUB_OFFLINE": "1"},
        secrets={"HF_TOKEN": "$TAOD_TEST_TOKEN", "NGC_API_KEY": str(token)},
        mounts=[f"{weights}:/weights", f"{entry}:/entry.sh:ro"],
        network_mode="host",
        entrypoint=["/entry.sh"],
    )
    rules = [rule, DockerRule(network="dino", entrypoint=["/none"])]
    cache = tmp_path / "cache"
    config = DockerConfig(socket=container_engine.url, images={"tlt-pytorch": IMAGE}, ulimits={}, rule=rules, keep=True)
    runner = Docker(config, Rules(cache=cache))
    request = run_of(tmp_path, "exit:0")
    script = "env; cat /proc/net/dev; touch /weights/made $TORCH_HOME/made; touch /entry.sh || echo cannot write"
    request = msgspec.structs.replace(
        request, command=msgspec.structs.replace(request.command, argv=["sh", "-c", script])
    )
    launch = runner.describe(request)
    assert (launch.environment["HF_TOKEN"], launch.environment["NGC_API_KEY"]) == ("***", "***")
    assert launch.argv[launch.argv.index(IMAGE) + 1 :] == ["/entry.sh", "sh", "-c", script]
    identity = await within(runner.start(request))
    assert await within(runner.wait(identity, request)) == RunEnd(0)
    lines = log_of(request).splitlines()
    assert lines[0].startswith("entered sh -c env;")
    environment = dict(line.split("=", 1) for line in lines if "=" in line)
    assert environment["HF_TOKEN"] == "hf_of_the_daemon"
    assert environment["NGC_API_KEY"] == "ngc_of_a_file"
    assert environment["HF_HUB_OFFLINE"] == environment["FROM_ENTRY"] == "1"
    assert environment["HF_HOME"] == f"{cache}/huggingface"
    assert "cannot write" in lines
    assert (weights / "made").exists() and (cache / "torch/made").exists()
    own = {name for _, name in socket.if_nameindex()}
    assert own == {line.split(":")[0].strip() for line in lines if re.match(r" *\w+: +\d", line)}
    # What docker inspect shows is in the documentation.
    assert "hf_of_the_daemon" in container_engine.docker("inspect", identity.handle or "")
    assert set(runner.secrets("classification_pyt", "train")) == {"hf_of_the_daemon", "ngc_of_a_file"}
    weights.rename(tmp_path / "moved")
    with pytest.raises(StartFailed, match=r"weights: there is no such folder to mount; create it, or correct"):
        await within(runner.start(run_of(tmp_path, "exit:0")))


async def test_results_belong_to_the_configured_user_and_data_cannot_be_written(
    container_engine: Engine, tmp_path: Path
) -> None:
    for folder in (tmp_path, *tmp_path.parents):
        if folder.owner() == "root" and str(folder) != "/":
            folder.chmod(folder.stat().st_mode | 0o055)
    data = tmp_path / "data"
    data.mkdir()
    data.chmod(0o777)
    request = run_of(tmp_path, "exit:0", reads=[str(data)])
    argv = ["sh", "-c", f"id -u; touch results/made; touch {data}/made || echo cannot write; cat /proc/net/dev"]
    request = RunRequest(
        request.job_id, 1, Command("n", "train", argv, "tlt-pytorch", reads=[str(data)]), request.folder
    )
    home = Path(request.folder)
    run = request.run_folder.path
    run.mkdir(parents=True)
    request.job_folder.log.touch()
    for path in (home, home / "results", run.parent, run, request.job_folder.log):
        os.chown(path, 4321, 4321)
    runner = docker(container_engine, user="4321:4321")
    assert (await within(runner.wait(await within(runner.start(request)), request))).exit_code == 0
    log = log_of(request)
    assert log.startswith("4321\n")
    assert "cannot write" in log
    assert not (data / "made").exists()
    assert (home / "results" / "made").stat().st_uid == 4321
    assert "eth0" not in log and "lo:" in log


async def test_more_memory_than_allowed_is_reported(docker_engine: Dockerd, tmp_path: Path) -> None:
    request = run_of(tmp_path, "eat")
    runner = docker(docker_engine, memory="24m")
    ended = await within(runner.wait(await within(runner.start(request)), request))
    assert ended.exit_code in (137, 143)
    assert ended.message.startswith("out of memory: more than the container's limit of 24m")


async def test_a_missing_image_is_reported_with_the_remedy(container_engine: Engine, tmp_path: Path) -> None:
    images = {"tlt-pytorch": "nowhere.invalid/tao:5"}
    runner = docker(container_engine, images=images)
    verdict = runner.can("classification_pyt", "train")
    assert not verdict.can
    assert "nowhere.invalid/tao:5 is not there" in verdict.reason
    assert "docker pull nowhere.invalid/tao:5" in verdict.remedy
    with pytest.raises(StartFailed, match=r"nowhere\.invalid/tao:5 is not there; `docker pull"):
        await within(runner.start(run_of(tmp_path, "exit:0")))
    # Where it may be downloaded: the registry's own words.
    pulling = docker(container_engine, images=images, pull="missing")
    assert pulling.can("classification_pyt", "train").can
    request = run_of(tmp_path, "exit:0")
    with pytest.raises(StartFailed, match=r"nowhere\.invalid"):
        await within(pulling.start(request))
    assert "[taod] downloading nowhere.invalid/tao:5" in log_of(request)
    assert not docker(container_engine, images={}).can("classification_pyt", "train").can


@pytest.mark.parametrize(
    ("tag", "labels", "release"),
    [
        ("latest", {"taod.release": "7.3.0"}, "7.3"),
        ("latest", {"org.opencontainers.image.version": "7.3.0"}, "7.3"),
        ("latest", {"org.opencontainers.image.version": "22.04"}, "5.0"),  # of the system that it was built on
        ("2.1", {"taod.release": "7.3"}, "7.3"),
        ("5.2.0-pyt", {"org.opencontainers.image.version": "7.3.0"}, "5.0"),
        ("latest", {}, "5.0"),
    ],
)
def test_a_local_images_labels_name_its_release(
    container_engine: Engine, tag: str, labels: dict[str, str], release: str
) -> None:
    image = f"localhost/taod-labelled:{tag}"
    changes = [word for name, value in labels.items() for word in ("--change", f"LABEL {name}={value}")]
    container_engine.docker("import", *changes, "-", image, given=EMPTY_TAR)
    runner = docker(container_engine, images={"tlt-pytorch": image})
    assert [each for each in ("5.0", "7.3") if runner.can_release("dino", "train", each).can] == [release]
    rejected = runner.can_release("dino", "train", {"5.0": "7.3", "7.3": "5.0"}[release])
    assert f"{image} is of release {release}" in rejected.reason


def test_a_label_with_an_unknown_release_is_reported(docker_engine: Dockerd) -> None:
    image = "taod-labelled:unknown"
    docker_engine.docker("import", "--change", "LABEL taod.release=8.1", "-", image, given=EMPTY_TAR)
    verdict = docker(docker_engine, images={"tlt-pytorch": image}).can_release("dino", "train", "7.3")
    assert not verdict.can
    assert "taod knows no release 8.1" in verdict.reason
    assert "7.3, the nearest known release" in verdict.remedy


def test_an_image_that_is_not_local_or_an_engine_that_is_gone_leaves_the_tag(
    docker_engine: Dockerd, tmp_path: Path
) -> None:
    for socket_ in (docker_engine.url, f"unix://{tmp_path}/none.sock"):
        runner = docker(docker_engine, socket=socket_, images={"tlt-pytorch": "taod-absent:7.3.0"})
        assert runner.can_release("dino", "train", "7.3").can


async def test_an_image_is_downloaded_from_its_registry_with_progress_in_the_log(
    container_engine: Engine, tmp_path: Path
) -> None:
    with engines.registry(container_engine.registry_port) as address:
        image = f"{address}/tao/pytorch:5.0"
        engines.build_image(container_engine, image, ballast=12 * 1024**2)
        container_engine.docker("push", image)
        container_engine.docker("rmi", image)
        runner = docker(container_engine, images={"tlt-pytorch": image}, pull="missing")
        request = run_of(tmp_path, "exit:0")
        assert await within(runner.wait(await within(runner.start(request)), request)) == RunEnd(0)
        log = log_of(request)
        # Podman reports bytes of long downloads only.
        there = "1 of 1 layers" if isinstance(container_engine, Podman) else "100% of"
        assert log.index(f"[taod] downloading {image}") < log.index(f"{image}: {there}") < log.index("arguments:")
        # It is there now: the next run downloads nothing.
        again = run_of(tmp_path, "exit:0")
        assert await within(runner.wait(await within(runner.start(again)), again)) == RunEnd(0)
        assert "downloading" not in log_of(again)
        # The registry has no such tag: its own words, and the run has never started.
        wrong = docker(container_engine, images={"tlt-pytorch": f"{address}/tao/pytorch:6.0"}, pull="missing")
        never = run_of(tmp_path, "exit:0")
        with pytest.raises(StartFailed, match=r"tao/pytorch:6\.0.*(not found|unknown)"):
            await within(wrong.start(never))
        assert await within(wrong.recover(never)) == (Claim.NEVER, None)
        container_engine.docker("rmi", image)


async def test_a_start_can_be_cancelled_while_its_image_is_downloaded(docker_engine: Dockerd, tmp_path: Path) -> None:
    asked = asyncio.Event()

    async def never_answers(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.set()
        await reader.read()
        writer.close()

    registry = await asyncio.start_server(never_answers, "127.0.0.1", 0)
    image = f"127.0.0.1:{registry.sockets[0].getsockname()[1]}/tao:5"
    runner = docker(docker_engine, images={"tlt-pytorch": image}, pull="missing")
    request = run_of(tmp_path, "exit:0")
    starting = asyncio.create_task(runner.start(request))
    await within(asked.wait())
    starting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await within(starting)
    assert await within(runner.recover(request)) == (Claim.NEVER, None)
    with pytest.raises(StartFailed, match="claimed"):
        await within(docker(docker_engine).start(request))
    registry.close()


def test_a_missing_engine_is_reported_with_the_remedy(tmp_path: Path) -> None:
    verdict = Docker(DockerConfig(socket=f"unix://{tmp_path}/none.sock")).can("dino", "train")
    assert not verdict.can
    assert f"no container engine answers at unix://{tmp_path}/none.sock" in verdict.reason
    assert "start Docker or podman" in verdict.remedy


async def test_data_that_is_gone_is_reported(container_engine: Engine, tmp_path: Path) -> None:
    request = run_of(tmp_path, "exit:0", reads=[str(tmp_path / "gone")])
    with pytest.raises(StartFailed, match="what the run reads is gone"):
        await within(docker(container_engine).start(request))


async def test_a_container_removed_by_hand_is_an_end_without_a_code(container_engine: Engine, tmp_path: Path) -> None:
    request = run_of(tmp_path, "wait")
    runner = docker(container_engine)
    identity = await within(runner.start(request))
    await ready(request)
    waiting = asyncio.create_task(runner.wait(identity, request))
    container_engine.docker("rm", "--force", identity.handle or "")
    ended = await within(waiting)
    # Podman lets the tool save first.
    assert ended.exit_code in (None, 137, 143)
    runner = docker(container_engine)
    assert (await within(runner.recover(request)))[0] is Claim.ENDED
    assert await within(runner.wait(identity, request)) == ended


async def test_docker_stop_by_hand_lets_the_tool_save(container_engine: Engine, tmp_path: Path) -> None:
    request = run_of(tmp_path, "wait")
    runner = docker(container_engine)
    identity = await within(runner.start(request))
    await ready(request)
    container_engine.docker("stop", identity.handle or "")
    assert await within(runner.wait(identity, request)) == RunEnd(143)
    assert "saved" in log_of(request)


async def test_a_folder_that_the_container_may_not_write_ends_the_run_in_words(
    container_engine: Engine, tmp_path: Path
) -> None:
    request = run_of(tmp_path, "exit:0")
    runner = docker(container_engine, user="4321:4321")
    ended = await within(runner.wait(await within(runner.start(request)), request))
    assert ended.exit_code != 0
    assert "log.txt" in ended.message or "cannot be written" in ended.message


async def test_ended_containers_are_removed_unless_they_are_to_be_kept(
    container_engine: Engine, tmp_path: Path
) -> None:
    for keep in (False, True):
        request = run_of(tmp_path, "exit:0")
        runner = docker(container_engine, keep=keep)
        await within(runner.wait(await within(runner.start(request)), request))
        assert (request.job_id in container_engine.docker("ps", "--all", "--format", "{{.Names}}")) is keep


@pytest.mark.slow
async def test_a_run_lives_on_when_the_engine_is_killed_and_its_end_is_reported_with_or_without_it(
    tmp_path: Path,
) -> None:
    # An engine of its own: others would lose theirs.
    with engines.dockerd() as engine:
        one, two = run_of(tmp_path, "wait"), run_of(tmp_path, "wait")
        runner = docker(engine)
        identities = [await within(runner.start(request)) for request in (one, two)]
        waits = [asyncio.create_task(runner.wait(i, r)) for i, r in zip(identities, (one, two), strict=True)]
        await ready(one)
        await ready(two)
        engine.kill()
        # While no engine answers, a run ends by itself.
        go(one)
        assert await within(waits[0]) == RunEnd(0)
        # The other continues under the next engine, for a new daemon as for the one that waits.
        await asyncio.to_thread(engine.start)
        fresh = docker(engine)
        assert (await within(fresh.recover(two)))[0] is Claim.LIVES
        await within(fresh.stop(identities[1], two, force=False))
        assert (await within(waits[1])).exit_code == 143
        assert log_of(two).count("saved") == 1


async def test_a_container_that_was_made_and_never_started_is_not_started_any_more(
    container_engine: Engine, tmp_path: Path
) -> None:
    request = run_of(tmp_path, "exit:0")
    runner = docker(container_engine)
    # As a daemon leaves it that is killed between the two questions to the engine.
    engine = engine_api.Engine(container_engine.url)
    engine.create(runner._container(request))
    assert await within(runner.recover(request)) == (Claim.NEVER, None)
    assert request.job_id not in container_engine.docker("ps", "--all", "--format", "{{.Names}}")
    # Or the engine starts it late.
    late = run_of(tmp_path, "exit:0")
    handle = engine.create(runner._container(late))
    assert docker(container_engine, socket="unix:///nowhere")._config.socket
    (late.run_folder.path).mkdir(parents=True)
    late.run_folder.claim.write_text("daemon\n")
    engine.start(handle)
    assert container_engine.docker("wait", handle) == "81"
    assert not late.job_folder.log.exists() or "arguments:" not in log_of(late)
    engine.remove(handle)
