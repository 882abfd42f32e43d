"""The filters above the table of jobs: one chip for each status with its count, and a text filter."""

from __future__ import annotations

from collections.abc import Mapping

from textual import on
from textual.app import ComposeResult
from textual.containers import Horizontal
from textual.message import Message
from textual.widgets import Input, Static

from taod.types.state import State, Status
from tui.filter_input import FilterInput
from tui.jobs.job_store import Filter
from tui.live import LiveNode, delivery

CHOICES: tuple[Status | None, ...] = (None, Status.PENDING, Status.RUNNING, Status.DONE, Status.ERROR)


class Chip(Static):
    """One status; a click makes it the filter."""

    class Chosen(Message):
        def __init__(self, status: Status | None) -> None:
            super().__init__()
            self.status = status

    def __init__(self, status: Status | None) -> None:
        super().__init__("", classes="chip")
        self.status = status
        self.count(0)

    def count(self, jobs: int) -> None:
        self.jobs = jobs
        self.update(f"{self.status or 'All'} [$dim]{jobs}[/]")

    def on_click(self) -> None:
        self.post_message(self.Chosen(self.status))


class FilterBar(LiveNode, Horizontal):
    """Posts the filter that the user chose."""

    class Changed(Message):
        def __init__(self, wanted: Filter) -> None:
            super().__init__()
            self.filter = wanted

    def __init__(self) -> None:
        super().__init__(id="filters")
        self._status: Status | None = None
        self.trials = False
        """Whether trials of sweeps are listed."""

    def compose(self) -> ComposeResult:
        for status in CHOICES:
            yield Chip(status)
        yield Static("/", id="slash")
        yield FilterInput("#jobs-table", id="filter-text")

    def on_mount(self) -> None:
        self._mark()

    @property
    def input(self) -> Input:
        return self.query_one("#filter-text", Input)

    @delivery
    def show_counts(self, counts: Mapping[State, int]) -> None:
        """Count jobs by their public status."""
        for chip in self.query(Chip):
            chip.count(sum(n for state, n in counts.items() if chip.status in (None, state.public)))

    @delivery
    def choose(self, status: Status | None) -> None:
        """Filter by a status; None: all."""
        self._status = status
        self._mark()
        self._publish()

    @delivery
    def toggle_trials(self) -> None:
        """List trials of sweeps, or hide them."""
        self.trials = not self.trials
        self._publish()

    @delivery
    def start_typing(self) -> None:
        """Focus the text filter immediately: further keys may be queued already."""
        self.screen.set_focus(self.input)

    @delivery
    def reset(self) -> None:
        """Clear the filter."""
        self._status = None
        self._mark()
        with self.prevent(Input.Changed):
            self.input.value = ""
        self._publish()

    @on(Chip.Chosen)
    def _clicked(self, event: Chip.Chosen) -> None:
        event.stop()
        self.choose(event.status)

    @on(Input.Changed)
    def _typed(self, event: Input.Changed) -> None:
        event.stop()
        self._publish()

    def _publish(self) -> None:
        self.post_message(self.Changed(Filter(self._status, self.input.value.strip(), self.trials)))

    def _mark(self) -> None:
        for chip in self.query(Chip):
            chip.set_class(chip.status is self._status, "-chosen")
