"""Collects the numbers of status lines: metrics over epochs, curves with axes, values by category. Pure."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

import msgspec

from taod.catalogue.schema.tables import StatusFacts
from taod.telemetry.epochs import EpochValues, Values
from taod.telemetry.numbers import NoNumber, count, number, numbers
from taod.types.job import Categorical, CategoryValue, Graphical, Kpi, Stat

MOST_METRICS = 2_000
"""Metrics of a job, and curves, and metrics by category: their values are stored together, again and again."""

MOST_STATS, LONGEST_STAT = 50, 500
"""Texts of a job, and characters of each: lists of jobs have them too."""


class Series:
    """Adds to a list of Kpi."""

    def __init__(self, kpis: list[Kpi], facts: StatusFacts) -> None:
        self._kpis = kpis
        self._by_metric = {kpi.metric: kpi for kpi in kpis}
        self._epochs = EpochValues(facts)

    def add(self, block: Mapping[str, Any], step: int | None, *, stepped: bool) -> dict[str, float | None]:
        """Add a line's metrics, if any; returns the values read. `step` and `stepped` as in EpochValues."""
        read = numbers(block)
        self._epochs.keep(read, self._values, step, stepped=stepped)
        return read

    def _values(self, metric: str) -> Values:
        kpi = self._by_metric.get(metric)
        if kpi is None and len(self._kpis) >= MOST_METRICS:
            return {}  # not kept
        if kpi is None:
            kpi = self._by_metric[metric] = Kpi(metric)
            self._kpis.append(kpi)
        return kpi.values


class Curves:
    """Adds to a list of Graphical. Axes reach from zero to the number of values and to their maximum, unless the tool
    reports bounds. A repeated block is skipped, since tools repeat their last one, unless the last value of an epoch
    counts."""

    def __init__(self, curves: list[Graphical], facts: StatusFacts) -> None:
        self._curves = curves
        self._by_metric = {curve.metric: curve for curve in curves}
        self._given: dict[str, set[str]] = {}
        self._epochs = EpochValues(facts, last=facts.curves == "last")
        self._repeats_count = facts.curves == "last"
        self._seen: set[bytes] = set()

    def add(self, block: Mapping[str, Any], step: int | None, *, stepped: bool) -> dict[str, float | None]:
        """Add a line's curves, if any; returns the values read, none of a repeated block."""
        read = {} if self._seen_before(block) else numbers(block)
        self._epochs.keep(read, self._values, step, stepped=stepped)
        for metric in read:
            if (curve := self._by_metric.get(metric)) is not None:
                given = self._given.setdefault(metric, set())
                _take_axes(curve, block.get(metric), given)
                _extend_axes(curve, given)
        return read

    def _seen_before(self, block: Mapping[str, Any]) -> bool:
        if self._repeats_count or not block:
            return False
        key = _fingerprint(block)
        seen = key in self._seen
        self._seen.add(key)
        return seen

    def _values(self, metric: str) -> Values:
        curve = self._by_metric.get(metric)
        if curve is None and len(self._curves) >= MOST_METRICS:
            return {}  # not kept
        if curve is None:
            curve = self._by_metric[metric] = Graphical(metric)
            self._curves.append(curve)
        return curve.values


def _extend_axes(curve: Graphical, given: set[str]) -> None:
    if "x_max" not in given:
        curve.x_max = len(curve.values)
    if "y_max" not in given:
        curve.y_max = max((value for value in curve.values.values() if value is not None), default=0.0)


def _take_axes(curve: Graphical, reported: object, given: set[str]) -> None:
    if not isinstance(reported, dict):
        return
    for name in ("x_min", "x_max"):
        if (bound := count(reported.get(name))) is not None:
            setattr(curve, name, bound)
            given.add(name)
    for name in ("y_min", "y_max"):
        try:
            limit = number(reported.get(name))
        except NoNumber:
            continue
        if limit is not None:
            setattr(curve, name, limit)
            given.add(name)
    if reported.get("units") is not None:
        curve.units = str(reported["units"])


def set_categories(kept: list[Categorical], block: Mapping[str, Any]) -> None:
    """Replace the values by category of the metrics in a line's block."""
    for metric, categories in block.items():
        if isinstance(categories, dict):
            values = [CategoryValue(str(category), value) for category, value in numbers(categories).items()]
            latest = Categorical(str(metric), values)
            for position, older in enumerate(kept):
                if older.metric == metric:
                    kept[position] = latest
                    break
            else:
                if len(kept) < MOST_METRICS:
                    kept.append(latest)


def set_stats(kept: list[Stat], block: Mapping[str, Any]) -> None:
    """Replace the texts of a line's block."""
    texts = {stat.metric: stat for stat in kept}
    for name, value in block.items():
        if isinstance(value, str) and (name in texts or len(texts) < MOST_STATS):
            texts[name] = Stat(name[:LONGEST_STAT], value[:LONGEST_STAT])
    kept[:] = texts.values()


def _fingerprint(block: Mapping[str, Any]) -> bytes:
    return hashlib.blake2b(msgspec.json.encode(block, order="deterministic"), digest_size=16).digest()
