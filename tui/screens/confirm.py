"""The question before a cancel: what will happen, in words."""

from __future__ import annotations

from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical
from textual.screen import ModalScreen
from textual.widgets import Button, Static

from taod.types.job import JobView
from taod.types.state import State
from tui import format

TRAINING = frozenset({"train", "retrain"})


def cancel_question(view: JobView, waiting: int) -> tuple[str, str]:
    """The question, and what follows from a yes. `waiting` jobs wait for this one."""
    question = f"Cancel {view.action} {format.short(view.id)} of '{view.owner_name}'?"
    told = []
    if view.state in (State.RUNNING, State.STOPPING) and view.result.max_epoch:
        told.append(f"It is at epoch {view.result.epoch or 0} of {view.result.max_epoch}")
        if view.action in TRAINING:
            told[-1] += "; its checkpoints are kept"
    elif view.state in (State.RUNNING, State.STOPPING, State.STARTING):
        told.append("It is running; what it has written so far is kept")
    elif view.state is State.PAUSED:
        told.append("It is paused; its checkpoints are kept")
    else:
        told.append("It has not started")
    if waiting:
        told.append("1 job that waits for it ends too" if waiting == 1 else f"{waiting} jobs that wait for it end too")
    return question, ". ".join(told) + "."


class Confirm(ModalScreen[bool]):
    """Asks; dismissed with True for a yes."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("y", "answer(True)", "Yes", show=False),
        Binding("n,escape", "answer(False)", "No", show=False),
        Binding("left,right", "app.focus_next", "Other button", show=False),
    ]

    def __init__(self, question: str, consequence: str, yes: str, no: str) -> None:
        super().__init__()
        self._question, self._consequence, self._yes, self._no = question, consequence, yes, no

    def compose(self) -> ComposeResult:
        with Vertical(classes="dialogue"):
            yield Static(self._question, classes="question", markup=False)
            yield Static(self._consequence, classes="consequence", markup=False)
            with Horizontal(classes="buttons"):
                yield Button(self._yes, variant="error", id="yes", compact=True)
                yield Button(self._no, id="no", compact=True)

    def on_mount(self) -> None:
        self.query_one("#no", Button).focus()

    @on(Button.Pressed)
    def _pressed(self, event: Button.Pressed) -> None:
        event.stop()
        self.dismiss(event.button.id == "yes")

    def action_answer(self, yes: bool) -> None:
        self.dismiss(yes)
