"""Converts a specification between releases of a network, and lists what changes. Pure.

Computed from the parameter tables of both; `data/renames.json` has what they cannot show. In it null stands for a
parameter that has no counterpart, also where a parameter of the same name counts in another unit.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache

import msgspec

from taod.catalogue.network import Network
from taod.catalogue.schema.merge import Document, drop, put
from taod.catalogue.schema.tables import DATA, Node, Parameter, Table
from taod.catalogue.schema.validate import check
from taod.types.release_change import ActionChange, FieldChange, FieldChangeKind

_ROUNDS = 3
"""Most rounds of dropping rejected values: dropping one may violate a comparison with another."""


def convert(old: Network, new: Network, action: str, document: Document, *, saved: bool) -> ActionChange:
    """The document of an action for the other release of its network, with every parameter that differs."""
    before, after = old.table(action), new.table(action)
    known = _renames(old, new)
    made: Document = {}
    changes: list[FieldChange] = []
    for path, value in _leaves(document, before.root):
        to = _counterpart(path, before, after, known)
        if to == path:
            put(made, to, value)
        elif to is None:
            changes.append(FieldChange(FieldChangeKind.REMOVED, path, value=value))
        else:
            same_name = path.rpartition(".")[2] == to.rpartition(".")[2]
            kind = FieldChangeKind.MOVED if same_name else FieldChangeKind.RENAMED
            changes.append(FieldChange(kind, path, to, value))
            put(made, to, _spelled(value, after.rows[to]))
    changes += _reject(new, action, made)
    taken = {change.to for change in changes}
    changes += [
        FieldChange(FieldChangeKind.NEW, path, value=row.default)
        for path, row in after.rows.items()
        if path not in before.rows and path not in taken and not row.hidden and row.type != "object"
    ]
    return ActionChange(action, saved, changes, made)


def _reject(new: Network, action: str, made: Document) -> list[FieldChange]:
    """Drop values that the other release rejects, so that its defaults apply. Returns them with the reasons."""
    found: list[FieldChange] = []
    for _ in range(_ROUNDS):
        violations = [
            (path, each) for each in check(new, action, made, strict=True).violations if (path := each.path[2:])
        ]
        if not violations:
            break
        for path, violation in violations:
            # for a path into a list, the list's parameter
            path = path.partition("[")[0]
            if drop(made, path) is not None:
                found.append(FieldChange(FieldChangeKind.REJECTED, path, value=violation.value, reason=violation.rule))
    _drop_empty(made)
    return found


def _counterpart(path: str, before: Table, after: Table, known: dict[str, str | None]) -> str | None:
    """Where a parameter is in the other release; None where it has none."""
    if path in known:
        to = known[path]
        return to if to is None or to in after.rows else None
    if _has(after, path):
        return path
    top, name, own = path.partition(".")[0], path.rpartition(".")[2], before.rows.get(path)
    places = [
        other
        for other, row in after.rows.items()
        if other not in before.rows
        and other.rpartition(".")[2] == name
        and other.partition(".")[0] == top
        and own is not None
        and row.type == own.type
        and other not in known.values()
    ]
    return places[0] if len(places) == 1 else None


def _has(table: Table, path: str) -> bool:
    """Whether the table has the parameter, or a map with free keys above it."""
    if path in table.rows:
        return True
    node: Node | None = table.root
    for part in path.split("."):
        if node is not None and node.free_keys:
            return True
        node = node.children.get(part) if node is not None else None
    return node is not None


def _leaves(document: Document, node: Node | None, prefix: str = "") -> Iterator[tuple[str, object]]:
    """(path, value) of every value except groups; a list or a map with free keys is one value."""
    for key, value in document.items():
        child = node.children.get(key) if node is not None else None
        path = f"{prefix}{key}"
        if isinstance(value, dict) and value and not (child is not None and (child.free_keys or not child.children)):
            yield from _leaves(value, child, f"{path}.")
        elif value is not None:
            yield path, value


def _spelled(value: object, row: Parameter) -> object:
    """A choice in the other release's letter case: `AdamW` where that has `adamw`."""
    if not isinstance(value, str):
        return value
    return next((one for one in row.options if isinstance(one, str) and one.lower() == value.lower()), value)


def _drop_empty(document: Document) -> None:
    for key, value in list(document.items()):
        if isinstance(value, dict):
            _drop_empty(value)
            if not value:
                del document[key]


def _renames(old: Network, new: Network) -> dict[str, str | None]:
    """Known counterparts from one release to the other; the reverse of a rename is one too."""
    forward = _table().get(new.release, {}).get(new.name, {})
    back = _table().get(old.release, {}).get(old.name, {})
    reverse = {path if to is None else to: None if to is None else path for path, to in back.items()}
    return dict(forward) | reverse


@lru_cache(maxsize=1)
def _table() -> dict[str, dict[str, dict[str, str | None]]]:
    return msgspec.json.decode((DATA / "renames.json").read_bytes(), type=dict[str, dict[str, dict[str, str | None]]])
