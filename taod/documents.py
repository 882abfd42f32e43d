"""YAML as TAO's tools read and write it: the one place where daemon, client and engine turn text into values.

Hydra's OmegaConf reads with PyYAML and rules of its own for floats and dates; what it reads is what these rules give,
so that a file means the same here as where it is run. The older tools read with plain PyYAML: what is written here
is quoted so that both agree on it.
"""

from __future__ import annotations

import re
from collections.abc import Hashable
from typing import Any

import yaml

Document = dict[str, Any]

_MOST_VALUES = 200_000
_FLOAT = re.compile(
    r"""^(?: [-+]?\d+(?:_\d+)* (?: \.[\d_]*(?:[eE][-+]?\d+)? | [eE][-+]?\d+ | (?::[0-5]?\d)+\.[\d_]* )
          | \.\d+(?:_\d+)*(?:[eE][-+]\d+)?
          | [-+]?\.(?:inf|Inf|INF)
          | \.(?:nan|NaN|NAN) )$""",
    re.VERBOSE | re.ASCII,
)
"""What reads as a float: `1e-4` too, which plain PyYAML takes for text."""
_WORDS: dict[str, Any] = {"": "", "true": True, "false": False, "null": None}
_INT = re.compile(r"[-+]?(?:0|[1-9]\d*)", re.ASCII)
_NUMBER = re.compile(r"[-+]?(?:\d+\.\d*|\d*\.\d+|\d+(?=[eE]))(?:[eE][-+]?\d+)?", re.ASCII)
_FLOAT_TAG = "tag:yaml.org,2002:float"
_TIMESTAMP_TAG = "tag:yaml.org,2002:timestamp"
_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_DUMPER: Any = getattr(yaml, "CSafeDumper", yaml.SafeDumper)


class DocumentError(ValueError):
    """What is wrong with a text, and in which line."""


class _Loader(_LOADER):  # type: ignore[misc]
    """PyYAML's words (`no` is false, `0x10` is 16), numbers like `1e-4`, dates as text, no key twice."""

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[Hashable, Any]:
        if isinstance(node, yaml.MappingNode):
            _reject_duplicate_keys(node)
        made: dict[Hashable, Any] = super().construct_mapping(node, deep=deep)
        return made


class _Dumper(_DUMPER):  # type: ignore[misc]
    """Quotes text that any of the readers would take for something else, and repeats what is there twice."""

    def ignore_aliases(self, _data: Any) -> bool:
        return True


_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag != _TIMESTAMP_TAG]
    for first, resolvers in _LOADER.yaml_implicit_resolvers.items()
}
for _side in (_Loader, _Dumper):
    _side.add_implicit_resolver(_FLOAT_TAG, _FLOAT, list("-+0123456789."))


def read_yaml(text: str) -> Any:
    """The value of a YAML text, of which JSON is a part; None where there is none.

    Raises DocumentError naming the line, also for a key that is given twice, for what JSON has no form of, and for
    references that make a small text a huge document.
    """
    try:
        value = yaml.load(text.removeprefix("\ufeff"), Loader=_Loader)
        _measure(value, [0])
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark is not None else 1
        raise DocumentError(f"line {line}: {error.problem or error.context}") from error
    except DocumentError:
        raise
    except (yaml.YAMLError, ValueError) as error:
        raise DocumentError(str(error)) from error
    except RecursionError as error:
        raise DocumentError("it is nested too deep, or holds itself") from error
    return value


def read_value(text: str) -> Any:
    """A value of a command line, as Hydra reads `a.b=value`: a number, true, false, null, a list, an object, else text.

    Words such as `no` and `12:30` are text here, and not what YAML makes of them: nothing could be quoted in a shell.
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
    """The document as YAML, in its own order."""
    text = yaml.dump(document, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=width)
    return str(text)


def _reject_duplicate_keys(node: yaml.MappingNode) -> None:
    seen: set[str] = set()
    for key, _ in node.value:
        if isinstance(key, yaml.ScalarNode) and key.tag != "tag:yaml.org,2002:merge":
            if key.value in seen:
                raise DocumentError(f"line {key.start_mark.line + 1}: {key.value!r} is given twice; keep one of them")
            seen.add(key.value)


def _measure(value: Any, seen: list[int], path: str = "$") -> None:
    seen[0] += 1
    if seen[0] > _MOST_VALUES:
        raise DocumentError(f"it holds more than {_MOST_VALUES} values")
    if isinstance(value, dict):
        for key, item in value.items():
            if not isinstance(key, str):
                raise DocumentError(f"{path}: the key {key!r} is not text; put it in quotes")
            _measure(item, seen, f"{path}.{key}")
    elif isinstance(value, list):
        for item in value:
            _measure(item, seen, path)
    elif value is not None and not isinstance(value, str | int | float | bool):
        raise DocumentError(f"{path}: {value!r} has no form in a specification")
