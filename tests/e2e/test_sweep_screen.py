"""A real sweep and real datasets in the dashboard, with keys on a real daemon; the swept tool does not train."""

from __future__ import annotations

import os
import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from PIL import Image
from textual.widgets import Input, Select

from taod.client import AsyncClient
from taod.types.dataset import DatasetCreate
from taod.types.job import JobRun
from taod.types.state import State
from tests.e2e.journey import Daemon, ended, until
from tests.e2e.screen import enter, shown, text_of
from tests.tui.scripted_tool import install
from tui.app import Dashboard
from tui.datasets.samples import Samples
from tui.forms.choices import Choices
from tui.forms.form import Row
from tui.image_widget import ImageWidget
from tui.models.forms import ModelForm
from tui.screens.confirm import Confirm
from tui.spec.editor import EditValue, SpecEditor

pytestmark = pytest.mark.slow

SIZE = (150, 50)
LR = "train.train_config.optimizer.lr"
WEIGHT_DECAY = "train.train_config.optimizer.weight_decay"
EPOCHS = "train.train_config.runner.max_epochs"
CAR = "car 0.00 0 0.00 2 2 12 12 0 0 0 0 0 0 0\n"


@pytest.fixture
def tools(tmp_path: Path) -> Path:
    return install(tmp_path / "tools")


@pytest.fixture
async def daemon(tmp_path: Path, tools: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Daemon]:
    """A daemon with two slots on which the scripted tool trains."""
    monkeypatch.setenv("PATH", f"{tools}:{os.environ['PATH']}")
    monkeypatch.setenv("TAOD_DEVICES_CPU_SLOTS", "2")
    monkeypatch.setenv("TAOD_DEVICES_GPUS", "false")
    monkeypatch.setenv("TAOD_STORAGE_LINK_ROOTS", f'["{tmp_path}"]')
    monkeypatch.setenv("TAOD_DATASETS_CHECK_AFTER_S", "0.1")
    started = Daemon(tmp_path / "root").start()
    yield started
    shutil.rmtree(tools / "tickets", ignore_errors=True)
    async with started.client() as client:
        for view in (await client.jobs.list(trials=False)).items:
            if not view.state.ended:
                await client.jobs.cancel(view.id)
                await until(client, view.id, ended)
    assert started.stop() == 0


async def classifier(client: AsyncClient, folder: Path) -> str:
    """A linked dataset of two classes; returns its id."""
    for name in ("cat", "dog"):
        for split in ("train", "val"):
            (folder / f"images_{split}" / name).mkdir(parents=True)
            Image.new("RGB", (16, 12), "red").save(folder / f"images_{split}" / name / "1.png")
    (folder / "classes.txt").write_text("cat\ndog\n")
    created = await client.datasets.create(DatasetCreate("image_classification", "classification_pyt", name="pets"))
    await client.datasets.link(created.id, str(folder))
    return created.id


async def test_a_sweep_is_created_narrowed_watched_and_ended_early(
    daemon: Daemon, client: AsyncClient, tools: Path, tmp_path: Path
) -> None:
    await classifier(client, tmp_path / "pets")
    app = Dashboard(daemon.client())
    async with app.run_test(size=SIZE) as pilot:
        await shown(pilot, lambda: app.connected)
        await pilot.press("M", "n")
        await shown(pilot, lambda: isinstance(app.screen, ModelForm))
        form = app.screen
        await enter(pilot, "cats")
        await shown(pilot, lambda: form.query_one("#searched", Choices).option_count == 1)
        rows = {row.widget.id: row for row in form.query(Row)}
        assert not rows["automl_R"].display
        form.query_one("#sweep", Select).value = "HyperBand"
        await shown(pilot, lambda: rows["automl_nu"].display and not rows["automl_max_recommendations"].display)
        form.query_one("#sweep", Select).value = "PBT"
        await shown(pilot, lambda: not rows["automl_nu"].display and rows["automl_max_recommendations"].display)
        form.query_one("#sweep", Select).value = "Random"
        await shown(pilot, lambda: not rows["automl_R"].display and not rows["epoch_multiplier"].display)
        form.query_one("#automl_max_recommendations", Input).value = "40"
        also = form.query_one("#also", Input)
        also.focus()
        await enter(pilot, "train.train_config.optimizer.l")
        await shown(pilot, lambda: also._suggestion == LR)
        await pilot.press("right")
        train = form.query_one("#train_datasets", Choices)
        train.focus()
        await pilot.press("space", "ctrl+s")
        await shown(pilot, lambda: "sweep Random, Trials 40" in text_of(app, "#model-facts"))
        (model,) = [each for each in (await client.models.list()).items if each.name == "cats"]
        assert (model.automl_add_hyperparameters, model.automl_remove_hyperparameters) == (f'["{LR}"]', "[]")

        await pilot.press("e")
        await shown(pilot, lambda: app.screen.is_modal)
        await pilot.press("enter")
        await shown(pilot, lambda: isinstance(app.screen, SpecEditor))
        editor = app.screen
        await shown(pilot, lambda: {LR, WEIGHT_DECAY, EPOCHS} <= {key.value for key in editor.listing.table.rows})
        marks = {name: editor.listing.table.get_cell(name, "mark").plain for name in (LR, WEIGHT_DECAY, EPOCHS)}
        assert marks == {LR: "~", WEIGHT_DECAY: "~", EPOCHS: " "}
        editor.listing.table.select(LR)
        await pilot.press("enter")
        await shown(pilot, lambda: isinstance(app.screen, EditValue))
        low, high = app.screen.query_one("#low", Input), app.screen.query_one("#high", Input)
        low.value, high.value = "0.1", "1e-5"
        await shown(pilot, lambda: "is empty" in text_of(app, "#rule"))
        await pilot.press("enter")
        assert isinstance(app.screen, EditValue), "an invalid value is rejected"
        low.value, high.value = "1e-5", "0.1"
        await pilot.press("enter")
        await shown(pilot, lambda: app.screen is editor)
        await shown(pilot, lambda: "1e-05 to 0.1" in text_of(app, "#field-words"))
        await pilot.press("ctrl+s")
        await shown(pilot, lambda: not app.screen.is_modal)
        assert (await client.specs.get("model", model.id, "train"))["automl"] == {LR: {"min": 1e-5, "max": 0.1}}

        allowed = tools / "tickets"
        allowed.mkdir()
        for number in range(5):
            (allowed / str(number)).touch()
        (job_id,) = await client.jobs.run("model", model.id, JobRun(["train"]))
        await pilot.press("J")
        await shown(pilot, lambda: app.screen.jobs.table.row_count == 1)
        await shown(pilot, lambda: app.screen.jobs.selected.trials is not None)
        await pilot.press("enter", "w")
        pane = app.screen.job.trials
        await shown(pilot, lambda: pane.sweep is not None and sum(t.outcome == "done" for t in pane.sweep.trials) == 5)
        await shown(pilot, lambda: any(trial.state is State.RUNNING for trial in pane.sweep.trials))
        assert {each.path for each in pane.sweep.space} == {LR, WEIGHT_DECAY}
        assert all(1e-5 <= trial.params[LR] <= 0.1 for trial in pane.sweep.trials)
        assert app.screen.jobs.table.row_count == 1, "trials are not in the list"

        running = next(trial for trial in pane.sweep.trials if trial.state is State.RUNNING)
        pane.table.select(str(running.number))
        await pilot.press("enter")
        panel = app.screen.job
        await shown(pilot, lambda: panel.view.id == running.job_id and "epoch 1: lr" in panel.log_view.lines[0])
        await pilot.press("k")
        await shown(pilot, lambda: "loss" in panel.kpis.curves.metrics)
        await pilot.press("escape")
        await shown(pilot, lambda: panel.view.id == job_id and pane.table.row_count > 0)

        await pilot.press("x")
        await shown(pilot, lambda: isinstance(app.screen, Confirm))
        await pilot.press("y")
        await shown(pilot, lambda: pane.sweep.state is State.DONE)
        assert "stopped early by user" in pane.sweep.reason
        assert pane.sweep.best is not None
        assert len(pane.sweep.trials) < 40
        await shown(pilot, lambda: {each.parameter for each in pane.sweep.importances} == {LR, WEIGHT_DECAY})


async def test_a_dataset_shows_its_check_and_its_images(daemon: Daemon, client: AsyncClient, tmp_path: Path) -> None:
    folder = tmp_path / "cars"
    for part in ("images", "labels"):
        (folder / part).mkdir(parents=True)
    for number in range(8):
        Image.new("RGB", (40, 30), (number * 30, 0, 0)).save(folder / "images" / f"{number}.png")
        (folder / "labels" / f"{number}.txt").write_text(CAR)
    (folder / "labels" / "1.txt").write_text(CAR + CAR.replace("12 12", "99 12"))
    app = Dashboard(daemon.client())
    async with app.run_test(size=SIZE) as pilot:
        await shown(pilot, lambda: app.connected)
        await pilot.press("D")
        created = await client.datasets.create(DatasetCreate("object_detection", "kitti", name="cars"))
        await client.datasets.link(created.id, str(folder))
        await shown(pilot, lambda: "labels/1.txt:2" in text_of(app, "#dataset-report"))
        await shown(pilot, lambda: "Check done" in text_of(app, "#dataset-report"))
        report = text_of(app, "#dataset-report")
        assert "leaves the image" in report
        assert "8 items with 9 labels: 1 problem" in report
        await shown(pilot, lambda: len(app.screen.query(ImageWidget)) == 6)
        await shown(pilot, lambda: "car" in text_of(app, ".sample-cell Static"))
        await pilot.press("p")
        await shown(pilot, lambda: len(app.screen.query(ImageWidget)) == 2)
        await shown(pilot, lambda: app.screen.query_one(Samples).size.height > 3)
        (folder / "labels" / "1.txt").write_text(CAR)
        await pilot.press("v")
        await shown(pilot, lambda: "nothing is wrong" in text_of(app, "#dataset-report"))
