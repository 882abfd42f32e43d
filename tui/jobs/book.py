"""What the dashboard knows of jobs, and which of them the filter lets through. Knows no screen and no HTTP."""

from __future__ import annotations

from dataclasses import dataclass, field

from taod.types.job import JobView
from taod.types.state import Status


@dataclass(frozen=True, slots=True)
class Filter:
    """What the list shows; the same two conditions that the daemon is asked with."""

    status: Status | None = None
    text: str = ""
    trials: bool = False
    """Whether trials are listed, not only their sweeps."""

    @property
    def only(self) -> bool | None:
        """The daemon's condition on trials."""
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
class Book:
    """The jobs in the list, by id."""

    filter: Filter = Filter()
    views: dict[str, JobView] = field(default_factory=dict)
    total: int = 0
    """How many the daemon has for this filter; the list may hold fewer."""

    def newer(self, view: JobView) -> bool:
        """Whether `view` says something that the book does not know yet: answers and events may overtake each other."""
        known = self.views.get(view.id)
        return known is None or view.last_modified >= known.last_modified

    def oldest(self) -> str:
        """Creation time of the oldest job in the list."""
        return min((view.created_on for view in self.views.values()), default="")

    def belongs(self, view: JobView) -> bool:
        """Whether a job that an event tells of has its place among those loaded, not further down."""
        if not self.filter.matches(view):
            return False
        complete = len(self.views) >= self.total
        return view.id in self.views or complete or view.created_on >= self.oldest()
