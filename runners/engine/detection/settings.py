"""Groups of the specifications that several detectors of TAO's TF1 tools share. No torch."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from runners.engine.core.tf1 import NotNegative, Positive, PrunedByOptions, Share, TrainingConfig, Weighted
from runners.engine.errors import SpecError


class Mapped(msgspec.Struct, frozen=True):
    """An entry of a map from text to text."""

    key: str = ""
    value: str = ""


class DataSource(msgspec.Struct, frozen=True):
    """Where images and labels are; of TFRecords the dataset that they were made from is read."""

    tfrecords_path: str | None = None
    tfrecords_directory_path: str | None = None
    label_directory_path: str | None = None
    image_directory_path: str | None = None
    root_path: str | None = None


class DatasetConfig(msgspec.Struct, frozen=True):
    data_sources: list[DataSource] = []
    validation_data_sources: list[DataSource] = []
    target_class_mapping: list[Mapped] = []
    is_monochrome: bool = False
    """The YOLO networks."""

    @property
    def mapping(self) -> dict[str, str]:
        return {one.key: one.value for one in self.target_class_mapping if one.key}


class NmsConfig(msgspec.Struct, frozen=True):
    confidence_threshold: Share = 0.01
    clustering_iou_threshold: Share = 0.6
    top_k: Positive = 200


class EvalConfig(msgspec.Struct, frozen=True):
    average_precision_mode: Literal["SAMPLE", "INTEGRATE"] = "SAMPLE"
    batch_size: Positive = 8
    matching_iou_threshold: Share = 0.5
    validation_period_during_training: Positive = 10


class SsdAugmentation(msgspec.Struct, frozen=True):
    """Augmentation of ssd, dssd and retinanet. `brightness` on the 0-255 scale, `hue` in degrees."""

    output_width: Annotated[int, Meta(ge=32)] = 1280
    output_height: Annotated[int, Meta(ge=32)] = 736
    output_channel: Literal[1, 3] = 3
    random_crop_min_scale: Share = 0.3
    random_crop_max_scale: Share = 1.0
    random_crop_min_ar: Annotated[float, Meta(gt=0)] = 0.5
    random_crop_max_ar: Annotated[float, Meta(gt=0)] = 2.0
    zoom_out_min_scale: Annotated[float, Meta(ge=1)] = 1.0
    zoom_out_max_scale: Annotated[float, Meta(ge=1)] = 1.0
    brightness: NotNegative = 0
    contrast: Share = 0.0
    saturation: Share = 0.0
    hue: Annotated[float, Meta(ge=0, le=180)] = 0
    random_flip: Share = 0.5
    image_mean: list[Weighted] = []


class SpatialAugmentation(msgspec.Struct, frozen=True):
    """Of faster_rcnn and detectnet_v2: translations in pixels of the input, the angle in radians. Without a
    probability nothing is rotated."""

    hflip_probability: Share = 0.5
    vflip_probability: Share = 0.0
    zoom_min: Annotated[float, Meta(gt=0)] = 1.0
    zoom_max: Annotated[float, Meta(gt=0)] = 1.0
    translate_max_x: NotNegative = 0.0
    translate_max_y: NotNegative = 0.0
    rotate_rad_max: NotNegative = 0.0
    rotate_probability: Share = 0.0


class ColorAugmentation(msgspec.Struct, frozen=True):
    """Of faster_rcnn and detectnet_v2: the shift's deviation of the full scale, the hue in degrees."""

    color_shift_stddev: Share = 0.0
    hue_rotation_max: Annotated[float, Meta(ge=0, le=360)] = 0.0
    saturation_shift_max: Share = 0.0
    contrast_scale_max: Share = 0.0


class Common(PrunedByOptions, frozen=True, kw_only=True):
    """What the specifications of ssd, dssd, retinanet and the YOLO networks have in common."""

    random_seed: int = 42
    dataset_config: DatasetConfig = DatasetConfig()
    training_config: TrainingConfig = TrainingConfig()
    nms_config: NmsConfig = NmsConfig()
    eval_config: EvalConfig = EvalConfig()
    label_dir: str | None = None
    threshold: Share = 0.3
    resume_model_weights: str | None = None
    """ssd and dssd: a checkpoint of this training, or the weights that it starts from."""


class AnchorConfig(msgspec.Struct, frozen=True):
    """`ssd_config`, `dssd_config` and `retinanet_config`; lists are held as text."""

    aspect_ratios_global: str | None = "[1.0,2.0,0.5]"
    aspect_ratios: str | None = None
    scales: str | None = None
    two_boxes_for_ar1: bool = False
    clip_boxes: bool = False
    variances: str | None = "[0.1,0.1,0.2,0.2]"
    steps: str | None = None
    offsets: str | None = None
    arch: str = "resnet"
    nlayers: int = 18
    freeze_bn: bool = False
    freeze_blocks: list[float] = []
    pos_iou_thresh: Share = 0.5
    neg_iou_thresh: Share = 0.5
    loss_loc_weight: NotNegative = 0.8
    focal_loss_alpha: Share = 0.25
    focal_loss_gamma: NotNegative = 2.0
    n_kernels: Positive = 1
    n_anchor_levels: Positive = 1
    feature_size: Positive = 256
    pred_num_channels: Positive = 512
    """dssd."""


class Anchored(Common, frozen=True, kw_only=True):
    """ssd, dssd and retinanet; subclasses name the group of `config`."""

    augmentation_config: SsdAugmentation = SsdAugmentation()

    @property
    def config(self) -> AnchorConfig:
        raise NotImplementedError


class YoloAugmentation(msgspec.Struct, frozen=True):
    output_width: Annotated[int, Meta(ge=32)] = 1280
    output_height: Annotated[int, Meta(ge=32)] = 736
    output_channel: Literal[1, 3] = 3
    hue: Share = 0.1
    saturation: Annotated[float, Meta(ge=1)] = 1.5
    exposure: Annotated[float, Meta(ge=1)] = 1.5
    vertical_flip: Share = 0.0
    horizontal_flip: Share = 0.5
    jitter: Annotated[float, Meta(ge=0, lt=0.5)] = 0.3
    mosaic_prob: Share = 0.0
    mosaic_min_ratio: Annotated[float, Meta(ge=0, le=0.5)] = 0.2
    image_mean: list[Weighted] = []


class YoloConfig(msgspec.Struct, frozen=True):
    """`yolov3_config` and `yolov4_config`; lists are held as text."""

    big_anchor_shape: str | None = None
    mid_anchor_shape: str | None = None
    small_anchor_shape: str | None = None
    matching_neutral_box_iou: Share = 0.5
    box_matching_iou: Share = 0.25
    arch: str = "resnet"
    nlayers: int = 18
    arch_conv_blocks: Annotated[int, Meta(ge=0, le=2)] = 2
    loss_loc_weight: NotNegative = 1.0
    loss_neg_obj_weights: NotNegative = 1.0
    loss_class_weights: NotNegative = 1.0
    freeze_blocks: list[float] = []
    freeze_bn: bool = False
    force_relu: bool = False
    activation: Literal["", "relu", "leaky_relu", "mish"] | None = None
    label_smoothing: Annotated[float, Meta(ge=0, lt=1)] = 0.0
    big_grid_xy_extend: NotNegative = 0.0
    mid_grid_xy_extend: NotNegative = 0.0
    small_grid_xy_extend: NotNegative = 0.0


class Yolo(Common, frozen=True, kw_only=True):
    """yolo_v3, yolo_v4 and yolo_v4_tiny; subclasses name the group of `config`."""

    augmentation_config: YoloAugmentation = YoloAugmentation()

    @property
    def config(self) -> YoloConfig:
        raise NotImplementedError


def literal(text: str | None, where: str) -> object:
    """The value of a list that the specification holds as text, `[1.0, 1.0/3.0]`. Raises SpecError."""
    if not text:
        return None
    try:
        return _value(ast.parse(text.strip(), mode="eval").body)
    except (SyntaxError, ValueError, ZeroDivisionError):
        raise SpecError(f"{where} '{text}' is not a list of numbers, such as [1.0, 2.0, 1.0/3.0].") from None


def _value(node: ast.expr) -> object:
    """Numbers, their quotients, and lists and tuples of them."""
    if isinstance(node, (ast.List, ast.Tuple)):
        return [_value(one) for one in node.elts]
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Div):
        above, below = _value(node.left), _value(node.right)
        if isinstance(above, (int, float)) and isinstance(below, (int, float)):
            return above / below
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        return -float(ast.literal_eval(node.operand))
    if isinstance(node, ast.Constant) and isinstance(node.value, (int, float)):
        return node.value
    raise ValueError


def numbers(text: str | None, where: str) -> list[float] | None:
    """A list of numbers held as text; None where it is empty. Raises SpecError."""
    found = literal(text, where)
    if found is None:
        return None
    return _numbers(found, text, where)


def rows(text: str | None, where: str) -> list[list[float]] | None:
    """A list of lists of numbers held as text. Raises SpecError."""
    found = literal(text, where)
    if found is None:
        return None
    if not isinstance(found, list):
        raise SpecError(f"{where} '{text}' is not a list of lists, such as [(1.0, 2.0), (0.5, 1.0)].")
    return [_numbers(one, text, where) for one in found]


def _numbers(found: object, text: str | None, where: str) -> list[float]:
    if not isinstance(found, list) or not all(isinstance(one, (int, float)) for one in found):
        raise SpecError(f"{where} '{text}' is not a list of numbers, such as [1.0, 2.0, 1.0/3.0].")
    return [float(one) for one in found]


def folder(path: str | None) -> Path | None:
    return Path(path) if path else None
