"""Writes share/: the manual pages and shell completions of the wheel, from the definitions of the commands.

`make share` runs it; a test compares what it writes with what is there.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from inspect import cleandoc
from pathlib import Path

import click
from click.shell_completion import get_completion_class
from click_man.core import generate_man_page

from taod import __version__
from taod.cli.main import COMMANDS, command, load

SHARE = Path(__file__).parents[1] / "share"
PAGES = "man/man1"
COMPLETIONS = {
    "bash": "bash-completion/completions/taod",
    "zsh": "zsh/site-functions/_taod",
    "fish": "fish/vendor_completions.d/taod.fish",
}
"""Shell -> file in share/, by the name under which the shell searches it."""
DATE = "2026-11-24"
"""Of the version."""


def write(share: Path) -> None:
    """Write all files; earlier ones are removed."""
    shutil.rmtree(share, ignore_errors=True)
    (share / PAGES).mkdir(parents=True)
    for context in commands():
        name = context.command_path.replace(" ", "-")
        (share / PAGES / f"{name}.1").write_text(page(context, name), encoding="utf-8")
    for shell, name in COMPLETIONS.items():
        kind = get_completion_class(shell)
        assert kind is not None
        script = kind(command(), {}, "taod", "_TAOD_COMPLETE")
        # Not `source()`, which also asks for the version of the installed bash.
        text = script.source_template % script.source_vars()
        if shell == "zsh":
            # Its last lines are for `eval`, too; loaded from this folder, they would complete nothing the second time.
            text = text.partition("\nif [[ $zsh_eval_context")[0] + '\n_taod_completion "$@"\n'
        (share / name).parent.mkdir(parents=True)
        (share / name).write_text(text, encoding="utf-8")


def page(context: click.Context, name: str) -> str:
    """The manual page of one command, without what groff and mandoc warn about in click-man's."""
    text = generate_man_page(context, version=__version__, date=DATE)
    text = text.replace(f'.TH "{context.command_path.upper()}"', f'.TH "{name.upper()}"', 1)
    text = text.replace(rf"\fB{context.command_path}-", rf"\fB{name}-")
    text = re.sub(r"(\.SH .*)\n\.PP", r"\1", text)
    # Choices may break after each bar, and no other word; lines need not fill the width.
    return text.replace("|", r"|\:").replace("\n", "\n.ad l\n.nh\n", 1)


def commands() -> Iterator[click.Context]:
    """A context of `taod` and of each command below it."""
    root: click.Group = command()
    for name, (_, _, line) in COMMANDS.items():
        found = load(name)
        found.short_help = line
        root.add_command(found, name)
    yield from _below(click.Context(root, info_name="taod"))


def _below(context: click.Context) -> Iterator[click.Context]:
    found = context.command
    if not found.short_help:  # click's own is cut at 45 characters
        found.short_help = cleandoc(found.help or "").partition("\n\n")[0].replace("\n", " ")
    children = [click.Context(child, context, name) for name, child in getattr(found, "commands", {}).items()]
    below = [each for child in children for each in _below(child)]
    yield context
    yield from below


if __name__ == "__main__":
    write(SHARE)
