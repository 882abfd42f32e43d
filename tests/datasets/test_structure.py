"""Layouts of every type and format: what is accepted, what each lacks, and what the error says."""

from __future__ import annotations

import pytest

from taod.datasets.validation.layouts import LAYOUTS
from taod.datasets.validation.structure import TREE_LINES, check, tree
from taod.errors import BadRequest
from taod.types.dataset import DatasetFormat, DatasetType

RETAIL = "metric_learning_recognition/retail-product-checkout-dataset_classification_demo"
POSE = ("train_data.npy", "train_label.pkl", "val_data.npy", "val_label.pkl")
BPNET = (
    "annotations/person_keypoints_train2017.json",
    "annotations/person_keypoints_val2017.json",
    "train2017/1.jpg",
    "val2017/1.jpg",
    "coco_spec.json",
    "bpnet_18joints.json",
    "infer_spec.yaml",
)
UNET = ("images/train/1.png", "images/val/1.png", "images/test/1.png", "masks/train/1.png", "masks/val/1.png")
FRAMES = "walk/video1/rgb/000.png"

GOOD = [
    ("object_detection", "kitti", ("images/1.png", "labels/1.txt")),
    ("object_detection", "coco", ("images/1.png", "annotations.json")),
    ("object_detection", "coco_raw", ("images/1.png", "label_map.txt")),
    ("object_detection", "coco_raw", ("images/1.png", "label_map.yaml")),
    ("object_detection", "raw", ("images/1.png",)),
    ("object_detection", "pascal_voc", ("images/1.png",)),
    ("instance_segmentation", "coco", ("images/1.png", "annotations.json")),
    ("instance_segmentation", "coco_raw", ("images/1.png", "label_map.txt")),
    ("instance_segmentation", "raw", ("images/1.png",)),
    ("semantic_segmentation", "unet", UNET),
    ("semantic_segmentation", "coco", ("images/1.png", "annotations.json")),
    ("semantic_segmentation", "raw", ("images/1.png",)),
    ("image_classification", "default", ("images_train/cat/1.png",)),
    ("image_classification", "default", ("images/cat/1.png",)),
    ("image_classification", "default", ("images_test/1.png",)),
    ("image_classification", "raw", ("images_test/1.png",)),
    ("image_classification", "custom", ("images_val/1.png", "val.csv")),
    ("image_classification", "custom", ("images_train/1.png", "train.csv", "val.csv")),
    ("character_recognition", "lprnet", ("image/1.png", "label/1.txt", "characters.txt")),
    ("character_recognition", "raw", ("image/1.png",)),
    ("ocrnet", "default", ("character_list", "train/gt_new.txt")),
    ("ocrnet", "default", ("character_list", "test/gt_new.txt")),
    ("ocdnet", "default", ("train/img/1.png", "train/gt/1.txt")),
    ("ocdnet", "default", ("test/img/1.png", "test/gt/1.txt")),
    ("optical_inspection", "default", ("images/1.png", "dataset.csv")),
    ("ml_recog", "default", (f"{RETAIL}/known_classes/train/a/1.png", f"{RETAIL}/unknown_classes/test/b/1.png")),
    ("bpnet", "default", BPNET),
    ("fpenet", "default", ("data/afw/afw.json", "data.json")),
    ("fpenet", "default", ("data/afw_10/afw_10.json", "data.json")),
    ("action_recognition", "default", (f"train/{FRAMES}", f"test/{FRAMES}")),
    ("pointpillars", "default", ("train/label/1.txt", "train/lidar/1.bin", "val/label/1.txt", "val/lidar/1.bin")),
    ("pose_classification", "default", tuple(f"kinetics/{file}" for file in POSE)),
    ("pose_classification", "default", tuple(f"nvidia/{file}" for file in POSE)),
    ("re_identification", "default", ("sample_train/1.jpg", "sample_test/1.jpg", "sample_query/1.jpg")),
    ("centerpose", "default", ("train/1.png", "val/1.png", "test/1.png")),
    ("depth_net_mono", "default", ("images/1.png", "annotations.txt")),
    ("depth_net_stereo", "default", ("images/1.png", "annotations.txt")),
    ("visual_changenet_segment", "default", ("A/1.png", "B/1.png", "label/1.png", "list/train.txt")),
]


def test_every_type_and_no_other_has_a_layout() -> None:
    assert set(LAYOUTS) == set(DatasetType)
    for formats in LAYOUTS.values():
        assert set(formats) <= set(DatasetFormat) | {"*"}
    assert {type_ for type_, _, _ in GOOD} == set(DatasetType)


@pytest.mark.parametrize("leading", ["", "data/", "a/b c/d/"])
@pytest.mark.parametrize(("type_", "format_", "files"), GOOD)
def test_leading_folders_are_stripped(type_, format_, files, leading, make_tree) -> None:
    folder = make_tree({f"{leading}{file}": b"x" for file in files} | {"__MACOSX/j": b"", ".DS_Store": b""})
    assert check(folder, type_, format_) == folder / leading


@pytest.mark.parametrize(("type_", "format_", "files"), [(t, f, files) for t, f, files in GOOD if len(files) > 1])
def test_each_path_left_out_is_missed(type_, format_, files, make_tree) -> None:
    for left_out in files:
        folder = make_tree({f"d/{file}": b"x" for file in files if file != left_out} | {"d/README": b"x"})
        with pytest.raises(BadRequest) as raised:
            check(folder, type_, format_)
        said = str(raised.value)
        if type_ != "image_classification" or not left_out.startswith("images"):
            assert f"type {type_}, format {format_}: missing: " in said
            first = left_out if left_out.count("/") == 0 else left_out.split("/")[0]
            assert first in said.split("Expected")[0]
        assert "Expected at the top: " in said
        assert "Found:\n" in said
        assert "README" in said


def test_a_file_where_a_folder_belongs_is_not_taken_for_it(make_tree) -> None:
    with pytest.raises(BadRequest, match="missing: images/"):
        check(make_tree({"images": b"x"}), "object_detection", "raw")
    with pytest.raises(BadRequest, match=r"missing: annotations\.json"):
        check(make_tree({"images/1.png": b"x", "annotations.json/": b""}), "object_detection", "coco")


def test_the_whole_sentence_of_an_error(make_tree) -> None:
    folder = make_tree(
        {"set/images/1.png": b"x", "set/images/2.png": b"x", "set/Labels/1.txt": b"x", "set/notes": b"x"}
    )
    with pytest.raises(BadRequest) as raised:
        check(folder, "object_detection", "kitti")
    assert str(raised.value) == (
        "The files are not laid out as a dataset of type object_detection, format kitti: missing: labels/ "
        "(there is Labels/, which differs in case).\n"
        "Expected at the top: images/, labels/.\n"
        "Found:\n"
        "Labels/\n"
        "  1.txt\n"
        "images/\n"
        "  1.png\n"
        "  2.png\n"
        "notes"
    )


def test_a_half_there_choice_names_what_it_lacks(make_tree) -> None:
    folder = make_tree({"train/img/1.png": b"x"})
    with pytest.raises(BadRequest, match="missing: train/gt/\\.\nExpected at the top: train/img/ with train/gt/ or "):
        check(folder, "ocdnet", "default")


def test_an_empty_folder_is_shown_as_such(make_tree) -> None:
    with pytest.raises(BadRequest, match=r"Found:\n\(nothing\)"):
        check(make_tree({}), "object_detection", "raw")


def test_the_tree_is_short_whatever_is_there(make_tree) -> None:
    wide = make_tree({f"f{n:03d}/{m}.png": b"" for n in range(40) for m in range(3)})
    lines = tree(wide).splitlines()
    assert len(lines) == TREE_LINES
    assert lines[-1] == "… 26 more"
    deep = make_tree({f"{top}/{m}.png": b"" for top in ("a", "b", "c") for m in range(100)})
    assert tree(deep).splitlines() == [
        *("a/", "  0.png", "  1.png", "  10.png", "  … 97 more"),
        *("b/", "  0.png", "  1.png", "  10.png", "  … 97 more"),
        *("c/", "  0.png", "  1.png", "  10.png", "  … 97 more"),
    ]
    assert len(tree(make_tree({"line\nbreak" + "n" * 100: b""})).splitlines()) == 1


# Classification: which images* folder, and the names of its classes.


def test_the_three_splits_may_come_together(digits, make_tree) -> None:
    folder = make_tree(digits)
    assert check(folder, "image_classification", "classification_pyt") == folder


@pytest.mark.parametrize("other", ["images", "images_more"])
def test_two_folders_that_leave_open_which_is_meant_are_rejected(other, make_tree) -> None:
    folder = make_tree({f"{other}/a/1.png": b"x", "images_val/a/1.png": b"x"})
    with pytest.raises(BadRequest, match=f"{other}/ and images_val/ lie side by side, and which one is meant is open"):
        check(folder, "image_classification", "default")


def test_no_images_folder(make_tree) -> None:
    with pytest.raises(BadRequest, match="missing: images_train/ "):
        check(make_tree({"cat/1.png": b"x", "dog/1.png": b"x"}), "image_classification", "default")


def test_images_outside_class_folders_are_rejected(make_tree) -> None:
    with pytest.raises(BadRequest, match="images_train/ has no subfolders"):
        check(make_tree({"images_train/1.png": b"x"}), "image_classification", "default")


def test_a_training_set_of_format_custom_needs_train_csv(make_tree) -> None:
    with pytest.raises(BadRequest, match=r"missing: train\.csv"):
        check(make_tree({"images_train/1.png": b"x", "val.csv": b""}), "image_classification", "custom")


def test_classes_txt_is_required_by_classification_pyt_alone(digits, make_tree) -> None:
    del digits["classes.txt"]
    folder = make_tree(digits)
    with pytest.raises(BadRequest, match=r"missing: classes\.txt"):
        check(folder, "image_classification", "classification_pyt")
    assert check(folder, "image_classification", "default") == folder
    assert check(folder, "image_classification", "raw") == folder


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"one\n", "images_train/ has 'two', which classes.txt does not name"),
        (b"one\ntwo\nthree\n", "classes.txt names 'three', for which images_train/ has no folder"),
        (b"one\nTwo\n", "images_train/ has 'two', which classes.txt does not name; classes.txt names 'Two'"),
        (b"one\ntwo\none\n", "classes.txt names 'one' more than once"),
        (b"\n \n", "classes.txt is empty"),
        (b"one\n\xff\xfe\n", "classes.txt is not UTF-8 text"),
        (b"one\ntwo\n" + b"".join(b"%d\n" % n for n in range(20)), "and 12 more, for which images_train/"),
    ],
)
def test_classes_txt_and_the_folders_must_agree(content, words, digits, make_tree) -> None:
    with pytest.raises(BadRequest) as raised:
        check(make_tree(digits | {"classes.txt": content}), "image_classification", "classification_pyt")
    assert words in str(raised.value)


def test_blank_lines_windows_line_ends_and_a_byte_order_mark_do_not_matter(digits, make_tree) -> None:
    folder = make_tree(digits | {"classes.txt": b"\xef\xbb\xbftwo\r\none \r\n\r\n"})
    assert check(folder, "image_classification", "classification_pyt") == folder


def test_a_class_without_a_folder_in_images_test_is_fine(digits, make_tree) -> None:
    digits["images_test/loose.png"] = digits.pop("images_test/two/0.png")
    folder = make_tree(digits)
    assert check(folder, "image_classification", "classification_pyt") == folder
