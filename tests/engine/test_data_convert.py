"""`annotations convert`: there and back gives the same boxes, classes, images; impossible conversions are rejected."""

from __future__ import annotations

import itertools
import json
import string
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from runners.engine import capabilities
from runners.engine.data import boxes
from runners.engine.run import main
from taod.datasets.formats.types import Box, Item, Label
from tests.datasets import valid_sets

Boxes = dict[str, list[tuple[str, tuple[float, ...]]]]


def engine(folder: Path, service: str, action: str, document: dict[str, Any]) -> tuple[int, list[dict[str, Any]]]:
    """Exit code and status lines of a run over `document`, its results in `folder/results`."""
    folder.mkdir(exist_ok=True)
    spec = folder / "spec.yaml"
    spec.write_text(yaml.safe_dump(document | {"results_dir": str(folder / "results")}))
    code = main([service, action, f"--experiment_spec_file={spec}"])
    return code, [json.loads(line) for line in (folder / "results" / "status.json").read_text().splitlines()]


def spec(given: str, wanted: str, top: Path, **data: Any) -> dict[str, Any]:
    """As taod fills it in for a dataset at `top`."""
    document: dict[str, Any] = {"data": {"input_format": given, "output_format": wanted} | data}
    if given == "COCO":
        return document | {"coco": {"ann_file": str(top / "annotations.json")}}
    return document | {"kitti": {"image_dir": str(top / "images"), "label_dir": str(top / "labels")}}


def boxes_of(format_: str, top: Path) -> Boxes:
    labels = top / ("annotations.json" if format_ == "COCO" else "labels")
    items, problems = boxes.split_problems(boxes.Source(format_, top / "images", labels).read())
    assert problems == []
    return {
        item.image: sorted(
            (label.name, tuple(round(edge, 2) for edge in label.box))
            for label in item.labels
            if label.box is not None and label.name != "DontCare"
        )
        for item in items
    }


SETS = {"KITTI": valid_sets.kitti, "COCO": valid_sets.coco, "PASCAL_VOC": valid_sets.voc}
WAYS = list(itertools.permutations(SETS, 2))


@pytest.mark.parametrize(("given_", "wanted"), WAYS)
def test_there_and_back_gives_the_same_boxes(given_: str, wanted: str, tmp_path: Path) -> None:
    source = tmp_path / "set"
    SETS[given_](source)
    code, lines = engine(tmp_path / "there", "annotations", "convert", spec(given_, wanted, source))
    assert (code, lines[-1]["status"]) == (0, "SUCCESS"), lines
    assert lines[-1]["message"].startswith("Converted 3 images with ")
    there = tmp_path / "there" / "results"
    assert boxes_of(wanted, there) == boxes_of(given_, source)
    copy, original = there / "images" / "1.jpg", source / "images" / "1.jpg"
    assert copy.read_bytes() == original.read_bytes()
    assert not copy.samefile(original)
    code, _ = engine(tmp_path / "back", "annotations", "convert", spec(wanted, given_, there))
    assert code == 0
    assert boxes_of(given_, tmp_path / "back" / "results") == boxes_of(given_, source)


def test_images_can_be_left_out_and_faults_are_skipped_and_reported(tmp_path: Path) -> None:
    source = tmp_path / "set"
    valid_sets.kitti(source)
    with (source / "labels" / "0.txt").open("a") as file:
        file.write("roof 1 2\n")
    code, lines = engine(tmp_path / "c", "annotations", "convert", spec("KITTI", "COCO", source, with_images=False))
    assert code == 0
    assert lines[-1]["message"].endswith("from KITTI to COCO; 1 problems were passed over")
    assert any(line["message"].startswith("labels/0.txt:4: the line has 3 fields; expected 15") for line in lines)
    assert not (tmp_path / "c" / "results" / "images").exists()


def test_images_may_be_further_names_of_the_same_files(tmp_path: Path) -> None:
    source = tmp_path / "set"
    valid_sets.kitti(source)
    engine(tmp_path / "c", "annotations", "convert", spec("KITTI", "COCO", source, link_images=True))
    assert (tmp_path / "c" / "results" / "images" / "1.jpg").samefile(source / "images" / "1.jpg")


def test_what_is_written_is_read_by_pycocotools(tmp_path: Path) -> None:
    from pycocotools.coco import COCO

    source = tmp_path / "set"
    valid_sets.kitti(source)
    engine(tmp_path / "c", "annotations", "convert", spec("KITTI", "COCO", source))
    found = COCO(str(tmp_path / "c" / "results" / "annotations.json"))
    assert [found.cats[number]["name"] for number in sorted(found.cats)] == ["roof", "tree"]
    (image,) = [each for each in found.imgs.values() if each["file_name"] == "1.jpg"]
    assert (image["width"], image["height"]) == (48, 48)
    annotations = found.loadAnns(found.getAnnIds(imgIds=image["id"]))
    assert [(each["bbox"], each["area"]) for each in annotations] == [([4, 5, 20, 10], 200), ([12.5, 20, 30, 25], 750)]


@pytest.mark.parametrize(
    ("given_", "wanted", "said"),
    [
        ("KITTI", "KITTI", "data.output_format: it is KITTI, as data.input_format is; name another one."),
        (
            "KITTI",
            "YOLO",
            "data.output_format: 'YOLO' is not one of KITTI, COCO, PASCAL_VOC, UNET, CLASSIFICATION, CSV.",
        ),
        ("COCO", "CSV", "data.output_format: COCO has no way to CSV; objects and classes are not the same."),
    ],
)
def test_an_impossible_conversion_is_rejected(given_: str, wanted: str, said: str) -> None:
    able, reason, _ = capabilities.can("annotations", "convert", spec(given_, wanted, Path("/")))
    assert (able, reason) == (False, said)


@pytest.mark.parametrize(
    ("breaks", "said"),
    [
        ({"kitti": {"label_dir": "/no"}}, "kitti.image_dir: it is not set; name the folder or file to read."),
        ({"kitti": {"image_dir": "/no", "label_dir": "/no/labels"}}, "There is no folder of images /no."),
    ],
)
def test_a_source_that_is_not_there_ends_in_failure(breaks: dict[str, Any], said: str, tmp_path: Path) -> None:
    code, lines = engine(tmp_path / "c", "annotations", "convert", spec("KITTI", "COCO", tmp_path) | breaks)
    assert (code, lines[-1]["status"], lines[-1]["message"]) == (1, "FAILURE", said)


@pytest.mark.parametrize(
    ("network", "action", "words"),
    [
        ("auto_label", "generate", ("no detector or segmenter", "[[runner.rule]]")),
        ("object_detection", "convert", ("TFRecords", "network_arch annotations")),
        ("instance_segmentation", "convert", ("TFRecords", "KITTI, PASCAL_VOC, UNET or a clean COCO file")),
        ("semantic_segmentation", "convert", ("writes no masks into the dataset", "data.output_format UNET")),
    ],
)
def test_an_unsupported_service_is_rejected_with_the_remedy(network: str, action: str, words: tuple[str, ...]) -> None:
    able, reason, remedy = capabilities.can(network, action)
    assert not able
    assert words[0] in reason
    assert words[1] in remedy


def test_class_folders_become_a_table_and_folders_again(tmp_path: Path) -> None:
    valid_sets.classes(tmp_path / "set", ("images_train",))
    folder = tmp_path / "set" / "images_train"
    document = {
        "data": {"input_format": "CLASSIFICATION", "output_format": "CSV"},
        "classification": {"image_dir": str(folder)},
    }
    code, lines = engine(tmp_path / "t", "annotations", "convert", document)
    assert (code, lines[-1]["message"]) == (0, "Wrote labels.csv with 20 images of 10 classes")
    results = tmp_path / "t" / "results"
    table = (results / "labels.csv").read_text().splitlines()
    assert table[:2] == ["fname,class", "0/0.png,0"]
    document = {
        "data": {"input_format": "CSV", "output_format": "CLASSIFICATION"},
        "classification": {"image_dir": str(results / "images"), "csv_file": str(results / "labels.csv")},
    }
    code, lines = engine(tmp_path / "f", "annotations", "convert", document)
    assert (code, lines[-1]["message"]) == (0, "Put 20 images into 10 class folders")
    again = tmp_path / "f" / "results"
    relative = [{str(path.relative_to(top)) for path in top.rglob("*.png")} for top in (again / "images", folder)]
    assert relative[0] == relative[1]
    assert (again / "classes.txt").read_text().split() == list(string.digits)


names = st.text("abcdefgh_-é<&>'\"", min_size=1, max_size=8).map(lambda name: f"c{name}")
edges = st.tuples(*[st.integers(0, 47_00)] * 4).map(
    lambda e: Box(min(e[0], e[2]) / 100, min(e[1], e[3]) / 100, max(e[0], e[2]) / 100 + 1, max(e[1], e[3]) / 100 + 1)
)


@settings(max_examples=25, deadline=None)
@given(
    images=st.lists(st.lists(st.tuples(names, edges), max_size=5), min_size=1, max_size=3),
    order=st.permutations(list(SETS)),
)
def test_any_boxes_come_through_all_three_formats(
    images: list[list[tuple[str, Box]]], order: list[str], tmp_path_factory: pytest.TempPathFactory
) -> None:
    top = tmp_path_factory.mktemp("trip")
    (top / "images").mkdir()
    for number in range(len(images)):
        Image.new("L", (50, 50)).save(top / "images" / f"{number}.png")
    items = [
        Item(f"{number}.png", labels=[Label(name, box) for name, box in found]) for number, found in enumerate(images)
    ]
    wanted = {
        item.image: sorted((label.name, tuple(round(edge, 2) for edge in label.box or ())) for label in item.labels)
        for item in items
    }
    for step, format_ in enumerate(order):
        place = top / str(step)
        place.mkdir()
        (place / "images").symlink_to(top / "images")
        if format_ == "KITTI":
            boxes.write_kitti(items, place / "labels")
        elif format_ == "COCO":
            boxes.write_coco(items, place / "annotations.json", place / "images")
        else:
            boxes.write_voc(items, place / "labels", place / "images")
        assert boxes_of(format_, place) == wanted
        labels = place / ("annotations.json" if format_ == "COCO" else "labels")
        items, _ = boxes.split_problems(boxes.Source(format_, place / "images", labels).read())


def kitti_lines(*lines: str) -> str:
    return "".join(f"{name} 0 0 0 {box} 0 0 0 0 0 0 0\n" for name, box in (line.split(" ", 1) for line in lines))


@pytest.fixture
def untidy(tmp_path: Path) -> Path:
    """A KITTI dataset of one image of 48 x 48, with every box that NVIDIA's conversion does not write as it is."""
    top = tmp_path / "untidy"
    valid_sets.photograph(0, top / "images/0.jpg")
    text = kitti_lines(
        "roof 4.123456 5.5 24.654321 15", "roof 4.123456 5.5 24.654321 15", "roof -3 2 60.5 9", "tree 30 20 10 40",
        "tree 7 7 7 20", "tree 60 0 70 9", "DontCare -1 -1 -1 -1",
    )  # fmt: skip
    valid_sets.text(top / "labels/0.txt", text)
    return top


def test_boxes_are_clipped_and_empty_ones_and_duplicates_dropped_with_counts(untidy: Path, tmp_path: Path) -> None:
    code, lines = engine(tmp_path / "c", "annotations", "convert", spec("KITTI", "COCO", untidy))
    assert code == 0
    said = "boxes: 1 clipped to their image, 3 dropped as empty, 1 dropped as duplicates"
    assert lines[-1]["message"] == f"Converted 1 images with 2 objects from KITTI to COCO; {said}"
    document = json.loads((tmp_path / "c" / "results" / "annotations.json").read_text())
    # As the conversion of releases 5.0 and 7.3 writes them, to the last digit that a label has.
    assert [each["bbox"] for each in document["annotations"]] == [[4.123456, 5.5, 20.530865, 9.5], [0, 2, 48, 7]]
    assert [each["area"] for each in document["annotations"]] == [pytest.approx(195.0432175), 336]
    kpis = {name: value for line in lines for name, value in line.get("kpi", {}).items()}
    assert (kpis["objects"], kpis["boxes_clipped"], kpis["boxes_empty"], kpis["boxes_duplicate"]) == (2, 1, 3, 1)


@pytest.mark.parametrize("wanted", ["COCO", "PASCAL_VOC"])
def test_conversion_there_and_back_keeps_every_digit(wanted: str, untidy: Path, tmp_path: Path) -> None:
    engine(tmp_path / "there", "annotations", "convert", spec("KITTI", wanted, untidy))
    engine(tmp_path / "back", "annotations", "convert", spec(wanted, "KITTI", tmp_path / "there" / "results"))
    written = (tmp_path / "back" / "results" / "labels" / "0.txt").read_text().splitlines()
    assert [line.split()[4:8] for line in written] == [
        ["4.123456", "5.50", "24.654321", "15.00"],
        ["0.00", "2.00", "48.00", "9.00"],
    ]


def test_what_is_not_written_is_not_counted(tmp_path: Path) -> None:
    top = tmp_path / "set"
    valid_sets.coco(top)
    document = json.loads((top / "annotations.json").read_text())
    document["annotations"][0] |= {"bbox": None, "segmentation": []}
    document["annotations"][1]["bbox"] = [50, 50, -30, -30]
    (top / "annotations.json").write_text(json.dumps(document))
    (top / "images" / "2.jpg").write_bytes(b"not an image")
    document["images"][2] |= {"width": None, "height": None}
    (top / "annotations.json").write_text(json.dumps(document))
    for wanted in ("KITTI", "PASCAL_VOC", "COCO"):
        folder = tmp_path / wanted
        code, lines = engine(folder, "annotations", "convert", spec("COCO", wanted, top))
        found = boxes_of(wanted, folder / "results")
        assert code == 0
        assert lines[-1]["message"].startswith(f"Converted 2 images with 2 objects from COCO to {wanted}; ")
        assert (len(found), sum(map(len, found.values()))) == (2, 2)
