"""Each run has a TCP port of its own: reserved in the kernel, recorded, and used by real torchruns."""

from __future__ import annotations

import asyncio
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from runners import ports
from runners.environment import Rules
from runners.native import Native
from runners.protocol import Command, DeviceGrant, RunRequest
from runners.slurm.script import script
from taod.catalogue.commands.assemble import assemble
from taod.catalogue.commands.inputs import JobFacts
from taod.config import NativeConfig, SlurmConfig

TORCHRUN = shutil.which("torchrun", path=str(Path(sys.executable).parent))
MEET = """\
import os, pathlib, sys, torch.distributed as d
d.init_process_group("gloo")
here, other = pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2])
here.write_text(os.environ["MASTER_PORT"])
while not other.exists():
    d.barrier()
d.barrier()
"""


def listener(number: int) -> socket.socket:
    """A server as torch makes one."""
    server = socket.socket()
    server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    server.bind(("", number))
    server.listen()
    return server


def test_a_reserved_port_is_not_given_again_and_the_tool_can_listen_on_it(tmp_path: Path) -> None:
    port = ports.reserve()
    with socket.socket() as other, pytest.raises(OSError, match="in use"):
        other.bind(("", port.number))
    listener(port.number).close()
    port.record(tmp_path / "port")
    port.close()
    again = ports.reserve_again(tmp_path / "port")
    assert again is not None and again.number == port.number
    with socket.socket() as other, pytest.raises(OSError, match="in use"):
        other.bind(("", port.number))
    again.close()
    assert ports.reserve_again(tmp_path / "none") is None


def test_many_reservations_are_all_different() -> None:
    held = [ports.reserve() for _ in range(200)]
    assert len({port.number for port in held}) == 200
    for port in held:
        port.close()


def request(folder: Path, *argv: str) -> RunRequest:
    folder.mkdir()
    return RunRequest(
        f"job-{folder.name}", 1, Command("segformer", "train", ["segformer", *argv], ""), str(folder),
        [DeviceGrant("cpu:0", "cpu", 0)],
    )  # fmt: skip


async def test_a_run_holds_its_port_until_it_ends(tmp_path: Path) -> None:
    tool = tmp_path / "bin" / "segformer"
    tool.parent.mkdir()
    tool.write_text('#!/bin/sh\nmkfifo "$1"; cat "$1"; echo "$PET_MASTER_PORT $MASTER_PORT"\n')
    tool.chmod(0o755)
    runner = Native(NativeConfig(path=[str(tool.parent)]))
    fifo = tmp_path / "go"
    run = request(tmp_path / "a", str(fifo))
    identity = await runner.start(run)
    number = int(run.run_folder.port.read_text())
    with socket.socket() as other, pytest.raises(OSError, match="in use"):
        other.bind(("", number))
    while not fifo.is_fifo():  # noqa: ASYNC110 - the tool makes it at once
        await asyncio.sleep(0.01)
    await asyncio.to_thread(fifo.write_text, "")
    await runner.wait(identity, run)
    assert run.job_folder.log.read_text() == f"{number} {number}\n"
    with socket.socket() as other:
        other.bind(("", number))


@pytest.mark.skipif(TORCHRUN is None, reason="torch is not installed")
@pytest.mark.slow
async def test_two_torchruns_side_by_side_meet_on_ports_of_their_own(tmp_path: Path) -> None:
    """NVIDIA's segformer starts torchrun without a port; before torch 2.12 both then take 29500."""
    (tmp_path / "meet.py").write_text(MEET)
    tool = tmp_path / "bin" / "segformer"
    tool.parent.mkdir()
    tool.write_text(f'#!/bin/sh\nexec "{TORCHRUN}" --nproc_per_node=1 "$@"\n')
    tool.chmod(0o755)
    runner = Native(NativeConfig(path=[str(tool.parent)]))
    marks = [tmp_path / "mark-0", tmp_path / "mark-1"]
    runs = [
        request(tmp_path / str(place), str(tmp_path / "meet.py"), str(marks[place]), str(marks[1 - place]))
        for place in (0, 1)
    ]
    identities = [await runner.start(run) for run in runs]
    ended = await asyncio.gather(*(runner.wait(*pair) for pair in zip(identities, runs, strict=True)))
    logs = [run.job_folder.log.read_text() for run in runs]
    assert [end.exit_code for end in ended] == [0, 0], logs
    used = [mark.read_text() for mark in marks]
    assert used == [run.run_folder.port.read_text().strip() for run in runs]
    assert used[0] != used[1]


def pointpillars(folder: Path) -> RunRequest:
    """A training on two GPUs, with the specification file that taod writes for it."""
    folder.mkdir()
    facts = JobFacts(
        network="pointpillars", action="train", folder=folder, results=folder / "results", key="k", gpus=2,
        spec={"gpus": 2},
    )  # fmt: skip
    assembled = assemble(facts)
    assert assembled.spec_path is not None and assembled.spec_text is not None
    assembled.spec_path.write_text(assembled.spec_text)
    assert "tcp_port: 18888" in assembled.spec_text
    command = Command("pointpillars", "train", assembled.argv, assembled.image)
    return RunRequest(f"job-{folder.name}", 1, command, str(folder), [DeviceGrant("cpu:0", "cpu", 0)])


POINTPILLARS = f"""#!{sys.executable}
import argparse, yaml
parser = argparse.ArgumentParser()
parser.add_argument("--experiment_spec_file", "-e")
args, _ = parser.parse_known_args()
print(yaml.safe_load(open(args.experiment_spec_file))["train"]["tcp_port"])
"""


async def test_two_trainings_of_pointpillars_read_ports_of_their_own_in_their_specifications(tmp_path: Path) -> None:
    """Its entry point passes the field to torch.distributed.launch as --rdzv_endpoint, which overrides MASTER_PORT."""
    tool = tmp_path / "bin" / "pointpillars"
    tool.parent.mkdir()
    tool.write_text(POINTPILLARS)
    tool.chmod(0o755)
    runner = Native(NativeConfig(path=[str(tool.parent)]))
    runs = [pointpillars(tmp_path / name) for name in ("a", "b")]
    identities = [await runner.start(run) for run in runs]
    for identity, run in zip(identities, runs, strict=True):
        await runner.wait(identity, run)
    read = [run.job_folder.log.read_text() for run in runs]
    assert read == [run.run_folder.port.read_text() for run in runs]
    assert read[0] != read[1]


def test_a_batch_script_writes_its_port_into_the_specification_of_pointpillars(tmp_path: Path) -> None:
    run = pointpillars(tmp_path / "a")
    lines = script(run, SlurmConfig(), Rules()).splitlines()
    edit = next(line for line in lines if line.startswith("sed "))
    assert lines.index(f'echo "$MASTER_PORT" >{run.run_folder.port}') < lines.index(edit) < len(lines) - 1
    subprocess.run(["/bin/sh", "-c", edit], env={"MASTER_PORT": "23456", "PATH": "/usr/bin:/bin"}, check=True)
    assert "\n  tcp_port: 23456\n  random_seed: 42\n" in (tmp_path / "a" / "spec.yaml").read_text()


def test_jobs_of_one_node_take_ports_that_follow_from_their_numbers(tmp_path: Path) -> None:
    """A batch script chooses on its node; a port with a listener is skipped."""
    run = request(tmp_path / "a")
    text = script(run, SlurmConfig(), Rules())
    chosen = [line for line in text.splitlines() if "port" in line or "PORT" in line]
    assert f'echo "$MASTER_PORT" >{run.run_folder.port}' in chosen

    def port(job: int) -> int:
        shell = ports.SHELL + '\necho "$PET_MASTER_PORT"'
        answer = subprocess.run(
            ["/bin/sh", "-c", shell], env={"SLURM_JOB_ID": str(job), "PATH": "/usr/bin:/bin"},
            check=True, capture_output=True, text=True,
        )  # fmt: skip
        return int(answer.stdout)

    first = port(4711)
    assert port(4712) != first
    with listener(first):
        assert port(4711) != first
