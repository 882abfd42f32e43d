"""The published command-line client as a process: one for each command, as people run it, or one for many."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Protocol

from tests.patience import PATIENCE_S

MANY = Path(__file__).with_name("many.py")


class ClientFailed(Exception):
    """The client ended with an error; its words are the message."""


class PublishedClient(Protocol):
    """Something that runs the client's commands."""

    def run(self, *words: str) -> str:
        """What the command prints, without the newline at the end. Raises ClientFailed."""
        ...


class OneByOne:
    """`tao-client` as installed, a process for each command."""

    def __init__(self, environment: dict[str, str]) -> None:
        self._program = Path(sys.executable).with_name("tao-client")
        self._environment = environment

    def run(self, *words: str) -> str:
        done = subprocess.run(
            [str(self._program), *words], env=self._environment, capture_output=True, text=True, timeout=PATIENCE_S
        )
        if done.returncode:
            raise ClientFailed(done.stderr)
        return done.stdout.rstrip("\n")


class InOneProcess:
    """The same commands by the same code, in one process: its start is most of a command's time."""

    def __init__(self, environment: dict[str, str]) -> None:
        self._process = subprocess.Popen(
            [sys.executable, str(MANY)],
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def run(self, *words: str) -> str:
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.write(json.dumps(words) + "\n")
        self._process.stdin.flush()
        answer = self._process.stdout.readline()
        assert answer, f"the client's process ended at {words}"
        reported = json.loads(answer)
        if reported["failed"]:
            raise ClientFailed(reported["failed"])
        return str(reported["out"]).rstrip("\n")

    def close(self) -> None:
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.close()
        self._process.wait(PATIENCE_S)
        self._process.stdout.close()
