"""What the engine offers for detectnet_v2, as plain data. No heavy imports."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from runners.engine.core.offer import ENGINE
from runners.engine.core.tf1 import LearningRate, NotNegative, Optimizer, Positive, PrunedByOptions, Regularizer, Share
from runners.engine.detection import offers
from runners.engine.detection.settings import DataSource, Mapped

STRIDE = 16
"""Pixels of the input that a cell is wide and high."""

Above = Annotated[float, Meta(gt=0)]
Side = Annotated[int, Meta(ge=32)]


class Dataset(msgspec.Struct, frozen=True):
    data_sources: list[DataSource] = []
    validation_data_source: DataSource | None = None
    target_class_mapping: list[Mapped] = []


class Preprocessing(msgspec.Struct, frozen=True):
    """Boxes below the least size, in pixels of the input, are no objects of a training."""

    output_image_width: Side = 1280
    output_image_height: Side = 720
    output_image_channel: Literal[1, 3] = 3
    min_bbox_width: NotNegative = 1.0
    min_bbox_height: NotNegative = 1.0


class Spatial(msgspec.Struct, frozen=True):
    """Translations in pixels of the input."""

    hflip_probability: Share = 0.5
    vflip_probability: Share = 0.0
    zoom_min: Above = 1.0
    zoom_max: Above = 1.0
    translate_max_x: NotNegative = 8.0
    translate_max_y: NotNegative = 8.0
    rotate_rad_max: NotNegative = 0.0


class Colour(msgspec.Struct, frozen=True):
    """On images of 0 to 1; the hue in degrees."""

    color_shift_stddev: NotNegative = 0.0
    hue_rotation_max: Annotated[float, Meta(ge=0, le=180)] = 25.0
    saturation_shift_max: Share = 0.2
    contrast_scale_max: Share = 0.1
    contrast_center: Share = 0.5


class Augmentation(msgspec.Struct, frozen=True):
    preprocessing: Preprocessing = Preprocessing()
    spatial_augmentation: Spatial = Spatial()
    color_augmentation: Colour = Colour()


class Rasterizer(msgspec.Struct, frozen=True):
    deadzone_radius: Share = 0.4


class Precision(msgspec.Struct, frozen=True):
    backend_floatx: Literal["FLOAT32", "FLOAT16", "INVALID"] = "FLOAT32"


class BoxObjective(msgspec.Struct, frozen=True):
    scale: Above = 35.0
    offset: float = 0.5


class Objectives(msgspec.Struct, frozen=True):
    bbox: BoxObjective = BoxObjective()
    cov: dict[str, object] = {}


class Model(msgspec.Struct, frozen=True):
    arch: str = "resnet"
    num_layers: int = 18
    pretrained_model_file: str | None = None
    freeze_blocks: list[float] = []
    freeze_bn: bool = False
    dropout_rate: Annotated[float, Meta(ge=0, lt=1)] = 0.0
    training_precision: Precision = Precision()
    objective_set: Objectives = Objectives()


class Training(msgspec.Struct, frozen=True):
    batch_size_per_gpu: Positive = 4
    num_epochs: Positive = 10
    learning_rate: LearningRate = LearningRate()
    regularizer: Regularizer = Regularizer()
    optimizer: Optimizer = Optimizer()
    checkpoint_interval: Positive = 1


class Evaluation(msgspec.Struct, frozen=True):
    average_precision_mode: Literal["SAMPLE", "INTEGRATE"] = "SAMPLE"
    validation_period_during_training: Positive = 10
    first_validation_epoch: Positive = 30


class Costs(msgspec.Struct, frozen=True):
    enable_autoweighting: bool = True
    max_objective_weight: Share = 0.9999
    min_objective_weight: Share = 0.0001


class BoxSizes(msgspec.Struct, frozen=True):
    """Objects and detections of other sizes, in pixels of the input, do not count."""

    minimum_height: float = 20
    maximum_height: float = 9999
    minimum_width: float = 10
    maximum_width: float = 9999


class ClassEvaluation(msgspec.Struct, frozen=True):
    minimum_detection_ground_truth_overlap: Share = 0.5
    evaluation_box_config: BoxSizes = BoxSizes()


class Objective(msgspec.Struct, frozen=True):
    name: Literal["cov", "bbox"]
    initial_weight: Above = 1.0
    weight_target: Above = 1.0


class ClassCosts(msgspec.Struct, frozen=True):
    class_weight: Above = 4.0
    coverage_foreground_weight: Share = 0.05
    objectives: tuple[Objective, ...] = (Objective("cov"), Objective("bbox", 10.0, 10.0))

    def of(self, name: str) -> Objective:
        return next((one for one in self.objectives if one.name == name), Objective("cov"))


class ClassRasterizer(msgspec.Struct, frozen=True):
    """Radii relative to half of a box's sides; the least one in cells."""

    cov_center_x: Share = 0.5
    cov_center_y: Share = 0.5
    cov_radius_x: Above = 1.0
    cov_radius_y: Above = 1.0
    bbox_min_radius: NotNegative = 1.0


class Clustering(msgspec.Struct, frozen=True):
    coverage_threshold: Share = 0.0075
    clustering_algorithm: Literal["DBSCAN", "NMS", "HYBRID"] = "DBSCAN"
    dbscan_eps: Share = 0.23
    dbscan_min_samples: NotNegative = 1
    dbscan_confidence_threshold: NotNegative = 0.1
    minimum_bounding_box_height: NotNegative = 20
    nms_iou_threshold: Share = 0.2
    nms_confidence_threshold: Share = 0.0


class ClassValues(msgspec.Struct, frozen=True):
    evaluation_config: ClassEvaluation = ClassEvaluation()
    cost_function_config: ClassCosts = ClassCosts()
    bbox_rasterizer_config: ClassRasterizer = ClassRasterizer()


class ClassPostprocessing(msgspec.Struct, frozen=True):
    clustering_config: Clustering = Clustering()


class ClassEntry(msgspec.Struct, frozen=True):
    key: str = ""
    value: ClassValues = ClassValues()
    postprocessing_config: ClassPostprocessing = ClassPostprocessing()


class TltConfig(msgspec.Struct, frozen=True):
    model: str | None = None


class Inferencer(msgspec.Struct, frozen=True):
    tlt_config: TltConfig = TltConfig()
    batch_size: Positive = 16


class Rgb(msgspec.Struct, frozen=True):
    R: Annotated[int, Meta(ge=0, le=255)] = 255
    G: Annotated[int, Meta(ge=0, le=255)] = 0
    B: Annotated[int, Meta(ge=0, le=255)] = 0


class Handling(msgspec.Struct, frozen=True):
    """What an inference does with the boxes of a class; `output_map` renames it in the labels."""

    clustering_config: Clustering = Clustering(
        coverage_threshold=0.005, dbscan_eps=0.3, dbscan_confidence_threshold=0.9, minimum_bounding_box_height=4
    )
    confidence_model: Literal["aggregate_cov", "mean_cov"] = "aggregate_cov"
    output_map: str | None = None
    bbox_color: Rgb | None = None


class HandlingEntry(msgspec.Struct, frozen=True):
    key: str = "default"
    value: Handling = Handling()


class BoxHandler(msgspec.Struct, frozen=True):
    kitti_dump: bool = True
    disable_overlay: bool = False
    overlay_linewidth: Positive | None = None
    classwise_bbox_handler_config: list[HandlingEntry] = []
    postproc_classes: list[str] = []

    def of(self, name: str) -> Handling:
        """That of a class, else of `default`."""
        named = {one.key.lower(): one.value for one in self.classwise_bbox_handler_config}
        return named.get(name.lower(), named.get("default", Handling()))


class Spec(PrunedByOptions, frozen=True, kw_only=True):
    random_seed: int = 42
    dataset_config: Dataset = Dataset()
    augmentation_config: Augmentation = Augmentation()
    bbox_rasterizer_config: Rasterizer = Rasterizer()
    model_config: Model = Model()
    training_config: Training = Training()
    evaluation_config: Evaluation = Evaluation()
    cost_function_config: Costs = Costs()
    classwise_config: list[ClassEntry] = []  # noqa: RUF012  copied by msgspec
    inferencer_config: Inferencer = Inferencer()
    bbox_handler_config: BoxHandler = BoxHandler()
    use_training_set: bool = False


_NORMS = "the backbone has the norms, shortcuts and poolings of its paper"
_SIZE = "the model's own is used"
_WHOLE = "the engine resizes whole images; cut or scale the images of the dataset"

OFFER = offers.tf1(
    Spec,
    "the paper's coverage grid and box head on timm's ResNets, whose last stage keeps the stride of 16",
    rejected={
        "training_config.learning_rate.early_stopping_annealing_schedule": "the engine has no annealing by the "
        "validation; set soft_start_annealing_schedule",
        **{f"augmentation_config.preprocessing.crop_{side}": _WHOLE for side in ("left", "top", "right", "bottom")},
        **{f"augmentation_config.preprocessing.scale_{side}": _WHOLE for side in ("width", "height")},
    },
    without_effect={
        "model_config.load_graph": "a pruned model is found by what its file has",
        "model_config.all_projections": _NORMS,
        "model_config.use_pooling": _NORMS,
        "model_config.use_batch_norm": _NORMS,
        "inferencer_config.tensorrt_config": ENGINE,
        "inferencer_config.input_nodes": ENGINE,
        "inferencer_config.output_nodes": ENGINE,
        "inferencer_config.image_height": _SIZE,
        "inferencer_config.image_width": _SIZE,
        "inferencer_config.image_channels": _SIZE,
        "inferencer_config.stride": _SIZE,
        "inferencer_config.target_classes": "the model knows its classes",
        "inferencer_config.gpu_index": "the scheduler assigns devices",
    },
)
