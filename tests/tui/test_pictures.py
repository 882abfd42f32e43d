"""Images of every page, tab and dialogue, in two sizes and both looks, held against those in `__snapshots__`.

Ids, times and figures are fixed. An image that is meant to change: `pytest tests/tui/test_pictures.py
--snapshot-update`, and look at it before it is committed.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

import msgspec
import pytest
from pytest_textual_snapshot import SVGImageExtension
from textual.widgets import Input, TabbedContent

from taod.client import AsyncClient
from taod.types.dataset import Dataset, DatasetFormat, DatasetSummary, DatasetType, SplitSummary
from taod.types.event import EventType, ResourceChange
from taod.types.job import Categorical, CategoryValue, Graphical, HistoryEntry, Job, Result
from taod.types.model import Model
from taod.types.queue import QueueState
from taod.types.state import State, Status
from taod.types.sweep import Dimension, Importance, SweepView, TrialView
from tui import feed
from tui.app import Dashboard
from tui.job.spec import SpecPane
from tui.jobs.filters import Chip, FilterBar
from tui.queue.banner import QueueBanner

NOW = datetime(2026, 1, 5, 10, 0, tzinfo=UTC)
SCHEMA = {
    "type": "object",
    "default": {"train": {"num_epochs": 10, "optim": {"type": "AdamW", "lr": 0.001}}, "gpus": 1},
    "popular": {"train": {"num_epochs": 10}},
    "properties": {
        "train": {
            "type": "object",
            "properties": {
                "num_epochs": {
                    "type": "integer", "minimum": 1, "title": "epochs", "default": 10,
                    "description": "How often the training images are gone through.",
                },
                "optim": {
                    "type": "object",
                    "properties": {
                        "type": {"type": "string", "enum": ["AdamW", "SGD"], "default": "AdamW", "title": "optimiser"},
                        "lr": {"type": "number", "exclusiveMinimum": 0, "default": 0.001, "title": "learning rate"},
                    },
                },
            },
        },
        "gpus": {"type": "integer", "minimum": 1, "default": 1, "title": "GPUs"},
    },
}  # fmt: skip

PATIENCE_S = 20.0
Look = Literal["dark", "light"]
LOOKS: tuple[Look, ...] = ("dark", "light")
SIZES = ((80, 24), (140, 44))


@pytest.fixture
def still(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Time stands, in UTC."""
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    monkeypatch.setattr("tui.format.now", lambda: NOW)
    monkeypatch.setattr("tui.devices.row.monotonic", lambda: 1000.0)
    yield
    monkeypatch.undo()
    time.tzset()


def uuid(number: int) -> str:
    return f"{number:08x}-1111-4222-8333-{number:012x}"


@pytest.fixture
def scene(world: Any, contract: Any) -> Any:
    """A morning in a workshop: something runs, waits, is done, failed, and is held."""
    world.stamp = lambda seconds_ago=0.0: (NOW - timedelta(seconds=seconds_ago)).isoformat(timespec="microseconds")
    digits, birds = uuid(0xD1), uuid(0xD2)
    running = world.add_job(
        id=uuid(0xA1B2C3D4), owner_id=digits, result=Result(epoch=3, max_epoch=8, eta="0:00:41.2"),
        reason="running on GPU0", metric="accuracy_top-1", metric_value=0.9134, devices=["GPU-0"], runner="embedded",
        seconds_ago=300, started_at=world.stamp(280), queued_at=world.stamp(299), attempt=1,
    )  # fmt: skip
    world.add_job(
        id=uuid(0xA2), action="evaluate", parent_id=running.id, owner_id=digits, state=State.WAITING,
        reason="waits for its parent train a1b2c3d4", seconds_ago=299,
    )  # fmt: skip
    world.add_job(
        id=uuid(0xA3), owner_name="birds of the north", owner_id=birds, network="dino", state=State.QUEUED,
        reason="waits for a free device (1 before it)", seconds_ago=200, metric="mAP",
    )  # fmt: skip
    world.add_job(
        id=uuid(0xA4), owner_name="birds of the north", owner_id=birds, network="dino", state=State.HELD,
        reason="held by user", seconds_ago=190,
    )  # fmt: skip
    world.add_job(
        id=uuid(0xA5), owner_name="pedestrians", owner_id=uuid(0xD3), network="dino", state=State.FAILED,
        reason="exit code 137: killed, out of memory? It used 79.1 of 80.0 GiB", seconds_ago=4000,
    )  # fmt: skip
    world.add_job(
        id=uuid(0xA6), owner_id=digits, state=State.DONE, result=Result(epoch=8, max_epoch=8), metric="accuracy_top-1",
        metric_value=0.8811, seconds_ago=90_000, started_at=world.stamp(89_990), ended_at=world.stamp(89_200),
    )  # fmt: skip
    world.add_job(
        id=uuid(0xA7), owner_id=digits, action="export", state=State.CANCELLED, reason="Cancelled by user",
        seconds_ago=900_000,
    )  # fmt: skip
    world.results[running.id] = Result(
        epoch=3, max_epoch=8, eta="0:00:41.2", time_per_epoch="0:00:08.2",
        kpi=[contract.kpi("accuracy_top-1", 0.61, 0.84, 0.9134), contract.kpi("train_loss", 1.9, 0.71, 0.34)],
        graphical=[Graphical("lr", contract.curve(1e-3, 9e-4, 7e-4))],
        categorical=[
            Categorical("accuracy", [CategoryValue("seven", 0.71), CategoryValue("two", 0.93)]),
        ],
    )  # fmt: skip
    world.histories[running.id] = [
        HistoryEntry(world.stamp(300), State.QUEUED, "posted"),
        HistoryEntry(world.stamp(281), State.STARTING, "on GPU0"),
        HistoryEntry(world.stamp(280), State.RUNNING, "running on GPU0"),
    ]
    world.specs[running.id] = {"train": {"num_epochs": 8, "optim": {"type": "AdamW", "lr": 0.001}}, "gpus": None}
    world.logs[running.id] = bytearray(
        b"2026-01-05 09:55:20 INFO starting train of classification_pyt\n"
        b"2026-01-05 09:55:21 WARNING 3 images cannot be read, they are left out\n"
        + b"".join(b"2026-01-05 09:56:%02d INFO epoch %d/8 loss %.2f\n" % (n, n, 2 / n) for n in range(1, 4))
        + b"2026-01-05 09:57:00 ERROR could not write the image of the network: no graphviz\n"
    )
    world.devices = [
        contract.gpu(0, leases=[contract.lease(running)]),
        contract.gpu(1, utilisation_percent=0.0, memory_used_bytes=2**30, temperature_c=34.0, power_w=71.0),
    ]
    world.schema = SCHEMA
    stamps = {"created_on": world.stamp(7200), "last_modified": world.stamp(7200)}
    for number, name in ((0xE1, "digits"), (0xE2, "digits, tilted")):
        world.datasets[uuid(number)] = Dataset(
            uuid(number), [], "", name, DatasetType.IMAGE_CLASSIFICATION, DatasetFormat.CLASSIFICATION_PYT, [],
            "1.0.0", description="handwritten", **stamps,
        )  # fmt: skip
        world.summaries[uuid(number)] = DatasetSummary(
            "linked", 1071, 3_400_000, 1072,
            splits=[SplitSummary("train", 1071, {"one": 107, "two": 110, "seven": 50})], path="/data/digits",
        )  # fmt: skip
    result = Result(epoch=3, max_epoch=8)
    job = Job(running.id, "train", None, Status.RUNNING, running.created_on, running.created_on, result)
    world.models[digits] = Model(
        digits, [], [job], "", "digits", "kpi", False, ["train", "evaluate", "export"], "1.0.0", 27, "", 3, False,
        stamps["created_on"], "My TAO Model", DatasetType.IMAGE_CLASSIFICATION, uuid(0xE2), "classification_pyt",
        stamps["created_on"], False, [uuid(0xE1)], None, 1, None, None, None, "[]", 20, "[]", False,
    )  # fmt: skip
    world.running = running
    return world


def sweep(world: Any) -> Any:
    """Then a sweep is begun: of four trials one is the best, one failed, one is open."""
    job = world.add_job(
        id=uuid(0xB0), trials=4, owner_name="cats", owner_id=uuid(0xD4), reason="runs its trials", seconds_ago=60,
        started_at=world.stamp(55), metric="val_acc", metric_value=0.93,
    )  # fmt: skip
    found = []
    for number, (state, outcome, value, params) in enumerate(
        (
            (State.DONE, "done", 0.81, {"train.optim.lr": 0.01, "train.optim.type": "SGD"}),
            (State.DONE, "done", 0.93, {"train.optim.lr": 0.001, "train.optim.type": "AdamW"}),
            (State.FAILED, "failed", None, {"train.optim.lr": 0.9, "train.optim.type": "SGD"}),
            (State.RUNNING, "open", None, {"train.optim.lr": 0.0007, "train.optim.type": "AdamW"}),
        )
    ):
        trial = world.add_job(
            id=uuid(0xB1 + number), state=state, sweep_id=job.id, trial=number, owner_name="cats", owner_id=uuid(0xD4),
            reason="exit code 1: the loss is NaN" if outcome == "failed" else "", seconds_ago=50 - number,
            metric="val_acc", metric_value=value, devices=["GPU-1"] if outcome == "open" else [],
        )  # fmt: skip
        found.append(
            TrialView(
                number=number, job_id=trial.id, params=params, value=value, epochs=4, state=state, outcome=outcome
            )
        )
    world.sweeps[job.id] = SweepView(
        job_id=job.id, state=State.RUNNING, reason="", algorithm="Bayesian", sampler="gp", metric="val_acc",
        direction="maximise", best=1, best_value=0.93, best_params=found[1].params, trials=found, planned=8,
        space=[
            Dimension(path="train.optim.lr", kind="float", low=1e-5, high=1.0, log=True),
            Dimension(path="train.optim.type", kind="choice", choices=["AdamW", "SGD"]),
        ],
        notes=["gpus: is no hyperparameter"],
        importances=[Importance("train.optim.lr", 0.82), Importance("train.optim.type", 0.18)], epochs_trained=14,
    )  # fmt: skip
    for each in (job, *(world.jobs[trial.job_id] for trial in found)):
        world.tell(EventType.JOB, each)
    return job


class Camera:
    """Walks through the dashboard and takes images, once everything that was asked for is there."""

    def __init__(self, app: Dashboard, pilot: Any, world: Any, snapshot: Any, name: str) -> None:
        self.app, self.pilot, self.world, self._snapshot, self._name = app, pilot, world, snapshot, name

    async def until(self, condition: Callable[[], Any]) -> None:
        async with asyncio.timeout(PATIENCE_S):
            while not condition():
                await self.pilot.pause(0.01)

    async def press(self, *keys: str) -> None:
        await self.pilot.press(*keys)

    async def settle(self) -> None:
        """No worker goes on but those that follow a stream or wait for an answer to a dialogue."""
        lasting = {"feed", "log", "ask", "edit"}
        await self.until(lambda: not [w for w in self.app.workers if w.is_running and w.group not in lasting])
        await self.until(self._counted)
        await self.pilot.wait_for_scheduled_animations()
        await self.pilot.pause()

    def _counted(self) -> bool:
        """Whether the filters count every job: counts arrive after the jobs. While trials are listed they count too."""
        bars = [bar for bar in self.app.screen.query(FilterBar) if not bar.trials]
        jobs = sum(view.sweep_id is None for view in self.world.jobs.values())
        return all(chip.jobs == jobs for bar in bars for chip in bar.query(Chip) if chip.status is None)

    async def take(self, name: str) -> None:
        await self.settle()
        for field in self.app.screen.query(Input):
            field.cursor_blink = False
            field._cursor_visible = True
        self.app.clear_notifications()
        await self.pilot.pause()
        svg = re.sub(r"127\.0\.0\.1:\d{5}", "127.0.0.1:40000", self.app.export_screenshot(title=name))
        assert svg == self._snapshot(name=f"{name}-{self._name}", extension_class=SVGImageExtension)


async def walk(camera: Camera) -> None:
    """Everything there is."""
    app, press, take = camera.app, camera.press, camera.take

    def screen(name: str) -> Callable[[], bool]:
        return lambda: type(app.screen).__name__ == name

    await camera.until(lambda: app.screen.jobs.table.selected_id is not None and app.screen.job.detail is not None)
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
            await camera.until(lambda: app.screen.query_one(SpecPane).way == "default")
            await take("spec-default")
    await press("l", "enter")
    await take("log-zoomed")
    await press("slash", *"epoch", "enter")
    await camera.until(lambda: app.screen.job.log_view.has_focus)
    await take("log-searched")
    await press("escape", "c")
    await camera.until(screen("Confirm"))
    await take("cancel")
    await press("n", "question_mark")
    await camera.until(screen("Help"))
    await take("help")
    await press("escape", "D")
    await camera.until(lambda: app.screen.NAME == "datasets" and app.screen.selected is not None)
    await take("datasets")
    await press("n")
    await camera.until(screen("NewDataset"))
    await take("new-dataset")
    await press("escape", "M")
    await camera.until(lambda: app.screen.NAME == "models" and app.screen.selected is not None)
    await take("models")
    await press("n")
    await camera.until(screen("ModelForm"))
    await take("new-model")
    await press("escape", "t")
    await camera.until(screen("RunDialogue"))
    await camera.until(lambda: app.screen.query_one("#actions").option_count)
    await press("space")
    await camera.until(lambda: not app.screen.query_one("#yes").disabled)
    await take("run")
    await press("escape", "e")
    await camera.until(screen("ChooseAction"))
    await take("choose-action")
    await press("enter")
    await camera.until(screen("SpecEditor"))
    await take("spec-editor")
    await press("y")
    await camera.until(screen("AsYaml"))
    await take("spec-yaml")
    await press("escape", "enter")
    await camera.until(screen("EditValue"))
    await take("edit-value")
    await press("escape", "escape")
    await camera.until(screen("ModelsPage"))
    await to_be_swept(camera)
    await press("D", "u")
    await camera.until(screen("BringFiles"))
    await take("bring-files")
    await press("escape", "J", "Q")
    await camera.until(screen("PauseQueue"))
    await take("pause-queue")
    await press("escape")
    await camera.until(screen("MainScreen"))
    app.post_message(feed.QueueChanged(paused_queue(camera.world)))
    await camera.until(lambda: app.screen.query_one(QueueBanner).display)
    await take("queue-paused")
    app.post_message(feed.QueueChanged(camera.world.queue))
    await camera.until(lambda: not app.screen.query_one(QueueBanner).display)
    await press("ctrl+p")
    await camera.until(screen("CommandPalette"))
    await press(*"group")
    await camera.until(lambda: app.screen.query_one("CommandList").option_count)
    await take("palette")
    await press("escape")
    await camera.until(screen("MainScreen"))
    await press("slash", *"evaluate", "enter")
    await camera.until(lambda: app.screen.jobs.table.row_count == 1)
    await take("jobs-filtered")
    await press("escape")
    job = sweep(camera.world)
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
    await camera.until(screen("Confirm"))
    await take("stop-early")
    await press("n", "escape", "T")
    await camera.until(lambda: len([row for row in app.screen.jobs.table.rows if row.startswith("000000b")]) == 5)
    await take("trials-listed")


async def to_be_swept(camera: Camera) -> None:
    """The model with its sweep on: the form that says so, and the range of a parameter."""
    app, press = camera.app, camera.press
    (digits,) = camera.world.models
    before = camera.world.models[digits]
    camera.world.models[digits] = msgspec.structs.replace(before, automl_enabled=True, automl_algorithm="Bayesian")
    app.post_message(feed.ModelChanged(ResourceChange(digits, "updated")))
    await camera.until(lambda: app.screen.selected.automl_enabled)
    await press("c")
    await camera.until(lambda: type(app.screen).__name__ == "ModelForm")
    await camera.take("change-model")
    await press("escape", "e")
    await camera.until(lambda: type(app.screen).__name__ == "ChooseAction")
    await press("enter")
    await camera.until(lambda: type(app.screen).__name__ == "SpecEditor")
    await press("enter")
    await camera.until(lambda: type(app.screen).__name__ == "EditValue")
    await camera.take("edit-range")
    await press("escape", "escape")
    await camera.until(lambda: type(app.screen).__name__ == "ModelsPage")
    camera.world.models[digits] = before


def paused_queue(world: Any) -> QueueState:
    return msgspec.structs.replace(
        world.queue, paused=True, by="ann", since=world.stamp(600), reason="a new driver is put in"
    )


@pytest.mark.slow
@pytest.mark.parametrize("size", SIZES, ids=["80x24", "140x44"])
@pytest.mark.parametrize("look", LOOKS)
async def test_every_page_looks_as_it_did(
    still: None, server: Any, scene: Any, snapshot: Any, look: Look, size: tuple[int, int]
) -> None:
    app = Dashboard(AsyncClient(server.url, scene.user, scene.token), look=look, ascii_only=False)
    app.animation_level = "none"
    async with app.run_test(size=size) as pilot:
        await walk(Camera(app, pilot, scene, snapshot, f"{look}-{size[0]}x{size[1]}"))


@pytest.mark.slow
@pytest.mark.parametrize("size", SIZES, ids=["80x24", "140x44"])
@pytest.mark.parametrize("look", LOOKS)
async def test_an_empty_daemon_says_what_to_do(
    still: None, server: Any, world: Any, snapshot: Any, look: Look, size: tuple[int, int]
) -> None:
    app = Dashboard(AsyncClient(server.url, world.user, world.token), look=look, ascii_only=False)
    app.animation_level = "none"
    async with app.run_test(size=size) as pilot:
        camera = Camera(app, pilot, world, snapshot, f"{look}-{size[0]}x{size[1]}")
        await camera.until(lambda: app.connected)
        for key, name in (("J", "jobs"), ("D", "datasets"), ("M", "models")):
            await camera.press(key)
            await camera.until(lambda name=name: name == app.screen.NAME)
            await camera.take(f"empty-{name}")
        await server.stop()
        await camera.press("J")
        await camera.until(lambda: app.trouble)
        await camera.take("away")
