"""Specification files: reading YAML or JSON, writing YAML, and changing single values by their path."""

from __future__ import annotations

from typing import Any

import rich_click as click

from taod.documents import DocumentError, read_value, read_yaml, write_yaml

Document = dict[str, Any]


_YAML = (".yaml", ".yml", ".json")
_PROTOBUF = (".txt", ".protobuf", ".prototxt", ".pbtxt", ".textproto")


def is_protobuf(name: str, content: bytes) -> bool:
    """Whether a specification file is protobuf text: by the end of its name, else because it is no YAML."""
    if name.lower().endswith((*_YAML, *_PROTOBUF)):
        return not name.lower().endswith(_YAML)
    try:
        found = read_yaml(content.decode("utf-8-sig"))
    except (DocumentError, UnicodeDecodeError):
        return True
    # `model_config { arch: "x" }` is YAML, too, with a strange name for a key.
    return isinstance(found, dict) and any("{" in name for name in found)


def read(content: bytes, name: str) -> Document:
    """The document of a YAML or JSON file. Raises UsageError where it is neither, or no mapping."""
    try:
        document = read_yaml(content.decode("utf-8-sig"))
    except (DocumentError, UnicodeDecodeError) as error:
        raise click.UsageError(f"{name} cannot be read as YAML or JSON: {error}") from error
    if not isinstance(document, dict):
        raise click.UsageError(f"{name} holds no mapping of parameters")
    return document


def to_yaml(document: Document) -> str:
    """The document as YAML, in its own order."""
    return write_yaml(document, width=120)


def edit(document: Document, pairs: tuple[str, ...]) -> None:
    """Set values by path, `a.b.c=value`; a number in the path is a place in a list.

    Values are read as Hydra reads them; what is missing on the way is made. Raises UsageError naming the path.
    """
    for pair in pairs:
        path, separator, text = pair.partition("=")
        if not separator or not all(path.split(".")):
            raise click.UsageError(f"{pair!r}: expected KEY=VALUE, the key with dots between its parts")
        *parents, last = path.split(".")
        place: Any = document
        for depth, part in enumerate(parents):
            place = _step(place, part, ".".join(parents[: depth + 1]))
        if isinstance(place, list):
            place[_index(place, last, path)] = read_value(text)
        else:
            place[last] = read_value(text)


def _step(place: Any, part: str, path: str) -> Any:
    if isinstance(place, list):
        found = place[_index(place, part, path)]
    else:
        if place.get(part) is None:
            place[part] = {}
        found = place[part]
    if not isinstance(found, dict | list):
        raise click.UsageError(f"{path} is {found!r}: nothing can be set below it")
    return found


def _index(place: list[Any], part: str, path: str) -> int:
    if not part.isdecimal() or int(part) >= len(place):
        raise click.UsageError(f"{path}: {part!r} is no place in a list of {len(place)}; the first is 0")
    return int(part)
