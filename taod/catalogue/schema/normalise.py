"""Spells values as the tool does: lists, enum members, options. Pure."""

from __future__ import annotations

from typing import Any

from taod.catalogue.schema.tables import Node, Table

Document = dict[str, Any]
_AS_WRITTEN = ("image_extension", "image_ext")
"""Parameters whose value is part of a file name, so letter case matters."""


def normalise(table: Table, document: Document) -> Document:
    """The document with each value as the tool declares it; values that fit no declaration stay.

    A single value where a list is declared becomes a list of one. A member of an enum, by name in any letter case or
    by number, becomes `__NAME__`; an option in another letter case gets the tool's. Whole numbers lose their `.0`.
    """
    return {key: _at(table.root.children.get(key), value) for key, value in document.items()}


def _at(node: Node | None, value: Any) -> Any:
    if node is None or value is None:
        return value
    if isinstance(value, list):
        return [_one(node, item) for item in value]
    one = _one(node, value)
    return [one] if node.declares_list else one


def _one(node: Node, value: Any) -> Any:
    if isinstance(value, dict):
        below = node.children
        return {key: _at(below.get(key), item) for key, item in value.items()} if below else value
    if node.field is not None and node.field.kind == "enum":
        member = node.field.member(value)
        return value if member is None else f"__{member}__"
    row = node.parameter
    if row is None:
        return value
    if isinstance(value, float):
        return int(value) if row.type == "int" and value.is_integer() else value
    if isinstance(value, str) and row.options and value not in row.options and not row.path.endswith(_AS_WRITTEN):
        same = [each for each in row.options if isinstance(each, str) and each.casefold() == value.casefold()]
        return same[0] if len(same) == 1 else value
    return value
