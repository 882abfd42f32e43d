"""Invalid lines of status.json are counted and reported among the warnings of the job; they change nothing else."""

from __future__ import annotations

from typing import Any

import pytest

from taod.telemetry.bus import EventBus
from taod.telemetry.publisher import Publisher
from taod.telemetry.status import LONGEST_LINE, StatusReader
from taod.telemetry.telemetry import Telemetry
from taod.types.warning import Warning, WarningCode
from taod.types.warning_text import text

PIECE = 1 << 20
OTHER = Warning(WarningCode.DEFAULT_SPEC, "train")
GOOD = b'{"status": "RUNNING", "epoch": 1, "kpi": {"loss": NaN, "top": 0.5, "far": Infinity}}\n'


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        (GOOD, None),
        (b"\n  \n", None),
        (b"not json\n[1]\n" + GOOD, "2 not read, no JSON object"),
        (b'{"status": "RUNNING", "message": "caf\xe9"}\n', "1 read with bytes that are no UTF-8"),
        (b"x" * (LONGEST_LINE + PIECE) + b"\n" + GOOD, "1 not read, longer than 16 MiB"),
        (b"\xff\xfe\n{\n", "2 not read, no JSON object"),
    ],
    ids=["good", "blank", "broken", "foreign", "oversized", "binary"],
)
def test_odd_lines_are_counted(lines: bytes, words: str | None) -> None:
    reader = StatusReader("dino")
    for start in range(0, len(lines), PIECE):
        reader.feed(lines[start : start + PIECE])
    warning = reader.odd.warning()
    assert (warning and text(warning)) == (words and f"Lines of status.json: {words}")


def test_a_line_with_invalid_bytes_is_read() -> None:
    reader = StatusReader("dino")
    reader.feed(b'{"status": "RUNNING", "message": "caf\xe9", "epoch": 4}\n')
    assert reader.last is not None and reader.last.message == "caf�" and reader.result.epoch == 4


def test_a_partial_line_of_an_earlier_attempt_counts_as_damaged() -> None:
    reader = StatusReader("dino")
    reader.feed(b'{"status": "RUNN')
    reader.new_attempt()
    assert reader.odd.broken == 1


async def test_repeated_reads_add_the_warning_once(bench: Any) -> None:
    job = bench.job()
    folder = bench.folder(job)
    bench.store.jobs.update(job.id, warnings=[OTHER])
    path = folder.results / "status.json"
    path.write_bytes(b"nonsense\n" + GOOD)
    for lines in (1, 2):
        telemetry = Telemetry(bench.store, Publisher(EventBus()))
        telemetry.start(bench.store.jobs.get(job.id), folder)
        with path.open("ab") as file:
            file.write(b"more nonsense\n" if lines == 1 else GOOD)
        await telemetry.finish(job.id)
    kept = bench.store.jobs.get(job.id).warnings
    assert kept[0] == OTHER
    assert [text(warning) for warning in kept[1:]] == ["Lines of status.json: 2 not read, no JSON object"]
    values = {kpi.metric: kpi.values for kpi in bench.store.jobs.result(job.id).kpi}
    assert values == {"loss": {"1": None}, "top": {"1": 0.5}, "far": {"1": None}}
