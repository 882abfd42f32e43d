"""Maps the fields of a Struct to the columns of a table: plain values, JSON text, or computed and read-only."""

from __future__ import annotations

import enum
import types
import typing
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Generic, TypeVar

import msgspec

from taod.types.reason import Reason

T = TypeVar("T", bound=msgspec.Struct)

_PLAIN = (str, int, float, bytes, type(None))


class Columns(Generic[T]):
    """The columns of one Struct, in the order of its fields.

    `computed` maps a field without a column to the SQL expression that yields it; `fixed` names further fields that an
    update may not change. Fields of types that SQLite lacks are stored as JSON text.
    """

    def __init__(
        self, struct: type[T], *, computed: Mapping[str, str] | None = None, fixed: Iterable[str] = ("id",)
    ) -> None:
        self._struct = struct
        self._computed = dict(computed or {})
        self._decoders: list[tuple[int, Callable[[Any], object]]] = []
        self._encoders: dict[str, Callable[[Any], object]] = {}
        fields = msgspec.structs.fields(struct)
        for position, field in enumerate(fields):
            encode, decode = _codec(field.type)
            self._encoders[field.name] = encode
            if decode is not None:
                self._decoders.append((position, decode))
        self.names = [field.name for field in fields]
        self.stored = [name for name in self.names if name not in self._computed]
        self._changeable = frozenset(self.stored) - frozenset(fixed)

    def select(self, table: str, *, without: Iterable[str] = ()) -> str:
        """The column list of a SELECT whose rows `read` decodes; the fields in `without` are NULL."""
        omitted = frozenset(without)
        return ", ".join(
            "NULL" if name in omitted else self._computed.get(name, f"{table}.{name}") for name in self.names
        )

    def read(self, row: Iterable[Any]) -> T:
        """Decode a row that begins with the columns of `select`."""
        values = list(row)
        for position, decode in self._decoders:
            if values[position] is not None:
                values[position] = decode(values[position])
        return self._struct(*values)

    def pack(self, record: T) -> dict[str, object]:
        """Column → stored value of a whole record."""
        return {name: self._encode(name, getattr(record, name)) for name in self.stored}

    def changes(self, fields: Mapping[str, object]) -> dict[str, object]:
        """Column → stored value of the fields of an update. Raises TypeError for an unknown or read-only field."""
        if wrong := [name for name in fields if name not in self._changeable]:
            raise TypeError(f"{self._struct.__name__} has no field to change named {', '.join(wrong)}")
        return {name: self._encode(name, value) for name, value in fields.items()}

    def _encode(self, name: str, value: object) -> object:
        return None if value is None else self._encoders[name](value)


def with_reason(fields: Mapping[str, Any]) -> dict[str, Any]:
    """The fields, with a `reason` split into the two fields that store it."""
    split = dict(fields)
    if "reason" in split:
        reason: Reason | None = split.pop("reason")
        split["reason_code"] = None if reason is None else reason.code
        split["reason_args"] = {} if reason is None else reason.arguments
    return split


def _codec(kind: Any) -> tuple[Callable[[Any], object], Callable[[Any], object] | None]:
    """The encoder and decoder of a field's type; no decoder if SQLite returns the value unchanged."""
    members = typing.get_args(kind) if isinstance(kind, types.UnionType) else (kind,)
    members = tuple(str if typing.get_origin(member) is typing.Literal else member for member in members)
    if bool in members:
        return int, bool
    classes = [member for member in members if isinstance(member, type)]
    if len(classes) == len(members):
        for member in classes:
            if issubclass(member, enum.StrEnum):
                return str, member
        if all(issubclass(member, _PLAIN) for member in classes):
            return _unchanged, None
    return _to_json, msgspec.json.Decoder(kind).decode


def _unchanged(value: object) -> object:
    return value


def _to_json(value: object) -> object:
    return msgspec.json.encode(value).decode()
