"""share/: manual pages and completions are those of the present commands, and work in man and in real shells."""

from __future__ import annotations

import filecmp
import os
import pty
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from click.shell_completion import ShellComplete

from taod.cli.main import COMMANDS, command, load
from tests.patience import PATIENCE_S

REPOSITORY = Path(__file__).parents[2]
SHARE = REPOSITORY / "share"
PAGES = SHARE / "man/man1"


def commands() -> Iterator[list[str]]:
    """The words of each command and group."""
    yield []
    for name in COMMANDS:
        yield from _below([name], load(name))


def _below(words: list[str], found: click.Command) -> Iterator[list[str]]:
    yield words
    for name, child in getattr(found, "commands", {}).items():
        yield from _below([*words, name], child)


def test_the_files_are_what_the_commands_define_now(tmp_path: Path) -> None:
    shutil.copytree(REPOSITORY / "bundle", tmp_path / "bundle")
    subprocess.run([sys.executable, tmp_path / "bundle/share.py"], cwd=REPOSITORY, check=True, env=_environment())
    stale = list(_differences(filecmp.dircmp(SHARE, tmp_path / "share")))
    assert not stale, f"{stale}: `make share` writes them again"


def _environment() -> dict[str, str]:
    return os.environ | {"PYTHONPATH": str(REPOSITORY)}


def _differences(found: filecmp.dircmp[str]) -> Iterator[str]:
    yield from found.left_only + found.right_only + found.diff_files
    for below in found.subdirs.values():
        yield from _differences(below)


def test_each_command_has_a_page() -> None:
    assert {file.name for file in PAGES.iterdir()} == {"-".join(["taod", *words]) + ".1" for words in commands()}


def test_each_page_states_synopsis_and_options() -> None:
    page = (PAGES / "taod-model-run.1").read_text()
    assert "[OPTIONS] MODEL ACTION..." in page and r"\fB\-f,\fP \-\-follow" in page
    assert r"See \fBtaod-model-run(1)\fP" in (PAGES / "taod-model.1").read_text()


@pytest.mark.slow(seconds=5)
@pytest.mark.parametrize(
    "program",
    [
        pytest.param(["groff", "-man", "-Tutf8", "-ww"], id="groff"),
        pytest.param(["man", "--warnings", "-l"], id="man"),
        pytest.param(["mandoc", "-Tlint", "-Wwarning"], id="mandoc"),
    ],
)
def test_the_pages_render_without_a_warning(program: list[str]) -> None:
    if shutil.which(program[0]) is None:
        pytest.skip(f"{program[0]} is not installed")
    for file in sorted(PAGES.iterdir()):
        done = subprocess.run([*program, file], capture_output=True, text=True, timeout=PATIENCE_S, check=False)
        lint = done.stdout if program[0] == "mandoc" else ""
        assert done.returncode == 0 and done.stderr + lint == "", file.name


def test_each_command_is_completed() -> None:
    completion = ShellComplete(command(), {}, "taod", "_TAOD_COMPLETE")
    known = list(commands())
    for words in known:
        children = {other[-1] for other in known if len(other) == len(words) + 1 and other[:-1] == words}
        if children:
            offered = {item.value for item in completion.get_completions(words, "")}
            assert children <= offered, words


@pytest.mark.slow(seconds=3)
@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_a_shell_completes_a_command_and_an_option(shell: str, tmp_path: Path) -> None:
    """Typed at a real prompt, with the file in the folder where that shell searches it."""
    if shutil.which(shell) is None:
        pytest.skip(f"{shell} is not installed")
    starts = {
        "bash": ["bash", "--norc", "--noprofile", "-i"],
        "zsh": ["zsh", "-f", "-i"],
        "fish": ["fish", "--no-config", "-i"],
    }
    loads = {
        "bash": f"source {SHARE}/bash-completion/completions/taod",
        "zsh": f"fpath=({SHARE}/zsh/site-functions $fpath); autoload -U compinit; compinit -u -d {tmp_path}/dump",
        "fish": f"set -p fish_complete_path {SHARE}/fish/vendor_completions.d",
    }
    # Completes as taod, and else shows the words that it was called with.
    program = tmp_path / "taod"
    real = Path(sys.executable).with_name("taod")
    program.write_text(f'#!/bin/sh\n[ -n "$_TAOD_COMPLETE" ] && exec {real}\necho "words: $*;"\n')
    program.chmod(0o755)
    own = {"PATH": f"{tmp_path}:{os.environ['PATH']}", "HOME": str(tmp_path), "TERM": "dumb", "PS1": ""}
    child, terminal = pty.fork()
    if child == 0:
        os.chdir(tmp_path)
        os.execvpe(shell, starts[shell], os.environ | own)
    try:
        for line in (loads[shell], "echo rea''dy"):
            os.write(terminal, f"{line}\r".encode())
        _read_until(terminal, b"ready")
        for typed, completed in (
            ("swe", "sweep"),
            ("sweep sho", "sweep show"),
            ("sweep show --js", "sweep show --json"),
        ):
            os.write(terminal, f"taod {typed}\t\r".encode())
            _read_until(terminal, f"words: {completed};".encode())
    finally:
        os.kill(child, 9)
        os.waitpid(child, 0)
        os.close(terminal)


def _read_until(terminal: int, wanted: bytes) -> None:
    seen = b""
    while wanted not in seen:
        seen += os.read(terminal, 4096)
