"""`analytics analyze`: figures of a dataset's boxes, segmentations and images as JSON, as charts, and drawn."""

from __future__ import annotations

import random
from collections import Counter
from pathlib import Path

import msgspec
from PIL import Image, ImageDraw

from runners.engine.data import boxes, shapes, unet
from runners.engine.data.check import write
from runners.engine.data.segment_figures import Segments
from runners.engine.errors import DataError
from runners.engine.interrupt import Interrupt
from runners.engine.run import Run
from runners.engine.spec import convert
from runners.engine.status import Pace
from taod.datasets.formats import kitti, masks
from taod.datasets.formats.image import measure
from taod.datasets.formats.segments import segmentation_of
from taod.datasets.formats.statistics import BoxStatistics
from taod.datasets.formats.types import Item, Problem

STATUS_S = 1.0
OPACITY = 110
"""Opacity of an object's colour over its pixels, of 255."""
_COLOURS = ("#e6194b", "#3cb44b", "#4363d8", "#f58231", "#911eb4", "#008080", "#9a6324", "#808000")


class Data(msgspec.Struct):
    input_format: str = "KITTI"
    image_dir: str = ""
    ann_path: str = ""
    output_dir: str | None = None


class _Image(msgspec.Struct):
    generate_image_with_bounding_box: bool = False
    sample_size: int = 100


class _Graph(msgspec.Struct):
    height: int = 15
    width: int = 15
    show_all: bool = False
    generate_summary_and_graph: bool = True


class Settings(msgspec.Struct):
    data: Data = msgspec.field(default_factory=Data)
    image: _Image = msgspec.field(default_factory=_Image)
    graph: _Graph = msgspec.field(default_factory=_Graph)


def source(data: Data) -> boxes.Source:
    """What the spec names. Raises DataError where it names nothing."""
    if not data.image_dir or not data.ann_path:
        raise DataError("data.image_dir, data.ann_path: they are not set; name the images and their labels.")
    return boxes.Source(data.input_format.upper(), Path(data.image_dir), Path(data.ann_path))


def output(data: Data, run: Run) -> Path:
    """Where results go."""
    folder = Path(data.output_dir) if data.output_dir else run.results
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def run(run: Run) -> str:
    """Analyse what the spec names. Raises DataError, SpecError, Interrupted."""
    settings = convert(run.document, Settings)
    interrupt, pace = Interrupt().install(), Pace(STATUS_S)
    where = source(settings.data)
    items, problems = boxes.split_problems(where.read())
    boxes.require(items, problems)
    counts: Counter[str] = Counter()
    imgs: Counter[str] = Counter()
    gathered, segments = BoxStatistics(), Segments()
    top = where.labels.parent
    classes = unet.classes_of(top) if where.format == "UNET" else unet.Classes(None, {})
    for done, item in enumerate(items):
        interrupt.check()
        objects = [label for label in item.labels if kitti.is_object(label)]
        counts.update(label.name for label in objects)
        imgs.update({label.name for label in objects})
        gathered.boxes([label.box for label in objects if label.box is not None])
        size = measure(where.images, item.image)
        if isinstance(size, Problem):
            problems.append(size)
        else:
            gathered.size(*size)
            item.size = size
        segments.add(item)
        if item.mask:
            _count_mask(item, top, classes, segments, problems)
        if pace.due():
            run.status.running(f"{done} of {len(items)} images", cur_iter=done, kpi={"progress": done / len(items)})
    # A class in a mask counts as one object of it, as in the check of a dataset.
    counts.update(segments.masks)
    imgs.update(segments.masks)
    folder = output(settings.data, run)
    if settings.graph.generate_summary_and_graph:
        _summary(folder, items, counts, imgs, gathered, segments, len(problems))
        _graphs(folder, settings.graph, items, counts, segments)
    drawn = _draw(folder, where, classes, items, settings.image, interrupt) if _wants_images(settings) else 0
    figures = {"images": len(items), "objects": counts.total(), "classes": len(counts), "problems": len(problems)}
    run.status.running("Analysed", kpi=figures, categorical={"objects": dict(counts)})
    also = f", drew {drawn} images" if drawn else ""
    return f"Analysed {len(items)} images with {counts.total()} objects of {len(counts)} classes{also}"


def _count_mask(item: Item, top: Path, classes: unet.Classes, segments: Segments, problems: list[Problem]) -> None:
    looked = masks.inspect_mask(top, item.mask, {})
    problems += looked.problems
    if looked.size is not None and item.size is not None and looked.size != item.size:
        what = f"the mask has {looked.size[0]} x {looked.size[1]} pixels"
        problems.append(Problem(item.mask, 0, what, f"{item.size[0]} x {item.size[1]}"))
    segments.count({masks.class_name(number, classes.declared): count for number, count in looked.pixels.items()})


def _wants_images(settings: Settings) -> bool:
    return settings.image.generate_image_with_bounding_box


def _summary(
    folder: Path,
    items: list[Item],
    counts: Counter[str],
    imgs: Counter[str],
    gathered: BoxStatistics,
    segments: Segments,
    problems: int,
) -> None:
    document = {
        "images": len(items),
        "images_without_objects": sum(not item.mask and not any(map(kitti.is_object, item.labels)) for item in items),
        "objects": counts.total(),
        "classes": {name: {"objects": counts[name], "images": imgs[name]} for name in sorted(counts)},
        "boxes": gathered.of_boxes(),
        "sizes": gathered.of_images(),
        "segmentations": segments.figures(),
        "pixels": segments.by_class(),
        "problems": problems,
    }
    write(folder / "summary.json", msgspec.json.format(msgspec.json.encode(document), indent=2))


def _graphs(folder: Path, graph: _Graph, items: list[Item], counts: Counter[str], segments: Segments) -> None:
    from runners.engine.data.charts import bars, histogram

    place = folder / "graphs"
    place.mkdir(exist_ok=True)
    size = min(max(graph.width, 4), 60), min(max(graph.height, 4), 60)
    bars(place / "classes.png", "Objects of each class", dict(counts), size, everything=graph.show_all)
    if segments.pixels:
        pixels = dict(segments.pixels)
        bars(place / "class_pixels.png", "Pixels of each class", pixels, size, everything=graph.show_all)
    if segments.image_shares:
        title = "Areas of segmentations, as a share of the image"
        histogram(place / "segment_areas.png", title, segments.image_shares, size, "%")
    objects = [(item, label) for item in items for label in item.labels if kitti.is_object(label)]
    found = [label.box for _, label in objects if label.box is not None]
    histogram(place / "box_widths.png", "Widths of boxes", [box.width for box in found], size, "px")
    histogram(place / "box_heights.png", "Heights of boxes", [box.height for box in found], size, "px")
    shares = [
        100 * label.box.width * label.box.height / (item.size[0] * item.size[1])
        for item, label in objects
        if item.size is not None and label.box is not None
    ]
    histogram(place / "box_areas.png", "Areas of boxes, as a share of the image", shares, size, "%")
    each = [float(sum(map(kitti.is_object, item.labels))) for item in items]
    histogram(place / "objects_per_image.png", "Objects of each image", each, size)


def _draw(
    folder: Path,
    where: boxes.Source,
    classes: unet.Classes,
    items: list[Item],
    image: _Image,
    interrupt: Interrupt,
) -> int:
    chosen = random.Random(0).sample(items, min(max(image.sample_size, 0), len(items)))
    place = folder / "images_with_boxes"
    drawn = 0
    for item in chosen:
        interrupt.check()
        try:
            with Image.open(where.images / item.image) as opened:
                img = opened.convert("RGB")
        except Exception:  # counted among the problems already
            continue
        traced = unet.traced(item, where.labels.parent, classes, regions=True)
        labels = [] if isinstance(traced, Problem) else traced.labels
        for label in labels:
            if (found := segmentation_of(label)) is not None:
                img.paste(_colour(label.name), (0, 0), _overlay(shapes.mask(found, img.size), img.size))
        draw = ImageDraw.Draw(img)
        for label in labels:
            if label.box is None or label.box.right < label.box.left or label.box.bottom < label.box.top:
                continue
            colour = _colour(label.name)
            draw.rectangle(tuple(label.box), outline=colour, width=2)
            draw.text((label.box.left + 3, label.box.top + 2), label.name, fill=colour)
        file = (place / item.image).with_suffix(".jpg")
        file.parent.mkdir(parents=True, exist_ok=True)
        img.save(file, quality=90)
        drawn += 1
    return drawn


def _colour(name: str) -> str:
    return _COLOURS[sum(name.encode()) % len(_COLOURS)]


def _overlay(mask: Image.Image, size: tuple[int, int]) -> Image.Image:
    """How much of its colour an object's pixels get: a mask of another size is not laid over the image."""
    return mask.point([0] * 255 + [OPACITY]) if mask.size == size else Image.new("L", size)
