"""Data that arrives before a widget is mounted or after it is gone: kept for the mount, dropped after the removal."""

from __future__ import annotations

import asyncio
import importlib
import inspect
import os
import pkgutil
import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from rich.text import Text
from textual.app import App, ComposeResult
from textual.dom import DOMNode
from textual.screen import Screen
from textual.widget import Widget
from textual.widgets import Static

import tui
from taod.client import AsyncClient
from taod.client.transport import Page
from taod.ids import new_id
from taod.types.dataset import CheckState, Dataset, DatasetReport, DatasetSummary, DatasetType, UploadProgress
from taod.types.event import EventType, ResourceChange, StatusUpdate
from taod.types.job import JobDetail, JobUsage, JobView, Result
from taod.types.model import Model
from taod.types.state import State
from tests.tui import scene
from tests.tui.test_frame import drawn
from tui.app import Dashboard
from tui.datasets.details import DatasetDetails
from tui.datasets.samples import Samples
from tui.datasets.uploads import Uploads
from tui.devices.panel import DevicesPanel
from tui.forms.form import Row
from tui.header import HeaderBar
from tui.job.details import DetailsPane
from tui.job.files import FilesPane
from tui.job.kpis import KpiPane
from tui.job.log import LogView
from tui.job.panel import JobPanel
from tui.job.search import SearchLine
from tui.job.spec import SpecPane
from tui.jobs.filters import FilterBar
from tui.jobs.job_store import Filter
from tui.jobs.order import Order
from tui.jobs.panel import JobsPanel
from tui.jobs.table import JobsTable
from tui.lazy_plot import LazyPlot
from tui.lists.panel import ListPanel
from tui.lists.table import RowTable
from tui.live import DELIVERIES, LiveNode, delivery
from tui.models.details import ModelDetails
from tui.models.forms import ModelForm
from tui.run.dialogue import RunDialogue
from tui.screens.datasets import DatasetsPage
from tui.screens.main import MainScreen
from tui.screens.models import ModelsPage
from tui.screens.tools import ToolsPage
from tui.sweep.pane import TrialsPane, TrialTable
from tui.tools.details import ToolDetails, lines

pytestmark = pytest.mark.slow(seconds=1)

SIZE = (150, 50)
STEPS = 9
"""Steps of the event loop by which an answer and a removal are shifted against each other."""
WALKS = int(os.environ.get("TAOD_WALKS", "1"))
ACTIONS = int(os.environ.get("TAOD_WALK_ACTIONS", "30"))
COLUMNS = (("id", "Id", 8), ("name", "Name", 0))
NOW = "2026-01-01T00:00:00+00:00"
ROWS = {"a1": (Text("a1"), Text("the newest row"))}


def dataset(name: str) -> Dataset:
    return msgspec.convert(
        {"id": new_id(), "name": name, "type": "image_classification", "format": "classification_pyt", "jobs": [],
         "logo": "", "version": "", "description": "", "actions": ["convert"],
         "created_on": NOW, "last_modified": NOW},
        Dataset,
    )  # fmt: skip


def deliveries(world: Any, contract: Any, client: AsyncClient, folder: Path) -> Iterator[tuple[Widget, list[Any], str]]:
    """Each widget with calls of all of its deliveries, and a text that must be drawn (or "") once it is mounted."""
    view: JobView = world.train
    detail = JobDetail(msgspec.structs.replace(view, result=world.results[view.id]), [], {"train": {"lr": 0.1}})
    usage = JobUsage(view.id, cpu_percent=12.0, rss_bytes=1)
    model = world.models[next(iter(world.models))]
    one, progress = dataset("pets"), UploadProgress("d", "receiving", 512, 1024)
    archive = folder / "a.tar"
    archive.write_bytes(b"x" * 100)
    line: StatusUpdate = contract.epoch_line(view.id, 4, loss=0.2)

    bar = HeaderBar("http://x", "jobs")
    yield bar, [lambda: bar.connection(True, "http://y"), lambda: bar.show_counts({State.DONE: 7})], "7 done"
    panel = ListPanel("Things", COLUMNS, "things")
    yield panel, [lambda: panel.show({}, "old"), lambda: panel.show(ROWS, "-"), panel.reset], "the newest row"
    table = RowTable(COLUMNS, "table")
    yield table, [lambda: table.show(ROWS), lambda: table.select("a1")], "the newest row"
    trials = TrialTable()
    yield trials, [lambda: trials.lay_out(COLUMNS), lambda: trials.show(ROWS)], "the newest row"
    details = DatasetDetails(client)
    found = DatasetReport(CheckState.DONE, "nothing is wrong", items=3, deep=True)
    summary = DatasetSummary("ready", 1, 2)
    yield details, [
        lambda: details.show(one, summary, {}), lambda: details.uploading(progress), lambda: details.report(found),
    ], "nothing is wrong"  # fmt: skip
    samples = Samples(client)
    yield samples, [lambda: samples.show(one.id, "f"), samples.more, lambda: samples.show(None, None)], ""
    uploads = Uploads(client)
    yield uploads, [
        lambda: uploads.show_progress(progress, "pets"), lambda: uploads.send(one.id, "cars", archive),
    ], "pets"  # fmt: skip
    facts = ModelDetails()
    yield facts, [lambda: facts.show(None, {}), lambda: facts.show(model, {})], model.id
    (tool,) = lines([scene.tools(NOW)[0]])
    offered = ToolDetails()
    yield offered, [lambda: offered.show(None, {}), lambda: offered.show(tool, {})], "mmdet3d"
    pane = TrialsPane(client)
    yield pane, [pane.clear, lambda: pane.show(detail), pane.opened, lambda: pane.changed(view)], ""
    devices = DevicesPanel()
    yield devices, [lambda: devices.show([]), lambda: devices.show(world.devices)], "CPU0"
    job = JobPanel(client)
    yield job, [
        lambda: job.show(None), lambda: job.show(view), lambda: job.changed(view), lambda: job.feed(line),
        lambda: job.used(usage), lambda: job.name_devices({}), lambda: job.open("details"), job.focus_tab,
        lambda: job.compare_with([]),
    ], view.id[:8]  # fmt: skip
    kpis = KpiPane(client)
    yield kpis, [
        kpis.clear, lambda: kpis.show(detail), lambda: kpis.feed(line), kpis.next_metric, lambda: kpis.compare_with([]),
    ], "epoch"  # fmt: skip
    spec = SpecPane(client)
    yield spec, [spec.clear, lambda: spec.show(detail, [])], "lr"
    files = FilesPane(client)
    yield files, [lambda: files.show(view), files.opened], "a b.txt"
    about = DetailsPane()
    yield about, [about.clear, lambda: about.used(usage), lambda: about.show(detail, {})], view.id
    log = LogView(client)
    yield log, [lambda: log.show(view), lambda: log.more(view), lambda: log.search("")], "slow disk"
    search = SearchLine()
    yield search, [lambda: search.show_result("searching, 40%"), search.ask], "searching, 40%"
    jobs = JobsPanel(client)
    other = msgspec.structs.replace(view, id=new_id())
    yield jobs, [
        lambda: jobs.changed(view), lambda: jobs.changed(other), lambda: jobs.deleted(other.id),
        lambda: jobs.connection_lost("x"),
        lambda: jobs.take(Filter(), Page([], 0)), lambda: jobs.go_to(view.id),
        lambda: jobs.show_counts({State.RUNNING: 3}), jobs.mark_all, jobs.unmark,
        jobs.mark,
    ], view.id[:8]  # fmt: skip
    rows = JobsTable()
    yield rows, [
        lambda: rows.put([view, other]), lambda: rows.drop([other.id]), lambda: rows.select(view.id),
        lambda: rows.mark(set()), lambda: rows.name_devices({"a": "b"}), lambda: rows.arrange_by(Order().by("age")),
        rows.update_ages,
    ], view.id[:8]  # fmt: skip
    filters = FilterBar()
    yield filters, [
        lambda: filters.show_counts({State.RUNNING: 31}), lambda: filters.choose(None), filters.toggle_trials,
        filters.start_typing, filters.reset,
    ], "31"  # fmt: skip
    row = Row("Name", Static("x"))
    yield row, [lambda: row.note("choose one", wrong=True)], "choose one"
    plot = LazyPlot("tui.job.plot.MetricPlot", "plot")
    yield plot, [lambda: plot.draw([])], ""


SCREENS = {"Form.show_error", "ListPage.read", "ReleaseForm._show", "MainScreen.go_to", "Page.action_filter"}
"""Deliveries of screens, whose tests are below."""


class Host(App[None]):
    """An application with nothing in it."""

    CSS_PATH = Path(inspect.getfile(tui)).with_name("taod.tcss")

    def compose(self) -> ComposeResult:
        yield Static()

    def get_theme_variable_defaults(self) -> dict[str, str]:
        return Dashboard(AsyncClient("http://127.0.0.1:1", "u", "t")).get_css_variables()


def everything() -> Iterator[type]:
    """Every class of the dashboard that is a widget or a screen."""
    for module in pkgutil.walk_packages(tui.__path__, "tui."):
        if module.name == "tui.main":
            continue
        for kind in vars(importlib.import_module(module.name)).values():
            if inspect.isclass(kind) and kind.__module__ == module.name and issubclass(kind, DOMNode):
                yield kind


def test_every_widget_that_queries_children_or_runs_workers_is_gated() -> None:
    kinds = set(everything())
    loose = {
        kind.__qualname__
        for kind in kinds
        if not issubclass(kind, (LiveNode, App))
        and any(word in inspect.getsource(kind) for word in ("self.query", "@work", "run_worker", "set_timer"))
    }
    only_at_mount = {"Confirm", "Help", "AsYaml", "ChooseAction"}
    assert loose <= only_at_mount, loose
    assert len(kinds) > 40


@pytest.mark.slow
async def test_every_delivery_waits_for_the_mount_and_does_nothing_after_the_removal(
    busy: Any, contract: Any, client: AsyncClient, until: Any, tmp_path: Path
) -> None:
    busy.models["m"] = contract_model()
    called: set[str] = set()
    app = Dashboard(client)
    async with app.run_test(size=SIZE) as pilot:
        await until(pilot, lambda: app.connected)

        await app.push_screen(Screen())

        def names(widget: Widget) -> set[str]:
            return {f"{kind.__qualname__}.{name}" for kind in type(widget).__mro__ for name in vars(kind)} & DELIVERIES

        async def deliver(calls: list[Any]) -> None:
            for call in calls:
                if inspect.isawaitable(result := call()):
                    await result

        for widget, calls, shown in deliveries(busy, contract, client, tmp_path):
            assert len(calls) >= len(names(widget) - called - {"RowTable.show", "RowTable.select"})
            called |= names(widget)
            await deliver(calls)  # before the mount
            widget.styles.height = 30
            await app.screen.mount(widget)
            if shown:
                await until(pilot, lambda shown=shown: shown in drawn(app)[0])
            removal = widget.remove()
            await deliver(calls)  # while it is removed
            await removal
            await deliver(calls)  # after it is gone
        await pilot.pause()
    assert called | SCREENS == {each for each in DELIVERIES if not each.startswith("Waiting.")}


def contract_model() -> Model:
    return Model(
        new_id(), [], [], "", "cats", "kpi", False, ["train", "evaluate"], "", 27, "", 3, False, NOW, "",
        DatasetType.IMAGE_CLASSIFICATION, None, "classification_pyt", NOW, False, [], None, 1, None, None, None, "[]",
        20, "[]", False,
    )  # fmt: skip


PAGES: list[tuple[Callable[[Any, AsyncClient], Any], str]] = [
    (lambda world, client: DatasetsPage(), "/dataset"),
    (lambda world, client: DatasetsPage(), "/summary"),
    (lambda world, client: ModelsPage(), "/model"),
    (lambda world, client: ToolsPage(), "/tools"),
    (lambda world, client: MainScreen(), "/job"),
    (lambda world, client: MainScreen(), "/log"),
    (lambda world, client: RunDialogue(client, "model", "m", "cats", "classification_pyt", []), "/classification_pyt"),
    (lambda world, client: ModelForm(client, [], [], world.models["m"]), "/ptm"),
]


@pytest.mark.parametrize(("make", "path"), PAGES, ids=lambda each: each if isinstance(each, str) else "")
@pytest.mark.slow
async def test_a_screen_that_closes_while_its_answer_arrives_crashes_nothing(
    dashboard: Dashboard, busy: Any, client: AsyncClient, until: Any, make: Any, path: str
) -> None:
    busy.models["m"] = contract_model()
    one = dataset("pets")
    busy.datasets[one.id] = one
    async with dashboard.run_test(size=SIZE) as pilot:
        await until(pilot, lambda: dashboard.connected)
        for step in range(STEPS):
            busy.held[path] = asyncio.Event()
            asked = len(busy.asked)
            await dashboard.push_screen(make(busy, client))
            screen = dashboard.screen
            removal = dashboard.pop_screen() if step % 3 == 0 else None
            busy.held.pop(path).set()
            for _ in range(step):
                await asyncio.sleep(0)
            await (removal or dashboard.pop_screen())
            assert not screen.is_attached
        await pilot.pause()
        assert len(busy.asked) >= asked
        assert dashboard.is_running


@pytest.mark.parametrize("kind", [DatasetsPage, ModelsPage, ToolsPage])
async def test_rows_that_are_drawn_while_the_page_closes_are_dropped(
    dashboard: Dashboard, busy: Any, until: Any, kind: Any
) -> None:
    """The known case: `NoMatches: No nodes match 'RowTable' on ListPanel`."""
    one = dataset("pets")
    busy.datasets[one.id] = one
    async with dashboard.run_test(size=SIZE) as pilot:
        await until(pilot, lambda: dashboard.connected)
        await dashboard.push_screen(kind())
        page = dashboard.screen
        listing = page.query_one(ListPanel)
        reading = page.run_worker(drawing(page, listing), exit_on_error=True)
        await until(pilot, lambda: reading.is_running)
        await dashboard.pop_screen()
        await pilot.pause()
        assert dashboard.is_running


async def drawing(page: Any, listing: ListPanel) -> None:
    """As a reading whose answer arrives in each turn of the event loop until the list's parts are gone."""
    while listing.children or listing.is_attached:
        await asyncio.sleep(0)
        page.draw()


async def test_a_page_takes_keys_and_jobs_before_it_is_mounted(dashboard: Dashboard, busy: Any, until: Any) -> None:
    async with dashboard.run_test(size=SIZE) as pilot:
        await until(pilot, lambda: dashboard.connected)
        dashboard.switch_mode("datasets")
        page = dashboard.screen
        assert not page.is_ready
        assert page.check_action("run", ()) is None
        assert page.check_action("filter", ()) is True
        page.action_filter()
        page.read("a")
        await until(pilot, lambda: page.is_ready and page.focused is page.listing.input)


async def test_a_created_dataset_is_selected_during_a_stream_of_changes(
    dashboard: Dashboard, busy: Any, until: Any
) -> None:
    many = [dataset(f"set {number}") for number in range(5)]
    busy.datasets = {each.id: each for each in many}
    async with dashboard.run_test(size=SIZE) as pilot:
        await until(pilot, lambda: dashboard.connected)
        await pilot.press("D")
        page = dashboard.screen
        await until(pilot, lambda: page.listing.table.row_count == 5)
        busy.held["/dataset"] = asyncio.Event()
        page.read(many[3].id)
        for each in many:
            busy.publish(EventType.DATASET, ResourceChange(each.id, "changed"))
        await until(pilot, lambda: page._list_reads.is_requested)
        busy.held.pop("/dataset").set()
        await until(pilot, lambda: page.listing.selected_id == many[3].id)


class Waiting(LiveNode, Static):
    """Notes what is delivered, and what its worker sees of its end."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[Any] = []
        self.go = asyncio.Event()

    @delivery
    def take(self, value: Any) -> None:
        self.seen.append(value)

    async def wait(self) -> None:
        try:
            self.seen.append("started")
            await self.go.wait()
            self.seen.append("continued")
        except asyncio.CancelledError:
            self.seen.append("cancelled")
            raise


async def test_a_worker_starts_at_the_mount_and_never_continues_after_the_removal(until: Any) -> None:
    app = Host()
    async with app.run_test() as pilot:
        for step in range(STEPS):
            widget = Waiting()
            widget.take(1)
            widget.take(2)
            assert widget.seen == []
            await app.mount(widget)
            assert widget.seen == [1, 2]
            worker = widget.run_worker(widget.wait)
            await until(pilot, lambda widget=widget: widget.seen == [1, 2, "started"])
            removal = widget.remove()
            for _ in range(step % 10):
                await asyncio.sleep(0)
            widget.go.set()
            await removal
            assert widget.seen == [1, 2, "started", "cancelled"]
            assert worker.is_cancelled
            widget.take(3)
            assert 3 not in widget.seen


KEYS = (
    *("J", "D", "M", "J", "D", "M", "down", "up", "home", "end", "enter", "escape", "tab", "slash", "n", "t", "e", "v"),
    *(
        "k",
        "l",
        "f",
        "d",
        "s",
        "w",
        "o",
        "O",
        "g",
        "m",
        "T",
        "1",
        "2",
        "3",
        "space",
        "question_mark",
        "ctrl+p",
        "p",
        "h",
    ),
)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(WALKS))
async def test_random_keys_between_events_neither_crash_it_nor_lose_the_last_data(
    dashboard: Dashboard, busy: Any, until: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    monkeypatch.chdir(tmp_path)  # some keys save files
    chance = random.Random(seed)
    busy.models["m"] = contract_model()
    async with dashboard.run_test(size=SIZE) as pilot:
        await until(pilot, lambda: dashboard.connected)

        def happen() -> None:
            """One event of the daemon."""
            which = chance.randrange(6)
            if which == 0:
                one = dataset(f"set {len(busy.datasets)}")
                busy.datasets[one.id] = one
                busy.publish(EventType.DATASET, ResourceChange(one.id, "created"))
            elif which == 1 and busy.datasets:
                gone = chance.choice(list(busy.datasets))
                del busy.datasets[gone]
                busy.publish(EventType.DATASET, ResourceChange(gone, "deleted"))
            elif which == 2:
                model = contract_model()
                busy.models[model.id] = model
                busy.publish(EventType.MODEL, ResourceChange(model.id, "created"))
            elif which == 3:
                view = busy.add_job(seconds_ago=0.0)
                busy.publish(EventType.JOB, view)
            elif which == 4:
                job_id = chance.choice(list(busy.jobs))
                busy.change(job_id, result=Result(epoch=chance.randrange(9), max_epoch=9))
            else:
                busy.publish(EventType.DEVICES, busy.devices * chance.randrange(3))

        for _ in range(ACTIONS):
            for _ in range(chance.randrange(4)):
                happen()
            await pilot.press(*(chance.choice(KEYS) for _ in range(chance.randrange(1, 4))))
        while dashboard.screen.is_modal:
            dashboard.pop_screen()
            await pilot.pause()
        view = busy.add_job(seconds_ago=0.0)
        busy.publish(EventType.JOB, view)
        await pilot.press("D")
        await until(pilot, lambda: dashboard.screen.NAME == "datasets")
        page = dashboard.screen
        page.listing.reset()
        await until(pilot, lambda: set(page.listing._rows) == set(busy.datasets))
        await pilot.press("escape", "M")
        await until(pilot, lambda: dashboard.screen.NAME == "models")
        models = dashboard.screen
        models.listing.reset()
        await until(pilot, lambda: set(models.listing._rows) == {model.id for model in busy.models.values()})
        await pilot.press("escape", "J")
        await until(pilot, lambda: dashboard.screen.NAME == "jobs")
        jobs = dashboard.screen.jobs
        if jobs.filters.trials:
            jobs.filters.toggle_trials()
        jobs.filters.reset()
        await until(pilot, lambda: set(jobs.store.views) == set(busy.jobs))
        wanted = {job_id: view.result.epoch for job_id, view in busy.jobs.items()}
        await until(pilot, lambda: {key: each.result.epoch for key, each in jobs.store.views.items()} == wanted)
