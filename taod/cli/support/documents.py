"""Specification files: read YAML or JSON, write YAML, and set single values by path."""

from __future__ import annotations

from typing import Any

import rich_click as click

from taod.documents import DocumentError, read_value, read_yaml, write_yaml

Document = dict[str, Any]

_YAML = (".yaml", ".yml", ".json")
_PROTOBUF = (".txt", ".protobuf", ".prototxt", ".pbtxt", ".textproto")


def is_protobuf(name: str, content: bytes) -> bool:
    """Whether a specification file is protobuf text: by its suffix, or because it is not YAML."""
    if name.lower().endswith((*_YAML, *_PROTOBUF)):
        return not name.lower().endswith(_YAML)
    try:
        found = read_yaml(content.decode("utf-8-sig"))
    except (DocumentError, UnicodeDecodeError):
        return True
    # `model_config { arch: "x" }` is valid YAML with the key `model_config { arch`.
    return isinstance(found, dict) and any("{" in name for name in found)


def read(content: bytes, name: str) -> Document:
    """The document of a YAML or JSON file. Raises UsageError if it is neither, or not a mapping."""
    try:
        document = read_yaml(content.decode("utf-8-sig"))
    except (DocumentError, UnicodeDecodeError) as error:
        raise click.UsageError(f"{name} cannot be read as YAML or JSON: {error}") from error
    if not isinstance(document, dict):
        raise click.UsageError(f"{name} is not a mapping of parameters")
    return document


def to_yaml(document: Document) -> str:
    """The document as YAML, in the order of its keys."""
    return write_yaml(document, width=120)


def edit(document: Document, pairs: tuple[str, ...]) -> None:
    """Set values by path, `a.b.c=value`; a number in a path is an index into a list.

    Values are parsed as Hydra parses them. Missing mappings are created. Raises UsageError with the path.
    """
    for pair in pairs:
        path, separator, text = pair.partition("=")
        if not separator or not all(path.split(".")):
            raise click.UsageError(f"{pair!r}: expected KEY=VALUE, with dots between the parts of the key")
        *parents, last = path.split(".")
        node: Any = document
        for depth, part in enumerate(parents):
            node = _step(node, part, ".".join(parents[: depth + 1]))
        if isinstance(node, list):
            node[_index(node, last, path)] = read_value(text)
        else:
            node[last] = read_value(text)


def _step(node: Any, part: str, path: str) -> Any:
    if isinstance(node, list):
        found = node[_index(node, part, path)]
    else:
        if node.get(part) is None:
            node[part] = {}
        found = node[part]
    if not isinstance(found, dict | list):
        raise click.UsageError(f"{path} is {found!r}, not a mapping or list: no value can be set below it")
    return found


def _index(node: list[Any], part: str, path: str) -> int:
    if not part.isdecimal() or int(part) >= len(node):
        raise click.UsageError(f"{path}: {part!r} is not an index of a list of {len(node)} items; indices start at 0")
    return int(part)
