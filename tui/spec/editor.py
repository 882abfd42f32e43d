"""The screen on which a specification is edited: a row for each parameter, checked while it is typed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import yaml
from rich.text import Text
from textual import on, work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Container, Vertical, VerticalScroll
from textual.screen import ModalScreen
from textual.widgets import Footer, Input, OptionList, Static
from textual.widgets.option_list import Option

from taod.client import Client, ClientError
from tui.lists.panel import ListPanel
from tui.screens.confirm import Confirm
from tui.spec.fields import MISSING, Draft, Field, Wrong, written
from tui.theme import BLUE, DIM, GREEN, RED, SOFT, TEXT, YELLOW

COLUMNS = (
    ("mark", "", 1),
    ("title", "Parameter", 30),
    ("value", "Value", 24),
    ("path", "Path", 0),
    ("default", "Default", 20),
)


class EditValue(ModalScreen[str | None]):
    """One value: typed, or chosen where there are options. Dismissed with its text, or None."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape", "dismiss(None)", "Leave")]

    def __init__(self, field: Field, value: str) -> None:
        super().__init__()
        self._field, self._value = field, value

    def compose(self) -> ComposeResult:
        with Vertical(classes="dialogue"):
            yield Static(self._field.description, classes="about", markup=False)
            if self._field.options:
                options = [written(option) for option in self._field.options]
                yield OptionList(*(Option(option, id=option) for option in options), id="options", compact=True)
            else:
                yield Input(self._value, id="value", compact=True)
            yield Static(self._field.rule, id="rule", markup=False)

    def on_mount(self) -> None:
        dialogue = self.query_one(".dialogue")
        dialogue.border_title, dialogue.border_subtitle = self._field.title, self._field.name
        if self._field.options:
            options = self.query_one(OptionList)
            texts = [written(option) for option in self._field.options]
            options.highlighted = texts.index(self._value) if self._value in texts else 0

    @on(Input.Changed)
    def _typed(self, event: Input.Changed) -> None:
        """Say at once what is wrong with it."""
        event.stop()
        self._tell(self._trouble(event.value))

    def _trouble(self, text: str) -> str:
        if not text.strip():
            return ""
        try:
            self._field.read(text)
        except Wrong as error:
            return str(error)
        return ""

    def _tell(self, trouble: str) -> None:
        rule = self.query_one("#rule", Static)
        rule.update(trouble or self._field.rule)
        rule.set_class(bool(trouble), "-wrong")

    @on(Input.Submitted)
    def _entered(self, event: Input.Submitted) -> None:
        event.stop()
        if not self._trouble(event.value):
            self.dismiss(event.value)

    @on(OptionList.OptionSelected)
    def _chosen(self, event: OptionList.OptionSelected) -> None:
        event.stop()
        self.dismiss(event.option.id)


class SpecEditor(ModalScreen[bool]):
    """Dismissed with True when something was saved."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("ctrl+s", "save", "Save", tooltip="Check it with the daemon and save it"),
        Binding("a", "all", "All or notable", tooltip="Show every parameter, or those that matter first"),
        Binding("backspace,delete", "reset", "Default", tooltip="Give the parameter its default back"),
        Binding("y", "text", "As YAML", tooltip="Show the whole specification as YAML"),
        Binding("slash", "filter", "Filter", key_display="/", tooltip="Filter by any word"),
        Binding("escape", "leave", "Leave", tooltip="Leave the filter, then the editor"),
    ]

    def __init__(self, client: Client, kind: str, owner_id: str, action: str, draft: Draft, name: str) -> None:
        super().__init__()
        self._client, self._kind, self._owner_id, self._action = client, kind, owner_id, action
        self.draft, self._name = draft, name
        self._by_name = {field.name: field for field in draft.fields}
        self._all = not any(field.notable for field in draft.fields)

    def compose(self) -> ComposeResult:
        with Container(id="spec-editor"):
            yield ListPanel(f"{self._action} specification of {self._name}".replace("[", r"\["), COLUMNS, "fields")
            with VerticalScroll(id="field-about", classes="panel", can_focus=False):
                yield Static(id="field-words")
        yield Footer(show_command_palette=False)

    def on_mount(self) -> None:
        self._draw()
        self.listing.table.focus()

    @property
    def listing(self) -> ListPanel:
        return self.query_one(ListPanel)

    @property
    def selected(self) -> Field | None:
        return self._by_name.get(self.listing.selected_id or "")

    def _shown(self) -> list[Field]:
        """Changed ones and those that matter first; all of them on demand."""
        fields = [field for field in self.draft.fields if self._all or field.notable or self.draft.differs(field)]
        return sorted(fields, key=lambda field: not (field.notable or self.draft.differs(field)))

    def _draw(self) -> None:
        self.listing.show({field.name: self._row(field) for field in self._shown()}, "It has no parameters.")
        changed = len(self.draft.changes)
        where = "saved" if self.draft.saved else "the default, not saved yet"
        self.sub_title = f"{changed} changed" if changed else where
        about = self.query_one("#field-about")
        about.border_subtitle = f"[$warning]{changed} not saved[/]" if changed else where
        self._about()

    def _row(self, field: Field) -> Sequence[Text]:
        value, edited = self.draft.value(field), field.path in self.draft.changes
        mark = "✎" if edited else "*" if field.required and value is MISSING else " "
        style = YELLOW if edited else GREEN if self.draft.differs(field) else TEXT
        return (
            Text(mark, style=YELLOW if edited else RED),
            Text(field.title, style=TEXT, no_wrap=True, overflow="ellipsis"),
            Text(written(value) or "–", style=DIM if value is MISSING else style, no_wrap=True, overflow="ellipsis"),
            Text(field.name, style=SOFT, no_wrap=True, overflow="ellipsis"),
            Text(written(self.draft.default(field)) or "–", style=DIM, no_wrap=True, overflow="ellipsis"),
        )

    @on(ListPanel.Selected)
    def _about(self) -> None:
        field = self.selected
        about = self.query_one("#field-about")
        about.border_title = field.title.replace("[", r"\[") if field else ""
        if field is None:
            self.query_one("#field-words", Static).update("")
            return
        text = Text(field.description, style=TEXT).append("\n\nIt is ", style=DIM).append(field.rule, style=BLUE)
        if field.required:
            text.append(", and needs a value", style=BLUE)
        text.append(".", style=DIM)
        if field.swept:
            text.append(" A sweep varies it.", style=SOFT)
        self.query_one("#field-words", Static).update(text)

    @on(ListPanel.Opened)
    @work(group="edit", exclusive=True)
    async def _opened(self) -> None:
        field = self.selected
        if field is None:
            return
        text = await self.app.push_screen_wait(EditValue(field, written(self.draft.value(field))))
        if text is None:
            return
        try:
            self.draft.change(field, text)
        except Wrong as error:
            self.notify(str(error), severity="error", markup=False)
        self._draw()

    def action_all(self) -> None:
        self._all = not self._all
        self._draw()

    def action_reset(self) -> None:
        if (field := self.selected) is not None:
            self.draft.reset(field)
            self._draw()

    def action_filter(self) -> None:
        self.set_focus(self.listing.input)

    def action_text(self) -> None:
        self.app.push_screen(AsYaml(yaml.safe_dump(self.draft.document(), sort_keys=False, allow_unicode=True)))

    @work(group="leave", exclusive=True)
    async def action_leave(self) -> None:
        if self.listing.input.value or self.listing.input.has_focus:
            self.listing.reset()
            self.listing.table.focus()
            return
        if self.draft.changes:
            changed = ", ".join(".".join(path) for path in list(self.draft.changes)[:4])
            question = Confirm("Leave without saving?", f"Changed: {changed}.", "Leave", "Go on editing")
            if not await self.app.push_screen_wait(question):
                return
        self.dismiss(False)

    @work(group="save", exclusive=True)
    async def action_save(self) -> None:
        try:
            _, warnings = await self._client.save_spec(self._kind, self._owner_id, self._action, self.draft.document())
        except ClientError as error:
            self.notify(error.description, title="It cannot be saved", severity="error", timeout=20, markup=False)
            return
        if warnings:
            self.app.notify(warnings, title="Saved, with warnings", severity="warning", timeout=12, markup=False)
        else:
            self.app.notify(f"The {self._action} specification is saved.")
        self.dismiss(True)


class AsYaml(ModalScreen[None]):
    """The whole specification, to read."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape,y,q", "dismiss", "Close")]

    def __init__(self, text: str) -> None:
        super().__init__()
        self._text = text

    def compose(self) -> ComposeResult:
        with VerticalScroll(classes="dialogue wide"):
            yield Static(Text(self._text, style=TEXT))

    def on_mount(self) -> None:
        dialogue = self.query_one(".dialogue")
        dialogue.border_title, dialogue.border_subtitle = "Specification", "escape closes"
        dialogue.focus()


async def opened(client: Client, kind: str, owner_id: str, action: str, name: str) -> SpecEditor:
    """The editor on what is saved, or on the default. Raises ClientError."""
    schema = await client.schema(kind, owner_id, action)
    try:
        saved = await client.spec(kind, owner_id, action)
    except ClientError as error:
        if error.status != 404:
            raise
        return SpecEditor(client, kind, owner_id, action, Draft(schema, dict(schema.get("default", {}))), name)
    return SpecEditor(client, kind, owner_id, action, Draft(schema, saved, saved=True), name)
