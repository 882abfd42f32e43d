"""Jobs ranked by one metric."""

from __future__ import annotations

import msgspec

from taod.types.common import Id, OwnerKind, Timestamp
from taod.types.state import State


class LeaderboardEntry(msgspec.Struct, frozen=True):
    """One job with its best value of the metric."""

    job_id: Id
    owner_kind: OwnerKind
    owner_id: Id
    owner_name: str
    network: str
    action: str
    state: State
    best: float
    epoch: int
    """Epoch (or iteration) of the best value; 0 for a value without an epoch."""
    last: float
    """Value of the last epoch."""
    ended_at: Timestamp | None = None
    datasets: list[str] = []
    """Names of the datasets that its last run read."""
    sweep_id: Id | None = None
    trial: int | None = None
    release: str = ""


class Leaderboard(msgspec.Struct, frozen=True):
    """A page of the jobs that report a metric, the best first."""

    metric: str | None
    """The metric of the ranking; null if no job reports one."""
    lower_is_better: bool
    metrics: list[str]
    """All metrics that the jobs report, by which they can be ranked."""
    total: int
    """The number of jobs on all pages."""
    entries: list[LeaderboardEntry]
