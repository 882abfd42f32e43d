"""Parts of the dashboard without a screen: log lines, curves, rows, filters, texts."""

from __future__ import annotations

import io
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest
from rich.console import Console

from taod.client.curves import Curves
from taod.types.device import DeviceLease
from taod.types.job import Graphical, JobDetail, Result, Stat
from taod.types.reason import Reason, ReasonCode
from taod.types.state import State, Status
from tui import format
from tui.devices.row import line
from tui.header import counted
from tui.job.details import job_table
from tui.job.lines import LogLines
from tui.job.log import paint
from tui.job.tree import tree
from tui.jobs import rows
from tui.jobs.job_actions import cancel_question
from tui.jobs.job_store import Filter, JobStore
from tui.theme import GLYPHS, RED, YELLOW

NOW = datetime(2026, 1, 1, 12, 0, tzinfo=UTC)


@pytest.fixture
def made(contract: Any) -> Any:
    return contract.World()


def shown(lines: LogLines) -> list[str]:
    return [lines[index] for index in range(len(lines))]


def test_of_a_progress_bar_only_the_last_state_is_kept() -> None:
    lines = LogLines()
    lines.feed(b"start\n 10%|#\r 50%|##")
    assert shown(lines) == ["start", " 50%|##"]
    lines.feed(b"\r100%|####\r\nend\n")
    assert shown(lines) == ["start", "100%|####", "end"]


def test_a_character_split_between_two_pieces_is_joined() -> None:
    lines = LogLines()
    data = "größe ✓\n".encode()
    for at in range(len(data)):
        lines.feed(data[at : at + 1])
    assert shown(lines) == ["größe ✓"]


def test_colours_and_control_characters_are_removed() -> None:
    lines = LogLines()
    lines.feed(b"\x1b[31mred\x1b[0m \x1b]0;title\x07bell\x07\n\tx\n\xff\n")
    assert shown(lines) == ["red bell", "    x", "�"]


def test_a_log_keeps_its_last_lines_and_cuts_endless_ones() -> None:
    lines = LogLines(limit=3, longest=10)
    pushed = lines.feed(b"".join(b"line %d\n" % number for number in range(5)))
    assert (shown(lines), pushed, lines.start, lines.end) == (["line 2", "line 3", "line 4"], 2, 14, 35)
    lines.feed(b"x" * 50 + b"\n")
    assert lines[2] == "x" * 10 + "…"


def test_a_log_grows_at_its_beginning_and_knows_where_it_is() -> None:
    data = b"".join(b"line %03d\n" % number for number in range(100))
    lines = LogLines(limit=40, start=900)
    lines.feed(data[900:])
    lines.feed(b"open")
    assert lines.prepend(data[595:900], 595) == 33
    assert (lines.start, shown(lines)[0]) == (603, "line 067")
    assert (lines.end, shown(lines)[-1], len(lines)) == (904, "open", 34)
    assert lines.prepend(b"", lines.start) == 0
    while lines.start:
        begin = max(0, lines.start - 100)
        lines.prepend(data[begin : lines.start], begin)
    assert (lines.start, len(lines), lines.end) == (0, 40, 360)
    assert shown(lines) == [f"line {number:03d}" for number in range(40)]
    assert [lines.line_at(offset) for offset in (0, 8, 9, 359, 10_000)] == [0, 0, 1, 39, 39]
    assert lines.offset_of(7) == 63


def test_memory_stays_bounded_under_a_progress_bar_without_end() -> None:
    lines = LogLines(longest=100)
    for number in range(10_000):
        lines.feed(b"\r%06d" % number)
    assert shown(lines) == ["009999"]
    assert len(lines._open) < 300


def test_levels_have_colours() -> None:
    def colour(words: str) -> str:
        return paint(words)[-1].style.color.name  # type: ignore[union-attr]

    assert colour("2026-01-01 10:00:00 ERROR no") == RED
    assert colour("torch.cuda.OutOfMemoryError: x") == RED
    assert colour("UserWarning: slow") == YELLOW
    assert [segment.text for segment in paint("10:00:00 INFO x")] == ["10:00:00 ", "INFO x"]


def test_curves_come_from_the_result_and_grow_with_the_lines(contract: Any, made: Any) -> None:
    view = made.add_job(metric="loss")
    view.result = Result(
        kpi=[contract.kpi("acc", 0.5, None), contract.kpi("loss", 2.0, 1.0)],
        graphical=[Graphical("lr", {"1": 0.1, "odd": 1.0})],
    )
    curves = Curves.from_job(view)
    assert curves.metrics == ["loss", "acc", "lr"]
    assert curves.series("acc") == ([1], [0.5])
    assert curves.feed(contract.epoch_line(view.id, 3, loss=1.5, acc=0.9))
    assert not curves.feed(contract.epoch_line(view.id, 3, loss=9.0, acc=0.1))
    assert curves.series("loss") == ([1, 2, 3], [2.0, 1.0, 1.5])
    assert curves.best("loss") == (2, 1.0) and curves.best("acc") == (3, 0.9)


@pytest.mark.parametrize("width", [60, 78, 98, 118, 160, 240])
def test_the_columns_fill_the_width_and_no_more(width: int) -> None:
    columns = rows.columns(width)
    assert sum(column.width + rows.PADDING for column in columns) == width


def test_a_running_row_has_bar_epochs_and_remaining_time(made: Any) -> None:
    view = made.add_job(result=Result(epoch=3, max_epoch=8, eta="0:24:05.4"), metric="acc", metric_value=0.91344)
    cells = rows.cells(view, NOW, 24, {})
    assert cells["progress"].plain.endswith(" 3/8 24:05") and cells["progress"].cell_len == 24
    assert cells["value"].plain == "0.9134"
    assert rows.cells(view, NOW, 10, {})["progress"].plain.endswith(" 3/8")


@pytest.mark.parametrize("state", [State.WAITING, State.QUEUED, State.FAILED, State.CANCELLED, State.PAUSED])
def test_a_row_that_does_not_run_shows_the_reason(made: Any, state: State) -> None:
    view = made.add_job(state=state, reason="this is why")
    assert rows.cells(view, NOW, 24, {})["progress"].plain == "this is why"


def test_every_state_has_a_glyph_one_cell_wide(made: Any) -> None:
    assert set(GLYPHS) == set(State)
    assert all(counted({state: 1}, words=False).cell_len == 3 for state in State)


def test_numbers_are_formatted_shortly() -> None:
    assert [format.number(x) for x in (0.91344, 12, 8.33e-05, 0, None, 1234567)] == [
        "0.9134", "12", "8.33e-05", "0", "–", "1.23e+06",
    ]  # fmt: skip
    assert [format.duration(x) for x in (8.41, 134, 11100, 187200)] == ["8.4s", "2m 14s", "3h 05m", "2d 4h"]
    assert format.age("2026-01-01T11:56:00+00:00", NOW) == "4m"
    assert [format.eta(x) for x in ("0:24:05.4", "1:24:05", None)] == ["24:05", "1:24:05", ""]
    assert [format.bar(x, 8).plain for x in (0, 0.5, 1)] == ["━" * 8] * 3
    assert format.bar(0.44, 4).plain == "━━━━" and format.bar(0.4, 4).plain == "━╸━━"


def test_the_filter_decides_as_the_daemon_does(made: Any) -> None:
    view = made.add_job(state=State.PAUSED, owner_name="Street Lights")
    assert Filter(Status.PENDING, "LIGHTS").matches(view)
    assert Filter(None, view.id[:6]).matches(view)
    assert not Filter(Status.RUNNING).matches(view)
    assert not Filter(text="helmet").matches(view)


def test_an_older_view_does_not_replace_a_newer_one(made: Any) -> None:
    view = made.add_job()
    store = JobStore(views={view.id: view}, total=1)
    assert not store.newer(msgspec.structs.replace(view, last_modified="2000"))
    assert store.newer(msgspec.structs.replace(view, last_modified="9999"))


def test_a_job_below_the_loaded_ones_waits_for_its_page(made: Any) -> None:
    newest, older = made.add_job(seconds_ago=10), made.add_job(seconds_ago=100)
    store = JobStore(views={newest.id: newest}, total=500)
    assert not store.belongs(older)
    assert store.belongs(made.add_job(seconds_ago=1))


def test_a_cancel_question_states_the_consequence(made: Any) -> None:
    view = made.add_job(result=Result(epoch=3, max_epoch=8))
    assert cancel_question([view], 2) == (
        f"Cancel train {view.id[:8]} of 'digits'?",
        "It is at epoch 3 of 8; its checkpoints are kept. 2 jobs that wait for it end too.",
    )
    assert cancel_question([made.add_job(state=State.QUEUED)], 0)[1] == "It has not started."
    evaluate = made.add_job(action="evaluate", state=State.RUNNING)
    assert cancel_question([evaluate], 1)[1] == (
        "It is running; what it has written so far is kept. 1 job that waits for it ends too."
    )
    paused, queued = made.add_job(state=State.PAUSED), made.add_job(state=State.QUEUED)
    assert cancel_question([view, evaluate, paused, queued], 0) == (
        "Cancel 4 jobs?",
        "2 of them run; what is written so far is kept. 1 is paused. 1 has not started.",
    )


def test_a_device_shows_its_readings_and_omits_missing_ones(contract: Any) -> None:
    held = contract.gpu(leases=[DeviceLease("1a2b3c4d-0", "train", "dino", 0, "")])
    text = line(held, 118, 20).plain
    assert all(part in text for part in ("GPU0", "H100", "87%", "31.0/80G", "61°C", "412/700W", "train 1a2b3c4d dino"))
    silent = contract.gpu(utilisation_percent=None, memory_used_bytes=None, temperature_c=None, power_w=None)
    text = line(silent, 118, 20).plain
    assert "util" not in text and "mem" not in text and text.endswith("free")
    foreign = Reason(ReasonCode.DEVICE_FOREIGN, {"processes": [{"pid": 4711, "name": "sleep"}], "more": 0})
    assert "in use by pid 4711 (sleep), not taod's" in line(contract.gpu(busy_reason=foreign), 78, 20).plain
    assert line(contract.cpu(1), 78, 20).plain.startswith("○ CPU1")


def test_a_specification_reads_as_a_tree() -> None:
    document = {"train": {"lr": 0.1, "amp": False, "steps": [1, 2]}, "sets": [{"dir": "a"}], "gpus": None, "x": {}}
    assert tree(document).plain.splitlines() == [
        "train:", "  lr: 0.1", "  amp: false", "  steps: [1, 2]", "sets:", "  -", "    dir: a",
        "gpus: null", "x: {}",
    ]  # fmt: skip


def test_the_details_of_a_job_have_what_its_run_said_of_the_model(made: Any) -> None:
    view = msgspec.structs.replace(made.add_job(), result=Result(stats=[Stat("parameters", "4 M before, 3 M after")]))
    console = Console(width=100, record=True, file=io.StringIO())
    console.print(job_table(JobDetail(view), {}))
    assert "result     parameters  4 M before, 3 M after" in console.export_text()
