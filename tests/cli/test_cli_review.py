"""`taod dataset check` and `report`, on a dataset with an invalid line."""

from __future__ import annotations

from pathlib import Path

from tests.datasets import valid_sets


def test_a_report_has_statistics_and_problems(daemon, tmp_path: Path) -> None:
    valid_sets.kitti(tmp_path / "boxes")
    with (tmp_path / "boxes" / "labels" / "1.txt").open("a") as file:
        file.write("roof 1\n")
    dataset = daemon.id("dataset", "create", "object_detection", "kitti", "name=report")
    daemon.run("dataset", "link", dataset, str(tmp_path / "boxes"))
    started = daemon.json("dataset", "check", dataset, "--deep")
    assert started["state"] in ("waiting", "running")
    report = daemon.until("dataset", "report", dataset, holds=lambda answer: answer["state"] == "done")
    assert (report["deep"], report["problems"], report["classes"]) == (True, 1, {"roof": 3, "tree": 3})
    assert report["first"][0]["file"] == "labels/1.txt"
    assert "no check" in daemon.error("dataset", "check", dataset, "--cancel")
    assert "annotations" in daemon.error("dataset", "from-job", daemon.id("model", "run", daemon.model(), "train"))
