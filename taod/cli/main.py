"""The `taod` command: its subcommands, imported only when called, and the exit codes of errors."""

from __future__ import annotations

import importlib
import sys
from typing import Any

from taod import __version__
from taod.cli.support.encoding import tolerate
from taod.terminal import protect_output

DONE, FAILED, USAGE, NO_DAEMON = 0, 1, 2, 3
"""Exit codes of every command."""

COMMANDS = {
    "serve": ("taod.cli.commands.serve", "serve", "Serve the API until Ctrl-C; runs outlive the daemon."),
    "stop": ("taod.cli.commands.stop", "stop", "Stop the daemon; runs continue."),
    "service": ("taod.cli.commands.service", "service", "The daemon as a systemd service: install, status, remove."),
    "tui": ("taod.cli.commands.tui", "tui", "Open the dashboard of a running daemon."),
    "quickstart": (
        "taod.cli.commands.quickstart",
        "quickstart",
        "Train, evaluate, export and try a model on real images.",
    ),
    "dataset": ("taod.cli.commands.dataset", "dataset", "Datasets: create, upload, link, show, convert, delete."),
    "model": ("taod.cli.commands.model", "model", "Models: create, configure, run, show, delete."),
    "job": ("taod.cli.commands.job", "job", "Jobs: list, show, follow, wait, cancel, pause, resume, download, delete."),
    "sweep": ("taod.cli.commands.sweep", "sweep", "AutoML: list sweeps, show their trials, export them as CSV."),
    "queue": ("taod.cli.commands.queue", "queue", "The queue: list, pause, resume."),
    "notify": ("taod.cli.commands.notify", "notify", "Notifications: list targets, send a test message."),
    "tools": ("taod.cli.commands.tools", "tools", "NVIDIA's tools as packages: list, install, check, remove."),
    "ptm": ("taod.cli.commands.ptm", "ptm", "Pretrained models and their weights."),
    "network": ("taod.cli.commands.network", "network", "Networks: actions, parameters, available runners."),
    "device": ("taod.cli.commands.device", "device", "GPUs and CPU slots, with the jobs on them."),
    "user": ("taod.cli.commands.user", "user", "Users, their login keys and tokens."),
    "config": ("taod.cli.commands.config", "config", "The effective configuration."),
    "backup": ("taod.cli.commands.backup", "backup", "Copy the database."),
    "restore": ("taod.cli.commands.backup", "restore", "Put a copy of the database in its place."),
    "doctor": ("taod.cli.commands.doctor", "doctor", "Check this machine and report what is missing."),
    "openapi": ("taod.cli.commands.openapi", "openapi", "The OpenAPI document of the API."),
    "mcp": ("taod.cli.commands.mcp", "mcp", "Datasets, models and jobs as tools for agents (MCP)."),
    "completion": ("taod.cli.commands.completion", "completion", "The completion script of bash, zsh or fish."),
}
"""Name of each command → module, attribute, one line of help."""


def command() -> Any:
    """The command line as one click command; a subcommand's module is imported when it is called."""
    import rich_click as click

    class Commands(click.RichGroup):
        """A group whose commands are imported when they are called, and whose errors are exit codes."""

        def list_commands(self, ctx: click.Context) -> list[str]:
            return list(COMMANDS)

        def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
            """A placeholder with the name and help line; the command's module is not imported."""
            return click.Command(name, short_help=COMMANDS[name][2]) if name in COMMANDS else None

        def resolve_command(self, ctx: click.Context, args: list[str]) -> Any:
            name, found, rest = super().resolve_command(ctx, args)
            return name, load(found.name) if found is not None and found.name else found, rest

        def invoke(self, ctx: click.Context) -> Any:
            from taod.client.errors import ClientError, NoDaemon
            from taod.errors import ConfigError, TaodError

            try:
                return super().invoke(ctx)
            except NoDaemon as error:
                code = _report(error, NO_DAEMON)
            except ConfigError as error:
                code = _report(error, USAGE)
            except BrokenPipeError:
                raise
            except (ClientError, TaodError, OSError) as error:
                code = _report(error, FAILED)
            except UnicodeEncodeError as error:  # from a request with text of the shell; output never raises it
                code = _report(ValueError(f"{error.object!r} is not UTF-8; write it in UTF-8"), USAGE)
            raise SystemExit(code)

    @click.command(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
    @click.version_option(__version__, prog_name="taod", message="%(prog)s %(version)s")
    def taod() -> None:
        """The TAO Toolkit API on one workstation: server, scheduler and dashboard, without Kubernetes.

        Exit codes: 0 done, 1 failed, 2 wrong usage, 3 no daemon.
        """

    return taod


def load(name: str) -> Any:
    """The click command of that name, imported."""
    module, attribute, _ = COMMANDS[name]
    return getattr(importlib.import_module(module), attribute)


def main(arguments: list[str] | None = None) -> None:
    """Run the command line and exit: 0 done, 1 failed, 2 wrong usage, 3 no daemon."""
    tolerate()
    protect_output()
    arguments = sys.argv[1:] if arguments is None else arguments
    if arguments in (["--version"], ["-V"]):
        print(f"taod {__version__}")
        raise SystemExit(DONE)
    command()(args=arguments, prog_name="taod")


def _report(error: Exception, code: int) -> int:
    print(f"taod: {error}", file=sys.stderr)
    return code
