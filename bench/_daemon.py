"""A real daemon for benchmarks, with a tool that only records its start and end."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

from taod.client import AsyncClient
from taod.client.find import find
from taod.types.dataset import DatasetCreate
from taod.types.model import ModelCreate

TOOL = r"""#!/bin/bash
# Stands for a TAO tool: records its start, reports lines, records its end.
began=$EPOCHREALTIME
for argument in "$@"; do case $argument in --results_dir=*) results=${argument#*=} ;; esac; done
echo "$began" > "$results/began"
echo "$$" > "$results/pid"
for ((line = 1; line <= ${BENCH_LINES:-0}; line++)); do
  sleep 0.05
  printf '{"status": "RUNNING", "epoch": %d, "message": "%s", "kpi": {"loss": 1.0}}\n' "$line" "$EPOCHREALTIME" \
    >> "$results/status.json"
done
echo '{"status": "SUCCESS", "message": "done"}' >> "$results/status.json"
echo "$EPOCHREALTIME" > "$results/ended"
"""


def milliseconds(seconds: list[float]) -> str:
    """Median and maximum of durations, as text."""
    return f"{statistics.median(seconds) * 1000:.1f} ms (max {max(seconds) * 1000:.0f} ms, n = {len(seconds)})"


@contextmanager
def serving(lines: int = 0, *, tool: str = TOOL, config: str = "", tree: Path | None = None) -> Iterator[Path]:
    """Run a daemon on a temporary root with a tool as `classification_pyt`; `config` is appended to its taod.toml.
    `tree`: another checkout whose daemon it is. Yields the root."""
    with tempfile.TemporaryDirectory(prefix="taod-bench-") as folder:
        tools = Path(folder) / "bin"
        tools.mkdir()
        (tools / "classification_pyt").write_text(tool.replace("${BENCH_LINES:-0}", str(lines)))
        (tools / "classification_pyt").chmod(0o755)
        file = Path(folder) / "taod.toml"
        file.write_text(f'[runner]\norder = ["native"]\n[runner.native]\npath = ["{tools}"]\n{config}')
        root = Path(folder) / "root"
        command = [sys.executable, "-m", "taod", "serve", "--root", str(root), "--port", "0", "--config", str(file)]
        environment = os.environ | ({} if tree is None else {"PYTHONPATH": str(tree)})
        daemon = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment, cwd=tree)
        try:
            assert daemon.stdout is not None
            assert daemon.stdout.readline(), "the daemon did not start"
            yield root
        finally:
            daemon.terminate()
            try:
                daemon.wait(30 if tree is None else 5)
            except subprocess.TimeoutExpired:
                daemon.kill()
                daemon.wait()


@asynccontextmanager
async def model(root: Path) -> AsyncIterator[tuple[AsyncClient, str]]:
    """Yields a client, and the id of a model that is ready to train."""
    async with AsyncClient.from_info(find(root)) as client:
        data = await client.datasets.create(
            DatasetCreate(type="image_classification", format="classification_pyt", name="two images")
        )
        await client.datasets.upload(data.id, _two_images(root.parent))
        made = await client.models.create(
            ModelCreate(network_arch="classification_pyt", name="bench", train_datasets=[data.id], eval_dataset=data.id)
        )
        yield client, made.id


def _two_images(folder: Path) -> Path:
    from PIL import Image

    for name in ("a", "b"):
        (folder / "images_train" / name).mkdir(parents=True)
        Image.new("RGB", (8, 8)).save(folder / "images_train" / name / "1.png")
    (folder / "classes.txt").write_text("a\nb\n")
    archive = folder / "two.tar.gz"
    with tarfile.open(archive, "w:gz") as out:
        out.add(folder / "classes.txt", "classes.txt")
        out.add(folder / "images_train", "images_train")
    return archive
