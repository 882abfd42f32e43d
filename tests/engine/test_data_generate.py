"""`augmentation generate` and `analytics`: boxes move as their images do, figures are those of the labels."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from runners.engine.data import affine, charts
from runners.engine.data.generate import Settings, colour, space
from runners.engine.data.validate import correct
from runners.engine.spec import convert
from taod.datasets.formats.types import Box
from tests.datasets import valid_sets
from tests.engine.test_data_convert import boxes_of, engine

SIDE = valid_sets.SIDE


@pytest.fixture
def marked(tmp_path: Path) -> Path:
    """One black image of 60 x 40 with a white box at (10, 5)-(30, 15), labelled, twice."""
    for number in range(2):
        img = Image.new("RGB", (60, 40))
        img.paste((255, 255, 255), (10, 5, 30, 15))
        (tmp_path / "set" / "images").mkdir(parents=True, exist_ok=True)
        img.save(tmp_path / "set" / "images" / f"{number}.png")
        valid_sets.text(tmp_path / "set" / f"labels/{number}.txt", valid_sets.kitti_line("mark", 10, 5, 30, 15))
    return tmp_path / "set"


def augment(folder: Path, top: Path, **more: Any) -> tuple[int, list[dict[str, Any]], Path]:
    data = {"image_dir": str(top / "images"), "ann_path": str(top / "labels"), "dataset_type": "kitti"}
    code, lines = engine(folder, "augmentation", "generate", {"data": data | more.pop("data", {})} | more)
    return code, lines, folder / "results"


CASES: list[tuple[dict[str, Any], tuple[float, ...]]] = [
    ({}, (10, 5, 30, 15)),
    ({"flip": {"flip_horizontal": True}}, (30, 5, 50, 15)),
    ({"flip": {"flip_vertical": True}}, (10, 25, 30, 35)),
    ({"translation": {"translate_x": 7, "translate_y": -3}}, (17, 2, 37, 12)),
    ({"rotation": {"angle": 180}}, (30, 25, 50, 35)),
    ({"rotation": {"angle": 90}}, (35, 0, 45, 20)),
    ({"rotation": {"angle": -90}}, (15, 20, 25, 40)),
    ({"shear": {"shear_ratio_x": 0.5}}, (2.5, 5, 27.5, 15)),
]


@pytest.mark.parametrize(("spatial", "wanted"), CASES)
def test_the_box_is_where_the_mark_is(
    spatial: dict[str, Any], wanted: tuple[float, ...], marked: Path, tmp_path: Path
) -> None:
    code, lines, results = augment(tmp_path / "a", marked, spatial_aug=spatial)
    assert code == 0, lines
    ((name, box),) = boxes_of("KITTI", results)["0.png"]
    assert (name, box) == ("mark", wanted)
    # And the image says the same: its white pixels fill the box, up to the one that is drawn half.
    white = Image.open(results / "images" / "0.png").convert("L").point(lambda level: 255 * (level > 127)).getbbox()
    assert white is not None
    assert all(abs(one - other) <= 1 for one, other in zip(white, wanted, strict=True)), (white, wanted)


NVIDIA: list[tuple[dict[str, Any], list[tuple[float, ...]]]] = [
    ({"rotation": {"angle": 30}}, [(30.36, 2.68, 61.34, 26.34), (62.32, 58.66, 80.98, 80)]),
    ({"rotation": {"angle": -100}}, [(42.04, 51.58, 57.10, 80), (64.64, 5.25, 86.07, 18.57)]),
    ({"rotation": {"angle": 0.4, "units": "radians"}}, [(27.05, 6, 58.58, 26.90), (66.74, 57, 83.74, 79.31)]),
    ({"flip": {"flip_horizontal": True}}, [(70, 20, 100, 30), (30, 50, 40, 70)]),
    ({"flip": {"flip_vertical": True}}, [(20, 50, 50, 60), (80, 10, 90, 30)]),
    ({"shear": {"shear_ratio_x": 0.3}}, [(14, 20, 47, 30), (83, 50, 99, 70)]),
    ({"shear": {"shear_ratio_y": 0.2}}, [(20, 12, 50, 28), (80, 54, 90, 76)]),
    ({"shear": {"shear_ratio_x": 0.3, "shear_ratio_y": 0.2}}, [(14, 12, 47, 28), (83, 54, 99, 76)]),
    ({"translation": {"translate_x": 7, "translate_y": -13}}, [(27, 7, 57, 17), (87, 37, 97, 57)]),
    (
        {"rotation": {"angle": 30}, "flip": {"flip_horizontal": True}},
        [(58.66, 2.68, 89.64, 26.34), (39.02, 58.66, 57.68, 80)],
    ),
    (
        {
            "rotation": {"angle": 20},
            "flip": {"flip_vertical": True},
            "shear": {"shear_ratio_x": 0.3, "shear_ratio_y": 0.1},
            "translation": {"translate_x": 5, "translate_y": 3},
        },
        [(37.76, 55.22, 69.11, 72.40), (63.02, 6.34, 83.87, 28.30)],
    ),
]
"""What release 5.0 wrote for the boxes (20, 20)-(50, 30) and (80, 50)-(90, 70) of images of 120 x 80 pixels."""


@pytest.mark.parametrize(("spatial", "wanted"), NVIDIA)
def test_boxes_move_as_nvidia_moves_them(spatial: dict[str, Any], wanted: list[tuple[float, ...]]) -> None:
    matrix = space((120, 80), (120, 80), 0, convert({"spatial_aug": spatial}, Settings).spatial_aug)
    found = [affine.move(box, matrix, 120, 80) for box in (Box(20, 20, 50, 30), Box(80, 50, 90, 70))]
    assert [tuple(box or ()) for box in found] == [pytest.approx(box, abs=0.006) for box in wanted]


def test_a_fixed_size_scales_last_as_nvidia_does() -> None:
    spatial = {
        "rotation": {"angle": 20},
        "flip": {"flip_vertical": True},
        "shear": {"shear_ratio_x": 0.3},
        "translation": {"translate_x": 5},
    }
    matrix = space((120, 80), (200, 90), 0, convert({"spatial_aug": spatial}, Settings).spatial_aug)
    assert affine.move(Box(20, 20, 50, 30), matrix, 200, 90) == pytest.approx((62.93, 59.42, 115.18, 81.53), abs=0.006)


def test_a_list_is_gone_through_image_by_image_and_sizes_are_scaled(marked: Path, tmp_path: Path) -> None:
    code, _, results = augment(
        tmp_path / "a",
        marked,
        spatial_aug={"flip": {"flip_horizontal": [False, True]}},
        data={"output_image_width": 120, "output_image_height": 20},
    )
    assert code == 0
    assert Image.open(results / "images" / "1.png").size == (120, 20)
    assert boxes_of("KITTI", results) == {
        "0.png": [("mark", (20, 2.5, 60, 7.5))],
        "1.png": [("mark", (60, 2.5, 100, 7.5))],
    }


def test_a_box_that_leaves_the_image_is_lost(marked: Path, tmp_path: Path) -> None:
    code, lines, results = augment(tmp_path / "a", marked, spatial_aug={"translation": {"translate_x": [0, 45]}})
    assert (code, lines[-1]["message"]) == (0, "Augmented 2 images; of 2 boxes 2 are still in view")
    assert boxes_of("KITTI", results)["1.png"] == [("mark", (55, 5, 60, 15))]
    code, lines, results = augment(tmp_path / "b", marked, spatial_aug={"translation": {"translate_x": 59.5}})
    assert lines[-1]["message"] == "Augmented 2 images; of 2 boxes 0 are still in view"


def test_a_coco_set_is_augmented_into_one(tmp_path: Path) -> None:
    top = tmp_path / "set"
    valid_sets.coco(top)
    data = {"ann_path": str(top / "annotations.json"), "dataset_type": "coco"}
    code, _, results = augment(tmp_path / "a", top, data=data, spatial_aug={"flip": {"flip_horizontal": True}})
    assert code == 0
    assert boxes_of("COCO", results)["0.jpg"] == [("roof", (24, 5, 44, 15)), ("tree", (5.5, 20, 35.5, 45))]


@pytest.mark.parametrize(
    ("change", "pixel", "wanted"),
    [
        ({"brightness": {"offset": 20}}, (10, 100, 250), (30, 120, 255)),
        ({"contrast": {"contrast": 1.0, "center": 100}}, (90, 100, 160), (80, 100, 220)),
        ({"saturation": {"saturation_shift": 0.0}}, (200, 200, 200), (200, 200, 200)),
        ({"contrast": {"contrast": 0.5}, "brightness": {"offset": 20}}, (127, 107, 27), (157, 127, 7)),
        ({"hue": {"hue_rotation_angle": 120}}, (255, 0, 0), (0, 0, 255)),
    ],
)
def test_colours_change_as_specified(change: dict[str, Any], pixel: tuple[int, ...], wanted: tuple[int, ...]) -> None:
    settings = convert({"color_aug": change}, Settings).color_aug
    found = colour(Image.new("RGB", (2, 2), pixel), 0, settings).getpixel((0, 0))
    assert all(abs(one - other) <= 6 for one, other in zip(found, wanted, strict=True)), found


def test_a_transform_without_an_image_left_is_rejected(marked: Path, tmp_path: Path) -> None:
    _, lines, _ = augment(tmp_path / "b", marked, spatial_aug={"shear": {"shear_ratio_x": 1, "shear_ratio_y": 1}})
    assert lines[-1]["message"] == "spatial_aug.shear: its ratios press the image onto a line; lower them."
    _, lines, _ = augment(tmp_path / "c", marked, data={"output_image_width": 0})
    assert lines[-1]["message"] == "data.output_image_width: 0 is not between 1 and 16384."
    _, lines, _ = augment(tmp_path / "d", marked, data={"output_dataset": str(marked)})
    assert lines[-1]["message"].endswith("is where the images come from; name another folder.")


numbers = st.floats(-3, 3).map(lambda value: round(value, 3))


@given(st.tuples(numbers, numbers, numbers, numbers, numbers, numbers), numbers, numbers)
def test_a_matrix_and_its_inverse_leave_a_point_where_it_was(matrix: affine.Matrix, x: float, y: float) -> None:
    a, b, _, d, e, _ = matrix
    if abs(a * e - b * d) < 0.01:
        return
    p, q, r, s, t, u = affine.then(matrix, affine.inverse(matrix))
    assert p * x + q * y + r == pytest.approx(x, abs=1e-6)
    assert s * x + t * y + u == pytest.approx(y, abs=1e-6)


@given(st.floats(-360, 360), st.booleans(), st.booleans(), st.integers(0, 30), st.integers(0, 30))
def test_a_moved_box_lies_in_the_image(angle: float, across: bool, down: bool, left: int, top: int) -> None:
    flips = {"flip_horizontal": across, "flip_vertical": down}
    document = {"spatial_aug": {"rotation": {"angle": angle}, "flip": flips}}
    matrix = space((60, 40), (80, 90), 0, convert(document, Settings).spatial_aug)
    found = affine.move(Box(left, top, left + 20, top + 10), matrix, 80, 90)
    if found is not None:
        assert 0 <= found.left < found.right <= 80
        assert 0 <= found.top < found.bottom <= 90


def analytics(folder: Path, action: str, top: Path, **more: Any) -> tuple[int, list[dict[str, Any]], Path]:
    data = {"input_format": "KITTI", "image_dir": str(top / "images"), "ann_path": str(top / "labels")}
    code, lines = engine(folder, "analytics", action, {"data": data} | more)
    return code, lines, folder / "results"


def test_analyze_counts_and_draws(tmp_path: Path) -> None:
    top = tmp_path / "set"
    valid_sets.kitti(top)
    code, lines, results = analytics(
        tmp_path / "a", "analyze", top, image={"generate_image_with_bounding_box": True, "sample_size": 2}
    )
    assert (code, lines[-1]["message"]) == (0, "Analysed 3 images with 6 objects of 2 classes, drew 2 images")
    summary = json.loads((results / "summary.json").read_text())
    assert summary["classes"] == {"roof": {"objects": 3, "images": 3}, "tree": {"objects": 3, "images": 3}}
    assert summary["boxes"]["width"] == {"least": 20.0, "median": 20.0, "most": 30.0}
    assert lines[-2]["categorical"] == {"objects": {"roof": 3, "tree": 3}}
    graphs = {path.name: Image.open(path).size for path in (results / "graphs").iterdir()}
    drawn = ("classes", "box_widths", "box_heights", "box_areas", "objects_per_image")
    assert set(graphs) == {f"{name}.png" for name in drawn}
    assert set(graphs.values()) == {(900, 900)}
    assert len(list((results / "images_with_boxes").iterdir())) == 2


def test_validate_writes_corrected_labels_and_keeps_the_rest_of_each_line(tmp_path: Path) -> None:
    top = tmp_path / "set"
    valid_sets.kitti(top)
    odd = "tree 0.50 2 1.25 {} 1.00 2.00 3.00 4.00 5.00 6.00 0.70\n"
    wrong = ("30.00 20.00 10.00 40.00", "-5.00 0.00 60.00 9.00", "60.00 0.00 70.00 9.00")
    (top / "labels" / "1.txt").write_text("".join(odd.format(box) for box in wrong))
    code, lines, results = analytics(tmp_path / "v", "validate", top)
    assert code == 0
    said = "Validated 3 images: 3 wrong boxes, 0 other problems; corrected labels were written"
    assert lines[-1]["message"] == said
    assert (results / "labels" / "1.txt").read_text() == "".join(
        odd.format(box) for box in ("10.00 20.00 30.00 40.00", "0.00 0.00 48.00 9.00")
    )
    assert (results / "labels" / "0.txt").read_text() == (top / "labels" / "0.txt").read_text()
    problems = json.loads((results / "problems.json").read_text())
    assert problems[1] == {
        "file": "labels/1.txt",
        "line": 2,
        "what": "the box (-5, 0, 60, 9) is outside",
        "expected": "within 48 x 48 pixels",
    }


edge = st.floats(-200, 200)


@given(edge, edge, edge, edge)
def test_a_corrected_box_needs_no_correction(left: float, top: float, right: float, bottom: float) -> None:
    found, _ = correct(Box(left, top, right, bottom), (60, 40))
    if found is not None:
        assert correct(found, (60, 40)) == (found, set())


@pytest.mark.parametrize("values", [[], [3.0], [2.0, 2.0], [-1e6, 0.5, 1e6]])
def test_a_histogram_is_drawn_of_any_values(values: list[float], tmp_path: Path) -> None:
    charts.histogram(tmp_path / "a.png", "Values", values, (4, 4), "px")
    assert Image.open(tmp_path / "a.png").size == (240, 240)


def test_many_bars_are_summed_unless_all_are_drawn_and_names_are_no_formulas(tmp_path: Path) -> None:
    counts = {f"${number}_" * 12: number for number in range(100)} | {"$x$": 1, "a" * 40: 2, "a" * 41: 3}
    charts.bars(tmp_path / "a.png", "Objects", counts, (6, 4))
    charts.bars(tmp_path / "b.png", "Objects", counts, (6, 4), everything=True)
    charts.bars(tmp_path / "c.png", "Objects", {}, (6, 4))
    few, everything, none = (Image.open(tmp_path / name).size for name in ("a.png", "b.png", "c.png"))
    assert few == (360, round(40 * 0.35 * 60)) and everything == (360, round(103 * 0.35 * 60)) and none == (360, 240)
