"""Runs work in a separate process with a time limit; the process ends when it is idle, and with the daemon.

Requests and answers are bytes after their length; an answer's first byte marks the text of an error.
"""

from __future__ import annotations

import asyncio
import os
import resource
import subprocess
import sys
from collections.abc import Callable, Mapping

from taod import program

IDLE_S = 120.0
"""An idle process ends after this time."""
_SIZE = 4
_ANSWERED, _REJECTED = b"+", b"-"


class Rejected(Exception):
    """The process answered with an error; its text."""


class HelperProcess:
    """Sends one request at a time to a module that calls `serve`."""

    def __init__(self, module: str, patience_s: float, environment: Mapping[str, str] | None = None) -> None:
        self._module = module
        self._patience_s = patience_s
        self._environment = dict(environment or {})
        self._turn = asyncio.Lock()
        self._rest: asyncio.TimerHandle | None = None
        self.process: asyncio.subprocess.Process | None = None

    async def ask(self, question: bytes) -> bytes:
        """The answer. Raises Rejected, EOFError if the process ended, TimeoutError if it took too long."""
        async with self._turn:
            try:
                # Not `wait_for`: in Python 3.11 it loses a cancellation that comes with the answer, and the
                # daemon's end would wait for the process.
                async with asyncio.timeout(self._patience_s):
                    status, answer = await self._ask(question)
            except (asyncio.IncompleteReadError, ConnectionError) as error:
                await self._end()
                raise EOFError(f"{self._module} ended") from error
            except BaseException:
                await self._end()  # a late answer would be taken for the next request's
                raise
        if status == _REJECTED:
            raise Rejected(answer.decode())
        return answer

    async def close(self) -> None:
        """End the process."""
        async with self._turn:
            await self._end()

    async def _ask(self, question: bytes) -> tuple[bytes, bytes]:
        process = await self._alive()
        assert process.stdin is not None and process.stdout is not None
        process.stdin.write(len(question).to_bytes(_SIZE, "big") + question)
        await process.stdin.drain()
        status = await process.stdout.readexactly(1)
        size = int.from_bytes(await process.stdout.readexactly(_SIZE), "big")
        return status, await process.stdout.readexactly(size)

    async def _alive(self) -> asyncio.subprocess.Process:
        if self._rest is not None:
            self._rest.cancel()
        self._rest = asyncio.get_running_loop().call_later(IDLE_S, self._let_go)
        if self.process is None or self.process.returncode is not None:
            self.process = await asyncio.create_subprocess_exec(
                *program.module(self._module),
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.DEVNULL,
                env=program.environment() | self._environment,
            )
        return self.process

    def _let_go(self) -> None:
        self._rest = None
        if self.process is not None and self.process.stdin is not None and not self._turn.locked():
            self.process.stdin.close()
            self.process = None

    async def _end(self) -> None:
        if self._rest is not None:
            self._rest.cancel()
            self._rest = None
        process, self.process = self.process, None
        if process is not None:
            if process.returncode is None:
                process.kill()
            await process.wait()


def ask_once(module: str, question: bytes, patience_s: float) -> bytes:
    """The answer of a process for this request alone; blocks. Raises Rejected, EOFError, TimeoutError."""
    sent = len(question).to_bytes(_SIZE, "big") + question
    try:
        answered = subprocess.run(
            program.module(module),
            input=sent,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            timeout=patience_s,
            env=program.environment(),
        )
    except subprocess.TimeoutExpired as error:
        raise TimeoutError(f"{module} took more than {patience_s:g} s") from error
    status, answer = answered.stdout[:1], answered.stdout[1 + _SIZE :]
    if status not in (_ANSWERED, _REJECTED):
        raise EOFError(f"{module} ended")
    if status == _REJECTED:
        raise Rejected(answer.decode())
    return answer


def serve(answer: Callable[[bytes], bytes], memory_bytes: int | None = None) -> None:
    """Answer requests until the input ends, which it does with the daemon however that ends."""
    if memory_bytes is not None:
        resource.setrlimit(resource.RLIMIT_AS, (memory_bytes, memory_bytes))
    source, sink = sys.stdin.buffer, os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # keep the output of libraries out of the answers
    while len(size := source.read(_SIZE)) == _SIZE:
        try:
            status, said = _ANSWERED, answer(source.read(int.from_bytes(size, "big")))
        except Rejected as error:
            status, said = _REJECTED, str(error).encode()
        except Exception as error:  # the daemon handles any error
            status, said = _REJECTED, f"{type(error).__name__}: {error}".encode()
        sink.write(status + len(said).to_bytes(_SIZE, "big") + said)
        sink.flush()
