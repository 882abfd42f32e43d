"""A separate process that reads texts one after the other: `python -m taod.catalogue.specfiles.parse_process`."""

from __future__ import annotations

from typing import Any

import msgspec

from taod.catalogue import network
from taod.catalogue.specfiles.parse import parse
from taod.documents import Bounds, read_json
from taod.helper_process import Rejected, serve

MEMORY_BYTES = 1024**3
"""Address space of the process."""


class Text(msgspec.Struct, frozen=True):
    """A text and its type: a JSON document, or a specification of a network's action."""

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
    of = network.get_network(text.network, text.release)
    return parse(text.spec_format, text.text.decode(), of, text.action, text.bounds)


def _answer(question: bytes) -> bytes:
    try:
        return msgspec.msgpack.encode(read(msgspec.msgpack.decode(question, type=Text)))
    except MemoryError:
        raise Rejected(f"reading it takes more than {MEMORY_BYTES >> 20} MiB of memory") from None
    except ValueError as error:
        raise Rejected(str(error)) from error


if __name__ == "__main__":
    serve(_answer, MEMORY_BYTES)
