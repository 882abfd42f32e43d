"""Status lines: the reference form, appended, never torn by an earlier attempt."""

from __future__ import annotations

import json
from datetime import datetime
from pathlib import Path

from runners.engine.status import Pace, StatusWriter, span


def test_lines_have_the_reference_form(tmp_path: Path) -> None:
    path = tmp_path / "results" / "status.json"
    writer = StatusWriter(path, now=lambda: datetime(2023, 7, 3, 9, 4, 2))

    writer.started("Starting")
    writer.running("Epoch 1 of 2", epoch=1, max_epoch=2, kpi={"loss": float("nan"), "accuracy_top-1": 0.5})
    writer.failure("No memory")
    writer.close()

    started, running, failure = map(json.loads, path.read_text().splitlines())
    assert started == {
        "date": "7/3/2023",
        "time": "9:4:2",
        "status": "STARTED",
        "verbosity": "INFO",
        "message": "Starting",
    }
    assert running["kpi"] == {"loss": None, "accuracy_top-1": 0.5}
    assert (running["epoch"], running["max_epoch"], running["status"]) == (1, 2, "RUNNING")
    assert (failure["status"], failure["verbosity"]) == ("FAILURE", "ERROR")


def test_a_half_line_of_an_earlier_attempt_is_closed(tmp_path: Path) -> None:
    path = tmp_path / "status.json"
    path.write_text('{"status": "RUNN')

    writer = StatusWriter(path)
    writer.success("Done")
    writer.close()

    half, whole = path.read_text().splitlines()
    assert half == '{"status": "RUNN'
    assert json.loads(whole)["status"] == "SUCCESS"


def test_spans_are_hours_minutes_seconds() -> None:
    assert span(131.402) == "0:02:11.402000"
    assert span(90_061.5) == "25:01:01.500000"
    assert span(-1) == "0:00:00.000000"


def test_a_pace_lets_a_line_through_only_when_it_is_due() -> None:
    now = [0.0]
    pace = Pace(0.5, clock=lambda: now[0])

    first = pace.due()
    again = pace.due()
    now[0] = 0.5
    later = pace.due()

    assert (first, again, later) == (True, False, True)
