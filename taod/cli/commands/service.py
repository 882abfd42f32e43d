"""`taod service`: the daemon as a systemd service of the user, with its output in the journal."""

from __future__ import annotations

import os
import shlex
import subprocess
from pathlib import Path

import rich_click as click

from taod import atomic_file, program
from taod.cli.support.options import config_option, configured, root_option

UNIT = "taod.service"
TEMPLATE = """\
[Unit]
Description=taod, the TAO Toolkit API of this workstation

[Service]
Type=exec
ExecStart={command}
WorkingDirectory={folder}
Environment={path}
# A stop ends the daemon alone; runs continue, and the next start re-adopts them.
KillMode=process
# Each run has a control group of its own.
Delegate=yes
{stop}\
Restart=on-failure
# 1: the root is served already, 2: a wrong setting
RestartPreventExitStatus=1 2

[Install]
WantedBy=default.target
"""
DRAIN = """\
# Start no more runs, and end when the last one has ended.
KillSignal=SIGUSR1
TimeoutStopSec=infinity
"""


@click.group()
def service() -> None:
    """The daemon as a systemd service of this user."""


@service.command()
@root_option
@config_option
@click.option("--drain", is_flag=True, help="Let a stop of the service wait for the current runs.")
@click.option("--print", "only_print", is_flag=True, help="Print the unit and change nothing.")
def install(root: Path | None, config_file: Path | None, drain: bool, only_print: bool) -> None:
    """Create the unit, start it, and start it at each login. A second call replaces it.

    The service gets the root, the configuration file and the PATH of this call. To let it run without a login:
    `loginctl enable-linger`.
    """
    config = configured(config_file, root)
    words = program.durable("serve", "--root", str(config.root.absolute()))
    if config_file is not None:
        words += ["--config", str(config_file.absolute())]
    text = TEMPLATE.format(
        command=" ".join(_quoted(word) for word in words),
        folder=str(Path.home()).replace("%", "%%"),
        path=_quoted(f"PATH={os.environ.get('PATH', os.defpath)}", variables=False),
        stop=DRAIN if drain else "",
    )
    if only_print:
        click.echo(text, nl=False)
        return
    file = _unit_file()
    file.parent.mkdir(parents=True, exist_ok=True)
    atomic_file.write(file, text.encode(), mode=0o644)
    _systemctl("daemon-reload")
    _systemctl("enable", UNIT)
    _systemctl("restart", UNIT)
    click.echo(f"{file} is installed and running. Its output: `journalctl --user -u {UNIT}`")


@service.command()
def status() -> None:
    """Whether the service is installed and runs; exits 1 if it does not run."""
    if not _unit_file().exists():
        raise click.ClickException(f"{_unit_file()} does not exist; `taod service install` creates it")
    shown = _systemctl("show", UNIT, "--property=ActiveState,SubState,MainPID,ActiveEnterTimestamp")
    found = dict(line.partition("=")[::2] for line in shown.splitlines())
    active = found["ActiveState"] == "active"
    since = f", pid {found['MainPID']}, since {found['ActiveEnterTimestamp']}" if active else ""
    click.echo(f"{UNIT} is {found['ActiveState']} ({found['SubState']}){since}")
    raise SystemExit(0 if active else 1)


@service.command()
def remove() -> None:
    """Stop the daemon and delete the unit. Runs continue; the next `taod serve` re-adopts them."""
    file = _unit_file()
    if not file.exists():
        raise click.ClickException(f"{file} does not exist")
    _systemctl("disable", "--now", UNIT)
    file.unlink()
    _systemctl("daemon-reload")
    click.echo(f"{file} is removed.")


def _unit_file() -> Path:
    home = os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config"
    return Path(home) / "systemd" / "user" / UNIT


def _systemctl(*words: str) -> str:
    """The output of `systemctl --user`. Raises ClickException with its error and a remedy."""
    command = ["systemctl", "--user", *words]
    try:
        done = subprocess.run(command, capture_output=True, text=True, errors="replace", check=False)
    except FileNotFoundError:
        raise click.ClickException("systemctl is not installed; start the daemon with `taod serve --detach`") from None
    if done.returncode:
        raise click.ClickException(
            f"`{shlex.join(command)}`: {done.stderr.strip()}; without systemd, use `taod serve --detach`"
        )
    return done.stdout


def _quoted(word: str, *, variables: bool = True) -> str:
    """A quoted word of a unit file, without systemd's specifiers, and without its variables where it has some."""
    escaped = word.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%")
    return f'"{escaped.replace("$", "$$") if variables else escaped}"'
