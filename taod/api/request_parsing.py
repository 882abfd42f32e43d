"""Reads JSON bodies with any Content-Type into Structs; errors name field and value."""

from __future__ import annotations

import codecs
import difflib
import re
from collections.abc import Collection
from typing import Any, TypeVar

import msgspec

from taod.api.dependencies import Call
from taod.documents import DocumentError, control_character
from taod.errors import BadRequest, TooLarge

Body = TypeVar("Body", bound=msgspec.Struct)

_AT = re.compile(r"^(?P<rule>.*?)(?: - at `(?P<path>\$.*)`)?$", re.DOTALL)
_STEP = re.compile(r"\.(?P<key>[^.\[]+)|\[(?P<index>\d+)\]")
_ABSENT = re.compile(r"^Object missing required field `(?P<field>\w+)`")
_MAX_SHOWN = 80
_MAX_NAMED = 10
"""Number of unknown fields that an error names."""
_PROSE = frozenset({"description", "additional_id_info"})
"""Fields that may have several lines."""
BODY_BYTES = "body_bytes"
SPEC_BYTES = "spec_bytes"


def body_over_limit(limit: str) -> str:
    """The error for a body over a limit of `[limits]`."""
    return f"the body is over limits.{limit}; send less at once, or raise that in taod.toml"


async def read_bytes(request: Call, limit: str = BODY_BYTES) -> bytes:
    """The body without a byte order mark. Raises TooLarge."""
    raw = await request.body()
    if len(raw) > getattr(request.app.state.parser.limits, limit):
        raise TooLarge(body_over_limit(limit))
    return raw.removeprefix(codecs.BOM_UTF8)


async def read_json(request: Call, limit: str = BODY_BYTES) -> Any:
    """The body as JSON values; an empty one is `{}`. Raises BadRequest for invalid JSON, TooLarge."""
    raw = await read_bytes(request, limit)
    if not raw.strip():
        return {}
    try:
        return await request.app.state.parser.json(raw)
    except DocumentError as error:
        raise BadRequest(f"the body is not JSON: {error}; send a JSON document in UTF-8") from error


async def read_object(request: Call, limit: str = BODY_BYTES) -> dict[str, Any]:
    """The body as a JSON object. Raises BadRequest, TooLarge."""
    document = await read_json(request, limit)
    if not isinstance(document, dict):
        raise BadRequest(f"the body is {shown(document)}: expected a JSON object")
    return document


async def read_body(
    request: Call,
    kind: type[Body],
    *,
    answer: type[msgspec.Struct] | None = None,
    limit: str = BODY_BYTES,
) -> Body:
    """The body as a Struct. `answer`: the Struct of the response, whose further fields cannot be set.

    Raises BadRequest naming all unknown fields, or field, value and type of an invalid one.
    """
    return to_struct(await read_object(request, limit), kind, answer=answer)


def to_struct(document: Any, kind: type[Body], *, answer: type[msgspec.Struct] | None = None, at: str = "") -> Body:
    """JSON values as a Struct; raises as `read_body`. `at`: prefix of field names in errors."""
    if isinstance(document, dict):
        fixed = answer.__struct_fields__ if answer is not None else ()
        _reject_unknown(document, kind.__struct_fields__, fixed, at)
    try:
        body = msgspec.convert(document, kind)
    except msgspec.ValidationError as error:
        raise BadRequest(_missing(str(error), kind, at) or _located(str(error), document, at)) from error
    for name in kind.__struct_fields__:
        value = getattr(body, name)
        for text in value if isinstance(value, list) else [value]:
            found = control_character(text, "\t\n\r" if name in _PROSE else "") if isinstance(text, str) else None
            if found is not None:
                raise BadRequest(f"{at}{name} contains the control character {found}; leave it out")
    return body


def _reject_unknown(document: dict[str, Any], known: Collection[str], fixed: Collection[str], at: str) -> None:
    unknown = [name for name in document if name not in known]
    if not unknown:
        return
    problems = []
    for name in unknown[:_MAX_NAMED]:
        near = difflib.get_close_matches(name[:_MAX_SHOWN], known, n=1, cutoff=0.6)
        if name in fixed:
            problems.append(f"{at}{name!r} cannot be set or changed")
        elif near:
            problems.append(f"{at}{name!r} is unknown, did you mean {near[0]!r}?")
        else:
            problems.append(f"{at}{name!r:.80} is unknown")
    if len(unknown) > _MAX_NAMED:
        problems.append(f"{len(unknown) - _MAX_NAMED} more")
    fields = "field" if len(unknown) == 1 else "fields"
    raise BadRequest(f"{fields} {'; '.join(problems)} (known: {', '.join(sorted(known))})")


def _missing(message: str, kind: type[msgspec.Struct], at: str) -> str | None:
    """The error for a missing required field, with its allowed values if it is an enumeration."""
    match = _ABSENT.match(message)
    if match is None:
        return None
    _, components = msgspec.json.schema_components([kind])
    allowed = components[kind.__name__]["properties"].get(match["field"], {}).get("enum")
    return f"{at}{match['field']} is required" + (f"; one of {', '.join(allowed)}" if allowed else "")


def _located(message: str, document: Any, at: str) -> str:
    """msgspec's error, rewritten with field and value first."""
    match = _AT.match(message)
    path = match["path"] if match else None
    rule = (match["rule"] if match else message).replace("`", "")
    if path is None:
        return f"{at.rstrip('.')}: {rule}" if at else rule
    value = _find(document, path)
    name = at + path.removeprefix("$").lstrip(".") if path != "$" else (at or "the body")
    if value is msgspec.UNSET:
        return f"{name}: {rule}"
    return f"{name} = {shown(value)}: {rule}"


def _find(document: Any, path: str) -> Any:
    value = document
    for step in _STEP.finditer(path):
        try:
            value = value[step["key"] if step["key"] is not None else int(step["index"])]
        except (KeyError, IndexError, TypeError):
            return msgspec.UNSET
    return value


def shown(value: Any) -> str:
    """A value as JSON, truncated."""
    text = msgspec.json.encode(value).decode()
    return text if len(text) <= _MAX_SHOWN else text[: _MAX_SHOWN - 1] + "…"
