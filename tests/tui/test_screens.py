"""Every screen: one image of each in `__snapshots__`, and what must be visible at other sizes and in the light look.

All screens that differ are reported, not only the first. An image that is meant to change: `pytest
tests/tui/test_screens.py --snapshot-update`, and review it before you commit it.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Awaitable, Callable, Iterator
from typing import Any, Literal

import msgspec
import pytest
from pytest_textual_snapshot import SVGImageExtension
from textual.containers import Vertical
from textual.screen import ModalScreen
from textual.widgets import Button, DataTable, Input, TabbedContent

from taod.client import AsyncClient
from taod.types.event import ResourceChange
from tests.patience import PATIENCE_S
from tests.tui import scene
from tui import feed
from tui.app import Dashboard
from tui.job.spec import SpecPane
from tui.jobs.filters import Chip, FilterBar
from tui.queue.banner import QueueBanner

STREAMS = frozenset({"feed", "log", "ask", "edit"})
"""Groups of workers that run on: they follow a stream, or wait for an answer to a dialogue."""
Look = Literal["dark", "light"]
IMAGE: tuple[Look, int, int] = ("dark", 120, 40)
"""The look and size of which images are kept."""
VIEWS: tuple[tuple[Look, int, int], ...] = (IMAGE, ("dark", 80, 24), ("dark", 200, 60), ("light", 80, 24))
PAGE = ("taod", "live", "Jobs", "Datasets", "Models", "Help", "Quit")
"""The header and the footer of every page."""
LIST = (
    *PAGE,
    "Devices",
    "GPU0",
    "1 of 2 in use",
    "All",
    "Pending",
    "Running",
    "Done",
    "Error",
    "Job",
    "Action",
    "Metric",
    "Age",
)
TABS = (*LIST, "train a1b2c3d4", "Log", "KPIs", "Spec", "Files", "Details", "● running")
SWEEP = (*LIST, "train 000000b0", "W Trials", "Bayesian", "2 of 8 trials done", "Trial", "State", "val_acc", "★")
VISIBLE: dict[str, tuple[str, ...]] = {
    "jobs": (*TABS, "a1b2c3d4", "3/8", "0.9134", "held by user", "INFO epoch 3/8 loss 0.67", "Cancel", "Pause"),
    "jobs-grouped": (*TABS, "digits  classification_pyt  4"),
    "kpis": (*TABS, "accuracy_top-1  last 0.9134 at epoch 3", "seven", "0.71"),
    "spec": (*TABS, "specification", "v: next view", "num_epochs: 8", "View"),
    "spec-default": (*TABS, "against the default", "parameter", "this job", "train.num_epochs", "10"),
    "files": (*TABS, "results/", "a b.txt", "348 B", "Save"),
    "details": (*TABS, "state", "running on GPU0", "a1b2c3d4-1111-4222-8333-0000a1b2c3d4", "children   000000a2"),
    "log-zoomed": (*PAGE, "train a1b2c3d4", "WARNING 3 images cannot be read", "ERROR could not write", "Search"),
    "log-searched": (*PAGE, "train a1b2c3d4", "INFO epoch 3/8", "/ epoch"),
    "cancel": (
        "Cancel train a1b2c3d4 of 'digits'?",
        "It is at epoch 3 of 8; its checkpoints are kept.",
        "Cancel jobs",
        "Keep running",
    ),
    "help": ("Keys", "Cancel the job (asks first)", "Filter by id, model, network or action", "escape: close"),
    "jobs-filtered": (*PAGE, "/ evaluate", "000000a2", "evaluate 000000a2"),
    "datasets": (
        *PAGE,
        "Dataset",
        "Name",
        "Type",
        "Format",
        "digits, tilted",
        "linked",
        "/data/digits",
        "New",
        "Upload or link",
        "Check",
    ),
    "new-dataset": (
        "New dataset",
        "Name",
        "Type",
        "Format",
        "Files",
        "Create",
        "Close",
        "ctrl+s: create · escape: close",
    ),
    "add-files": ("Files of digits", "a folder is linked", "Add files", "Close", "ctrl+s: add files · escape: close"),
    "models": (
        *PAGE,
        "Model",
        "Name",
        "Network",
        "Last",
        "classification_pyt",
        "train on",
        "digits, tilted",
        "Spec",
        "Change",
    ),
    "new-model": (
        "New model",
        "Name",
        "Network",
        "Train on",
        "space: choose",
        "Save",
        "Close",
        "ctrl+s: save · escape: close",
    ),
    "release": (
        "Release of digits",
        "Move to",
        "7.3",
        "its release is 5.0",
        "Saved specs",
        "Checkpoints",
        "has checkpoints of",
        "renamed",
        "Move model",
        "Close",
    ),
    "tools": (
        "taod",
        "live",
        "Packaged tools",
        "Help",
        "Quit",
        "Tool",
        "Environment",
        "State",
        "pytorch-7.3.0-cpu",
        "ready",
        "data-services",
        "available",
        "nvidia-tao-pytorch 7.3.0",
        "Check",
        "Remove",
    ),
    "install-tool": (
        "Install nvidia-tao-ds 7.3.0",
        "Runs on",
        "GPUs of this machine",
        "9.0 GB of disk",
        "Python",
        "Licence",
        "Apache License 2.0",
        "Install",
        "Close",
    ),
    "change-model": ("Change digits", "Train on", "Evaluate on", "Save", "Close"),
    "run": (
        "Run on digits",
        "Actions",
        "train",
        "evaluate",
        "Parent job",
        "1  train",
        "by embedded, 1 device",
        "Start jobs",
        "Close",
    ),
    "choose-action": ("Specification of:", "train", "evaluate", "export"),
    "spec-editor": (
        "train specification of digits",
        "Parameter",
        "Value",
        "Path",
        "Default",
        "learning rate",
        "train.optim.lr",
        "a whole number, 1 or more",
        "Save",
    ),
    "spec-yaml": ("Specification", "train:", "num_epochs: 10", "escape: close"),
    "edit-value": ("epochs", "train.num_epochs", "a whole number, 1 or more"),
    "edit-range": ("epochs", "Range of the sweep", "from", "to", "or one of", "a whole number, 1 or more"),
    "pause-queue": ("Pause the whole queue", "Reason", "optional", "Pause queue", "Close"),
    "queue-paused": (*LIST, "The queue is paused by ann", "Q: resume"),
    "palette": ("Group the jobs by model", "key: g"),
    "trials": (*SWEEP, "0.81", "0.93", "✗ failed", "Order", "View", "Stop early", "Save CSV"),
    "trials-values": SWEEP,
    "trials-matter": (*SWEEP, "82%"),
    "stop-early": (
        "Stop the sweep early?",
        "Trial 1 is its model. 1 open trial will be cancelled.",
        "Stop sweep",
        "Keep searching",
    ),
    "trials-listed": (*LIST, "└trial 0", "└trial 3", "All 12"),
    "empty-jobs": (
        *PAGE,
        "No jobs yet. To run one:",
        "upload a dataset",
        "create a model",
        "train it",
        "taod quickstart",
    ),
    "empty-datasets": (*PAGE, "No datasets yet.", "create one from a folder or an archive"),
    "empty-models": (*PAGE, "No models yet.", "create one; it needs a dataset first"),
    "disconnected": ("taod", "● disconnected", "taod serve", "Quit"),
}
"""By screen, texts that are drawn uncut at every size."""


@pytest.fixture
def still(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Time stands still, in UTC."""
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    monkeypatch.setattr("tui.format.now", lambda: scene.NOW)
    monkeypatch.setattr("tui.devices.row.monotonic", lambda: 1000.0)
    yield
    monkeypatch.undo()
    time.tzset()


class Camera:
    """Walks through the dashboard and checks each screen, once all that was requested has arrived."""

    def __init__(self, app: Dashboard, pilot: Any, world: Any, snapshot: Any) -> None:
        """`snapshot`: None to check texts only."""
        self.app, self.pilot, self.world, self._snapshot = app, pilot, world, snapshot
        self.wrong: list[str] = []
        self.taken: list[str] = []

    async def until(self, condition: Callable[[], Any]) -> None:
        async with asyncio.timeout(PATIENCE_S):
            while not condition():
                await self.pilot.pause(0.01)

    async def until_screen(self, name: str) -> None:
        await self.until(lambda: type(self.app.screen).__name__ == name)

    async def press(self, *keys: str) -> None:
        await self.pilot.press(*keys)

    async def settle(self) -> None:
        """Wait for the workers that end, for the counts, and for what is drawn."""
        await self.until(lambda: not [w for w in self.app.workers if w.is_running and w.group not in STREAMS])
        await self.until(self._counted)
        await self.pilot.wait_for_scheduled_animations()
        await self.pilot.pause()

    def _counted(self) -> bool:
        """Whether the filters count every job: counts arrive after the jobs. While trials are listed they count too."""
        bars = [bar for bar in self.app.screen.query(FilterBar) if not bar.trials]
        jobs = sum(view.sweep_id is None for view in self.world.jobs.values())
        return all(chip.jobs == jobs for bar in bars for chip in bar.query(Chip) if chip.status is None)

    async def take(self, name: str) -> None:
        """Check this screen: what is wrong is kept for the end."""
        await self.settle()
        for field in self.app.screen.query(Input):
            field.cursor_blink = False
            field._cursor_visible = True
        self.app.clear_notifications()
        await self.pilot.pause()
        self.taken.append(name)
        self.wrong += [f"{name}: {each}" for each in self._missing(name)]
        if self._snapshot is not None:
            svg = re.sub(r"127\.0\.0\.1:\d{5}", "127.0.0.1:40000", self.app.export_screenshot(title=name))
            if svg != self._snapshot(name=name, extension_class=SVGImageExtension):
                self.wrong.append(f"{name}: differs from its image")

    def lines(self) -> list[str]:
        return [strip.text for strip in self.app.screen._compositor.render_strips()]

    def _missing(self, name: str) -> Iterator[str]:
        """What should be on the screen and is not, or is cut."""
        drawn = "\n".join(self.lines())
        for words in VISIBLE[name]:
            if words not in drawn:
                yield f"{words!r} is not drawn"
        screen = self.app.screen
        area = screen.region
        if screen.focused is not None and screen.focused.display:  # a narrow screen hides the list of metrics
            if not area.overlaps(screen.focused.region) or not screen.focused.region.area:
                yield f"{screen.focused!r} has the focus and is not visible"
            if isinstance(screen.focused, DataTable) and screen.focused.row_count:
                row = screen.focused._get_row_region(screen.focused.cursor_row)
                top = screen.focused.scroll_offset.y
                if not top <= row.y < top + screen.focused.size.height:
                    yield f"row {screen.focused.cursor_row} is under the cursor and not visible"
        for button in screen.query(Button):
            if not area.contains_region(button.region) or str(button.label) not in drawn:
                yield f"the button {str(button.label)!r} is cut"
        if isinstance(screen, ModalScreen):
            for dialogue in screen.query(".dialogue").results(Vertical):
                if not area.contains_region(dialogue.region):
                    yield "the dialogue is larger than the screen"


Walk = Callable[[Camera], Awaitable[None]]


async def jobs(camera: Camera) -> None:
    """The page of jobs, the tabs of a job, and what keys open over them."""
    app, press, take = camera.app, camera.press, camera.take
    await camera.until(lambda: len(app.screen.job.log_view.lines) > 3)
    await take("jobs")
    await press("g")
    await take("jobs-grouped")
    await press("g")
    for key, tab in (("k", "kpis"), ("s", "spec"), ("f", "files"), ("d", "details")):
        await press(key)
        await camera.until(lambda tab=tab: app.screen.query_one("#tabs", TabbedContent).active == f"tab-{tab}")
        await take(tab)
        if tab == "spec":
            await press("v", "v")
            await camera.until(lambda: app.screen.query_one(SpecPane).mode == "default")
            await take("spec-default")
    await press("l", "enter")
    await take("log-zoomed")
    await press("slash", *"epoch", "enter")
    await camera.until(lambda: app.screen.job.log_view.has_focus)
    await take("log-searched")
    await press("escape", "c")
    await camera.until_screen("Confirm")
    await take("cancel")
    await press("n", "question_mark")
    await camera.until_screen("Help")
    await take("help")
    await press("escape", "slash", *"evaluate", "enter")
    await camera.until(lambda: app.screen.jobs.table.row_count == 1)
    await take("jobs-filtered")


async def datasets(camera: Camera) -> None:
    """The page of datasets and its forms."""
    app, press, take = camera.app, camera.press, camera.take
    await press("D")
    await camera.until(lambda: app.screen.NAME == "datasets" and app.screen.selected is not None)
    await take("datasets")
    await press("n")
    await camera.until_screen("NewDataset")
    await take("new-dataset")
    await press("escape", "u")
    await camera.until_screen("AddFiles")
    await take("add-files")


async def models(camera: Camera) -> None:
    """The page of models, its forms, and the editor of specifications."""
    app, press, take = camera.app, camera.press, camera.take
    await press("M")
    await camera.until(lambda: app.screen.NAME == "models" and app.screen.selected is not None)
    await take("models")
    await press("n")
    await camera.until_screen("ModelForm")
    await take("new-model")
    await press("escape", "t")
    await camera.until_screen("RunDialogue")
    await camera.until(lambda: app.screen.query_one("#actions").option_count)
    await press("space")
    await camera.until(lambda: not app.screen.query_one("#yes").disabled)
    await take("run")
    await press("escape", "e")
    await camera.until_screen("ChooseAction")
    await take("choose-action")
    await press("enter")
    await camera.until_screen("SpecEditor")
    await take("spec-editor")
    await press("y")
    await camera.until_screen("AsYaml")
    await take("spec-yaml")
    await press("escape", "enter")
    await camera.until_screen("EditValue")
    await take("edit-value")
    await press("escape", "escape")
    await camera.until_screen("ModelsPage")
    await press("u")
    await camera.until_screen("ReleaseForm")
    await camera.until(lambda: "renamed" in str(app.screen.query_one("#changes").content))
    await take("release")
    await press("escape")
    await camera.until_screen("ModelsPage")
    await swept_model(camera)


async def tools(camera: Camera) -> None:
    """The page of tools, and the form that installs one."""
    app, press, take = camera.app, camera.press, camera.take
    await press("P")
    await camera.until(lambda: app.screen.NAME == "tools" and app.screen.selected is not None)
    await take("tools")
    await press("down", "n")
    await camera.until_screen("InstallTool")
    await take("install-tool")


async def swept_model(camera: Camera) -> None:
    """The model with its sweep on: its form, and the range of a parameter."""
    app, press = camera.app, camera.press
    (digits,) = camera.world.models
    before = camera.world.models[digits]
    camera.world.models[digits] = msgspec.structs.replace(before, automl_enabled=True, automl_algorithm="Bayesian")
    app.post_message(feed.ModelChanged(ResourceChange(digits, "updated")))
    await camera.until(lambda: app.screen.selected.automl_enabled)
    await press("c")
    await camera.until_screen("ModelForm")
    await camera.take("change-model")
    await press("escape", "e")
    await camera.until_screen("ChooseAction")
    await press("enter")
    await camera.until_screen("SpecEditor")
    await press("enter")
    await camera.until_screen("EditValue")
    await camera.take("edit-range")


async def queue(camera: Camera) -> None:
    """The form that pauses the queue, the banner of a paused queue, and the palette."""
    app, press, take = camera.app, camera.press, camera.take
    await press("Q")
    await camera.until_screen("PauseQueue")
    await take("pause-queue")
    await press("escape")
    await camera.until_screen("MainScreen")
    app.post_message(feed.QueueChanged(scene.paused_queue(camera.world)))
    await camera.until(lambda: app.screen.query_one(QueueBanner).display)
    await take("queue-paused")
    app.post_message(feed.QueueChanged(camera.world.queue))
    await camera.until(lambda: not app.screen.query_one(QueueBanner).display)
    await press("ctrl+p")
    await camera.until_screen("CommandPalette")
    await press(*"group")
    await camera.until(lambda: app.screen.query_one("CommandList").option_count)
    await take("palette")


async def sweep(camera: Camera) -> None:
    """A sweep that starts while the page of jobs is open: the tab of its trials, and its trials among the jobs."""
    app, press, take = camera.app, camera.press, camera.take
    job = scene.sweep(camera.world)
    await camera.until(lambda: job.id in app.screen.jobs.table.rows)
    app.screen.go_to(job.id)
    await camera.until(lambda: app.screen.job.view is not None and app.screen.job.view.id == job.id)
    await press("w")
    await camera.until(lambda: app.screen.job.trials.table.row_count == 4)
    await take("trials")
    await press("v")
    await take("trials-values")
    await press("v")
    await take("trials-matter")
    await press("x")
    await camera.until_screen("Confirm")
    await take("stop-early")
    await press("n", "escape", "T")
    await camera.until(lambda: len([row for row in app.screen.jobs.table.rows if row.startswith("000000b")]) == 5)
    await take("trials-listed")


WALKS: dict[str, Walk] = {
    "jobs": jobs, "datasets": datasets, "models": models, "tools": tools, "queue": queue, "sweep": sweep,
}  # fmt: skip


def named(view: tuple[Look, int, int]) -> str:
    look, width, height = view
    return f"{look}-{width}x{height}"


def dashboard_of(server: Any, look: Look) -> Dashboard:
    app = Dashboard(AsyncClient(server.url, server.world.user, server.world.token), look=look, ascii_only=False)
    app.animation_level = "none"
    return app


@pytest.mark.slow
@pytest.mark.parametrize("view", VIEWS, ids=named)
@pytest.mark.parametrize("walk", WALKS)
async def test_every_screen_shows_its_required_texts(
    still: None, server: Any, contract: Any, snapshot: Any, walk: str, view: tuple[Look, int, int]
) -> None:
    look, *size = view
    world = scene.fill(server.world, contract)
    app = dashboard_of(server, look)
    async with app.run_test(size=(size[0], size[1])) as pilot:
        camera = Camera(app, pilot, world, snapshot if view == IMAGE else None)
        try:
            await camera.until(lambda: app.screen.jobs.table.selected_id and app.screen.job.detail)
            await WALKS[walk](camera)
        except TimeoutError:
            camera.wrong.append(
                f"after {camera.taken[-1:]}: the next screen did not come; drawn is\n" + "\n".join(camera.lines())
            )
        assert camera.wrong == []


@pytest.mark.slow
@pytest.mark.parametrize("view", VIEWS, ids=named)
async def test_without_data_every_page_shows_the_next_step(
    still: None, server: Any, world: Any, snapshot: Any, view: tuple[Look, int, int]
) -> None:
    look, *size = view
    app = dashboard_of(server, look)
    async with app.run_test(size=(size[0], size[1])) as pilot:
        camera = Camera(app, pilot, world, snapshot if view == IMAGE else None)
        await camera.until(lambda: app.connected)
        for key, name in (("J", "jobs"), ("D", "datasets"), ("M", "models")):
            await camera.press(key)
            await camera.until(lambda name=name: name == app.screen.NAME)
            await camera.take(f"empty-{name}")
        await server.stop()
        await camera.press("J")
        await camera.until(lambda: app.trouble)
        await camera.take("disconnected")
        assert camera.wrong == []
