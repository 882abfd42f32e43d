"""docs/cli.md: each of its command lines can be parsed, and each command occurs in it."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from taod.cli.main import command, load

TEXT = (Path(__file__).parents[2] / "docs" / "cli.md").read_text()
LINES = [line for block in re.findall(r"```\n(.*?)```", TEXT, re.DOTALL) for line in block.splitlines()]
CALLS = [found for line in LINES for found in re.findall(r"taod [^)&>]+", line)]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A working folder with the files that the examples read."""
    for name in ("cats-train.tar.gz", "train.yaml", "changed.yaml", "weights.pth"):
        (tmp_path / name).touch()
    monkeypatch.chdir(tmp_path)


def parsed(words: list[str]) -> str:
    """Parse a command line without running it; returns the command's whole name. Raises UsageError."""
    context = command().make_context("taod", words)
    while isinstance(context.command, click.Group):
        rest = [*context._protected_args, *context.args]
        name, found, rest = context.command.resolve_command(context, rest)
        assert found is not None
        context = found.make_context(name, rest, parent=context)
    return context.command_path


@pytest.mark.parametrize("call", CALLS)
def test_a_command_of_the_page_exists_with_its_options(call: str, folder: None) -> None:
    assert parsed(shlex.split(call)[1:])


def test_invalid_command_lines_are_detected(folder: None) -> None:
    for wrong in ("modle ls", "model lst", "model ls --nme x", "job wait", "dataset create nonsense kitti"):
        with pytest.raises(click.UsageError):
            parsed(wrong.split())


def test_every_command_is_on_the_page(folder: None) -> None:
    named = {parsed(shlex.split(call)[1:]) for call in CALLS}
    # The page shows commands of both models and datasets once.
    same = {
        "ls",
        "create",
        "show",
        "set",
        "rm",
        "run",
        "spec get",
        "spec default",
        "spec schema",
        "spec set",
        "spec edit",
    }
    shared = {f"taod {kind} {name}" for kind in ("model", "dataset") for name in same}
    missing = set(commands()) - named
    assert missing - shared == set()
    assert {name.split(maxsplit=2)[2] for name in missing & shared} <= {
        name.split(maxsplit=2)[2] for name in named & shared
    }


def commands() -> Iterator[str]:
    """Whole names of all commands."""
    root = command()
    for name in root.list_commands(click.Context(root)):
        yield from _below(f"taod {name}", load(name))


def _below(path: str, found: click.Command) -> Iterator[str]:
    if isinstance(found, click.Group):
        for name, child in found.commands.items():
            yield from _below(f"{path} {name}", child)
    else:
        yield path
