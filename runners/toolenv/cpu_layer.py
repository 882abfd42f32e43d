"""Adds taod's CPU compatibility layer to an environment. What it does is described in `layer/taod_cpu_layer.py`."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

import msgspec

from runners.toolenv.spec import Layer

MODULE = "taod_cpu_layer"
SMI = "nvidia-smi"


def add(environment: Path, site: Path, layer: Layer) -> None:
    """Copy the layer into the environment's packages, and the stand-in of nvidia-smi into its bin folder."""
    source = files("runners.toolenv.layer")
    (site / f"{MODULE}.py").write_bytes((source / f"{MODULE}.py").read_bytes())
    (site / f"{MODULE}.json").write_bytes(msgspec.json.encode(layer))
    (site / f"{MODULE}.pth").write_text(f"import {MODULE}; {MODULE}.install()\n")
    program = environment / "bin" / SMI
    program.write_bytes((source / SMI).read_bytes())
    program.chmod(0o755)
