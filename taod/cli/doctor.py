"""`taod doctor`: what this machine has for taod, what it lacks, and what to do about each."""

from __future__ import annotations

import os
import shutil
import sqlite3
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

import psutil
import rich_click as click
from rich.console import Console

from taod.cli.options import config_option, configured, root_option
from taod.cli.output import json_option, print_json
from taod.client.errors import NoDaemon
from taod.client.find import find
from taod.config import Config

ENGINE = ("torch", "transformers", "onnx", "onnxruntime", "numpy", "PIL", "sklearn")
LOW_DISK = 20 * 1024**3


class Finding(NamedTuple):
    """One thing looked at. `remedy` is empty where nothing need be done."""

    ok: bool
    what: str
    found: str
    remedy: str = ""


@click.command()
@root_option
@config_option
@json_option
def doctor(root: Path | None, config_file: Path | None, as_json: bool) -> None:
    """Look at the machine and the configuration; exit 1 when something that taod needs is missing."""
    findings = list(examine(configured(config_file, root)))
    if as_json:
        print_json([finding._asdict() for finding in findings])
    else:
        _print(findings)
    raise SystemExit(0 if all(finding.ok for finding in findings) else 1)


def _print(findings: list[Finding]) -> None:
    console = Console()
    for finding in findings:
        mark = "[green]✓[/]" if finding.ok else "[yellow]✗[/]"
        console.print(f"{mark} {finding.what:<10} {finding.found}", highlight=False, soft_wrap=True)
        if finding.remedy:
            console.print(f"  {'':<10} → {finding.remedy}", style="dim", highlight=False, soft_wrap=True)


def examine(config: Config) -> Iterator[Finding]:
    """Everything that a run could miss, cheap to look at."""
    version = sys.version_info
    yield Finding(version >= (3, 11), "python", f"{version.major}.{version.minor}.{version.micro} at {sys.executable}")
    yield _sqlite()
    yield _engine()
    yield from _runners(config)
    yield _devices(config)
    yield from _root(config.root)
    yield _daemon(config.root)


def _sqlite() -> Finding:
    ok = sqlite3.sqlite_version_info >= (3, 37)
    return Finding(ok, "sqlite", sqlite3.sqlite_version, "" if ok else "STRICT tables need SQLite 3.37 or newer")


def _engine() -> Finding:
    missing = [name for name in ENGINE if find_spec(name) is None]
    if missing:
        return Finding(False, "engine", f"without {', '.join(missing)}", "pip install 'taod[engine]'")
    return Finding(True, "engine", "the embedded engine's libraries are installed")


def _runners(config: Config) -> Iterator[Finding]:
    from runners.docker import doctor as docker
    from runners.registry import RunnerRegistry

    registry = RunnerRegistry.from_config(config.runner)
    choice = registry.choose("classification_pyt", "train")
    named = choice.runner.name if choice.runner else choice.reason
    yield Finding(choice.runner is not None, "runners", f"classification_pyt train: {named}", choice.remedy)
    yield from (Finding(*check) for check in docker.examine(config.runner))


def _devices(config: Config) -> Finding:
    from taod.cli.serve import describe
    from taod.scheduler.devices import DevicePool

    devices = DevicePool.detect(config.devices).devices
    cores = psutil.cpu_count()
    remedy = "" if devices else "set devices.cpu_slots = 1, or see why `nvidia-smi` shows no GPU"
    return Finding(bool(devices), "devices", f"{describe(devices)}; {cores} cores", remedy)


def _root(root: Path) -> Iterator[Finding]:
    existing = next(folder for folder in (root, *root.parents) if folder.exists())
    writable = os.access(existing, os.W_OK | os.X_OK)
    remedy = "" if writable else f"make {existing} writable, or choose another by --root or TAOD_ROOT"
    yield Finding(writable, "root", f"{root}{'' if root.exists() else ' (not made yet)'}", remedy)
    free = shutil.disk_usage(existing).free
    yield Finding(
        free >= LOW_DISK,
        "disk",
        f"{free / 1024**3:.0f} GiB free",
        "" if free >= LOW_DISK else "checkpoints and data sets are large: free some, or move the root",
    )


def _daemon(root: Path) -> Finding:
    try:
        info = find(root, None, None)
    except NoDaemon:
        return Finding(True, "daemon", "none is running over this root", "`taod serve` starts one")
    return Finding(True, "daemon", f"{info.url}, pid {info.pid}, version {info.version}")
