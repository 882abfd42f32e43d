"""Each type and format: without something that it needs it is rejected, in exactly these words."""

from __future__ import annotations

from pathlib import Path

import pytest

from taod.datasets.validation.structure import check, tree
from taod.errors import BadRequest
from tests.datasets.valid_sets import VALID

RETAIL = "metric_learning_recognition/retail-product-checkout-dataset_classification_demo"
FOLDERS = "one images folder (images/, images_train/, images_val/, images_test/), or several of the last three"
CLASSES = f"{FOLDERS}, with a subfolder for each class"
UNET = "images/train/, images/val/, images/test/, masks/train/, masks/val/"
POSE = ("train_data.npy", "train_label.pkl", "val_data.npy", "val_label.pkl")
KINETICS, NVIDIA = (" with ".join(f"{layout}/{name}" for name in POSE) for layout in ("kinetics", "nvidia"))
BODIES = (
    "annotations/person_keypoints_train2017.json, annotations/person_keypoints_val2017.json, train2017/, val2017/, "
    "coco_spec.json, bpnet_18joints.json, infer_spec.yaml"
)
TEXT = "image/, label/, characters.txt"
LISTS = "train/gt_new.txt or test/gt_new.txt"
FACES = "data.json, data/afw/afw.json or data/afw_10/afw_10.json"
SCANS = "train/label/, train/lidar/, val/label/, val/lidar/"
PERSONS = "sample_train/, sample_test/, sample_query/"

WORDS: dict[tuple[str, str], tuple[str, list[str]]] = {
    ("object_detection", "kitti"): ("images/, labels/", ["images/", "labels/"]),
    ("object_detection", "coco"): ("images/, annotations.json", ["images/", "annotations.json"]),
    ("object_detection", "raw"): ("images/", ["images/"]),
    ("object_detection", "coco_raw"): ("images/, label_map.txt or label_map.yaml", ["images/"]),
    ("instance_segmentation", "coco"): ("images/, annotations.json", ["images/", "annotations.json"]),
    ("instance_segmentation", "raw"): ("images/", ["images/"]),
    ("instance_segmentation", "coco_raw"): ("images/, label_map.txt or label_map.yaml", ["images/"]),
    ("semantic_segmentation", "unet"): (UNET, UNET.split(", ")),
    ("semantic_segmentation", "coco"): ("images/, annotations.json", ["images/", "annotations.json"]),
    ("semantic_segmentation", "raw"): ("images/", ["images/"]),
    ("image_classification", "custom"): (f"{FOLDERS}, val.csv, and train.csv beside images_train/", ["val.csv"]),
    ("image_classification", "classification_pyt"): (f"{CLASSES}, classes.txt", ["classes.txt"]),
    ("character_recognition", "lprnet"): (TEXT, TEXT.split(", ")),
    ("character_recognition", "raw"): ("image/", ["image/"]),
    ("ocrnet", "default"): (f"character_list, {LISTS}", ["character_list"]),
    ("optical_inspection", "default"): ("images/, dataset.csv", ["images/", "dataset.csv"]),
    ("ml_recog", "default"): (
        f"{RETAIL}/known_classes/, {RETAIL}/unknown_classes/",
        [f"{RETAIL}/known_classes/", f"{RETAIL}/unknown_classes/"],
    ),
    ("bpnet", "default"): (BODIES, BODIES.split(", ")),
    ("fpenet", "default"): (FACES, ["data.json"]),
    ("action_recognition", "default"): ("train/, test/", ["train/", "test/"]),
    ("pointpillars", "default"): (SCANS, SCANS.split(", ")),
    ("pose_classification", "default"): (f"{KINETICS} or {NVIDIA}", [f"kinetics/{name}" for name in POSE]),
    ("re_identification", "default"): (PERSONS, PERSONS.split(", ")),
}
"""What is expected, and paths each of which is missed by its name."""
WAYS = ("gone", "of the other kind", "in capitals")
CASES = [(*kind, path, way) for kind, (_, paths) in WORDS.items() for path in paths for way in WAYS]


def hide(top: Path, path: str, way: str) -> str:
    """Take a path away: altogether, by something of the other kind in its place, or by another case of its name.

    Returns what the error says of it.
    """
    name, end = path.rstrip("/"), "/" if path.endswith("/") else ""
    place = top / name
    if way == "in capitals":
        aside = place.with_name(place.name.upper())
        place.rename(aside)
        return f"{path} (there is {aside.relative_to(top)}{end}, which differs in case)"
    place.rename(top / "beside" / "0")
    if way == "gone":
        return path
    if end:
        place.write_text("")
        return f"{path} ({name} is a file, not a folder)"
    place.mkdir()
    return f"{path} ({name} is a folder, not a file)"


@pytest.mark.parametrize(("type_", "format_", "path", "way"), CASES)
def test_what_is_missing_is_named_in_these_words(type_: str, format_: str, path: str, way: str, tmp_path: Path) -> None:
    VALID[type_, format_](tmp_path)
    (tmp_path / "beside").mkdir()  # so that no folder is taken for a leading one
    missing = hide(tmp_path, path, way)
    with pytest.raises(BadRequest) as raised:
        check(tmp_path, type_, format_)
    expected, _ = WORDS[type_, format_]
    assert str(raised.value) == (
        f"The files are not laid out as a dataset of type {type_}, format {format_}: missing: {missing}.\n"
        f"Expected at the top: {expected}.\n"
        f"Found:\n{tree(tmp_path)}"
    )


@pytest.mark.parametrize(
    ("type_", "format_", "expected"),
    [
        ("image_classification", "default", CLASSES),
        ("image_classification", "raw", FOLDERS),
        ("image_classification", "custom", f"{FOLDERS}, val.csv, and train.csv beside images_train/"),
        ("image_classification", "classification_pyt", f"{CLASSES}, classes.txt"),
    ],
)
def test_a_classification_set_without_its_images(type_: str, format_: str, expected: str, tmp_path: Path) -> None:
    VALID[type_, format_](tmp_path)
    (tmp_path / "beside").mkdir()
    for folder in list(tmp_path.glob("images*")):
        folder.rename(tmp_path / "beside" / folder.name[-1])
    with pytest.raises(BadRequest) as raised:
        check(tmp_path, type_, format_)
    assert str(raised.value) == (
        f"The files are not laid out as a dataset of type {type_}, format {format_}: "
        "missing: images_train/ or images/ or images_val/ or images_test/.\n"
        f"Expected at the top: {expected}.\n"
        f"Found:\n{tree(tmp_path)}"
    )


@pytest.mark.parametrize("format_", ["default", "classification_pyt"])
def test_a_classification_set_whose_images_lie_flat(format_: str, tmp_path: Path) -> None:
    VALID["image_classification", format_](tmp_path)
    for image in list((tmp_path / "images_val").rglob("*.png")):
        image.rename(tmp_path / "images_val" / image.name)
    for folder in [each for each in (tmp_path / "images_val").iterdir() if each.is_dir()]:
        folder.rmdir()
    with pytest.raises(BadRequest, match="images_val/ has no subfolders: each class's images lie in its own"):
        check(tmp_path, "image_classification", format_)


@pytest.mark.parametrize(
    ("type_", "split", "missing"),
    [
        ("ocdnet", ("train/img", "test"), "train/img/"),
        ("ocdnet", ("train/gt", "test"), "train/gt/"),
        ("ocdnet", ("train", "test"), "train/img/ with train/gt/ or test/img/ with test/gt/"),
        ("ocrnet", ("train", "test"), LISTS),
    ],
)
def test_a_split_without_its_parts(type_: str, split: tuple[str, ...], missing: str, tmp_path: Path) -> None:
    VALID[type_, "default"](tmp_path)
    (tmp_path / "beside").mkdir()
    for part in split:
        (tmp_path / part).rename(tmp_path / f"old_{part.replace('/', '_')}")
    with pytest.raises(BadRequest) as raised:
        check(tmp_path, type_, "default")
    assert f"type {type_}, format default: missing: {missing}.\n" in str(raised.value)
