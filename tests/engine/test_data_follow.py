"""Masks and polygons go where the image's points go, and boxes of turned objects are made of them."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from pycocotools.coco import COCO

from runners.engine.data import affine, shapes
from runners.engine.data.generate import Settings, space
from runners.engine.data.label_transforms import Move, follow
from runners.engine.spec import convert
from taod.datasets.formats import segments
from taod.datasets.formats.segments import Annotated, Segmentation
from taod.datasets.formats.types import Box
from taod.datasets.formats.validate import ContentCheck
from taod.datasets.validation import structure
from tests.datasets import valid_sets
from tests.engine.test_data_convert import engine
from tests.engine.test_data_masks import masks_of, painted, real_masks, segmented

CAME = (60, 40)


@st.composite
def stars(draw: st.DrawFn) -> Segmentation:
    """A polygon that does not cross itself: corners around a middle, by angle."""
    x, y = draw(st.floats(10, 50)), draw(st.floats(10, 30))
    reaches = draw(st.lists(st.floats(3, 14), min_size=5, max_size=11))
    turn = 2 * math.pi / len(reaches)
    points = [(x + far * math.cos(at * turn), y + far * math.sin(at * turn)) for at, far in enumerate(reaches)]
    ring = shapes.clip([value for point in points for value in point], CAME)
    return Segmentation((tuple(ring),))


moved_spaces = st.fixed_dictionaries(
    {
        "rotation": st.fixed_dictionaries({"angle": st.floats(-180, 180)}),
        "flip": st.fixed_dictionaries({"flip_horizontal": st.booleans(), "flip_vertical": st.booleans()}),
        "shear": st.fixed_dictionaries({"shear_ratio_x": st.floats(-0.5, 0.5)}),
        "translation": st.fixed_dictionaries({"translate_x": st.floats(-15, 15), "translate_y": st.floats(-15, 15)}),
    }
)
sizes = st.sampled_from([CAME, (90, 70), (40, 40)])


def moved_by(spatial: dict[str, Any], size: tuple[int, int], **more: bool) -> Move:
    matrix = space(CAME, size, 0, convert({"spatial_aug": spatial}, Settings).spatial_aug)
    return Move(matrix, CAME, size, **more)


def round_about(shape: Segmentation) -> float:
    """The length of a polygon's outline: how many pixels it may have more or less than square pixels."""
    (ring,) = shape.polygons
    points = list(zip(ring[::2], ring[1::2], strict=True))
    return sum(math.dist(points[at - 1], points[at]) for at in range(len(points)))


@given(stars(), moved_spaces, sizes)
def test_areas_of_polygon_and_mask_agree_when_both_are_moved(
    star: Segmentation, spatial: dict[str, Any], size: tuple[int, int]
) -> None:
    move = moved_by(spatial, size)
    polygon = shapes.move(star, move.matrix, CAME, size)
    as_mask = shapes.of_mask(shapes.mask(star, CAME))
    assert as_mask is not None
    mask = shapes.move(as_mask, move.matrix, CAME, size)
    if polygon is None:
        assert mask is None or segments.area(mask) < 3 * round_about(star)
        return
    pixels = np.count_nonzero(np.asarray(shapes.mask(polygon, size)))
    near = 1.2 * round_about(polygon) + 4
    assert abs(segments.area(polygon) - pixels) <= near
    # Twice cut to pixels, and these have grown with the image.
    growth = math.sqrt(abs(np.linalg.det(np.array(move.matrix).reshape(2, 3)[:, :2]))) + 1
    assert abs((segments.area(mask) if mask else 0.0) - pixels) <= near * growth


@given(stars(), moved_spaces, sizes, st.booleans())
def test_the_box_of_the_moved_object_lies_in_its_moved_box(
    star: Segmentation, spatial: dict[str, Any], size: tuple[int, int], runs: bool
) -> None:
    shape = shapes.of_mask(shapes.mask(star, CAME)) if runs else star
    assert shape is not None
    label = Annotated("star", segments.bounds(shape), segmentation=shape)
    loose = follow(label, moved_by(spatial, size, keep=True))
    tight = follow(label, moved_by(spatial, size, keep=True, refine=True))
    if loose is None or tight is None or loose.box is None or tight.box is None:
        return
    slack = 0.002 if not runs else 1.0  # a pixel belongs to the mask by its middle
    assert tight.box.left >= loose.box.left - slack
    assert tight.box.top >= loose.box.top - slack
    assert tight.box.right <= loose.box.right + slack
    assert tight.box.bottom <= loose.box.bottom + slack
    assert isinstance(tight, Annotated)
    assert tight.segmentation is not None
    assert segments.bounds(tight.segmentation) == tight.box
    assert 0 <= tight.box.left < tight.box.right <= size[0]


@given(stars(), st.booleans())
def test_what_does_not_move_stays_as_it_is(star: Segmentation, runs: bool) -> None:
    shape = shapes.of_mask(shapes.mask(star, CAME)) if runs else star
    label = Annotated("star", Box(1, 2, 33.25, 21), 0, 7, 12.5, True, shape)
    assert follow(label, moved_by({}, CAME, keep=True)) == label


@given(stars())
def test_flipped_twice_a_mask_is_the_same(star: Segmentation) -> None:
    shape = shapes.of_mask(shapes.mask(star, CAME))
    move = moved_by({"flip": {"flip_horizontal": True, "flip_vertical": True}}, CAME)
    assert shape is not None
    once = shapes.move(shape, move.matrix, CAME, CAME)
    assert once is not None
    assert shapes.move(once, move.matrix, CAME, CAME) == shape


def test_a_polygon_is_cut_at_the_edges() -> None:
    square = Segmentation(((10.0, 5.0, 30.0, 5.0, 30.0, 15.0, 10.0, 15.0),))
    found = shapes.move(square, affine.shift(45, 0), CAME, CAME)
    assert found is not None
    assert segments.bounds(found) == Box(55, 5, 60, 15)
    assert segments.area(found) == 50
    assert shapes.move(square, affine.shift(60, 0), CAME, CAME) is None


@pytest.fixture
def disc(tmp_path: Path) -> Path:
    """A COCO set: a white disc on black, as a polygon and as a mask, twice."""
    top = tmp_path / "set"
    (top / "images").mkdir(parents=True)
    points = [(30 + 12 * math.cos(at / 20 * math.pi), 20 + 12 * math.sin(at / 20 * math.pi)) for at in range(40)]
    polygon = [value for point in points for value in point]
    image = Image.fromarray(np.asarray(shapes.mask(Segmentation((tuple(polygon),)), CAME))).convert("RGB")
    mask = shapes.of_mask(image.convert("L"))
    images, annotations = [], []
    for number in range(2):
        image.save(top / f"images/{number}.png")
        images.append({"id": 5 + number, "file_name": f"{number}.png", "width": 60, "height": 40})
        for kind, shape in ((1, [polygon]), (2, segments.as_json(mask))):
            annotations.append(
                {
                    "id": 10 * number + kind, "image_id": 5 + number, "category_id": kind, "bbox": [18, 8, 24, 24],
                    "area": 448, "iscrowd": 0, "segmentation": shape,
                }
            )  # fmt: skip
    categories = [{"id": 1, "name": "outline"}, {"id": 2, "name": "mask"}]
    document = {"images": images, "annotations": annotations, "categories": categories}
    valid_sets.text(top / "annotations.json", json.dumps(document))
    return top


def augment(folder: Path, top: Path, **more: Any) -> tuple[list[dict[str, Any]], Path]:
    data = {"image_dir": str(top / "images"), "ann_path": str(top / "annotations.json"), "dataset_type": "coco"}
    code, lines = engine(folder, "augmentation", "generate", {"data": data | more.pop("data", {})} | more)
    assert code == 0, lines
    return lines, folder / "results"


SPACES: list[dict[str, Any]] = [
    {},
    {"flip": {"flip_horizontal": True}},
    {"rotation": {"angle": 30}},
    {"rotation": {"angle": 90}, "translation": {"translate_x": 12, "translate_y": -5}},
    {"shear": {"shear_ratio_x": 0.4}},
]


@pytest.mark.parametrize("spatial", SPACES)
def test_the_mask_is_where_the_image_shows_the_object(spatial: dict[str, Any], disc: Path, tmp_path: Path) -> None:
    size = {"output_image_width": 120, "output_image_height": 60, "include_masks": True}
    lines, results = augment(tmp_path / "a", disc, spatial_aug=spatial, data=size)
    assert lines[-1]["message"] == "Augmented 2 images; of 4 boxes 4 are still in view"
    found = COCO(str(results / "annotations.json"))
    assert [each["id"] for each in found.dataset["annotations"]] == [1, 2, 11, 12]
    white = np.asarray(Image.open(results / "images" / "0.png").convert("L")) > 127
    for each in found.loadAnns(found.getAnnIds(imgIds=5)):
        mask = found.annToMask(each).astype(bool)
        assert np.count_nonzero(mask ^ white) < 0.08 * np.count_nonzero(white)
        assert abs(each["area"] - np.count_nonzero(mask)) < 0.05 * each["area"]
    assert ContentCheck(results, "instance_segmentation", "coco").run().problems == 0
    assert structure.check(results, "instance_segmentation", "coco") == results


def test_a_turned_object_gets_the_box_of_its_mask(disc: Path, tmp_path: Path) -> None:
    boxes = {}
    for enabled in (False, True):
        spatial = {"rotation": {"angle": 45, "refine_box": {"enabled": enabled}}}
        lines, results = augment(tmp_path / str(enabled), disc, spatial_aug=spatial)
        found = json.loads((results / "annotations.json").read_text())["annotations"]
        boxes[enabled] = [each["bbox"] for each in found]
        assert {json.dumps(each["segmentation"]) for each in found} == {"[]"}
        said = "4 segmentations are left out (2 of polygons, 2 masks): data.include_masks is false; set it to true"
        assert any(line["message"].startswith(said) for line in lines)
        assert not any("refine_box" in line["message"] for line in lines)
    assert all(width > 33 for _, _, width, _ in boxes[False])
    assert all(abs(width - 24) <= 1.5 and abs(height - 24) <= 1.5 for _, _, width, height in boxes[True])


def test_without_masks_the_box_around_the_rotated_one_is_reported(disc: Path, tmp_path: Path) -> None:
    document = json.loads((disc / "annotations.json").read_text())
    document["annotations"][0]["segmentation"] = []
    valid_sets.text(disc / "annotations.json", json.dumps(document))
    spatial = {"rotation": {"angle": [45, 0], "refine_box": {"enabled": True}}}
    lines, _ = augment(tmp_path / "a", disc, spatial_aug=spatial)
    (said,) = [line for line in lines if "refine_box" in line["message"]]
    assert said["message"].startswith(
        "spatial_aug.rotation.refine_box: 1 of 2 turned objects have no mask, their boxes"
    )
    assert said["kpi"] == {"boxes_not_refined": 1}


def test_masks_of_kitti_boxes_come_from_the_file_that_is_named_for_them(disc: Path, tmp_path: Path) -> None:
    (disc / "annotations.json").rename(disc / "label.json")
    for number in range(2):
        line = valid_sets.kitti_line("mask", 18, 8, 42, 32) + valid_sets.kitti_line("mask", 0, 0, 9, 9)
        valid_sets.text(disc / f"labels/{number}.txt", line)
    refine = {"enabled": True, "gt_cache": str(disc / "label.json")}
    lines, results = augment(
        tmp_path / "a",
        disc,
        data={"ann_path": str(disc / "labels"), "dataset_type": "kitti", "include_masks": True},
        spatial_aug={"rotation": {"angle": 45, "refine_box": refine}},
    )
    left, top, right, bottom = map(float, (results / "labels/0.txt").read_text().split()[4:8])
    assert abs(right - left - 24) <= 1.5
    assert abs(bottom - top - 24) <= 1.5
    messages = [line["message"] for line in lines]
    assert any(
        message.startswith("2 segmentations are left out (0 of polygons, 2 masks): KITTI holds") for message in messages
    )
    assert any("2 of 4 turned objects have no mask" in message for message in messages)


def test_an_invalid_segmentation_is_skipped_and_reported(disc: Path, tmp_path: Path) -> None:
    document = json.loads((disc / "annotations.json").read_text())
    document["annotations"][0]["segmentation"] = [[1, 2]]
    document["annotations"][1]["segmentation"] = {"size": [40, 60], "counts": [7]}
    valid_sets.text(disc / "annotations.json", json.dumps(document))
    lines, results = augment(tmp_path / "a", disc, data={"include_masks": True})
    messages = [line["message"] for line in lines]
    assert any(
        "annotations[0]: a polygon has 2 numbers; expected x, y of at least 3 points" in each for each in messages
    )
    assert messages[-1] == "Augmented 2 images; of 4 boxes 4 are still in view; 2 problems were passed over"
    found = json.loads((results / "annotations.json").read_text())["annotations"]
    assert [bool(each["segmentation"]) for each in found] == [False, False, True, True]


def test_masks_of_another_size_in_the_file_that_is_named_are_passed_over(disc: Path, tmp_path: Path) -> None:
    document = json.loads((disc / "annotations.json").read_text())
    for each in document["images"]:
        del each["width"], each["height"]
    document["annotations"][1]["segmentation"] = {"size": [20, 30], "counts": [100, 300, 200]}
    valid_sets.text(disc / "label.json", json.dumps(document))
    for number in range(2):
        valid_sets.text(disc / f"labels/{number}.txt", valid_sets.kitti_line("mask", 18, 8, 42, 32))
    lines, _ = augment(
        tmp_path / "a",
        disc,
        data={"ann_path": str(disc / "labels"), "dataset_type": "kitti"},
        spatial_aug={"rotation": {"angle": 45, "refine_box": {"enabled": True, "gt_cache": str(disc / "label.json")}}},
    )
    messages = [line["message"] for line in lines]
    assert any("the mask of mask has 30 x 20 pixels; expected 60 x 40, as 0.png has" in each for each in messages), (
        messages
    )
    assert any("refine_box: 1 of 2 turned objects have no mask" in each for each in messages)


def test_an_object_whose_mask_leaves_the_image_is_lost(disc: Path, tmp_path: Path) -> None:
    _, results = augment(
        tmp_path / "a",
        disc,
        data={"include_masks": True},
        spatial_aug={"translation": {"translate_x": [0, 50]}},
    )
    found = json.loads((results / "annotations.json").read_text())
    assert [each["id"] for each in found["annotations"]] == [1, 2]
    assert [each["name"] for each in found["categories"]] == ["outline", "mask"]


def test_masks_of_real_images_stay_with_them(tmp_path: Path) -> None:
    segmented(tmp_path / "set")
    _, results = augment(
        tmp_path / "a",
        tmp_path / "set",
        data={"include_masks": True},
        spatial_aug={"flip": {"flip_horizontal": [False, True]}, "rotation": {"angle": [0, 0, 90, 180, 270]}},
    )
    found = COCO(str(results / "annotations.json"))
    for number in range(5):
        whole = np.zeros((valid_sets.SIDE, valid_sets.SIDE), "uint8")
        for each in found.loadAnns(found.getAnnIds(imgIds=100 + number)):
            whole[found.annToMask(each) == 1] = {3: 1, 7: 2}[each["category_id"]]
        wanted = real_masks(number)
        wanted = wanted[:, ::-1] if number % 2 else wanted
        assert np.array_equal(whole, np.rot90(wanted, -max(number - 1, 0))), f"{number}: not rotated clockwise"


def test_masks_of_unet_are_moved_with_their_images(tmp_path: Path) -> None:
    top = painted(tmp_path / "set")
    valid_sets.text(
        top / "target_classes.json",
        json.dumps([{"name": name, "label_id": at} for at, name in enumerate(("light", "background", "dark"))]),
    )
    data = {"ann_path": str(top / "masks"), "dataset_type": "unet"}
    spatial = {"flip": {"flip_vertical": [False, True]}, "translation": {"translate_x": 10}}
    lines, results = augment(tmp_path / "a", top, data=data, spatial_aug=spatial)
    assert lines[-1]["message"] == "Augmented 5 images with their masks"
    found = masks_of(results)
    assert sorted(found) == ["train/0", "train/1", "val/2", "val/3"]
    for name, mask in found.items():
        number = int(name[-1])
        wanted = real_masks(number)[:: 1 if number % 2 else -1]  # in the order of names test/4 is the first
        assert np.array_equal(mask[:, 10:], wanted[:, :-10])
        assert (mask[:, :10] == 1).all()  # what comes in is background
    assert structure.check(results, "semantic_segmentation", "unet") == results
    report = ContentCheck(results, "semantic_segmentation", "unet").run()
    assert (report.items, report.problems, sorted(report.pixels)) == (5, 0, ["background", "dark", "light"])
