"""Keeps the figures that status lines tell: metrics over epochs, curves with their axes, values by category. Pure."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

import msgspec

from taod.telemetry.numbers import NoNumber, count, number
from taod.types.job import Categorical, CategoryValue, Graphical, Kpi


class Series:
    """Adds to a list of Kpi. An epoch's first value wins.

    `repeating`: the tool tells a metric without its epoch and then again with it; the second telling is the same
    value, moved to where it belongs.
    """

    def __init__(self, kpis: list[Kpi], *, repeating: bool = False) -> None:
        self._kpis = kpis
        self._by_metric = {kpi.metric: kpi for kpi in kpis}
        self._repeating = repeating
        self._told_without_step: dict[str, str] = {}
        """Metric → the step under which a telling without its own was kept."""

    def add(self, block: Mapping[str, Any], step: int, *, stepped: bool) -> dict[str, float | None]:
        """Keep a line's metrics under `step`; `stepped`: the line itself named it. What was read of them."""
        read = _numbers(block)
        for metric, value in read.items():
            kpi = self._by_metric.get(metric)
            if kpi is None:
                kpi = self._by_metric[metric] = Kpi(metric)
                self._kpis.append(kpi)
            if self._repeating:
                self._untell(kpi, str(step), value, stepped)
            kpi.values.setdefault(str(step), value)
        return read

    def _untell(self, kpi: Kpi, step: str, value: float | None, stepped: bool) -> None:
        """Before a value is kept: take away the same one's first telling, or remember that this is one."""
        if not stepped:
            if step not in kpi.values:
                self._told_without_step[kpi.metric] = step
            return
        told = self._told_without_step.pop(kpi.metric, step)
        if told != step and kpi.values.get(told) == value:
            kpi.values.pop(told, None)


class Curves:
    """Adds to a list of Graphical. Axes start at zero and reach the number of values and their maximum, unless the
    tool says otherwise. A block that was seen before is skipped: tools write their last one again and again."""

    def __init__(self, curves: list[Graphical]) -> None:
        self._curves = curves
        self._by_metric = {curve.metric: curve for curve in curves}
        self._given: dict[str, set[str]] = {}
        self._tops: dict[str, float] = {}
        for curve in curves:
            finite = [value for value in curve.values.values() if value is not None]
            if finite:
                self._tops[curve.metric] = max(finite)
        self._seen: set[bytes] = set()

    def add(self, block: Mapping[str, Any], step: int) -> dict[str, float | None]:
        """Keep a line's curves under `step`; what was read of them, nothing where the block was seen before."""
        key = _fingerprint(block)
        if key in self._seen:
            return {}
        self._seen.add(key)
        read = _numbers(block)
        for metric, value in read.items():
            curve = self._by_metric.get(metric)
            if curve is None:
                curve = self._by_metric[metric] = Graphical(metric)
                self._curves.append(curve)
            self._keep(curve, str(step), value)
            given = self._given.setdefault(metric, set())
            _take_axes(curve, block[metric], given)
            if "x_max" not in given:
                curve.x_max = len(curve.values)
            if "y_max" not in given:
                curve.y_max = self._tops.get(metric, 0.0)
        return read

    def _keep(self, curve: Graphical, step: str, value: float | None) -> None:
        if step in curve.values:
            return
        curve.values[step] = value
        if value is not None:
            self._tops[curve.metric] = max(value, self._tops.get(curve.metric, value))


def _take_axes(curve: Graphical, told: object, given: set[str]) -> None:
    if not isinstance(told, dict):
        return
    for name in ("x_min", "x_max"):
        if (bound := count(told.get(name))) is not None:
            setattr(curve, name, bound)
            given.add(name)
    for name in ("y_min", "y_max"):
        try:
            limit = number(told.get(name))
        except NoNumber:
            continue
        if limit is not None:
            setattr(curve, name, limit)
            given.add(name)
    if told.get("units") is not None:
        curve.units = str(told["units"])


def set_categories(kept: list[Categorical], block: Mapping[str, Any]) -> None:
    """Put a line's values by category in place of older ones of the same metric."""
    for metric, categories in block.items():
        if isinstance(categories, dict):
            values = [CategoryValue(str(category), value) for category, value in _numbers(categories).items()]
            latest = Categorical(str(metric), values)
            for position, older in enumerate(kept):
                if older.metric == metric:
                    kept[position] = latest
                    break
            else:
                kept.append(latest)


def _numbers(block: Mapping[str, Any]) -> dict[str, float | None]:
    read = {}
    for metric, value in block.items():
        try:
            read[str(metric)] = number(value)
        except NoNumber:
            continue
    return read


def _fingerprint(block: Mapping[str, Any]) -> bytes:
    return hashlib.blake2b(msgspec.json.encode(block, order="deterministic"), digest_size=16).digest()
