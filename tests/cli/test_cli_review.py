"""`taod dataset check` and `report`: what people see of a dataset with a wrong line in it."""

from __future__ import annotations

from pathlib import Path

from tests.datasets import valid_sets


def test_a_report_tells_figures_and_problems(daemon, tmp_path: Path) -> None:
    valid_sets.kitti(tmp_path / "boxes")
    with (tmp_path / "boxes" / "labels" / "1.txt").open("a") as file:
        file.write("roof 1\n")
    made = daemon.id("dataset", "create", "object_detection", "kitti", "name=report")
    daemon.run("dataset", "link", made, str(tmp_path / "boxes"))
    begun = daemon.json("dataset", "check", made, "--deep")
    assert begun["state"] in ("waiting", "running")
    for _ in range(60):  # each question is a process of its own, which takes its time
        if daemon.json("dataset", "report", made)["state"] == "done":
            break
    told = daemon.json("dataset", "report", made)
    assert (told["deep"], told["problems"], told["classes"]) == (True, 1, {"roof": 3, "tree": 3})
    assert told["first"][0]["file"] == "labels/1.txt"
    assert "no check" in daemon.refused("dataset", "check", made, "--cancel")
    assert "annotations" in daemon.refused("dataset", "from-job", daemon.id("model", "run", daemon.model(), "train"))
