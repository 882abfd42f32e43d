"""`augmentation generate`: a changed copy of each image, its boxes and masks moved along: space, colour, blur.

A parameter is one value or a list; image number n takes value n of the list, counted around. Images are scaled to
the wanted size last.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import msgspec
from PIL import Image, ImageEnhance, ImageFilter

from runners.engine.data import affine, boxes, label_transforms, shapes, unet
from runners.engine.errors import DataError, SpecError
from runners.engine.interrupt import Interrupt
from runners.engine.run import Run
from runners.engine.spec import convert
from runners.engine.status import Pace
from taod.datasets.formats import kitti
from taod.datasets.formats.segments import segmentation_of
from taod.datasets.formats.types import Item, Problem

Values = float | list[float]
Flags = bool | list[bool]
STATUS_S = 1.0
MOST_SIDE = 16_384
LOSSLESS = ".png"


class _Data(msgspec.Struct):
    image_dir: str = ""
    ann_path: str = ""
    output_dataset: str | None = None
    output_image_width: int | None = None
    output_image_height: int | None = None
    dataset_type: str = "kitti"
    include_masks: bool = False
    """Whether segmentations of a COCO file go along; those of unet are the labels, and always do."""


class _Refine(msgspec.Struct):
    """The box of a turned object: that of its turned mask, not the one around its turned box."""

    enabled: bool = False
    gt_cache: str | None = None
    """A COCO file with masks of objects whose labels have none."""


class _Rotation(msgspec.Struct):
    angle: Values = 0.0
    """Clockwise."""
    units: str = "degrees"
    refine_box: _Refine = msgspec.field(default_factory=_Refine)


class _Shear(msgspec.Struct):
    shear_ratio_x: Values = 0.0
    shear_ratio_y: Values = 0.0


class _Translation(msgspec.Struct):
    translate_x: Values = 0.0
    """Pixels of the image as it came, to the right."""
    translate_y: Values = 0.0


class _Flip(msgspec.Struct):
    flip_horizontal: Flags = False
    flip_vertical: Flags = False


class _Space(msgspec.Struct):
    rotation: _Rotation = msgspec.field(default_factory=_Rotation)
    shear: _Shear = msgspec.field(default_factory=_Shear)
    translation: _Translation = msgspec.field(default_factory=_Translation)
    flip: _Flip = msgspec.field(default_factory=_Flip)


class _Hue(msgspec.Struct):
    hue_rotation_angle: Values = 0.0
    """Degrees; red turns to blue at 120, as in NVIDIA's augmentation."""


class _Saturation(msgspec.Struct):
    saturation_shift: Values = 1.0
    """1 leaves it, 0 is grey."""


class _Contrast(msgspec.Struct):
    contrast: Values = 0.0
    """0 leaves it; values go away from `center` by a factor of 1 + contrast."""
    center: Values = 127.0


class _Brightness(msgspec.Struct):
    offset: Values = 0.0
    """Added to each value of 0 to 255 before the contrast's factor."""


class _Colour(msgspec.Struct):
    hue: _Hue = msgspec.field(default_factory=_Hue)
    saturation: _Saturation = msgspec.field(default_factory=_Saturation)
    contrast: _Contrast = msgspec.field(default_factory=_Contrast)
    brightness: _Brightness = msgspec.field(default_factory=_Brightness)


class _Blur(msgspec.Struct):
    std: Values = 0.0
    """Of the Gauss filter, in pixels."""


class Settings(msgspec.Struct):
    data: _Data = msgspec.field(default_factory=_Data)
    spatial_aug: _Space = msgspec.field(default_factory=_Space)
    color_aug: _Colour = msgspec.field(default_factory=_Colour)
    blur_aug: _Blur = msgspec.field(default_factory=_Blur)


def run(run: Run) -> str:
    """Augment what the spec names. Raises DataError, SpecError, Interrupted."""
    settings = convert(run.document, Settings)
    interrupt, pace = Interrupt().install(), Pace(STATUS_S)
    data = settings.data
    _check(settings)
    where = boxes.Source(data.dataset_type.upper(), Path(data.image_dir), Path(data.ann_path))
    items, problems = boxes.split_problems(where.read())
    boxes.require(items, problems)
    folder = Path(data.output_dataset) if data.output_dataset else run.results
    if (folder / "images").resolve() == where.images.resolve():
        raise DataError(f"data.output_dataset: {folder} is where the images come from; name another folder.")
    background = 0
    if where.format == "UNET":
        background = unet.classes_of(where.labels.parent).background or 0
        items = [item for item in items if item.mask or item.image.startswith("test/")]
    items = _with_cache(settings, where, items, problems)
    boxes.report_problems(run, problems)
    made: list[Item] = []
    for number, item in enumerate(items):
        interrupt.check()
        found = augment(where, item, number, settings, folder, background)
        if isinstance(found, Problem):
            problems.append(found)
            run.status.running(f"{found.file}: {found.what}")
        else:
            made.append(found)
        if pace.due():
            run.status.running(
                f"{number} of {len(items)} images", cur_iter=number, kpi={"progress": number / len(items)}
            )
    if not made:
        raise DataError(f"No image in {where.images} could be read.")
    _write(where, items, made, folder)
    _report(run, settings, where, items, made)
    left = f"; {len(problems)} problems were passed over" if problems else ""
    if where.format == "UNET":
        return f"Augmented {len(made)} images with their masks{left}"
    kept, were = (sum(len(item.labels) for item in some) for some in (made, items))
    run.status.running("Augmented", kpi={"images": len(made), "objects": kept, "lost": were - kept})
    return f"Augmented {len(made)} images; of {were} boxes {kept} are still in view{left}"


def _with_cache(settings: Settings, where: boxes.Source, items: list[Item], problems: list[Problem]) -> list[Item]:
    """The items with masks of the file that is named for them, if it is there; what is wrong in it is added."""
    refine = settings.spatial_aug.rotation.refine_box
    if not refine.enabled or not refine.gt_cache or not (file := Path(refine.gt_cache)).is_file():
        return items
    found, wrong = label_transforms.with_shapes(items, file)
    problems += wrong
    for item in found:
        problems += where.drop_misfitting_masks(item)
    return found


def _write(where: boxes.Source, items: list[Item], made: list[Item], folder: Path) -> None:
    if where.format == "COCO":
        boxes.write_coco(made, folder / "annotations.json", folder / "images", where.categories(items))
    elif where.format == "KITTI":
        boxes.write_kitti(made, folder / "labels")
    elif where.format == "UNET":
        unet.copy_layout(where.labels.parent, folder)
    else:
        boxes.write_voc(made, folder / "labels", folder / "images")


def _report(run: Run, settings: Settings, where: boxes.Source, items: list[Item], made: list[Item]) -> None:
    """Status lines of masks that did not go along, or were missing."""
    boxes.report_keypoints(run, items)
    include = settings.data.include_masks
    if not include:
        remedy = "set it to true to move them along"
        boxes.report_left_out(run, items, "data.include_masks is false", remedy)
    elif where.format not in ("COCO", "UNET"):
        boxes.report_left_out(run, made, f"{where.format} holds boxes only", "augment a COCO set to keep them")
    if include and where.format != "UNET" and not any(segmentation_of(each) for item in items for each in item.labels):
        run.status.running("data.include_masks: no label has a mask; add polygons or masks to a COCO file")
    rotation = settings.spatial_aug.rotation
    turned = [
        label
        for number, item in enumerate(items)
        if pick(rotation.angle, number)
        for label in item.labels
        if kitti.is_object(label)
    ]
    bare = sum(segmentation_of(label) is None for label in turned)
    if rotation.refine_box.enabled and bare:
        run.status.running(
            f"spatial_aug.rotation.refine_box: {bare} of {len(turned)} turned objects have no mask, their boxes are "
            "those around the turned boxes; add polygons or masks to the COCO file, or name one that has them in "
            "spatial_aug.rotation.refine_box.gt_cache",
            kpi={"boxes_not_refined": bare},
        )


def _check(settings: Settings) -> None:
    if settings.spatial_aug.rotation.units not in ("degrees", "radians"):
        raise SpecError(
            f"spatial_aug.rotation.units: {settings.spatial_aug.rotation.units!r} is not degrees or radians."
        )
    if not settings.data.image_dir or not settings.data.ann_path:
        raise DataError("data.image_dir, data.ann_path: they are not set; name the images and their labels.")
    for name in ("output_image_width", "output_image_height"):
        side = getattr(settings.data, name)
        if side is not None and not 1 <= side <= MOST_SIDE:
            raise SpecError(f"data.{name}: {side} is not between 1 and {MOST_SIDE}.")


def augment(
    where: boxes.Source, item: Item, number: int, settings: Settings, folder: Path, background: int = 0
) -> Item | Problem:
    """Write the changed image, and its mask, below `folder`; returns it with its labels, or why it cannot be read."""
    try:
        with Image.open(where.images / item.image) as opened:
            image = opened.convert("RGB")
    except Exception as error:  # a damaged image fails in as many ways as there are formats
        return Problem(item.image, 0, f"the image cannot be read: {error}", "a whole image")
    came = image.size
    size = (settings.data.output_image_width or came[0], settings.data.output_image_height or came[1])
    matrix = space(came, size, number, settings.spatial_aug)
    try:
        back = affine.inverse(matrix)
    except ZeroDivisionError:
        raise SpecError("spatial_aug.shear: its ratios press the image onto a line; lower them.") from None
    moved = matrix != affine.SAME or size != came
    if item.mask:
        mask = unet.opened(where.labels.parent, item.mask)
        if isinstance(mask, Problem):
            return mask
        if mask.size != came:
            return Problem(item.mask, 0, f"the mask has {mask.width} x {mask.height} pixels", f"{came[0]} x {came[1]}")
        _save_mask(shapes.warp(mask, matrix, size, background) if moved else mask, folder, item.image)
    if moved:
        image = image.transform(size, Image.Transform.AFFINE, back, Image.Resampling.BILINEAR)
    image = colour(image, number, settings.color_aug)
    std = pick(settings.blur_aug.std, number)
    if std > 0:
        image = image.filter(ImageFilter.GaussianBlur(std))
    rotation = settings.spatial_aug.rotation
    refine = rotation.refine_box.enabled and bool(pick(rotation.angle, number))
    move = label_transforms.Move(matrix, came, size, refine, settings.data.include_masks)
    found = [label_transforms.follow(label, move) for label in item.labels if kitti.is_object(label)]
    name = _save(image, folder / "images", item.image)
    return msgspec.structs.replace(item, image=name, labels=[label for label in found if label], size=size)


def space(came: tuple[int, int], size: tuple[int, int], number: int, settings: _Space) -> affine.Matrix:
    """Where the points of image `number` go: rotated, flipped, sheared, translated, scaled, in NVIDIA's order.

    The first three are about the middle of the image as it came; the translation is in its pixels.
    """
    width, height = came
    angle = pick(settings.rotation.angle, number)
    if settings.rotation.units == "radians":
        angle = math.degrees(angle)
    centred = affine.turn(angle) if angle else affine.SAME
    flips = bool(pick(settings.flip.flip_horizontal, number)), bool(pick(settings.flip.flip_vertical, number))
    if any(flips):
        centred = affine.then(centred, affine.flip(*flips))
    across, down = pick(settings.shear.shear_ratio_x, number), pick(settings.shear.shear_ratio_y, number)
    if across or down:
        centred = affine.then(centred, affine.shear(across, down))
    matrix = affine.SAME if centred == affine.SAME else affine.about_centre(width, height, centred)
    shifted = pick(settings.translation.translate_x, number), pick(settings.translation.translate_y, number)
    if any(shifted):
        matrix = affine.then(matrix, affine.shift(*shifted))
    if came != size:
        matrix = affine.then(matrix, affine.scale(size[0] / width, size[1] / height))
    return matrix


def colour(image: Image.Image, number: int, settings: _Colour) -> Image.Image:
    """The image in other colours, of the same size."""
    angle = pick(settings.hue.hue_rotation_angle, number) % 360
    if angle:
        hue, saturation, value = image.convert("HSV").split()
        steps = round(-angle * 256 / 360)
        hue = hue.point([(level + steps) % 256 for level in range(256)])
        image = Image.merge("HSV", (hue, saturation, value)).convert("RGB")
    share = pick(settings.saturation.saturation_shift, number)
    if share != 1.0:
        image = ImageEnhance.Color(image).enhance(max(share, 0.0))
    contrast, offset = pick(settings.contrast.contrast, number), pick(settings.brightness.offset, number)
    if contrast or offset:
        centre = pick(settings.contrast.center, number)
        factor = 1 + contrast
        table = [min(max(round((level + offset - centre) * factor + centre), 0), 255) for level in range(256)]
        image = image.point(table * 3)
    return image


def pick(value: Any, number: int) -> Any:
    """The value for image `number`: itself, or one of a list's in turn; an empty list counts as 0."""
    if isinstance(value, list):
        return value[number % len(value)] if value else 0
    return value


def _save_mask(mask: Image.Image, folder: Path, name: str) -> None:
    place = (folder / unet.MASKS / name).with_suffix(LOSSLESS)
    place.parent.mkdir(parents=True, exist_ok=True)
    place.unlink(missing_ok=True)  # as below
    mask.save(place)


def _save(image: Image.Image, into: Path, name: str) -> str:
    """Write the image as its suffix says, as PNG where that cannot be written; returns its path below `into`."""
    place = into / name
    place.parent.mkdir(parents=True, exist_ok=True)
    place.unlink(missing_ok=True)  # it may be a second name of a file that stays as it is
    try:
        image.save(place, quality=95)
        return name
    except (ValueError, OSError):
        place.unlink(missing_ok=True)
    place = place.with_suffix(LOSSLESS)
    image.save(place)
    return str(place.relative_to(into))
