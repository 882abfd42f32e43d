"""A whole training by the native runner, with only an installed `taod` and a shell script as the tool."""

from __future__ import annotations

import io
import subprocess
import tarfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.patience import PATIENCE_S

TOOL = """#!/bin/sh
# The entry point of a network. It lists its environment, and reports one epoch.
for word; do case $word in --results_dir=*) results=${word#--results_dir=} ;; esac; done
mkdir -p "$results/train"
env
echo "starting $1 under $(command -v python3 || echo no Python)"
printf weights > "$results/train/epoch_1.pth"
echo '{"epoch": 1, "max_epoch": 1, "status": "RUNNING", "message": "Training", "kpi": {"loss": 0.5}}' \\
  >> "$results/status.json"
echo '{"status": "SUCCESS", "message": "Finished"}' >> "$results/status.json"
"""
PNG = bytes.fromhex(
    "89504e470d0a1a0a0000000d4948445200000001000000010802000000907753de0000000c49444154"
    "08d763f8ffff3f0005fe02fe0def46b80000000049454e44ae426082"
)
SETTINGS = """\
[server]
port = 0
[devices]
gpus = false
[runner]
order = ["native"]
[runner.native]
path = ["{folder}/tools"]
[[notify.target]]
name = "file"
command = ["/bin/sh", "-c", "cat >>{folder}/notified"]
events = ["done"]
"""

Taod = Callable[..., str]
"""Runs a command, which must succeed; returns its output."""


def prepare(folder: Path, seen_as: Path | None = None) -> None:
    """Write tool, data and settings into a folder, which the commands see as `seen_as`."""
    seen_as = seen_as or folder
    tool = folder / "tools/classification_pyt"
    tool.parent.mkdir(parents=True)
    tool.write_text(TOOL)
    tool.chmod(0o755)
    with tarfile.open(folder / "images.tar", "w") as out:
        for name, content in (
            ("images_train/cat/1.png", PNG),
            ("images_train/dog/1.png", PNG),
            ("classes.txt", b"cat\ndog\n"),
        ):
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            out.addfile(entry, io.BytesIO(content))
    (folder / "taod.toml").write_text(SETTINGS.format(folder=seen_as))


@contextmanager
def daemon(taod: Taod, folder: Path) -> Iterator[None]:
    """Serve `folder`/root in the background."""
    taod("serve", "--detach", "--root", f"{folder}/root", "--config", f"{folder}/taod.toml")
    try:
        yield
    finally:
        taod("stop", "--root", f"{folder}/root")


def train(taod: Taod, folder: Path) -> str:
    """Upload data and train a model on it; returns the log of the job."""
    root = ["--root", f"{folder}/root"]
    data = taod("dataset", "create", "image_classification", "classification_pyt", "--quiet", *root).strip()
    taod("dataset", "upload", data, f"{folder}/images.tar", *root)
    model = taod("model", "create", "classification_pyt", f"train_datasets={data}", "--quiet", *root).strip()
    job = taod("model", "run", model, "train", "--quiet", *root).strip()
    taod("job", "wait", job, *root)
    assert "epoch_1.pth" in taod("job", "files", job, "--quiet", *root)
    return taod("job", "log", job, *root)


def use_each_process(taod: Taod, folder: Path, seen_here: Path | None = None) -> None:
    """What the daemon does in processes of its own program: long bodies, checks of data, proposals, messages.

    `seen_here`: the folder as this process sees it.
    """
    root = ["--root", f"{folder}/root"]
    data = taod("dataset", "ls", "--quiet", *root).split()[0]
    end = time.monotonic() + PATIENCE_S
    while "Checked 2 items with 2 labels: nothing is wrong" not in (said := taod("dataset", "report", data, *root)):
        assert time.monotonic() < end, said
    words = f"description={'long ' * 1000}"  # more than 4 KB are read in a process
    model = taod("model", "create", "classification_pyt", f"train_datasets={data}", words, "--quiet", *root).strip()
    taod("model", "set", model, "automl_enabled=true", "automl_max_recommendations=1", *root)
    sweep = taod("model", "run", model, "train", "--quiet", *root).strip()
    taod("job", "wait", sweep, *root)
    taod("notify", "test", "file", *root)
    assert '"event":"test"' in ((seen_here or folder) / "notified").read_text()


def program(words: list[str], environment: dict[str, str]) -> Taod:
    """Calls taod by these words."""

    def call(*arguments: str) -> str:
        done = subprocess.run(
            [*words, *arguments],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            env=environment,
            cwd="/",
            timeout=PATIENCE_S,
            check=False,
        )
        said = f"taod {' '.join(arguments)}: {done.returncode}\n{done.stdout}{done.stderr}"
        assert done.returncode == 0, said
        return done.stdout

    return call
