"""Ranges of bytes."""

from __future__ import annotations

import pytest

from taod.api.ranges import Range, Unsatisfiable, parse


@pytest.mark.parametrize(
    ("header", "range_"),
    [
        (None, None),
        ("bytes=0-9", Range(0, 10)),
        ("bytes=90-", Range(90, 100)),
        ("bytes=-5", Range(95, 100)),
        ("bytes=-500", Range(0, 100)),
        ("bytes=50-500", Range(50, 100)),
        ("bytes=9-3", None),
        ("bytes=0-1,5-6", None),
        ("lines=1-2", None),
        ("bytes=-", None),
        (f"bytes=0-{'9' * 5000}", Range(0, 100)),
        (f"bytes=-{'9' * 5000}", Range(0, 100)),
        (f"bytes={'0' * 5000}7-9", Range(7, 10)),
        ("bytes=\N{ARABIC-INDIC DIGIT ONE}-", None),
    ],
    ids=lambda value: str(value)[:20],
)
def test_one_range_or_the_whole(header, range_) -> None:
    assert parse(header, 100) == range_


@pytest.mark.parametrize("first", ["100", "9" * 5000], ids=["near", "far"])
def test_a_range_after_the_end_reports_the_size(first) -> None:
    with pytest.raises(Unsatisfiable) as rejected:
        parse(f"bytes={first}-", 100)
    assert rejected.value.headers["Content-Range"] == "bytes */100"
