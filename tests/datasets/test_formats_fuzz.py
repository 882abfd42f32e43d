"""Label files of any content: readers yield items and problems, raise nothing, and run nothing that they read."""

from __future__ import annotations

import json
import pickle
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from taod.datasets.formats import Item, Problem, arrays, coco, kitti, quads, reader, voc
from taod.datasets.formats.validate import ContentCheck
from tests.datasets.valid_sets import VALID

pytestmark = pytest.mark.slow(seconds=1)

LABELS = {
    ("object_detection", "kitti"): "labels/0.txt",
    ("object_detection", "coco"): "annotations.json",
    ("image_classification", "classification_pyt"): "classes.txt",
    ("image_classification", "custom"): "val.csv",
    ("semantic_segmentation", "unet"): "masks/val/0.png",
    ("character_recognition", "lprnet"): "characters.txt",
    ("ocrnet", "default"): "train/gt_new.txt",
    ("ocdnet", "default"): "train/gt/gt_0.txt",
    ("optical_inspection", "default"): "dataset.csv",
    ("bpnet", "default"): "annotations/person_keypoints_val2017.json",
    ("fpenet", "default"): "data/afw/afw.json",
    ("pointpillars", "default"): "train/label/0.txt",
    ("pose_classification", "default"): "kinetics/val_label.pkl",
}
"""The file of each type that is written over with nonsense."""

MANY = settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=20,
)
keys = st.sampled_from(["images", "annotations", "categories", "id", "file_name", "bbox", "category_id", "filename"])
documents = st.dictionaries(keys, st.lists(st.dictionaries(keys, values, max_size=5), max_size=4) | values, max_size=4)
words = st.text('0123456789.,-\t "\n\rcar#nanief\x00é', max_size=120).map(str.encode)
contents = (
    st.binary(max_size=120)
    | words
    | documents.map(lambda each: json.dumps(each).encode())
    | values.map(lambda each: json.dumps(each).encode())
)


@pytest.mark.parametrize(("type_", "format_"), LABELS)
def test_nothing_in_a_label_file_makes_the_check_fail(type_: str, format_: str, tmp_path: Path) -> None:
    VALID[type_, format_](tmp_path)
    file = tmp_path / LABELS[type_, format_]
    whole = file.read_bytes()

    @MANY
    @given(contents, st.integers(0, len(whole)), st.booleans())
    @example(b"", 0, False)
    @example(b"[" * 5000, 0, False)
    @example(b'{"images": ' + b"[" * 5000, 0, False)
    @example(b"1" * 500, 0, False)
    def attempt(content: bytes, at: int, within: bool) -> None:
        file.write_bytes(whole[:at] + content + whole[at:] if within else content)
        report = ContentCheck(tmp_path, type_, format_).run()
        assert report.problems >= len(report.first)
        for found in reader(type_, format_)(tmp_path):
            assert isinstance(found, Item | Problem)
        for problem in report.first:
            assert problem.what
            assert problem.expected
            assert not Path(problem.file).is_absolute()

    attempt()


@given(st.text(max_size=200))
def test_any_text_is_parsed_or_a_problem(text: str) -> None:
    for parse in (kitti.parse, quads.parse):
        labels, problems = parse(text, "x.txt")
        lines = sum(bool(line.strip()) for line in text.split("\n"))
        assert len(labels) + len(problems) == lines
        assert all(1 <= problem.line <= text.count("\n") + 1 for problem in problems)


@given(st.binary(max_size=200) | st.text(max_size=80).map(lambda text: f"<annotation>{text}</annotation>".encode()))
@example(b'<?xml version="1.0" encoding="utf-99"?><annotation/>')
@example(b"<annotation><object/></annotation>")
def test_any_bytes_are_voc_or_a_problem(data: bytes) -> None:
    item, problems = voc.parse(data, "x.xml")
    assert item.labels == [] or not problems


@pytest.mark.parametrize(
    "head",
    [
        '<!DOCTYPE a [<!ENTITY b "bbbb"><!ENTITY c "&b;&b;&b;&b;">]>',
        '<!DOCTYPE a [<!ENTITY b SYSTEM "file:///etc/passwd">]>',
        '<!DOCTYPE a SYSTEM "http://127.0.0.1:9/x.dtd">',
    ],
)
def test_no_entity_is_expanded_and_nothing_outside_is_read(head: str) -> None:
    text = f"{head}\n<annotation><object><name>&b;</name></object></annotation>"
    item, (problem,) = voc.parse(text.encode(), "x.xml")
    assert item.labels == []
    assert (problem.line, problem.what) == (1, "the document declares a DTD or entities")
    assert problem.expected == "plain XML, without <!DOCTYPE"


class Evil:
    """What pickle.loads would run."""

    def __init__(self, path: str) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return Path.touch, (Path(self.path),)


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_a_pickle_runs_nothing(protocol: int, tmp_path: Path) -> None:
    data = pickle.dumps((["a"], [Evil(str(tmp_path / "run"))]), protocol)
    with pytest.raises(arrays.UnsafePickle, match="it would run"):
        arrays.plain_pickle(data)
    assert not (tmp_path / "run").exists()


def test_a_pickle_cannot_ask_for_memory_that_it_does_not_fill() -> None:
    with pytest.raises(arrays.UnsafePickle, match="LONG_BINPUT 4294967295 lies outside"):
        arrays.plain_pickle(b"]r\xff\xff\xff\xff.")


plain = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats(allow_nan=False) | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=5) | st.tuples(inner, inner) | st.dictionaries(st.text(max_size=4), inner),
    max_leaves=12,
)


@given(plain, st.integers(0, pickle.HIGHEST_PROTOCOL))
def test_plain_values_are_read_whatever_the_protocol(value: Any, protocol: int) -> None:
    assert arrays.plain_pickle(pickle.dumps(value, protocol)) == value


@given(st.binary(max_size=100))
def test_any_bytes_are_a_plain_pickle_or_rejected(data: bytes) -> None:
    try:
        arrays.plain_pickle(data)
    except arrays.UnsafePickle as unsafe:
        assert str(unsafe)


def test_coco_counts_as_pycocotools_does(tmp_path: Path) -> None:
    from pycocotools.coco import COCO

    VALID["object_detection", "coco"](tmp_path)
    theirs = COCO(str(tmp_path / "annotations.json"))
    ours = {item.image: item for item in coco.read(tmp_path) if isinstance(item, Item)}
    assert len(ours) == len(theirs.imgs)
    for image in theirs.imgs.values():
        item = ours[f"images/{image['file_name']}"]
        assert item.size == (image["width"], image["height"])
        wanted = [
            (theirs.cats[each["category_id"]]["name"], each["bbox"])
            for each in theirs.loadAnns(theirs.getAnnIds(imgIds=image["id"]))
        ]
        found = [
            (label.name, [label.box.left, label.box.top, label.box.width, label.box.height])
            for label in item.labels
            if label.box is not None
        ]
        assert found == wanted


@pytest.mark.slow
def test_a_hundred_thousand_annotations_are_decoded_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "images").mkdir()
    document = {
        "images": [{"id": n, "file_name": f"{n}.jpg", "width": 640, "height": 480} for n in range(10_000)],
        "categories": [{"id": 1, "name": "car"}],
        "annotations": [
            {
                "id": n,
                "image_id": n % 10_000,
                "category_id": 1,
                "bbox": [n % 500, 5.5, 50, 40],
                "segmentation": [[1, 2] * 8],
            }
            for n in range(100_000)
        ],
    }
    (tmp_path / "annotations.json").write_text(json.dumps(document))
    decoded: list[int] = []
    decode = coco.decode

    def counting(data: bytes, file: str) -> Any:
        decoded.append(len(data))
        return decode(data, file)

    monkeypatch.setattr(coco, "decode", counting)
    found = list(coco.read(tmp_path))
    assert decoded == [(tmp_path / "annotations.json").stat().st_size]
    assert sum(len(item.labels) for item in found if isinstance(item, Item)) == 100_000
