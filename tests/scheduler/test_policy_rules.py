"""Order, limits, pause, reservations, backfilling and wait reasons, as tables."""

from __future__ import annotations

import itertools
import math

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from store.records import PendingJob
from taod.config import SchedulerConfig
from taod.scheduler.policy.dispatch import (
    Decision,
    EndUnplaceable,
    Explain,
    Holder,
    Lease,
    Promote,
    Snapshot,
    decide,
    most_wanted,
)
from taod.scheduler.policy.fair_share import NANOSECONDS, Turns, lines_of
from taod.scheduler.policy.reservations import Slots
from taod.types.device import Device, DeviceKind, DeviceLease
from taod.types.reason import TURN, Reason, ReasonCode
from taod.types.reason_text import text
from taod.types.state import State

HOUR_S = 3600.0


def job(name: str, at: float = 0, **fields: object) -> PendingJob:
    values = {
        "user_id": "ada", "owner_kind": "model", "owner_id": "m", "network": "dino", "action": "train",
        "parent_id": None, "state": State.QUEUED, "reason_code": ReasonCode.POSTED,
        "created_on": f"{at:06}", "priority": 0, "devices_wanted": 1, "queued_at": "",
        "place": round(at * NANOSECONDS), **fields,
    }  # fmt: skip
    return PendingJob(id=name, **values)  # type: ignore[arg-type]


def gpu(index: int, *held_by: str, slots: int = 1) -> Device:
    leases = [DeviceLease(name, "train", "dino", slot, "") for slot, name in enumerate(held_by)]
    return Device(f"GPU-{index}", DeviceKind.GPU, index, "H100", slots, leases)


def rules(**fields: object) -> SchedulerConfig:
    return SchedulerConfig(**{"ageing_s_per_point": 0, **fields})  # type: ignore[arg-type]


def order(jobs: list[PendingJob], ageing_s: float = 0, **facts: dict) -> str:
    turns = Turns(lines_of(jobs), facts.get("running", {}), facts.get("served", {}), ageing_s)
    found = []
    for each in turns:
        turns.count(each.user_id)
        found.append(each.id)
    return " ".join(found)


def leased(decisions: list[Decision]) -> dict[str, list[tuple[str, int]]]:
    return {each.job_id: each.slots for each in decisions if isinstance(each, Lease)}


def reasons(decisions: list[Decision]) -> dict[str, str]:
    return {each.job_id: text(each.reason) for each in decisions if isinstance(each, Explain)}


@pytest.mark.parametrize(
    ("jobs", "ageing_s", "facts", "expected"),
    [
        pytest.param([job("b", 2), job("a", 1)], 0, {}, "a b", id="first in, first out"),
        pytest.param([job("a", 1), job("b", 9, priority=1)], 0, {}, "b a", id="priority"),
        pytest.param([job("a", 1), job("b", 9, priority=1)], 10, {}, "b a", id="too little age for a point"),
        pytest.param([job("a", 1), job("b", 12, priority=1)], 10, {}, "a b", id="age is worth a point"),
        pytest.param([job("a", 1), job("b", 11, priority=1)], 10, {}, "b a", id="equal: the higher priority"),
        pytest.param(
            [job("a", 1, priority=-100), job("b", 2001, priority=100)], 10, {}, "b a", id="from end to end: just not"
        ),
        pytest.param(
            [job("a", 1, priority=-100), job("b", 2002, priority=100)], 10, {}, "a b", id="from end to end"
        ),
        pytest.param(
            [job("a1", 1), job("a2", 2), job("a3", 3), job("b1", 4, user_id="bob"), job("b2", 5, user_id="bob")],
            0, {}, "a1 b1 a2 b2 a3", id="users take turns",
        ),
        pytest.param(
            [job("a1", 1), job("a2", 2), job("b1", 4, user_id="bob"), job("b2", 5, user_id="bob")],
            0, {"running": {"ada": 2}}, "b1 b2 a1 a2", id="who runs fewest",
        ),
        pytest.param(
            [job("a1", 1), job("b1", 4, user_id="bob")],
            0, {"served": {"ada": "2024-02", "bob": "2024-01"}}, "b1 a1", id="who was served longest ago",
        ),
        pytest.param(
            [job("a1", 1), job("b1", 4, user_id="bob")],
            0, {"served": {"ada": "2024-02"}}, "b1 a1", id="who was never served",
        ),
        pytest.param(
            [job("a1", 1), job("b1", 4, user_id="bob", priority=-1)],
            0, {"running": {"ada": 9}}, "a1 b1", id="turns are taken inside a priority",
        ),
        pytest.param(
            [job("a1", 1), job("a2", 2, owner_kind="dataset"), job("a3", 3)], 0, {}, "a1 a2 a3", id="over both kinds"
        ),
    ],
)  # fmt: skip
def test_the_order_of_service(jobs: list[PendingJob], ageing_s: float, facts: dict, expected: str) -> None:
    assert order(jobs, ageing_s, **facts) == expected


def test_time_alone_never_changes_the_order() -> None:
    jobs = [job(f"{n}", at=n * 37 % 11 * 5, priority=n % 5 - 2, user_id=f"u{n % 3}") for n in range(30)]
    first = [decide(Snapshot(jobs, devices=[gpu(0)], rules=rules(ageing_s_per_point=7), now_s=at)) for at in (0, 1e6)]
    assert first[0] == first[1]


@pytest.mark.parametrize(
    ("limits", "devices", "holders", "words"),
    [
        (
            {"max_running": 2}, [gpu(0, "x"), gpu(1, "y"), gpu(2)], {"x": Holder("bob"), "y": Holder("eve")},
            "waits: 2 jobs run, the most that scheduler.max_running allows",
        ),
        (
            {"max_running_per_user": 1}, [gpu(0, "x"), gpu(1)], {"x": Holder("ada")},
            "waits: 1 job runs for its user, the most that scheduler.max_running_per_user allows",
        ),
        ({}, [gpu(0, "x")], {"x": Holder("bob")}, "waits for a device: 1 of 1 leased by another user's job"),
        ({}, [gpu(0, "x")], {"x": Holder("ada")}, "waits for a device: 1 of 1 leased by job x (train)"),
        (
            {"exclusive": ["train"]}, [gpu(0, "x", slots=2)], {"x": Holder("ada")},
            "waits for a device of its own: 1 of 1 leased by job x (train)",
        ),
    ],
)  # fmt: skip
def test_wait_reasons_with_limits(limits: dict, devices: list[Device], holders: dict, words: str) -> None:
    assert reasons(decide(Snapshot([job("a")], devices=devices, holders=holders, rules=rules(**limits)))) == {
        "a": words
    }


def test_limits_count_leases_of_the_same_pass() -> None:
    queue = [job(f"{user}{n}", n, user_id=user) for n, user in itertools.product(range(3), ("ada", "bob", "eve"))]
    devices = [gpu(n) for n in range(8)]
    mine = decide(Snapshot(queue, devices=devices, rules=rules(max_running_per_user=2)))
    assert sorted(leased(mine)) == ["ada0", "ada1", "bob0", "bob1", "eve0", "eve1"]
    assert "2 jobs run for its user" in reasons(mine)["ada2"]
    everybodys = decide(Snapshot(queue, devices=devices, rules=rules(max_running=4, max_running_per_user=2)))
    assert sorted(leased(everybodys)) == ["ada0", "ada1", "bob0", "eve0"]
    assert "4 jobs run, the most" in reasons(everybodys)["bob1"]


def test_a_user_at_a_limit_reserves_nothing_and_blocks_no_other_user() -> None:
    queue = [job(f"ada{n}", n, devices_wanted=2) for n in range(50)] + [job("bob", 99, user_id="bob")]
    snapshot = Snapshot(
        queue, devices=[gpu(0, "x"), gpu(1)], holders={"x": Holder("ada")}, rules=rules(max_running_per_user=1)
    )
    assert leased(decide(snapshot)) == {"bob": [("GPU-1", 0)]}
    assert list(reasons(decide(snapshot)).values()).count(text(TURN)) == 30


def test_a_paused_queue_accepts_jobs_but_starts_none() -> None:
    pause = Reason(ReasonCode.QUEUE_PAUSED, {"by": "ada", "message": "new driver"})
    queue = [job("a"), job("b", state=State.WAITING), job("never", devices_wanted=9)]
    decisions = decide(Snapshot(queue, devices=[gpu(0)], paused=pause))
    assert reasons(decisions) == {"a": text(pause), "b": text(pause)}
    assert {type(each) for each in decisions} == {Explain, Promote, EndUnplaceable}
    assert text(pause) == "waits: the queue is paused by ada: new driver"


def test_a_reserving_job_is_named_only_to_its_own_user() -> None:
    queue = [job("large", 1, devices_wanted=2, priority=1), job("mine", 2), job("his", 3, user_id="bob")]
    found = reasons(decide(Snapshot(queue, devices=[gpu(0, "x"), gpu(1)], holders={"x": Holder("eve")}, rules=rules())))
    assert "free ones are kept for train large; users take turns" in found["mine"]
    assert found["his"].endswith("free ones are kept for another user's job")


def test_one_slot_of_a_device_is_reserved_and_the_others_are_used() -> None:
    queue = [job("large", 1, devices_wanted=2), job("small", 2), job("smaller", 3)]
    decisions = decide(Snapshot(queue, devices=[gpu(0, "x", "y", slots=2), gpu(1, slots=2)], rules=rules()))
    assert leased(decisions) == {"small": [("GPU-1", 1)]}
    assert "kept for train large" in reasons(decisions)["smaller"]


class TestExclusiveDevice:
    def test_a_device_is_leased_whole(self) -> None:
        decisions = decide(Snapshot([job("a")], devices=[gpu(0, slots=3)], rules=rules(exclusive=["train"])))
        assert decisions == [
            Lease("a", [("GPU-0", 0), ("GPU-0", 1), ("GPU-0", 2)], Reason(ReasonCode.LEASED, {"devices": ["GPU 0"]}))
        ]

    def test_the_device_with_the_fewest_leases_is_reserved_and_the_others_are_used(self) -> None:
        queue = [job("alone", 1), job("small", 2, action="export"), job("next", 3, action="export")]
        devices = [gpu(0, "x", "y", slots=3), gpu(1, "z", slots=3), gpu(2, "v", "w", "u", slots=3)]
        decisions = decide(Snapshot(queue, devices=devices, rules=rules(exclusive=["train"])))
        assert leased(decisions) == {"small": [("GPU-0", 2)]}

    def test_exclusive_devices_with_one_slot_have_the_usual_reason(self) -> None:
        decisions = decide(Snapshot([job("a")], devices=[gpu(0, "x")], rules=rules(exclusive=["train"])))
        assert reasons(decisions) == {"a": "waits for a device: 1 of 1 leased by job x (train)"}


class TestBackfilling:
    """GPU 0 runs until 1,000 s at the latest; `large` wants both."""

    def decide(self, wall_s: float | None, ends_by_s: float | None = 1000.0, **fields: object) -> dict:
        queue = [job("large", 1, devices_wanted=2), job("small", 2, **fields)]
        return leased(
            decide(
                Snapshot(
                    queue,
                    devices=[gpu(0, "x"), gpu(1)],
                    holders={"x": Holder("ada", ends_by_s)},
                    now_s=400.0,
                    wall_time_s=lambda each: wall_s if each.id == "small" else None,
                )
            )
        )

    def test_a_job_that_ends_in_time_is_backfilled(self) -> None:
        assert self.decide(600.0) == {"small": [("GPU-1", 0)]}

    @pytest.mark.parametrize(("wall_s", "ends_by_s"), [(601.0, 1000.0), (None, 1000.0), (1.0, None), (1.0, 300.0)])
    def test_a_job_that_may_end_too_late_is_not_backfilled(self, wall_s, ends_by_s) -> None:
        assert self.decide(wall_s, ends_by_s) == {}

    def test_slots_of_two_reservations_are_not_backfilled(self) -> None:
        slots = Slots([gpu(0, "x", slots=2), gpu(1, slots=2)], {"x": Holder("ada", 1000.0)})
        first, second = job("first", devices_wanted=3), job("second", devices_wanted=3)
        slots.reserve(first, alone=False)
        slots.reserve(second, alone=False)
        assert slots.take(job("small"), alone=False, ends_by_s=1.0) is None
        assert [each.id for each in slots.reserving_jobs()] == ["first", "second"]
        assert slots.take(job("small"), alone=False, ends_by_s=math.inf) is None


def mig(number: int, *held_by: str) -> Device:
    """An instance of GPU 0."""
    device = gpu(0, *held_by)
    return msgspec.structs.replace(
        device, id=f"MIG-{number}", parent="GPU-0", name=f"H100 MIG 1g.10gb (GPU 0, instance {number})"
    )


def test_a_job_of_several_devices_gets_whole_gpus_never_mig_instances() -> None:
    both, one = job("both", 1, devices_wanted=2), job("one", 2)
    devices = [mig(0), mig(1), gpu(1), gpu(2, "x")]
    decisions = decide(Snapshot([both, one], devices=devices, holders={"x": Holder("ada")}, rules=rules()))
    assert leased(decisions) == {"one": [("MIG-0", 0)]}
    assert reasons(decisions) == {"both": "waits for 2 devices: 1 of 2 leased by job x (train)"}
    assert next(text(each.reason) for each in decisions if isinstance(each, Lease)) == (
        "Leased H100 MIG 1g.10gb (GPU 0, instance 0)"
    )
    free = decide(Snapshot([both, one], devices=[mig(0), gpu(1), gpu(2)], rules=rules()))
    assert leased(free) == {"both": [("GPU-1", 0), ("GPU-2", 0)], "one": [("MIG-0", 0)]}


@pytest.mark.parametrize(
    ("devices", "have", "most"), [([mig(0), mig(1)], "no whole GPU", 1), ([mig(0), mig(1), gpu(1)], "1 whole GPU", 1)]
)
def test_a_job_for_several_mig_instances_fails_with_the_possible_number(
    devices: list[Device], have: str, most: int
) -> None:
    assert most_wanted(devices)["model"] == most
    for how in ({}, {"lines": []}):
        (end,) = decide(Snapshot([job("both", 1, devices_wanted=2)], devices=devices, rules=rules(), **how))
        assert isinstance(end, EndUnplaceable) and end.state is State.FAILED
        assert text(end.reason) == (
            f"It can never run: it asks for 2 devices and taod has {have}; a run can use one MIG "
            f"instance, not several; ask for {most} at most"
        )


@st.composite
def two_users(draw: st.DrawFn) -> Snapshot:
    """Jobs of two users, running, queued and waiting, some behind jobs of their own."""
    ids = draw(st.permutations([f"{number:08x}" for number in range(0xABC0, 0xABC0 + 14)]))
    owner = {name: draw(st.sampled_from(["ada", "bob"])) for name in ids}
    running, rest = ids[: draw(st.integers(0, 4))], ids[4:]
    devices = [gpu(number) for number in range(4)]
    for number, name in enumerate(running):
        devices[number] = gpu(number, name)
    jobs = [
        job(
            name,
            number,
            user_id=owner[name],
            devices_wanted=draw(st.integers(1, 5)),
            priority=draw(st.integers(-1, 1)),
            state=draw(st.sampled_from([State.QUEUED, State.QUEUED, State.WAITING])),
            parent_id=draw(st.sampled_from([None, *(each for each in rest[:number] if owner[each] == owner[name])])),
        )
        for number, name in enumerate(rest)
    ]
    return Snapshot(
        jobs,
        parents={each.id: each for each in jobs},
        devices=devices,
        holders={name: Holder(owner[name], draw(st.sampled_from([None, 50.0]))) for name in running},
        rules=rules(
            max_running=draw(st.sampled_from([0, 3])),
            max_running_per_user=draw(st.sampled_from([0, 2])),
            exclusive=draw(st.sampled_from([[], ["train"]])),
        ),
        wall_time_s=lambda each: 40.0 if each.place % 2 else None,
    )


@given(two_users())
@settings(max_examples=60, deadline=None)
def test_no_reason_names_a_job_of_another_user(snapshot: Snapshot) -> None:
    owner = {each.id: each.user_id for each in snapshot.pending}
    owner |= {name: holder.user_id for name, holder in snapshot.holders.items()}
    for decision in decide(snapshot):
        for name, user_id in owner.items():
            if user_id != owner[decision.job_id]:
                assert name not in str(decision.reason) and user_id not in str(decision.reason)
