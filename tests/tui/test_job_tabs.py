"""The tabs of a job: curves, comparisons of specifications, files, classes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from rich.console import Console

from taod.client.comparison import MISSING, differences
from taod.types.event import StatusUpdate
from taod.types.job import Artifact, Categorical, CategoryValue, Result
from tests.tui.test_dashboard import select, text
from tui import format
from tui.app import Dashboard
from tui.image_widget import ImageWidget
from tui.job.classes import chosen_classes, class_head, class_table
from tui.job.files import FilesPane, listed
from tui.job.preview import preview
from tui.job.spec import SpecPane

pytestmark = pytest.mark.slow(seconds=2)

SIZE = (130, 44)


def drawn(renderable: Any) -> str:
    console = Console(width=200, no_color=True)
    with console.capture() as capture:
        console.print(renderable)
    return " ".join(capture.get().split())


async def test_metrics_are_drawn_side_by_side_and_beside_a_marked_jobs(
    dashboard: Dashboard, busy: Any, contract: Any, until: Any
) -> None:
    other = busy.add_job(seconds_ago=5, metric="accuracy_top-1")
    busy.results[other.id] = Result(kpi=[contract.kpi("accuracy_top-1", 0.5, 0.7)])
    async with dashboard.run_test(size=SIZE) as pilot:
        await select(dashboard, pilot, until, busy.train.id)
        await pilot.press("k")
        await until(pilot, lambda: dashboard.screen.job.kpis.chosen == "accuracy_top-1")
        await pilot.press("down", "space", "up")
        await until(pilot, lambda: "loss 0.34" in text(dashboard, "#kpi-head"))
        assert "accuracy_top-1 0.9134" in text(dashboard, "#kpi-head")
        await pilot.press("escape")
        dashboard.screen.jobs.table.select(other.id)
        await pilot.press("space")
        await select(dashboard, pilot, until, busy.train.id)
        await until(pilot, lambda: f"train {other.id[:8]} 0.7" in text(dashboard, "#kpi-head"))


async def test_a_specification_is_compared_with_the_default_and_with_a_marked_job(
    dashboard: Dashboard, busy: Any, until: Any
) -> None:
    other = busy.add_job(seconds_ago=5)
    busy.specs[other.id] = {"train": {"num_epochs": 9, "optim": {"type": "AdamW", "lr": 0.001}}, "gpus": None}
    async with dashboard.run_test(size=SIZE) as pilot:
        await select(dashboard, pilot, until, other.id)
        await pilot.press("space")
        await select(dashboard, pilot, until, busy.train.id)
        await pilot.press("s")
        await until(pilot, lambda: "type: AdamW" in text(dashboard, "#spec-text"))
        pane = dashboard.screen.query_one(SpecPane)
        await pilot.press("v")
        await until(pilot, lambda: "num_epochs: 8" in text(dashboard, "#spec-text"))
        while pane.mode != "marked":
            await pilot.press("v")
        await until(pilot, lambda: "train.num_epochs 8 9" in text(dashboard, "#spec-text"))
        assert "optim" not in text(dashboard, "#spec-text")


async def test_a_file_is_previewed_and_saved(
    dashboard: Dashboard, busy: Any, until: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    async with dashboard.run_test(size=SIZE) as pilot:
        await select(dashboard, pilot, until, busy.train.id)
        await pilot.press("f")
        await until(pilot, lambda: "INFO starting" in text(dashboard, "#file-preview"))
        await pilot.press("s")
        await until(pilot, lambda: (tmp_path / "a b.txt").exists())
        assert (tmp_path / "a b.txt").read_bytes() == bytes(busy.logs[busy.train.id])


async def test_an_image_is_drawn_in_the_terminal(dashboard: Dashboard, busy: Any, until: Any, tmp_path: Path) -> None:
    image = tmp_path / "p.png"
    Image.new("RGB", (40, 20), (200, 10, 10)).save(image)
    busy.images["results/p.png"] = image.read_bytes()
    async with dashboard.run_test(size=SIZE) as pilot:
        await select(dashboard, pilot, until, busy.train.id)
        await pilot.press("f")
        await until(pilot, lambda: dashboard.screen.query_one(FilesPane).chosen is not None)
        await pilot.press("down")
        await until(pilot, lambda: dashboard.screen.query(ImageWidget))
        assert "40 × 20" in text(dashboard, "#file-preview")


def test_differences_are_listed_by_path() -> None:
    one = {"a": {"b": 1, "c": [1]}, "d": "x"}
    other = {"a": {"b": 2, "c": [1]}, "e": None}
    assert differences(one, other) == [("a.b", [1, 2]), ("d", ["x", MISSING]), ("e", [MISSING, None])]


def test_files_are_previewed_by_their_kind() -> None:
    assert drawn(preview("r/x.csv", b"name,value\na,1\nb,2\n", 19)) == "name value a 1 b 2"
    assert drawn(preview("r/x.json", b'{"a": {"b": 1}}', 15)) == "a: b: 1"
    assert drawn(preview("r/x.json", b"[1, 2", 5)) == "[1, 2"
    assert "save the file to see the rest" in drawn(preview("r/x.txt", b"begin", 500))
    assert drawn(preview("r/x.pth", b"PK\0\0", 4)) == "Binary file: no preview."


def test_classes_are_listed_lowest_first_each_in_full() -> None:
    values = [
        CategoryValue("cat", 0.9),
        CategoryValue("dog", 0.2),
        CategoryValue("bird", None),
        CategoryValue("ox", None),
    ]
    precision = Categorical("precision", values)
    assert chosen_classes("accuracy", [Categorical("recall", []), precision]) is precision
    assert chosen_classes("accuracy", [Categorical("recall", [])]) is None
    assert drawn(class_table(precision)) == "dog 0.2 cat 0.9 bird – ox –"
    assert drawn(class_head(precision)) == "precision by class 4 classes, lowest first mean 0.55"
    many = Categorical("accuracy", [CategoryValue(f"class{number}", number / 80) for number in range(80)])
    shown = drawn(class_table(many)).split()
    assert all(f"class{number}" in shown for number in range(80))


async def test_eighty_classes_are_scrolled_and_read_after_each_epoch(
    dashboard: Dashboard, busy: Any, contract: Any, until: Any
) -> None:
    def result(epochs: int) -> Result:
        values = [CategoryValue(f"class{number}", epochs / 10 + number / 1000) for number in range(80)]
        return Result(
            kpi=[contract.kpi("accuracy_top-1", *(0.5 for _ in range(epochs)))],
            categorical=[Categorical("accuracy_top-1", values)],
        )

    busy.results[busy.train.id] = Result(kpi=[contract.kpi("accuracy_top-1", 0.5)])
    async with dashboard.run_test(size=SIZE) as pilot:
        await select(dashboard, pilot, until, busy.train.id)
        await pilot.press("k")
        await until(pilot, lambda: dashboard.screen.job.kpis.chosen == "accuracy_top-1")
        table = dashboard.screen.query_one("#kpi-classes")
        assert not table.display
        for epoch, mean in ((2, "0.2395"), (3, "0.3395")):
            busy.results[busy.train.id] = result(epoch)
            dashboard.screen.job.feed(StatusUpdate(busy.train.id, epoch=epoch, kpi={"accuracy_top-1": 0.5}))
            await until(
                pilot, lambda mean=mean: f"80 classes, lowest first mean {mean}" in text(dashboard, "#class-head")
            )
        await until(pilot, lambda: table.max_scroll_y > 0)


@pytest.mark.slow
async def test_the_curve_of_a_marked_job_that_runs_grows(
    dashboard: Dashboard, busy: Any, contract: Any, until: Any
) -> None:
    other = busy.add_job(seconds_ago=5, metric="accuracy_top-1")
    busy.results[other.id] = Result(kpi=[contract.kpi("accuracy_top-1", 0.5, 0.7)])
    async with dashboard.run_test(size=SIZE) as pilot:
        await select(dashboard, pilot, until, other.id)
        await pilot.press("space")
        await select(dashboard, pilot, until, busy.train.id)
        await pilot.press("k")
        await until(pilot, lambda: f"train {other.id[:8]} 0.7" in text(dashboard, "#kpi-head"))
        dashboard.screen.job.feed(StatusUpdate(other.id, epoch=9, kpi={"accuracy_top-1": 0.8}))
        await until(pilot, lambda: f"train {other.id[:8]} 0.8" in text(dashboard, "#kpi-head"))


def test_files_are_a_tree_and_folders_show_their_size() -> None:
    paths = ["results/train/b.pth", "log.txt", "results/a.csv", "results/train/a.pth"]
    options = listed([Artifact(path, 1000, "2026-01-05T10:00:00+00:00") for path in paths])
    assert [(str(option.prompt).split()[0], option.id, option.disabled) for option in options] == [
        ("log.txt", "log.txt", False),
        ("results/", None, True),
        ("a.csv", "results/a.csv", False),
        ("train/", None, True),
        ("a.pth", "results/train/a.pth", False),
        ("b.pth", "results/train/b.pth", False),
    ]
    assert str(options[1].prompt).split()[1:] == format.size(3000).split()
    assert str(options[4].prompt).startswith("    a.pth")
