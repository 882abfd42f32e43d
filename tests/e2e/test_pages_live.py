"""From an empty root to a train and its curve in the dashboard, by keys alone, on a real daemon."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from textual.widgets import Input, Select

from taod.catalogue.schema.merge import merge
from taod.cli.commands.quickstart import digits_spec
from taod.cli.support import sample_dataset
from taod.client import AsyncClient
from taod.types.dataset import DatasetType
from taod.types.state import State
from tests.e2e.journey import Daemon, small_model
from tests.e2e.screen import enter, shown, text_of
from tui.app import Dashboard
from tui.datasets.forms import NewDataset
from tui.forms.choices import Choices
from tui.models.forms import ModelForm
from tui.run.dialogue import RunDialogue
from tui.screens.confirm import Confirm
from tui.spec.editor import EditValue, SpecEditor

pytestmark = [pytest.mark.slow, pytest.mark.engine]

SIZE = (140, 44)


async def new_dataset(app: Dashboard, pilot: Any, name: str, files: Path) -> None:
    """Create a dataset with the form of the datasets page."""
    await pilot.press("D", "n")
    await shown(pilot, lambda: isinstance(app.screen, NewDataset))
    await enter(pilot, name)
    app.screen.query_one("#type", Select).value = "image_classification"
    formats = app.screen.query_one("#format", Select)
    await shown(pilot, lambda: "classification_pyt" in {value for _, value in formats._options})
    formats.value = "classification_pyt"
    app.screen.query_one("#where", Input).value = str(files)
    await pilot.press("ctrl+s")


async def test_from_an_empty_root_to_a_curve(daemon: Daemon, client: AsyncClient, images: Path, tmp_path: Path) -> None:
    archive = sample_dataset.pack(images, "val", tmp_path)
    app = Dashboard(daemon.client())
    async with app.run_test(size=SIZE) as pilot:
        await shown(pilot, lambda: app.connected)
        await new_dataset(app, pilot, "digits", archive)
        await shown(pilot, lambda: "state ready" in text_of(app, "#dataset-facts"))
        assert "images" in text_of(app, "#dataset-facts")

        await pilot.press("M")
        await shown(pilot, lambda: "No models yet" in text_of(app, ".empty"))
        await pilot.press("n")
        await shown(pilot, lambda: isinstance(app.screen, ModelForm))
        await enter(pilot, "small")
        await shown(pilot, lambda: app.screen.query_one("#train_datasets", Choices).option_count == 1)
        app.screen.query_one("#train_datasets", Choices).focus()
        await pilot.press("space", "ctrl+s")
        await shown(pilot, lambda: "train on digits" in text_of(app, "#model-facts"))

        (model,) = [each for each in (await client.models.list()).items if each.name == "small"]
        default = (await client.specs.schema("model", model.id, "train"))["default"]
        await client.specs.save("model", model.id, "train", merge(default, digits_spec(50)))
        await pilot.press("e")
        await shown(pilot, lambda: app.screen.is_modal)
        await pilot.press("enter")
        await shown(pilot, lambda: isinstance(app.screen, SpecEditor))
        for name, value in (("model.backbone.type", "resnet_tiny"), ("train.train_config.runner.max_epochs", "2")):
            await shown(pilot, lambda name=name: app.screen.listing.table.select(name))
            await pilot.press("enter")
            await shown(pilot, lambda: isinstance(app.screen, EditValue))
            await pilot.press("ctrl+u")
            await enter(pilot, value)
            await pilot.press("enter")
            await shown(pilot, lambda: isinstance(app.screen, SpecEditor))
        await pilot.press("ctrl+s")
        await shown(pilot, lambda: not app.screen.is_modal)
        saved = await client.specs.get("model", model.id, "train")
        assert saved["model"]["backbone"]["type"] == "resnet_tiny"
        assert saved["train"]["train_config"]["runner"]["max_epochs"] == 2

        await pilot.press("t")
        await shown(pilot, lambda: isinstance(app.screen, RunDialogue))
        await shown(pilot, lambda: "classification_pyt train" in text_of(app, "#plan"))
        assert "the model has no eval_dataset" in text_of(app, "#plan")
        await pilot.press("ctrl+s")
        await shown(pilot, lambda: getattr(app.screen, "NAME", "") == "jobs" and app.screen.jobs.selected is not None)
        job_id = app.screen.jobs.selected.id
        await shown(pilot, lambda: app.screen.jobs.store.views[job_id].state is State.DONE)
        await pilot.press("k")
        await shown(pilot, lambda: app.screen.job.kpis.curves.metrics)


async def test_a_new_model_is_of_the_release_that_is_chosen(daemon: Daemon, client: AsyncClient) -> None:
    def offered() -> set[str]:
        return set(app.screen.query_one("#also", Input).suggester.known)

    older, newer = [
        {each.path for each in await client.networks.parameters("segformer", "train", release=release, automl=False)}
        for release in ("5.0", "7.3")
    ]
    app = Dashboard(daemon.client())
    async with app.run_test(size=SIZE) as pilot:
        await shown(pilot, lambda: app.connected)
        await pilot.press("M", "n")
        await shown(pilot, lambda: isinstance(app.screen, ModelForm))
        await enter(pilot, "newer")
        app.screen.query_one("#network", Select).value = "segformer"
        await shown(pilot, lambda: older - newer >= offered() - newer != set())
        app.screen.query_one("#release", Select).value = "7.3"
        await shown(pilot, lambda: newer - older >= offered() - older != set())
        await pilot.press("ctrl+s")
        await shown(pilot, lambda: "release 7.3" in text_of(app, "#model-facts"))
        (model,) = [each for each in (await client.models.list()).items if each.name == "newer"]
        assert model.release == "7.3"


async def test_a_rejected_form_stays_open_and_a_used_dataset_is_not_deleted(
    daemon: Daemon, client: AsyncClient, images: Path, tmp_path: Path
) -> None:
    await small_model(client, images, tmp_path, epochs=1)
    app = Dashboard(daemon.client())
    async with app.run_test(size=SIZE) as pilot:
        await shown(pilot, lambda: app.connected)
        nowhere = tmp_path / "nowhere"
        await new_dataset(app, pilot, "lost", nowhere)
        await shown(pilot, lambda: str(nowhere) in text_of(app, "#form-error"))
        assert isinstance(app.screen, NewDataset)
        assert {value for _, value in app.screen.query_one("#type", Select)._options} >= set(DatasetType)
        assert [each.name for each in (await client.datasets.list(name="lost")).items] == []
        await pilot.press("escape")

        await shown(pilot, lambda: app.screen.listing.selected_id)
        await pilot.press("x")
        await shown(pilot, lambda: isinstance(app.screen, Confirm))
        await pilot.press("y")
        await shown(pilot, lambda: any("rejected" in note.title for note in app._notifications))
        assert (await client.datasets.list()).total == 2
