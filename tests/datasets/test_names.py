"""Names that are no UTF-8, as a folder of this machine may have: escaped in messages, so that JSON can hold them."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from taod.datasets.formats.validate import ContentCheck
from taod.datasets.validation import samples
from taod.datasets.validation.layouts import LAYOUTS
from taod.datasets.validation.structure import check
from taod.datasets.validation.summary import summarise
from taod.errors import BadRequest
from tests.datasets.conftest import PNG

Make = Callable[[dict[str, bytes]], Path]


def odd(name: bytes) -> str:
    """A name of these bytes, as Python decodes it."""
    return os.fsdecode(name)


@pytest.mark.parametrize(
    ("kind", "names", "words"),
    [
        (("object_detection", "kitti"), (b"images/1.png", b"labels\xff/1.txt"), r"(there is labels\udcff/)"),
        (("object_detection", "raw"), (b"set\xff/images/1.png", b"b/x"), r"(there is set\udcff/images/, a folder"),
        (
            ("image_classification", "default"),
            (b"images\xff/c/1.png", b"images_val/c/1.png"),
            r"images_val/ and images\udcff/ lie side by side",
        ),
        (("image_classification", "default"), (b"images_val\xff/1.png",), r"images_val\udcff/ has no subfolders"),
        (("object_detection", "raw"), (b"images/1\xff.png",), r"'images/1\xff.png' is not UTF-8; rename the file"),
        (
            ("image_classification", "default"),
            (b"images/a/1.png", b"images/b\xff/"),
            r"'images/b\xff' is not UTF-8; rename the folder",
        ),
    ],
)
def test_an_error_escapes_them(kind: tuple[str, str], names: tuple[bytes, ...], words: str, make_tree: Make) -> None:
    top = make_tree({odd(name): b"x" for name in names})
    with pytest.raises(BadRequest) as raised:
        summarise(check(top, *kind), *kind)
    assert words in str(raised.value)
    msgspec.json.encode(str(raised.value))


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        (("object_detection", "raw"), b"images/1\xff.png"),
        (("object_detection", "kitti"), b"labels/1\xff.txt"),
        (("image_classification", "default"), b"images/1\xff/2.png"),
        (("re_identification", "default"), b"sample_train/1\xff.jpg"),
    ],
)
def test_a_check_of_a_folder_that_got_some_reports_them_and_continues(
    kind: tuple[str, str], name: bytes, make_tree: Make, tmp_path: Path
) -> None:
    top, review = make_tree({odd(name): b"x"}), tmp_path / "review"
    examination = ContentCheck(top, *kind)
    report = examination.run()
    assert report.problems >= 1
    assert str(top) not in str(report)
    assert b"xff" in msgspec.json.encode(report) or b"udcff" in msgspec.json.encode(report)
    msgspec.json.encode(examination.samples)
    assert samples.choose(top, *kind, review, None) == []


def test_such_an_image_is_no_sample(make_tree: Make, tmp_path: Path) -> None:
    top = make_tree({odd(b"images/1\xff.png"): PNG, "images/2.png": PNG})
    examination = ContentCheck(top, "object_detection", "raw")
    examination.run()
    chosen = samples.choose(top, "object_detection", "raw", tmp_path / "review", None)
    assert [item.image for item in examination.samples] == [item.image for item in chosen] == ["images/2.png"]


NAMES = st.sampled_from(
    [
        *("images", "labels", "image", "label", "Images", "LABELS", "masks", "train", "val", "test", "set", "data"),
        *("images_train", "images_val", "img", "gt", "annotations.json", "label_map.txt", "classes.txt", "val.csv"),
        *("1.png", "1.txt", "1.bin", "gt_new.txt", "character_list", "dataset.csv", "data.json", "afw", "afw.json"),
        *("kinetics", "train_data.npy", "sample_train", ".DS_Store", odd(b"labels\xff"), "a\nb"),
    ]
)
TREES = st.lists(st.lists(NAMES, min_size=1, max_size=4).map("/".join), min_size=0, max_size=8)


@settings(max_examples=150, deadline=None)
@given(TREES, st.sampled_from([(type_, format_) for type_, formats in LAYOUTS.items() for format_ in formats]))
def test_any_tree_is_taken_or_rejected_in_words(
    tmp_path_factory: pytest.TempPathFactory, names: list[str], kind: tuple[str, str]
) -> None:
    top = tmp_path_factory.mktemp("any")
    for name in names:
        path = top / name
        if not path.exists() and not any(above.is_file() for above in path.parents):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(b"{}")
    try:
        found = check(top, *kind)
        assert found.is_relative_to(top)
        summarise(found, *kind)
    except BadRequest as rejected:
        assert str(top) not in str(rejected)
        msgspec.json.encode(str(rejected))
