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

from runners.embedded import Embedded
from runners.protocol import Runner, Verdict
from taod import __version__, installed, program
from taod.cli.commands.doctor_root import examine_root, is_served
from taod.cli.support.check_result import CheckResult
from taod.cli.support.options import config_option, configured, root_option
from taod.cli.support.output import console, json_option, number, print_json
from taod.client.errors import NoDaemon
from taod.client.find import find
from taod.config import Config, EmbeddedConfig
from taod.paths import Root
from taod.types.reason_text import text

EXAMPLE = ("classification_pyt", "train")
"""The network and action that runners are asked for."""
ORDER = ("python", "sqlite", "root", "database", "port", "devices", "runners", "tools", "disk", "access")
"""Checks by how much their remedies help: what prevents the daemon, then what prevents jobs."""
LOW_DISK = 20 * 1024**3


@click.command()
@root_option
@config_option
@click.option("--fix", is_flag=True, help="Repair what can be repaired without losing data.")
@click.option("-v", "--verbose", is_flag=True, help="Show details and hints of passed checks, too.")
@json_option
def doctor(root: Path | None, config_file: Path | None, fix: bool, verbose: bool, as_json: bool) -> None:
    """Check the machine, the configuration and the root. Exit 1 if a check fails.

    What failed comes first, in the order in which the remedies help most.
    """
    results = list(examine(configured(config_file, root)))
    if fix:
        results = [result.repaired() for result in results]
    results = sorted(results, key=_rank)
    if as_json:
        print_json([result.shown() for result in results])
    else:
        _print(results, verbose=verbose)
    raise SystemExit(0 if all(result.ok for result in results) else 1)


def _rank(result: CheckResult) -> int:
    """Failed checks first; among them what prevents everything, then what prevents jobs, then the rest."""
    if result.ok:
        return len(ORDER) + 1
    return ORDER.index(result.name) if result.name in ORDER else len(ORDER)


def _print(results: list[CheckResult], *, verbose: bool = False) -> None:
    """A line for what was found and, if it failed, one for its remedy. Nothing is said twice."""
    from rich.text import Text

    out = console()
    said = list[str]()

    def below(line: str) -> None:
        out.print(f"  {'':<10} {line}", style="dim", highlight=False, soft_wrap=True)
        said.append(line)

    for result in results:
        known = bool(result.remedy) and any(result.remedy in line for line in said)
        if result.ok and known:
            continue
        mark = Text("✓", "green") if result.ok else Text("✗", "yellow")
        out.print(mark, f"{result.name:<10} {result.found}", highlight=False, soft_wrap=True)
        if result.fixed:
            below(f"→ repaired: {result.fixed}")
        elif result.remedy and not known and (verbose or not result.ok):
            below(f"→ {result.remedy}{' (or --fix)' if result.fix is not None else ''}")
        for line in result.details if verbose else ():
            below(line)
    failed = sum(not result.ok for result in results)
    if not verbose:
        found = number(failed, "problem") if failed else "No problem found"
        out.print(f"{found}; --verbose shows details.", style="dim", highlight=False)


def examine(config: Config) -> Iterator[CheckResult]:
    """All checks, in the order of the output. Each is cheap."""
    yield _python()
    yield _sqlite()
    yield from _runners(config)
    yield from _devices(config)
    yield _memory_limit(config)
    yield from _root(config.root)
    if config.root.is_dir():
        yield from examine_root(Root(config.root))
    yield from _notifications(config)
    yield from _trackers(config)
    yield _daemon(config.root)
    if not is_served(Root(config.root)):  # the daemon has its port
        yield _port(config)


def _sqlite() -> CheckResult:
    ok = sqlite3.sqlite_version_info >= (3, 37)
    return CheckResult(ok, "sqlite", sqlite3.sqlite_version, "" if ok else "STRICT tables need SQLite 3.37 or newer")


def _python() -> CheckResult:
    version = ".".join(map(str, sys.version_info[:3]))
    where = f"in the executable {program.durable()[0]}" if program.FROZEN else f"at {sys.executable}"
    details = (f"taod {__version__}, installed by {installed.way()}",)
    return CheckResult(sys.version_info >= (3, 11), "python", f"{version} {where}", details=details)


def _runners(config: Config) -> Iterator[CheckResult]:
    """Which runner trains, or what helps most to get one; then what each runner needs."""
    from runners.docker import doctor as docker
    from runners.registry import RunnerRegistry
    from taod.catalogue.releases import BASE, KNOWN

    registry = RunnerRegistry.from_config(config.runner, tools=config.tools_folder, cache=config.cache_folder)
    release = registry.release(*EXAMPLE, KNOWN[::-1]) or BASE
    choice = registry.choose(*EXAMPLE, release=release)
    if choice.runner is None:
        first = choice.rejected[0][1] if choice.rejected else Verdict(False, remedy="name a runner in runner.order")
        details = [f"{name}: {each.reason.rstrip('.')} → {each.remedy}" for name, each in choice.rejected[1:]]
        found = f"no runner can {EXAMPLE[1]} {EXAMPLE[0]}: {first.reason[:1].lower()}{first.reason[1:]}".rstrip(": .")
        yield CheckResult(False, "runners", found, first.remedy, details=tuple(details))
    else:
        yield CheckResult(True, "runners", f"{' '.join(EXAMPLE)}: {choice.runner.name}")
        yield _engine(registry.get("embedded"), config.runner.embedded)
    yield from (CheckResult(*check[:4], details=check.details) for check in docker.examine(config.runner))
    yield from _tools(config)


def _engine(engine: Runner, config: EmbeddedConfig) -> CheckResult:
    """The embedded engine where some runner can train: a failure only if the engine is there, but not whole."""
    assert isinstance(engine, Embedded)
    verdict, missing = engine.can(*EXAMPLE), engine.missing()
    if not verdict.can:
        return CheckResult(True, "engine", verdict.reason.rstrip("."), verdict.remedy)
    if not missing:
        return CheckResult(True, "engine", "the embedded engine's libraries are installed")
    python = config.python
    remedy = f"{python} -m pip install 'taod[engine]'" if python else installed.add("engine")
    return CheckResult(False, "engine", f"without {', '.join(missing)}", remedy)


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
            yield CheckResult(True, "tools", f"{each.name}: {each.label}, {counts}", details=(f"at {each.path}",))


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
    gpus = nvml.gpus()
    found = f"driver {nvml.driver() or 'of unknown version'}: {', '.join(gpu.name for gpu in gpus) or 'no GPU'}"
    yield CheckResult(True, "nvml", found, details=tuple(f"{gpu.name}: {gpu.uuid}" for gpu in gpus))
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
        yield CheckResult(False, "notify", "without apprise", installed.add("notify"))
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
        return CheckResult(True, "daemon", "none is running on this root; `taod serve` starts one")
    return CheckResult(True, "daemon", f"{info.url}, pid {info.pid}, version {info.version}")


def _port(config: Config) -> CheckResult:
    """Whether the next daemon can listen on its port."""
    host, port = config.server.host, config.server.port
    if port == 0:
        return CheckResult(True, "port", "the daemon chooses a free port at its start")
    from taod.daemon import bind
    from taod.errors import ConfigError

    try:
        bind(host, port).close()
    except (ConfigError, OSError) as error:
        remedy = f"see `ss -ltnp sport = :{port}`, or choose another: --port N, or --port 0 for a free one"
        return CheckResult(False, "port", str(error).partition(";")[0], remedy)
    return CheckResult(True, "port", f"{host}:{port} is free")
