"""A small valid dataset of each type and format, from real images: scikit-learn's digits and photographs."""

from __future__ import annotations

import json
import pickle
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from taod.datasets.validation.layouts import RETAIL

SIDE = 48


@cache
def digits() -> tuple[np.ndarray, np.ndarray]:
    from sklearn.datasets import load_digits

    found = load_digits()
    return (found.images * 15.9).astype("uint8"), found.target


@cache
def photographs() -> list[np.ndarray]:
    from sklearn.datasets import load_sample_images

    return list(load_sample_images().images)


def digit(number: int, path: Path) -> int:
    """Write digit `number` as an image of 16 x 16; returns which digit it is."""
    images, targets = digits()
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(images[number]).resize((16, 16)).save(path)
    return int(targets[number])


def photograph(number: int, path: Path) -> None:
    """Write a piece of 48 x 48 of a photograph; another one for each number."""
    whole = photographs()[number % 2]
    top, left = 37 * number % (whole.shape[0] - SIDE), 53 * number % (whole.shape[1] - SIDE)
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(whole[top : top + SIDE, left : left + SIDE]).save(path)


def text(path: Path, content: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content, encoding="utf-8")


def kitti_line(name: str, left: float, top: float, right: float, bottom: float) -> str:
    return f"{name} 0.00 0 0.00 {left:.2f} {top:.2f} {right:.2f} {bottom:.2f} 0.00 0.00 0.00 0.00 0.00 0.00 0.00\n"


def coco_document(count: int, *, keypoints: bool = False) -> dict[str, Any]:
    """For photographs named 0.jpg, 1.jpg, …, each with a roof and a tree."""
    annotations = []
    for number in range(count):
        for category, box in ((1, [4, 5, 20, 10]), (2, [12.5, 20, 30, 25])):
            annotation: dict[str, Any] = {
                "id": len(annotations) + 1, "image_id": number + 1, "category_id": category, "bbox": box,
                "area": box[2] * box[3], "iscrowd": 0, "segmentation": [[4, 5, 24, 5, 24, 15]],
            }  # fmt: skip
            if keypoints:
                annotation |= {"keypoints": [5, 6, 2] * 17, "num_keypoints": 17}
            annotations.append(annotation)
    return {
        "images": [
            {"id": number + 1, "file_name": f"{number}.jpg", "width": SIDE, "height": SIDE} for number in range(count)
        ],
        "categories": [{"id": 1, "name": "roof", "supercategory": "house"}, {"id": 2, "name": "tree"}],
        "annotations": annotations,
    }


def kitti(top: Path) -> None:
    for number in range(3):
        photograph(number, top / f"images/{number}.jpg")
        text(
            top / f"labels/{number}.txt",
            kitti_line("roof", 4, 5, 24, 15)
            + kitti_line("tree", 12.5, 20, 42.5, 45)
            + kitti_line("DontCare", 0, 0, 9, 9),
        )


def coco(top: Path) -> None:
    for number in range(3):
        photograph(number, top / f"images/{number}.jpg")
    text(top / "annotations.json", json.dumps(coco_document(3)))


def voc(top: Path) -> None:
    for number in range(3):
        photograph(number, top / f"images/{number}.jpg")
        text(
            top / f"labels/{number}.xml",
            f"<annotation><filename>{number}.jpg</filename><size><width>{SIDE}</width><height>{SIDE}</height>"
            "<depth>3</depth></size><object><name>roof</name><bndbox><xmin>4</xmin><ymin>5</ymin><xmax>24</xmax>"
            "<ymax>15</ymax></bndbox></object></annotation>",
        )


def bare(top: Path) -> None:
    photograph(0, top / "images/0.jpg")


def coco_raw(top: Path) -> None:
    bare(top)
    text(top / "label_map.txt", "roof\ntree\n")


def odvg(top: Path) -> None:
    """Two images with boxes, and one with a caption."""
    found = {
        "detection": {
            "instances": [
                {"bbox": [4, 5, 24, 15], "label": 0, "category": "roof"},
                {"bbox": [12.5, 20, 42.5, 45], "label": 1, "category": "tree"},
            ]
        }
    }
    caption = {
        "grounding": {"caption": "a roof above a tree", "regions": [{"bbox": [4, 5, 24, 15], "phrase": "a roof"}]}
    }
    lines = []
    for number in range(3):
        photograph(number, top / f"images/{number}.jpg")
        line = {"file_name": f"{number}.jpg", "height": SIDE, "width": SIDE, **(caption if number == 2 else found)}
        lines.append(json.dumps(line) + "\n")
    text(top / "annotations_odvg.jsonl", "".join(lines))
    text(top / "annotations_odvg_labelmap.json", json.dumps({"0": "roof", "1": "tree"}))


def panoptic_document() -> dict[str, Any]:
    """For photographs named 0.jpg and 1.jpg, each with a roof and the sky around it."""
    segments = [
        {"id": 7, "category_id": 1, "bbox": [4, 5, 20, 10], "area": 200, "iscrowd": 0},
        {"id": 300, "category_id": 2, "bbox": [0, 0, SIDE, SIDE], "area": SIDE * SIDE - 200, "iscrowd": 0},
    ]
    return {
        "images": [{"id": n, "file_name": f"{n}.jpg", "width": SIDE, "height": SIDE} for n in range(2)],
        "annotations": [{"image_id": n, "file_name": f"{n}.png", "segments_info": segments} for n in range(2)],
        "categories": [{"id": 1, "name": "roof", "isthing": 1}, {"id": 2, "name": "sky", "isthing": 0}],
    }


def panoptic(top: Path) -> None:
    pixels = np.zeros((SIDE, SIDE, 3), "uint8")
    pixels[:] = (300 % 256, 300 // 256, 0)
    pixels[5:15, 4:24] = (7, 0, 0)
    (top / "images_panoptic").mkdir(parents=True)
    for number in range(2):
        photograph(number, top / f"images/{number}.jpg")
        Image.fromarray(pixels).save(top / f"images_panoptic/{number}.png")
    text(top / "annotations_panoptic.json", json.dumps(panoptic_document()))


def unlabelled(top: Path) -> None:
    for split in ("train", "val", "test"):
        photograph(0, top / f"images_{split}/0.jpg")


def masks(top: Path) -> None:
    for split in ("train", "val", "test"):
        for number in range(2):
            photograph(number, top / f"images/{split}/{number}.jpg")
            if split != "test":
                path = top / f"masks/{split}/{number}.png"
                path.parent.mkdir(parents=True, exist_ok=True)
                dark = photographs()[number % 2][:SIDE, :SIDE, 2] < 100
                Image.fromarray(dark.astype("uint8")).save(path)


def classes(top: Path, folders: tuple[str, ...] = ("images_train", "images_val", "images_test")) -> set[str]:
    names = set()
    for folder in folders:
        for number in range(20):
            which = int(digits()[1][number])
            digit(number, top / folder / str(which) / f"{number}.png")
            names.add(str(which))
    return names


def classification_pyt(top: Path) -> None:
    text(top / "classes.txt", "".join(f"{name}\n" for name in sorted(classes(top))))


def custom(top: Path) -> None:
    for split in ("train", "val"):
        rows = ["fname,digit,even"]
        for number in range(6):
            which = digit(number, top / f"images_{split}/{number}.png")
            rows.append(f"{number}.png,{which},{'yes' if which % 2 == 0 else 'no'}")
        text(top / f"{split}.csv", "\n".join(rows) + "\n")


def flat(top: Path) -> None:
    for number in range(3):
        digit(number, top / f"images_test/{number}.png")


def plates(top: Path) -> None:
    for number in range(4):
        which = digit(number, top / f"image/{number}.png")
        text(top / f"label/{number}.txt", f"{which}\n")
    text(top / "characters.txt", "\n".join("0123456789") + "\n")


def plates_raw(top: Path) -> None:
    digit(0, top / "image/0.png")


def words(top: Path) -> None:
    for split in ("train", "test"):
        lines = [f"{number}.png\t{digit(number, top / split / f'{number}.png')}" for number in range(4)]
        text(top / f"{split}/gt_new.txt", "\n".join(lines) + "\n")
    text(top / "character_list", "\n".join("0123456789"))


def quads(top: Path) -> None:
    for split in ("train", "test"):
        for number in range(2):
            photograph(number, top / f"{split}/img/{number}.jpg")
            text(top / f"{split}/gt/gt_{number}.txt", "2,3,20,3,20,12,2,12,sign, one\n5,20,30,22,30,30,5,28,###\n")


def inspection(top: Path) -> None:
    for number, folder in enumerate(("golden", "board1", "board2")):
        for light in ("SolderLight", "WhiteLight"):
            photograph(number, top / f"images/{folder}/C1_{light}.jpg")
    text(
        top / "dataset.csv",
        "input_path,golden_path,label,object_name\nboard1,golden,PASS,C1\nboard2,golden,MISSING,C1\n",
    )


def products(top: Path) -> None:
    for known in ("known_classes", "unknown_classes"):
        for part in ("train", "val", "reference", "test"):
            photograph(0, top / RETAIL / known / part / "tea" / "0.jpg")


def bodies(top: Path) -> None:
    for split in ("train2017", "val2017"):
        for number in range(2):
            photograph(number, top / split / f"{number}.jpg")
        document = json.dumps(coco_document(2, keypoints=True))
        text(top / f"annotations/person_keypoints_{split}.json", document)
    for name in ("coco_spec.json", "bpnet_18joints.json"):
        text(top / name, "{}")
    text(top / "infer_spec.yaml", "{}\n")


def faces(top: Path) -> None:
    photograph(0, top / "data/afw/face.jpg")
    points = {f"P{number}{axis}": 10 for number in range(1, 81) for axis in "xy"}
    entry = {
        "filename": "face.jpg",
        "class": "image",
        "annotations": [
            {
                "class": "FaceBbox",
                "tool-version": "1.0",
                "face_tight_bbox": {"x": 4, "y": 4, "width": 30, "height": 30},
            },
            {"class": "FiducialPoints", **points},
        ],
    }
    text(top / "data/afw/afw.json", json.dumps([entry]))
    text(top / "data.json", "{}")


def videos(top: Path) -> None:
    for split in ("train", "test"):
        for number in range(3):
            photograph(number, top / f"{split}/wave/video1/rgb/{number:06d}.png")


def scans(top: Path) -> None:
    for split in ("train", "val"):
        path = top / f"{split}/lidar/0.bin"
        path.parent.mkdir(parents=True)
        np.asarray(digits()[0][0], dtype="float32").tofile(path)
        text(top / f"{split}/label/0.txt", "Car 0.00 0 0.00 0 0 0 0 1.50 1.60 3.90 10.10 2.20 -1.00 0.10\n")


def skeletons(top: Path) -> None:
    for split in ("train", "val"):
        (top / "kinetics").mkdir(exist_ok=True)
        np.save(top / f"kinetics/{split}_data.npy", np.zeros((3, 3, 10, 18, 1), "float32"))
        (top / f"kinetics/{split}_label.pkl").write_bytes(pickle.dumps((["a", "b", "c"], [0, 1, 1])))


def persons(top: Path) -> None:
    for folder in ("sample_train", "sample_test", "sample_query"):
        for number in (2, 7):
            photograph(number, top / folder / f"{number:04d}_c1s1_000451_03.jpg")


def cuboid() -> dict[str, Any]:
    found = {
        "projected_cuboid": [[20 + n, 20 + n] for n in range(9)],
        "scale": [1, 2, 1],
        "keypoints_3d": [[0, 0, n] for n in range(9)],
        "location": [0, 0, 1],
        "quaternion_xyzw": [0, 0, 0, 1],
        "name": "cup",
    }
    camera = {
        "intrinsics": {"fx": 600, "fy": 600, "cx": 24, "cy": 24},
        "camera_projection_matrix": [[1, 0, 0, 0]] * 4,
    }
    return {"camera_data": camera, "objects": [found]}


def cuboids(top: Path) -> None:
    for split in ("train", "val", "test"):
        photograph(0, top / f"{split}/cups/0.png")
        text(top / f"{split}/cups/0.json", json.dumps(cuboid()))


def changes(top: Path) -> None:
    for split in ("train", "val", "test", "predict"):
        for folder in ("A", "B"):
            photograph(len(folder), top / f"{folder}/{split}.jpg")
        if split != "predict":
            (top / "label").mkdir(exist_ok=True)
            Image.fromarray(np.eye(SIDE, dtype="uint8")).save(top / f"label/{split}.png")
        text(top / f"list/{split}.txt", f"{split}.jpg\n")


def depths(top: Path, images: int = 1) -> None:
    """Two scenes with one image each, or two, and what was measured in the first."""
    lines = []
    for number in range(2):
        paths = [f"images/{number}_{side}.jpg" for side in range(images)]
        for path in paths:
            photograph(number, top / path)
        lines.append(" ".join(paths))
    (top / "depth").mkdir()
    Image.fromarray(np.full((SIDE, SIDE), 200, "uint8")).save(top / "depth/0.png")
    text(top / "annotations.txt", f"{lines[0]} depth/0.png\n{lines[1]}\n")


def disparities(top: Path) -> None:
    depths(top, images=2)


VALID: dict[tuple[str, str], Callable[[Path], Any]] = {
    ("object_detection", "kitti"): kitti,
    ("object_detection", "coco"): coco,
    ("object_detection", "raw"): bare,
    ("object_detection", "coco_raw"): coco_raw,
    ("object_detection", "odvg"): odvg,
    ("instance_segmentation", "coco"): coco,
    ("instance_segmentation", "raw"): bare,
    ("instance_segmentation", "coco_raw"): coco_raw,
    ("instance_segmentation", "odvg"): odvg,
    ("instance_segmentation", "coco_panoptic"): panoptic,
    ("semantic_segmentation", "unet"): masks,
    ("semantic_segmentation", "coco"): coco,
    ("semantic_segmentation", "raw"): bare,
    ("image_classification", "default"): classes,
    ("image_classification", "custom"): custom,
    ("image_classification", "raw"): flat,
    ("image_classification", "classification_pyt"): classification_pyt,
    ("image_classification", "ssl"): unlabelled,
    ("character_recognition", "lprnet"): plates,
    ("character_recognition", "raw"): plates_raw,
    ("ocrnet", "default"): words,
    ("ocdnet", "default"): quads,
    ("optical_inspection", "default"): inspection,
    ("ml_recog", "default"): products,
    ("bpnet", "default"): bodies,
    ("fpenet", "default"): faces,
    ("action_recognition", "default"): videos,
    ("pointpillars", "default"): scans,
    ("pose_classification", "default"): skeletons,
    ("re_identification", "default"): persons,
    ("centerpose", "default"): cuboids,
    ("depth_net_mono", "default"): depths,
    ("depth_net_stereo", "default"): disparities,
    ("visual_changenet_segment", "default"): changes,
}
"""By type and format; every pair that the catalogue has."""
