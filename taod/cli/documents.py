"""Specification files: reading YAML or JSON, writing YAML, and changing single values by their path."""

from __future__ import annotations

import re
from typing import IO, Any

import msgspec
import rich_click as click
import yaml

Document = dict[str, Any]

_RULES = {
    "float": (
        r"^(?:[-+]?(?:\d+\.?\d*|\.\d+)[eE][-+]?\d+|[-+]?(?:\d+\.\d*|\.\d+)|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN))$",
        "-+0123456789.",
    ),
    "int": (r"^[-+]?(?:0|[1-9]\d*)$", "-+0123456789"),
    "bool": (r"^(?:true|True|TRUE|false|False|FALSE)$", "tTfF"),
}
"""How scalars read in YAML 1.2, and in the tools: kind → pattern, first characters."""
_KEPT = ("tag:yaml.org,2002:null", "tag:yaml.org,2002:merge")


class _Loader(yaml.SafeLoader):
    """Reads `1e-4` as a number, and `no`, `12:30:00` and `2024-01-01` as text."""


class _Dumper(yaml.SafeDumper):
    """Writes quotes around text that would be read as a number."""


_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in rules if tag in _KEPT]
    for first, rules in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
for _kind, (_pattern, _first) in _RULES.items():
    for _side in (_Loader, _Dumper):
        _side.add_implicit_resolver(f"tag:yaml.org,2002:{_kind}", re.compile(_pattern), list(_first))


def read(file: IO[bytes]) -> Document:
    """The document of a YAML or JSON file. Raises UsageError where it is neither, or no mapping."""
    content = file.read()
    name = getattr(file, "name", "the file")
    try:
        document = yaml.load(content, _Loader)
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise click.UsageError(f"{name} is neither YAML nor JSON: {error}") from error
    if not isinstance(document, dict):
        raise click.UsageError(f"{name} holds no mapping of parameters")
    return document


def to_yaml(document: Document) -> str:
    """The document as YAML, in its own order."""
    return yaml.dump(document, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=120)


def edit(document: Document, pairs: tuple[str, ...]) -> None:
    """Set values by path, `a.b.c=value`; a number in the path is a place in a list. Values are read as JSON, else text.

    What is missing on the way is made. Raises UsageError naming the path.
    """
    for pair in pairs:
        path, separator, text = pair.partition("=")
        if not separator or not all(path.split(".")):
            raise click.UsageError(f"{pair!r}: expected KEY=VALUE, the key with dots between its parts")
        *parents, last = path.split(".")
        place: Any = document
        for depth, part in enumerate(parents):
            place = _step(place, part, ".".join(parents[: depth + 1]))
        if isinstance(place, list):
            place[_index(place, last, path)] = value_of(text)
        else:
            place[last] = value_of(text)


def value_of(text: str) -> Any:
    """A value of a command line: a number, true, false, null, a list, an object; anything else is text."""
    try:
        return msgspec.json.decode(text)
    except msgspec.DecodeError:
        pass
    try:
        value = yaml.load(text, _Loader) if text else ""
    except yaml.YAMLError:
        return text
    # `a: b` is meant as text; `[a, b]`, `{a: b}`, True and .5 are not.
    return text if isinstance(value, dict) and not text.startswith("{") else value


def _step(place: Any, part: str, path: str) -> Any:
    if isinstance(place, list):
        found = place[_index(place, part, path)]
    else:
        if place.get(part) is None:
            place[part] = {}
        found = place[part]
    if not isinstance(found, dict | list):
        raise click.UsageError(f"{path} is {found!r}: nothing can be set below it")
    return found


def _index(place: list[Any], part: str, path: str) -> int:
    if not part.isdecimal() or int(part) >= len(place):
        raise click.UsageError(f"{path}: {part!r} is no place in a list of {len(place)}; the first is 0")
    return int(part)
