"""`analytics analyze`: figures of a data set's boxes and pictures as JSON, as charts, and pictures with boxes drawn."""

from __future__ import annotations

import random
from collections import Counter
from pathlib import Path

import msgspec
from PIL import Image, ImageDraw

from runners.engine.data import boxes, charts
from runners.engine.data.check import write
from runners.engine.errors import DataError
from runners.engine.interrupt import Interrupt
from runners.engine.run import Run
from runners.engine.spec import convert
from runners.engine.status import Pace
from taod.datasets.formats import kitti
from taod.datasets.formats.figures import Gathered
from taod.datasets.formats.found import Item, Problem
from taod.datasets.formats.picture import measure

TOLD_S = 1.0
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
        raise DataError("data.image_dir, data.ann_path: they are not set; name the pictures and their labels.")
    return boxes.Source(data.input_format.upper(), Path(data.image_dir), Path(data.ann_path))


def output(data: Data, run: Run) -> Path:
    """Where results go."""
    folder = Path(data.output_dir) if data.output_dir else run.results
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def run(run: Run) -> str:
    """Analyse what the spec names. Raises DataError, SpecError, Interrupted."""
    settings = convert(run.document, Settings)
    interrupt, pace = Interrupt().install(), Pace(TOLD_S)
    where = source(settings.data)
    items, problems = boxes.sorted_out(where.found())
    boxes.require(items, problems)
    counts: Counter[str] = Counter()
    pictures: Counter[str] = Counter()
    gathered = Gathered()
    for done, item in enumerate(items):
        interrupt.check()
        objects = [label for label in item.labels if kitti.is_object(label)]
        counts.update(label.name for label in objects)
        pictures.update({label.name for label in objects})
        gathered.boxes([label.box for label in objects if label.box is not None])
        size = measure(where.images, item.picture)
        if isinstance(size, Problem):
            problems.append(size)
        else:
            gathered.size(*size)
            item.size = size
        if pace.due():
            run.status.running(f"{done} of {len(items)} pictures", cur_iter=done, kpi={"progress": done / len(items)})
    folder = output(settings.data, run)
    if settings.graph.generate_summary_and_graph:
        _summary(folder, items, counts, pictures, gathered, len(problems))
        _graphs(folder, settings.graph, items, counts)
    drawn = _draw(folder, where.images, items, settings.image, interrupt) if _wants_pictures(settings) else 0
    figures = {"pictures": len(items), "objects": counts.total(), "classes": len(counts), "problems": len(problems)}
    run.status.running("Analysed", kpi=figures, categorical={"objects": dict(counts)})
    also = f", drew {drawn} pictures" if drawn else ""
    return f"Analysed {len(items)} pictures with {counts.total()} objects of {len(counts)} classes{also}"


def _wants_pictures(settings: Settings) -> bool:
    return settings.image.generate_image_with_bounding_box


def _summary(
    folder: Path, items: list[Item], counts: Counter[str], pictures: Counter[str], gathered: Gathered, problems: int
) -> None:
    document = {
        "pictures": len(items),
        "pictures_without_objects": sum(not any(map(kitti.is_object, item.labels)) for item in items),
        "objects": counts.total(),
        "classes": {name: {"objects": counts[name], "pictures": pictures[name]} for name in sorted(counts)},
        "boxes": gathered.of_boxes(),
        "sizes": gathered.of_pictures(),
        "problems": problems,
    }
    write(folder / "summary.json", msgspec.json.format(msgspec.json.encode(document), indent=2))


def _graphs(folder: Path, graph: _Graph, items: list[Item], counts: Counter[str]) -> None:
    size = tuple(min(max(side, 4), 60) * charts.PIXELS_PER_UNIT for side in (graph.width, graph.height))
    place = folder / "graphs"
    place.mkdir(exist_ok=True)
    across, down = size
    charts.bars(place / "classes.png", "Objects of each class", dict(counts), (across, down), everything=graph.show_all)
    found = [label.box for item in items for label in item.labels if label.box is not None and kitti.is_object(label)]
    sheet = (across, down)
    charts.histogram(place / "box_widths.png", "Widths of boxes", [box.width for box in found], sheet, "px")
    charts.histogram(place / "box_heights.png", "Heights of boxes", [box.height for box in found], sheet, "px")
    shares = [
        100 * label.box.width * label.box.height / (item.size[0] * item.size[1])
        for item in items
        if item.size is not None
        for label in item.labels
        if label.box is not None and kitti.is_object(label)
    ]
    charts.histogram(place / "box_areas.png", "Areas of boxes, of the picture", shares, sheet, "%")
    each = [float(sum(map(kitti.is_object, item.labels))) for item in items]
    charts.histogram(place / "objects_per_picture.png", "Objects of each picture", each, sheet)


def _draw(folder: Path, images: Path, items: list[Item], image: _Image, interrupt: Interrupt) -> int:
    chosen = random.Random(0).sample(items, min(max(image.sample_size, 0), len(items)))
    place = folder / "images_with_boxes"
    drawn = 0
    for item in chosen:
        interrupt.check()
        try:
            with Image.open(images / item.picture) as opened:
                picture = opened.convert("RGB")
        except Exception:  # counted among the problems already
            continue
        draw = ImageDraw.Draw(picture)
        for label in item.labels:
            if label.box is None or label.box.right < label.box.left or label.box.bottom < label.box.top:
                continue
            colour = _COLOURS[sum(label.name.encode()) % len(_COLOURS)]
            draw.rectangle(tuple(label.box), outline=colour, width=2)
            draw.text((label.box.left + 3, label.box.top + 2), label.name, fill=colour)
        file = (place / item.picture).with_suffix(".jpg")
        file.parent.mkdir(parents=True, exist_ok=True)
        picture.save(file, quality=90)
        drawn += 1
    return drawn
