"""Short texts for numbers, times and ids."""

from __future__ import annotations

import math
from datetime import UTC, datetime

from rich.text import Text

from tui.theme import GREEN, LINE, RED, YELLOW

GIB = 1024**3


def short(job_id: str) -> str:
    """The first eight characters of an id, as the daemon's messages show it."""
    return job_id[:8]


def seconds_between(start: str | None, end: str | None, now: datetime) -> float | None:
    """Seconds from one ISO time to another, or to `now`; None without a start."""
    began = _time(start)
    if began is None:
        return None
    return max(0.0, ((_time(end) or now) - began).total_seconds())


def age(created: str, now: datetime) -> str:
    """How long ago, in one unit: `12s`, `4m`, `3h`, `5d`."""
    seconds = seconds_between(created, None, now)
    if seconds is None:
        return ""
    for limit, divisor, unit in ((60, 1, "s"), (3600, 60, "m"), (86400, 3600, "h")):
        if seconds < limit:
            return f"{int(seconds / divisor)}{unit}"
    return f"{int(seconds / 86400)}d"


def duration(seconds: float | None) -> str:
    """`8.4s`, `2m 14s`, `3h 05m`, `2d 4h`."""
    if seconds is None:
        return ""
    if seconds < 10:
        return f"{seconds:.1f}s"
    whole = int(seconds)
    if whole < 60:
        return f"{whole}s"
    if whole < 3600:
        return f"{whole // 60}m {whole % 60:02d}s"
    if whole < 86400:
        return f"{whole // 3600}h {whole % 3600 // 60:02d}m"
    return f"{whole // 86400}d {whole % 86400 // 3600}h"


def eta(text: str | None) -> str:
    """A tool's `H:MM:SS.ffffff` without fractions and leading zero hours: `0:24:05.4` is `24:05`."""
    if not text:
        return ""
    whole = text.split(".")[0]
    return whole.removeprefix("0:") if whole.count(":") == 2 else whole


def number(value: float | None) -> str:
    """Four significant digits; `–` for a missing value."""
    if value is None or not math.isfinite(value):
        return "–"
    if value == 0:
        return "0"
    if abs(value) >= 100_000 or abs(value) < 0.001:
        return f"{value:.2e}"
    if float(value).is_integer() and abs(value) >= 10:
        return str(int(value))
    return f"{value:.4g}"


def size(count: int | None) -> str:
    """Bytes as `512 B`, `3.2 MiB`."""
    if count is None:
        return "–"
    amount = float(count)
    for unit in ("B", "KiB", "MiB", "GiB"):
        if amount < 1024:
            return f"{amount:.0f} {unit}" if unit == "B" else f"{amount:.1f} {unit}"
        amount /= 1024
    return f"{amount:.1f} TiB"


def moment(text: str | None) -> str:
    """An ISO time in the local zone; with its date unless it is today."""
    when = _time(text)
    if when is None:
        return "–"
    local = when.astimezone()
    return local.strftime("%H:%M:%S" if local.date() == datetime.now().date() else "%Y-%m-%d %H:%M:%S")


def bar(fraction: float, width: int, colour: str = GREEN) -> Text:
    """A thin bar of `width` cells, drawn to half a cell."""
    halves = round(max(0.0, min(1.0, fraction)) * width * 2)
    text = Text("━" * (halves // 2), style=colour)
    if halves % 2:
        text.append("╸", style=colour)
    text.append("━" * (width - len(text)), style=LINE)
    return text


def heat(fraction: float) -> str:
    """Colour of a load: normal, high, at the limit."""
    return RED if fraction >= 0.95 else YELLOW if fraction >= 0.8 else GREEN


def now() -> datetime:
    return datetime.now(UTC)


def _time(text: str | None) -> datetime | None:
    if not text:
        return None
    try:
        when = datetime.fromisoformat(text)
    except ValueError:
        return None
    return when if when.tzinfo else when.replace(tzinfo=UTC)
