"""What the engine offers of one network, as plain data: actions, what they need, which parameters have an effect.

Nothing heavy is imported here: the daemon asks before a job is accepted.
"""

from __future__ import annotations

import types
import typing
from collections.abc import Callable, Mapping
from typing import get_args, get_origin

import msgspec

from runners.engine.errors import SpecError
from runners.engine.spec import convert, lookup
from taod.catalogue.network import get_network
from taod.documents import Document

TRAINING = ("torch", "numpy", "PIL")
EXPORT = (*TRAINING, "onnx", "onnxscript", "onnxruntime")

QUEUES = "the engine reads data with its own workers"
TRACKERS = "the engine reports to taod alone"
ENGINE = "the engine exports ONNX; TensorRT's settings are those of gen_trt_engine"
QAT = "the engine has no quantisation-aware training; set it to false"

INT8: Mapping[str, tuple[object, ...]] = {"data_type": ("fp32", "int8")}
"""Numbers of an exported model, of a network that can be quantized."""

COMMON = frozenset({"version", "results_dir", "encryption_key", "key", "gpus", "gpu_ids", "verbose"})
"""What the core itself reads of every specification, or needs not: it encrypts nothing and is always verbose."""
ABSENT: tuple[object, ...] = (None, "", [], {})


class Offer(msgspec.Struct, frozen=True):
    """A network's line: a parameter is read (a field of `spec`), listed here, or an error."""

    spec: type[msgspec.Struct]
    actions: Mapping[str, tuple[str, ...]]
    """Action → modules that it needs."""
    without_effect: Mapping[str, str] = {}
    """Path, or the start of paths → why a value has no effect here; a set value is warned about."""
    rejected: Mapping[str, str] = {}
    """Path, or the start of paths → why a value is rejected."""
    only: Mapping[str, tuple[object, ...]] = {}
    """Path → the values that the engine has; another one is rejected."""
    check: Callable[[str, Document], None] | None = None
    """Further rules; raises SpecError."""
    similar: str = ""
    """How the model differs from the tool's of that name; empty where it is the same architecture."""


def validate(offer: Offer, network: str, action: str, document: Document) -> None:
    """Raise SpecError for the first value of the specification that the engine rejects."""
    convert(document, offer.spec)
    for path, known in offer.only.items():
        value = lookup(document, path)
        if value not in ABSENT and value not in known:
            have = ", ".join(map(str, known))
            raise SpecError(f"{path} {value!r} is not in the engine; it has {have}.")
    for path, reason in _set(offer.rejected, network, action, document):
        raise SpecError(f"{path} is {lookup(document, path)!r}: {reason}.")
    if offer.check is not None:
        offer.check(action, document)


def warnings(offer: Offer, network: str, action: str, document: Document) -> list[str]:
    """A sentence for each parameter that was set away from its default and has no effect."""
    found = _set(offer.without_effect, network, action, document)
    return [f"{path} = {lookup(document, path)!r} has no effect: {reason}" for path, reason in found]


def _set(listed: Mapping[str, str], network: str, action: str, document: Document) -> list[tuple[str, str]]:
    rows = get_network(network).table(action).rows
    found = []
    for path, row in rows.items():
        reason = reason_of(listed, path)
        if reason is None or row.type == "object":  # a group's own parameters are rows too
            continue
        value = lookup(document, path)
        if value not in ABSENT and not isinstance(value, dict) and value != row.default:
            found.append((path, reason))
    return found


def reason_of(listed: Mapping[str, str], path: str) -> str | None:
    """The reason listed for a path or the longest start of it."""
    parts = path.split(".")
    for length in range(len(parts), 0, -1):
        reason = listed.get(".".join(parts[:length]))
        if reason is not None:
            return reason
    return None


def read(offer: Offer, path: str) -> bool:
    """Whether the specification's types read a parameter."""
    return path in COMMON or _reads(offer.spec, path.split("."))


def _reads(kind: object, parts: list[str]) -> bool:
    if not parts:
        return True
    origin = get_origin(kind)
    if origin is typing.Annotated:
        return _reads(get_args(kind)[0], parts)
    if origin in (typing.Union, types.UnionType):
        return any(_reads(one, parts) for one in get_args(kind))
    if origin in (list, tuple):
        return _reads(get_args(kind)[0], parts)
    if origin is dict or kind is dict or kind is typing.Any:
        return True
    if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
        for field in msgspec.structs.fields(kind):
            if field.encode_name == parts[0]:
                return _reads(field.type, parts[1:])
    return False
