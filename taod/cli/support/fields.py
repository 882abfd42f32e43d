"""`FIELD=VALUE` pairs of a command line, converted to the Struct of a request body."""

from __future__ import annotations

import difflib
from collections.abc import Awaitable, Callable, Iterable
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec
import rich_click as click
from msgspec import inspect

from taod.cli.support.resolve import dataset_id, model_id

if TYPE_CHECKING:
    from taod.client import AsyncClient

S = TypeVar("S", bound=msgspec.Struct)
Resolve = Callable[["AsyncClient", str], Awaitable[str]]

REFERENCES: dict[str, Resolve] = {
    "ptm": model_id,
    "train_datasets": dataset_id,
    "eval_dataset": dataset_id,
    "inference_dataset": dataset_id,
    "calibration_dataset": dataset_id,
}
"""Fields with ids of other resources; the command line also accepts id prefixes and names."""


async def parse(client: AsyncClient, pairs: Iterable[str], kind: type[S], **fixed: Any) -> S:
    """The body of a request from `FIELD=VALUE` pairs and `fixed` fields.

    A list has commas between its items, or is JSON; `null` or an empty value unsets an optional field. Raises
    UsageError with the field, its value and the rule; BadRequest if a referenced resource does not exist.
    """
    types = {field.name: _alternatives(field.type) for field in _struct(kind).fields}
    values: dict[str, Any] = {}
    for pair in pairs:
        name, separator, text = pair.partition("=")
        if not separator:
            raise click.UsageError(f"{pair!r}: expected FIELD=VALUE")
        if name in values:
            raise click.UsageError(f"{name} is given twice")
        if name not in types or name in fixed:
            raise click.UsageError(_unknown(name, [known for known in types if known not in fixed]))
        values[name] = await _resolved(client, name, _value(text, types[name]))
    try:
        return msgspec.convert({**values, **fixed}, kind, strict=False)
    except msgspec.ValidationError as error:
        message, _, path = str(error).partition(" - at `$.")
        name = path.rstrip("`").split("[")[0]
        given = f"{name}={values[name]!r}: " if name in values else ""
        raise click.UsageError(f"{given}{message}") from error


def _struct(kind: type[msgspec.Struct]) -> inspect.StructType:
    found = inspect.type_info(kind)
    assert isinstance(found, inspect.StructType)
    return found


def _alternatives(kind: inspect.Type) -> tuple[type[inspect.Type], ...]:
    kinds = kind.types if isinstance(kind, inspect.UnionType) else (kind,)
    return tuple(type(each) for each in kinds)


def _value(text: str, kinds: tuple[type[inspect.Type], ...]) -> Any:
    if inspect.NoneType in kinds and text in ("", "null"):
        return None
    if inspect.ListType not in kinds:
        return text
    if not text.startswith("["):
        return [part.strip() for part in text.split(",") if part.strip()]
    try:
        return msgspec.json.decode(text)
    except msgspec.DecodeError as error:
        raise click.UsageError(f"{text!r} is not a JSON list: {error}") from error


async def _resolved(client: AsyncClient, name: str, value: Any) -> Any:
    resolve = REFERENCES.get(name)
    if resolve is None or not value:
        return value
    if isinstance(value, str):
        return await resolve(client, value)
    return [await resolve(client, str(each)) for each in value]


def _unknown(name: str, known: list[str]) -> str:
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.6)
    return f"there is no field {name!r}; " + (f"did you mean {near[0]}?" if near else f"known: {', '.join(known)}")
