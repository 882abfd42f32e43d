"""Reads and appends to one event file of TensorBoard: records with checksums, as the library tensorboardX makes them.

The library only begins new files; here a file is continued, so that a run has one however often its writer started.
"""

from __future__ import annotations

import math
import os
import struct
from collections.abc import Mapping
from pathlib import Path

from tensorboardX.proto.event_pb2 import Event, SessionLog
from tensorboardX.proto.summary_pb2 import Summary
from tensorboardX.record_writer import masked_crc32c
from tensorboardX.summary import hparams, text

from taod.trackers.run import Points

VERSION = "brain.Event:2"
_LENGTH, _CHECK = struct.Struct("<Q"), struct.Struct("<I")
_HEAD = _LENGTH.size + _CHECK.size
_TEXT = "/text_summary"
_PARAMETERS = "_hparams_/session_start_info"


class EventFile:
    """One run's points and texts, as a reader of the file sees them. It has one writer at a time."""

    def __init__(self, path: Path) -> None:
        """Read the file, if it exists. Raises OSError."""
        self._path = path
        self.points: dict[str, dict[int, tuple[float, float]]] = {}
        """Tag → step → value as stored, and its time."""
        self._texts: dict[str, tuple[int, str]] = {}
        """Tag → the last step and text."""
        self._moving: set[str] = set()
        """Tags whose last point was seen to change."""
        self._has_parameters = False
        self._size = 0
        """Bytes of whole records: what follows was being written when its writer died."""
        self._added: list[bytes] = []
        self._read()

    def update(self, wanted: Points, now_s: float, *, final: bool = True) -> None:
        """Add the points that the file lacks. Unless `final`, the last one of each metric may still change.

        A file cannot be changed, but a session that starts at a step replaces all before it from that step on: so do
        points that have changed, that are gone, or that come before others of their metric.
        """
        steps = {tag: {step: _stored(value) for step, value in points.items()} for tag, points in wanted.items()}
        if not final:
            self._wait_for_moving(steps)
        times = {tag: {step: at for step, (_, at) in known.items()} for tag, known in self.points.items()}
        if (since := self._first_change(steps)) is not None:
            self._start_session(since, now_s)
        for step, tag in sorted((step, tag) for tag, points in steps.items() for step in points):
            if step not in self.points.get(tag, {}):
                at = times.get(tag, {}).get(step, now_s)
                self._add_point(tag, step, steps[tag][step], at)

    def _wait_for_moving(self, wanted: dict[str, dict[int, float]]) -> None:
        """Leave changes of a metric's last point until it has a further one. A metric whose last point was seen to
        change gets its next ones only then: a tool may report one for each iteration, of which the last counts."""
        for tag, points in wanted.items():
            last, known = max(points), self.points.get(tag, {})
            if last in known and not _same(known[last], points[last]):
                self._moving.add(tag)
                points[last] = known[last][0]
            elif last not in known and tag in self._moving:
                del points[last]

    def set_text(self, tag: str, content: str, now_s: float) -> None:
        """Add a text, unless it is the tag's last one."""
        step, last = self._texts.get(tag, (-1, None))
        if content != last:
            event = Event(wall_time=now_s, step=step + 1, summary=text(tag, content))
            self._texts[tag] = (step + 1, content)
            self._added.append(event.SerializeToString())

    def set_parameters(self, values: Mapping[str, object], now_s: float) -> None:
        """Add the values that TensorBoard's page of hyperparameters shows, unless it has some."""
        if not self._has_parameters and values:
            plain = {
                name: value if isinstance(value, str | int | float) else str(value) for name, value in values.items()
            }
            _, start, _ = hparams(plain, {})
            self._added.append(Event(wall_time=now_s, summary=start).SerializeToString())
            self._has_parameters = True

    def save(self, *, durable: bool) -> None:
        """Append what was added. After an OSError this object is not used any more, and the file is as it was."""
        if not self._added and not durable:
            return
        self._path.parent.mkdir(parents=True, exist_ok=True)
        with self._path.open("ab", buffering=0) as file:
            file.truncate(self._size)
            data = b"".join(map(_record, self._added))
            try:
                written = 0
                while written < len(data):
                    written += file.write(data[written:]) or 0
                if durable:
                    os.fsync(file)
            except OSError:
                file.truncate(self._size)
                raise
        self._size += len(data)
        self._added.clear()

    def _first_change(self, wanted: dict[str, dict[int, float]]) -> int | None:
        """The lowest step from which points have to be written again; None without one."""
        changed = []
        for tag, points in wanted.items():
            known = self.points.get(tag, {})
            last = max(known, default=-1)
            changed += [step for step, value in points.items() if step <= last and not _same(known.get(step), value)]
        for tag, known in self.points.items():
            changed += [step for step in known if step not in wanted.get(tag, {})]
        return min(changed, default=None)

    def _start_session(self, step: int, now_s: float) -> None:
        event = Event(wall_time=now_s, step=step, session_log=SessionLog(status=SessionLog.START))
        self._added.append(event.SerializeToString())
        self._purge(step)

    def _add_point(self, tag: str, step: int, value: float, at: float) -> None:
        summary = Summary(value=[Summary.Value(tag=tag, simple_value=value)])
        event = Event(wall_time=at, step=step, summary=summary)
        self.points.setdefault(tag, {})[step] = value, at
        self._added.append(event.SerializeToString())

    def _purge(self, step: int) -> None:
        """Forget what readers drop at the start of a session."""
        for known in self.points.values():
            for each in [each for each in known if each >= step]:
                del known[each]
        self._texts = {tag: (at, content) for tag, (at, content) in self._texts.items() if at < step}

    def _read(self) -> None:
        try:
            data = self._path.read_bytes()
        except FileNotFoundError:
            data = b""
        position = 0
        while (end := _end_of_record(data, position)) is not None:
            self._take(Event.FromString(data[position + _HEAD : end - _CHECK.size]))
            self._size = position = end
        if not self._size:
            self._added.append(Event(wall_time=0, file_version=VERSION).SerializeToString())

    def _take(self, event: Event) -> None:
        if event.HasField("session_log") and event.session_log.status == SessionLog.START:
            self._purge(event.step)
        for value in event.summary.value:
            if value.HasField("simple_value"):
                self.points.setdefault(value.tag, {})[event.step] = value.simple_value, event.wall_time
            elif value.tag == _PARAMETERS:
                self._has_parameters = True
            elif value.tag.endswith(_TEXT):
                content = value.tensor.string_val[0].decode(errors="replace")
                self._texts[value.tag.removesuffix(_TEXT)] = event.step, content


def _record(data: bytes) -> bytes:
    length = _LENGTH.pack(len(data))
    return length + _CHECK.pack(masked_crc32c(length)) + data + _CHECK.pack(masked_crc32c(data))


def _end_of_record(data: bytes, position: int) -> int | None:
    """Where the record at `position` ends; None if it is not whole."""
    if position + _HEAD > len(data):
        return None
    length = data[position : position + _LENGTH.size]
    if masked_crc32c(length) != _CHECK.unpack_from(data, position + _LENGTH.size)[0]:
        return None
    end = position + _HEAD + int(_LENGTH.unpack(length)[0]) + _CHECK.size
    if end > len(data):
        return None
    check = masked_crc32c(data[position + _HEAD : end - _CHECK.size])
    return end if check == _CHECK.unpack_from(data, end - _CHECK.size)[0] else None


def _stored(value: float | None) -> float:
    """The value as a file has it: in single precision."""
    if value is None:
        return math.nan
    try:
        return float(struct.unpack("f", struct.pack("f", value))[0])
    except OverflowError:
        return math.copysign(math.inf, value)


def _same(known: tuple[float, float] | None, value: float) -> bool:
    return known is not None and (known[0] == value or (math.isnan(known[0]) and math.isnan(value)))
