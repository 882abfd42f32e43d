"""Schemas and specifications of all networks: building, validating and reading; jsonschema is the validation's peer."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import jsonschema

from taod.catalogue.schema import classwise, descriptions, json_schema, merge, tables
from taod.catalogue.schema.validate import check
from taod.catalogue.specfiles import emit, parse

ROUNDS = 5
CLASSES = [f"class {number}" for number in range(26)]


def run() -> list[tuple[str, str, str]]:
    """Rows of figure, measured value, and peer or goal."""
    every = [(name, action) for name, entry in tables.index().items() for action in entry.specs]
    first = [min(_first_schema(name, action) for _ in range(ROUNDS)) for name, action in dict(reversed(every)).items()]
    defaults = {place: merge.default(*place) for place in every}
    checks = [_best(partial(check, *place, defaults[place])) for place in every]
    document = merge.default("detectnet_v2", "train", CLASSES)
    validator = jsonschema.Draft202012Validator(json_schema.schema("detectnet_v2", "train", CLASSES))
    text = emit.protobuf_text(classwise.split(document))
    large = f"{_values(document)} values"
    own, peer = (
        _best(lambda: check("detectnet_v2", "train", document)),
        _best(lambda: list(validator.iter_errors(document))),
    )
    return [
        (
            "first schema of a network, median and worst of 38",
            f"{_ms(statistics.median(first))}, {_ms(max(first))}",
            "goal 10 ms",
        ),
        ("checking a default spec, median of 204", _ms(statistics.median(checks)), ""),
        (f"checking a spec of {large}", _ms(own), f"jsonschema {_ms(peer)}; goal 2 ms"),
        (
            f"writing it as protobuf text, {len(text):,} characters",
            _ms(_best(lambda: emit.protobuf_text(document))),
            "",
        ),
        ("reading that back", _ms(_best(lambda: parse.parse("protobuf", text, "detectnet_v2", "train"))), ""),
    ]


def _first_schema(name: str, action: str) -> float:
    """Seconds for a schema without any cached data."""
    caches = (tables.index, tables.network_file, tables.table, tables._parameters, descriptions.descriptions)
    for cached in (*caches, json_schema._schema, merge._default):
        cached.cache_clear()
    started = time.perf_counter()
    json_schema.schema(name, action)
    return time.perf_counter() - started


def _best(work: Callable[[], Any]) -> float:
    times = []
    for _ in range(ROUNDS):
        started = time.perf_counter()
        work()
        times.append(time.perf_counter() - started)
    return min(times)


def _values(value: Any) -> int:
    if isinstance(value, dict | list):
        return sum(_values(item) for item in (value.values() if isinstance(value, dict) else value))
    return 1


def _ms(seconds: float) -> str:
    return f"{seconds * 1e3:.2g} ms"
