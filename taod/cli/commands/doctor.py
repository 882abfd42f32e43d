"""`taod doctor`: what this machine has for taod, what it lacks, and what to do about each."""

from __future__ import annotations

import os
import shutil
import sqlite3
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import psutil
import rich_click as click
from rich.console import Console

from taod.cli.commands.doctor_root import examine_root, is_served
from taod.cli.support.check_result import Finding
from taod.cli.support.options import config_option, configured, root_option
from taod.cli.support.output import json_option, print_json
from taod.client.errors import NoDaemon
from taod.client.find import find
from taod.config import Config
from taod.paths import Root

ENGINE = ("torch", "transformers", "onnx", "onnxruntime", "numpy", "PIL", "sklearn")
LOW_DISK = 20 * 1024**3


@click.command()
@root_option
@config_option
@click.option("--fix", is_flag=True, help="Mend what can be mended without losing anything.")
@json_option
def doctor(root: Path | None, config_file: Path | None, fix: bool, as_json: bool) -> None:
    """Look at the machine, the configuration and the root; exit 1 when something that taod needs is missing."""
    findings = list(examine(configured(config_file, root)))
    if fix:
        findings = [finding.mended() for finding in findings]
    if as_json:
        print_json([finding.shown() for finding in findings])
    else:
        _print(findings)
    raise SystemExit(0 if all(finding.ok for finding in findings) else 1)


def _print(findings: list[Finding]) -> None:
    console = Console()
    for finding in findings:
        mark = "[green]✓[/]" if finding.ok else "[yellow]✗[/]"
        console.print(f"{mark} {finding.what:<10} {finding.found}", highlight=False, soft_wrap=True)
        if finding.fixed:
            console.print(f"  {'':<10} → mended: {finding.fixed}", style="dim", highlight=False, soft_wrap=True)
        elif finding.remedy:
            more = " (or --fix)" if finding.fix is not None else ""
            console.print(f"  {'':<10} → {finding.remedy}{more}", style="dim", highlight=False, soft_wrap=True)


def examine(config: Config) -> Iterator[Finding]:
    """Everything that a run could miss, cheap to look at."""
    version = sys.version_info
    yield Finding(version >= (3, 11), "python", f"{version.major}.{version.minor}.{version.micro} at {sys.executable}")
    yield _sqlite()
    yield _engine()
    yield from _runners(config)
    yield from _devices(config)
    yield _memory_limit(config)
    yield from _root(config.root)
    if config.root.is_dir():
        yield from examine_root(Root(config.root))
    yield _daemon(config.root)
    yield _port(config)


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


def _devices(config: Config) -> Iterator[Finding]:
    from taod.cli.commands.serve import describe
    from taod.scheduler.devices.inventory import DevicePool
    from taod.scheduler.devices.nvml import Nvml

    pool = DevicePool.detect(config.devices)
    pool.read()
    devices = pool.devices
    cores = psutil.cpu_count()
    remedy = "" if devices else "set devices.cpu_slots = 1, or see why `nvidia-smi` shows no GPU"
    yield Finding(bool(devices), "devices", f"{describe(devices)}; {cores} cores", remedy)
    nvml = Nvml.open() if config.devices.gpus else None
    if nvml is None:
        yield Finding(
            True, "nvml", "not asked (devices.gpus)" if not config.devices.gpus else "no NVIDIA driver answers"
        )
        return
    gpus = [f"{gpu.name} ({gpu.uuid})" for gpu in nvml.gpus()]
    yield Finding(True, "nvml", f"driver {nvml.driver() or 'of unknown version'}: {', '.join(gpus) or 'no GPU'}")
    own = [] if is_served(Root(config.root)) else pool.snapshot([], [])  # Else the runs on them may be the daemon's.
    for device in own:
        if device.busy_reason:
            remedy = 'end it, or set devices.foreign = "ignore" or devices.exclude'
            yield Finding(False, "nvml", f"{device.name} is {device.busy_reason}", remedy)


def _memory_limit(config: Config) -> Finding:
    from runners.cgroup import way

    rules = any(rule.memory_bytes for rule in config.supervision.rule)
    wanted = bool(config.supervision.memory_bytes) or rules
    found = way()
    if not found.refusal:
        how = "systemd" if found.systemd else str(found.folder)
        return Finding(True, "memory", f"runs can be limited, by {how}")
    remedy = "run taod under a systemd user session, or set supervision.memory_bytes = 0" if wanted else ""
    return Finding(not wanted, "memory", f"runs cannot be limited: {found.refusal}", remedy)


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
        "" if free >= LOW_DISK else "checkpoints and datasets are large: free some, or move the root",
    )


def _daemon(root: Path) -> Finding:
    try:
        info = find(root, None, None)
    except NoDaemon:
        return Finding(True, "daemon", "none is running over this root", "`taod serve` starts one")
    return Finding(True, "daemon", f"{info.url}, pid {info.pid}, version {info.version}")


def _port(config: Config) -> Finding:
    """Whether the next daemon could listen."""
    host, port = config.server.host, config.server.port
    if port == 0:
        return Finding(True, "port", "a free one is taken at the start")
    if is_served(Root(config.root)):
        return Finding(True, "port", f"{host}:{port}; this root's daemon is running")
    from taod.daemon import bind
    from taod.errors import ConfigError

    try:
        bind(host, port).close()
    except (ConfigError, OSError) as error:
        remedy = f"see `ss -ltnp sport = :{port}`, or take another: --port N, --port 0 for a free one"
        return Finding(False, "port", str(error).partition(";")[0], remedy)
    return Finding(True, "port", f"{host}:{port} is free")
