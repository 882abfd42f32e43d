"""Reads the lines of status.json into a job's result. Pure: bytes in, updates out; uses no file and no store."""

from __future__ import annotations

import json
from typing import Any

import msgspec

from taod.catalogue.network import get
from taod.catalogue.releases import BASE
from taod.catalogue.schema.tables import StatusFacts
from taod.telemetry.metric_series import Curves, Series, set_categories, set_stats
from taod.telemetry.numbers import count
from taod.types.event import StatusUpdate
from taod.types.job import DetailedStatus, Result
from taod.types.warning import Warning, WarningCode

LONGEST_LINE = 16 * 1024 * 1024
"""Bytes of the longest status line; longer lines are skipped, so that memory stays bounded."""

_TEXTS = ("eta", "time_per_epoch", "time_per_iter")
_NUMBERED_FROM_0 = "max_step"
"""Key of lines that count epochs from 0, written by releases after 5."""


class Oddities(msgspec.Struct):
    """Numbers of lines of a status.json that were skipped or repaired."""

    broken: int = 0
    """Lines that are not a JSON object, including incomplete ones."""
    oversized: int = 0
    repaired: int = 0
    """Lines with bytes that are not UTF-8, each replaced by a replacement character."""

    def warning(self) -> Warning | None:
        """A warning with these numbers; None if all are zero."""
        counts = {name: count for name, count in msgspec.structs.asdict(self).items() if count}
        return Warning(WarningCode.STATUS_LINES, "", {**counts, "limit_bytes": LONGEST_LINE}) if counts else None


class StatusReader:
    """Reads the bytes of one status.json, in pieces of any size, into `result`.

    Epochs are counted from 1, whatever number the tool gives its first one. The network's `StatusFacts` decides which
    epoch metrics and curves belong to; values before any epoch are kept under `0`. A line that is not a JSON object is
    skipped and counted. `result` may have earlier values: reading the same lines again changes only the latest values.
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
        """`total_epochs`: from the specification; used as `max_epoch` until a line reports one."""
        self.result = Result() if result is None else result
        self.last: DetailedStatus | None = None
        """Status of the last line of this attempt; None before its first line."""
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
        """Read further bytes; returns an update for each completed line. An incomplete line is kept for the next
        call."""
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
        """Read the rest as a line without a line break: the tool has ended. Returns its update, if any."""
        return self.feed(b"\n") if self._half else []

    def drop_half(self) -> None:
        """Drop an incomplete line, because the file was replaced or its writer died."""
        self.odd.broken += bool(self._half.strip())
        self._half.clear()
        self._skipping = False

    def new_attempt(self, resumed_from: int = 0) -> None:
        """Start reading a new attempt's lines: drops an incomplete line and the last status of the old attempt.

        `resumed_from`: number of epochs done before, if the tool does not count them.
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
        """Read the run's progress. Returns whether the line reports the step that the network counts."""
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
        set_stats(self.result.stats, _block(fields, "stats"))


def _progress(fields: dict[str, Any], facts: StatusFacts, resumed_from: int) -> dict[str, int]:
    """epoch, max_epoch and cur_iter of a line, epochs counted from 1."""
    read = {
        name: value for name in ("epoch", "max_epoch", "cur_iter") if (value := count(fields.get(name))) is not None
    }
    if facts.step == "cur_iter" and fields.get("mode") == "val":
        read.pop("cur_iter", None)  # In these lines it counts the batches of the validation.
    if _NUMBERED_FROM_0 in fields:
        return {name: value + (name != "cur_iter") for name, value in read.items()}
    before = 1 - facts.first_epoch + resumed_from
    return {name: value + (before if name == "epoch" else 0) for name, value in read.items()}


def _block(fields: dict[str, Any], name: str) -> dict[str, Any]:
    value = fields.get(name)
    return value if isinstance(value, dict) else {}


def _decode(line: bytes) -> dict[str, Any] | None:
    """The JSON object in a line; None for anything else. Accepts bare NaN and Infinity, which Python writes."""
    try:
        value = msgspec.json.decode(line)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        try:
            value = json.loads(line)
            msgspec.json.encode(value)  # A text with half a surrogate pair could not be stored.
        except (ValueError, RecursionError):
            return None
    return value if isinstance(value, dict) else None


def _repaired(line: bytes) -> dict[str, Any] | None:
    """The object in a line whose only fault is bytes that are not UTF-8; else None."""
    try:
        line.decode()
    except UnicodeDecodeError:
        return _decode(line.decode(errors="replace").encode())
    return None


def _text(fields: dict[str, Any], name: str) -> str:
    value = fields.get(name)
    return "" if value is None else str(value)
