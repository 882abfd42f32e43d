"""The protobuf messages of the TF1 tools' specifications."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

import msgspec

DATA = Path(__file__).parent.parent / "data" / "messages.json"


class Field(msgspec.Struct, frozen=True):
    """A field of a message."""

    kind: str
    """`string`, `bool`, `int`, `uint`, `float`, `enum` or `message`."""
    repeated: bool = False
    free_keys: bool = False
    """Declared as a map: entries have a key and a value, and the last entry of a key wins."""
    message: str = ""
    """The name of the message that it holds."""
    members: dict[str, int] = {}
    """The members of its enum, with their numbers."""

    def member(self, value: object) -> str | None:
        """The enum member for a name in any letter case, `__NAME__` or a number; None for any other value."""
        if isinstance(value, bool):
            return None
        if isinstance(value, int | float):
            return next((name for name, number in self.members.items() if number == value), None)
        if not isinstance(value, str):
            return None
        bare = value[2:-2] if value.startswith("__") and value.endswith("__") and len(value) > 4 else value
        if bare in self.members:
            return bare
        return next((name for name in self.members if name.casefold() == bare.casefold()), None)


class _Message(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    fields: dict[str, str]
    """Name -> cardinality (`one`, `many`, `map`) and type: a scalar, an enum or a message."""
    one_of: list[list[str]] = []
    """Groups of fields of which a message may have one."""


class _File(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    roots: dict[str, dict[str, str]]
    """Network -> action -> message type of its specification; `""` for all other actions."""
    enums: dict[str, dict[str, int]]
    messages: dict[str, _Message]


@lru_cache(maxsize=1)
def _file() -> _File:
    return msgspec.json.decode(DATA.read_bytes(), type=_File)


def names() -> list[str]:
    """Every message."""
    return list(_file().messages)


def root(network: str, action: str) -> str | None:
    """The message type of an action's specification; None for other formats and other tools."""
    roots = _file().roots.get(network, {})
    return roots.get(action) or roots.get("")


@lru_cache(maxsize=512)
def fields(message: str) -> dict[str, Field]:
    """The fields of a message by name."""
    return {name: _field(declaration) for name, declaration in _file().messages[message].fields.items()}


def one_of(message: str) -> list[list[str]]:
    """Groups of fields of which the message may have one."""
    return _file().messages[message].one_of


def _field(declaration: str) -> Field:
    count, _, what = declaration.partition(" ")
    file = _file()
    kind = "enum" if what in file.enums else "message" if what in file.messages else what
    return Field(
        kind=kind,
        repeated=count != "one",
        free_keys=count == "map",
        message=what if kind == "message" else "",
        members=file.enums.get(what, {}),
    )
