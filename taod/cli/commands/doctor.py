"""`taod doctor`: checks of this machine, the configuration and the root, each with a remedy."""

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

from taod.cli.commands.doctor_root import examine_root, is_served
from taod.cli.support.check_result import CheckResult
from taod.cli.support.options import config_option, configured, root_option
from taod.cli.support.output import console, json_option, print_json
from taod.client.errors import NoDaemon
from taod.client.find import find
from taod.config import Config
from taod.paths import Root
from taod.types.reason_text import text

ENGINE = ("torch", "transformers", "onnx", "onnxruntime", "numpy", "PIL", "sklearn")
LOW_DISK = 20 * 1024**3


@click.command()
@root_option
@config_option
@click.option("--fix", is_flag=True, help="Repair what can be repaired without losing data.")
@json_option
def doctor(root: Path | None, config_file: Path | None, fix: bool, as_json: bool) -> None:
    """Check the machine, the configuration and the root. Exit 1 if a check fails."""
    results = list(examine(configured(config_file, root)))
    if fix:
        results = [result.repaired() for result in results]
    if as_json:
        print_json([result.shown() for result in results])
    else:
        _print(results)
    raise SystemExit(0 if all(result.ok for result in results) else 1)


def _print(results: list[CheckResult]) -> None:
    from rich.text import Text

    out = console()
    for result in results:
        mark = Text("✓", "green") if result.ok else Text("✗", "yellow")
        out.print(mark, f"{result.name:<10} {result.found}", highlight=False, soft_wrap=True)
        if result.fixed:
            out.print(f"  {'':<10} → repaired: {result.fixed}", style="dim", highlight=False, soft_wrap=True)
        elif result.remedy:
            more = " (or --fix)" if result.fix is not None else ""
            out.print(f"  {'':<10} → {result.remedy}{more}", style="dim", highlight=False, soft_wrap=True)


def examine(config: Config) -> Iterator[CheckResult]:
    """All checks, in the order of the output. Each is cheap."""
    version = sys.version_info
    yield CheckResult(
        version >= (3, 11), "python", f"{version.major}.{version.minor}.{version.micro} at {sys.executable}"
    )
    yield _sqlite()
    yield _engine()
    yield from _runners(config)
    yield from _devices(config)
    yield _memory_limit(config)
    yield from _root(config.root)
    if config.root.is_dir():
        yield from examine_root(Root(config.root))
    yield from _notifications(config)
    yield from _trackers(config)
    yield _daemon(config.root)
    yield _port(config)


def _sqlite() -> CheckResult:
    ok = sqlite3.sqlite_version_info >= (3, 37)
    return CheckResult(ok, "sqlite", sqlite3.sqlite_version, "" if ok else "STRICT tables need SQLite 3.37 or newer")


def _engine() -> CheckResult:
    missing = [name for name in ENGINE if find_spec(name) is None]
    if missing:
        return CheckResult(False, "engine", f"without {', '.join(missing)}", "pip install 'taod[engine]'")
    return CheckResult(True, "engine", "the embedded engine's libraries are installed")


def _runners(config: Config) -> Iterator[CheckResult]:
    from runners.docker import doctor as docker
    from runners.registry import RunnerRegistry
    from taod.catalogue.releases import BASE, KNOWN

    registry = RunnerRegistry.from_config(config.runner, tools=config.tools_folder, cache=config.cache_folder)
    release = registry.release("classification_pyt", "train", KNOWN[::-1]) or BASE
    choice = registry.choose("classification_pyt", "train", release=release)
    chosen = choice.runner.name if choice.runner else choice.reason
    yield CheckResult(choice.runner is not None, "runners", f"classification_pyt train: {chosen}", choice.remedy)
    yield from (CheckResult(*check) for check in docker.examine(config.runner))
    yield from _tools(config)


def _tools(config: Config) -> Iterator[CheckResult]:
    from runners.toolenv.environments import Environments
    from taod.types.tool import ToolState

    found = Environments(config.tools_folder).all()
    if not found:
        yield CheckResult(True, "tools", "none is installed as a package", "`taod tools ls` shows what there is")
    for each in found:
        cpu = " --cpu" if each.cpu else ""
        resume = (
            f"`taod tools install {each.tool} --release {each.release}{cpu}` resumes it; `taod tools rm` removes it"
        )
        if each.state is ToolState.INSTALLING:
            yield CheckResult(True, "tools", f"{each.name}: being installed, {each.steps_done} of {each.steps} steps")
        elif each.state is ToolState.INCOMPLETE:
            yield CheckResult(True, "tools", f"{each.name}: {each.steps_done} of {each.steps} steps installed", resume)
        else:
            usable = sum(any(action.ok for action in entry.actions) for entry in each.entry_points)
            counts = f"{usable} of {len(each.entry_points)} networks"
            yield CheckResult(True, "tools", f"{each.name}: {each.label}, {counts}, at {each.path}")


def _devices(config: Config) -> Iterator[CheckResult]:
    from taod.cli.commands.serve import describe
    from taod.scheduler.devices.inventory import DevicePool
    from taod.scheduler.devices.nvml import Nvml

    pool = DevicePool.detect(config.devices)
    pool.read()
    devices = pool.devices
    cores = psutil.cpu_count()
    remedy = "" if devices else "set devices.cpu_slots = 1, or find out why `nvidia-smi` shows no GPU"
    yield CheckResult(bool(devices), "devices", f"{describe(devices)}; {cores} cores", remedy)
    nvml = Nvml.open() if config.devices.gpus else None
    if nvml is None:
        yield CheckResult(
            True, "nvml", "not queried (devices.gpus = false)" if not config.devices.gpus else "no NVIDIA driver found"
        )
        return
    gpus = [f"{gpu.name} ({gpu.uuid})" for gpu in nvml.gpus()]
    yield CheckResult(True, "nvml", f"driver {nvml.driver() or 'of unknown version'}: {', '.join(gpus) or 'no GPU'}")
    # If a daemon serves the root, the processes on a GPU may be its runs.
    unserved = [] if is_served(Root(config.root)) else pool.snapshot([], [])
    for device in unserved:
        if device.busy_reason:
            remedy = 'end it, or set devices.foreign = "ignore" or devices.exclude'
            yield CheckResult(False, "nvml", f"{device.name} is {text(device.busy_reason)}", remedy)


def _memory_limit(config: Config) -> CheckResult:
    from runners.cgroup import available_method

    rules = any(rule.memory_bytes for rule in config.supervision.rule)
    wanted = bool(config.supervision.memory_bytes) or rules
    found = available_method()
    if not found.unavailable:
        how = "systemd" if found.systemd else str(found.folder)
        return CheckResult(True, "memory", f"runs can be limited, by {how}")
    remedy = "run taod under a systemd user session, or set supervision.memory_bytes = 0" if wanted else ""
    return CheckResult(not wanted, "memory", f"runs cannot be limited: {found.unavailable}", remedy)


def _root(root: Path) -> Iterator[CheckResult]:
    existing = next(folder for folder in (root, *root.parents) if folder.exists())
    writable = os.access(existing, os.W_OK | os.X_OK)
    remedy = "" if writable else f"make {existing} writable, or choose another root with --root or TAOD_ROOT"
    yield CheckResult(writable, "root", f"{root}{'' if root.exists() else ' (not created yet)'}", remedy)
    free = shutil.disk_usage(existing).free
    yield CheckResult(
        free >= LOW_DISK,
        "disk",
        f"{free / 1024**3:.0f} GiB free",
        "" if free >= LOW_DISK else "checkpoints and datasets are large: free some space, or move the root",
    )


def _notifications(config: Config) -> Iterator[CheckResult]:
    """Whether the library is there, and each target's address and last deliveries."""
    from store.inspect import deliveries
    from taod.errors import ConfigError
    from taod.notify import targets

    if not config.notify.target:
        yield CheckResult(True, "notify", "no target is configured", "[[notify.target]] in taod.toml adds one")
    if any(each.apprise for each in config.notify.target) and find_spec("apprise") is None:
        yield CheckResult(False, "notify", "without apprise", "pip install 'taod[notify]'")
    found = deliveries(Root(config.root).database)
    for target in config.notify.target:
        what = f"{target.name}: {targets.shown(target)}"
        try:
            targets.address(target)
        except ConfigError as error:
            # A variable may be set for the daemon alone.
            yield CheckResult(target.name in found and not found[target.name].error, "notify", str(error))
            continue
        known = found.get(target.name)
        if known is not None and known.error:
            lost = f", {known.failed} given up" if known.failed else ""
            counts = f"{known.undelivered} undelivered{lost}"
            remedy = f"`taod notify test {target.name}` after a change of its address; `taod notify ls` lists them"
            yield CheckResult(False, "notify", f"{what}: {counts}: {known.error}", remedy)
        else:
            yield CheckResult(True, "notify", what)


def _trackers(config: Config) -> Iterator[CheckResult]:
    """Whether the libraries of the configured trackers are there."""
    from taod.trackers.feed import missing_library, targets

    for target in targets(config.trackers, Root(config.root)):
        missing, _, remedy = missing_library(target.kind).partition(": ")
        yield CheckResult(not missing, "trackers", f"{target.kind}: {missing or target.address}", remedy)


def _daemon(root: Path) -> CheckResult:
    try:
        info = find(root, None, None)
    except NoDaemon:
        return CheckResult(True, "daemon", "none is running on this root", "`taod serve` starts one")
    return CheckResult(True, "daemon", f"{info.url}, pid {info.pid}, version {info.version}")


def _port(config: Config) -> CheckResult:
    """Whether the next daemon can listen on its port."""
    host, port = config.server.host, config.server.port
    if port == 0:
        return CheckResult(True, "port", "the daemon chooses a free port at its start")
    if is_served(Root(config.root)):
        return CheckResult(True, "port", f"{host}:{port}; this root's daemon is running")
    from taod.daemon import bind
    from taod.errors import ConfigError

    try:
        bind(host, port).close()
    except (ConfigError, OSError) as error:
        remedy = f"see `ss -ltnp sport = :{port}`, or choose another: --port N, or --port 0 for a free one"
        return CheckResult(False, "port", str(error).partition(";")[0], remedy)
    return CheckResult(True, "port", f"{host}:{port} is free")
