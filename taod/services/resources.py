"""Operations shared by all resources: lookup by id, pages of lists, fields of request bodies, removal of folders."""

from __future__ import annotations

import ast
import json
import shutil
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar

import msgspec

from taod.errors import BadRequest, NotFound
from taod.ids import is_id

Record = TypeVar("Record", covariant=True)
Item = TypeVar("Item")


class Repository(Protocol[Record]):
    """The records of one kind that a user may see."""

    def get(self, user_id: str, record_id: str, /) -> Record | None: ...


def find(repository: Repository[Record], kind: str, user_id: str, record_id: str) -> Record:
    """The stored record, if the user may see it. Raises NotFound."""
    found = repository.get(user_id, record_id.lower()) if is_id(record_id) else None
    if found is None:
        raise NotFound(f"{kind} {record_id} not found; list them with GET …/{kind}")
    return found


class PageRequest(msgspec.Struct, frozen=True):
    """A page of a list: skip `skip` items and return at most `size` (None: all)."""

    skip: int = 0
    size: int | None = None


class Page(msgspec.Struct, Generic[Item], frozen=True):
    """A part of a list, and the length of the whole list."""

    items: list[Item]
    total: int


def set_fields(body: msgspec.Struct) -> dict[str, Any]:
    """The fields of a request body except unset ones."""
    values = {name: getattr(body, name) for name in body.__struct_fields__}
    return {name: value for name, value in values.items() if value is not msgspec.UNSET}


def take_immutable(fields: dict[str, Any], record: msgspec.Struct, *names: str) -> None:
    """Remove the named fields from `fields`. Raises BadRequest if one differs from the record."""
    for name in names:
        if name not in fields:
            continue
        wanted, has = fields.pop(name), getattr(record, name)
        if wanted != has:
            raise BadRequest(f"{name} cannot be changed: it is {has!r}, {wanted!r} was given; create a new one instead")


def name_list(field: str, value: str | list[str]) -> str:
    """Normalise a list of parameter names, or a string with a JSON or Python list, to JSON text.

    Raises BadRequest naming the field for any other value.
    """
    parsed: Any = value
    if isinstance(value, str):
        parsed = _parse(value) if value.strip() else []
    if not isinstance(parsed, list) or not all(isinstance(name, str) for name in parsed):
        raise BadRequest(f"{field}: {value!r:.80} is not a list of parameter names; send one like \"['a.b', 'c']\"")
    return json.dumps(parsed)


def remove_folder(folder: Path) -> None:
    """Delete a folder with its contents, if it exists; does not follow links. Blocks, and does not use the store."""
    if folder.is_symlink():
        folder.unlink()
        return
    shutil.rmtree(folder, ignore_errors=True)


def _parse(text: str) -> Any:
    for read in (json.loads, ast.literal_eval):
        try:
            return read(text)
        except (ValueError, SyntaxError, MemoryError, RecursionError):
            continue
    return None
