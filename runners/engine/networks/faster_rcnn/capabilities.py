"""What the engine offers for faster_rcnn, as plain data. No heavy imports."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from runners.engine.core.offer import ENGINE, INT8, QAT, TRACKERS, Offer
from runners.engine.core.tf1 import EarlyStopping, NotNegative, Positive, Regularizer, Share, Weighted
from runners.engine.detection import offers
from runners.engine.detection.settings import ColorAugmentation, DataSource, Mapped, SpatialAugmentation
from runners.engine.errors import SpecError
from runners.engine.spec import CommandLine, convert
from taod.documents import Document


class DatasetConfig(msgspec.Struct, frozen=True):
    data_sources: list[DataSource] = []
    validation_data_source: DataSource | None = None
    target_class_mapping: list[Mapped] = []

    @property
    def mapping(self) -> dict[str, str]:
        return {one.key: one.value for one in self.target_class_mapping if one.key}


class Preprocessing(msgspec.Struct, frozen=True):
    output_image_width: int = 1280
    output_image_height: int = 720
    output_image_min: int | None = None
    output_image_max: int | None = None
    """The last two go with `size_min`; 0 is none."""
    min_bbox_width: NotNegative = 1.0
    min_bbox_height: NotNegative = 1.0


class AugmentationConfig(msgspec.Struct, frozen=True):
    preprocessing: Preprocessing = Preprocessing()
    spatial_augmentation: SpatialAugmentation = SpatialAugmentation()
    color_augmentation: ColorAugmentation = ColorAugmentation()


class Size(msgspec.Struct, frozen=True):
    height: Annotated[int, Meta(ge=32)] = 720
    width: Annotated[int, Meta(ge=32)] = 1280


class SmallerSide(msgspec.Struct, frozen=True):
    min: Annotated[int, Meta(ge=32)] = 600


class InputImageConfig(msgspec.Struct, frozen=True):
    size_height_width: Size | None = None
    size_min: SmallerSide | None = None
    """Images keep their aspect."""
    image_type: Literal["RGB", "GRAY_SCALE"] = "RGB"
    image_channel_mean: list[Weighted] = []
    image_scaling_factor: Annotated[float, Meta(gt=0)] = 1.0
    max_objects_num_per_image: Positive = 100

    @property
    def size(self) -> Size:
        """Of the input without `size_min`."""
        return self.size_height_width or Size()


class AnchorBoxConfig(msgspec.Struct, frozen=True):
    """Sides in pixels of the input, and widths by heights."""

    scale: tuple[Annotated[float, Meta(gt=0)], ...] = (64.0, 128.0, 256.0)
    ratio: tuple[Annotated[float, Meta(gt=0)], ...] = (1.0, 0.5, 2.0)


class RoiPoolingConfig(msgspec.Struct, frozen=True):
    pool_size: Positive = 7
    pool_size_2x: bool = False


class ModelConfig(msgspec.Struct, frozen=True):
    arch: str = "resnet:18"
    freeze_blocks: list[float] = []
    freeze_bn: bool = True
    dropout_rate: Annotated[float, Meta(ge=0, lt=1)] = 0.0
    input_image_config: InputImageConfig = InputImageConfig()
    anchor_box_config: AnchorBoxConfig = AnchorBoxConfig()
    roi_mini_batch: Positive = 256
    rpn_stride: Literal[16] = 16
    roi_pooling_config: RoiPoolingConfig = RoiPoolingConfig()


class SoftStart(msgspec.Struct, frozen=True):
    base_lr: Annotated[float, Meta(gt=0)] = 0.02
    start_lr: Annotated[float, Meta(gt=0)] = 0.002
    soft_start: Share = 0.1
    annealing_points: tuple[Share, ...] = (0.8,)
    annealing_divider: Annotated[float, Meta(gt=0)] = 10.0


class LearningRate(msgspec.Struct, frozen=True):
    soft_start: SoftStart | None = None


class Sgd(msgspec.Struct, frozen=True):
    momentum: NotNegative = 0.9
    nesterov: bool = False


class Adam(msgspec.Struct, frozen=True):
    epsilon: Annotated[float, Meta(gt=0)] = 1e-7
    beta_1: Share = 0.9
    beta_2: Share = 0.999


class Optimizer(msgspec.Struct, frozen=True):
    sgd: Sgd | None = None
    adam: Adam | None = None


class TrainingConfig(msgspec.Struct, frozen=True):
    batch_size_per_gpu: Positive = 8
    num_epochs: Positive = 120
    enable_augmentation: bool = True
    learning_rate: LearningRate = LearningRate()
    regularizer: Regularizer = Regularizer()
    optimizer: Optimizer = Optimizer()
    checkpoint_interval: Positive = 10
    pretrained_weights: str | None = None
    resume_from_model: str | None = None
    rpn_min_overlap: Share = 0.3
    rpn_max_overlap: Share = 0.7
    classifier_min_overlap: Share = 0.0
    classifier_max_overlap: Share = 0.5
    gt_as_roi: bool = False
    std_scaling: Annotated[float, Meta(gt=0)] = 1.0
    classifier_regr_std: list[Weighted] = []
    rpn_pre_nms_top_N: Positive = 12000
    rpn_mini_batch: Positive = 256
    rpn_nms_max_boxes: Positive = 2000
    rpn_nms_overlap_threshold: Share = 0.7
    lambda_rpn_regr: NotNegative = 1.0
    lambda_rpn_class: NotNegative = 1.0
    lambda_cls_regr: NotNegative = 1.0
    lambda_cls_class: NotNegative = 1.0
    early_stopping: EarlyStopping | None = None


class DetectionSettings(msgspec.Struct, frozen=True):
    """What evaluation and inference ask of the model."""

    batch_size: Positive = 1
    rpn_pre_nms_top_N: Positive = 6000
    rpn_nms_overlap_threshold: Share = 0.7
    rpn_nms_max_boxes: Positive = 300
    classifier_nms_max_boxes: Positive = 100
    classifier_nms_overlap_threshold: Share = 0.3
    object_confidence_thres: Share = 1e-5


class Thresholds(msgspec.Struct, frozen=True):
    start: Share = 0.5
    end: Share = 0.95
    step: Annotated[float, Meta(gt=0)] = 0.05


class EvaluationConfig(DetectionSettings, frozen=True):
    use_voc07_11point_metric: bool = False
    validation_period_during_training: Positive = 10
    gt_matching_iou_threshold: Share = 0.5
    gt_matching_iou_threshold_range: Thresholds | None = None


class InferenceConfig(DetectionSettings, frozen=True):
    images_dir: str | None = None
    bbox_visualize_threshold: Share = 0.6


class Spec(CommandLine, frozen=True, kw_only=True):
    random_seed: int = 42
    dataset_config: DatasetConfig = DatasetConfig()
    augmentation_config: AugmentationConfig = AugmentationConfig()
    model_config: ModelConfig = ModelConfig()
    training_config: TrainingConfig = TrainingConfig()
    evaluation_config: EvaluationConfig = EvaluationConfig()
    inference_config: InferenceConfig = InferenceConfig()
    label_dir: str | None = None


def _check(action: str, document: Document) -> None:
    """Both groups name the size of the input."""
    if action != "train":
        return
    spec = convert(document, Spec)
    config, given = spec.model_config.input_image_config, spec.augmentation_config.preprocessing
    size, least, most = config.size, given.output_image_min, given.output_image_max
    if config.size_min is not None:
        if least and least != config.size_min.min:
            raise SpecError(
                f"augmentation_config.preprocessing.output_image_min is {least}, "
                f"model_config.input_image_config.size_min.min {config.size_min.min}; set both alike."
            )
        if most and most < config.size_min.min:
            raise SpecError(
                f"augmentation_config.preprocessing.output_image_max is {most}, less than the shorter side of "
                f"{config.size_min.min} (size_min); enlarge it."
            )
        return
    for name, value in (("min", least), ("max", most)):
        if value:
            raise SpecError(
                f"augmentation_config.preprocessing.output_image_{name} is {value}, which goes with "
                "model_config.input_image_config.size_min; set that, or leave it out."
            )
    if (given.output_image_height, given.output_image_width) != (size.height, size.width):
        raise SpecError(
            f"augmentation_config.preprocessing asks for {given.output_image_width}x{given.output_image_height}, "
            f"model_config.input_image_config.size_height_width for {size.width}x{size.height}; set both alike."
        )


_CUT = "the engine brings whole images to the input's size; cut the dataset's images"
_LAYERS = "the backbone is timm's"
_PLACE = "the daemon sets it"
_VISUAL = "no curve is drawn"

OFFER = Offer(
    spec=Spec,
    actions=offers.UNPRUNED,
    check=_check,
    similar="the regions' features go through two linear layers, the tool's through the backbone's last stage",
    rejected={
        "training_config.enable_qat": QAT,
        "training_config.retrain_pruned_model": "the engine does not prune this network",
        **{f"augmentation_config.preprocessing.crop_{side}": _CUT for side in ("left", "right", "top", "bottom")},
        "augmentation_config.preprocessing.scale_height": _CUT,
        "augmentation_config.preprocessing.scale_width": _CUT,
        "model_config.activation": _LAYERS,
    },
    only=INT8,
    without_effect={
        "enc_key": "the engine encrypts nothing",
        "experiment_spec": _PLACE,
        "experiment_spec_file": _PLACE,
        "dataset_config.image_extension": "the images' own names are read",
        "dataset_config.validation_fold": "there are no folds; assign an evaluation dataset",
        "augmentation_config.preprocessing.enable_auto_resize": "images are always brought to the input's size",
        "augmentation_config.preprocessing.output_image_channel": "model_config.input_image_config decides",
        "augmentation_config.color_augmentation.contrast_center": "contrast turns around the middle grey",
        "model_config.all_projections": _LAYERS,
        "model_config.use_pooling": _LAYERS,
        "model_config.use_bias": _LAYERS,
        "model_config.drop_connect_rate": _LAYERS,
        "model_config.rpn_cls_activation_type": "it is a sigmoid",
        "model_config.input_image_config.image_channel_order": "images are read as RGB",
        "training_config.optimizer.sgd.lr": "learning_rate.soft_start sets it",
        "training_config.optimizer.sgd.decay": "learning_rate.soft_start sets the rate",
        "training_config.output_model": _PLACE,
        "training_config.model_parallelism": "a model lies on one GPU",
        "training_config.early_stopping.monitor": "the loss of the training is monitored",
        "training_config.early_stopping.min_delta": "any better value counts",
        "training_config.visualizer": TRACKERS,
        "evaluation_config.model": "model_path names it",
        "evaluation_config.trt_evaluation": ENGINE,
        "evaluation_config.visualize_pr_curve": _VISUAL,
        "inference_config.model": "model_path names it",
        "inference_config.detection_image_output_dir": _PLACE,
        "inference_config.labels_dump_dir": _PLACE,
        "inference_config.bbox_caption_on": "boxes have their class and score beside them",
        "inference_config.nms_score_bits": "scores are float32",
        "inference_config.trt_inference": ENGINE,
        **offers.EXPORTED,
    },
)
