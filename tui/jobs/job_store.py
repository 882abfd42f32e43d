"""The loaded jobs and their filter. Imports no widgets and no client."""

from __future__ import annotations

from dataclasses import dataclass, field

from taod.types.job import JobView
from taod.types.metric_direction import lower_is_better
from taod.types.state import Status


@dataclass(frozen=True, slots=True)
class Filter:
    """Conditions on the listed jobs; the same as in the request to the daemon."""

    status: Status | None = None
    text: str = ""
    trials: bool = False
    """Whether trials are listed, not only their sweeps."""

    @property
    def only(self) -> bool | None:
        """Value of the request's `trials` condition; None: jobs and trials."""
        return None if self.trials else False

    def matches(self, view: JobView) -> bool:
        """Whether a job belongs in the list, as the daemon would decide."""
        if self.status is not None and view.status is not self.status:
            return False
        if view.sweep_id is not None and not self.trials:
            return False
        wanted = self.text.lower()
        return any(wanted in field.lower() for field in (view.id, view.action, view.network, view.owner_name))


@dataclass
class JobStore:
    """The listed jobs, by id."""

    filter: Filter = Filter()
    views: dict[str, JobView] = field(default_factory=dict)
    total: int = 0
    """Number of jobs that match on the daemon; fewer may be loaded."""
    trends: dict[str, int] = field(default_factory=dict)
    """By job id: whether its metric improved (1) or worsened (-1) when it last changed."""
    _oldest: tuple[str, str] | None = None

    def __post_init__(self) -> None:
        self._find_oldest()

    def _find_oldest(self) -> None:
        self._oldest = min(((view.created_on, view.id) for view in self.views.values()), default=None)

    def newer(self, view: JobView) -> bool:
        """Whether `view` is not older than the known one: answers and events may arrive out of order."""
        known = self.views.get(view.id)
        return known is None or view.last_modified >= known.last_modified

    def take(self, view: JobView) -> None:
        """Store this view of the job."""
        before = self.views.get(view.id)
        self.views[view.id] = view
        if before is None:
            if self._oldest is None or view.created_on < self._oldest[0]:
                self._oldest = view.created_on, view.id
        elif view.attempt != before.attempt:
            self.trends.pop(view.id, None)
        elif better := _change(before.metric_value, view.metric_value):
            self.trends[view.id] = -better if lower_is_better(view.metric or "") else better

    def forget(self, job_id: str) -> None:
        """Remove the job."""
        self.views.pop(job_id, None)
        self.trends.pop(job_id, None)
        if self._oldest is not None and self._oldest[1] == job_id:
            self._find_oldest()

    def oldest(self) -> str:
        """Creation time of the oldest job in the list."""
        return self._oldest[0] if self._oldest is not None else ""

    def belongs(self, view: JobView) -> bool:
        """Whether a job belongs among the loaded jobs, not on a later page."""
        if not self.filter.matches(view):
            return False
        complete = len(self.views) >= self.total
        return view.id in self.views or complete or view.created_on >= self.oldest()


def _change(before: float | None, after: float | None) -> int:
    """1 if a value rose, -1 if it fell, otherwise 0."""
    if before is None or after is None:
        return 0
    return (after > before) - (after < before)
