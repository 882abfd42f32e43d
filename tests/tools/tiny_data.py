"""Datasets of noise and shapes, just large enough that NVIDIA's tools train on them. Each function fills a folder."""

from __future__ import annotations

import json
import pickle
from pathlib import Path
from typing import Any

import numpy
from PIL import Image, ImageDraw

LIGHTS = ("SolderLight", "WhiteLight")


def noise(path: Path, seed: int, width: int, height: int) -> None:
    _saved(path, numpy.random.default_rng(seed).integers(0, 255, (height, width, 3), "uint8"))


def _saved(path: Path, pixels: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)


def shapes(folder: Path) -> None:
    """Two classes: filled circles and squares."""
    for split, count in (("train", 6), ("val", 3), ("test", 3)):
        for number in range(count):
            for name in ("circle", "square"):
                place = folder / f"images_{split}" / name
                place.mkdir(parents=True, exist_ok=True)
                image = Image.new("RGB", (64, 64), "white")
                draw = ImageDraw.Draw(image)
                box = (8 + number, 8, 40 + number, 40)
                draw.ellipse(box, "black") if name == "circle" else draw.rectangle(box, "black")
                image.save(place / f"{number}.png")
    (folder / "classes.txt").write_text("circle\nsquare\n")


def skeletons(folder: Path) -> None:
    """Six motions of 34 joints, as NVIDIA's own layout has them."""
    made = numpy.random.default_rng(0)
    (folder / "nvidia").mkdir(parents=True)
    for split, count in (("train", 24), ("val", 12), ("test", 6)):
        labels = [number % 6 for number in range(count)]
        data = made.normal(0, 0.05, (count, 3, 60, 34, 1)).astype("float32")
        for number, label in enumerate(labels):
            wave = numpy.sin(numpy.linspace(0, (label + 1) * 3, 60)) * (label + 1) / 6
            data[number, :, :, :, 0] += wave[None, :, None]
        numpy.save(folder / f"nvidia/{split}_data.npy", data)
        names = [f"s{number}" for number in range(count)]
        (folder / f"nvidia/{split}_label.pkl").write_bytes(pickle.dumps((names, labels)))


def videos(folder: Path) -> None:
    """Three videos of 12 frames for each of two actions."""
    for split in ("train", "test"):
        for name in ("run", "walk"):
            for video in range(3):
                for frame in range(12):
                    noise(folder / f"{split}/{name}/{name}_{video}/rgb/{frame:06d}.png", frame + 20 * video, 96, 96)


def persons(folder: Path) -> None:
    """Four images of eight persons to train on, of four others to search for."""
    for part, people, shots in (("train", range(1, 9), 4), ("query", range(11, 15), 2), ("test", range(11, 15), 4)):
        for person in people:
            for shot in range(shots):
                name = f"{person:04d}_c{shot % 2 + 1}s1_{shot:06d}_00.jpg"
                noise(folder / f"sample_{part}" / name, 10 * person + shot, 64, 128)


def objects(folder: Path, first: int = 1) -> None:
    """Four images with a car and a person each, as COCO; `first` is the id of the first category."""
    boxes = {first: [10, 10, 30, 30], first + 1: [20, 10, 30, 30]}
    names = {first: "car", first + 1: "person"}
    images, annotations = [], []
    for number in range(1, 5):
        noise(folder / f"images/{number}.jpg", number, 96, 96)
        images.append({"id": number, "file_name": f"{number}.jpg", "width": 96, "height": 96})
        for category, box in boxes.items():
            about = {"id": len(annotations) + 1, "image_id": number, "category_id": category, "bbox": box}
            annotations.append(about | {"area": box[2] * box[3], "iscrowd": 0})
    categories = [{"id": key, "name": name} for key, name in names.items()]
    document = {"images": images, "annotations": annotations, "categories": categories}
    (folder / "annotations.json").write_text(json.dumps(document))
    (folder / "label_map.txt").write_text("".join(f"{name}\n" for name in names.values()))


def masks(folder: Path) -> None:
    """Images with a mask of two classes."""
    for split in ("train", "val", "test"):
        for number in range(3):
            noise(folder / f"images/{split}/{number}.png", number, 64, 64)
            mask = numpy.zeros((64, 64), "uint8")
            mask[10:30, 10:30] = 1
            path = folder / f"masks/{split}/{number}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(mask).save(path)


def boards(folder: Path) -> None:
    """Components under two lights, half of them missing."""
    rows = ["input_path,golden_path,label,object_name"]
    for number in range(24):
        for side in ("t", "g"):
            for light in LIGHTS:
                noise(folder / f"images/{side}{number}/C{number}@1_{light}.jpg", number, 64, 64)
        rows.append(f"t{number}/,g{number}/,{'PASS' if number % 2 else 'MISSING'},C{number}@1")
    (folder / "dataset.csv").write_text("\n".join(rows) + "\n")


def instances(folder: Path, first: int = 1) -> None:
    """The objects with an outline each."""
    objects(folder, first)
    path = folder / "annotations.json"
    document = json.loads(path.read_text())
    for each in document["annotations"]:
        x, y, width, height = each["bbox"]
        each["segmentation"] = [[x, y, x + width, y, x + width, y + height, x, y + height]]
    path.write_text(json.dumps(document))


def phrases(folder: Path) -> None:
    """The objects as ODVG, with their names as phrases; and as COCO, with the category ids that such tools read."""
    instances(folder, first=0)
    document = json.loads((folder / "annotations.json").read_text())
    names = {each["id"]: each["name"] for each in document["categories"]}
    lines = []
    for image in document["images"]:
        found = []
        for each in document["annotations"]:
            if each["image_id"] == image["id"]:
                x, y, width, height = each["bbox"]
                key = each["category_id"]
                box = [x, y, x + width, y + height]
                mask = [[x, y, x + width, y, x + width, y + height, x, y + height]]
                found.append({"bbox": box, "label": key, "category": names[key], "mask": mask})
        about = {key: image[key] for key in ("file_name", "height", "width")} | {"image_id": image["id"]}
        lines.append(json.dumps(about | {"detection": {"instances": found}}) + "\n")
    (folder / "annotations_odvg.jsonl").write_text("".join(lines))
    (folder / "annotations_odvg_labelmap.json").write_text(json.dumps(names))


def segments(folder: Path) -> None:
    """COCO panoptic: a car before the sky in each of four images."""
    pixels = numpy.zeros((96, 96, 3), "uint8")
    pixels[:] = (2, 0, 0)
    pixels[10:40, 10:40] = (1, 0, 0)
    infos = [
        {"id": 1, "category_id": 1, "bbox": [10, 10, 30, 30], "area": 900, "iscrowd": 0},
        {"id": 2, "category_id": 2, "bbox": [0, 0, 96, 96], "area": 96 * 96 - 900, "iscrowd": 0},
    ]
    images, annotations = [], []
    (folder / "images_panoptic").mkdir(parents=True)
    for number in range(1, 5):
        noise(folder / f"images/{number}.jpg", number, 96, 96)
        Image.fromarray(pixels).save(folder / f"images_panoptic/{number}.png")
        images.append({"id": number, "file_name": f"{number}.jpg", "width": 96, "height": 96})
        annotations.append({"image_id": number, "file_name": f"{number}.png", "segments_info": infos})
    categories = [{"id": 1, "name": "car", "isthing": 1}, {"id": 2, "name": "sky", "isthing": 0}]
    document = {"images": images, "annotations": annotations, "categories": categories}
    (folder / "annotations_panoptic.json").write_text(json.dumps(document))


def products(folder: Path) -> None:
    """Four products that are known and four that are not, in four sets each."""
    top = folder / "metric_learning_recognition/retail-product-checkout-dataset_classification_demo"
    for known in ("known_classes", "unknown_classes"):
        for part in ("train", "val", "reference", "test"):
            for product in range(4):
                for shot in range(6):
                    noise(top / known / part / f"{known[0]}{product}" / f"{shot}.jpg", 10 * product + shot, 64, 64)


def scenes(folder: Path) -> None:
    """Photographs with one line of text each, and its outline."""
    for part in ("train", "test"):
        for number in range(4):
            noise(folder / part / "img" / f"img_{number}.jpg", number, 640, 640)
            outline = folder / part / "gt" / f"gt_img_{number}.txt"
            outline.parent.mkdir(parents=True, exist_ok=True)
            outline.write_text("100,100,400,100,400,200,100,200,hello\n")


def words(folder: Path) -> None:
    """Images of four digits with the text that they show."""
    chosen = numpy.random.default_rng(0)
    for part, count in (("train", 24), ("test", 8)):
        lines = []
        (folder / part).mkdir(parents=True)
        for number in range(count):
            text = "".join(map(str, chosen.integers(0, 10, 4)))
            image = Image.new("RGB", (100, 32), "white")
            ImageDraw.Draw(image).text((10, 8), text, fill="black")
            image.save(folder / part / f"{number}.png")
            lines.append(f"{number}.png\t{text}\n")
        (folder / part / "gt_new.txt").write_text("".join(lines))
    (folder / "character_list").write_text("\n".join("0123456789abcdefghijklmnopqrstuvwxyz") + "\n")


def changes(folder: Path) -> None:
    """Pairs of images of which the second has a changed square, and masks of the change."""
    for split in ("train", "val", "test", "predict"):
        names = []
        for number in range(4):
            name = f"{split}_{number}.png"
            names.append(name)
            for side in ("A", "B"):
                noise(folder / side / name, number, 64, 64)
            mask = numpy.zeros((64, 64), "uint8")
            mask[10:30, 10:30] = 255
            (folder / "label").mkdir(exist_ok=True)
            Image.fromarray(mask).save(folder / "label" / name)
        (folder / "list").mkdir(exist_ok=True)
        (folder / f"list/{split}.txt").write_text("\n".join(names) + "\n")


def unlabelled(folder: Path) -> None:
    """The shapes without their classes."""
    for split in ("train", "val", "test"):
        for number in range(6):
            noise(folder / f"images_{split}" / "all" / f"{number}.png", number, 56, 56)


def cuboids(folder: Path) -> None:
    """Images with one cup each, whose cuboid is seen by a camera 5 units in front of it."""
    corners = [(0.0, 0.0, 0.0)]
    corners += [(x, y, z) for x in (-0.5, 0.5) for y in (-0.5, 0.5) for z in (-0.5, 0.5)]
    focus, middle = 600.0, 256.0
    seen = [(x, y, z - 5.0) for x, y, z in corners]
    projected = [[middle + focus * x / -z, middle - focus * y / -z] for x, y, z in seen]
    projection = [
        [2 * focus / 512, 0, 0, 0],
        [0, 2 * focus / 512, 0, 0],
        [0, 0, -1.0, -0.02],
        [0, 0, -1, 0],
    ]
    view = [[1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]]
    found = {
        "projected_cuboid": projected,
        "scale": [1.0, 1.0, 1.0],
        "keypoints_3d": [list(each) for each in seen],
        "location": [0.0, 0.0, -5.0],
        "quaternion_xyzw": [0.0, 0.0, 0.0, 1.0],
        "name": "cup",
        "provenance": "objectron",
        "symmetric": "false",
        "visibility": 1,
    }
    camera = {
        "width": 512,
        "height": 512,
        "intrinsics": {"fx": focus, "fy": focus, "cx": middle, "cy": middle},
        "camera_projection_matrix": projection,
        "camera_view_matrix": view,
    }
    ground = {"plane_center": [0.0, -0.5, -5.0], "plane_normal": [0.0, 1.0, 0.0]}
    for split in ("train", "val", "test"):
        for number in range(2):
            noise(folder / split / "cups" / f"{number:05d}.png", number, 512, 512)
            document = {"camera_data": camera, "objects": [found], "AR_data": ground}
            (folder / split / "cups" / f"{number:05d}.json").write_text(json.dumps(document))


def depths(folder: Path) -> None:
    """Four images with their depth in metres."""
    lines = []
    for number in range(4):
        noise(folder / f"images/{number}.png", number, 84, 84)
        _saved(folder / f"depth/{number}.png", numpy.tile(numpy.arange(84, dtype="uint16") // 12 + 1, (84, 1)))
        lines.append(f"images/{number}.png depth/{number}.png\n")
    (folder / "annotations.txt").write_text("".join(lines))


def pairs(folder: Path) -> None:
    """Four left images, the right ones moved by 8 pixels, and that disparity as NVIDIA's tool encodes it."""
    lines = []
    for number in range(4):
        noise(folder / f"images/{number}_left.png", number, 128, 128)
        left = numpy.asarray(Image.open(folder / f"images/{number}_left.png"))
        _saved(folder / f"images/{number}_right.png", numpy.roll(left, -8, axis=1))
        _saved(folder / f"disparity/{number}.png", numpy.full((128, 128, 3), (0, 31, 95), "uint8"))
        lines.append(f"images/{number}_left.png images/{number}_right.png disparity/{number}.png\n")
    (folder / "annotations.txt").write_text("".join(lines))


def kitti(folder: Path) -> None:
    """Four images with a car and a person each, as KITTI."""
    (folder / "labels").mkdir(parents=True)
    for number in range(4):
        noise(folder / f"images/{number}.png", number, 96, 96)
        rows = ("car 0 0 0 10 10 50 50 0 0 0 0 0 0 0", "person 0 0 0 20 20 60 60 0 0 0 0 0 0 0")
        (folder / f"labels/{number}.txt").write_text("\n".join(rows) + "\n")
