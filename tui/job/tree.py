"""A specification as an indented tree of keys and values. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from rich.text import Text

from tui.theme import BLUE, DIM, SOFT, TEXT, YELLOW

INDENT = "  "


def tree(document: Mapping[str, Any]) -> Text:
    """The document as YAML would indent it, coloured by kind of value."""
    text = Text(no_wrap=True, overflow="ellipsis")
    for number, line in enumerate(_lines(document, 0)):
        if number:
            text.append("\n")
        text.append_text(line)
    return text


def _lines(value: Any, depth: int) -> Iterator[Text]:
    entries = value.items() if isinstance(value, Mapping) else (("-", each) for each in value)
    for name, each in entries:
        lead = Text(INDENT * depth).append(f"{name}", style=SOFT if name != "-" else DIM)
        lead.append("" if name == "-" else ":", style=DIM)
        nested = isinstance(each, list) and any(isinstance(item, Mapping | list) for item in each)
        if nested or (isinstance(each, Mapping) and each):
            yield lead
            yield from _lines(each, depth + 1)
        else:
            yield lead.append(" ").append_text(_scalar(each))


def _scalar(value: Any) -> Text:
    if value is None:
        return Text("null", style=DIM)
    if isinstance(value, bool):
        return Text("true" if value else "false", style=YELLOW)
    if isinstance(value, int | float):
        return Text(f"{value}", style=BLUE)
    if isinstance(value, list):
        inner = Text("[", style=DIM)
        for number, each in enumerate(value):
            inner.append(", " if number else "", style=DIM).append_text(_scalar(each))
        return inner.append("]", style=DIM)
    if isinstance(value, Mapping):
        return Text("{}", style=DIM)
    return Text(str(value), style=TEXT)
