"""From an empty root to a train and its curve in the dashboard, by keys alone, on a real daemon."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from textual.widgets import Input, Select, Static

from taod.catalogue.schema.merge import merge
from taod.cli.commands.quickstart import digits_spec
from taod.cli.support import sample_dataset
from taod.client.http import Client
from taod.types.dataset import DatasetType
from taod.types.state import State
from tests.e2e.journey import PATIENCE_S, Daemon, small_model
from tui.app import Dashboard
from tui.datasets.forms import NewDataset
from tui.forms.choices import Choices
from tui.models.forms import ModelForm
from tui.run.dialogue import RunDialogue
from tui.screens.confirm import Confirm
from tui.spec.editor import EditValue, SpecEditor

pytestmark = [pytest.mark.slow, pytest.mark.engine]

SIZE = (140, 44)


async def shown(pilot: Any, condition: Callable[[], Any]) -> None:
    """Let the dashboard work until the condition holds."""
    async with asyncio.timeout(PATIENCE_S):
        while not condition():
            await pilot.pause(0.05)


async def kind(pilot: Any, text: str) -> None:
    """Type a text."""
    for sign in text:
        await pilot.press(
            {" ": "space", "/": "slash", ".": "full_stop", "-": "minus", "_": "underscore"}.get(sign, sign)
        )


def words(app: Dashboard, selector: str) -> str:
    widgets = app.screen.query(selector).results(Static)
    return " ".join(" ".join(strip.text for w in widgets for strip in w.render_lines(w.size.region)).split())


async def new_dataset(app: Dashboard, pilot: Any, name: str, files: Path) -> None:
    """By the form of the page of datasets."""
    await pilot.press("D", "n")
    await shown(pilot, lambda: isinstance(app.screen, NewDataset))
    await kind(pilot, name)
    app.screen.query_one("#type", Select).value = "image_classification"
    await pilot.pause()
    app.screen.query_one("#format", Select).value = "classification_pyt"
    app.screen.query_one("#where", Input).value = str(files)
    await pilot.press("ctrl+s")


async def test_from_an_empty_root_to_a_curve(daemon: Daemon, client: Client, images: Path, tmp_path: Path) -> None:
    archive = sample_dataset.pack(images, "val", tmp_path)
    app = Dashboard(daemon.client())
    async with app.run_test(size=SIZE) as pilot:
        await shown(pilot, lambda: app.connected)
        await new_dataset(app, pilot, "digits", archive)
        await shown(pilot, lambda: "state ready" in words(app, "#dataset-facts"))
        assert "images" in words(app, "#dataset-facts")

        await pilot.press("M")
        await shown(pilot, lambda: "No models yet" in words(app, ".empty"))
        await pilot.press("n")
        await shown(pilot, lambda: isinstance(app.screen, ModelForm))
        await kind(pilot, "small")
        await shown(pilot, lambda: app.screen.query_one("#train_datasets", Choices).option_count == 1)
        app.screen.query_one("#train_datasets", Choices).focus()
        await pilot.press("space", "ctrl+s")
        await shown(pilot, lambda: "train on digits" in words(app, "#model-facts"))

        (model,) = [each for each in (await client.models()).items if each.name == "small"]
        default = (await client.schema("model", model.id, "train"))["default"]
        await client.save_spec("model", model.id, "train", merge(default, digits_spec(50)))
        await pilot.press("e")
        await shown(pilot, lambda: app.screen.is_modal)
        await pilot.press("enter")
        await shown(pilot, lambda: isinstance(app.screen, SpecEditor))
        for name, value in (("model.backbone.type", "resnet_tiny"), ("train.train_config.runner.max_epochs", "2")):
            app.screen.listing.table.select(name)
            await pilot.press("enter")
            await shown(pilot, lambda: isinstance(app.screen, EditValue))
            await pilot.press("ctrl+u")
            await kind(pilot, value)
            await pilot.press("enter")
            await shown(pilot, lambda: isinstance(app.screen, SpecEditor))
        await pilot.press("ctrl+s")
        await shown(pilot, lambda: not app.screen.is_modal)
        saved = await client.spec("model", model.id, "train")
        assert saved["model"]["backbone"]["type"] == "resnet_tiny"
        assert saved["train"]["train_config"]["runner"]["max_epochs"] == 2

        await pilot.press("t")
        await shown(pilot, lambda: isinstance(app.screen, RunDialogue))
        await shown(pilot, lambda: "classification_pyt train" in words(app, "#plan"))
        assert "the model has no eval_dataset" in words(app, "#plan")
        await pilot.press("ctrl+s")
        await shown(pilot, lambda: getattr(app.screen, "NAME", "") == "jobs" and app.screen.jobs.selected is not None)
        job_id = app.screen.jobs.selected.id
        await shown(pilot, lambda: app.screen.jobs.book.views[job_id].state is State.DONE)
        await pilot.press("k")
        await shown(pilot, lambda: app.screen.job.kpis.curves.metrics)


async def test_a_refusal_stays_in_the_form_and_what_is_in_use_is_not_deleted(
    daemon: Daemon, client: Client, images: Path, tmp_path: Path
) -> None:
    await small_model(client, images, tmp_path, epochs=1)
    app = Dashboard(daemon.client())
    async with app.run_test(size=SIZE) as pilot:
        await shown(pilot, lambda: app.connected)
        nowhere = tmp_path / "nowhere"
        await new_dataset(app, pilot, "lost", nowhere)
        await shown(pilot, lambda: str(nowhere) in words(app, "#refusal"))
        assert isinstance(app.screen, NewDataset)
        assert {value for _, value in app.screen.query_one("#type", Select)._options} >= set(DatasetType)
        assert [each.name for each in (await client.datasets(name="lost")).items] == []
        await pilot.press("escape")

        await shown(pilot, lambda: app.screen.listing.selected_id)
        await pilot.press("x")
        await shown(pilot, lambda: isinstance(app.screen, Confirm))
        await pilot.press("y")
        await shown(pilot, lambda: any("refuses" in note.title for note in app._notifications))
        assert (await client.datasets()).total == 2
