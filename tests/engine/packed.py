"""Runs an exported model by the script of `taod model pack`, which knows nothing of the engine."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

import msgspec

from taod.cli.support import pack
from taod.cli.support.pack import onnx_file
from taod.cli.support.pack.description import describe


def run_packed(onnx: Path, images: Iterable[Path], folder: Path, *options: str) -> list[str]:
    """The lines that the script prints for the images, with nothing beside it but model.json and the model."""
    folder.mkdir()
    shutil.copy(onnx, folder / "model.onnx")
    about = describe(
        onnx_file.read(onnx), name="a model", network="n", release="5.0", path="model.onnx", classes=["unused"]
    )
    (folder / "model.json").write_bytes(msgspec.json.encode(about))
    shutil.copy(Path(pack.__file__).with_name("run_model.py"), folder)
    command = [sys.executable, str(folder / "run_model.py"), *map(str, images), *options]
    ran = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=300)
    assert ran.returncode == 0, ran.stderr
    return ran.stdout.splitlines()
