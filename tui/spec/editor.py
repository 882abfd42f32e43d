"""The editor of a specification: a row for each parameter, validated while typing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import yaml
from rich.text import Text
from textual import on, work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Container, Horizontal, Vertical, VerticalScroll
from textual.screen import ModalScreen
from textual.widgets import Input, Label, OptionList, Static
from textual.widgets.option_list import Option

from taod.client import AsyncClient, ClientError
from taod.client.comparison import MISSING
from taod.types.common import OwnerKind
from tui.footer import KeyLine
from tui.lists.panel import ListPanel
from tui.live import LiveNode
from tui.models.sweep import named
from tui.screens.confirm import Confirm
from tui.spec import search
from tui.spec.fields import Draft, Field, InvalidValue, written
from tui.spec.search import Range, Search
from tui.theme import BLUE, DIM, GREEN, RED, SOFT, TEXT, YELLOW

COLUMNS = (
    ("mark", "", 1),
    ("title", "Parameter", 30),
    ("value", "Value", 24),
    ("path", "Path", 0),
    ("default", "Default", 20),
)


@dataclass(frozen=True, slots=True)
class Typed:
    """Result of the dialogue: the text of the value, and its range for a sweep."""

    text: str
    range: Range | None = None


class EditValue(LiveNode, ModalScreen[Typed | None]):
    """Edits one value, and its range if the model has a sweep."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape", "dismiss(None)", "Close")]

    def __init__(self, field: Field, value: str, *, search: bool = False, range: Range | None = None) -> None:
        """`search`: also edit the range; `range`: its current value."""
        super().__init__()
        self._field, self._value = field, value
        self._search, self._range = search, range

    def compose(self) -> ComposeResult:
        with Vertical(classes="dialogue"):
            yield Static(self._field.description, classes="about", markup=False)
            if self._field.options:
                options = [written(option) for option in self._field.options]
                yield OptionList(*(Option(option, id=option) for option in options), id="options", compact=True)
            else:
                yield Input(self._value, id="value", compact=True)
            if self._search:
                yield from self._ranges()
            yield Static(self._field.rule, id="rule", markup=False)

    def _ranges(self) -> ComposeResult:
        said = self._range or {}
        numeric = self._field.kind in ("integer", "number") and not self._field.options
        yield Static("Range of the sweep", classes="about range-title")
        with Horizontal(classes="range"):
            if numeric:
                yield Label("from")
                yield Input(_text(said.get("min")), placeholder="default", id="low", compact=True)
                yield Label("to")
                yield Input(_text(said.get("max")), placeholder="default", id="high", compact=True)
            yield Label("or one of" if numeric else "one of")
            values = ", ".join(written(value) for value in said.get("values") or ())
            yield Input(values, placeholder="a, b, c", id="among", compact=True)

    def on_mount(self) -> None:
        dialogue = self.query_one(".dialogue")
        dialogue.border_title, dialogue.border_subtitle = self._field.title, self._field.name
        if self._field.options:
            options = self.query_one(OptionList)
            texts = [written(option) for option in self._field.options]
            options.highlighted = texts.index(self._value) if self._value in texts else 0

    @on(Input.Changed)
    def _typed(self, event: Input.Changed) -> None:
        """Validate the input while it is typed."""
        event.stop()
        self._show_rule(self._trouble())

    def _trouble(self) -> str:
        try:
            if self._typed_value.strip() and self._typed_value != self._value:
                self._field.read(self._typed_value)
            self._typed_range()
        except InvalidValue as error:
            return str(error)
        return ""

    @property
    def _typed_value(self) -> str:
        """Text of the field; with options, the current one."""
        return self._value if self._field.options else self.query_one("#value", Input).value

    def _typed_range(self) -> Range | None:
        """The typed range. Raises InvalidValue."""
        if not self._search:
            return self._range

        def typed(selector: str) -> str:
            return next((each.value for each in self.query(selector).results(Input)), "")

        return search.read(self._field, typed("#low"), typed("#high"), typed("#among"), self._range)

    def _show_rule(self, trouble: str) -> None:
        rule = self.query_one("#rule", Static)
        rule.update(trouble or self._field.rule)
        rule.set_class(bool(trouble), "-wrong")

    @on(Input.Submitted)
    def _entered(self, event: Input.Submitted) -> None:
        event.stop()
        if not self._trouble():
            self.dismiss(Typed(self._typed_value, self._typed_range()))

    @on(OptionList.OptionSelected)
    def _chosen(self, event: OptionList.OptionSelected) -> None:
        event.stop()
        if not self._trouble():
            self.dismiss(Typed(event.option.id or "", self._typed_range()))


class SpecEditor(LiveNode, ModalScreen[bool]):
    """Dismissed with True when something was saved."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("ctrl+s", "save", "Save", tooltip="Validate and save"),
        Binding("a", "all", "All or important", tooltip="Show all parameters, or the important ones only"),
        Binding("backspace,delete", "reset", "Default", tooltip="Reset the parameter to its default"),
        Binding("y", "text", "As YAML", tooltip="Show the whole specification as YAML"),
        Binding("slash", "filter", "Filter", key_display="/", tooltip="Filter by any word"),
        Binding("escape", "leave", "Close", tooltip="Clear the filter, then close the editor"),
    ]

    def __init__(
        self,
        client: AsyncClient,
        kind: OwnerKind,
        owner_id: str,
        action: str,
        draft: Draft,
        name: str,
        search: Search | None = None,
    ) -> None:
        """`search`: parameters of the model's sweep; None if the action has no sweep."""
        super().__init__()
        self._search = search
        self._client, self._kind, self._owner_id, self._action = client, kind, owner_id, action
        self.draft, self._name = draft, name
        self._by_name = {field.name: field for field in draft.fields}
        self._all = not any(field.notable for field in draft.fields)

    def compose(self) -> ComposeResult:
        with Container(id="spec-editor"):
            yield ListPanel(f"{self._action} specification of {self._name}".replace("[", r"\["), COLUMNS, "fields")
            with VerticalScroll(id="field-about", classes="panel", can_focus=False):
                yield Static(id="field-words")
        yield KeyLine()

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
        """Changed and important parameters, or all with these first."""

        def first(field: Field) -> bool:
            return field.notable or self.draft.differs(field) or self._searched(field)

        fields = [field for field in self.draft.fields if self._all or first(field)]
        return sorted(fields, key=lambda field: not first(field))

    def _searched(self, field: Field) -> bool:
        return self._search is not None and self._search.has(self.draft, field)

    def _draw(self) -> None:
        self.listing.show({field.name: self._row(field) for field in self._shown()}, "This action has no parameters.")
        changed = len(self.draft.changes)
        where = "saved" if self.draft.saved else "default, not saved yet"
        self.sub_title = f"{changed} changed" if changed else where
        about = self.query_one("#field-about")
        about.border_subtitle = f"[$warning]{changed} not saved[/]" if changed else where
        self._about()

    def _row(self, field: Field) -> Sequence[Text]:
        value, edited = self.draft.value(field), field.path in self.draft.changes
        swept = self._searched(field)
        edited = edited or search.range_path(field) in self.draft.changes
        mark = "✎" if edited else "*" if field.required and value is MISSING else "~" if swept else " "
        style = YELLOW if edited else GREEN if self.draft.differs(field) else TEXT
        return (
            Text(mark, style=YELLOW if edited else BLUE if swept else RED),
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
        text = Text(field.description, style=TEXT).append("\n\nValue: ", style=DIM).append(field.rule, style=BLUE)
        if field.required:
            text.append(", required", style=BLUE)
        text.append(".", style=DIM)
        if self._searched(field):
            ends = search.described(search.searched_range(self.draft, field))
            text.append(f" The sweep searches this parameter{f': {ends}' if ends else ''}.", style=BLUE)
        elif self._search is not None and search.can_be_searched(field):
            text.append(" The sweep does not search it. enter: set a range to search", style=DIM)
        elif field.swept and self._search is None:
            text.append(" Sweeps search this parameter.", style=SOFT)
        self.query_one("#field-words", Static).update(text)

    @on(ListPanel.Opened)
    @work(group="edit", exclusive=True)
    async def _opened(self) -> None:
        field = self.selected
        if field is None:
            return
        said = search.searched_range(self.draft, field)
        asks = self._search is not None and search.can_be_searched(field)
        dialogue = EditValue(field, written(self.draft.value(field)), search=asks, range=said)
        typed = await self.app.push_screen_wait(dialogue)
        if typed is None:
            return
        try:
            if typed.text != written(self.draft.value(field)):
                self.draft.change(field, typed.text)
            if typed.range != said:
                self.draft.put(search.range_path(field), MISSING if typed.range is None else typed.range)
        except InvalidValue as error:
            self.notify(str(error), severity="error", markup=False)
        self._draw()

    def action_all(self) -> None:
        self._all = not self._all
        self._draw()

    def action_reset(self) -> None:
        if (field := self.selected) is not None:
            self.draft.reset(field)
            if search.searched_range(self.draft, field) is not None:
                self.draft.put(search.range_path(field), MISSING)
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
            question = Confirm("Close without saving?", f"Changed: {changed}.", "Discard changes", "Keep editing")
            if not await self.app.push_screen_wait(question):
                return
        self.dismiss(False)

    @work(group="save", exclusive=True)
    async def action_save(self) -> None:
        try:
            _, warnings = await self._client.specs.save(self._kind, self._owner_id, self._action, self.draft.document())
        except ClientError as error:
            self.notify(error.description, title="Not saved", severity="error", timeout=20, markup=False)
            return
        if warnings:
            self.app.notify(warnings, title="Saved, with warnings", severity="warning", timeout=12, markup=False)
        else:
            self.app.notify(f"The {self._action} specification was saved.")
        self.dismiss(True)


class AsYaml(ModalScreen[None]):
    """Shows the whole specification."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape,y,q", "dismiss", "Close")]

    def __init__(self, text: str) -> None:
        super().__init__()
        self._text = text

    def compose(self) -> ComposeResult:
        with VerticalScroll(classes="dialogue wide"):
            yield Static(Text(self._text, style=TEXT))

    def on_mount(self) -> None:
        dialogue = self.query_one(".dialogue")
        dialogue.border_title, dialogue.border_subtitle = "Specification", "escape: close"
        dialogue.focus()


async def opened(client: AsyncClient, kind: OwnerKind, owner_id: str, action: str, name: str) -> SpecEditor:
    """The editor of the saved specification, or of the default. Raises ClientError."""
    schema = await client.specs.schema(kind, owner_id, action)
    searched = await _searched(client, owner_id) if kind == "model" and action == "train" else None
    try:
        saved = await client.specs.get(kind, owner_id, action)
    except ClientError as error:
        if error.status != 404:
            raise
        return SpecEditor(
            client, kind, owner_id, action, Draft(schema, dict(schema.get("default", {}))), name, searched
        )
    return SpecEditor(client, kind, owner_id, action, Draft(schema, saved, saved=True), name, searched)


async def _searched(client: AsyncClient, model_id: str) -> Search | None:
    """Parameters that the model's sweep adds and removes; None without a sweep."""
    model = await client.models.get(model_id)
    if not model.automl_enabled:
        return None
    return Search(
        frozenset(named(model.automl_add_hyperparameters)), frozenset(named(model.automl_remove_hyperparameters))
    )


def _text(value: object) -> str:
    return "" if value is None else f"{value:g}" if isinstance(value, float) else str(value)
