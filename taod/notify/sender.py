"""Sends one notification, as a process of its own: a slow target, a library or a program cannot block the daemon, and
the sending continues if the daemon ends.

It reads a Request from standard input and writes STARTED, then a Result, to standard output: the record file, whose
lock is held for as long as the process lives. It prints no address.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import tempfile
from urllib.parse import parse_qsl, unquote

import msgspec

from taod import installed
from taod.masking import MASK

STARTED = b"started\n"
REPORTED, MOST_READ = 300, 65_536
"""Most characters of an error, and bytes that a command's errors are read from."""


class Message(msgspec.Struct, frozen=True):
    """A notification as a webhook and a command get it, as JSON."""

    id: str
    """The same in every attempt."""
    event: str
    subject: str
    body: str
    created_on: str
    job: str | None = None


class Request(msgspec.Struct, frozen=True):
    """A notification, where it goes, and the seconds that it may take."""

    kind: str
    address: str | list[str]
    message: Message
    timeout_s: float


class Result(msgspec.Struct, frozen=True):
    """How the attempt ended; `error` is empty if the target confirmed it."""

    error: str = ""


def redacted(text: str, address: str | list[str]) -> str:
    """A text without the address and without its parts, in one line."""
    secrets = set(address[1:])
    if isinstance(address, str):
        _, _, rest = address.partition("://")
        place, _, query = rest.partition("?")
        values = [value for _, value in parse_qsl(query)]
        secrets = {address, rest, place, query, *values, *re.split(r"[/:@#;,]+", place)}
    found = {form for each in secrets for form in (each, unquote(each)) if len(form) > 1}
    for each in sorted(found, key=len, reverse=True):
        text = re.sub(rf"(?<!\w){re.escape(each)}(?!\w)", MASK, text)
    text = " ".join(text.split())
    return text if len(text) <= REPORTED else text[: REPORTED - 1] + "…"


def send(request: Request) -> Result:
    """Send it. Errors of targets become results."""
    try:
        match request.kind:
            case "command":
                return _command(request)
            case "webhook":
                return _webhook(request)
            case _:
                return _apprise(request)
    except TimeoutError:
        return Result(f"it took longer than {request.timeout_s:g} s (notify.timeout_s)")
    except (OSError, ValueError) as error:
        return Result(redacted(f"{type(error).__name__}: {error}", request.address))


def _command(request: Request) -> Result:
    assert isinstance(request.address, list)
    sent = request.message
    given = {"EVENT": sent.event, "SUBJECT": sent.subject, "BODY": sent.body, "KEY": sent.id}
    environment = os.environ | {f"TAOD_{name}": value for name, value in given.items()}
    # A file: a pipe would be waited for until all that the program leaves in the background has closed it.
    with tempfile.TemporaryFile() as errors:
        try:
            ended = subprocess.run(
                request.address,
                input=msgspec.json.encode(sent),
                stdout=subprocess.DEVNULL,
                stderr=errors,
                env=environment,
                check=False,
            )
        except FileNotFoundError:
            return Result(f"{request.address[0]} was not found; give its absolute path")
        if ended.returncode == 0:
            return Result()
        errors.seek(0)
        last = errors.read(MOST_READ).decode(errors="replace").strip().rpartition("\n")[2]
    said = f"exit code {ended.returncode}" + (f": {last}" if last else "")
    return Result(redacted(said, request.address))


def _webhook(request: Request) -> Result:
    import httpx

    headers = {"Content-Type": "application/json", "Idempotency-Key": request.message.id, "User-Agent": "taod"}
    content, url = msgspec.json.encode(request.message), str(request.address)
    try:
        with httpx.stream("POST", url, content=content, headers=headers, timeout=request.timeout_s) as answer:
            status = answer.status_code
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        return Result(redacted(f"{type(error).__name__}: {error}", url))
    return Result() if 200 <= status < 300 else Result(f"HTTP status {status}")


def _apprise(request: Request) -> Result:
    try:
        import apprise
    except ImportError:
        return Result(f"the library apprise is not installed: {installed.add('notify')}")
    with apprise.LogCapture(level=apprise.logging.WARNING, fmt="%(message)s") as said:
        library = apprise.Apprise()
        if library.add(request.address) and library.notify(
            title=request.message.subject, body=request.message.body, body_format=apprise.NotifyFormat.TEXT
        ):
            return Result()
        why = said.getvalue().strip().replace("\n", "; ") or "apprise could not send it and gave no reason"
    return Result(redacted(why, request.address))


def _too_long(*_: object) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    os.killpg(0, signal.SIGTERM)  # a command, and what it has started
    raise TimeoutError


def main() -> None:
    """Send what standard input asks for."""
    try:
        request = msgspec.json.decode(sys.stdin.buffer.read(), type=Request)
    except msgspec.DecodeError:  # the daemon has ended before it had written the request
        return
    record = os.dup(sys.stdout.fileno())
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # keep the output of libraries out of the record
    _write(record, STARTED)
    signal.signal(signal.SIGALRM, _too_long)
    signal.setitimer(signal.ITIMER_REAL, request.timeout_s)
    result = send(request)
    signal.setitimer(signal.ITIMER_REAL, 0)
    _write(record, msgspec.json.encode(result))


def _write(record: int, line: bytes) -> None:
    os.write(record, line)
    os.fsync(record)


if __name__ == "__main__":
    main()
