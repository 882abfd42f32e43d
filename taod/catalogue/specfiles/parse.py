"""Reads a specification as its tool would: YAML, protobuf text or JSON. Pure; the counterpart of `emit.py`."""

from __future__ import annotations

import re
from typing import Any

from taod.catalogue.network import Network, get_network
from taod.catalogue.schema import classwise
from taod.catalogue.schema.normalise import normalise
from taod.catalogue.schema.tables import Node
from taod.catalogue.specfiles import prototext
from taod.catalogue.specfiles.prototext import ParseError
from taod.documents import BOUNDS, Bounds, DocumentError, read_json, read_yaml

__all__ = ["ParseError", "parse"]

_NUMBER = re.compile(r"[-+]?(\d[\d_]*\.?[\d_]*|\.\d[\d_]*)([eE][-+]?\d+)?")


def parse(spec_format: str, text: str, network: Network | str, action: str, bounds: Bounds = BOUNDS) -> dict[str, Any]:
    """The document that a text of that format (`yaml`, `protobuf`, `json`) holds, as it is saved and validated.

    The action's table resolves what a value alone does not show: that a field given once is a list, `+.5` a number.
    Raises ParseError naming the line, also for a document beyond `bounds`.
    """
    table = get_network(network).table(action)
    text = text.removeprefix("\ufeff")
    if spec_format == "protobuf":
        message = _from_protobuf(table.root, prototext.read(text, bounds))
        if classwise.CONFIG in table.rows:
            message = _listed(table.root, classwise.gather(message))
        return normalise(table, message)
    document = _document(text, spec_format, bounds)
    if document is None:
        return {}
    if not isinstance(document, dict):
        raise ParseError("line 1: a specification is a mapping of names to values")
    typed: dict[str, Any] = _typed(table.root, document)
    return normalise(table, typed)


def _document(text: str, spec_format: str, bounds: Bounds) -> Any:
    try:
        return read_json(text.encode(), bounds) if spec_format == "json" else read_yaml(text, bounds)
    except (DocumentError, UnicodeEncodeError) as error:
        raise ParseError(str(error)) from error


def _typed(node: Node | None, value: Any) -> Any:
    """The value with numbers where the table wants them: YAML itself takes `+.5` and quoted numbers for text."""
    if isinstance(value, dict):
        below = node.children if node is not None else {}
        return {key: _typed(below.get(key), item) for key, item in value.items()}
    if isinstance(value, list):
        return [_typed(node, item) for item in value]
    row = node.parameter if node is not None else None
    if row is None or not isinstance(value, str) or not _NUMBER.fullmatch(value):
        return value
    numeric = row.type in ("int", "float") or (row.type == "list" and row.items == "float")
    return float(value.replace("_", "")) if numeric else value


def _from_protobuf(node: Node | None, message: prototext.Message) -> dict[str, Any]:
    below = node.children if node is not None else {}
    document: dict[str, Any] = {}
    for name, values in message.items():
        child = below.get(name)
        declared = child.field if child is not None else None
        if declared is not None and not declared.repeated and len(values) > 1:
            values = [_given_again(values)]
        items = [
            _from_protobuf(child, value) if isinstance(value, dict) else _from_scalar(child, value) for value in values
        ]
        many = len(items) != 1 or (child is not None and child.repeats)
        document[name] = items if many else items[0]
    return document


def _given_again(values: list[Any]) -> Any:
    """The value of a field that is declared once and given several times: messages are merged, else the last counts."""
    if not all(isinstance(value, dict) for value in values):
        return values[-1]
    merged: prototext.Message = {}
    for value in values:
        for name, given in value.items():
            merged[name] = [*merged.get(name, []), *given]
    return merged


def _listed(node: Node, value: Any) -> Any:
    """The value with lists wherever the table has one; for merged parts, which were read under other names."""
    if isinstance(value, list):
        return [_listed(node, item) if isinstance(item, dict) else item for item in value]
    if isinstance(value, dict):
        value = {k: _listed(node.children[k], v) if k in node.children else v for k, v in value.items()}
        return {
            k: [v] if k in node.children and node.children[k].repeats and not isinstance(v, list) else v
            for k, v in value.items()
        }
    return value


def _from_scalar(node: Node | None, value: Any) -> Any:
    """`1` is a boolean where the table has one."""
    is_bool = node is not None and node.parameter is not None and node.parameter.type == "bool"
    return bool(value) if is_bool and type(value) is int and value in (0, 1) else value
