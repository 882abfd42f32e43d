"""Readers and the full check, type by type: right data sets have no problem, wrong ones are told by file and line."""

from __future__ import annotations

import json
import pickle
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from taod.catalogue import Catalogue
from taod.datasets.formats.examine import Examination
from taod.datasets.structure import check
from taod.datasets.summary import summarise
from tests.datasets.valid_sets import VALID, coco_document, kitti_line, photograph, text

Breaks = Callable[[Path], object]
Told = tuple[str, int, str, str]
"""file, line, what (or how it begins), expected"""


def write(name: str, content: str | bytes) -> Breaks:
    def do(top: Path) -> None:
        (top / name).parent.mkdir(parents=True, exist_ok=True)
        (top / name).write_bytes(content.encode() if isinstance(content, str) else content)

    return do


def add(name: str, content: str) -> Breaks:
    def do(top: Path) -> None:
        with (top / name).open("a", encoding="utf-8") as file:
            file.write(content)

    return do


def remove(name: str) -> Breaks:
    return lambda top: (top / name).unlink()


def scale(name: str, side: int) -> Breaks:
    def do(top: Path) -> None:
        Image.open(top / name).resize((side, side)).save(top / name)

    return do


def change(annotation: int, **fields: object) -> Breaks:
    def do(top: Path) -> None:
        document = coco_document(3)
        document["annotations"][annotation] |= fields
        text(top / "annotations.json", json.dumps(document, indent=1))

    return do


FIFTEEN = "15 fields: class truncated occluded alpha left top right bottom height width length x y z rotation"
PICTURE = "a whole picture"
UTF8 = "text saved as UTF-8"
PAIRS = "two lists: sample names and class numbers"

BROKEN: list[tuple[str, str, Breaks, Told]] = [
    (
        "object_detection",
        "kitti",
        add("labels/1.txt", "roof 0 0\n"),
        ("labels/1.txt", 4, "the line has 3 fields", FIFTEEN),
    ),
    (
        "object_detection",
        "kitti",
        add("labels/1.txt", kitti_line("roof", 4, 5, 90, 15)),
        (
            "labels/1.txt",
            4,
            "the box (4, 5, 90, 15) of 'roof' leaves the picture",
            "within 48 x 48 pixels in images/1.jpg",
        ),
    ),
    (
        "object_detection",
        "kitti",
        add("labels/0.txt", kitti_line("roof", 20, 5, 10, 15)),
        ("labels/0.txt", 4, "the box (20, 5, 10, 15) of 'roof' is empty", "right > left and bottom > top"),
    ),
    (
        "object_detection",
        "kitti",
        add("labels/0.txt", kitti_line("roof", 2, 5, 10, 15).replace("2.00", "two")),
        ("labels/0.txt", 4, "left is 'two'", "a finite number"),
    ),
    (
        "object_detection",
        "kitti",
        add("labels/0.txt", kitti_line("roof", 2, 5, 10, 15).replace("2.00", "nan")),
        ("labels/0.txt", 4, "left is 'nan'", "a finite number"),
    ),
    (
        "object_detection",
        "kitti",
        write("labels/0.txt", b"\xff\xfe"),
        ("labels/0.txt", 1, "byte 0 is no UTF-8 text", UTF8),
    ),
    (
        "object_detection",
        "kitti",
        remove("labels/2.txt"),
        ("images/2.jpg", 0, "the picture has no label file", "labels/2.txt"),
    ),
    (
        "object_detection",
        "kitti",
        remove("images/2.jpg"),
        ("labels/2.txt", 0, "there is no picture of this name", "images/2.png, .jpg or another picture"),
    ),
    (
        "object_detection",
        "kitti",
        write("images/1.jpg", "x"),
        ("images/1.jpg", 0, "the picture cannot be read", PICTURE),
    ),
    (
        "object_detection",
        "coco",
        change(3, category_id=9),
        ("annotations.json", 103, "annotations[3]: category_id 9 is not among the categories", "the id of a category"),
    ),
    (
        "object_detection",
        "coco",
        change(0, image_id=9),
        ("annotations.json", 0, "annotations[0]: image_id 9 is not among the images", "the id of an image"),
    ),
    (
        "object_detection",
        "coco",
        change(1, bbox=[1, 2, 3]),
        ("annotations.json", 0, "annotations[1]: bbox has 3 numbers", "4: left, top, width, height"),
    ),
    (
        "object_detection",
        "coco",
        change(1, bbox=[1, 2, 300, 4]),
        (
            "annotations.json",
            0,
            "the box (1, 2, 301, 6) of 'tree' leaves the picture",
            "within 48 x 48 pixels in images/0.jpg",
        ),
    ),
    (
        "object_detection",
        "coco",
        change(5, image_id="one"),
        (
            "annotations.json",
            0,
            "annotations[5]: Expected `int`, got `str`",
            "image_id and category_id (whole numbers), bbox of 4 numbers",
        ),
    ),
    (
        "object_detection",
        "coco",
        write("annotations.json", '{"images": [\n\n{]'),
        ("annotations.json", 3, "this is no COCO JSON", "images, categories, annotations"),
    ),
    (
        "instance_segmentation",
        "coco",
        remove("images/1.jpg"),
        ("annotations.json", 1, "images[1]: there is no picture '1.jpg'", "a picture of this name in images/"),
    ),
    (
        "instance_segmentation",
        "coco",
        scale("images/1.jpg", 30),
        ("images/1.jpg", 0, "the picture has 30 x 30 pixels", "48 x 48, as annotations.json says"),
    ),
    (
        "instance_segmentation",
        "coco",
        lambda top: photograph(5, top / "images/other.jpg"),
        ("images/other.jpg", 0, "annotations.json does not name the picture", "an entry for it in images"),
    ),
    (
        "semantic_segmentation",
        "unet",
        remove("masks/train/1.png"),
        ("images/train/1.jpg", 0, "the picture has no mask", "masks/train/1.png"),
    ),
    (
        "semantic_segmentation",
        "unet",
        scale("masks/val/0.png", 10),
        ("masks/val/0.png", 0, "the mask has 10 x 10 pixels", "48 x 48, as images/val/0.jpg has"),
    ),
    (
        "semantic_segmentation",
        "unet",
        remove("images/val/1.jpg"),
        ("masks/val/1.png", 0, "there is no picture of this name", "images/val/1.png or .jpg"),
    ),
    (
        "semantic_segmentation",
        "unet",
        write("masks/val/1.png", "x"),
        ("masks/val/1.png", 0, "the picture cannot be read", PICTURE),
    ),
    (
        "image_classification",
        "classification_pyt",
        lambda top: photograph(0, top / "images_val/cat/1.png"),
        ("images_val/cat", 0, "classes.txt does not name this class", "a line with its name"),
    ),
    (
        "image_classification",
        "classification_pyt",
        add("classes.txt", "0\n"),
        ("classes.txt", 11, "class '0' was there before", "one line a class"),
    ),
    (
        "image_classification",
        "default",
        lambda top: photograph(0, top / "images_val/1.png"),
        ("images_val/1.png", 0, "the picture lies in no class folder", "images_val/<class>/<picture>"),
    ),
    (
        "image_classification",
        "default",
        lambda top: (top / "images_val/cat").mkdir(),
        ("images_val/cat", 0, "the class folder has no pictures", "at least one picture of the class"),
    ),
    (
        "image_classification",
        "custom",
        add("val.csv", "9.png,1,yes\n"),
        ("val.csv", 8, "there is no picture '9.png'", "a picture of this name in images_val/"),
    ),
    (
        "image_classification",
        "custom",
        add("val.csv", "1.png\n"),
        ("val.csv", 8, "the row has 1 cells", "3: fname, digit, even"),
    ),
    (
        "image_classification",
        "custom",
        add("val.csv", "1.png,1,\n"),
        ("val.csv", 8, "even is empty", "a class for each task"),
    ),
    (
        "character_recognition",
        "lprnet",
        write("label/0.txt", "0Z"),
        ("label/0.txt", 1, "characters.txt lacks 'Z' of '0Z'", "characters of characters.txt"),
    ),
    (
        "character_recognition",
        "lprnet",
        write("label/0.txt", "1\n2\n"),
        ("label/0.txt", 0, "the file has 2 lines of text", "one line, the text of the plate"),
    ),
    (
        "character_recognition",
        "lprnet",
        add("characters.txt", "ab\n"),
        ("characters.txt", 11, "the line is 'ab'", "one character a line"),
    ),
    (
        "ocrnet",
        "default",
        add("train/gt_new.txt", "9.png\t1\n"),
        ("train/gt_new.txt", 5, "there is no picture '9.png'", "a picture of this name in train/"),
    ),
    (
        "ocrnet",
        "default",
        add("train/gt_new.txt", "1.png\n"),
        ("train/gt_new.txt", 5, "the line is '1.png'", "a picture's name, a tab, its text"),
    ),
    (
        "ocrnet",
        "default",
        add("train/gt_new.txt", "1.png\té\n"),
        ("train/gt_new.txt", 5, "character_list lacks 'é' of 'é'", "characters of character_list"),
    ),
    (
        "ocdnet",
        "default",
        add("test/gt/gt_0.txt", "1,2,3\n"),
        ("test/gt/gt_0.txt", 3, "the line has 3 fields", "x1,y1,x2,y2,x3,y3,x4,y4,text"),
    ),
    (
        "ocdnet",
        "default",
        add("test/gt/gt_0.txt", "1,2,3,4,5,6,7,x,t\n"),
        ("test/gt/gt_0.txt", 3, "coordinate 8 is 'x'", "a finite number"),
    ),
    (
        "ocdnet",
        "default",
        remove("test/img/0.jpg"),
        ("test/gt/gt_0.txt", 0, "there is no picture of this name", "test/img/0.jpg or .png"),
    ),
    (
        "optical_inspection",
        "default",
        add("dataset.csv", "board9,golden,PASS,C1\n"),
        ("dataset.csv", 4, "input_path 'board9' is not there", "a path below images/"),
    ),
    (
        "optical_inspection",
        "default",
        add("dataset.csv", "board1,golden,,C1\n"),
        ("dataset.csv", 4, "label is empty", "a value in each of the columns"),
    ),
    (
        "optical_inspection",
        "default",
        write("dataset.csv", "input_path,label\n"),
        (
            "dataset.csv",
            1,
            "the header lacks golden_path, object_name",
            "columns input_path, golden_path, label, object_name",
        ),
    ),
    (
        "bpnet",
        "default",
        write("annotations/person_keypoints_val2017.json", json.dumps(coco_document(2))),
        (
            "annotations/person_keypoints_val2017.json",
            1,
            "annotations[0]: keypoints are missing",
            "x, y and visibility of each keypoint",
        ),
    ),
    (
        "fpenet",
        "default",
        write("data/afw/afw.json", "{}"),
        ("data/afw/afw.json", 0, "the document is a dict", "a list of pictures"),
    ),
    (
        "fpenet",
        "default",
        remove("data/afw/face.jpg"),
        ("data/afw/afw.json", 0, "[0]: there is no picture 'face.jpg'", "a picture of this name beside the list"),
    ),
    (
        "fpenet",
        "default",
        write("data/afw/afw.json", "["),
        ("data/afw/afw.json", 0, "this is no JSON", "a list of pictures with their annotations"),
    ),
    (
        "action_recognition",
        "default",
        lambda top: (top / "test/wave/video2").mkdir(),
        ("test/wave/video2", 0, "the video has no frames", "folders rgb/, or u/ and v/, of frames"),
    ),
    (
        "action_recognition",
        "default",
        lambda top: (top / "test/wave/video1/u").mkdir(),
        ("test/wave/video1/u", 0, "the folder has no frames", "a picture a frame"),
    ),
    (
        "pointpillars",
        "default",
        write("val/lidar/0.bin", b"x" * 15),
        ("val/lidar/0.bin", 0, "the scan has 15 bytes", "a multiple of 16: 4 float32 a point"),
    ),
    (
        "pointpillars",
        "default",
        remove("val/label/0.txt"),
        ("val/lidar/0.bin", 0, "the scan has no label file", "val/label/0.txt"),
    ),
    (
        "pointpillars",
        "default",
        write("val/label/0.txt", "Car 1\n"),
        ("val/label/0.txt", 1, "the line has 2 fields", FIFTEEN),
    ),
    (
        "pose_classification",
        "default",
        write("kinetics/val_label.pkl", pickle.dumps((["a"], [0]))),
        ("kinetics/val_label.pkl", 0, "there are 1 classes", "3, as kinetics/val_data.npy has samples"),
    ),
    (
        "pose_classification",
        "default",
        write("kinetics/val_label.pkl", pickle.dumps(print)),
        ("kinetics/val_label.pkl", 0, "the pickle is not read: it would run STACK_GLOBAL", PAIRS),
    ),
    (
        "pose_classification",
        "default",
        write("kinetics/val_data.npy", "x"),
        ("kinetics/val_data.npy", 0, "the file is no NumPy array", "what numpy.save writes"),
    ),
    (
        "pose_classification",
        "default",
        lambda top: np.save(top / "kinetics/val_data.npy", np.zeros((3, 4))),
        (
            "kinetics/val_data.npy",
            0,
            "the array has 2 dimensions, (3, 4)",
            "5: samples, channels, frames, joints, persons",
        ),
    ),
    (
        "re_identification",
        "default",
        lambda top: photograph(0, top / "sample_query/someone.jpg"),
        ("sample_query/someone.jpg", 0, "the name tells no person and camera", "<person>_c<camera>….jpg"),
    ),
]


def test_every_type_and_format_has_a_valid_set_here() -> None:
    catalogue = Catalogue()
    assert set(VALID) == {
        (type_, format_) for type_ in catalogue.dataset_types() for format_ in catalogue.dataset_formats(type_)
    }


@pytest.mark.parametrize(("type_", "format_"), VALID)
def test_a_right_data_set_is_accepted_and_has_no_problem(type_: str, format_: str, tmp_path: Path) -> None:
    VALID[type_, format_](tmp_path)
    assert check(tmp_path, type_, format_) == tmp_path
    told = summarise(tmp_path, type_, format_)
    report = Examination(tmp_path, type_, format_, deep=True).run()
    assert report.first == []
    assert report.problems == 0
    assert report.items > 0
    if told.images and type_ not in ("action_recognition", "optical_inspection"):
        assert report.items == told.images
    assert told.boxes == report.boxes or type_ in ("bpnet", "fpenet")


@pytest.mark.parametrize(("type_", "format_", "breaks", "told"), BROKEN)
def test_what_is_wrong_is_told_by_file_and_line(
    type_: str, format_: str, breaks: Breaks, told: Told, tmp_path: Path
) -> None:
    VALID[type_, format_](tmp_path)
    breaks(tmp_path)
    report = Examination(tmp_path, type_, format_).run()
    file, line, what, expected = told
    found = [problem for problem in report.first if problem.what.startswith(what)]
    assert found, report.first
    assert (found[0].file, found[0].expected) == (file, expected)
    assert found[0].line == line or (line == 0 and file.endswith(".json"))
