"""Datasets that are laid out rightly and hold something wrong: what was changed in a valid one, by type and format.

What the check says of each, word for word, stands under the same names in problems.txt.
"""

from __future__ import annotations

import json
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from taod.datasets.validation.layouts import RETAIL
from tests.datasets.valid_sets import coco_document, cuboid, kitti_line, panoptic_document, photograph, text

Breaks = Callable[[Path], object]

LATER = "later, "
"""Prefix of faults that reject an upload; a linked folder may get them after it was linked."""
PICKLE = "kinetics/val_label.pkl"
ARRAY = "kinetics/val_data.npy"
FACES = "data/afw/afw.json"
FLOW = ("u/0", "u/1", "v/0")
BODIES = "annotations/person_keypoints_val2017.json"


def write(name: str, content: str | bytes) -> Breaks:
    def do(top: Path) -> None:
        (top / name).parent.mkdir(parents=True, exist_ok=True)
        (top / name).write_bytes(content.encode() if isinstance(content, str) else content)

    return do


def add(name: str, content: str | bytes) -> Breaks:
    def do(top: Path) -> None:
        with (top / name).open("ab") as file:
            file.write(content.encode() if isinstance(content, str) else content)

    return do


def remove(name: str) -> Breaks:
    return lambda top: (top / name).unlink()


def rename(name: str, to: str) -> Breaks:
    return lambda top: (top / name).rename(top / to)


def folder(name: str) -> Breaks:
    return lambda top: (top / name).mkdir()


def image(name: str) -> Breaks:
    return lambda top: photograph(5, top / name)


def scale(name: str, side: int) -> Breaks:
    def do(top: Path) -> None:
        Image.open(top / name).resize((side, side)).save(top / name)

    return do


def cut(name: str) -> Breaks:
    """Half of a file is left: its header is whole."""

    def do(top: Path) -> None:
        data = (top / name).read_bytes()
        (top / name).write_bytes(data[: len(data) // 2])

    return do


def coco(part: str, at: int, **fields: object) -> Breaks:
    """One element of a list of annotations.json has other fields; a field of None is left out."""

    def do(top: Path) -> None:
        document = coco_document(3)
        changed: dict[str, Any] = document[part][at] | fields
        document[part][at] = {name: value for name, value in changed.items() if value is not None}
        text(top / "annotations.json", json.dumps(document, indent=1))

    return do


def subfolder(file_name: str) -> Breaks:
    """The second image lies in images/more/1.jpg, and its entry has another file_name."""

    def do(top: Path) -> None:
        (top / "images" / "more").mkdir()
        (top / "images" / "1.jpg").rename(top / "images" / "more" / "1.jpg")
        coco("images", 1, file_name=file_name)(top)

    return do


def odvg(**fields: object) -> Breaks:
    """The first line of ODVG has other fields; a field of None is left out."""

    def do(top: Path) -> None:
        lines = (top / "annotations_odvg.jsonl").read_text().splitlines()
        changed = {name: value for name, value in (json.loads(lines[0]) | fields).items() if value is not None}
        text(top / "annotations_odvg.jsonl", "\n".join([json.dumps(changed), *lines[1:]]))

    return do


def boxed(*instances: dict[str, object]) -> Breaks:
    return odvg(detection={"instances": list(instances)})


def panoptic(part: str, at: int, **fields: object) -> Breaks:
    """One element of a list of annotations_panoptic.json has other fields."""

    def do(top: Path) -> None:
        document = panoptic_document()
        document[part][at] |= fields
        text(top / "annotations_panoptic.json", json.dumps(document))

    return do


def raw_text(old: str, new: bytes) -> Breaks:
    """A piece of annotations.json replaced, byte by byte."""

    def do(top: Path) -> None:
        data = json.dumps(coco_document(3), indent=1).encode()
        assert old.encode() in data
        (top / "annotations.json").write_bytes(data.replace(old.encode(), new, 1))

    return do


def bodies(**fields: object) -> Breaks:
    def do(top: Path) -> None:
        document = coco_document(2, keypoints=True)
        document["annotations"][1] |= fields
        text(top / BODIES, json.dumps(document, indent=1))

    return do


def faces(marks: object) -> Breaks:
    """A list of one face, below another one that is right."""
    points = {"class": "FiducialPoints", "P1x": 1, "P1y": 2}
    entries = [{"filename": "face.jpg", "annotations": each} for each in ([points], marks)]
    return write(FACES, json.dumps(entries, indent=1))


def array(shape: tuple[int, ...], kind: str = "float32") -> Breaks:
    return lambda top: np.save(top / ARRAY, np.zeros(shape, kind))


def _images(place: str) -> dict[str, Breaks]:
    """What can be wrong with any image."""
    return {
        "a text as an image": write(place, "x"),
        "an empty image": write(place, b""),
        "an image cut off": cut(place),
    }


_COCO_FILES = {
    "a file_name that begins at the dataset's top": coco("images", 1, file_name="images/1.jpg"),
    "a bare file_name for an image in a folder": subfolder("1.jpg"),
    "a file_name of another folder": subfolder("less/1.jpg"),
    "an absolute file_name": coco("images", 1, file_name="/data/images/1.jpg"),
    "a file_name that leads out of the images": coco("images", 1, file_name="../1.jpg"),
    "a file_name with a backslash": subfolder("more\\1.jpg"),
    "two images of one file_name": coco("images", 2, file_name="./1.jpg"),
    "a category that is not there": coco("annotations", 3, category_id=9),
    "an image that is not there": coco("annotations", 0, image_id=9),
    "two annotations of one id": coco("annotations", 3, id=2),
    "an annotation without an id": coco("annotations", 1, id=None),
    "two categories of one name": coco("categories", 1, name="roof"),
    "two categories of one id": coco("categories", 1, id=1),
    "an image without a height": coco("images", 1, height=None),
    "an image of no width": coco("images", 1, width=0),
    "a box of three numbers": coco("annotations", 1, bbox=[1, 2, 3]),
    "a box outside the image": coco("annotations", 1, bbox=[1, 2, 300, 4]),
    "a box of no width": coco("annotations", 2, bbox=[1, 2, 0, 4]),
    "a box of a negative size": coco("annotations", 2, bbox=[30, 20, -10, -5]),
    "a name that is not UTF-8": raw_text("0.jpg", b"\xe9.jpg"),
    "a named image that is not there": remove("images/1.jpg"),
    "an image of another size": scale("images/1.jpg", 30),
    "an image that is not named": image("images/other.jpg"),
    "two images of one id": coco("images", 2, id=1),
}
"""What can be wrong with any COCO set."""
_COCO = _COCO_FILES | {
    "an annotation without a box": coco("annotations", 1, bbox=None),
    "an empty list as a box": coco("annotations", 1, bbox=[]),
    "an annotation without an area": coco("annotations", 1, area=None),
    "a negative area": coco("annotations", 1, area=-4),
    "an area that is not a number": coco("annotations", 1, area="4"),
    "an annotation without iscrowd": coco("annotations", 1, iscrowd=None),
}
_ODVG_MAP = "annotations_odvg_labelmap.json"
_ODVG = {
    "a line that is no JSON": add("annotations_odvg.jsonl", "{\n"),
    "a line without a size": odvg(height=None),
    "a line without boxes": odvg(detection=None),
    "a box of three numbers": boxed({"bbox": [1, 2, 3], "label": 0}),
    "a box outside the image": boxed({"bbox": [1, 2, 300, 4], "label": 0}),
    "a box of COCO": boxed({"bbox": [30, 20, 10, 5], "label": 0}),
    "a label that the map lacks": boxed({"bbox": [1, 2, 3, 4], "label": 9}),
    "a category that is not the map's": boxed({"bbox": [1, 2, 3, 4], "label": 0, "category": "tree"}),
    "a phrase that the caption lacks": odvg(
        detection=None, grounding={"caption": "a roof", "regions": [{"bbox": [1, 2, 3, 4], "phrase": "a tree"}]}
    ),
    "a named image that is not there": remove("images/1.jpg"),
    "an image that is not named": image("images/other.jpg"),
    "a name as open_grounding_dino has it": odvg(file_name=None, filename="0.jpg"),
    "two lines for an image": odvg(file_name="1.jpg"),
    "an image of another size": odvg(width=40),
    "a label map that is a list": write(_ODVG_MAP, '["roof", "tree"]'),
    "a label map that begins at 1": write(_ODVG_MAP, '{"1": "roof", "2": "tree"}'),
    "a label map with a name twice": write(_ODVG_MAP, '{"0": "roof", "1": "roof"}'),
    "a label map by name": write(_ODVG_MAP, '{"roof": "0", "tree": "1"}'),
}
_MAP = _images("images/0.jpg") | {
    "a class twice": write("label_map.txt", "roof\ntree\nroof\n"),
    "a class without a name": write("label_map.txt", "roof\n\ntree\n"),
    "no class": write("label_map.txt", "\n"),
    "a map that is no text": write("label_map.txt", b"roof\n\xff\n"),
    "a broken map in YAML": write("label_map.yaml", "1: roof\n2: [tree\n"),
    "a map in YAML that is a text": write("label_map.yaml", "roof\n"),
    "a map in YAML with a class twice": write("label_map.yaml", "1: roof\n2: tree\n3: roof\n"),
}

BROKEN: dict[tuple[str, str], dict[str, Breaks]] = {
    ("object_detection", "kitti"): {
        "a line of three fields": add("labels/1.txt", "roof 0 0\n"),
        "a box outside the image": add("labels/1.txt", kitti_line("roof", 4, 5, 90, 15)),
        "an empty box": add("labels/0.txt", kitti_line("roof", 20, 5, 10, 15)),
        "a word for a number": add("labels/0.txt", kitti_line("roof", 2, 5, 10, 15).replace("2.00", "two")),
        "an infinite number": add("labels/0.txt", kitti_line("roof", 2, 5, 10, 15).replace("2.00", "nan")),
        "a box of equal corners": add("labels/0.txt", kitti_line("roof", 20, 5, 20, 5)),
        "labels that are not UTF-8": add("labels/0.txt", kitti_line("to\xeet", 2, 5, 10, 15).encode("latin-1")),
        "an image without labels": remove("labels/2.txt"),
        "labels without an image": remove("images/2.jpg"),
        "a text as an image": write("images/1.jpg", "x"),
    },
    ("object_detection", "coco"): _COCO,
    ("object_detection", "raw"): _images("images/0.jpg"),
    ("object_detection", "coco_raw"): _MAP,
    ("instance_segmentation", "coco"): _COCO
    | {"a polygon of two points": coco("annotations", 1, segmentation=[[1, 2, 3, 4]])},
    ("object_detection", "odvg"): _ODVG,
    ("instance_segmentation", "odvg"): _ODVG,
    ("instance_segmentation", "coco_panoptic"): {
        "instances for segments": write("annotations_panoptic.json", json.dumps(coco_document(2))),
        "a category that is not there": panoptic("categories", 1, id=9),
        "two categories of one id": panoptic("categories", 1, id=1),
        "an image that is not there": panoptic("annotations", 1, image_id=9),
        "two annotations of an image": panoptic("annotations", 1, image_id=0),
        "a named image that is not there": remove("images/1.jpg"),
        "an image that is not named": image("images/other.jpg"),
        "segments that are not there": remove("images_panoptic/1.png"),
        "segments of another size": scale("images_panoptic/1.png", 30),
        "a number without a segment": panoptic("annotations", 0, segments_info=[{"id": 7, "category_id": 1}]),
        "a segment without a pixel": panoptic(
            "annotations", 0, segments_info=[{"id": n, "category_id": 1} for n in (7, 300, 9)]
        ),
        "a text as an image": write("images/0.jpg", "x"),
    },
    ("instance_segmentation", "raw"): _images("images/0.jpg"),
    ("instance_segmentation", "coco_raw"): _MAP,
    ("semantic_segmentation", "unet"): {
        "an image without a mask": remove("masks/train/1.png"),
        "a mask of another size": scale("masks/val/0.png", 10),
        "a mask without an image": remove("images/val/1.jpg"),
        "a text as a mask": write("masks/val/1.png", "x"),
    },
    ("semantic_segmentation", "coco"): _COCO_FILES
    | {"an annotation without a segmentation": coco("annotations", 1, segmentation=[])},
    ("semantic_segmentation", "raw"): _images("images/0.jpg"),
    ("image_classification", "default"): {
        "an image in no class": image("images_val/1.png"),
        "a class without images": folder("images_val/cat"),
        "a text as an image": write("images_val/1/1.png", "x"),
    },
    ("image_classification", "custom"): {
        "a row for an image that is not there": add("val.csv", "9.png,1,yes\n"),
        "a row of one cell": add("val.csv", "1.png\n"),
        "an empty cell": add("val.csv", "1.png,1,\n"),
        "an image without a row": image("images_val/9.png"),
        "an empty table": write("val.csv", ""),
        "a table that is no text": write("val.csv", b"fname,digit\n\xff,1\n"),
    },
    ("image_classification", "raw"): _images("images_test/0.png"),
    ("image_classification", "ssl"): _images("images_val/0.jpg"),
    ("image_classification", "classification_pyt"): {
        LATER + "a class without a name": image("images_val/cat/1.png"),
        LATER + "a class named twice": add("classes.txt", "0\n"),
        "an image in no class": image("images_val/1.png"),
        "an image cut off": cut("images_test/2/2.png"),
        "a text as an image": write("images_train/1/1.png", "x"),
    },
    ("character_recognition", "lprnet"): {
        "an unknown character": write("label/0.txt", "0Z"),
        "two lines of text": write("label/0.txt", "1\n2\n"),
        "two characters on a line": add("characters.txt", "ab\n"),
        "a character twice": add("characters.txt", "1\n"),
        "an image without a label": remove("label/1.txt"),
        "a label without an image": remove("image/1.png"),
        "no characters": write("characters.txt", ""),
    },
    ("character_recognition", "raw"): _images("image/0.png"),
    ("ocrnet", "default"): {
        "a named image that is not there": add("train/gt_new.txt", "9.png\t1\n"),
        "a line without a text": add("train/gt_new.txt", "1.png\n"),
        "an unknown character": add("train/gt_new.txt", "1.png\té\n"),
        "a list that is no text": add("test/gt_new.txt", b"\xff\n"),
        "no characters": write("character_list", ""),
    },
    ("ocdnet", "default"): {
        "a line of three fields": add("test/gt/gt_0.txt", "1,2,3\n"),
        "a word for a number": add("test/gt/gt_0.txt", "1,2,3,4,5,6,7,x,t\n"),
        "a word outside the image": add("test/gt/gt_0.txt", "2,3,200,3,200,12,2,12,far\n"),
        "truth without an image": remove("test/img/0.jpg"),
        "an image without truth": remove("test/gt/gt_0.txt"),
    },
    ("optical_inspection", "default"): {
        "a folder that is not there": add("dataset.csv", "board9,golden,PASS,C1\n"),
        "a path that climbs out": add("dataset.csv", "board1,../golden,PASS,C1\n"),
        "a path that begins at the dataset's top": add("dataset.csv", "images/board1,golden,MISSING,C1\n"),
        "an image for a folder": add("dataset.csv", "board1/C1_WhiteLight.jpg,golden,PASS,C1\n"),
        "an empty cell": add("dataset.csv", "board1,golden,,C1\n"),
        "a header without columns": write("dataset.csv", "input_path,label\n"),
        "an object without images": add("dataset.csv", "board1,golden,PASS,C9\n"),
        "a light that lacks": remove("images/board2/C1_WhiteLight.jpg"),
        "a light that lacks on the golden side": remove("images/golden/C1_SolderLight.jpg"),
        "another suffix": rename("images/board2/C1_WhiteLight.jpg", "images/board2/C1_WhiteLight.png"),
        "a text as an image": write("images/board1/C1_WhiteLight.jpg", "x"),
        "a text as a golden image": write("images/golden/C1_SolderLight.jpg", "x"),
        "a golden image cut off": cut("images/golden/C1_WhiteLight.jpg"),
        "a verdict in small letters": add("dataset.csv", "board1,board2,pass,C1\n"),
        "two verdicts": add("dataset.csv", "board1,golden,TOMBSTONE,C1\n"),
    },
    ("ml_recog", "default"): {
        "an image in no class": image(f"{RETAIL}/known_classes/train/1.jpg"),
        "a text as an image": write(f"{RETAIL}/known_classes/val/tea/0.jpg", "x"),
        "an image cut off": cut(f"{RETAIL}/unknown_classes/test/tea/0.jpg"),
    },
    ("bpnet", "default"): {
        "no keypoints": bodies(keypoints=None),
        "keypoints that are not in threes": bodies(keypoints=[1, 2, 2, 4]),
        "a named image that is not there": remove("val2017/1.jpg"),
        "annotations that are no JSON": write(BODIES, '{"images": [\n\n{]'),
    },
    ("fpenet", "default"): {
        "an object for a list": write(FACES, "{}"),
        "a named image that is not there": remove("data/afw/face.jpg"),
        "a list cut off": write(FACES, "["),
        "an entry without an image": write(FACES, '[{"annotations": []}]'),
        "a face without points": faces([{"class": "FiducialPoints"}]),
        "a face outside the image": faces([{"class": "FaceBbox", "bbox": {"x": 4, "y": 4, "width": 90, "height": 9}}]),
        "a face without a box": faces([{"class": "FaceBbox", "bbox": {"x": 4}}]),
        "marks that are no list": faces(3),
    },
    ("action_recognition", "default"): {
        "a video without frames": folder("test/wave/video2"),
        "a stream without frames": folder("test/wave/video1/u"),
        "streams of two lengths": lambda top: [image(f"test/wave/video1/{each}.png")(top) for each in FLOW],
        "a text as a frame": write("test/wave/video1/rgb/000002.png", "x"),
        "a frame cut off": cut("train/wave/video1/rgb/000001.png"),
    },
    ("pointpillars", "default"): {
        "a scan of half a point": write("val/lidar/0.bin", b"x" * 15),
        "an empty scan": write("val/lidar/0.bin", b""),
        "a scan without labels": remove("val/label/0.txt"),
        "labels without a scan": remove("train/lidar/0.bin"),
        "a line of two fields": write("val/label/0.txt", "Car 1\n"),
    },
    ("pose_classification", "default"): {
        "fewer classes than samples": write(PICKLE, pickle.dumps((["a"], [0]))),
        "fewer classes than names": write(PICKLE, pickle.dumps((["a", "b", "c"], [0, 1]))),
        "a class that is no number": write(PICKLE, pickle.dumps((["a", "b", "c"], [0, 1, "wave"]))),
        "a pickle that runs something": write(PICKLE, pickle.dumps(print)),
        "an empty pickle": write(PICKLE, b""),
        "an array that is none": write(ARRAY, "x"),
        "an array of two dimensions": array((3, 4)),
        "an array cut off": cut(ARRAY),
        "an array of objects": lambda top: np.save(top / ARRAY, np.array([None, "a"], dtype=object)),
    },
    ("centerpose", "default"): {
        "an image without annotations": remove("train/cups/0.json"),
        "annotations of another form": write("val/cups/0.json", '{"objects": []}'),
        "annotations that are no JSON": write("val/cups/0.json", "{"),
        "a cuboid of eight points": write(
            "test/cups/0.json",
            json.dumps({**cuboid(), "objects": [cuboid()["objects"][0] | {"projected_cuboid": [[1, 2]] * 8}]}),
        ),
        "an image cut off": cut("train/cups/0.png"),
    },
    ("depth_net_mono", "default"): {
        "a named image that is not there": add("annotations.txt", "images/other.jpg\n"),
        "no depth": remove("depth/0.png"),
        "too many paths": add("annotations.txt", "a b c d\n"),
        "a path that leaves the dataset": add("annotations.txt", "../0_0.jpg\n"),
        "two lines for an image": add("annotations.txt", "images/0_0.jpg\n"),
        "a list that is no text": write("annotations.txt", b"\xff"),
        "an image in no line": image("images/other.jpg"),
        "an image cut off": cut("images/1_0.jpg"),
    },
    ("depth_net_stereo", "default"): {
        "no right image": remove("images/1_1.jpg"),
        "a single path": add("annotations.txt", "images/0_0.jpg\n"),
        "a right image cut off": cut("images/1_1.jpg"),
    },
    ("visual_changenet_segment", "default"): {
        "a named image that is not there": add("list/val.txt", "other.jpg\n"),
        "no second image": remove("B/train.jpg"),
        "no label": remove("label/test.png"),
        "a list that is no text": write("list/val.txt", b"\xff"),
        "an image in no list": image("A/other.jpg"),
        "a text as a second image": write("B/test.jpg", "x"),
        "a label cut off": cut("label/val.png"),
    },
    ("re_identification", "default"): {
        "a name without a person": image("sample_query/someone.jpg"),
        "a text as an image": write("sample_train/0002_c1s1_000451_03.jpg", "x"),
        "an image cut off": cut("sample_test/0007_c1s1_000451_03.jpg"),
    },
}  # fmt: skip
