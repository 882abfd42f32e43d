"""`taod job compare`: two trainings side by side, in every form."""

from __future__ import annotations

import csv
import html.parser
import json
from pathlib import Path
from typing import Any

import pytest

from taod.client import comparison
from taod.types.job import DataSeen, JobDetail, JobView, Kpi, Result
from taod.types.metric_direction import lower_is_better
from taod.types.state import State, Status

HOSTILE = "v|1 <b>$x_1$ \x1b]0;t\x07"


def detail(name: str, *, losses: dict[str, float], spec: dict[str, Any], fingerprint: str = "abc") -> JobDetail:
    view = JobView(
        id=f"{name:x<8.8}-0000", action="train", parent_id=None, status=Status.DONE, created_on="", last_modified="",
        result=Result(kpi=[Kpi("val_loss", dict(losses)), Kpi("mIoU", {"3": 0.5})], epoch=3), state=State.DONE,
        reason="", owner_kind="model", owner_id="", owner_name=name, network="unet",
        started_at="2026-01-01T00:00:00.000000+00:00", ended_at="2026-01-01T00:01:30.500000+00:00", metric="mIoU",
    )  # fmt: skip
    return JobDetail(view, spec=spec, data=[DataSeen("train", "d", "cats", fingerprint)])


@pytest.fixture
def found() -> comparison.Comparison:
    one = detail("a", losses={"1": 0.5, "2": 0.1234567891, "3": 0.3}, spec={"lr": 0.1, "net": {"depth": 18, "same": 1}})
    other = detail(HOSTILE, losses={"1": 0.7}, spec={"lr": 0.1, "net": {"depth": [1, 2], "same": 1}, "x": None},
                   fingerprint="xyz")  # fmt: skip
    return comparison.compare([one, other])


def rows(found: comparison.Comparison) -> dict[str, list[Any]]:
    return {row.name: row.values for section in found.sections for row in section.rows}


def test_the_best_and_last_values_and_what_differs_are_listed(found: comparison.Comparison) -> None:
    by_name = rows(found)
    assert by_name["val_loss, best"] == [0.1234567891, 0.7] and by_name["val_loss, best epoch"] == [2, 1]
    assert by_name["val_loss, last"] == [0.3, 0.7] and by_name["mIoU"] == [0.5, 0.5]
    assert by_name["duration in s"] == [90.5, 90.5] and by_name["train"] == ["cats", "cats"]
    assert by_name["train, fingerprint"] == ["abc", "xyz"]
    assert by_name["net.depth"] == [18, [1, 2]] and "lr" not in by_name and "net.same" not in by_name
    assert [(curve.metric, curve.epochs) for curve in found.curves][:2] == [("mIoU", [3]), ("mIoU", [3])]


def test_every_form_survives_hostile_names(found: comparison.Comparison) -> None:
    from taod.cli.support.comparison import as_csv, as_html, as_markdown

    table = list(csv.reader(as_csv(found).splitlines()))
    assert {len(line) for line in table} == {4}
    assert ["metrics", "val_loss, best", "0.1234567891", "0.7"] in table
    tables = [line for line in as_markdown(found).splitlines() if line.startswith("|")]
    assert {line.replace("\\|", "").count("|") for line in tables} == {4}
    assert "| val_loss, best | 0.123457 | 0.7 |" in tables
    page = as_html(found)
    assert "\x1b" not in page and "<b>" not in page and page.count("<svg") == 2
    assert "<script" not in page and "src=" not in page

    class Cells(html.parser.HTMLParser):
        text = ""

        def handle_data(self, data: str) -> None:
            self.text += data + "\n"

    read = Cells()
    read.feed(page)
    assert "net.depth" in read.text and "[1, 2]" in read.text


@pytest.mark.slow(seconds=5)
def test_two_trainings_are_compared_over_the_command_line(daemon: Any, tmp_path: Path) -> None:
    first, second = (daemon.id("model", "run", daemon.model(name=name), "train") for name in ("one", "two"))
    for job in (first, second):
        daemon.json("job", "wait", job)
    shown = daemon.run("job", "compare", first[:8], second[:8]).output
    assert f"one {first[:8]}" in shown and f"two {second[:8]}" in shown and "loss" in shown
    found = json.loads(daemon.run("job", "compare", first, second, "--json").output)
    assert found["jobs"] == [f"one {first[:8]}", f"two {second[:8]}"]
    page = tmp_path / "both.html"
    assert f"Wrote {page}" in daemon.run("job", "compare", first, second, "--output", str(page)).output
    assert page.read_text().startswith("<!doctype html>")
    assert "already exists" in daemon.error("job", "compare", first, second, "--output", str(page), code=2)
    assert "two jobs or more" in daemon.error("job", "compare", first, code=2)
    assert "ends in .md, .csv or .html" in daemon.error(
        "job", "compare", first, second, "-o", str(tmp_path / "x"), code=2
    )
    ranked = daemon.run("job", "leaderboard", "--network", "classification_pyt").output
    assert "loss, best" in ranked and first[:8] in ranked and "By loss, lower is better" in ranked
    assert sorted(daemon.run("job", "leaderboard", "--quiet").output.split()) == sorted([first, second])
    assert "none of these jobs reports it; they report loss" in daemon.error("job", "leaderboard", "--metric", "mAP")
    assert json.loads(daemon.run("job", "leaderboard", "--network", "dino", "--json").output)["entries"] == []


def test_the_catalogue_and_the_names_of_metrics_agree() -> None:
    """The dashboard knows a metric's name only; the daemon knows the direction of each network's main metric."""
    from taod.catalogue import Catalogue

    catalogue = Catalogue()
    for name in catalogue.names():
        for release in catalogue.releases_of(name):
            network = catalogue.network(name, release)
            if metric := network.metric:
                assert network.minimises(metric) == lower_is_better(metric), (name, release, metric)
