"""Completes partial specifications: defaults, deep merging, missing values."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import msgspec

from taod.catalogue.network import Network, get_network
from taod.catalogue.schema import classwise
from taod.catalogue.schema.tables import Node

Document = dict[str, Any]


def merge(base: Document, over: Document, node: Node | None = None) -> Document:
    """`over` merged into `base`: objects are merged, other values replaced; null stays and means unset.

    With the `node` of the table that both describe, an object with free keys is replaced as well.
    """
    merged = dict(base)
    for key, value in over.items():
        below = merged.get(key)
        child = node.children.get(key) if node is not None else None
        if isinstance(value, dict) and isinstance(below, dict) and not (child is not None and child.free_keys):
            merged[key] = merge(below, value, child)
        else:
            merged[key] = value
    return merged


def without_nulls(document: Document) -> Document:
    """The document without unset values, also in lists; groups that become empty are dropped."""
    kept: Document = {}
    for key, value in document.items():
        if isinstance(value, dict):
            below = without_nulls(value)
            if below or not value:
                kept[key] = below
        elif isinstance(value, list):
            kept[key] = [without_nulls(v) if isinstance(v, dict) else v for v in value]
        elif value is not None:
            kept[key] = value
    return kept


def get(document: Any, path: str, otherwise: Any = None) -> Any:
    """The value at a dotted path; null counts as absent."""
    for name in path.split("."):
        if not isinstance(document, dict) or document.get(name) is None:
            return otherwise
        document = document[name]
    return document


def put(document: Document, path: str, value: Any) -> None:
    """Set a value at a dotted path; missing groups are created, other values on the way replaced."""
    *groups, last = path.split(".")
    for name in groups:
        if not isinstance(document.get(name), dict):
            document[name] = {}
        document = document[name]
    document[last] = value


def drop(document: Any, path: str) -> Any:
    """Remove the value at a dotted path and return it, or None."""
    *groups, last = path.split(".")
    for name in groups:
        document = document.get(name) if isinstance(document, dict) else None
    return document.pop(last, None) if isinstance(document, dict) else None


def default(network: Network | str, action: str, classes: list[str] | None = None) -> Document:
    """The default specification of an action, as a new document.

    With `classes`, class-wise parts get an entry for each class, and a classifier's number of classes is set.
    """
    encoded = _default(get_network(network), action, tuple(classes or ()))
    document: Document = msgspec.json.decode(encoded)
    return document


def over_default(network: Network | str, action: str, document: Document, classes: list[str] | None = None) -> Document:
    """The complete specification for a partial one.

    Of alternatives (an optimiser, a schedule), the document's replaces the default's. A map with free keys is taken
    from the document as a whole.
    """
    chosen, root = get_network(network), get_network(network).table(action).root
    return merge(choose(chosen, default(network, action, classes), document), document, root)


def choose(network: Network, base: Document, over: Document) -> Document:
    """A copy of `base` without the alternatives to values of `over`."""
    for group, *names in network.file.one_of:
        given = {name for name in names if get(over, f"{group}.{name}" if group else name) is not None}
        if given:
            for other in set(names) - given:
                base = without(base, f"{group}.{other}" if group else other)
    return base


def stands_for(network: Network, document: Document, path: str) -> str | None:
    """The alternative that the document has instead of a parameter's group: `…adam` for `…sgd.momentum`."""
    for group, *names in network.file.one_of:
        places = {name: f"{group}.{name}" if group else name for name in names}
        own = next((name for name, place in places.items() if f"{path}.".startswith(f"{place}.")), None)
        if own is not None and get(document, places[own]) is None:
            return next((place for place in places.values() if get(document, place) is not None), None)
    return None


def without(document: Document, path: str) -> Document:
    """A copy of the document without one value; the original is unchanged."""
    name, _, rest = path.partition(".")
    if name not in document or (rest and not isinstance(document[name], dict)):
        return document
    if rest:
        return {**document, name: without(document[name], rest)}
    return {key: value for key, value in document.items() if key != name}


def missing(network: Network | str, action: str, document: Document) -> list[str]:
    """Required parameters that have a value neither in the document nor in the default."""
    table = get_network(network).table(action)
    if not table.required:
        return []
    whole = merge(default(network, action), document)
    absent = (row.path for row in table.required if get(whole, row.path) is None)
    # Fields of an absent group are not required.
    return [path for path in absent if "." not in path or get(whole, path.rpartition(".")[0]) is not None]


@lru_cache(maxsize=256)
def _default(network: Network, action: str, classes: tuple[str, ...]) -> bytes:
    table = network.table(action)
    document = group_default(table.root)
    classwise.fill_classes(table, document, list(classes))
    count = classwise.count_path(network.dataset_type, table)
    if classes and count is not None:
        put(document, count, len(classes))
    return msgspec.json.encode(document)


def group_default(node: Node) -> Document:
    """The defaults of all visible parameters below a group."""
    values: Document = {}
    for name, child in node.children.items():
        value = None if child.hidden else _node_default(child)
        if value is not None:
            values[name] = value
    return values


def _node_default(node: Node) -> Any:
    own = node.parameter.default if node.parameter is not None else None
    if own is not None:
        return merge(own, group_default(node)) if isinstance(own, dict) and node.children else own
    below = group_default(node) if node.children else {}
    if not below:
        return None
    return [below] if node.is_list else below
