"""The tabs over a job: curves side by side, its specification against others, its files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from rich.console import Console

from taod.types.job import Categorical, CategoryValue, Result
from tests.tui.test_dashboard import select, text
from tui.app import Dashboard
from tui.job.files import FilesPane
from tui.job.kpis import by_class
from tui.job.preview import preview
from tui.job.spec import SpecPane, differences
from tui.pictures import Picture
from tui.spec.fields import MISSING

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
        while pane.way != "marked":
            await pilot.press("v")
        await until(pilot, lambda: "train.num_epochs 8 9" in text(dashboard, "#spec-text"))
        assert "optim" not in text(dashboard, "#spec-text")


async def test_a_file_is_looked_at_and_saved_here(
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


async def test_a_picture_is_drawn_in_the_terminal(dashboard: Dashboard, busy: Any, until: Any, tmp_path: Path) -> None:
    picture = tmp_path / "p.png"
    Image.new("RGB", (40, 20), (200, 10, 10)).save(picture)
    busy.pictures["results/p.png"] = picture.read_bytes()
    async with dashboard.run_test(size=SIZE) as pilot:
        await select(dashboard, pilot, until, busy.train.id)
        await pilot.press("f")
        await until(pilot, lambda: dashboard.screen.query_one(FilesPane).chosen is not None)
        await pilot.press("down")
        await until(pilot, lambda: dashboard.screen.query(Picture))
        assert "40 × 20" in text(dashboard, "#file-preview")


def test_what_differs_is_told_by_path() -> None:
    one = {"a": {"b": 1, "c": [1]}, "d": "x"}
    other = {"a": {"b": 2, "c": [1]}, "e": None}
    assert differences(one, other) == [("a.b", 1, 2), ("d", "x", MISSING), ("e", MISSING, None)]


def test_files_are_shown_by_what_they_are() -> None:
    assert drawn(preview("r/x.csv", b"name,value\na,1\nb,2\n", 19)) == "name value a 1 b 2"
    assert drawn(preview("r/x.json", b'{"a": {"b": 1}}', 15)) == "a: b: 1"
    assert drawn(preview("r/x.json", b"[1, 2", 5)) == "[1, 2"
    assert "save it to see the rest" in drawn(preview("r/x.txt", b"begin", 500))
    assert drawn(preview("r/x.pth", b"PK\0\0", 4)) == "No text: it can only be saved."


def test_classes_are_told_worst_first() -> None:
    values = [CategoryValue("cat", 0.9), CategoryValue("dog", 0.2), CategoryValue("bird", None)]
    told = by_class("accuracy", [Categorical("precision", values)])
    assert told is not None
    assert " ".join(told.plain.split()) == "precision by class dog 0.2 cat 0.9 bird –"
    assert by_class("accuracy", []) is None
