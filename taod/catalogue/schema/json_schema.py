"""Builds the JSON Schema (2020-12) of an action's specification from its parameter table."""

from __future__ import annotations

from functools import lru_cache
from itertools import combinations
from typing import Any

import msgspec

from taod.catalogue.network import Network, get_network
from taod.catalogue.schema import classwise, descriptions
from taod.catalogue.schema.merge import default, get, group_default, put
from taod.catalogue.schema.tables import Node, Parameter, Table

DIALECT = "https://json-schema.org/draft/2020-12/schema"
_TYPES = {
    "int": "integer",
    "float": "number",
    "bool": "boolean",
    "string": "string",
    "list": "array",
    "object": "object",
}


def schema(network: Network | str, action: str, classes: list[str] | None = None) -> dict[str, Any]:
    """The schema, with a complete `default` and `automl_default_parameters`, as a new document.

    With `classes` (of the dataset), class-wise parts follow them: an entry a class in each `default`, the names as
    `examples` of what an entry's key may be, and a classifier's number of classes.
    """
    document: dict[str, Any] = msgspec.json.decode(_schema(get_network(network), action, tuple(classes or ())))
    return document


@lru_cache(maxsize=256)
def _schema(network: Network, action: str, classes: tuple[str, ...]) -> bytes:
    table = network.table(action)
    whole = {
        "$schema": DIALECT,
        "title": f"{network.name} {action}",
        "description": f"Specification of the {action} action of {network.name}.",
        **_group(table, table.root),
        "default": default(network, action, list(classes)),
        "automl_default_parameters": table.automl if action == "train" else [],
    }
    if classes:
        _follow(whole, network, table, list(classes))
    return msgspec.json.encode(whole)


def _follow(whole: dict[str, Any], network: Network, table: Table, classes: list[str]) -> None:
    """Copy the values of the complete default into the defaults of the class-wise parts."""
    count = classwise.count_path(network.dataset_type, table)
    for path in (*classwise.LISTS, classwise.NAMES, *([count] if count is not None else [])):
        part = _part(whole, path)
        value = get(whole["default"], path)
        if part is None or value is None:
            continue
        part["default"] = value
        items = part.get("items")
        if isinstance(items, dict):
            # Examples, no enumeration: several classes of the data may be learnt as one of another name.
            for name in ("key", "value") if path == classwise.MAPPING else ("key",):
                if name in items.get("properties", {}):
                    items["properties"][name]["examples"] = classes


def set_defaults(described: dict[str, Any], values: dict[str, str]) -> None:
    """Set values in a schema's complete default and in the defaults of their parameters."""
    for path, value in values.items():
        put(described["default"], path, value)
        if (part := _part(described, path)) is not None:
            part["default"] = value


def _part(whole: dict[str, Any], path: str) -> dict[str, Any] | None:
    part: dict[str, Any] | None = whole
    for name in path.split("."):
        part = part.get("properties", {}).get(name) if part is not None else None
    return part


def _group(table: Table, node: Node) -> dict[str, Any]:
    shown = {name: child for name, child in node.children.items() if not child.hidden}
    described: dict[str, Any] = {"type": "object"}
    if shown:
        described["properties"] = {name: _describe(table, child) for name, child in shown.items()}
    alternatives = _alternatives(table, node)
    if alternatives:
        described["not"] = {"anyOf": [{"required": list(both)} for both in alternatives]}
    required = [name for name, child in shown.items() if child.must_be_given]
    if required:
        described["required"] = required
    return described


def _alternatives(table: Table, node: Node) -> list[tuple[str, str]]:
    """Each two names in a group of which a specification may have only one."""
    rules = get_network(table.network, table.release).file.one_of
    return [both for group, *names in rules if group == node.path for both in combinations(names, 2)]


def _describe(table: Table, node: Node) -> dict[str, Any]:
    row = node.parameter
    own = descriptions.described(node.path)
    described: dict[str, Any] = {"title": descriptions.title(node.path)}
    if row is None or row.type == "object":
        if own:
            described["description"] = own[1]
        described |= _group(table, node)
    else:
        described["description"] = descriptions.description(table, row)
        described |= _value(table, node, row)
    if row is not None and row.default is not None:
        described["default"] = row.default
    if row is not None and row.popular:
        described["popular"] = True
    return described


def _value(table: Table, node: Node, row: Parameter) -> dict[str, Any]:
    described: dict[str, Any] = {"type": _TYPES[row.type]} if row.type != "any" else {}
    if row.const:
        described["const"] = row.default
    if row.options:
        described["enum"] = row.options
    if row.type == "list":
        items = _items(table, node, row)
        return described | ({"items": items} if items else {})
    return described | _range(row)


def _range(row: Parameter) -> dict[str, Any]:
    bounds = {"minimum": row.minimum, "maximum": row.maximum, "multipleOf": row.multiple_of}
    return {name: bound for name, bound in bounds.items() if bound is not None}


def _items(table: Table, node: Node, row: Parameter) -> dict[str, Any]:
    if node.children:
        items = _group(table, node)
        template = group_default(node)
        return items | ({"default": template} if template else {})
    bounds = _range(row)
    return {"type": _TYPES[node.items], **bounds} if node.items else {}
