"""`taod tools`: NVIDIA's tools as packages, each in an environment of its own below the root. Needs no daemon."""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import rich_click as click

from taod.cli.support.options import config_option, configured, root_option
from taod.cli.support.output import Columns, Output, confirm, moment, number, print_json, size, with_output, yes_option
from taod.types.tool import Environment, ToolInfo, ToolProgress, ToolState

if TYPE_CHECKING:
    from runners.toolenv.environments import Environments
    from runners.toolenv.spec import ToolSpec


QUIET_S = 15.0


class Row(msgspec.Struct):
    """One line of `taod tools ls`: an environment, or the tool of a release that is not installed."""

    id: str
    package: str
    state: str
    python: str = ""
    usable: str = ""
    disk: str = ""
    licence: str = ""
    path: str = ""


COLUMNS: Columns[Row] = {
    "name": lambda row: row.id,
    "package": lambda row: row.package,
    "state": lambda row: row.state,
    "python": lambda row: row.python,
    "usable": lambda row: row.usable,
    "disk": lambda row: row.disk,
    "licence": lambda row: row.licence,
    "path": lambda row: row.path,
}


@click.group()
def tools() -> None:
    """NVIDIA's TAO tools as Python packages, without containers; the native runner uses them."""


@tools.command("ls")
@root_option
@config_option
@with_output
def ls(out: Output, root: Path | None, config_file: Path | None) -> None:
    """List installed tools, and those that can be installed."""
    from runners.toolenv.catalogue import tools_of

    found = tools_of(_environments(config_file, root))
    if out.form is out.form.JSON:
        print_json(found)
    else:
        out.listing([row for tool in found for row in _rows(tool)], COLUMNS)


@tools.command("install")
@click.argument("name", metavar="TOOL")
@click.option("--release", metavar="R", help="Release to install, such as 5.1.0; the newest without it.")
@click.option("--python", metavar="PATH", help="Interpreter to use; else one of the right version is searched.")
@click.option("--cpu", is_flag=True, help="Add a layer that runs the tool on the CPU: slow, for trials and tests.")
@click.option("--accept-license", is_flag=True, help="Accept the package's licence without being asked.")
@root_option
@config_option
@with_output
def install(
    out: Output,
    name: str,
    release: str | None,
    python: str | None,
    cpu: bool,
    accept_license: bool,
    root: Path | None,
    config_file: Path | None,
) -> None:
    """Install a tool from the configured package index, or resume an installation that was interrupted."""
    from runners.toolenv.install import Installer, consent_of_this_user

    environments = _environments(config_file, root)
    wanted = environments.specs.get(name, release)
    ready = any(each.name == wanted.name(cpu=cpu) for each in environments.ready())
    agreed = ready or accept_license or _agrees(wanted)
    with _progress(out) as report, _interruptible(wanted.name(cpu=cpu)):
        installer = Installer(environments, wanted, cpu=cpu, report=report)
        installed = installer.install(consent_of_this_user(wanted) if agreed else None, python=python)
    if out.form is out.form.TABLE and ready:
        out.print_sentence(f"{installed.name} is installed already: {installed.path}")
    elif out.form is out.form.TABLE:
        _show(out, installed)
    else:
        _answer(out, installed)


@tools.command("check")
@click.argument("name", metavar="NAME")
@root_option
@config_option
@with_output
def check(out: Output, name: str, root: Path | None, config_file: Path | None) -> None:
    """Import every action of an installed tool again; exit 1 when none can be used."""
    from runners.toolenv.catalogue import check_again

    with _progress(out) as report:
        checked = check_again(_environments(config_file, root), name, report)
    if out.form is out.form.TABLE:
        _show(out, checked)
    else:
        _answer(out, checked)
    raise SystemExit(0 if any(action.ok for entry in checked.entry_points for action in entry.actions) else 1)


@tools.command("rm")
@click.argument("name", metavar="NAME")
@yes_option
@root_option
@config_option
@with_output
def rm(out: Output, name: str, yes: bool, root: Path | None, config_file: Path | None) -> None:
    """Remove an installed tool, or what an interrupted installation left."""
    environments = _environments(config_file, root)
    found = environments.get(name)
    confirm([f"{found.path} will be removed ({size(found.size_bytes) or 'incomplete'})."], yes)
    environments.remove(name)
    out.changed(found, f"{name} is removed.", id=name)


def _environments(config_file: Path | None, root: Path | None) -> Environments:
    from runners.toolenv.environments import Environments
    from runners.toolenv.spec import ToolSpecs

    config = configured(config_file, root)
    return Environments(config.tools_folder, ToolSpecs(config.tool_specs))


def _rows(tool: ToolInfo) -> Iterator[Row]:
    for each in tool.environments:
        state = str(each.state)
        if each.state is not ToolState.READY:
            state += f" ({each.steps_done} of {each.steps} steps)"
        usable = [entry for entry in each.entry_points if any(action.ok for action in entry.actions)]
        yield Row(
            each.name,
            each.label,
            state,
            each.python,
            f"{len(usable)} of {len(each.entry_points)} networks" if each.entry_points else "",
            size(each.size_bytes) if each.size_bytes else "",
            "accepted" if each.consent else "",
            each.path,
        )
    if not tool.environments:
        disk = size((tool.disk_mb or tool.cpu_disk_mb) * 10**6)
        label = f"{tool.package} {tool.release}"
        yield Row(tool.tool, label, "not installed", tool.python, disk=disk, licence=tool.licence)


def _agrees(wanted: ToolSpec) -> bool:
    """Ask for consent to the licence at a terminal; False without a terminal."""
    if not sys.stdin.isatty():
        return False
    click.echo(f"{wanted.package} {wanted.release}: {wanted.licence.name} ({wanted.licence.text}).", err=True)
    return click.confirm("Do you accept this licence?", err=True)


def _show(out: Output, found: Environment) -> None:
    out.print_sentence(f"{found.name}: {found.label}, Python {found.python}, {size(found.size_bytes)} at {found.path}")
    for note in found.notices:
        out.print_sentence(f"  note: {note}")
    for entry in found.entry_points:
        usable = [action.name for action in entry.actions if action.ok]
        if usable:
            out.print_sentence(f"  ✓ {entry.name}: {', '.join(usable)}")
        failed = next((action for action in entry.actions if not action.ok), None)
        if entry.reason or failed is not None:
            reason = entry.reason or (f"{failed.name}: {failed.reason}" if failed else "")
            out.print_sentence(f"  ✗ {entry.name}: {reason}")
    count = number(sum(any(action.ok for action in entry.actions) for entry in found.entry_points), "network")
    out.print_sentence(f"{count} of {len(found.entry_points)} can be used; checked {moment(found.checked_at)}")


def _answer(out: Output, found: Environment) -> None:
    if out.form is out.form.JSON:
        print_json(found)
    else:
        out.ids([found.name])


@contextmanager
def _progress(out: Output) -> Iterator[Callable[[ToolProgress], None]]:
    """A live line on a terminal; otherwise a line for each step, and one every QUIET_S seconds of a long step."""
    from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    console = out.aside
    columns = (SpinnerColumn(), TextColumn("{task.description}", markup=False), TimeElapsedColumn())
    shown, printed_at = 0, 0.0
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        line = progress.add_task("")

        def report(at: ToolProgress) -> None:
            loaded = f", {size(at.loaded_bytes)}" if at.loaded_bytes else ""
            text = f"{at.name} step {at.step} of {at.steps}: {at.title} {at.detail}{loaded}"
            progress.update(line, description=text)
            nonlocal shown, printed_at
            if not console.is_terminal and (at.step != shown or at.elapsed_s - printed_at >= QUIET_S):
                shown, printed_at = at.step, at.elapsed_s
                console.print(f"{text} ({at.elapsed_s:.0f} s)", markup=False, highlight=False, soft_wrap=True)

        yield report


@contextmanager
def _interruptible(name: str) -> Iterator[None]:
    """Make Ctrl-C and SIGTERM stop the installation, its pip first, and exit with 130."""

    def interrupt(*_: Any) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    except KeyboardInterrupt:
        click.echo(f"taod: {name} is not complete; the same command resumes its installation", err=True)
        raise SystemExit(130) from None
    finally:
        signal.signal(signal.SIGTERM, before)
