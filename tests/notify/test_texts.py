"""The texts of notifications: what, which job, why, how long, and the command that shows more; safe to print."""

from __future__ import annotations

from typing import Any

import pytest

from store.records import JobRecord
from taod.notify import texts
from taod.types.job import Kpi, Result
from taod.types.reason import Reason, ReasonCode
from taod.types.state import State
from taod.types.warning import Warning, WarningCode

ID = "c1d2e3f4-0a1b-4c2d-8e3f-4a5b6c7d8e9f"
ABOUT = f"dino train, model cats, job {ID}"


def job(
    state: State = State.DONE, reason: Reason = Reason(ReasonCode.DONE, {"message": ""}), **fields: Any
) -> JobRecord:
    values: dict[str, Any] = (
        {"started_at": "2024-05-01T09:30:00.000000+00:00"}
        | {"owner_name": "cats", "metric": "val_mAP", "metric_value": 0.4321987}
        | fields
    )
    return JobRecord(
        id=ID, user_id="u", owner_kind="model", owner_id="m", network="dino", action="train", parent_id=None,
        state=state, reason_code=reason.code, reason_args=reason.arguments, created_on="", last_modified="",
        ended_at="2024-05-01T11:30:05.400000+00:00", **values,
    )  # fmt: skip


def test_a_done_job_has_its_metrics_and_its_duration() -> None:
    result = Result(kpi=[Kpi("loss", {"1": 0.9, "2": 0.63}), Kpi("val_mAP", {"1": 0.1}), Kpi("bad", {"1": None})])
    text = texts.ended("vision-1", job(), result)
    assert text.subject == "taod on vision-1: train of cats is done"
    assert text.body.splitlines() == [ABOUT, "val_mAP 0.432199, loss 0.63", "took 2:00:05", f"taod job show {ID}"]


def test_a_done_job_without_metrics_and_start() -> None:
    text = texts.ended("h", job(metric_value=None, started_at=None), Result())
    assert text.body.splitlines() == [ABOUT, f"taod job show {ID}"]


def test_a_failed_job_has_its_reason_and_the_command_for_its_log() -> None:
    why = {
        "exit_code": 137,
        "detail": "",
        "memory": "",
        "after_success": False,
        "explanation": "",
        "log": "a\nb\nc\nd\ne",
    }
    text = texts.ended("h", job(State.FAILED, Reason(ReasonCode.EXIT, why)), Result())
    assert text.subject == "taod on h: train of cats failed"
    assert text.body.splitlines() == [
        ABOUT, "exit code 137: killed, out of memory?", "a", "b", "c", "after 2:00:05", f"taod job log {ID} --tail 50",
    ]  # fmt: skip


def test_the_other_events() -> None:
    silent = Warning(WarningCode.STALLED, "", {"limit_s": 1800, "stopped": [7]})
    lost = Reason(ReasonCode.DEVICE_LOST, {"devices": [{"name": "A100", "id": "GPU-1"}]})
    shown = [
        texts.stalled("h", job(trial=3), silent),
        texts.device_lost("h", job(), lost),
        texts.sweep_best("h", job(), "loss", 0.25, 4, 0.5),
        texts.sweep_best("h", job(), "loss", 0.25, 0, None),
        texts.disk_full("h", "/srv/taod", 3 * 1024**3),
        texts.test("h", "mail"),
    ]
    assert [each.subject.removeprefix("taod on h: ") for each in shown] == [
        "train of cats (trial 3) is stalled",
        "train of cats lost its device",
        "train of cats has a new best: loss 0.25",
        "train of cats has a new best: loss 0.25",
        "the disk is nearly full: 3.0 GiB free",
        "test notification",
    ]
    bodies = [each.body.splitlines() for each in shown]
    assert "no line of log or status for 30 min; pid 7 is stopped" in bodies[0][1]
    assert bodies[1][1:] == ["A100 was lost (GPU-1): its driver no longer answers for it", "taod device ls"]
    assert bodies[2][1] == "loss 0.25 in trial 4, before 0.5"
    assert bodies[3][1] == "loss 0.25 in trial 0"
    assert bodies[4][0] == "disk of /srv/taod"


@pytest.mark.parametrize("name", ["a\nSubject: x", "a\x1b[31m\x07", "\u202egnp", "x" * 1000])
def test_control_characters_are_escaped_and_lines_are_bounded(name: str) -> None:
    text = texts.ended("h", job(owner_name=name), Result())
    assert text.subject.isprintable() and len(text.subject) <= texts.SUBJECT
    assert all(line.isprintable() and len(line) <= texts.LINE for line in text.body.splitlines())
    assert len(text.body.splitlines()) == 4
