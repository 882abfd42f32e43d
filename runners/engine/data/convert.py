"""`annotations convert`: KITTI, COCO and Pascal VOC into each other; COCO and the masks of unet; class folders, tables.

Boxes are clipped to their image, empty ones and duplicates dropped, with counts. COCO keeps segmentations and ids; what
a target cannot hold is reported with counts. Masks become run lengths, one a class
and image, or one a connected region (`data.regions`; always where only boxes are written).

The results hold a whole dataset: labels in the wanted format, and the images, unless `data.with_images` is false.
They are copies, which share their blocks where the file system can do that; with `data.link_images` they are further
names of the same files, which costs no space and is for images that are never changed in place.
"""

from __future__ import annotations

from pathlib import Path

import msgspec

from runners.engine.data import boxes, capabilities, class_tables, unet
from runners.engine.data.clean_labels import clean_items
from runners.engine.data.copy_images import IMAGES, place_images, required_setting
from runners.engine.errors import DataError, SpecError
from runners.engine.interrupt import Interrupt
from runners.engine.run import Run
from runners.engine.spec import convert
from runners.engine.status import Pace
from taod.datasets.formats.coco import Category
from taod.datasets.formats.image import measure
from taod.datasets.formats.segments import segmentation_of
from taod.datasets.formats.types import Item, Problem

LABELS, ANNOTATIONS = "labels", "annotations.json"
STATUS_S = 1.0
VAL_SHARE = 0.2


class _Data(msgspec.Struct):
    input_format: str = "COCO"
    output_format: str = "KITTI"
    with_images: bool = True
    link_images: bool = False
    regions: bool = False
    """Of masks: an object a connected region, not one a class."""
    val_share: float = VAL_SHARE
    """Of the images that lie in no folder of a split: how many become validation data, from 0 to 1."""


class _Labels(msgspec.Struct):
    image_dir: str | None = None
    label_dir: str | None = None


class _Coco(msgspec.Struct):
    ann_file: str | None = None
    image_dir: str | None = None


class _Masks(msgspec.Struct):
    image_dir: str | None = None
    mask_dir: str | None = None


class Classes(msgspec.Struct):
    image_dir: str | None = None
    csv_file: str | None = None


class Settings(msgspec.Struct):
    data: _Data = msgspec.field(default_factory=_Data)
    kitti: _Labels = msgspec.field(default_factory=_Labels)
    pascal_voc: _Labels = msgspec.field(default_factory=_Labels)
    coco: _Coco = msgspec.field(default_factory=_Coco)
    unet: _Masks = msgspec.field(default_factory=_Masks)
    classification: Classes = msgspec.field(default_factory=Classes)


def run(run: Run) -> str:
    """Convert as the spec says. Raises DataError, SpecError, Interrupted."""
    settings = convert(run.document, Settings)
    interrupt, pace = Interrupt().install(), Pace(STATUS_S)

    def report(done: int, total: int) -> None:
        interrupt.check()
        if pace.due():
            run.status.running(f"{done} of {total} images", cur_iter=done, kpi={"progress": done / max(total, 1)})

    given, wanted = settings.data.input_format.upper(), settings.data.output_format.upper()
    if given in capabilities.TABLES:
        return class_tables.convert(settings, run.results, report)
    source = _source(settings, given)
    items, problems = boxes.split_problems(source.read())
    boxes.require(items, problems)
    categories = None if given == "UNET" else source.categories(items)
    if categories is None:
        items, wrong, categories = _traced(settings, wanted, items, source, report)
        problems += wrong
        boxes.require(items, problems)
    boxes.report_problems(run, problems)
    boxes.report_keypoints(run, items)
    items, tidied, unreadable = clean_items(items, source.images)
    problems += unreadable
    boxes.require(items, unreadable)
    boxes.report_problems(run, unreadable)
    if said := tidied.message():
        run.status.running(said, kpi=tidied.kpi())
    job = _Job(settings, run, source, items, categories, report)
    written = _to_masks(job) if wanted == "UNET" else _write(job, wanted)
    kpi = {"images": written.images, "objects": written.objects, "problems": len(problems)}
    run.status.running("Converted", kpi=kpi)
    notes = [f"; {said[0].lower()}{said[1:]}"] if said else []
    notes += [f"; {len(problems)} problems were passed over"] if problems else []
    counts = f"{written.images} images with {written.objects} objects"
    return f"Converted {counts} from {given} to {wanted}{''.join(notes)}"


class _Job(msgspec.Struct):
    """What is to be written."""

    settings: Settings
    run: Run
    source: boxes.Source
    items: list[Item]
    categories: list[Category]
    report: unet.OnProgress


def _traced(
    settings: Settings, wanted: str, items: list[Item], source: boxes.Source, report: unet.OnProgress
) -> tuple[list[Item], list[Problem], list[Category]]:
    """Masks as labels, problems with them, and the classes as categories."""
    top = source.labels.parent
    classes = unet.classes_of(top)
    regions = settings.data.regions or wanted != "COCO"
    found: list[Item] = []
    problems: list[Problem] = []
    for done, item in enumerate(items):
        report(done, len(items))
        one = unet.traced(item, top, classes, regions=regions)
        if isinstance(one, Item) and one.mask:
            one = _fitting(one, source.images)
        if isinstance(one, Problem):
            problems.append(one)
        else:
            found.append(one)
    known = set(classes.names.values())
    seen = [int(name) for name in boxes.classes(found) if name not in known]
    return found, problems, classes.categories(seen)


def _fitting(item: Item, images: Path) -> Item | Problem:
    """The item, if its mask is as large as its image."""
    size = measure(images, item.image)
    if isinstance(size, Problem) or size == item.size:
        return item if isinstance(size, tuple) else size
    width, height = item.size or (0, 0)
    expected = f"{size[0]} x {size[1]}, as {item.image} has"
    return Problem(item.mask, 0, f"the mask has {width} x {height} pixels", expected)


def _source(settings: Settings, given: str) -> boxes.Source:
    if given == "COCO":
        file = Path(required_setting(settings.coco.ann_file, "coco.ann_file"))
        images = Path(settings.coco.image_dir) if settings.coco.image_dir else file.parent / IMAGES
        return boxes.Source(given, images, file)
    if given == "UNET":
        images = Path(required_setting(settings.unet.image_dir, "unet.image_dir"))
        return boxes.Source(given, images, Path(required_setting(settings.unet.mask_dir, "unet.mask_dir")))
    # The tool takes a VOC set in the fields of a KITTI one, unless it has a group of its own.
    name = "pascal_voc" if given == "PASCAL_VOC" and settings.pascal_voc.label_dir else "kitti"
    group: _Labels = getattr(settings, name)
    images = Path(required_setting(group.image_dir, f"{name}.image_dir"))
    return boxes.Source(given, images, Path(required_setting(group.label_dir, f"{name}.label_dir")))


def _write(job: _Job, wanted: str) -> boxes.Written:
    """KITTI, COCO or VOC, with the images under the names that they had."""
    results, images, data = job.run.results, job.source.images, job.settings.data
    if wanted == "COCO":
        written = boxes.write_coco(job.items, results / ANNOTATIONS, images, job.categories)
    elif wanted == "KITTI":
        written = boxes.write_kitti(job.items, results / LABELS)
    else:
        written = boxes.write_voc(job.items, results / LABELS, images)
    if wanted != "COCO":
        boxes.report_left_out(job.run, job.items, f"{wanted} holds boxes only", "convert to COCO or UNET to keep them")
    if data.with_images:
        names = {item.image: item.image for item in job.items}
        place_images(images, results / IMAGES, names, job.report, link=data.link_images)
    return written


def _to_masks(job: _Job) -> boxes.Written:
    results, data = job.run.results, job.settings.data
    if not 0 <= data.val_share <= 1:
        raise SpecError(f"data.val_share: {data.val_share:g} is not between 0 and 1.")
    if not any(segmentation_of(label) for item in job.items for label in item.labels):
        raise DataError(
            f"{job.source.labels}: no annotation has a segmentation, and masks cannot be made of boxes; "
            "add polygons or masks, or convert to KITTI or PASCAL_VOC."
        )
    numbers, background, kept = unet.numbered(job.categories)
    if not kept:
        given = ", ".join(f"{name} {number}" for name, number in numbers.items())
        job.run.status.running(f"Category ids do not fit into a mask's bytes; classes are renumbered: {given}")
    places = unet.placed(job.items, data.val_share)
    unet.write_layout(results, numbers, background)
    painted = unet.write_masks(job.items, places, results, job.source.images, numbers, background, job.report)
    if painted.bare:
        job.run.status.running(
            f"{painted.bare} objects have no segmentation and are in no mask: a box has no pixels; add polygons to "
            "keep them",
            kpi={"objects_left_out": painted.bare},
        )
    if data.with_images:
        place_images(job.source.images, results / IMAGES, places, job.report, link=data.link_images)
    return boxes.Written(painted.images, painted.objects)
