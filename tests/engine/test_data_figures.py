"""`analytics` of segmentations: areas and shares are those of the masks, classes those of their pixels."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tests.datasets import valid_sets
from tests.engine.test_data_convert import engine
from tests.engine.test_data_masks import masks_of, painted, segmented

PIXELS = valid_sets.SIDE**2


def analyse(folder: Path, top: Path, labels: str, given: str, **more: Any) -> tuple[list[dict[str, Any]], Path]:
    data = {"input_format": given, "image_dir": str(top / "images"), "ann_path": str(top / labels)}
    code, lines = engine(folder, "analytics", "analyze", {"data": data} | more)
    assert code == 0, lines
    return lines, folder / "results"


def test_areas_of_segmentations_are_reported_and_drawn(tmp_path: Path) -> None:
    document = segmented(tmp_path / "set")
    document["annotations"][0]["segmentation"] = [[0, 0, 10, 0, 10, 10, 0, 10]]
    document["annotations"][0]["bbox"] = [0, 0, 20, 10]
    valid_sets.text(tmp_path / "set" / "annotations.json", json.dumps(document))
    wanted = sorted([100.0, *(each["area"] for each in document["annotations"][1:])])
    image = {"generate_image_with_bounding_box": True}
    _, results = analyse(tmp_path / "a", tmp_path / "set", "annotations.json", "COCO", image=image)
    summary = json.loads((results / "summary.json").read_text())
    found = summary["segmentations"]
    assert (found["objects"], found["polygons"], found["masks"]) == (len(wanted), 1, len(wanted) - 1)
    assert found["area"] == {"least": wanted[0], "median": wanted[(len(wanted) - 1) // 2], "most": wanted[-1]}
    assert found["percent_of_image"]["most"] == pytest.approx(100 * wanted[-1] / PIXELS)
    assert found["percent_of_box"]["most"] <= 100
    assert summary["pixels"] is None
    assert Image.open(results / "graphs" / "segment_areas.png").size == (900, 900)
    before = np.asarray(Image.open(tmp_path / "set" / "images" / "1.jpg"), int)
    after = np.asarray(Image.open(results / "images_with_boxes" / "1.jpg"), int)
    assert np.mean(np.abs(before - after)) > 10


def test_classes_of_masks_are_counted_by_pixels(tmp_path: Path) -> None:
    top = painted(tmp_path / "set")
    counts = {str(at): sum(int((mask == at).sum()) for mask in masks_of(top).values()) for at in range(3)}
    shown = sum(bool((mask == 1).any()) for mask in masks_of(top).values())
    image = {"generate_image_with_bounding_box": True}
    lines, results = analyse(tmp_path / "a", top, "masks", "UNET", image=image)
    summary = json.loads((results / "summary.json").read_text())
    assert {name: each["pixels"] for name, each in summary["pixels"].items()} == counts
    assert sum(each["share"] for each in summary["pixels"].values()) == pytest.approx(1, abs=1e-5)
    assert summary["classes"]["1"] == {"objects": shown, "images": shown}
    assert lines[-1]["message"].startswith("Analysed 5 images with ")
    assert lines[-1]["message"].endswith(" of 3 classes, drew 5 images")
    assert (results / "graphs" / "class_pixels.png").is_file()


def test_labels_are_corrected_with_their_segmentations(tmp_path: Path) -> None:
    document = segmented(tmp_path / "set")
    wanted = [each["segmentation"] for each in document["annotations"]]
    document["annotations"][0]["bbox"][0] = -5
    valid_sets.text(tmp_path / "set" / "annotations.json", json.dumps(document))
    top = tmp_path / "set"
    data = {"input_format": "COCO", "image_dir": str(top / "images"), "ann_path": str(top / "annotations.json")}
    code, lines = engine(tmp_path / "v", "analytics", "validate", {"data": data})
    assert code == 0, lines
    found = json.loads((tmp_path / "v" / "results" / "annotations.json").read_text())
    assert found["annotations"][0]["bbox"][0] == 0
    assert [each["segmentation"] for each in found["annotations"]] == wanted
    assert [each["id"] for each in found["annotations"]] == [each["id"] for each in document["annotations"]]
    assert [each["id"] for each in found["categories"]] == [3, 7]
