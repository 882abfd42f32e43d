"""Fields of a specification from its JSON Schema, and their edited values. Pure."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from copy import deepcopy
from dataclasses import dataclass, field
from typing import Any

from taod.client.comparison import MISSING
from taod.types.parameter import notable

Path = tuple[str, ...]
Document = dict[str, Any]


class InvalidValue(ValueError):
    """The input is not valid for the field; the message gives the reason and the rule."""


@dataclass(frozen=True, slots=True)
class Field:
    """One parameter. `schema`: its part of the JSON Schema."""

    path: Path
    schema: Mapping[str, Any]
    required: bool = False
    swept: bool = False
    """Whether sweeps search it by default."""

    @property
    def name(self) -> str:
        return ".".join(self.path)

    @property
    def title(self) -> str:
        return str(self.schema.get("title", self.path[-1]))

    @property
    def description(self) -> str:
        return str(self.schema.get("description", ""))

    @property
    def kind(self) -> str:
        return str(self.schema.get("type", "any"))

    @property
    def options(self) -> list[Any]:
        """The possible values, if they are enumerated."""
        if self.kind == "boolean":
            return [True, False]
        return list(self.schema.get("enum", ()))

    @property
    def notable(self) -> bool:
        """Whether it is shown before all parameters are requested."""
        return notable(self.path, self.schema, required=self.required, swept=self.swept)

    @property
    def rule(self) -> str:
        """Description of the valid values."""
        names = {"integer": "a whole number", "number": "a number", "boolean": "true or false", "string": "text"}
        words = [names.get(self.kind, "a list" if self.kind == "array" else "a group of values")]
        if self.kind != "boolean" and self.options:
            words = ["one of " + ", ".join(written(option) for option in self.options)]
        low, high = self.schema.get("minimum"), self.schema.get("maximum")
        if low is not None and high is not None:
            words.append(f"from {written(low)} to {written(high)}")
        elif low is not None:
            words.append(f"{written(low)} or more")
        elif high is not None:
            words.append(f"{written(high)} or less")
        if "multipleOf" in self.schema:
            words.append(f"a multiple of {self.schema['multipleOf']}")
        if "const" in self.schema:
            words.append(f"always {written(self.schema['const'])}")
        return ", ".join(words)

    def read(self, text: str) -> Any:
        """The value that was typed. Raises InvalidValue."""
        value = self._typed(text)
        self._check(value)
        return value

    def _typed(self, text: str) -> Any:
        text = text.strip()
        if self.kind == "string" and not self.options:
            return text
        for option in self.options:
            if written(option) == text or (isinstance(option, bool) and text.lower() == written(option)):
                return option
        from taod.documents import read_yaml  # imported late: loads YAML, which most sessions do not need

        try:
            if self.kind == "integer":
                return int(text)
            if self.kind == "number":
                value = float(text)
                return int(value) if value.is_integer() and "." not in text and "e" not in text.lower() else value
            if self.kind in ("array", "object", "any"):
                return read_yaml(text)
        except ValueError:
            pass
        raise InvalidValue(f"{text!r} is not {self.rule}")

    def _check(self, value: Any) -> None:
        schema = self.schema
        kinds = {"array": list, "object": dict}
        if self.kind in kinds and not isinstance(value, kinds[self.kind]):
            shape = "[1, 2, 3]" if self.kind == "array" else "{a: 1, b: 2}"
            raise InvalidValue(f"{written(value)} is not {self.rule}; write it as {shape}")
        if "enum" in schema and value not in schema["enum"]:
            raise InvalidValue(f"{written(value)} is not {self.rule}")
        if "const" in schema and value != schema["const"]:
            raise InvalidValue(f"{written(value)} is not valid: it is {self.rule}")
        if isinstance(value, int | float) and not isinstance(value, bool):
            low, high, step = schema.get("minimum"), schema.get("maximum"), schema.get("multipleOf")
            outside = (low is not None and value < low) or (high is not None and value > high)
            if value != value or outside or (step and value % step):
                raise InvalidValue(f"{written(value)} is not {self.rule}")


def written(value: Any) -> str:
    """A value as a user types it."""
    if value is MISSING:
        return ""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def fields(schema: Mapping[str, Any]) -> list[Field]:
    """Every leaf parameter of the schema, in its order."""
    swept = frozenset(schema.get("automl_default_parameters", ()))
    return list(_fields(schema, (), False, swept))


def _fields(schema: Mapping[str, Any], path: Path, required: bool, swept: frozenset[str]) -> Iterator[Field]:
    parts = schema.get("properties")
    if parts:
        needed = set(schema.get("required", ()))
        for name, part in parts.items():
            yield from _fields(part, (*path, name), name in needed, swept)
    elif path:
        yield Field(path, schema, required, ".".join(path) in swept)


@dataclass
class Draft:
    """An edited specification. `base`: the saved one, or the default."""

    schema: Mapping[str, Any]
    base: Document
    saved: bool = False
    """Whether `base` is saved."""
    changes: dict[Path, Any] = field(default_factory=dict)
    """By path; MISSING for a removed value."""

    def __post_init__(self) -> None:
        self.fields = fields(self.schema)
        self._default: Document = self.schema.get("default", {})

    def default(self, one: Field) -> Any:
        """Default of the schema; MISSING without one."""
        value = at(self._default, one.path)
        return one.schema.get("default", MISSING) if value is MISSING else value

    def value(self, one: Field) -> Any:
        """Current value; MISSING without one."""
        return self.changes.get(one.path, at(self.base, one.path))

    def differs(self, one: Field) -> bool:
        """Whether the value differs from the default."""
        value = self.value(one)
        return value is not MISSING and value != self.default(one)

    def change(self, one: Field, text: str) -> None:
        """Set the typed value; empty removes it. Raises InvalidValue."""
        if not text.strip() and one.kind != "string":
            if one.required:
                raise InvalidValue(f"{one.name} needs a value: {one.rule}")
            self._set(one, MISSING)
        else:
            self._set(one, one.read(text))

    def reset(self, one: Field) -> None:
        """Reset the parameter to the schema's default."""
        self._set(one, self.default(one))

    def put(self, path: Path, value: Any) -> None:
        """Set a value without a field; MISSING removes it."""
        if value == at(self.base, path):
            self.changes.pop(path, None)
        else:
            self.changes[path] = value

    def _set(self, one: Field, value: Any) -> None:
        if value == at(self.base, one.path) or (value is MISSING and at(self.base, one.path) is MISSING):
            self.changes.pop(one.path, None)
        else:
            self.changes[one.path] = value

    def document(self) -> Document:
        """The whole specification as it would be saved."""
        document = deepcopy(self.base)
        for path, value in self.changes.items():
            *groups, name = path
            group = document
            for each in groups:
                inner = group.get(each)
                if not isinstance(inner, dict):
                    inner = group[each] = {}
                group = inner
            if value is MISSING:
                group.pop(name, None)
            else:
                group[name] = value
        return document


def at(document: Any, path: Path) -> Any:
    """The value at a path; MISSING where there is none."""
    for name in path:
        if not isinstance(document, Mapping) or name not in document:
            return MISSING
        document = document[name]
    return document
