"""The policy over whole loads on a virtual clock: no starvation, no double lease; limits and priorities hold."""

from __future__ import annotations

import os

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench._virtual import Machine, Work, gpus, least_s
from taod.config import SchedulerConfig

pytestmark = pytest.mark.slow(seconds=1)

DEVICES = 3
EXAMPLES = settings(max_examples=int(os.environ.get("TAOD_LOADS", "60")), deadline=None, database=None)
NO_AGEING = SchedulerConfig(ageing_s_per_point=0)


@st.composite
def work(
    draw: st.DrawFn, *, users: int = 3, priorities: bool = True, walls: bool = True, widest: int = DEVICES
) -> Work:
    duration_s = float(draw(st.integers(1, 30)))
    wall_s = draw(st.sampled_from([None, duration_s, duration_s + 5, duration_s * 4])) if walls else None
    return Work(
        duration_s=duration_s,
        arrives_s=float(draw(st.integers(0, 40))),
        user=draw(st.sampled_from(["ada", "bob", "eve"][:users])),
        priority=draw(st.sampled_from([-100, 0, 0, 3, 100])) if priorities else 0,
        wants=draw(st.integers(1, widest)),
        wall_s=wall_s,
        action=draw(st.sampled_from(["train", "export"])),
    )


def load(**options: object) -> st.SearchStrategy[list[Work]]:
    return st.lists(work(**options), min_size=1, max_size=40)  # type: ignore[arg-type]


rules = st.builds(
    SchedulerConfig,
    ageing_s_per_point=st.sampled_from([0.0, 1.0, 3600.0]),
    max_running=st.sampled_from([0, 0, 1, 2, 4]),
    max_running_per_user=st.sampled_from([0, 0, 1, 3]),
    exclusive=st.sampled_from([[], ["train"], ["train", "export"]]),
)


@EXAMPLES
@given(load=load(), rules=rules, slots=st.integers(1, 3))
def test_every_job_runs_once_and_no_slot_is_leased_twice(load: list[Work], rules: SchedulerConfig, slots: int) -> None:
    machine = Machine(load, gpus(DEVICES, slots), rules)
    machine.run()  # asserts at each lease that slot, job, and limits allow it
    assert set(machine.spans) == set(machine.work) and not machine.failed
    for job_id, span in machine.spans.items():
        assert span.started_s >= machine.work[job_id].arrives_s
    if "train" in rules.exclusive:
        for job_id, span in machine.spans.items():
            if machine.work[job_id].action == "train" and slots > 1:
                assert not any(
                    other is not span and other.started_s < span.ended_s and span.started_s < other.ended_s
                    and {device for device, _ in other.slots} & {device for device, _ in span.slots}
                    for other in machine.spans.values()
                )  # fmt: skip


@EXAMPLES
@given(load=load(walls=False))
def test_with_unknown_run_times_no_later_job_of_a_line_starts_first(load: list[Work]) -> None:
    machine = Machine(load, gpus(DEVICES))
    machine.run()
    started: dict[tuple[str, int], float] = {}
    for job_id, each in sorted(machine.work.items(), key=lambda item: (item[1].arrives_s, item[0])):
        line = (each.user, each.priority)
        assert machine.spans[job_id].started_s >= started.get(line, 0.0)
        started[line] = machine.spans[job_id].started_s


@EXAMPLES
@given(load=load(walls=False))
def test_no_job_starts_while_a_higher_priority_waits(load: list[Work]) -> None:
    machine = Machine(load, gpus(DEVICES), NO_AGEING)
    while machine._events:
        before = set(machine.spans)
        machine.step()
        waiting = [job.priority for job in machine.queued.values()]
        for job_id in set(machine.spans) - before:
            assert machine.work[job_id].priority >= max(waiting, default=-100)


@EXAMPLES
@given(load=load(users=1, priorities=False))
def test_backfilling_never_delays_the_reserving_job(load: list[Work]) -> None:
    """The first job of a line starts no later than wall-time limits guaranteed when it became the first."""
    machine = Machine(load, gpus(DEVICES))
    sure: dict[str, float] = {}
    while machine._events:
        machine.step()
        first = min(machine.queued, key=lambda job_id: (machine.queued[job_id].place, job_id), default=None)
        if first is None:
            continue
        ends = sorted(
            min((_end(machine, lease.job_id) for lease in device.leases), default=machine.now_s)
            for device in machine.devices
        )
        sure.setdefault(first, ends[machine.work[first].wants - 1])
    for job_id, by_s in sure.items():
        assert machine.spans[job_id].started_s <= by_s


def _end(machine: Machine, job_id: str) -> float:
    by_s = machine.running[job_id].ends_by_s
    return float("inf") if by_s is None else by_s


@EXAMPLES
@given(load=load(users=1, priorities=False, widest=1), slots=st.integers(1, 2))
def test_no_slot_is_idle_while_a_job_waits_and_the_makespan_is_near_optimal(load: list[Work], slots: int) -> None:
    machine = Machine(load, gpus(DEVICES, slots))
    while machine._events:
        machine.step()
        assert not machine.queued or sum(len(device.leases) for device in machine.devices) == DEVICES * slots
    ended_s = max(span.ended_s for span in machine.spans.values())
    # Graham 1969: the makespan of any schedule without idle slots is at most 2 - 1/m times the optimum.
    latest = max(each.arrives_s for each in load)
    assert ended_s <= latest + (2 - 1 / (DEVICES * slots)) * least_s(
        [Work(each.duration_s) for each in load], DEVICES * slots
    )


def test_a_wide_job_is_not_starved_by_a_stream_of_small_ones() -> None:
    """Three users keep every device busy for ever; the one that wants all devices gets them when what runs has
    ended."""
    stream = [Work(10.0, arrives_s=at * 2.0, user=user) for at in range(500) for user in ("bob", "eve", "joe")]
    wide = Work(10.0, arrives_s=101.0, user="ada", wants=DEVICES)
    machine = Machine([wide, *stream], gpus(DEVICES))
    machine.run()
    assert machine.spans["000000"].started_s <= 101.0 + 10.0


def test_ageing_prevents_starvation_of_low_priorities() -> None:
    stream = [Work(10.0, arrives_s=at * 5.0, priority=10) for at in range(1000)]
    low = Work(10.0, arrives_s=1.0, priority=-10)
    starts = []
    for ageing_s in (0.0, 60.0):
        machine = Machine([low, *stream], gpus(1), SchedulerConfig(ageing_s_per_point=ageing_s))
        machine.run()
        starts.append(machine.spans["000000"].started_s)
    assert starts[0] == 10_000.0  # after all others
    # Twenty points are 1,200 s: no job submitted later than that after it is served before it.
    assert starts[1] <= 2 * 1_200.0 + 10.0


def test_users_share_a_device_regardless_of_queue_lengths() -> None:
    many = [Work(10.0, user="ada") for _ in range(50)]
    few = [Work(10.0, arrives_s=15.0, user="bob") for _ in range(5)]
    machine = Machine([*many, *few], gpus(1))
    machine.run()
    starts = [machine.spans[f"{50 + number:06}"].started_s for number in range(5)]
    assert starts == [20.0, 40.0, 60.0, 80.0, 100.0]


def test_a_job_that_can_never_run_does_not_block_others() -> None:
    machine = Machine([Work(1.0, wants=DEVICES + 1), Work(1.0)], gpus(DEVICES))
    assert machine.run() == 1.0 and machine.failed == {"000000"}


@pytest.mark.slow
def test_ten_thousand_jobs_all_run() -> None:
    users = ["ada", "bob", "eve", "joe", "kim"]
    load = [Work(1.0 + n % 977, user=users[n % 5], priority=(n % 7) - 3, wants=1 + n % 13 // 9) for n in range(10_000)]
    machine = Machine(load, gpus(8))
    machine.run()
    assert len(machine.spans) == 10_000
