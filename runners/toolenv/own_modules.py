"""Adds taod's own modules to an environment: the CPU compatibility layer, and packages that no index has.

What the layer does is described in `layer/taod_cpu_layer.py`.
"""

from __future__ import annotations

from collections.abc import Iterable
from importlib.resources import files
from pathlib import Path

import msgspec

from runners.toolenv.spec import Layer

MODULE = "taod_cpu_layer"
SMI = "nvidia-smi"
LAYER = files("runners.toolenv") / "layer"


def add_layer(environment: Path, site: Path, layer: Layer) -> None:
    """Copy the layer into the environment's packages, and the stand-in of nvidia-smi into its bin folder."""
    (site / f"{MODULE}.py").write_bytes((LAYER / f"{MODULE}.py").read_bytes())
    (site / f"{MODULE}.json").write_bytes(msgspec.json.encode(layer))
    (site / f"{MODULE}.pth").write_text(f"import {MODULE}; {MODULE}.install()\n")
    program = environment / "bin" / SMI
    program.write_bytes((LAYER / SMI).read_bytes())
    program.chmod(0o755)


def supply(site: Path, packages: Iterable[str]) -> None:
    """Copy taod's own versions of packages that are not installed."""
    for package in packages:
        folder = site / package
        if folder.exists():
            continue
        aside = site / f"~{package}"
        aside.mkdir(exist_ok=True)
        for file in (LAYER / "supplied" / package).iterdir():
            if file.name.endswith(".py"):
                (aside / file.name).write_bytes(file.read_bytes())
        aside.rename(folder)
