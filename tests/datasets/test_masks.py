"""The check of masks of unet: pixels are counted by class, and a value without a class is a problem of its file."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from taod.datasets.formats import masks
from taod.datasets.formats.validate import ContentCheck
from taod.datasets.validation import samples
from taod.datasets.validation.summary import summarise
from tests.datasets import valid_sets

SIDE = valid_sets.SIDE
CLASSES = [{"name": "sky", "mapping_class": "sky", "label_id": 0}, {"name": "roof", "label_id": 1}]


@pytest.fixture
def top(tmp_path: Path) -> Path:
    """Two photographs in train and val each; the left quarter of each mask is class 1."""
    for split in ("train", "val", "test"):
        for number in range(2):
            valid_sets.photograph(number, tmp_path / f"images/{split}/{number}.jpg")
            if split != "test":
                save(tmp_path, Image.fromarray(quarter()), f"{split}/{number}.png")
    (tmp_path / masks.CLASSES).write_text(json.dumps(CLASSES))
    return tmp_path


def quarter() -> np.ndarray:
    mask = np.zeros((SIDE, SIDE), "uint8")
    mask[:, : SIDE // 4] = 1
    return mask


def save(top: Path, image: Image.Image, name: str = "train/0.png") -> None:
    path = top / "masks" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    image.save(path)


def checked(top: Path) -> list[tuple[str, str, str]]:
    return [
        (each.file, each.what, each.expected) for each in ContentCheck(top, "semantic_segmentation", "unet").run().first
    ]


def test_classes_are_counted_by_pixels_and_by_mask(top: Path) -> None:
    report = ContentCheck(top, "semantic_segmentation", "unet").run()
    assert report.message == "Checked 6 items with 8 labels: nothing is wrong"
    assert report.classes == {"roof": 4, "sky": 4}
    assert report.pixels == {"roof": SIDE * SIDE, "sky": 3 * SIDE * SIDE}
    summary = summarise(top, "semantic_segmentation", "unet")
    assert summary.classes == ["sky", "roof"]
    assert summary.shares == {"sky": 0.75, "roof": 0.25}


def test_without_names_classes_go_by_their_numbers_and_none_is_wrong(top: Path) -> None:
    (top / masks.CLASSES).unlink()
    save(top, Image.fromarray(quarter() * 200))
    report = ContentCheck(top, "semantic_segmentation", "unet").run()
    assert report.problems == 0
    assert report.classes == {"0": 4, "1": 3, "200": 1}
    summary = summarise(top, "semantic_segmentation", "unet")
    assert summary.classes == []
    assert summary.shares == {"0": 0.75, "1": 0.1875, "200": 0.0625}


def palette() -> Image.Image:
    coloured = Image.frombytes("P", (SIDE, SIDE), quarter().tobytes())
    coloured.putpalette([0, 0, 0, 255, 128, 0])
    return coloured


@pytest.mark.parametrize(
    "made",
    [
        palette,
        lambda: Image.fromarray(quarter()).point([0] + [255] * 255).convert("1"),
        lambda: Image.fromarray(quarter()).convert("RGB"),
        lambda: Image.fromarray(quarter()).convert("RGBA"),
        lambda: Image.fromarray(quarter()).convert("LA"),
    ],
    ids=["palette", "two colours", "grey as RGB", "grey as RGBA", "grey with alpha"],
)
def test_every_way_to_store_class_numbers_is_read(made: Callable[[], Image.Image], top: Path) -> None:
    save(top, made())
    report = ContentCheck(top, "semantic_segmentation", "unet").run()
    assert report.problems == 0, report.first
    assert report.pixels == {"roof": SIDE * SIDE, "sky": 3 * SIDE * SIDE}


def colours(top: Path) -> None:
    mask = np.stack([quarter(), quarter() * 3, quarter()], axis=-1)
    save(top, Image.fromarray(mask))


def deep(top: Path) -> None:
    save(top, Image.fromarray(quarter().astype("uint16") * 1000))


def jpeg(top: Path) -> None:
    (top / "masks/train/0.png").unlink()
    save(top, Image.fromarray(quarter()), "train/0.jpg")


def unknown(top: Path) -> None:
    mask = quarter()
    mask[0, 0], mask[1, :2] = 9, 7
    save(top, Image.fromarray(mask))


def other_size(top: Path) -> None:
    save(top, Image.fromarray(quarter()[:20]))


def cut(top: Path) -> None:
    path = top / "masks/train/0.png"
    noise = np.random.default_rng(0).integers(0, 2, (SIDE, SIDE), "uint8")
    Image.fromarray(noise).save(path)
    path.write_bytes(path.read_bytes()[:120])


NUMBERS = "a PNG of 8 bits, grey or with a palette, whose values are class numbers"


@pytest.mark.parametrize(
    ("breaks", "file", "what", "expected"),
    [
        (colours, "masks/train/0.png", "the mask is in colours, 576 of its pixels are not grey", NUMBERS),
        (deep, "masks/train/0.png", "the mask's pixels are of mode I;16", NUMBERS),
        (jpeg, "masks/train/0.jpg", "the mask is a JPEG, whose compression changes class numbers", NUMBERS),
        (
            unknown,
            "masks/train/0.png",
            "the mask has class numbers that target_classes.json does not declare: 7 (2 pixels), 9 (1 pixels)",
            "0 (sky), 1 (roof)",
        ),
        (other_size, "masks/train/0.png", "the mask has 48 x 20 pixels", "48 x 48, as images/train/0.jpg has"),
        (cut, "masks/train/0.png", "the image cannot be read: ", "a whole image"),
    ],
)
def test_an_invalid_mask_is_a_problem_of_its_file(
    breaks: Callable[[Path], None], file: str, what: str, expected: str, top: Path
) -> None:
    breaks(top)
    (found,) = checked(top)
    assert (found[0], found[2]) == (file, expected)
    assert found[1].startswith(what), found[1]


@pytest.mark.parametrize(
    ("content", "what"),
    [
        ("{", "the classes are invalid: "),
        ('[{"name": "a"}]', "the classes are invalid: "),
        ('[{"name": "a", "label_id": 256}]', "label_id 256 of 'a' is not a class number"),
        ('[{"name": "a", "label_id": 1}, {"name": "b", "label_id": 1}]', "label_id 1 of 'b' is already used"),
    ],
)
def test_invalid_names_are_a_problem_and_masks_are_counted_by_number(content: str, what: str, top: Path) -> None:
    (top / masks.CLASSES).write_text(content)
    (found,) = checked(top)
    assert found[0] == "target_classes.json"
    assert found[1].startswith(what), found[1]
    assert set(summarise(top, "semantic_segmentation", "unet").shares) == {"0", "1"}


def test_masks_of_test_images_are_checked_where_there_are_some(top: Path) -> None:
    save(top, Image.fromarray(quarter() * 5), "test/1.png")
    ((file, what, _),) = checked(top)
    assert file == "masks/test/1.png"
    assert "a class number that target_classes.json does not declare: 5 (576 pixels)" in what


def test_a_thumbnail_shows_the_classes_and_ignores_a_damaged_mask(top: Path, tmp_path: Path) -> None:
    items = samples.choose(top, "semantic_segmentation", "unet", tmp_path / "review", None)
    item = next(each for each in items if each.image == "images/train/0.jpg")
    bare, tinted = (
        np.asarray(Image.open(io.BytesIO(samples.thumbnail(top, item, tmp_path / "review", None, boxes=boxes))), int)
        for boxes in (False, True)
    )
    apart = np.abs(bare - tinted).mean(axis=(0, 2))
    assert apart[: SIDE // 4 - 1].min() > 20 > 5 > apart[SIDE // 2 :].max()
    (top / item.mask).write_bytes(b"none")
    made = samples.thumbnail(top, item, tmp_path / "other", None, boxes=True)
    assert np.abs(np.asarray(Image.open(io.BytesIO(made)), int) - bare).max() == 0


@pytest.mark.parametrize("type_", ["instance_segmentation", "semantic_segmentation"])
def test_segmentations_of_coco_are_checked(type_: str, tmp_path: Path) -> None:
    valid_sets.coco(tmp_path)
    assert ContentCheck(tmp_path, type_, "coco").run().problems == 0
    document = valid_sets.coco_document(3)
    document["annotations"][1]["segmentation"] = [[1, 2, 3, 4]]
    document["annotations"][4]["segmentation"] = {"size": [SIDE, SIDE], "counts": [SIDE, 7]}
    (tmp_path / "annotations.json").write_text(json.dumps(document, indent=1))
    report = ContentCheck(tmp_path, type_, "coco").run()
    assert [(each.file, each.what) for each in report.first] == [
        ("annotations.json", "annotations[1]: a polygon has 4 numbers"),
        ("annotations.json", f"annotations[4]: the mask's counts add up to {SIDE + 7} pixels"),
    ]
    assert all(each.line > 10 for each in report.first)
    assert report.labels == 6
    assert ContentCheck(tmp_path, "object_detection", "coco").run().problems == 0


@settings(max_examples=60, deadline=None)
@given(changes=st.lists(st.tuples(st.integers(0, 10_000), st.integers(0, 255)), max_size=6), cut=st.integers(0, 400))
def test_whatever_a_mask_holds_is_counted_or_a_problem(
    changes: list[tuple[int, int]], cut: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("any")
    Image.fromarray(quarter()).save(folder / "0.png")
    data = bytearray((folder / "0.png").read_bytes())
    for place, value in changes:
        data[place % len(data)] = value
    (folder / "0.png").write_bytes(data[: len(data) - cut] if cut < 20 else data)
    found = masks.inspect_mask(folder, "0.png", {})
    assert found.pixels or found.problems
