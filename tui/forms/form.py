"""A modal form: labelled fields, the daemon's error message, and buttons."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, ClassVar, Generic, TypeVar

from textual import on, work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical, VerticalScroll
from textual.screen import ModalScreen
from textual.widget import Widget
from textual.widgets import Button, Input, Label, Select, Static

from taod.client import ClientError
from tui.live import LiveNode, delivery

T = TypeVar("T")


class Row(LiveNode, Vertical):
    """A field with its label and a note below it."""

    def __init__(self, label: str, widget: Widget, note: str = "") -> None:
        super().__init__(classes="row")
        self._label, self.widget, self._note = label, widget, note

    def compose(self) -> ComposeResult:
        with Horizontal(classes="field"):
            yield Label(self._label, classes="label")
            yield self.widget
        yield Static(self._note, classes="note", markup=False)

    def on_mount(self) -> None:
        self.note(self._note)

    @delivery
    def note(self, words: str, *, wrong: bool = False) -> None:
        line = self.query_one(".note", Static)
        line.update(words)
        line.display = bool(words)
        line.set_class(wrong, "-wrong")


class Form(LiveNode, ModalScreen[T | None], Generic[T]):
    """Dismissed with the result of `submit`, or None. Subclasses implement `rows` and `submit`.

    A ClientError of `submit` is shown in the form, which stays open with its input.
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "leave", "Close", tooltip="Close without saving"),
        Binding("ctrl+s", "submit", "Submit", tooltip="Submit the form"),
    ]
    YES: ClassVar[str] = "Save"

    def __init__(self, title: str) -> None:
        super().__init__()
        self._form_title = title

    def rows(self) -> Iterable[Widget]:
        """The fields, from top to bottom."""
        raise NotImplementedError

    async def submit(self) -> T:
        """Send the form. Raises ClientError, or ValueError with a message for the user."""
        raise NotImplementedError

    def compose(self) -> ComposeResult:
        with Vertical(classes="dialogue form"):
            with VerticalScroll(classes="rows", can_focus=False):
                yield from self.rows()
            yield Static("", id="form-error", markup=False)
            with Horizontal(classes="buttons"):
                yield Button(self.YES, variant="success", id="yes", compact=True)
                yield Button("Close", id="no", compact=True)

    def on_mount(self) -> None:
        dialogue = self.query_one(".dialogue")
        dialogue.border_title, dialogue.border_subtitle = (
            self._form_title,
            f"ctrl+s: {self.YES.lower()} · escape: close",
        )
        self.query_one("#form-error").display = False

    @on(Button.Pressed)
    def _pressed(self, event: Button.Pressed) -> None:
        event.stop()
        if event.button.id == "yes":
            self.action_submit()
        elif event.button.id == "no":
            self.action_leave()

    @on(Input.Submitted)
    def _entered(self, event: Input.Submitted) -> None:
        event.stop()
        self.focus_next()

    def action_leave(self) -> None:
        self.dismiss(None)

    def action_submit(self) -> None:
        if not self.is_working("submit"):
            self.show_error("")
            self._submit()

    @work(group="submit")
    async def _submit(self) -> None:
        try:
            done = await self.submit()
        except ClientError as error:
            self.show_error(error.description)
        except ValueError as error:
            self.show_error(str(error))
        else:
            self.dismiss(done)

    @delivery
    def show_error(self, trouble: str) -> None:
        """Show an error in the form; an empty text hides it."""
        line = self.query_one("#form-error", Static)
        line.update(trouble)
        line.display = bool(trouble)

    def text(self, selector: str) -> str:
        """Text of a field."""
        return self.query_one(selector, Input).value.strip()

    def chosen(self, selector: str) -> Any:
        """Choice of a field; None if nothing is chosen."""
        value = self.query_one(selector, Select).value
        return None if value is Select.NULL else value


def choice(id: str, options: Sequence[tuple[str, Any]], value: Any = None, prompt: str = "none") -> Select[Any]:
    """A field with a list of options; `value` None: no choice."""
    known = any(option == value for _, option in options)
    return Select(options, value=value if known else Select.NULL, prompt=prompt, id=id, compact=True)
