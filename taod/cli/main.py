"""The `taod` command: its groups, found without importing what the others need, and how errors become exit codes."""

from __future__ import annotations

import importlib
import sys
from typing import Any

from taod import __version__

DONE, FAILED, USAGE, NO_DAEMON = 0, 1, 2, 3
"""Exit codes of every command."""

COMMANDS = {
    "serve": ("taod.cli.serve", "serve", "Serve the API until Ctrl-C; runs outlive it."),
    "tui": ("taod.cli.tui", "tui", "Open the dashboard of a running daemon."),
    "quickstart": ("taod.cli.quickstart", "quickstart", "Train, evaluate, export and try a model on real pictures."),
    "stop": ("taod.cli.stop", "stop", "Stop the daemon; runs go on."),
    "doctor": ("taod.cli.doctor", "doctor", "Look at this machine and say what is missing."),
    "user": ("taod.cli.user", "user", "Users, their keys and tokens."),
    "job": ("taod.cli.job", "job", "Jobs: list, show, follow, cancel, pause, resume."),
    "network": ("taod.cli.network", "network", "Networks: actions, formats, and what can run them here."),
    "config": ("taod.cli.config", "config", "The configuration in force."),
}
"""Name of each command → module, attribute, one line of help."""


def _build() -> Any:
    import rich_click as click

    class Commands(click.RichGroup):
        """A group whose commands are imported when they are called."""

        def list_commands(self, ctx: click.Context) -> list[str]:
            return list(COMMANDS)

        def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
            if name not in COMMANDS:
                return None
            module, attribute, _ = COMMANDS[name]
            command: click.Command = getattr(importlib.import_module(module), attribute)
            return command

        def format_commands(self, ctx: click.Context, formatter: Any) -> None:
            with formatter.section("Commands"):
                formatter.write_dl([(name, line) for name, (_, _, line) in COMMANDS.items()])

    @click.command(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
    @click.version_option(__version__, prog_name="taod", message="%(prog)s %(version)s")
    def taod() -> None:
        """The TAO Toolkit API on one workstation: server, scheduler and dashboard, without Kubernetes."""

    return taod


def main(arguments: list[str] | None = None) -> None:
    """Run the command line and exit: 0 done, 1 failed, 2 wrong usage, 3 no daemon."""
    arguments = sys.argv[1:] if arguments is None else arguments
    if arguments in (["--version"], ["-V"]):
        print(f"taod {__version__}")
        raise SystemExit(DONE)
    from taod.client.errors import ClientError, NoDaemon
    from taod.errors import ConfigError, TaodError

    try:
        _build()(args=arguments, prog_name="taod")
    except NoDaemon as error:
        _tell(error)
        raise SystemExit(NO_DAEMON) from None
    except ConfigError as error:
        _tell(error)
        raise SystemExit(USAGE) from None
    except (ClientError, TaodError) as error:
        _tell(error)
        raise SystemExit(FAILED) from None


def _tell(error: Exception) -> None:
    print(f"taod: {error}", file=sys.stderr)
