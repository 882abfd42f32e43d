"""In which order the queue is served: priorities that age, users that take turns, first in, first out inside a line.

Pure, and lazy: a line's jobs are read only as far as needed. Knows no device and no limit.
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
    """The queued jobs of one user, one priority and one kind of owner, in the order of their places."""

    priority: int
    user_id: str
    owner_kind: OwnerKind
    jobs: Iterable[Job]


def lines_of(jobs: Iterable[Job]) -> list[Line]:
    """Queued jobs, in whatever order they come, as lines."""
    found: dict[tuple[int, str, OwnerKind], list[Job]] = {}
    for job in sorted(jobs, key=_place):
        found.setdefault((job.priority, job.user_id, job.owner_kind), []).append(job)
    return [Line(*key, members) for key, members in found.items()]


def extended(lines: Sequence[Line], late: Iterable[Job]) -> list[Line]:
    """The lines with jobs that enter the queue now, behind those of their line."""
    found = {(line.priority, line.user_id, line.owner_kind): line for line in lines}
    for line in lines_of(late):
        key = line.priority, line.user_id, line.owner_kind
        known = found.get(key)
        found[key] = line if known is None else Line(*key, itertools.chain(known.jobs, line.jobs))
    return list(found.values())


class Turns:
    """The jobs of some lines, one at a time, in the order of service.

    A priority's class is as old as the oldest place in it, and every `ageing_s` seconds of that are worth one point of
    priority (0: none). All that wait age alike, so the order never changes by time alone, and nothing has to be timed.
    Inside a class that user comes next who has the fewest jobs running or counted; of several the one whose last turn
    is the longest ago, then the oldest place.
    """

    def __init__(
        self, lines: Iterable[Line], running: Mapping[str, int], served: Mapping[str, str], ageing_s: float
    ) -> None:
        """`served`: when a job of each user was last started."""
        self.running = Counter(running)
        """Jobs of each user: those that run, and those counted since."""
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
        self._left_out: set[str] = set()

    def leave_out(self, *names: str) -> None:
        """Pass by what these users have, or owners of these kinds, from now on."""
        self._left_out.update(names)

    def count(self, user_id: str) -> None:
        """The user has had a turn."""
        self.running[user_id] += 1
        self._turns += 1
        self._served[user_id] = self._turns

    def __iter__(self) -> Iterator[Job]:
        while self._heap:
            rank, negated, walks = self._heap[0]
            if self._left_out:
                walks[:] = [walk for walk in walks if not self._left_out & {walk.user_id, walk.owner_kind}]
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
        """Lowest first. It only grows while jobs are taken, so the heap's top is the best once it is up to date."""
        if not self._point:
            return -priority
        return min(walk.place for walk in walks) - priority * self._point

    def _turn(self, walk: _Walk) -> tuple[int, int, tuple[int, str, str]]:
        assert walk.head is not None
        return self.running[walk.user_id], self._served.get(walk.user_id, 0), _place(walk.head)


class _Walk:
    """How far a line has been served."""

    __slots__ = ("_rest", "head", "owner_kind", "place", "user_id")

    def __init__(self, line: Line) -> None:
        self.user_id, self.owner_kind = line.user_id, line.owner_kind
        self._rest = iter(line.jobs)
        self.advance()

    def advance(self) -> None:
        self.head = next(self._rest, None)
        self.place = 0 if self.head is None else self.head.place


def _place(job: Job) -> tuple[int, str, str]:
    return job.place, job.created_on, job.id
