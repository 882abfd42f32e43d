"""Summary and full check of 100,000 labels and 1,000 masks, compared with a peer in the same run."""

from __future__ import annotations

import contextlib
import io
import json
import os
import random
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

from PIL import Image, ImageDraw

from taod.datasets.formats.validate import ContentCheck
from taod.datasets.validation.summary import summarise

IMAGES = 10_000
MASKS = 1_000
UNET = ("semantic_segmentation", "unet")
EACH = 10
"""Objects per image."""


def run() -> Iterator[tuple[str, str, str]]:
    with tempfile.TemporaryDirectory() as name:
        top = Path(name)
        _fill(top)
        for format_ in ("kitti", "coco"):
            peer = f"pycocotools reads it in {_seconds(lambda: _theirs(top))}" if format_ == "coco" else "–"
            summary = _seconds(partial(summarise, top, "object_detection", format_))
            yield f"{format_}: summary of {IMAGES * EACH:,} labels", summary, peer
            whole = _seconds(ContentCheck(top, "object_detection", format_).run)
            yield f"{format_}: full check, with the headers of {IMAGES:,} images", whole, "–"

    with tempfile.TemporaryDirectory() as name:
        top = Path(name)
        _paint(top)
        yield f"unet: summary of {MASKS:,} masks", _seconds(lambda: summarise(top, *UNET)), "–"
        whole = _seconds(lambda: ContentCheck(top, *UNET).run())
        plain = _seconds(lambda: _decoded(top))
        yield f"unet: full check of {MASKS:,} masks of 640 x 480", whole, f"Pillow decodes them in {plain}"


def _seconds(work: Callable[[], object]) -> str:
    """Processor time in seconds, the minimum of three runs, which other load affects least."""
    taken = []
    for _ in range(3):
        started = time.process_time()
        work()
        taken.append(time.process_time() - started)
    return f"{min(taken):.2f} s"


def _theirs(top: Path) -> object:
    from pycocotools.coco import COCO

    with contextlib.redirect_stdout(io.StringIO()):
        return COCO(str(top / "annotations.json"))


def _decoded(top: Path) -> None:
    for path in sorted((top / "masks").rglob("*.png")):
        with Image.open(path) as image:
            image.load()


def _paint(top: Path) -> None:
    """Write masks with 20 ellipses of 8 classes each."""
    chance = random.Random(0)
    for folder in ("images/train", "images/val", "images/test", "masks/train", "masks/val"):
        (top / folder).mkdir(parents=True)
    Image.effect_noise((640, 480), 60).convert("RGB").save(top / "one.jpg")
    for number in range(MASKS):
        mask = Image.new("L", (640, 480))
        draw = ImageDraw.Draw(mask)
        for _ in range(20):
            left, upper = chance.randint(0, 600), chance.randint(0, 440)
            draw.ellipse(
                (left, upper, left + chance.randint(5, 200), upper + chance.randint(5, 200)), chance.randint(0, 7)
            )
        mask.save(top / f"masks/train/{number:06d}.png")
        os.link(top / "one.jpg", top / f"images/train/{number:06d}.jpg")
    (top / "one.jpg").unlink()


def _fill(top: Path) -> None:
    chance = random.Random(0)
    (top / "images").mkdir()
    (top / "labels").mkdir()
    Image.effect_noise((640, 480), 60).convert("RGB").save(top / "one.jpg")
    document: dict[str, list[dict[str, Any]]] = {"images": [], "annotations": [], "categories": []}
    document["categories"] = [{"id": 1, "name": "car"}, {"id": 2, "name": "person"}]
    for number in range(IMAGES):
        name = f"{number:06d}"
        os.link(top / "one.jpg", top / "images" / f"{name}.jpg")
        document["images"].append({"id": number, "file_name": f"{name}.jpg", "width": 640, "height": 480})
        lines = []
        for _ in range(EACH):
            left, upper, kind = chance.randint(0, 500), chance.randint(0, 400), chance.randint(1, 2)
            word = document["categories"][kind - 1]["name"]
            lines.append(f"{word} 0.00 0 0.00 {left}.00 {upper}.00 {left + 50}.00 {upper + 40}.00 0 0 0 0 0 0 0\n")
            document["annotations"].append(
                {
                    "id": len(document["annotations"]),
                    "image_id": number,
                    "category_id": kind,
                    "bbox": [left, upper, 50, 40],
                    "area": 2000,
                    "iscrowd": 0,
                    "segmentation": [[left, upper, left + 50, upper, left + 50, upper + 40]],
                }
            )
        (top / "labels" / f"{name}.txt").write_text("".join(lines))
    (top / "one.jpg").unlink()
    (top / "annotations.json").write_text(json.dumps(document))
