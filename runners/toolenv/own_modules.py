"""Adds taod's own modules to an environment: the CPU compatibility layer, and packages that no index offers.

`layer/taod_cpu_layer.py` describes the layer.
"""

from __future__ import annotations

from collections.abc import Iterable
from importlib.resources import files
from pathlib import Path

import msgspec

from runners.toolenv.spec import ToolSpec
from taod.errors import Unavailable

MODULE = "taod_cpu_layer"
SMI = "nvidia-smi"
LAYER = files("runners.toolenv") / "layer"


def add(environment: Path, spec: ToolSpec, *, cpu: bool) -> None:
    """Copy the modules of taod that the tool needs, in their present version. Raises Unavailable without
    site-packages."""
    site = site_packages(environment)
    supply(site, spec.supplies)
    if cpu or spec.absent:
        add_layer(site, spec, cpu=cpu)
    if cpu:
        add_smi(environment)


def site_packages(environment: Path) -> Path:
    """The folder of the environment's packages. Raises Unavailable if there is none."""
    found = next(environment.glob("lib/python*/site-packages"), None)
    if found is None:
        raise Unavailable(f"{environment} has no site-packages; remove it with `taod tools rm {environment.name}`")
    return found


class LayerConfig(msgspec.Struct):
    """Configuration that the layer reads when Python starts."""

    cpu: bool
    modules: list[str]
    """Packages that get stand-ins."""
    operators: list[str]


def add_layer(site: Path, spec: ToolSpec, *, cpu: bool) -> None:
    """Copy the layer into the environment's packages; without `cpu` it only replaces absent packages."""
    modules = [*spec.absent, *(spec.layer.modules if cpu else [])]
    config = LayerConfig(cpu, modules, spec.layer.operators)
    (site / f"{MODULE}.py").write_bytes((LAYER / f"{MODULE}.py").read_bytes())
    (site / f"{MODULE}.json").write_bytes(msgspec.json.encode(config))
    (site / f"{MODULE}.pth").write_text(f"import {MODULE}; {MODULE}.install()\n")


def add_smi(environment: Path) -> None:
    """Put the stand-in of nvidia-smi into the environment's bin folder."""
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
