"""yolo_v3, yolo_v4 and yolo_v4_tiny: what their specifications have in common, their data, anchors and model."""

from __future__ import annotations

import math
from random import Random
from typing import ClassVar, Literal, TypeVar

import msgspec
import torch

from runners.engine.detection import backbones
from runners.engine.detection.data import DetectionSamples
from runners.engine.detection.network import DetectionFrame
from runners.engine.detection.nms import Detector
from runners.engine.detection.samples import Sample
from runners.engine.detection.settings import Yolo as YoloSpec
from runners.engine.detection.settings import YoloAugmentation, rows
from runners.engine.detection.tf1 import Tf1Detection
from runners.engine.detection.torchvision_ops import v2
from runners.engine.detection.transforms import (
    Boxed,
    CropJitter,
    Letterbox,
    Steps,
    Stretch,
    Transform,
    cut,
    flip,
    uniform,
)
from runners.engine.detection.yolo import Yolo, YoloLoss, YoloNeck
from runners.engine.errors import SpecError

S = TypeVar("S", bound=YoloSpec)
Kind = Literal["yolo_v3", "yolo_v4", "yolo_v4_tiny"]


class YoloShape(msgspec.Struct, frozen=True):
    """A YOLO's shape and its loss, as its frame keeps it. `anchors` and `extend` a level, finest first."""

    kind: Kind
    backbone: str
    classes: int
    anchors: list[list[list[float]]]
    extend: list[float]
    activation: str
    depth: int
    freeze_blocks: list[int]
    freeze_bn: bool
    boxes: float
    negatives: float
    labels: float
    neutral: float
    matching: float
    smoothing: float


def shape_of(spec: YoloSpec, kind: Kind, classes: int) -> YoloShape:
    """The shape that a specification asks for. Raises SpecError naming the parameter."""
    config, group = spec.config, "yolov3_config" if kind == "yolo_v3" else "yolov4_config"
    sizes = (("small", config.small_anchor_shape), ("mid", config.mid_anchor_shape), ("big", config.big_anchor_shape))
    levels = []
    for name, text in sizes[1:] if kind == "yolo_v4_tiny" and config.arch != "cspdarknet_tiny_3l" else sizes:
        found = rows(text, f"{group}.{name}_anchor_shape") or []
        if not found or any(len(pair) != 2 or min(pair) <= 0 for pair in found):
            raise SpecError(f"{group}.{name}_anchor_shape '{text}' must be pairs of width and height in pixels.")
        levels.append(found)
    extend = [config.small_grid_xy_extend, config.mid_grid_xy_extend, config.big_grid_xy_extend]
    tiny = config.arch.startswith("cspdarknet_tiny")
    activation = (
        "relu" if config.force_relu else config.activation or ("leaky_relu" if kind == "yolo_v3" or tiny else "mish")
    )
    return YoloShape(
        kind=kind,
        backbone="cspdarknet_tiny" if tiny else backbones.name_of(config.arch, config.nlayers, group),
        classes=classes,
        anchors=levels,
        extend=[0.0] * 3 if kind == "yolo_v3" else extend[-len(levels) :],
        activation=activation,
        depth=1 + config.arch_conv_blocks if kind == "yolo_v3" else 1,
        freeze_blocks=[int(block) for block in config.freeze_blocks],
        freeze_bn=config.freeze_bn,
        boxes=config.loss_loc_weight,
        negatives=config.loss_neg_obj_weights,
        labels=config.loss_class_weights,
        neutral=config.matching_neutral_box_iou,
        matching=1.0 if kind == "yolo_v3" else config.box_matching_iou,
        smoothing=config.label_smoothing,
    )


def build(shape: YoloShape, height: int, width: int) -> Yolo:
    strides = [8, 16, 32][-len(shape.anchors) :]
    backbone = backbones.Backbone(shape.backbone, strides)
    neck = YoloNeck(backbone, shape.depth, shape.activation, back=shape.kind == "yolo_v4")
    detector = Yolo(
        neck,
        shape.classes,
        [[(pair[0], pair[1]) for pair in level] for level in shape.anchors],
        shape.extend[-len(strides) :],
        [(math.ceil(height / stride), math.ceil(width / stride)) for stride in strides],
        strides,
        YoloLoss(shape.boxes, shape.negatives, shape.labels, shape.neutral, shape.matching, shape.smoothing),
    )
    backbones.freeze(backbone, shape.freeze_blocks, norms=shape.freeze_bn)
    return detector


class _Colours:
    """Hue turned by up to `hue` (of 1), saturation and exposure times or divided by up to their values."""

    def __init__(self, hue: float, saturation: float, exposure: float) -> None:
        self._hue, self._saturation, self._exposure = hue, saturation, exposure

    def __call__(self, boxed: Boxed) -> Boxed:
        image = boxed.image
        if self._saturation > 1:
            image = v2.functional.adjust_saturation(image, _factor(self._saturation))
        if self._exposure > 1:
            image = v2.functional.adjust_brightness(image, _factor(self._exposure))
        if self._hue:
            image = v2.functional.adjust_hue(image, uniform(-min(0.5, self._hue), min(0.5, self._hue)))
        return boxed._replace(image=image)


def _factor(limit: float) -> float:
    found = uniform(1.0, limit)
    return found if uniform(0, 1) < 0.5 else 1 / found


def augmentation(config: YoloAugmentation, mean: tuple[float, float, float]) -> Transform:
    fill = [int(value) for value in mean]
    size = (config.output_height, config.output_width)
    return Steps(
        CropJitter(config.jitter, fill),
        Stretch(*size),
        flip(config.horizontal_flip, config.vertical_flip),
        _Colours(config.hue, config.saturation, config.exposure),
    )


class MosaicSamples(DetectionSamples):
    """With a probability four images in one, parted at a point at least `ratio` away from the edges."""

    def __init__(
        self,
        samples: list[Sample],
        fit: Stretch | Letterbox,
        transform: Transform,
        chance: float,
        ratio: float,
        *,
        grey: bool,
    ) -> None:
        super().__init__(samples, fit, transform, grey=grey)
        self._chance, self._ratio = chance, ratio

    def _combined(self, boxed: Boxed, rng: Random) -> Boxed:
        if rng.random() >= self._chance:
            return boxed
        others = [self._read(rng.randrange(len(self))) for _ in range(3)]
        return mosaic([boxed, *others], self._fit.height, self._fit.width, self._ratio)


def mosaic(four: list[Boxed], height: int, width: int, ratio: float) -> Boxed:
    """Four images, each fitted into its quarter of a canvas."""
    down, across = (round(uniform(ratio, 1 - ratio) * side) for side in (height, width))
    canvas = torch.zeros(3, height, width, dtype=torch.uint8)
    boxes, labels = [], []
    for place, boxed in enumerate(four):
        rows, columns = (0, down) if place < 2 else (down, height), (0, across) if place % 2 == 0 else (across, width)
        size = (rows[1] - rows[0], columns[1] - columns[0])
        if min(size) < 1:
            continue
        fitted = Stretch(*size)(boxed)
        canvas[:, rows[0] : rows[1], columns[0] : columns[1]] = fitted.image
        boxes.append(fitted.boxes + fitted.boxes.new_tensor([columns[0], rows[0], columns[0], rows[0]]))
        labels.append(fitted.labels)
    return cut(Boxed(canvas, torch.cat(boxes), torch.cat(labels)), canvas, torch.cat(boxes))


class YoloNetwork(Tf1Detection[S]):
    """yolo_v3, yolo_v4 or yolo_v4_tiny."""

    name: ClassVar[Kind]
    shaped_by = ("backbone", "classes", "anchors", "activation", "depth")
    keeps_aspect = True

    def augmentation(self, spec: S) -> YoloAugmentation:
        return spec.augmentation_config

    def described(self, spec: S, classes: int) -> YoloShape:
        return shape_of(spec, self.name, classes)

    def transform(self, spec: S, mean: tuple[float, float, float]) -> Transform:
        return augmentation(spec.augmentation_config, mean)

    def grey(self, spec: S) -> bool:
        return super().grey(spec) or spec.dataset_config.is_monochrome

    def augmented(self, train: list[Sample], frame: DetectionFrame, transform: Transform) -> DetectionSamples:
        given = msgspec.convert(frame.spec.get("augmentation_config") or {}, YoloAugmentation, strict=False)
        return MosaicSamples(train, frame.fit, transform, given.mosaic_prob, given.mosaic_min_ratio, grey=frame.grey)

    def build(self, frame: DetectionFrame) -> Detector:
        return build(msgspec.convert(frame.model, YoloShape), frame.height, frame.width)
