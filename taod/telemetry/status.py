"""Reads status.json, a line at a time, into a job's result. Pure: bytes in, updates out; knows no file and no store."""

from __future__ import annotations

import json
from typing import Any

import msgspec

from taod.catalogue.network import get
from taod.catalogue.releases import BASE
from taod.catalogue.schema.tables import StatusFacts
from taod.telemetry.metric_series import Curves, Series, set_categories
from taod.telemetry.numbers import count
from taod.types.event import StatusUpdate
from taod.types.job import DetailedStatus, Result
from taod.types.warning import Warning, WarningCode

LONGEST_LINE = 16 * 1024 * 1024
"""Bytes; a longer line is no status line and is skipped, so that memory stays bounded."""

_TEXTS = ("eta", "time_per_epoch", "time_per_iter")
_NUMBERED_FROM_0 = "max_step"
"""A line that has it counts its epochs from 0, the last one too: releases after 5 write such lines."""


class Oddities(msgspec.Struct):
    """How many lines of a status.json were no status lines, or had to be repaired to be one."""

    broken: int = 0
    """No JSON object; a line that its writer left half done among them."""
    oversized: int = 0
    repaired: int = 0
    """With bytes that are no UTF-8, each shown as a replacement character."""

    def warning(self) -> Warning | None:
        """A warning about them; None where there are none."""
        counts = {name: count for name, count in msgspec.structs.asdict(self).items() if count}
        return Warning(WarningCode.STATUS_LINES, "", {**counts, "limit_bytes": LONGEST_LINE}) if counts else None


class StatusReader:
    """Turns the bytes of one status.json, in whatever pieces they come, into `result`.

    Epochs are counted from 1, whatever the tool calls its first one. Which epoch metrics and curves belong to follows
    from the network's `StatusFacts`; what came before any epoch is kept under `0`. A line that is not a JSON object is
    skipped and counted. `result` is what is known already: reading the same lines into it again changes only
    the latest figures.
    """

    def __init__(
        self,
        network: str,
        result: Result | None = None,
        *,
        job_id: str = "",
        total_epochs: int | None = None,
        release: str = BASE,
    ) -> None:
        """`total_epochs`: of the specification; it stands for `max_epoch` until a line reports one."""
        self.result = Result() if result is None else result
        self.last: DetailedStatus | None = None
        """What the last line of this attempt said; None before its first."""
        self.odd = Oddities()
        self._job_id = job_id
        self._total_epochs = total_epochs
        known = get(network, release)
        self._facts = StatusFacts() if known is None else known.status
        self._step: int | None = None
        """The last epoch or iteration reported."""
        self._kpis = Series(self.result.kpi, self._facts)
        self._curves = Curves(self.result.graphical, self._facts)
        self._half = bytearray()
        self._skipping = False
        self._resumed_from = 0

    def feed(self, chunk: bytes) -> list[StatusUpdate]:
        """Read further bytes; an update for each line that ended in them. The rest is kept until its end comes."""
        *lines, rest = chunk.split(b"\n")
        updates = []
        for line in lines:
            whole = bytes(self._half) + line if self._half else line
            self._half.clear()
            if self._skipping:
                self._skipping = False
            elif (update := self._line(whole)) is not None:
                updates.append(update)
        if not self._skipping:
            self._half += rest
        if len(self._half) > LONGEST_LINE:
            self._half.clear()
            self._skipping = True
            self.odd.oversized += 1
        return updates

    def finish(self) -> list[StatusUpdate]:
        """Read what is left as a line that nothing ended: the tool is gone, no more will come."""
        return self.feed(b"\n") if self._half else []

    def drop_half(self) -> None:
        """Forget a half line: its end will never come, because the file was replaced or its writer died."""
        self.odd.broken += bool(self._half.strip())
        self._half.clear()
        self._skipping = False

    def new_attempt(self, resumed_from: int = 0) -> None:
        """From here on the lines are a new run's: a half line and the last status of the old run are forgotten.

        `resumed_from`: the epochs that were done before, where the tool does not count them.
        """
        self.drop_half()
        self.last = None
        self._resumed_from = resumed_from

    def _line(self, line: bytes) -> StatusUpdate | None:
        if not line.strip():
            return None
        fields = _decode(line)
        if fields is None:
            fields = _repaired(line)
            self.odd.broken += fields is None
            self.odd.repaired += fields is not None
        if fields is None:
            return None
        update = StatusUpdate(job_id=self._job_id, status=_text(fields, "status"), message=_text(fields, "message"))
        stepped = self._read_progress(fields, update)
        self._read_figures(fields, update, stepped=stepped)
        self.last = self.result.detailed_status = DetailedStatus(
            date=_text(fields, "date"), time=_text(fields, "time"), status=update.status, message=update.message
        )
        return update

    def _read_progress(self, fields: dict[str, Any], update: StatusUpdate) -> bool:
        """Read how far the run is; whether the line reports what it counts."""
        stepped = False
        for name, value in _progress(fields, self._facts, self._resumed_from).items():
            setattr(self.result, name, value)
            setattr(update, name, value)
            if name == "max_epoch":
                self._total_epochs = value
            if name == self._facts.step:
                self._step, stepped = value, True
        if self._facts.step == "epoch" and update.epoch is not None and self._total_epochs is not None:
            self.result.max_epoch = update.max_epoch = self._total_epochs
        for name in _TEXTS:
            if text := _text(fields, name):
                setattr(self.result, name, text)
        update.eta = _text(fields, "eta") or None
        update.time_per_epoch = _text(fields, "time_per_epoch") or None
        return stepped

    def _read_figures(self, fields: dict[str, Any], update: StatusUpdate, *, stepped: bool) -> None:
        kpi = {} if fields.get("mode") == "train" else _block(fields, "kpi")
        update.kpi = self._kpis.add(kpi, self._step, stepped=stepped)
        update.graphical = self._curves.add(_block(fields, "graphical"), self._step, stepped=stepped)
        set_categories(self.result.categorical, _block(fields, "categorical"))


def _progress(fields: dict[str, Any], facts: StatusFacts, resumed_from: int) -> dict[str, int]:
    """epoch, max_epoch and cur_iter of a line, epochs counted from 1."""
    read = {
        name: value for name in ("epoch", "max_epoch", "cur_iter") if (value := count(fields.get(name))) is not None
    }
    if facts.step == "cur_iter" and fields.get("mode") == "val":
        read.pop("cur_iter", None)  # There it counts the batches of the validation.
    if _NUMBERED_FROM_0 in fields:
        return {name: value + (name != "cur_iter") for name, value in read.items()}
    before = 1 - facts.first_epoch + resumed_from
    return {name: value + (before if name == "epoch" else 0) for name, value in read.items()}


def _block(fields: dict[str, Any], name: str) -> dict[str, Any]:
    value = fields.get(name)
    return value if isinstance(value, dict) else {}


def _decode(line: bytes) -> dict[str, Any] | None:
    """The object that a line holds; None for anything else. Bare NaN and Infinity, which Python writes, are read."""
    try:
        value = msgspec.json.decode(line)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        try:
            value = json.loads(line)
            msgspec.json.encode(value)  # A text that is no text (half a surrogate pair) could not be kept either.
        except (ValueError, RecursionError):
            return None
    return value if isinstance(value, dict) else None


def _repaired(line: bytes) -> dict[str, Any] | None:
    """A line whose only fault are bytes that are no UTF-8."""
    try:
        line.decode()
    except UnicodeDecodeError:
        return _decode(line.decode(errors="replace").encode())
    return None


def _text(fields: dict[str, Any], name: str) -> str:
    value = fields.get(name)
    return "" if value is None else str(value)
