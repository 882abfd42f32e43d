"""The page of models: list, details, and the actions of keys."""

from __future__ import annotations

import asyncio
from typing import ClassVar

from textual import on, work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Container, Vertical
from textual.screen import ModalScreen
from textual.widgets import OptionList
from textual.widgets.option_list import Option

from taod.client import ClientError
from taod.types.model import Model
from taod.types.release import NEWEST
from taod.types.state import Status
from tui import feed
from tui.lists.panel import ListPanel
from tui.models.details import COLUMNS, ModelDetails, rows
from tui.models.forms import ModelForm
from tui.models.release import ReleaseForm
from tui.run.dialogue import RunDialogue
from tui.screens.confirm import Confirm
from tui.screens.list_page import FILTER_KEYS, ListPage
from tui.spec.editor import opened

EMPTY = "No models yet.\n\n[$primary]n[/] [$dim]create one; it needs a dataset first ([/][$primary]D[/][$dim])[/]"


class ModelsPage(ListPage[Model]):
    """The user's models, newest first; published pretrained models are offered in the form that creates one."""

    NAME = "models"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("n", "new", "New", tooltip="New model"),
        Binding("e", "spec", "Spec", tooltip="Edit the specification of an action"),
        Binding("t", "run", "Run", tooltip="Run actions: train, evaluate, export, …"),
        Binding("c", "change", "Change", tooltip="Change its name, datasets, pretrained model, sweep"),
        Binding("u", "release", "Release", show=False, tooltip="Move the model to another release of NVIDIA's tools"),
        Binding("x", "delete", "Delete", tooltip="Delete the model and its jobs (asks first)"),
        *FILTER_KEYS,
    ]

    def __init__(self) -> None:
        super().__init__()
        self._names: dict[str, str] = {}

    def parts(self) -> ComposeResult:
        with Container(classes="list-and-details"):
            yield ListPanel("Models", COLUMNS, "models")
            yield ModelDetails()

    async def fetch(self) -> None:
        client = self.dashboard.client
        models, datasets = await asyncio.gather(client.models.list(read_only=False), client.datasets.list())
        self.items = {model.id: model for model in models.items if not model.ngc_path}
        self._names = {dataset.id: dataset.name for dataset in datasets.items}

    def draw(self) -> None:
        self.listing.show({model.id: rows(model) for model in self.items.values()}, EMPTY)

    @on(feed.ModelChanged)
    @on(feed.DatasetChanged)
    def _changed(self) -> None:
        self.read()

    @on(feed.JobChanged)
    def _job_changed(self, event: feed.JobChanged) -> None:
        model = self.items.get(event.view.owner_id)
        if model is None or event.view.sweep_id is not None:
            return
        known = {job.id: job.status for job in model.jobs}
        if known.get(event.view.id) is not event.view.status:
            self.read()

    def show_selected(self) -> None:
        self.query_one(ModelDetails).show(self.selected, self._names)

    def why_not(self, action: str) -> str:
        return "No model is selected. n: create one"

    def allows(self, action: str) -> bool | None:
        if action in ("spec", "run", "change", "release", "delete"):
            return True if self.selected is not None else None
        return True

    @work(group="ask", exclusive=True)
    async def action_new(self) -> None:
        await self._form(None)

    @work(group="ask", exclusive=True)
    async def action_change(self) -> None:
        if (model := self.selected) is not None:
            await self._form(model)

    async def _form(self, model: Model | None) -> None:
        client = self.dashboard.client
        try:
            networks, newest, datasets = await asyncio.gather(
                client.networks.list(), client.networks.list(NEWEST), client.datasets.list()
            )
        except ClientError as error:
            self.notify_error(error)
            return
        saved = await self.app.push_screen_wait(ModelForm(client, networks + newest, datasets.items, model))
        if saved is not None:
            self.read(saved.id)

    @work(group="ask", exclusive=True)
    async def action_spec(self) -> None:
        model = self.selected
        if model is None:
            return
        action = await self.app.push_screen_wait(ChooseAction(model.actions))
        if action is None:
            return
        try:
            editor = await opened(self.dashboard.client, "model", model.id, action, model.name)
        except ClientError as error:
            self.notify_error(error)
            return
        await self.app.push_screen_wait(editor)

    @work(group="ask", exclusive=True)
    async def action_run(self) -> None:
        model = self.selected
        if model is None:
            return
        first = ["train"] if not model.jobs and "train" in model.actions else []
        started = await self.app.push_screen_wait(
            RunDialogue(
                self.dashboard.client, "model", model.id, model.name, model.network_arch, model.jobs, actions=first
            )
        )
        if started:
            self.dashboard.show_job(started[0])

    @work(group="ask", exclusive=True)
    async def action_release(self) -> None:
        model = self.selected
        if model is None:
            return
        try:
            present = await self.dashboard.client.models.preview_release(model.id)
        except ClientError as error:
            self.notify_error(error)
            return
        if len(present.known) < 2:
            self.notify(f"{model.network_arch} is of release {present.release} only.", markup=False, timeout=4)
            return
        moved = await self.app.push_screen_wait(ReleaseForm(self.dashboard.client, model, present))
        if moved is not None:
            self.read(model.id)

    @work(group="ask", exclusive=True)
    async def action_delete(self) -> None:
        model = self.selected
        if model is None:
            return
        active = sum(job.status in (Status.PENDING, Status.RUNNING) for job in model.jobs)
        consequence = f"Its {len(model.jobs)} jobs and their files are deleted too."
        if active:
            consequence += f" {active} of them {'has' if active == 1 else 'have'} not ended and will be cancelled."
        if await self.app.push_screen_wait(
            Confirm(f"Delete '{model.name}'?", consequence, "Delete model", "Keep model")
        ):
            try:
                await self.dashboard.client.models.delete(model.id)
            except ClientError as error:
                self.notify_error(error)
            self.read()


class ChooseAction(ModalScreen[str | None]):
    """Dismissed with an action, or None."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape", "dismiss(None)", "Close")]

    def __init__(self, actions: list[str]) -> None:
        super().__init__()
        self._actions = actions

    def compose(self) -> ComposeResult:
        with Vertical(classes="dialogue"):
            yield OptionList(*(Option(action, id=action) for action in self._actions), compact=True)

    def on_mount(self) -> None:
        self.query_one(".dialogue").border_title = "Specification of:"

    @on(OptionList.OptionSelected)
    def _chosen(self, event: OptionList.OptionSelected) -> None:
        event.stop()
        self.dismiss(event.option.id)
