"""ssd, dssd and retinanet: what their specifications have in common, their data, anchors and model."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import ClassVar, Literal, TypeVar

import msgspec
import torch

from runners.engine.detection import anchors, backbones, dense
from runners.engine.detection.network import DetectionFrame
from runners.engine.detection.nms import Detector
from runners.engine.detection.settings import Anchored, SsdAugmentation, numbers, rows
from runners.engine.detection.tf1 import Tf1Detection
from runners.engine.detection.torchvision_ops import v2
from runners.engine.detection.transforms import Boxed, Colours, Library, Steps, Stretch, Transform, flip
from runners.engine.errors import SpecError

S = TypeVar("S", bound=Anchored)
Kind = Literal["ssd", "dssd", "retinanet"]
LEVELS = {"ssd": 6, "dssd": 6, "retinanet": 5}
"""Levels of features with anchors."""


class Shape(msgspec.Struct, frozen=True):
    """A detector's shape and its loss, as its frame keeps it."""

    kind: Kind
    backbone: str
    classes: int
    scales: list[float]
    ratios: list[list[float]]
    """A level."""
    two_boxes: bool
    variances: list[float]
    steps: list[list[float]] | None
    """Down and across, in pixels, a level."""
    offsets: list[list[float]] | None
    clip: bool
    width: int
    depth: int
    scales_a_level: int
    freeze_blocks: list[int]
    freeze_bn: bool
    positive: float
    negative: float
    box_weight: float = 1.0
    focal: tuple[float, float] | None = None
    predicted: int = 0
    """Channels of dssd's prediction modules."""


def shape_of(spec: Anchored, kind: Kind, classes: int) -> Shape:
    """The shape that a specification asks for. Raises SpecError naming the parameter."""
    config, where = spec.config, f"{kind}_config"
    count = LEVELS[kind]
    scales = numbers(config.scales, f"{where}.scales") or []
    if len(scales) != count + 1 or min(scales, default=0) <= 0:
        raise SpecError(
            f"{where}.scales '{config.scales}' must be {count + 1} positive numbers: one a level and one more."
        )
    each = rows(config.aspect_ratios, f"{where}.aspect_ratios")
    ratios = each or [numbers(config.aspect_ratios_global, f"{where}.aspect_ratios_global") or []] * count
    if len(ratios) != count or not all(level and min(level) > 0 for level in ratios):
        raise SpecError(f"{where}.aspect_ratios must be positive numbers for each of the {count} levels.")
    variances = numbers(config.variances, f"{where}.variances") or []
    if len(variances) != 4 or min(variances) <= 0:
        raise SpecError(f"{where}.variances '{config.variances}' must be four positive numbers.")
    focal = kind == "retinanet"
    return Shape(
        kind=kind,
        backbone=backbones.name_of(config.arch, config.nlayers, where),
        classes=classes,
        scales=scales,
        ratios=ratios,
        two_boxes=config.two_boxes_for_ar1,
        variances=variances,
        steps=_pairs(config.steps, f"{where}.steps", count),
        offsets=_pairs(config.offsets, f"{where}.offsets", count),
        clip=config.clip_boxes,
        width=config.feature_size if focal else 256,
        depth=config.n_kernels if focal else 0,
        scales_a_level=config.n_anchor_levels if focal else 1,
        freeze_blocks=[int(block) for block in config.freeze_blocks],
        freeze_bn=config.freeze_bn,
        positive=config.pos_iou_thresh,
        negative=config.neg_iou_thresh,
        box_weight=config.loss_loc_weight if focal else 1.0,
        focal=(config.focal_loss_alpha, config.focal_loss_gamma) if focal else None,
        predicted=config.pred_num_channels if kind == "dssd" else 0,
    )


def _pairs(text: str | None, where: str, count: int) -> list[list[float]] | None:
    """A number or a pair a level."""
    if not text:
        return None
    flat = text.count("(") + text.count("[") <= 1
    found = [[one, one] for one in numbers(text, where) or []] if flat else rows(text, where) or []
    if len(found) != count or any(len(pair) != 2 for pair in found):
        raise SpecError(f"{where} '{text}' must be a number or a pair for each of the {count} levels.")
    return found


def build(shape: Shape, height: int, width: int) -> dense.AnchorDetector:
    """The model; anchors in pixels of inputs of that size."""
    backbone = backbones.Backbone(shape.backbone, [8, 16, 32])
    count = LEVELS[shape.kind]
    pyramid = shape.kind == "retinanet"
    neck: dense.Neck
    if pyramid:
        neck = dense.FpnNeck(backbone, count, shape.width)
    elif shape.kind == "dssd":
        neck = dense.DssdNeck(backbone, count, shape.width, shape.predicted)
    else:
        neck = dense.SsdNeck(backbone, count)
    placed, counts = _anchors(shape, _sizes(height, width, count), height, width)
    values = shape.classes + (0 if shape.focal else 1)
    heads = dense.Heads(neck.channels, counts, values, shape.depth, shared=pyramid)
    if shape.focal:
        heads.prior(0.1)
    loss = dense.Loss(shape.positive, shape.negative, shape.box_weight, shape.focal)
    clip = (height, width) if shape.clip else None
    detector = dense.AnchorDetector(neck, heads, placed, shape.variances, loss, clip=clip)
    backbones.freeze(backbone, shape.freeze_blocks, norms=shape.freeze_bn)
    return detector


def _sizes(height: int, width: int, count: int) -> list[tuple[int, int]]:
    """Rows and columns of the levels: strides 8, 16, 32, 64 …, rounded up."""
    found = [(math.ceil(height / stride), math.ceil(width / stride)) for stride in (8, 16, 32)]
    while len(found) < count:
        down, across = found[-1]
        found.append((math.ceil(down / 2), math.ceil(across / 2)))
    return found[:count]


def _anchors(shape: Shape, sizes: Sequence[tuple[int, int]], height: int, width: int) -> tuple[torch.Tensor, list[int]]:
    placed, counts = [], []
    for level, (down, across) in enumerate(sizes):
        shapes = anchors.sizes(
            shape.scales[level],
            shape.scales[level + 1],
            shape.ratios[level],
            two_for_one=shape.two_boxes,
            levels=shape.scales_a_level,
        )
        side = min(height, width)
        pixels = [(across_ * side, down_ * side) for across_, down_ in shapes]
        step = shape.steps[level] if shape.steps else [height / down, width / across]
        offset = shape.offsets[level] if shape.offsets else [0.5, 0.5]
        placed.append(anchors.grid(down, across, pixels, (step[0], step[1]), (offset[0], offset[1])))
        counts.append(len(pixels))
    return torch.cat(placed), counts


def augmentation(config: SsdAugmentation, mean: Sequence[float]) -> Transform:
    """What SSD's paper does (Liu et al. 2016): colours, zooming out, crops that overlap objects, flips; each at even
    chances but the flip."""
    steps: list[Transform] = [Colours(config.brightness, config.contrast, config.saturation, config.hue / 360)]
    if config.zoom_out_max_scale > 1:
        fill = [int(value) for value in mean]
        sides = (config.zoom_out_min_scale, config.zoom_out_max_scale)
        steps.append(Library(v2.RandomZoomOut(fill, sides, p=0.5)))
    if config.random_crop_min_scale < 1:
        steps.append(
            _Crop(
                v2.RandomIoUCrop(
                    config.random_crop_min_scale,
                    config.random_crop_max_scale,
                    config.random_crop_min_ar,
                    config.random_crop_max_ar,
                    trials=20,
                )
            )
        )
    return Steps(*steps, flip(config.random_flip), Stretch(config.output_height, config.output_width))


class _Crop(Library):
    """A crop by overlap, which needs an object, at even chances."""

    def __call__(self, boxed: Boxed) -> Boxed:
        if not len(boxed.boxes) or float(torch.rand(())) < 0.5:
            return boxed
        return super().__call__(boxed)


class AnchoredNetwork(Tf1Detection[S]):
    """ssd, dssd or retinanet."""

    name: ClassVar[Kind]
    shaped_by = ("backbone", "classes", "ratios", "two_boxes", "width", "depth", "scales_a_level", "predicted")

    def augmentation(self, spec: S) -> SsdAugmentation:
        return spec.augmentation_config

    def described(self, spec: S, classes: int) -> Shape:
        return shape_of(spec, self.name, classes)

    def transform(self, spec: S, mean: tuple[float, float, float]) -> Transform:
        return augmentation(spec.augmentation_config, mean)

    def build(self, frame: DetectionFrame) -> Detector:
        return build(msgspec.convert(frame.model, Shape), frame.height, frame.width)
