"""Writes a specification as its tool reads it: YAML, JSON, or protobuf text. Pure."""

from __future__ import annotations

import json
import math
import re
from typing import Any

from taod.documents import write_yaml

SUFFIXES = {"yaml": ".yaml", "protobuf": ".protobuf", "json": ".json"}
_ENUM = re.compile(r"__(?P<name>[A-Za-z][A-Za-z0-9_]*?)__")
_FIELD = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_ESCAPES = {"\\": "\\\\", '"': '\\"', "\n": "\\n", "\r": "\\r", "\t": "\\t"}


def emit(spec_format: str, document: dict[str, Any]) -> str:
    """The document as text of that format (`yaml`, `protobuf` or `json`)."""
    if spec_format == "protobuf":
        return protobuf_text(document)
    return json_text(document) if spec_format == "json" else write_yaml(document)


def json_text(document: dict[str, Any]) -> str:
    return json.dumps(document, indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def protobuf_text(document: dict[str, Any]) -> str:
    """Protobuf text: objects are messages, lists repeat their field, `__NAME__` is an enum value, null is left out.

    Raises ValueError for what the format has no form for (a list of lists, a key that is not an identifier).
    """
    lines: list[str] = []
    _message(document, "", lines)
    return "\n".join(lines) + "\n" if lines else ""


def _message(document: dict[str, Any], indent: str, lines: list[str]) -> None:
    for key, value in document.items():
        if not isinstance(key, str) or not _FIELD.fullmatch(key):
            raise ValueError(f"{key!r} cannot be a field of a protobuf text")
        for one in value if isinstance(value, list) else [value]:
            if isinstance(one, list):
                raise ValueError(f"{key}: a protobuf text has no lists of lists")
            if isinstance(one, dict):
                lines.append(f"{indent}{key} {{")
                _message(one, indent + "  ", lines)
                lines.append(f"{indent}}}")
            elif one is not None:
                lines.append(f"{indent}{key}: {_scalar(one)}")


def _scalar(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float) and not math.isfinite(value):
        return "nan" if math.isnan(value) else ("inf" if value > 0 else "-inf")
    if isinstance(value, int | float):
        return repr(value)
    if not isinstance(value, str):
        raise ValueError(f"{value!r} cannot be written as protobuf text")
    enum = _ENUM.fullmatch(value)
    return enum["name"] if enum else quoted(value)


def quoted(text: str) -> str:
    """A string literal of the protobuf text format."""
    return '"' + "".join(_ESCAPES.get(c) or (c if c >= " " and c != "\x7f" else f"\\{ord(c):03o}") for c in text) + '"'
