"""Datasets of noise and shapes, just large enough that NVIDIA's tools train on them. Each function fills a folder."""

from __future__ import annotations

import json
import pickle
from pathlib import Path

import numpy
from PIL import Image, ImageDraw

LIGHTS = ("SolderLight", "WhiteLight")


def noise(path: Path, seed: int, width: int, height: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = numpy.random.default_rng(seed).integers(0, 255, (height, width, 3), "uint8")
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


def objects(folder: Path) -> None:
    """Four images with a car and a person each, as COCO."""
    boxes = {1: [10, 10, 30, 30], 2: [20, 10, 30, 30]}
    names = {1: "car", 2: "person"}
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
