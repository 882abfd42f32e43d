"""The queue as the scheduler reads it: what decides is in it, what cannot matter now is left out, indices carry it."""

from __future__ import annotations

import random

import pytest

from store import Store
from store.records import PendingJob
from taod.scheduler.policy import (
    FOR_PARENT,
    FURTHER_BACK,
    PAUSED,
    Decision,
    End,
    Snapshot,
    decide,
    looked_at,
    most_wanted,
    short,
)
from taod.types.device import Device, DeviceKind
from taod.types.state import State


def ids(jobs: list[PendingJob]) -> list[str]:
    return [job.id for job in jobs]


def test_the_head_of_the_queue_is_read_for_either_kind_of_device(store: Store, make) -> None:
    model, data = make.model(), make.dataset()
    trains = [make.job(model, reason=FURTHER_BACK).id for _ in range(4)]
    converts = [make.job(data, reason=FURTHER_BACK).id for _ in range(4)]
    urgent = make.job(model, reason=FURTHER_BACK, priority=3).id
    assert ids(store.queue.heads(2, most=1, told=FURTHER_BACK)) == [urgent, trains[0], *converts[:2]]


def test_those_further_back_are_read_where_they_were_told_something_else_or_can_never_run(store: Store, make) -> None:
    model = make.model()
    first, _, big, new = (
        make.job(model, **fields).id
        for fields in ({}, {"reason": FURTHER_BACK}, {"reason": FURTHER_BACK, "devices_wanted": 3}, {})
    )
    assert ids(store.queue.heads(1, most=2, told=FURTHER_BACK)) == [first, big, new]


def test_jobs_that_wait_for_data_are_read_by_owner(store: Store, make) -> None:
    one, other = make.model(), make.dataset()
    told, new = (make.job(one, state=State.WAITING, reason=reason) for reason in ("waits: x", "posted"))
    make.job(other, state=State.WAITING)
    make.job(one, state=State.WAITING, parent_id=told.id)
    assert {job.owner_id for job in store.queue.waiting_owners()} == {one.id, other.id}
    assert ids(store.queue.waiting_of(one.id, "waits: x")) == [new.id]
    assert ids(store.queue.waiting_of(one.id, None)) == [told.id, new.id]


@pytest.mark.parametrize(
    ("parent", "reason", "read"),
    [
        (State.RUNNING, FOR_PARENT + "train 1", False),
        (State.RUNNING, "released by the user", True),
        (State.PAUSED, FOR_PARENT + "train 1", True),
        (State.PAUSED, FOR_PARENT + "train 1" + PAUSED, False),
        (State.RUNNING, FOR_PARENT + "train 1" + PAUSED, True),
        (State.DONE, FOR_PARENT + "train 1", True),
        (State.FAILED, FOR_PARENT + "train 1", True),
        (State.CANCELLED, FOR_PARENT + "train 1", True),
    ],
)
def test_a_follower_is_read_where_its_parent_ended_or_it_has_to_be_told_anew(
    store: Store, make, parent: State, reason: str, read: bool
) -> None:
    child = make.job(make.model(), parent_id=make.job_in(parent).id, state=State.WAITING, reason=reason)
    found = store.queue.waiting_for_parents(FOR_PARENT, PAUSED)
    assert ids(found) == ([child.id] if read else [])
    assert list(store.queue.named([child.parent_id, "none"])) == [child.parent_id]


def test_the_queue_is_read_from_small_indices(store: Store) -> None:
    database, seen = store._database, []
    database.connection.set_trace_callback(seen.append)
    store.queue.heads(3, most=1, told=FURTHER_BACK)
    store.queue.waiting_owners()
    store.queue.waiting_for_parents(FOR_PARENT, PAUSED)
    store.queue.waiting_of("one", None)
    database.connection.set_trace_callback(None)
    heads, owners, followers, of_owner = (str(database.rows(f"EXPLAIN QUERY PLAN {statement}")) for statement in seen)
    assert heads.count("COVERING INDEX jobs_queued") == 3
    assert "COVERING INDEX jobs_waiting" in owners
    assert "INDEX jobs_waiting" in followers and "parent USING COVERING INDEX jobs_in_state" in followers
    assert "jobs USING INDEX jobs_waiting (parent_id=? AND owner_id=?)" in of_owner


DEVICES = [
    [Device("cpu:0", DeviceKind.CPU, 0, "CPU slot 0"), Device("cpu:1", DeviceKind.CPU, 1, "CPU slot 1")],
    [Device(f"g{n}", DeviceKind.GPU, n, f"GPU {n}", slots=2) for n in range(3)],
    [Device("g0", DeviceKind.GPU, 0, "GPU 0"), Device("cpu:0", DeviceKind.CPU, 0, "CPU slot 0")],
]


@pytest.mark.parametrize("devices", DEVICES)
@pytest.mark.parametrize("seed", range(4))
def test_what_is_read_decides_as_all_of_it_would(store: Store, make, devices: list[Device], seed: int) -> None:
    draw = random.Random(seed)
    owners = [make.model() for _ in range(3)] + [make.dataset() for _ in range(2)]
    parents = [make.job_in(state) for state in State]
    with store.transaction():
        for _ in range(200):
            owner = draw.choice(owners)
            parent = draw.choice(parents) if draw.random() < 0.4 else None
            state = State.WAITING if parent is not None or draw.random() < 0.1 else State.QUEUED
            told = ["posted", FURTHER_BACK, f"{FOR_PARENT}{short(parent)}" if parent else "waits: no data"]
            wants = draw.choice([1, 1, 1, 2, 3, 4])
            fields = {"priority": draw.choice([0, 0, 1]), "devices_wanted": wants, "reason": draw.choice(told)}
            made = make.job(owner, state=state, parent_id=parent.id if parent else None, **fields)
            parents.append(made)
    lacking = {owners[0].id: "waits: no data", owners[3].id: "waits: other data"}

    everything = store.jobs.in_states([State.WAITING, State.QUEUED])
    unready = {job.id: lacking[job.owner_id] for job in everything if job.owner_id in lacking}
    every_parent = store.queue.named(job.parent_id for job in everything if job.parent_id)
    wanted = decide(Snapshot(everything, every_parent, unready, devices))

    read = store.queue.heads(looked_at(devices), most=most_wanted(devices), told=FURTHER_BACK)
    for one in store.queue.waiting_owners():
        read += store.queue.waiting_of(one.owner_id, lacking.get(one.owner_id))
    read += store.queue.waiting_for_parents(FOR_PARENT, PAUSED)
    got = decide(Snapshot(read, every_parent, unready, devices))

    # Who follows one that ends in this look is read in the next.
    ended = {decision.job_id for decision in wanted if isinstance(decision, End)}
    parent_of = {job.id: job.parent_id for job in everything}
    later = {job.id for job in everything if parent_of[job.id] in ended}

    def now(decisions: list[Decision]) -> list[Decision]:
        return sorted(
            (each for each in decisions if each.job_id not in later), key=lambda each: (each.job_id, repr(each))
        )

    assert len(read) < len(everything) and now(got) == now(wanted)
