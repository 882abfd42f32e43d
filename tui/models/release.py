"""The form that moves a model to another release of NVIDIA's tools, with what changes in its specifications."""

from __future__ import annotations

from collections.abc import Iterable

from rich.text import Text
from textual import on, work
from textual.containers import VerticalScroll
from textual.widget import Widget
from textual.widgets import Select, Static

from taod.client import AsyncClient, ClientError
from taod.types.model import Model
from taod.types.release_change import ActionChange, FieldChangeKind, ReleaseChange
from tui.forms.form import Form, Row, choice
from tui.live import delivery
from tui.theme import DIM, GREEN, RED, SOFT, YELLOW

CONVERT, DROP = "convert", "drop"
COLOURS = {
    FieldChangeKind.RENAMED: YELLOW,
    FieldChangeKind.MOVED: YELLOW,
    FieldChangeKind.REMOVED: RED,
    FieldChangeKind.REJECTED: RED,
    FieldChangeKind.NEW: GREEN,
}


class ReleaseForm(Form[ReleaseChange]):
    """Shows what a move changes, and moves the model."""

    YES = "Move model"

    def __init__(self, client: AsyncClient, model: Model, present: ReleaseChange) -> None:
        super().__init__(f"Release of {model.name}".replace("[", r"\["))
        self._client, self._model = client, model
        self._others = [release for release in present.known if release != present.release]
        self._change = present

    def rows(self) -> Iterable[Widget]:
        others = [(release, release) for release in self._others]
        yield Row("Move to", choice("release", others, self._others[-1]), f"its release is {self._change.release}")
        kinds = [("convert them", CONVERT), ("drop them: the defaults apply", DROP)]
        yield Row("Saved specs", choice("specs", kinds, CONVERT))
        yield Row("Checkpoints", choice("checkpoints", [("abandon them", True)], None, "keep the release for them"))
        with VerticalScroll(id="release-changes"):
            yield Static("", id="changes")

    @on(Select.Changed, "#release")
    @work(group="preview", exclusive=True)
    async def _preview(self) -> None:
        if (wanted := self.chosen("#release")) is None:
            return
        try:
            self._show(await self._client.models.preview_release(self._model.id, wanted))
        except ClientError as error:
            self.show_error(error.description)

    @delivery
    def _show(self, change: ReleaseChange) -> None:
        self._change = change
        self.query_one("#changes", Static).update(changes(change))
        row = next(each for each in self.query(Row) if each.widget.id == "checkpoints")
        row.display = bool(change.blocked)
        row.note(change.blocked, wrong=True)

    async def submit(self) -> ReleaseChange:
        wanted = self.chosen("#release")
        if wanted is None:
            raise ValueError("Move to: choose a release.")
        return await self._client.models.move_release(
            self._model.id,
            wanted,
            convert=self.chosen("#specs") != DROP,
            abandon_checkpoints=self.chosen("#checkpoints") is True,
        )


def changes(change: ReleaseChange) -> Text:
    """What changes, by action: first the saved specifications, whose values are shown."""
    text = Text()
    for words, actions in (("only there", change.added), ("not there", change.removed)):
        if actions:
            text.append(f"actions {words}: ", style=SOFT).append(f"{', '.join(actions)}\n")
    for action in sorted(change.actions, key=lambda each: not each.saved):
        _add(text, action)
    return text


def _add(text: Text, action: ActionChange) -> None:
    text.append(f"{action.action}", style="bold")
    text.append("" if action.saved else "  not saved: its defaults apply", style=DIM)
    new = 0
    text.append("\n")
    for change in action.changes if action.saved else []:
        if change.kind is FieldChangeKind.NEW:
            new += 1
            continue
        text.append(f"  {change.kind:9}", style=COLOURS[change.kind]).append(change.path)
        if change.to:
            text.append(f" → {change.to}")
        if change.value is not None:
            text.append(f"  {change.value}", style=DIM)
        text.append(f"  {change.reason}\n" if change.reason else "\n", style=SOFT)
    if new:
        text.append(f"  new      {new} parameters\n", style=GREEN)
