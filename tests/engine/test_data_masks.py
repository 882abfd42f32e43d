"""`annotations convert` with segmentations: COCO keeps them, masks of unet are made of them and become them again."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from pycocotools import mask as peer
from pycocotools.coco import COCO
from scipy import ndimage

from runners.engine import capabilities
from runners.engine.data import shapes, unet
from taod.datasets.formats.coco import Category
from taod.datasets.formats.types import Item
from taod.datasets.formats.validate import ContentCheck
from taod.datasets.validation import structure
from tests.datasets import valid_sets
from tests.engine.test_data_convert import boxes_of, engine

SIDE = valid_sets.SIDE


def spec(given: str, wanted: str, top: Path, **data: Any) -> dict[str, Any]:
    document: dict[str, Any] = {"data": {"input_format": given, "output_format": wanted} | data}
    if given == "COCO":
        return document | {"coco": {"ann_file": str(top / "annotations.json")}}
    return document | {"unet": {"image_dir": str(top / "images"), "mask_dir": str(top / "masks")}}


def converted(folder: Path, given: str, wanted: str, top: Path, **data: Any) -> tuple[Path, list[dict[str, Any]]]:
    code, lines = engine(folder, "annotations", "convert", spec(given, wanted, top, **data))
    assert code == 0, lines
    return folder / "results", lines


def real_masks(number: int) -> np.ndarray:
    """Classes 0 to 2 of a piece of a photograph: sky, bright and dark, of real and ragged outlines."""
    whole = valid_sets.photographs()[number % 2]
    top, left = 37 * number % (whole.shape[0] - SIDE), 53 * number % (whole.shape[1] - SIDE)
    piece = whole[top : top + SIDE, left : left + SIDE].astype(int)
    return np.where(piece[..., 2] < 90, 2, np.where(piece[..., 0] > 150, 1, 0)).astype("uint8")


def segmented(top: Path, *, ids: tuple[int, int] = (3, 7)) -> dict[str, Any]:
    """A COCO set of 5 photographs: masks by colour, packed in the first ones and plain in the last, and polygons."""
    document: dict[str, Any] = {
        "images": [],
        "annotations": [],
        "categories": [{"id": ids[0], "name": "bright", "supercategory": "light"}, {"id": ids[1], "name": "dark"}],
    }
    for number in range(5):
        valid_sets.photograph(number, top / f"images/{number}.jpg")
        image = {"id": 100 + number, "file_name": f"{number}.jpg", "width": SIDE, "height": SIDE}
        document["images"].append(image)
        for class_ in (1, 2):
            found = real_masks(number) == class_
            if not found.any():
                continue
            packed = peer.encode(np.asfortranarray(found.astype("uint8")))
            text = packed["counts"].decode()
            runs = list(shapes.runs(found))
            document["annotations"].append(
                {
                    "id": 1000 + 10 * number + class_,
                    "image_id": 100 + number,
                    "category_id": ids[class_ - 1],
                    "bbox": [float(edge) for edge in peer.toBbox(packed)],
                    "area": float(peer.area(packed)),
                    "iscrowd": int(number == 4),
                    "segmentation": {"size": [SIDE, SIDE], "counts": runs if number == 4 else text},
                }
            )
    valid_sets.text(top / "annotations.json", json.dumps(document))
    return document


def masks_of(top: Path) -> dict[str, np.ndarray]:
    """Masks by image, with the class numbers."""
    files = sorted((top / "masks").rglob("*.png"))
    return {str(file.relative_to(top / "masks").with_suffix("")): np.asarray(Image.open(file)) for file in files}


def test_masks_made_of_coco_become_coco_and_the_same_masks_again(tmp_path: Path) -> None:
    document = segmented(tmp_path / "set")
    first, lines = converted(tmp_path / "1", "COCO", "UNET", tmp_path / "set")
    assert lines[-1]["message"] == f"Converted 5 images with {len(document['annotations'])} objects from COCO to UNET"
    painted = masks_of(first)
    assert sorted(painted) == ["train/0", "train/1", "train/3", "train/4", "val/2"]
    numbers = np.array([0, 3, 7], "uint8")
    for name, mask in painted.items():
        assert np.array_equal(mask, numbers[real_masks(int(name[-1]))]), name
    assert json.loads((first / "target_classes.json").read_text()) == [
        {"name": name, "label_id": number, "mapping_class": name}
        for number, name in ((0, "background"), (3, "bright"), (7, "dark"))
    ]
    assert structure.check(first, "semantic_segmentation", "unet") == first
    report = ContentCheck(first, "semantic_segmentation", "unet").run()
    assert report.problems == 0
    assert sum(report.pixels.values()) == 5 * SIDE * SIDE

    second, _ = converted(tmp_path / "2", "UNET", "COCO", first)
    assert ContentCheck(second, "semantic_segmentation", "coco").run().problems == 0
    found = COCO(str(second / "annotations.json"))
    assert {each["id"]: each["name"] for each in found.dataset["categories"]} == {3: "bright", 7: "dark"}
    for image in found.imgs.values():
        whole = np.zeros((SIDE, SIDE), "uint8")
        for each in found.loadAnns(found.getAnnIds(imgIds=image["id"])):
            shape = found.annToMask(each)
            whole[shape == 1] = each["category_id"]
            assert each["area"] == shape.sum()
            assert each["bbox"] == list(peer.toBbox(found.annToRLE(each)))
        assert np.array_equal(whole, painted[image["file_name"].removesuffix(".jpg")])
    third, _ = converted(tmp_path / "3", "COCO", "UNET", second)
    again = masks_of(third)
    assert again.keys() == painted.keys()
    assert all(np.array_equal(again[name], painted[name]) for name in painted)
    assert (third / "target_classes.json").read_bytes() == (first / "target_classes.json").read_bytes()


def test_coco_becomes_coco_with_ids_segmentations_areas_and_crowds(tmp_path: Path) -> None:
    document = segmented(tmp_path / "set")
    results, _ = converted(tmp_path / "c", "COCO", "COCO", tmp_path / "set")
    found = json.loads((results / "annotations.json").read_text())
    document["categories"][1]["supercategory"] = "dark"
    assert found == document


def test_what_is_wrong_is_left_out_and_boxes_are_made_of_segmentations(tmp_path: Path) -> None:
    document = segmented(tmp_path / "set")
    wanted = document["annotations"][0]["bbox"]
    del document["annotations"][0]["bbox"]
    document["annotations"][1]["segmentation"] = [[1, 2, 3]]
    valid_sets.text(tmp_path / "set" / "annotations.json", json.dumps(document))
    results, lines = converted(tmp_path / "c", "COCO", "COCO", tmp_path / "set")
    found = json.loads((results / "annotations.json").read_text())["annotations"]
    assert found[0]["bbox"] == wanted
    assert found[1]["segmentation"] == []
    said = "annotations.json:1: annotations[1]: a polygon has 3 numbers; expected x, y of at least 3 points: an even"
    assert any(line["message"].startswith(said) for line in lines), lines


def test_keypoints_that_are_left_out_are_reported(tmp_path: Path) -> None:
    valid_sets.coco(tmp_path / "set")
    document = valid_sets.coco_document(3, keypoints=True)
    valid_sets.text(tmp_path / "set" / "annotations.json", json.dumps(document))
    _, lines = converted(tmp_path / "c", "COCO", "COCO", tmp_path / "set")
    (said,) = [line for line in lines if "Keypoints" in line["message"]]
    assert said["message"].startswith("Keypoints of 6 objects are left out: boxes and segmentations are carried")
    assert said["kpi"] == {"keypoints_left_out": 6}


@pytest.mark.parametrize("wanted", ["KITTI", "PASCAL_VOC"])
def test_a_target_of_boxes_reports_what_it_leaves_out(wanted: str, tmp_path: Path) -> None:
    document = segmented(tmp_path / "set")
    document["annotations"][0]["segmentation"] = [[1, 1, 9, 1, 9, 9]]
    valid_sets.text(tmp_path / "set" / "annotations.json", json.dumps(document))
    results, lines = converted(tmp_path / "c", "COCO", wanted, tmp_path / "set")
    count = len(document["annotations"])
    (said,) = [line for line in lines if "left out" in line["message"]]
    assert said["message"] == (
        f"{count} segmentations are left out (1 of polygons, {count - 1} masks): {wanted} holds boxes only; convert to "
        "COCO or UNET to keep them"
    )
    assert said["kpi"] == {"segmentations_left_out": count}
    assert boxes_of(wanted, results) == boxes_of("COCO", tmp_path / "set")


def painted(top: Path) -> Path:
    """A set of 2 photographs a split in unet's layout, with masks of classes 0 to 2 by their colours."""
    for number, place in enumerate(("train/0", "train/1", "val/2", "val/3", "test/4")):
        valid_sets.photograph(number, top / f"images/{place}.jpg")
        if not place.startswith("test"):
            (top / f"masks/{place}.png").parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(real_masks(number)).save(top / f"masks/{place}.png")
    return top


def test_masks_become_a_box_for_each_connected_region(tmp_path: Path) -> None:
    top = painted(tmp_path / "set")
    results, _ = converted(tmp_path / "k", "UNET", "KITTI", top)
    for name, mask in masks_of(top).items():
        regions = sum(ndimage.label(mask == class_, structure=np.ones((3, 3)))[1] for class_ in (1, 2))
        assert len((results / "labels" / f"{name}.txt").read_text().splitlines()) == regions
    whole, _ = converted(tmp_path / "c", "UNET", "COCO", top)
    parts, _ = converted(tmp_path / "p", "UNET", "COCO", top, regions=True)
    found = [json.loads((each / "annotations.json").read_text()) for each in (whole, parts)]
    named = [{"id": number, "name": str(number), "supercategory": str(number)} for number in (1, 2)]
    assert [each["categories"] for each in found] == [named, named]
    assert len(found[0]["annotations"]) < len(found[1]["annotations"])
    assert len({sum(each["area"] for each in one["annotations"]) for one in found}) == 1


def test_invalid_masks_are_skipped_and_reported(tmp_path: Path) -> None:
    top = painted(tmp_path / "set")
    Image.fromarray(real_masks(0)[:20]).save(top / "masks/train/0.png")
    Image.fromarray(np.stack([real_masks(1), real_masks(2), real_masks(1)], axis=-1)).save(top / "masks/train/1.png")
    (top / "masks/val/2.png").write_bytes(b"none")
    results, lines = converted(tmp_path / "c", "UNET", "COCO", top)
    messages = [line["message"] for line in lines]
    assert "masks/train/0.png: the mask has 48 x 20 pixels; expected 48 x 48, as train/0.jpg has" in messages
    assert any(message.startswith("masks/train/1.png: the mask is in colours") for message in messages)
    assert any(message.startswith("masks/val/2.png: the mask cannot be read") for message in messages)
    assert messages[-1].endswith("3 problems were passed over")
    images = json.loads((results / "annotations.json").read_text())["images"]
    assert [each["file_name"] for each in images] == ["test/4.jpg", "val/3.jpg"]
    assert sorted(str(path.relative_to(results / "images")) for path in results.rglob("*.jpg")) == [
        "test/4.jpg",
        "val/3.jpg",
    ]


bits = st.tuples(st.integers(1, 12), st.integers(1, 12)).flatmap(
    lambda size: st.binary(min_size=size[0] * size[1], max_size=size[0] * size[1]).map(
        lambda data: np.frombuffer(data, "uint8").reshape(size) % 2
    )
)


@given(bits)
def test_regions_are_those_of_scipy(mask: np.ndarray) -> None:
    image = Image.fromarray(mask * np.uint8(255))
    found = shapes.parts(shapes.runs(mask > 0), image.height)
    labelled, count = ndimage.label(mask, structure=np.ones((3, 3)))
    wanted = {(labelled == number).tobytes() for number in range(1, count + 1)}
    assert {(np.asarray(shapes.of_runs(one, image.size)) > 0).tobytes() for one in found} == wanted


def test_of_objects_that_overlap_the_smaller_is_seen_and_those_without_pixels_are_reported(tmp_path: Path) -> None:
    document = segmented(tmp_path / "set")
    square = [[10, 10, 30, 10, 30, 30, 10, 30]]
    small = [[15, 15, 20, 15, 20, 20, 15, 20]]
    shown = [(7, small), (3, square), (3, [])]
    document["annotations"] = [
        {"id": at, "image_id": 100, "category_id": kind, "bbox": [10, 10, 20, 20], "segmentation": found}
        for at, (kind, found) in enumerate(shown)
    ]
    valid_sets.text(tmp_path / "set" / "annotations.json", json.dumps(document))
    results, lines = converted(tmp_path / "u", "COCO", "UNET", tmp_path / "set", val_share=0)
    mask = masks_of(results)["train/0"]
    assert (mask[17, 17], mask[12, 12], mask[5, 5]) == (7, 3, 0)
    assert any(line["message"].startswith("1 objects have no segmentation") for line in lines)
    assert structure.check(results, "semantic_segmentation", "unet") == results


def test_a_mask_of_another_size_than_its_image_is_left_out_and_reported(tmp_path: Path) -> None:
    document = segmented(tmp_path / "set")
    for each in document["images"]:
        del each["width"], each["height"]
    document["annotations"][0]["segmentation"] = {"size": [4, 5], "counts": [3, 17]}
    valid_sets.text(tmp_path / "set" / "annotations.json", json.dumps(document))
    _, lines = converted(tmp_path / "u", "COCO", "UNET", tmp_path / "set")
    said = "annotations.json: the mask of bright has 5 x 4 pixels; expected 48 x 48, as 0.jpg has"
    assert any(line["message"] == said for line in lines), lines


def test_ids_that_a_mask_cannot_hold_are_renumbered_and_reported(tmp_path: Path) -> None:
    segmented(tmp_path / "set", ids=(0, 4000))
    results, lines = converted(tmp_path / "u", "COCO", "UNET", tmp_path / "set")
    assert any(line["message"].endswith("classes are renumbered: bright 1, dark 2") for line in lines)
    assert set(np.unique(np.concatenate([mask.ravel() for mask in masks_of(results).values()]))) == {0, 1, 2}


@pytest.mark.parametrize(
    ("given_", "wanted"),
    [
        ([(1, "a"), (2, "b")], ({"a": 1, "b": 2}, 0, True)),
        ([(0, "background"), (2, "b")], ({"b": 2}, 0, True)),
        ([(1, "background"), (0, "foreground")], ({"foreground": 0}, 1, True)),
        ([(0, "a"), (2, "b")], ({"a": 1, "b": 2}, 0, False)),
        ([(300, "background"), (2, "b")], ({"b": 2}, 0, False)),
        ([(256, "a"), (2, "b")], ({"b": 1, "a": 2}, 0, False)),
    ],
)
def test_class_numbers_are_category_ids_where_they_fit(given_: list[tuple[int, str]], wanted: Any) -> None:
    assert unet.numbered([Category(number, name) for number, name in given_]) == wanted


def test_images_keep_their_split_and_the_rest_is_shared_out() -> None:
    items = [Item(name) for name in ("train/a.png", "test/b.png", *(f"{at}.png" for at in range(10)))]
    places = list(unet.placed(items, 0.2).values())
    assert places[:2] == ["train/a.png", "test/b.png"]
    assert [place for place in places if place.startswith("val/")] == ["val/2.png", "val/7.png"]


@pytest.mark.parametrize(
    ("given_", "wanted", "said"),
    [
        ("KITTI", "UNET", "data.output_format: KITTI has no way to UNET: it holds boxes, and masks need polygons."),
        ("UNET", "UNET", "data.output_format: it is UNET, as data.input_format is; name another one."),
    ],
)
def test_an_impossible_conversion_is_rejected(given_: str, wanted: str, said: str) -> None:
    able, reason, _ = capabilities.can("annotations", "convert", spec(given_, wanted, Path("/")))
    assert (able, reason) == (False, said)


def test_a_coco_file_of_boxes_alone_makes_no_masks(tmp_path: Path) -> None:
    top = tmp_path / "set"
    valid_sets.coco(top)
    document = json.loads((top / "annotations.json").read_text())
    for each in document["annotations"]:
        each["segmentation"] = []
    valid_sets.text(top / "annotations.json", json.dumps(document))
    code, lines = engine(tmp_path / "u", "annotations", "convert", spec("COCO", "UNET", top))
    assert code == 1
    assert "no annotation has a segmentation, and masks cannot be made of boxes" in lines[-1]["message"]
