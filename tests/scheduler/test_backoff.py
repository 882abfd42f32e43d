"""Delays between attempts."""

from __future__ import annotations

import pytest

from taod import backoff
from taod.backoff import Backoff


def test_delays_double_up_to_the_limit_and_reset_after_a_success() -> None:
    delays = Backoff(first_s=1.0, longest_s=5.0)
    assert [delays.next_s() for _ in range(5)] == [1.0, 2.0, 4.0, 5.0, 5.0]
    assert delays.failures == 5
    delays.reset()
    assert (delays.failures, delays.next_s()) == (0, 1.0)


def test_many_failures_keep_the_limit() -> None:
    delays = Backoff()
    assert {delays.next_s() for _ in range(3000)} >= {backoff.FIRST_S, backoff.LONGEST_S}
    assert delays.next_s() == backoff.LONGEST_S


async def test_waiting_counts_a_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backoff, "FIRST_S", 0.0)
    delays = Backoff()
    await delays.wait()
    assert delays.failures == 1
