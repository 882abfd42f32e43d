"""Scheduling decisions as tables: which jobs of a queue run on which devices, and the wait reasons of the others."""

from __future__ import annotations

import pytest

from store.records import JobRecord
from taod.scheduler.policy.dispatch import (
    EXPLAINED,
    Decision,
    EndUnplaceable,
    Explain,
    Lease,
    Promote,
    Snapshot,
    decide,
)
from taod.types.device import Device, DeviceKind, DeviceLease
from taod.types.reason import TURN, Reason, ReasonCode
from taod.types.reason_text import text
from taod.types.state import State

Q, W = State.QUEUED, State.WAITING
LOST = Reason(ReasonCode.DEVICE_SILENT)
PARENT = {"job": "parent1234", "action": "train"}


def job(job_id: str, state: State = Q, *, action: str = "train", at: int = 0, **fields: object) -> JobRecord:
    return JobRecord(
        id=job_id,
        user_id="u",
        owner_kind=str(fields.pop("owner_kind", "model")),
        owner_id="m",
        owner_name="m",
        network="dino",
        action=action,
        parent_id=fields.pop("parent_id", None),  # type: ignore[arg-type]
        state=state,
        reason_code=ReasonCode.POSTED,
        created_on=f"{at:03}",
        last_modified="",
        queued_at=f"{at:03}" if state is Q else None,
        place=at * 1_000_000_000 if state is Q else 0,
        **fields,  # type: ignore[arg-type]
    )


def gpu(index: int, *held_by: str, slots: int = 1, busy: Reason | None = None) -> Device:
    leases = [DeviceLease(name, "train", "dino", slot, "") for slot, name in enumerate(held_by)]
    return Device(f"GPU-{index}", DeviceKind.GPU, index, "H100", slots, leases, busy)


def cpu(index: int, *held_by: str) -> Device:
    leases = [DeviceLease(name, "train", "dino", slot, "") for slot, name in enumerate(held_by)]
    return Device(f"cpu:{index}", DeviceKind.CPU, index, f"CPU slot {index}", 1, leases)


def leased(decisions: list[Decision]) -> dict[str, list[str]]:
    return {d.job_id: [device for device, _ in d.slots] for d in decisions if isinstance(d, Lease)}


def explained(decisions: list[Decision]) -> dict[str, str]:
    return {d.job_id: text(d.reason) for d in decisions if isinstance(d, Explain)}


@pytest.mark.parametrize(
    ("queue", "devices", "expected"),
    [
        pytest.param([job("a", at=2), job("b", at=1)], [cpu(0)], {"b": ["cpu:0"]}, id="first in, first out"),
        pytest.param(
            [job("a", at=1), job("b", at=2, priority=1)], [cpu(0)], {"b": ["cpu:0"]}, id="priority before age"
        ),
        pytest.param([job("b"), job("a")], [cpu(0)], {"a": ["cpu:0"]}, id="a tie is broken by id"),
        pytest.param(
            [job("a", at=1), job("b", at=2)], [gpu(0), gpu(1)], {"a": ["GPU-0"], "b": ["GPU-1"]}, id="one a device"
        ),
        pytest.param([job("a")], [gpu(0, "x"), gpu(1)], {"a": ["GPU-1"]}, id="the free one"),
        pytest.param([job("a")], [gpu(0, "x", slots=2), gpu(1, slots=2)], {"a": ["GPU-1"]}, id="the emptier one"),
        pytest.param(
            [job("a", at=1), job("b", at=2), job("c", at=3)],
            [gpu(0, slots=2), gpu(1, slots=2)],
            {"a": ["GPU-0"], "b": ["GPU-1"], "c": ["GPU-0"]},
            id="spread over devices with slots",
        ),
        pytest.param([job("a", devices_wanted=2)], [gpu(0), gpu(1)], {"a": ["GPU-0", "GPU-1"]}, id="several at once"),
        pytest.param([job("a", devices_wanted=2)], [gpu(0, slots=2), gpu(1, "x")], {}, id="not two slots of one"),
        pytest.param(
            [job("a", at=1, devices_wanted=2), job("b", at=2)], [gpu(0, "x"), gpu(1)], {}, id="kept for a large one"
        ),
        pytest.param(
            [job("a", at=1, devices_wanted=2), job("b", at=2, priority=1)],
            [gpu(0, "x"), gpu(1)],
            {"b": ["GPU-1"]},
            id="not kept from a higher priority",
        ),
        pytest.param([job("a")], [gpu(0, busy=LOST)], {}, id="not a busy one"),
        pytest.param([job("a")], [gpu(0, "x"), cpu(0)], {}, id="a model's job waits for the GPU"),
        pytest.param(
            [job("a", action="convert", owner_kind="dataset")],
            [gpu(0), cpu(0)],
            {"a": ["cpu:0"]},
            id="a dataset's job leaves the GPU alone",
        ),
        pytest.param(
            [job("a", action="convert", owner_kind="dataset")], [gpu(0)], {"a": ["GPU-0"]}, id="or takes it if need be"
        ),
        pytest.param(
            [job("a", at=1, devices_wanted=2), job("b", at=2, owner_kind="dataset")],
            [gpu(0, "x"), gpu(1), cpu(0)],
            {"b": ["cpu:0"]},
            id="what is kept is of one kind",
        ),
    ],
)
def test_assignment_of_devices(queue: list[JobRecord], devices: list[Device], expected: dict[str, list[str]]) -> None:
    assert leased(decide(Snapshot(queue, devices=devices))) == expected


def test_a_free_slot_between_leased_ones_is_used() -> None:
    device = gpu(0, "x", "y", "z", slots=3)
    del device.leases[1]
    assert decide(Snapshot([job("a")], devices=[device])) == [
        Lease("a", [("GPU-0", 1)], Reason(ReasonCode.LEASED, {"devices": ["GPU 0"]}))
    ]


@pytest.mark.parametrize(
    ("queue", "devices", "reason"),
    [
        ([job("a")], [cpu(0, "11112222-3")], "waits for a device: 1 of 1 leased by job 11112222 (train)"),
        (
            [job("a", devices_wanted=2)],
            [gpu(0, "x"), gpu(1), gpu(2, "x")],
            "waits for 2 devices: 2 of 3 leased by job x (train)",
        ),
        (
            [job("a")],
            [gpu(0, busy=LOST)],
            "waits for a device: GPU 0 (H100) is lost: its driver no longer answers for it",
        ),
        (
            [job("a", devices_wanted=3)],
            [gpu(n, f"holder{n}") for n in range(5)],
            "waits for 3 devices: 5 of 5 leased by job holder0 (train), job holder1 (train), job holder2 (train) "
            "and 2 more",
        ),
    ],
)
def test_wait_reasons(queue: list[JobRecord], devices: list[Device], reason: str) -> None:
    assert explained(decide(Snapshot(queue, devices=devices))) == {"a": reason}


def test_the_wait_reason_names_the_job_that_reserves_free_devices() -> None:
    queue = [job("large", at=1, devices_wanted=2), job("small", at=2)]
    reasons = explained(decide(Snapshot(queue, devices=[gpu(0, "x"), gpu(1)])))
    assert reasons["small"] == (
        "waits for a device: 1 of 2 leased by job x (train); free ones are kept for train large"
    )


def test_a_job_leased_in_the_same_pass_is_named_as_holder() -> None:
    reasons = explained(decide(Snapshot([job("a", at=1), job("b", at=2)], devices=[cpu(0)])))
    assert reasons == {"b": "waits for a device: 1 of 1 leased by job a (train)"}


def test_an_unchanged_reason_is_not_published_again() -> None:
    (explain,) = decide(Snapshot([job("a")], devices=[cpu(0, "x")]))
    assert isinstance(explain, Explain)
    waiting = job("a", reason_args=explain.reason.arguments)
    waiting.reason_code = explain.reason.code
    assert decide(Snapshot([waiting], devices=[cpu(0, "x")])) == []


def test_jobs_far_back_have_a_short_wait_reason() -> None:
    queue = [job(f"{n:03}", at=n) for n in range(EXPLAINED + 3)]
    reasons = explained(decide(Snapshot(queue, devices=[cpu(0, "x")])))
    assert [job_id for job_id, reason in reasons.items() if reason == text(TURN)] == ["020", "021", "022"]


@pytest.mark.parametrize(
    ("devices", "words"),
    [
        ([cpu(0)], "asks for 2 devices and taod has 1 CPU slot; ask for 1 at most"),
        ([gpu(0), cpu(0), cpu(1)], "asks for 2 devices and taod has 1 GPU; ask for 1 at most"),
        ([], "there is no device; set devices.cpu_slots to 1 or more"),
    ],
)
def test_a_job_that_can_never_run_fails_at_once(devices: list[Device], words: str) -> None:
    (end,) = decide(Snapshot([job("a", devices_wanted=2)], devices=devices))
    assert isinstance(end, EndUnplaceable) and end.state is State.FAILED and text(end.reason).endswith(words)


@pytest.mark.parametrize(
    ("parent_state", "decision"),
    [
        (State.RUNNING, Explain("child", Reason(ReasonCode.PARENT, PARENT))),
        (State.PAUSED, Explain("child", Reason(ReasonCode.PARENT, {**PARENT, "state": "paused"}))),
        (State.FAILED, EndUnplaceable("child", State.FAILED, Reason(ReasonCode.PARENT_FAILED, PARENT))),
        (State.CANCELLED, EndUnplaceable("child", State.CANCELLED, Reason(ReasonCode.PARENT_CANCELLED, PARENT))),
        (State.DONE, Promote("child", Reason(ReasonCode.QUEUED))),
    ],
)
def test_the_state_of_a_parent_decides_about_its_child(parent_state: State, decision: Decision) -> None:
    parent = job(PARENT["job"], parent_state)
    child = job("child", W, action="evaluate", parent_id=parent.id)
    assert decide(Snapshot([child], {parent.id: parent}, devices=[cpu(0, "x")]))[0] == decision


def test_a_failed_parent_fails_its_chain_in_one_pass() -> None:
    top = job("top", State.CANCELLED)
    chain = [
        job("third", W, action="inference", parent_id="second"),
        job("second", W, action="export", parent_id="first"),
        job("first", W, action="prune", parent_id="top"),
    ]
    parents = {each.id: each for each in [top, *chain]}
    ends = decide(Snapshot(chain, parents, devices=[cpu(0)]))
    assert [(end.job_id, text(end.reason)) for end in ends if isinstance(end, EndUnplaceable)] == [
        ("first", "Cancelled because its parent train top was cancelled"),
        ("second", "Cancelled because its parent prune first was cancelled"),
        ("third", "Cancelled because its parent export second was cancelled"),
    ]


def test_a_child_of_a_deleted_job_fails() -> None:
    (end,) = decide(Snapshot([job("a", W, parent_id="gone")], devices=[cpu(0)]))
    assert end == EndUnplaceable("a", State.FAILED, Reason(ReasonCode.PARENT_DELETED))


def test_a_job_without_its_data_waits_with_that_reason() -> None:
    reason = Reason(ReasonCode.DATA_MISSING, {"role": "train", "dataset": "x"})
    assert decide(Snapshot([job("a", W)], unready={"a": reason}, devices=[cpu(0)])) == [Explain("a", reason)]


def test_a_promoted_job_runs_in_the_same_pass_after_queued_ones() -> None:
    ready, queued = job("a", W, at=1), job("b", at=2)
    decisions = decide(Snapshot([ready, queued], devices=[cpu(0), cpu(1)]))
    assert [type(decision) for decision in decisions] == [Promote, Lease, Lease]
    assert leased(decisions) == {"b": ["cpu:0"], "a": ["cpu:1"]}
