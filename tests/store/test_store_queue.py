"""The queue as the scheduler reads it: what decides is in it, what cannot matter now is left out, indices carry it."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from store import Store
from store.records import PauseRecord, PendingJob
from taod.clock import iso
from taod.config import SchedulerConfig
from taod.scheduler.policy.dispatch import Decision, EndUnplaceable, Lease, Snapshot, decide, most_wanted
from taod.scheduler.policy.fair_share import Line
from taod.scheduler.policy.reservations import Holder
from taod.types.device import Device, DeviceKind
from taod.types.reason import POSTED, TURN, Reason, ReasonCode, waits_for_parent
from taod.types.state import State
from tests.store.conftest import REASON, Maker


def no_data(name: str) -> Reason:
    return Reason(ReasonCode.DATA_MISSING, {"role": "train", "dataset": name})


def whole(store: Store) -> dict[tuple[int, str, str], list[PendingJob]]:
    """Every line of the queue, read to its end."""
    return {
        (first.priority, first.user_id, first.owner_kind): [first, *store.queue.behind(first)]
        for first in store.queue.fronts()
    }


def ids(jobs: list[PendingJob]) -> list[str]:
    return [job.id for job in jobs]


def test_the_lines_of_the_queue_and_who_stands_in_them(store: Store, make) -> None:
    model, data = make.model(), make.dataset()
    other = make.model(user_id=make.user("bob").id)
    assert store.queue.fronts() == []
    trains = [make.job(model, reason=TURN).id for _ in range(4)]
    convert = make.job(data).id
    urgent = make.job(model, priority=3).id
    make.job(model, priority=-7, state=State.WAITING)
    bobs = make.job(other).id
    assert {key: ids(line) for key, line in whole(store).items()} == {
        (0, model.user_id, "model"): trains,
        (0, data.user_id, "dataset"): [convert],
        (3, model.user_id, "model"): [urgent],
        (0, other.user_id, "model"): [bobs],
    }


def test_jobs_with_another_reason_or_too_many_devices_are_read_at_any_position(store: Store, make) -> None:
    model, data = make.model(), make.dataset()
    wants = {"reason": TURN, "devices_wanted": 3}
    new, _, big, fits, convert = (
        make.job(owner, **fields).id
        for owner, fields in ((model, {}), (model, {"reason": TURN}), (model, wants), (data, {}), (data, wants))
    )
    found = store.queue.to_explain({"model": 2, "dataset": 3})
    assert set(ids(found)) == {new, big, fits} and convert not in ids(found)


def test_jobs_that_wait_for_data_are_read_by_owner(store: Store, make) -> None:
    one, other = make.model(), make.dataset()
    explained, new = (make.job(one, state=State.WAITING, reason=reason) for reason in (no_data("x"), POSTED))
    make.job(other, state=State.WAITING)
    make.job(one, state=State.WAITING, parent_id=explained.id)
    assert {job.owner_id for job in store.queue.waiting_owners()} == {one.id, other.id}
    assert ids(store.queue.waiting_of(one.id, no_data("x"), 10)) == [new.id]
    assert ids(store.queue.waiting_of(one.id, None, 10)) == [explained.id, new.id]


@pytest.mark.parametrize(
    ("parent", "reason", "read"),
    [
        (State.RUNNING, waits_for_parent("1", "train"), False),
        (State.RUNNING, Reason(ReasonCode.RELEASED), True),
        (State.RUNNING, Reason(ReasonCode.RECORDED, {"text": "waits for its parent train 1"}), True),
        (State.PAUSED, waits_for_parent("1", "train"), True),
        (State.PAUSED, waits_for_parent("1", "train", State.PAUSED), False),
        (State.RUNNING, waits_for_parent("1", "train", State.PAUSED), True),
        (State.HELD, waits_for_parent("1", "train", State.PAUSED), True),
        (State.HELD, waits_for_parent("1", "train", State.HELD), False),
        (State.DONE, waits_for_parent("1", "train"), True),
        (State.FAILED, waits_for_parent("1", "train"), True),
        (State.CANCELLED, waits_for_parent("1", "train"), True),
    ],
)
def test_a_child_is_read_where_its_parent_ended_or_its_reason_is_outdated(
    store: Store, make, parent: State, reason: Reason, read: bool
) -> None:
    child = make.job(make.model(), parent_id=make.job_in(parent).id, state=State.WAITING, reason=reason)
    found = store.queue.waiting_for_parents()
    assert ids(found) == ([child.id] if read else [])
    assert list(store.queue.named([child.parent_id, "none"])) == [child.parent_id]


def test_the_queue_is_read_from_small_indices(store: Store, make) -> None:
    database, seen, job = store._database, [], store.queue.named([make.job_in(State.DONE).id]).popitem()[1]
    database.connection.set_trace_callback(seen.append)
    store.queue.fronts()
    list(store.queue.behind(job))
    store.queue.served(["u"])
    store.queue.to_explain({"model": 1, "dataset": 1})
    store.queue.waiting_owners()
    store.queue.waiting_for_parents()
    store.queue.waiting_of("one", None, 10)
    database.connection.set_trace_callback(None)
    fronts, behind, served, to_explain, owners, followers, of_owner = (
        str(database.rows(f"EXPLAIN QUERY PLAN {statement}")) for statement in seen
    )
    in_line = "SEARCH jobs USING COVERING INDEX jobs_in_line"
    assert f"{in_line} ((priority,user_id,owner_kind)>(?,?,?))" in fronts
    assert f"{in_line} (priority=? AND user_id=? AND owner_kind=? AND (place,created_on,id)>(?,?,?))" in behind
    assert "B-TREE" not in fronts + behind
    assert "SEARCH jobs USING COVERING INDEX jobs_by_start" in served
    assert to_explain.count("SEARCH jobs USING COVERING INDEX jobs_by_reason") == 2
    assert to_explain.count("SEARCH jobs USING COVERING INDEX jobs_that_want") == 2
    assert "COVERING INDEX jobs_waiting" in owners
    assert "INDEX jobs_waiting" in followers and "parent USING COVERING INDEX jobs_in_state" in followers
    assert "jobs USING INDEX jobs_waiting (parent_id=? AND owner_id=?)" in of_owner


@pytest.mark.parametrize(
    ("asked", "order"),
    [
        ({"before": ""}, "dabce"),
        ({"after": ""}, "abced"),
        ({"before": "b"}, "adbce"),
        ({"after": "a"}, "adbce"),
        ({"after": "e"}, "abced"),
        ({"before": "a"}, "dabce"),
        ({"before": "e"}, "abcde"),
    ],
)
@pytest.mark.parametrize("room", [1_000_000_000, 1, 0], ids=["seconds", "adjacent", "one instant"])
def test_a_job_is_moved_in_its_line_even_where_there_is_no_room(
    store: Store, make, asked: dict[str, str], order: str, room: int
) -> None:
    model = make.model()
    jobs = {name: make.job(model).id for name in "abcde"}
    for number, job_id in enumerate(jobs.values()):
        store.jobs.update(job_id, place=10**18 + number * room)
    place = store.queue.move(jobs["d"], **{how: jobs.get(name, "") for how, name in asked.items()})
    store.jobs.update(jobs["d"], place=place)
    names = {job_id: name for name, job_id in jobs.items()}
    (line,) = whole(store).values()
    assert "".join(names[job.id] for job in line) == order


def test_a_thousand_moves_to_the_same_place_keep_the_order(store: Store, make) -> None:
    model = make.model()
    first, last, *others = (make.job(model).id for _ in range(5))
    for number in range(1000):
        moved = others[number % 3]
        store.jobs.update(moved, place=store.queue.move(moved, before=last))
    (line,) = whole(store).values()
    assert ids(line) == [first, others[1], others[2], others[0], last]


def test_the_pause_of_the_queue_is_kept(store: Store, clock) -> None:
    assert store.queue.paused() is None
    store.queue.pause("ada", "new driver")
    since = store.queue.paused().since
    clock.advance()
    store.queue.pause("bob", "")
    assert store.queue.paused() == PauseRecord("bob", "", since)
    store.queue.resume()
    assert store.queue.paused() is None


def test_how_many_of_a_users_jobs_have_not_started(store: Store, make) -> None:
    mine, other = make.model(), make.model(user_id=make.user("bob").id)
    for state in State:
        make.job_in(state, mine)
    make.job(other)
    assert store.queue.pending_of(mine.user_id) == 3 and store.queue.pending_of(other.user_id) == 1


CPU = [Device(f"cpu:{n}", DeviceKind.CPU, n, f"CPU slot {n}") for n in range(2)]
GPUS = [Device(f"g{n}", DeviceKind.GPU, n, f"GPU {n}", slots=2) for n in range(3)]
BOTH = [Device("g0", DeviceKind.GPU, 0, "GPU 0"), Device("cpu:0", DeviceKind.CPU, 0, "CPU slot 0")]
RULES = {
    "none": SchedulerConfig(ageing_s_per_point=0),
    "ageing": SchedulerConfig(ageing_s_per_point=20),
    "limits": SchedulerConfig(max_running_per_user=2, max_running=4, exclusive=["export"]),
}


@pytest.mark.parametrize("rules", RULES.values(), ids=RULES)
@pytest.mark.parametrize("devices", [CPU, GPUS, BOTH], ids=["cpu", "gpus", "both"])
@pytest.mark.parametrize("seed", range(3))
def test_what_is_read_decides_as_all_of_it_would(
    store: Store, make, devices: list[Device], seed: int, rules: SchedulerConfig
) -> None:
    draw = random.Random(seed)
    users = [make.user(name).id for name in ("ada", "bob", "eve")]
    owners = [make.model(user_id=user) for user in users] + [make.dataset(user_id=user) for user in users[:2]]
    parents = [make.job_in(state) for state in State]
    with store.transaction():
        for _ in range(200):
            owner = draw.choice(owners)
            parent = draw.choice(parents) if draw.random() < 0.4 else None
            state = State.WAITING if parent is not None or draw.random() < 0.1 else State.QUEUED
            reasons = [POSTED, TURN, waits_for_parent(parent.id, parent.action) if parent else no_data("a")]
            fields = {
                "priority": draw.choice([0, 0, 1, 7]),
                "devices_wanted": draw.choice([1, 1, 1, 2, 3, 4]),
                "reason": draw.choice(reasons),
                "action": draw.choice(["train", "export"]),
            }
            made = make.job(owner, state=state, parent_id=parent.id if parent else None, **fields)
            parents.append(made)
    lacking = {owners[0].id: no_data("a"), owners[3].id: no_data("b")}
    facts = {
        "devices": devices,
        "rules": rules,
        "holders": {"x": Holder(users[0])},
        "served": {users[2]: "2024"},
        "now_s": make.clock.time(),
        "paused": Reason(ReasonCode.QUEUE_PAUSED, {"by": "ada", "message": ""}) if seed == 2 else None,
        "wall_time_s": lambda job: 60.0 if job.network == "dino" else None,
    }

    everything = store.jobs.in_states([State.WAITING, State.QUEUED])
    unready = {job.id: lacking[job.owner_id] for job in everything if job.owner_id in lacking}
    every_parent = store.queue.named(job.parent_id for job in everything if job.parent_id)
    wanted = decide(Snapshot(everything, every_parent, unready, **facts))

    read = store.queue.to_explain(most_wanted(devices))
    for one in store.queue.waiting_owners():
        read += store.queue.waiting_of(one.owner_id, lacking.get(one.owner_id), 10_000)
    read += store.queue.waiting_for_parents()
    lines = [Line(*key, line) for key, line in whole(store).items()]
    got = decide(Snapshot(read, every_parent, unready, lines=lines, **facts))

    # Who follows one that ends in this look is read in the next.
    ended = {decision.job_id for decision in wanted if isinstance(decision, EndUnplaceable)}
    parent_of = {job.id: job.parent_id for job in everything}
    later = {job.id for job in everything if parent_of[job.id] in ended}

    def now(decisions: list[Decision]) -> list[Decision]:
        return sorted(
            (each for each in decisions if each.job_id not in later), key=lambda each: (each.job_id, repr(each))
        )

    assert len(read) < len(everything) and now(got) == now(wanted)
    assert seed == 2 or any(isinstance(each, Lease) for each in wanted)


@pytest.mark.parametrize("restarted", [False, True], ids=["in a daemon's life", "over a restart"])
def test_who_comes_after_the_clock_was_set_back_stands_behind_those_who_were_there(
    tmp_path: Path, clock, restarted: bool
) -> None:
    store = Store.open(tmp_path / "clock.db", clock=clock)
    make = Maker(store, clock)
    model = make.model()
    first, second = (make.job(model).id for _ in range(2))
    waiting = make.job(model, state=State.WAITING).id
    clock.now -= 86_400.0  # as on a machine that started with a wrong time
    if restarted:
        store.close()
        store = Store.open(tmp_path / "clock.db", clock=clock)
        make = Maker(store, clock)
    third = make.job(model).id
    store.jobs.transition(waiting, State.QUEUED, REASON)
    fourth = make.job(model).id
    (line,) = whole(store).values()
    assert ids(line) == [first, second, third, waiting, fourth]
    clock.now += 2 * 86_400.0
    last = make.job(model).id
    (line,) = whole(store).values()
    assert ids(line)[-1] == last
    store.close()


def test_turns_are_not_counted_by_starts_of_a_time_that_has_not_come(store: Store, make, clock) -> None:
    ada, bob = make.model(user_id=make.user("ada").id), make.model(user_id=make.user("bob").id)
    users = [ada.user_id, bob.user_id]
    for owner in (ada, bob):
        job = make.job_in(State.LEASED, owner)
        store.jobs.transition(job.id, State.STARTING, REASON, started_at=clock.advance())
    assert store.queue.served(users)[users[0]] < store.queue.served(users)[users[1]]
    # Bob's was started by a clock that was years ahead: he is not last until then.
    store.jobs.update(job.id, started_at=iso(clock.now + 1e8))
    assert [*store.queue.served(users)] == [ada.user_id]
