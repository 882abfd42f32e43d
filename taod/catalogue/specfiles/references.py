"""References between the values of one document, `${train.num_epochs}`, as OmegaConf resolves them. Pure.

Only references are resolved. OmegaConf's other interpolations run functions (`${oc.env:HOME}`, `${now:%Y}`): their
values depend on where and when they are read, so they are rejected.
"""

from __future__ import annotations

import copy
import re
from typing import Any

import msgspec

Document = dict[str, Any]
Place = tuple[str | int, ...]

UNSET = "???"
"""OmegaConf's mark of a value that is still missing."""
_PATH = re.compile(r"\.*[^.\[\]{}$:\s]+(?:\.[^.\[\]{}$:\s]+|\[[^.\[\]{}$:\s]+\])*")
_STEP = re.compile(r"[^.\[\]]+")
_MOST_VALUES = 50_000
"""Of all values that are resolved, and of all references."""
_MOST_CHARACTERS = 2_000_000
"""Of all texts that references become a part of."""
_LONGEST_CHAIN = 32
_MOST_PROBLEMS = 20


class Problem(msgspec.Struct, frozen=True):
    """A value that cannot be resolved: path, value and reason."""

    place: Place
    value: str
    why: str

    @property
    def path(self) -> str:
        """As violations have it: `$.train.steps[0]`."""
        return "$" + "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in self.place)


class _Unresolved(Exception):
    pass


def resolve(document: Document, whole: Document | None = None) -> tuple[Document, list[Problem]]:
    """The document with its references replaced by their values, and the references that failed.

    `whole` is the document merged over its action's default, which references may name as well. Missing values
    (`???`) and references to unset values become null.
    """
    if not has_references(document):
        return document, []
    resolver = _Resolver(document if whole is None else whole)
    try:
        resolved: Document = resolver.everything(document, ())
    except RecursionError:
        return document, [Problem((), "", "the references are nested too deep")]
    return resolved, resolver.problems


class _Resolver:
    def __init__(self, whole: Document) -> None:
        self._whole = whole
        self._values = 0
        self._characters = 0
        self.problems: list[Problem] = []

    def _count(self) -> None:
        self._values += 1
        if self._values > _MOST_VALUES:
            raise _Unresolved(f"the references make more than {_MOST_VALUES} values of the document")

    def everything(self, value: Any, place: Place) -> Any:
        if isinstance(value, dict):
            return {key: self.everything(item, (*place, key)) for key, item in value.items()}
        if isinstance(value, list):
            return [self.everything(item, (*place, at)) for at, item in enumerate(value)]
        if len(self.problems) >= _MOST_PROBLEMS:
            return value
        if not isinstance(value, str):
            return value
        try:
            return self._value(value, place, (place,))
        except _Unresolved as error:
            self.problems.append(Problem(place, value, str(error)))
            return value

    def _value(self, value: Any, place: Place, chain: tuple[Place, ...]) -> Any:
        """A value with all references below it resolved; `chain` are the places on the way to it."""
        self._count()
        if isinstance(value, dict):
            return {key: self._value(item, (*place, key), chain) for key, item in value.items()}
        if isinstance(value, list):
            return [self._value(item, (*place, at), chain) for at, item in enumerate(value)]
        if value == UNSET:
            return None
        return self._text(value, place, chain) if isinstance(value, str) and "${" in value else value

    def _text(self, text: str, place: Place, chain: tuple[Place, ...]) -> Any:
        parts: list[str] = []
        at = 0
        while (start := text.find("${", at)) >= 0:
            before = text[at:start]
            slashes = len(before) - len(before.rstrip("\\"))
            if slashes % 2:
                parts.append(before[: -(slashes // 2 + 1)] + "${")
                at = start + 2
                continue
            parts.append(before[: len(before) - slashes // 2])
            self._count()
            end = _closing(text, start)
            found = self._referred(text[start + 2 : end - 1], place, chain)
            if start == 0 and end == len(text):
                return copy.deepcopy(found)
            if found is None:
                return None
            if isinstance(found, dict | list):
                raise _Unresolved(f"{text[start:end]} is a group or a list, and cannot be a part of a text")
            parts.append(str(found))
            self._characters += len(parts[-1])
            if self._characters > _MOST_CHARACTERS:
                raise _Unresolved(f"the references make texts of more than {_MOST_CHARACTERS} characters")
            at = end
        return "".join(parts) + text[at:]

    def _referred(self, inner: str, place: Place, chain: tuple[Place, ...]) -> Any:
        if "${" in inner:
            inner = str(self._text(inner, place, chain))
        inner = inner.strip()
        if ":" in inner:
            raise _Unresolved(f"${{{inner}}} would run a function of OmegaConf; write the value itself")
        if not _PATH.fullmatch(inner):
            raise _Unresolved(f"${{{inner}}} is not a reference to another value, such as ${{train.num_epochs}}")
        up = len(inner) - len(inner.lstrip("."))
        if up > len(place):
            raise _Unresolved(f"${{{inner}}} leads above the top of the document")
        target: Place = place[:-up] if up else ()
        value: Any = self._find(target, inner)
        for step in _STEP.findall(inner):
            value, at = self._below(value, step, inner)
            target = (*target, at)
        if len(chain) > _LONGEST_CHAIN:
            raise _Unresolved(f"it refers to another value over more than {_LONGEST_CHAIN} references")
        if target in chain or any(one[: len(target)] == target for one in chain):
            path = " -> ".join(".".join(map(str, one)) for one in (*chain, target))
            raise _Unresolved(f"it refers to itself: {path}")
        return self._value(value, target, (*chain, target))

    def _find(self, place: Place, inner: str) -> Any:
        value: Any = self._whole
        for step in place:
            value, _ = self._below(value, str(step), inner)
        return value

    def _below(self, value: Any, step: str, inner: str) -> tuple[Any, str | int]:
        if isinstance(value, dict) and step in value:
            return value[step], step
        if isinstance(value, list) and step.isdecimal() and len(step) < 10 and int(step) < len(value):
            return value[int(step)], int(step)
        raise _Unresolved(f"${{{inner}}} refers to nothing: neither the document nor the default has {step!r} there")


def has_references(document: Document) -> bool:
    """Whether a document has anything to resolve."""
    text = msgspec.json.encode(document)
    return b"${" in text or f'"{UNSET}"'.encode() in text


def _closing(text: str, start: int) -> int:
    """The place behind the brace that closes the one at `start`."""
    depth = 0
    for at in range(start, len(text)):
        if text.startswith("${", at):
            depth += 1
            if depth > _LONGEST_CHAIN:
                raise _Unresolved(f"references are nested more than {_LONGEST_CHAIN} deep")
        elif text[at] == "}":
            depth -= 1
            if not depth:
                return at + 1
    raise _Unresolved("a reference is not closed; '}' is missing")
