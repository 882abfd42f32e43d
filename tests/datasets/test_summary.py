"""Figures of datasets: images, splits, classes, fingerprints."""

from __future__ import annotations

import os
import re

import msgspec
import pytest
from PIL import Image

from taod.datasets.validation.label_stats import MEASURED
from taod.datasets.validation.summary import summarise
from taod.errors import BadRequest
from taod.types.dataset import SplitSummary

COCO = {
    "images": [{"id": 1, "file_name": "1.png"}],
    "categories": [{"id": 7, "name": "dog", "supercategory": "animal"}, {"id": 3, "name": "cat"}],
    "annotations": [{"id": n, "image_id": 1, "category_id": 7, "bbox": [0, 0, 1, 1]} for n in range(3)],
}


def test_a_classification_set(digits, make_tree) -> None:
    tree = digits | {"._junk.png": b"j", "notes.md": b"12345"}
    summary = summarise(make_tree(tree), "image_classification", "classification_pyt")
    assert (summary.state, summary.images, summary.files) == ("ready", 12, 14)
    assert summary.bytes == sum(len(content) for name, content in tree.items() if name != "._junk.png")
    assert summary.classes == ["one", "two"]
    assert summary.splits == [
        SplitSummary("test", 2, {"one": 1, "two": 1}),
        SplitSummary("train", 6, {"one": 3, "two": 3}),
        SplitSummary("val", 4, {"one": 2, "two": 2}),
    ]
    assert summary.path is None


def test_classes_come_in_the_order_of_classes_txt(digits, make_tree) -> None:
    folder = make_tree(digits | {"classes.txt": b"two\none\n"})
    assert summarise(folder, "image_classification", "classification_pyt").classes == ["two", "one"]


def test_a_class_folder_without_images_counts_none(make_tree) -> None:
    folder = make_tree({"images/cat/deeper/1.JPG": b"x", "images/dog/": b""})
    assert summarise(folder, "image_classification", "default").splits == [
        SplitSummary("images", 1, {"cat": 1, "dog": 0})
    ]


def test_empty_images_of_a_classification_set_are_named(digits, make_tree) -> None:
    folder = make_tree(digits | {"images_val/one/0.png": b""})
    with pytest.raises(BadRequest) as raised:
        summarise(folder, "image_classification", "classification_pyt")
    assert str(raised.value) == (
        "'images_val/one/0.png': there is an image of 0 bytes; replace or remove them and upload again"
    )


def test_a_coco_set_counts_its_categories(make_tree) -> None:
    folder = make_tree({"images/1.png": b"x", "annotations.json": msgspec.json.encode(COCO)})
    summary = summarise(folder, "object_detection", "coco")
    assert summary.classes == ["dog", "cat"]
    assert summary.splits == [SplitSummary("images", 1, {"dog": 3, "cat": 0})]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"{\n", ", line 2: this is not COCO JSON: Input data was truncated"),
        (b"[]", ": this is not COCO JSON: Expected `object`, got `array`"),
        (b'{"categories": [\n{"name": "\xff"}]}', ", line 2: the text is not UTF-8 at byte 27 (invalid start byte)"),
        (b'{"annotations": [\n{"bbox": [1, NaN, 2, 3]}]}', ", line 2: NaN is not a number in JSON"),
        (b'{"annotations": [\n{"area": -Infinity}]}', ", line 2: -Infinity is not a number in JSON"),
        (b'{"images": [\n{]', ", line 2: this is not COCO JSON: JSON is malformed: expected '\"' (byte 14)"),
        (
            b'{"categories": [\n\n{"id": "x"}]}',
            ", line 3: this is not COCO JSON: Expected `int`, got `str` - at `$.categories[0].id`",
        ),
    ],
)
def test_annotations_that_are_not_coco_are_rejected(content, words, make_tree) -> None:
    whole = f"annotations.json{words}; correct it and upload again"
    with pytest.raises(BadRequest, match=f"^{re.escape(whole)}$"):
        summarise(make_tree({"images/1.png": b"x", "annotations.json": content}), "object_detection", "coco")


@pytest.mark.parametrize(
    ("type_", "format_", "files", "splits"),
    [
        ("semantic_segmentation", "raw", ["images/1.png", "images/a/2.png"], {"images": 2}),
        (
            "semantic_segmentation",
            "unet",
            ["images/train/1.png", "images/train/2.png", "images/val/1.png", "images/test/1.png", "masks/train/1.png"],
            {"train": 2, "val": 1, "test": 1},
        ),
        ("character_recognition", "lprnet", ["image/1.png", "label/1.txt"], {"image": 1}),
        ("ocdnet", "default", ["train/img/1.png", "train/gt/1.txt", "test/img/1.png"], {"train": 1, "test": 1}),
        ("bpnet", "default", ["train2017/1.jpg", "val2017/1.jpg"], {"train2017": 1, "val2017": 1}),
        ("re_identification", "default", ["sample_train/1.jpg", "sample_query/1.jpg"], {"train": 1, "query": 1}),
        ("action_recognition", "default", ["train/walk/v/rgb/1.png", "test/run/v/rgb/1.png"], {"train": 1, "test": 1}),
        ("pointpillars", "default", ["train/lidar/1.bin"], {}),
    ],
)
def test_splits_of_other_types(type_, format_, files, splits, make_tree) -> None:
    summary = summarise(make_tree(dict.fromkeys(files, b"x")), type_, format_)
    assert {split.name: split.images for split in summary.splits} == splits
    assert summary.images == sum(splits.values())
    assert summary.files == len(files)


def test_classes_of_action_recognition_are_its_folders(make_tree) -> None:
    folder = make_tree({"train/walk/v/rgb/1.png": b"x", "train/run/v/rgb/1.png": b"x", "test/walk/v/rgb/1.png": b"x"})
    assert summarise(folder, "action_recognition", "default").classes == ["run", "walk"]


def test_the_fingerprint_changes_with_names_sizes_and_times_only(digits, make_tree) -> None:
    folder = make_tree(digits)

    def fingerprint() -> str | None:
        return summarise(folder, "image_classification", "classification_pyt").fingerprint

    first = fingerprint()
    assert fingerprint() == first
    image = folder / "images_train" / "one" / "0.png"
    status = image.stat()
    os.utime(image, ns=(status.st_atime_ns, status.st_mtime_ns + 1))
    touched = fingerprint()
    assert touched != first
    os.utime(image, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert fingerprint() == first
    image.rename(image.with_name("9.png"))
    assert fingerprint() not in (first, touched)


def test_linked_folders_are_followed_and_loops_end(digits, make_tree) -> None:
    folder = make_tree(digits)
    (folder / "images_train").rename(folder.parent / "moved")
    (folder / "images_train").symlink_to(folder.parent / "moved")
    (folder / "images_val" / "loop").symlink_to(folder)
    (folder / "dangling.png").symlink_to("nowhere")
    summary = summarise(folder, "image_classification", "default")
    assert summary.images == 12


def test_a_summary_lists_each_folder_once_and_opens_a_sample_of_images(make_tree, monkeypatch) -> None:
    folder = make_tree({f"images_train/{n % 9}/{n}.png": b"x" for n in range(MEASURED + 50)})
    opened: list[object] = []
    open_image = Image.open
    listed: list[str] = []
    scandir = os.scandir

    def counting(path):
        listed.append(os.fspath(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", counting)
    monkeypatch.setattr("PIL.Image.open", lambda path: opened.append(path) or open_image(path))
    summarise(folder, "image_classification", "default")
    assert len(opened) == MEASURED
    assert sorted(listed) == sorted(str(each) for each in [folder, *folder.rglob("*")] if each.is_dir())


def test_classes_of_kitti_labels_are_counted(make_tree) -> None:
    labels = b"car 0.00 0 0.00 1 2 30 40 0 0 0 0 0 0 0\nDontCare -1 -1 -10 1 2 3 4 -1 -1 -1 -1 -1 -1 -1\n\n"
    folder = make_tree(
        {
            "images/1.png": b"x",
            "images/2.png": b"x",
            "labels/1.txt": labels,
            "labels/2.txt": labels + b"bus 0 0 0 1 2 3 4 0 0 0 0 0 0 0\nno 0\n",
        }
    )
    summary = summarise(folder, "object_detection", "kitti")
    assert summary.classes == ["bus", "car"]
    assert [split.classes for split in summary.splits] == [{"bus": 1, "car": 2}]
