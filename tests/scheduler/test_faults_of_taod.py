"""A fault of taod itself, at each step of a job, ends the job with its reason and releases its devices."""

from __future__ import annotations

from typing import Any

import pytest
from sched_world import GOOD, World

from taod import backoff
from taod.scheduler.supervision import finalize, launch
from taod.types.reason import ReasonCode
from taod.types.state import State


@pytest.fixture(autouse=True)
def short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backoff, "FIRST_S", 0.01)


def broken(*_: Any, **__: Any) -> Any:
    raise KeyError("a fault")


@pytest.mark.parametrize(
    ("module", "name", "code"),
    [
        (launch, "_prepare", ReasonCode.PREPARE_FAILED),
        (finalize, "_record", ReasonCode.FAULT),
    ],
)
async def test_a_fault_fails_the_job_and_releases_its_device(
    world: World, monkeypatch: pytest.MonkeyPatch, module: Any, name: str, code: ReasonCode
) -> None:
    with monkeypatch.context() as faulty:
        faulty.setattr(module, name, broken)
        job = world.post(GOOD)
        await world.until(job, State.FAILED)
    assert (world.job(job).reason.code, "a fault" in world.job(job).reason_text) == (code, True)
    await world.until(world.post(GOOD), State.DONE)
