"""A simulated workstation: the policy decides, and a virtual clock advances from event to event."""

from __future__ import annotations

import heapq
from collections import Counter, deque
from collections.abc import Iterable

import msgspec

from store.records import PendingJob
from taod.config import SchedulerConfig
from taod.scheduler.policy.dispatch import Decision, EndUnplaceable, Explain, Lease, Snapshot, decide
from taod.scheduler.policy.fair_share import NANOSECONDS, Line
from taod.scheduler.policy.reservations import Holder
from taod.types.common import OwnerKind
from taod.types.device import Device, DeviceKind, DeviceLease
from taod.types.reason import TURN, Reason, ReasonCode
from taod.types.state import State


class Work(msgspec.Struct, frozen=True):
    """A future job: its arrival, its duration, and its wall-time limit (None: no limit)."""

    duration_s: float
    arrives_s: float = 0.0
    user: str = "ada"
    priority: int = 0
    wants: int = 1
    wall_s: float | None = None
    action: str = "train"


class Span(msgspec.Struct):
    """When and on which slots a job ran."""

    started_s: float
    ended_s: float
    slots: list[tuple[str, int]]


def gpus(count: int, slots: int = 1) -> list[Device]:
    return [Device(f"GPU-{n}", DeviceKind.GPU, n, "H100", slots) for n in range(count)]


class Machine:
    """Runs all of the given work. Raises AssertionError if a decision violates an invariant."""

    def __init__(self, work: Iterable[Work], devices: list[Device], rules: SchedulerConfig | None = None) -> None:
        self.work = {f"{number:06}": each for number, each in enumerate(work)}
        self.devices = devices
        self.rules = rules or SchedulerConfig()
        self.now_s = 0.0
        self.spans: dict[str, Span] = {}
        self.failed: set[str] = set()
        self.passes = 0
        self.first_explained: dict[str, float] = {}
        """Time at which each job first got a wait reason about devices."""
        self._lines: dict[tuple[int, str, OwnerKind], deque[PendingJob]] = {}
        self._unexplained: dict[str, PendingJob] = {}
        self._queued: dict[str, PendingJob] = {}
        self._holders: dict[str, Holder] = {}
        self._served: dict[str, str] = {}
        self._by_id = {device.id: device for device in devices}
        self._events = [(each.arrives_s, 1, job_id) for job_id, each in self.work.items()]
        heapq.heapify(self._events)

    def run(self) -> float:
        """Run all work; returns the time of its end."""
        while self._events:
            self.step()
        assert not self._queued, f"{len(self._queued)} jobs never started"
        return max((span.ended_s for span in self.spans.values()), default=0.0)

    def step(self) -> None:
        """Process all events of the next instant, then one scheduling pass."""
        self.now_s = self._events[0][0]
        while self._events and self._events[0][0] == self.now_s:
            _, arrives, job_id = heapq.heappop(self._events)
            if arrives:
                self._arrive(job_id)
            else:
                self._end(job_id)
        self.schedule()

    def schedule(self) -> list[Decision]:
        """One scheduling pass: decide, and apply the decisions."""
        self.passes += 1
        decisions = decide(self.snapshot())
        for decision in decisions:
            match decision:
                case Lease(job_id, slots):
                    self._lease(job_id, slots)
                case EndUnplaceable(job_id):
                    self._leave(job_id)
                    self.failed.add(job_id)
                case Explain(job_id, reason):
                    self._explain(job_id, reason)
        return decisions

    def snapshot(self) -> Snapshot:
        return Snapshot(
            list(self._unexplained.values()),
            devices=self.devices,
            lines=[Line(*key, line) for key, line in self._lines.items() if line],
            holders=self._holders,
            served=self._served,
            rules=self.rules,
            now_s=self.now_s,
            wall_time_s=lambda job: self.work[job.id].wall_s,
        )

    @property
    def queued(self) -> dict[str, PendingJob]:
        return self._queued

    @property
    def running(self) -> dict[str, Holder]:
        return self._holders

    def _arrive(self, job_id: str) -> None:
        each, place = self.work[job_id], round(self.now_s * NANOSECONDS)
        job = PendingJob(
            id=job_id, user_id=each.user, owner_kind="model", owner_id="m", network="dino", action=each.action,
            parent_id=None, state=State.QUEUED, reason_code=ReasonCode.QUEUED, created_on=job_id,
            priority=each.priority, devices_wanted=each.wants, queued_at="", place=place,
        )  # fmt: skip
        self._lines.setdefault((each.priority, each.user, "model"), deque()).append(job)
        self._queued[job_id] = self._unexplained[job_id] = job

    def _leave(self, job_id: str) -> PendingJob:
        job = self._queued.pop(job_id)
        self._unexplained.pop(job_id, None)
        line = self._lines[job.priority, job.user_id, "model"]
        if line[0] is job:
            line.popleft()
        else:
            line.remove(job)
        return job

    def _lease(self, job_id: str, slots: list[tuple[str, int]]) -> None:
        job, each = self._leave(job_id), self.work[job_id]
        assert job_id not in self.spans, f"{job_id} is started twice"
        assert len({device_id for device_id, _ in slots}) == each.wants
        for device_id, slot in slots:
            device = self._by_id[device_id]
            assert 0 <= slot < device.slots, f"{device_id} has no slot {slot}"
            assert slot not in {lease.slot for lease in device.leases}, f"{device_id}/{slot} is leased twice"
            device.leases.append(DeviceLease(job_id, job.action, job.network, slot, ""))
        ends_by_s = None if each.wall_s is None else self.now_s + each.wall_s
        self._holders[job_id] = Holder(job.user_id, ends_by_s)
        self._served[job.user_id] = f"{self.now_s:020.6f}/{len(self.spans):09}"
        self.spans[job_id] = Span(self.now_s, self.now_s + each.duration_s, slots)
        heapq.heappush(self._events, (self.now_s + each.duration_s, 0, job_id))
        of_user = Counter(holder.user_id for holder in self._holders.values())
        rules = self.rules
        assert not rules.max_running or len(self._holders) <= rules.max_running
        assert not rules.max_running_per_user or of_user[job.user_id] <= rules.max_running_per_user

    def _end(self, job_id: str) -> None:
        del self._holders[job_id]
        for device_id, _ in self.spans[job_id].slots:
            device = self._by_id[device_id]
            device.leases = [lease for lease in device.leases if lease.job_id != job_id]

    def _explain(self, job_id: str, reason: Reason) -> None:
        job = self._queued[job_id]
        job.reason_code, job.reason_args = reason.code, reason.arguments
        if reason == TURN:
            self._unexplained.pop(job_id, None)
        else:
            self._unexplained[job_id] = job
            self.first_explained.setdefault(job_id, self.now_s)


def least_s(work: Iterable[Work], slots: int) -> float:
    """Lower bound of every schedule's end: all work spread evenly, with whole jobs that start after their arrival."""
    jobs = list(work)
    area = sum(each.duration_s * each.wants for each in jobs) / slots
    late = 0.0
    left = area * slots
    for each in sorted(jobs, key=lambda each: each.arrives_s):
        late = max(late, each.arrives_s + left / slots)
        left -= each.duration_s * each.wants
    # Two jobs that each need more than half of the devices never run together.
    wide = sum(each.duration_s for each in jobs if each.wants * 2 > slots)
    return max([area, late, wide, *(each.arrives_s + each.duration_s for each in jobs)])
