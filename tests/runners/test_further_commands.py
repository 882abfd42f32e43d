"""A run of several command lines: one after the other, and no further after a failure."""

from __future__ import annotations

import subprocess

from runners.protocol import Command


def command(*lines: list[str]) -> Command:
    return Command("tool", "act", lines[0], "image", then=list(lines[1:]))


def test_one_command_line_is_executed_as_it_is() -> None:
    assert command(["tool", "act"]).argv_with_following() == ["tool", "act"]
    assert command(["tool", "act"]).argv_with_following("/bin/tool") == ["/bin/tool", "act"]


def test_each_line_keeps_its_words() -> None:
    words = command(["echo", "a  b"], ["echo", "$HOME;"]).argv_with_following()
    assert subprocess.run(words, capture_output=True, text=True, check=True).stdout == "a  b\n$HOME;\n"


def test_a_failure_ends_the_run() -> None:
    done = subprocess.run(
        command(["sh", "-c", "exit 3"], ["echo", "on"]).argv_with_following(), capture_output=True, text=True
    )
    assert (done.returncode, done.stdout) == (3, "")
