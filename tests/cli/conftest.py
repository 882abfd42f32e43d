"""A real daemon as a process, a scripted tool that the specification controls, and the command line to drive it."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import tarfile
import time
from collections.abc import Callable, Iterator
from contextlib import aclosing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from taod.cli.main import command
from taod.client import AsyncClient
from taod.client.find import find
from tests.patience import PATIENCE_S
from tests.user_manager import manager as manager

REPOSITORY = Path(__file__).parents[2]

TOOL = """#!/bin/sh
# A network's entry point. The loss of the specification controls it: `wait` for a line at the gate, `fail`, or succeed.
action=$1
while [ $# -gt 0 ]; do
  case $1 in
    --results_dir=*) results=${1#--results_dir=} ;;
    --results_dir) results=$2 ;;
    --experiment_spec_file=*) spec=${1#--experiment_spec_file=} ;;
  esac
  shift
done
results=${results%/}
mkdir -p "$results/train"
trap 'echo stopped; exit 143' TERM
echo "starting $action"
if grep -q 'type: wait$' "$spec"; then read line < "@GATE@"; fi
if grep -q 'type: fail$' "$spec"; then
  echo '{"status": "FAILURE", "message": "CUDA out of memory [GPU 0]"}' >> "$results/status.json"
  exit 1
fi
printf 'weights' > "$results/train/epoch_1.pth"
printf 'graph' > "$results/model.onnx"
echo '{"epoch": 1, "max_epoch": 1, "status": "RUNNING", "message": "Training", "kpi": {"loss": 0.5}}' \\
  >> "$results/status.json"
echo '{"status": "SUCCESS", "message": "Finished"}' >> "$results/status.json"
"""

PNG = bytes.fromhex(
    "89504e470d0a1a0a0000000d4948445200000001000000010802000000907753de0000000c49444154"
    "08d763f8ffff3f0005fe02fe0def46b80000000049454e44ae426082"
)


@dataclass
class Daemon:
    """A daemon, its process, and the commands that run on it."""

    root: Path
    process: subprocess.Popen[str]
    gate: int

    @property
    def environment(self) -> dict[str, str]:
        """The environment of commands: the root, and the width of a terminal."""
        return {"TAOD_ROOT": str(self.root), "COLUMNS": "200", "PYTHONPATH": str(REPOSITORY)}

    def with_images(self, folder: Path) -> Daemon:
        """Create the dataset `ready images`."""
        linked = self.id("dataset", "create", "image_classification", "classification_pyt", "name=ready images")
        self.run("dataset", "link", linked, str(folder))
        return self

    def run(self, *arguments: str, code: int = 0, stdin: str | None = None, **environment: str) -> Result:
        """One command in this process; its exit code must be `code`."""
        runner = CliRunner(env=self.environment | environment)
        result = runner.invoke(command(), list(arguments), prog_name="taod", input=stdin)
        known = result.exception is None or isinstance(result.exception, SystemExit)
        assert known, "".join(map(str, [result.output, result.exc_info]))
        assert result.exit_code == code, f"taod {' '.join(arguments)}: {result.exit_code}\n{result.output}"
        return result

    def json(self, *arguments: str, code: int = 0) -> Any:
        """The JSON that a command prints."""
        return json.loads(self.run(*arguments, "--json", code=code).stdout)

    def id(self, *arguments: str, code: int = 0) -> str:
        """The one id that a command prints with --quiet."""
        (id,) = self.ids(*arguments, code=code)
        return id

    def ids(self, *arguments: str, code: int = 0) -> list[str]:
        return self.run(*arguments, "--quiet", code=code).stdout.split()

    def error(self, *arguments: str, code: int = 1, stdin: str | None = None) -> str:
        """The error of a command that must fail, on one line."""
        result = self.run(*arguments, code=code, stdin=stdin)
        assert "Traceback" not in result.stderr
        return " ".join(result.stderr.replace("│", " ").split())

    def process_run(self, *arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
        """Run one command as a user does, in its own process."""
        return subprocess.run(
            [sys.executable, "-m", "taod", *arguments],
            capture_output=True,
            text=True,
            env={"PATH": os.environ["PATH"], "HOME": str(cwd), **self.environment},
            cwd=cwd,
            timeout=PATIENCE_S,
        )

    def model(self, does: str = "", **fields: str) -> str:
        """Create a model that can be trained; returns its id. `does` controls the tool: `wait`, `fail`, or succeed."""
        data = self.ids("dataset", "ls", "--name", "ready images")[0]
        pairs = {"train_datasets": data, "eval_dataset": data, **fields}
        model = self.id("model", "create", "classification_pyt", *(f"{name}={value}" for name, value in pairs.items()))
        if does:
            self.run("model", "spec", "edit", model, "train", f"model.head.loss.type={does}")
        return model

    def first_output(self, job_id: str) -> str:
        """Wait until a run writes to its log; returns that output."""

        async def read() -> bytes:
            async with AsyncClient.from_info(find(self.root)) as client, aclosing(client.logs.follow(job_id)) as pieces:
                return await anext(pieces)

        return asyncio.run(asyncio.wait_for(read(), PATIENCE_S)).decode()

    def until(self, *arguments: str, holds: Callable[[Any], bool]) -> Any:
        """Run a command until its JSON satisfies a condition; returns that JSON. Fails after PATIENCE_S."""
        end = time.monotonic() + PATIENCE_S
        while not holds(answer := self.json(*arguments)):
            assert time.monotonic() < end, answer
            time.sleep(0.1)
        return answer

    def open_gate(self) -> None:
        """Let one tool that waits at the gate continue."""
        os.write(self.gate, b"go\n")


@pytest.fixture(scope="session")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in the layout of format classification_pyt."""
    folder = tmp_path_factory.mktemp("images")
    for name in ("cat", "dog"):
        class_folder = folder / "images_train" / name
        class_folder.mkdir(parents=True)
        (class_folder / "1.png").write_bytes(PNG)
    (folder / "classes.txt").write_text("cat\ndog\n")
    return folder


@pytest.fixture(scope="session")
def archive(images: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The images as an archive."""
    path = tmp_path_factory.mktemp("archive") / "images.tar.gz"
    with tarfile.open(path, "w:gz") as out:
        for entry in sorted(images.iterdir()):
            out.add(entry, entry.name)
    return path


@pytest.fixture(scope="session")
def start(tmp_path_factory: pytest.TempPathFactory) -> Callable[[Path], subprocess.Popen[str]]:
    """A function that starts `taod serve` on a root and returns once it serves."""

    def serve(root: Path, **environment: str) -> subprocess.Popen[str]:
        errors = (root.parent / f"{root.name}.err").open("a")
        process = subprocess.Popen(
            [sys.executable, "-m", "taod", "serve", "--root", str(root), "--port", "0"],
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
            cwd=root.parent,
            env=os.environ | {"PYTHONPATH": str(REPOSITORY)} | environment,
        )
        errors.close()
        assert process.stdout is not None
        assert process.stdout.readline(), (root.parent / f"{root.name}.err").read_text()
        return process

    return serve


@pytest.fixture(scope="module")
def daemon(
    tmp_path_factory: pytest.TempPathFactory, images: Path, start: Callable[..., subprocess.Popen[str]]
) -> Iterator[Daemon]:
    """One daemon for all tests of a file, with a dataset `ready images`."""
    folder = tmp_path_factory.mktemp("daemon")
    gate_path, tools = folder / "gate", folder / "bin"
    os.mkfifo(gate_path)
    gate = os.open(gate_path, os.O_RDWR)
    tools.mkdir()
    (tools / "classification_pyt").write_text(TOOL.replace("@GATE@", str(gate_path)))
    (tools / "classification_pyt").chmod(0o755)
    (folder / "taod.toml").write_text(
        f'storage.link_roots = ["{images.parent}"]\nscheduler.grace_s = 120.0\ndevices.gpus = false\n'
        f'[runner]\norder = ["native"]\nnative.path = ["{tools}"]\n'
    )
    root = folder / "root"
    process = start(root)
    running = Daemon(root, process, gate).with_images(images)
    yield running
    process.send_signal(signal.SIGTERM)
    process.wait(PATIENCE_S)
    assert process.stdout is not None
    process.stdout.close()
    os.close(gate)
