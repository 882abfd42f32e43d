"""A separate process that reads texts one after the other: `python -m taod.catalogue.specfiles.parse_process`."""

from __future__ import annotations

from typing import Any

import msgspec

from taod.catalogue import network
from taod.catalogue.specfiles.parse import parse
from taod.documents import BOUNDS, Bounds, read_json, read_yaml
from taod.helper_process import Rejected, ask_once, serve

MEMORY_BYTES = 1024**3
"""Address space of the process."""
SHORT_BYTES = 4096
"""A text up to this length is read at once."""
PATIENCE_S = 30.0
YAML = "yaml"


class Text(msgspec.Struct, frozen=True):
    """A text and its type: a JSON document, YAML, or a specification of a network's action."""

    text: bytes
    bounds: Bounds
    spec_format: str = ""
    network: str = ""
    release: str = ""
    action: str = ""


def read(text: Text) -> Any:
    """The value that the text holds. Raises DocumentError, ParseError."""
    if not text.spec_format:
        return read_json(text.text, text.bounds)
    if not text.network:
        return read_yaml(text.text.decode(), text.bounds)
    of = network.get_network(text.network, text.release)
    return parse(text.spec_format, text.text.decode(), of, text.action, text.bounds)


def read_yaml_apart(text: bytes) -> object:
    """The value of a YAML text of a file; a long one is read in a process of its own, for a parser holds the
    interpreter's lock. Blocks. Raises ValueError, also for a text that takes too long."""
    if len(text) <= SHORT_BYTES:
        return read_yaml(text.decode())
    try:
        answer = ask_once(
            "taod.catalogue.specfiles.parse_process", msgspec.msgpack.encode(Text(text, BOUNDS, YAML)), PATIENCE_S
        )
    except (Rejected, EOFError, TimeoutError, OSError) as error:
        raise ValueError(f"the text cannot be read: {error}") from error
    return msgspec.msgpack.decode(answer)


def _answer(question: bytes) -> bytes:
    try:
        return msgspec.msgpack.encode(read(msgspec.msgpack.decode(question, type=Text)))
    except MemoryError:
        raise Rejected(f"reading it takes more than {MEMORY_BYTES >> 20} MiB of memory") from None
    except ValueError as error:
        raise Rejected(str(error)) from error


if __name__ == "__main__":
    serve(_answer, MEMORY_BYTES)
