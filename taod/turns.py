"""Starts work in fair turns: a client that asks for much at once delays itself, and others hardly.

The event loop runs everything that is ready before it reads new input: without turns, one request behind a
burst of 2,000 waits for all of them.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict, deque
from collections.abc import Hashable
from typing import Protocol

AT_ONCE = 2
"""Pieces of work that one turn of the event loop starts: requests, which take about a millisecond each."""


class Work(Protocol):
    """A piece of work that waits for its turn."""

    def start(self) -> None: ...

    def drop(self) -> None:
        """Give it up instead."""


class Turns:
    """Starts `AT_ONCE` pieces of work in each turn of the loop, from all owners alternately, and of each owner from
    all its lanes alternately. For one event loop."""

    def __init__(self, at_once: int = AT_ONCE) -> None:
        self._at_once = at_once
        self._left = at_once
        self._owners: OrderedDict[Hashable, OrderedDict[Hashable, deque[Work]]] = OrderedDict()
        self._turning = False

    def take(self, owner: Hashable, lane: Hashable, work: Work) -> None:
        """Start work now, or in a later turn of the loop if this one has started enough."""
        if self._left and not self._owners:
            self._left -= 1
            work.start()
        else:
            self._owners.setdefault(owner, OrderedDict()).setdefault(lane, deque()).append(work)
        if not self._turning:
            self._turning = True
            asyncio.get_running_loop().call_soon(self._turn)

    def _turn(self) -> None:
        unused = self._left == self._at_once and not self._owners
        self._left = self._at_once
        while self._left and self._owners:
            self._left -= 1
            self._next().start()
        self._turning = not unused
        if self._turning:
            asyncio.get_running_loop().call_soon(self._turn)

    def shed(self, owner: Hashable) -> bool:
        """Drop the last work in the longest lane of an owner, unless no lane has more than one."""
        longest = max(self._owners.get(owner, {}).values(), key=len, default=deque[Work]())
        if len(longest) < 2:
            return False
        longest.pop().drop()
        return True

    def _next(self) -> Work:
        owner, lanes = self._owners.popitem(last=False)
        lane, waiting = lanes.popitem(last=False)
        work = waiting.popleft()
        if waiting:
            lanes[lane] = waiting
        if lanes:
            self._owners[owner] = lanes
        return work
