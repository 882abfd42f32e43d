"""Reads and writes YAML as TAO's tools do, and JSON; used by daemon, client and engine.

Hydra's OmegaConf reads with PyYAML and its own rules for floats and dates. The same rules apply here, so that a file
has the same meaning as in the tool. The older tools read with plain PyYAML: text is quoted so that both readers agree.
"""

from __future__ import annotations

import json
import re
from collections.abc import Hashable, Iterable
from itertools import accumulate
from typing import Any

import msgspec
import yaml

Document = dict[str, Any]


class Bounds(msgspec.Struct, frozen=True):
    """Limits of a document's size; a reader stops at them."""

    values: int = 200_000
    """Most values, including those repeated by references."""
    depth: int = 100
    """Most levels of nested lists and mappings."""


BOUNDS = Bounds()
_LONGEST_NUMBER = 100
_LONG_VALUES, _LONG_TEXT = 500, 200
"""A value is long from so many values on, of which a text counts one for so many characters."""
LARGEST = 2**63
"""Bound of the absolute value of whole numbers."""
_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029]")
_STRING = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+(?:"|\\?\Z)', re.DOTALL)
"""A JSON string; an unclosed one reaches to the end of the text, so that one pass finds all."""
_NO_BRACKET = bytes(each for each in range(256) if each not in b"[]{}")
_STEP = {each: 1 if each in b"[{" else -1 for each in b"[]{}"}
_FLOAT = re.compile(
    r"""^(?: [-+]?\d+(?:_\d+)* (?: \.[\d_]*(?:[eE][-+]?\d+)? | [eE][-+]?\d+ | (?::[0-5]?\d)+\.[\d_]* )
          | \.\d+(?:_\d+)*(?:[eE][-+]\d+)?
          | [-+]?\.(?:inf|Inf|INF)
          | \.(?:nan|NaN|NAN) )$""",
    re.VERBOSE | re.ASCII,
)
"""Pattern of floats, including `1e-4`, which plain PyYAML reads as text."""
_WORDS: dict[str, Any] = {"": "", "true": True, "false": False, "null": None}
_INT = re.compile(r"[-+]?(?:0|[1-9]\d*)", re.ASCII)
_NUMBER = re.compile(r"[-+]?(?:\d+\.\d*|\d*\.\d+|\d+(?=[eE]))(?:[eE][-+]?\d+)?", re.ASCII)
_INT_TAG = "tag:yaml.org,2002:int"
_FLOAT_TAG = "tag:yaml.org,2002:float"
_TIMESTAMP_TAG = "tag:yaml.org,2002:timestamp"
_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_DUMPER: Any = getattr(yaml, "CSafeDumper", yaml.SafeDumper)


class DocumentError(ValueError):
    """A fault in a text, with its line."""


class _Loader(_LOADER):  # type: ignore[misc]
    """PyYAML's scalars (`no` is false, `0x10` is 16), floats such as `1e-4`, dates as text, no duplicate keys."""

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[Hashable, Any]:
        if isinstance(node, yaml.MappingNode):
            _reject_duplicate_keys(node)
        made: dict[Hashable, Any] = super().construct_mapping(node, deep=deep)
        return made

    def flatten_mapping(self, node: yaml.MappingNode) -> None:
        super().flatten_mapping(node)
        # Merged mappings may multiply at each level.
        self.merged = getattr(self, "merged", 0) + len(node.value)
        if self.merged > self.bounds.values:
            raise DocumentError(f"line {_line(node)}: it holds more than {self.bounds.values} values")

    def construct_number(self, node: yaml.ScalarNode) -> int | float:
        if len(node.value) > _LONGEST_NUMBER:
            shown = f"{node.value:.20}… of {len(node.value)} characters"
            raise DocumentError(f"line {_line(node)}: {shown} is too long for a number; quote it as text")
        read = self.construct_yaml_int if node.tag == _INT_TAG else self.construct_yaml_float
        number: int | float = read(node)
        return number

    bounds = BOUNDS


class _Dumper(_DUMPER):  # type: ignore[misc]
    """Quotes text that one of the readers would read as another type; writes repeated values without references."""

    def ignore_aliases(self, _data: Any) -> bool:
        return True


_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag != _TIMESTAMP_TAG]
    for first, resolvers in _LOADER.yaml_implicit_resolvers.items()
}
for _side in (_Loader, _Dumper):
    _side.add_implicit_resolver(_FLOAT_TAG, _FLOAT, list("-+0123456789."))
for _tag in (_INT_TAG, _FLOAT_TAG):
    _Loader.add_constructor(_tag, _Loader.construct_number)


def read_yaml(text: str, bounds: Bounds = BOUNDS) -> Any:
    """The value of a YAML (or JSON) text; None for an empty one.

    Raises DocumentError naming the line, also for a duplicate key and for values that JSON cannot represent; for a
    document beyond `bounds`, before it is built.
    """
    text = text.removeprefix("\ufeff")
    try:
        _bound_events(yaml.parse(text, Loader=_Loader), bounds)
        loader = _Loader(text)
        loader.bounds = bounds
        try:
            value = loader.get_single_data()
        finally:
            loader.dispose()
        measure(value, bounds)
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark is not None else 1
        raise DocumentError(f"line {line}: {error.problem or error.context}") from error
    except DocumentError:
        raise
    except (yaml.YAMLError, ValueError, OverflowError) as error:
        raise DocumentError(str(error)) from error
    except RecursionError as error:
        raise DocumentError("it is nested too deep, or holds itself") from error
    return value


def read_json(raw: bytes, bounds: Bounds = BOUNDS) -> Any:
    """The value of a JSON text in UTF-8.

    Raises DocumentError, also for a duplicate key; for a document beyond `bounds`, before it is built.
    """
    outline = _STRING.sub(b"", raw)
    if sum(map(outline.count, (b",", b"[", b"{"))) >= bounds.values:
        raise DocumentError(f"it holds more than {bounds.values} values")
    if max(accumulate(map(_STEP.__getitem__, outline.translate(None, _NO_BRACKET))), default=0) > bounds.depth:
        raise DocumentError(f"it is nested more than {bounds.depth} deep")
    try:
        value = msgspec.json.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise DocumentError(str(error)) from error
    if measure(value, bounds) != outline.count(b":"):
        raise DocumentError(_given_twice(raw))
    return value


def control_character(text: str, allowed: str = "") -> str | None:
    """The first control character or line break that is not in `allowed`, as `U+0007`; None without one."""
    found = next((each for each in _CONTROL.findall(text) if each not in allowed), None)
    return None if found is None else f"U+{ord(found):04X}"


def read_value(text: str) -> Any:
    """A value of a command line, read as Hydra reads `a.b=value`: number, true, false, null, list, object, else text.

    Words such as `no` and `12:30` are text here, unlike in YAML, since quotes get lost in a shell.
    """
    if text.lower() in _WORDS:
        return _WORDS[text.lower()]
    if _INT.fullmatch(text):
        return int(text)
    if _NUMBER.fullmatch(text):
        return float(text)
    if not text.startswith(("[", "{", '"', "'")):
        return text
    try:
        return read_yaml(text)
    except DocumentError:
        return text


def write_yaml(document: Any, *, width: int = 10_000) -> str:
    """The document as YAML, with keys in their order.

    A long one is written in pieces, between which other threads run: the C library holds the interpreter's lock.
    """
    if not isinstance(document, dict | list) or not document or not is_long(document):
        return _piece(document, width)
    texts: list[str] = []
    part, left = type(document)(), _LONG_VALUES
    for key, value in document.items() if isinstance(document, dict) else enumerate(document):
        weight = _weight(value, _LONG_VALUES)
        if part and weight > left:
            texts.append(_piece(part, width))
            part, left = type(document)(), _LONG_VALUES
        if weight > _LONG_VALUES and isinstance(value, dict | list):
            texts.append(_entry(key if isinstance(document, dict) else None, value, width))
            continue
        left -= weight
        if isinstance(part, dict):
            part[key] = value
        else:
            part.append(value)
    return "".join([*texts, _piece(part, width) if part else ""])


def _piece(document: object, width: int) -> str:
    return str(yaml.dump(document, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=width))


def _entry(key: Hashable, value: object, width: int) -> str:
    """One entry of a mapping, or of a list for the key None, whose value is long."""
    lines = write_yaml(value, width=width)
    if key is None:
        return f"- {_indented(lines)}"
    head = _piece({key: None}, width).removesuffix(" null\n")
    simple = not head.startswith("? ")
    return f"{head}\n{lines}" if simple and isinstance(value, list) else f"{head}\n  {_indented(lines)}"


def _indented(lines: str) -> str:
    """All lines but the first, moved to the right."""
    return lines.removesuffix("\n").replace("\n", "\n  ") + "\n"


def _reject_duplicate_keys(node: yaml.MappingNode) -> None:
    seen: set[str] = set()
    for key, _ in node.value:
        if isinstance(key, yaml.ScalarNode) and key.tag != "tag:yaml.org,2002:merge":
            if key.value in seen:
                raise DocumentError(f"line {_line(key)}: {key.value!r} is given twice; keep one of them")
            seen.add(key.value)


def measure(value: object, bounds: Bounds) -> int:
    """The number of keys in a value. Raises DocumentError beyond `bounds`, and for values that a document may not
    have."""
    keys = _keys(value, bounds)
    return _measure(value, bounds, [0]) if keys is None else keys


def is_long(value: object) -> bool:
    """Whether work on a value takes milliseconds, so that it belongs in a thread."""
    return _weight(value, _LONG_VALUES) > _LONG_VALUES


def _weight(value: object, most: int) -> int:
    """The number of values, with long texts for several; more than `most` for any larger number."""
    weight, open_values = 0, [value]
    while open_values and weight <= most:
        item = open_values.pop()
        weight += 1 + len(item) // _LONG_TEXT if isinstance(item, str) else 1
        open_values.extend(item.values() if isinstance(item, dict) else item if isinstance(item, list) else ())
    return weight


def _bound_events(events: Iterable[yaml.Event], bounds: Bounds) -> None:
    """Raise DocumentError if a text has more values or levels than `bounds` allow."""
    values = depth = 0
    for event in events:
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
            if depth > bounds.depth:
                raise DocumentError(f"line {_line(event)}: it is nested more than {bounds.depth} deep")
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
        values += isinstance(event, yaml.NodeEvent)
        if values > 2 * bounds.values:  # keys are events too
            raise DocumentError(f"it holds more than {bounds.values} values")


def _keys(value: object, bounds: Bounds) -> int | None:
    """As `measure`, one level after the other and without the names of places; None for a value with a fault."""
    level, depth, seen, keys = [value], 0, 1, 0
    while level:
        below: list[object] = []
        for item in level:
            if isinstance(item, dict):
                keys += len(item)
                if not all(type(key) is str for key in item) or _CONTROL.search(" ".join(item)):
                    return None
                below.extend(item.values())
            elif isinstance(item, list):
                below.extend(item)
            elif isinstance(item, str):
                if "\0" in item:
                    return None
            elif isinstance(item, int):
                if not -LARGEST < item < LARGEST:
                    return None
            elif item is not None and not isinstance(item, float):
                return None
        seen += len(below)
        depth += 1
        if seen > bounds.values or (below and depth > bounds.depth):
            return None
        level = below
    return keys


def _measure(value: object, bounds: Bounds, seen: list[int], path: str = "$", depth: int = 0) -> int:
    """As `measure`; `seen` counts the values."""
    seen[0] += 1
    if seen[0] > bounds.values:
        raise DocumentError(f"it holds more than {bounds.values} values")
    if depth > bounds.depth:
        raise DocumentError(f"it is nested more than {bounds.depth} deep, or holds itself")
    if isinstance(value, dict):
        keys = len(value)
        for key, item in value.items():
            if not isinstance(key, str):
                raise DocumentError(f"{path}: the key {key!r:.80} is not text; put it in quotes")
            if (found := control_character(key)) is not None:
                raise DocumentError(f"{path}: the key {key!r:.80} holds the control character {found}")
            keys += _measure(item, bounds, seen, f"{path}.{key:.40}", depth + 1)
        return keys
    if isinstance(value, list):
        return sum(_measure(item, bounds, seen, path, depth + 1) for item in value)
    if isinstance(value, str):
        if "\0" in value:
            raise DocumentError(f"{path}: the text holds the control character U+0000")
    elif isinstance(value, int):
        if not -LARGEST < value < LARGEST:
            raise DocumentError(f"{path}: the number is outside ±2^63")
    elif value is not None and not isinstance(value, float):
        raise DocumentError(f"{path}: {value!r:.80} has no form in a specification")
    return 0


def _line(of: yaml.Event | yaml.Node) -> int:
    return of.start_mark.line + 1 if of.start_mark is not None else 1


def _given_twice(raw: bytes) -> str:
    """The error that names a repeated key."""

    def check(pairs: list[tuple[str, object]]) -> None:
        seen: set[str] = set()
        for key, _ in pairs:
            if key in seen:
                raise DocumentError(f"the key {key!r:.80} is given twice; keep one of them")
            seen.add(key)

    try:
        json.loads(raw, object_pairs_hook=check)
    except DocumentError as error:
        return str(error)
    return "a key is given twice; keep one of them"
