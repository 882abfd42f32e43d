"""The order of service: priorities with ageing, fair share between users, first in, first out within a line.

Pure and lazy: reads the jobs of a line only as far as needed. Knows no device and no limit.
"""

from __future__ import annotations

import heapq
import itertools
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence

import msgspec

from store.records import JobRecord, PendingJob
from taod.types.common import OwnerKind

NANOSECONDS = 1_000_000_000

Job = JobRecord | PendingJob
"""Policies use only the fields of PendingJob."""


class Line(msgspec.Struct):
    """The queued jobs of one user, priority and kind of owner, sorted by queue position."""

    priority: int
    user_id: str
    owner_kind: OwnerKind
    jobs: Iterable[Job]


def lines_of(jobs: Iterable[Job]) -> list[Line]:
    """Group queued jobs, in any order, into lines."""
    found: dict[tuple[int, str, OwnerKind], list[Job]] = {}
    for job in sorted(jobs, key=_queue_order):
        found.setdefault((job.priority, job.user_id, job.owner_kind), []).append(job)
    return [Line(*key, members) for key, members in found.items()]


def extended(lines: Sequence[Line], late: Iterable[Job]) -> list[Line]:
    """The lines with the jobs `late` appended to them."""
    found = {(line.priority, line.user_id, line.owner_kind): line for line in lines}
    for line in lines_of(late):
        key = line.priority, line.user_id, line.owner_kind
        known = found.get(key)
        found[key] = line if known is None else Line(*key, itertools.chain(known.jobs, line.jobs))
    return list(found.values())


class Turns:
    """Iterates over the jobs of lines in the order of service.

    The lines of one priority form a class, which is as old as its oldest job; every `ageing_s` seconds of age count as
    one point of priority (0: no ageing). All jobs age equally, so the order never changes by time alone and needs no
    timer. Within a class the user with the fewest running or counted jobs is next; then the one served least recently,
    then the oldest job.
    """

    def __init__(
        self, lines: Iterable[Line], running: Mapping[str, int], served: Mapping[str, str], ageing_s: float
    ) -> None:
        """`served`: user id → time of the last start of a job."""
        self.running = Counter(running)
        """User id → number of running jobs, including counted ones."""
        self._served = {user_id: turn for turn, user_id in enumerate(sorted(served, key=lambda user: served[user]), 1)}
        self._turns = len(served)
        self._point = round(ageing_s * NANOSECONDS)
        classes: dict[int, list[_Walk]] = {}
        for line in lines:
            walk = _Walk(line)
            if walk.head is not None:
                classes.setdefault(line.priority, []).append(walk)
        self._heap = [(self._rank(priority, walks), -priority, walks) for priority, walks in classes.items()]
        heapq.heapify(self._heap)
        self._skipped: set[str] = set()

    def skip(self, *names: str) -> None:
        """Skip the remaining jobs of these users or kinds of owner."""
        self._skipped.update(names)

    def count(self, user_id: str) -> None:
        """Count a job of the user as running and as the last one served."""
        self.running[user_id] += 1
        self._turns += 1
        self._served[user_id] = self._turns

    def __iter__(self) -> Iterator[Job]:
        while self._heap:
            rank, negated, walks = self._heap[0]
            if self._skipped:
                walks[:] = [walk for walk in walks if not self._skipped & {walk.user_id, walk.owner_kind}]
            if not walks:
                heapq.heappop(self._heap)
                continue
            now = self._rank(-negated, walks)
            if now != rank:
                heapq.heapreplace(self._heap, (now, negated, walks))
                continue
            walk = walks[0] if len(walks) == 1 else min(walks, key=self._turn)
            job = walk.head
            assert job is not None
            walk.advance()
            if walk.head is None:
                walks.remove(walk)
            yield job

    def _rank(self, priority: int, walks: list[_Walk]) -> int:
        """Sort key of a class, lowest first. It only grows while jobs are taken: an up-to-date top of the heap is the
        minimum."""
        if not self._point:
            return -priority
        return min(walk.place for walk in walks) - priority * self._point

    def _turn(self, walk: _Walk) -> tuple[int, int, tuple[int, str, str]]:
        assert walk.head is not None
        return self.running[walk.user_id], self._served.get(walk.user_id, 0), _queue_order(walk.head)


class _Walk:
    """The position up to which a line has been served."""

    __slots__ = ("_rest", "head", "owner_kind", "place", "user_id")

    def __init__(self, line: Line) -> None:
        self.user_id, self.owner_kind = line.user_id, line.owner_kind
        self._rest = iter(line.jobs)
        self.advance()

    def advance(self) -> None:
        self.head = next(self._rest, None)
        self.place = 0 if self.head is None else self.head.place


def _queue_order(job: Job) -> tuple[int, str, str]:
    return job.place, job.created_on, job.id
