"""detectnet_v2 as a network of the engine."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import msgspec
import numpy as np
import torch
from torch import nn

from runners.engine.core import state, tf1_recipe
from runners.engine.core.network import Arrays, Loss, Plan, Recipe
from runners.engine.core.optimise import CLIP
from runners.engine.core.tf1 import Pruning
from runners.engine.detection import backbones, samples
from runners.engine.detection.data import Batch, DetectionSamples
from runners.engine.detection.metrics import Detections, Mode, Truth
from runners.engine.detection.network import Detection, DetectionFrame, DetectionWriter, OutputStyle, VocScore
from runners.engine.detection.nms import Nms
from runners.engine.detection.samples import Classes, Sample
from runners.engine.detection.tf1 import regularised, sources
from runners.engine.detection.torchvision_ops import v2
from runners.engine.detection.transforms import Boxed, Library, Steps, Stretch, Transform, flip, sanitized, uniform
from runners.engine.errors import DataError, SpecError
from runners.engine.networks.detectnet_v2 import clustering, grid
from runners.engine.networks.detectnet_v2.capabilities import (
    STRIDE,
    Augmentation,
    BoxHandler,
    BoxSizes,
    ClassEntry,
    Colour,
    Handling,
    Spec,
)
from runners.engine.networks.detectnet_v2.grid import Deployed, GridDetector, GridShape
from runners.engine.run import Run
from runners.engine.spec import convert
from taod.documents import Document


class DetectnetV2(Detection[Spec]):
    name = "detectnet_v2"
    spec_type = Spec
    output_names = ("output_cov/Sigmoid", "output_bbox/BiasAdd")
    probe_names = ()
    checkpoint_name = "weights/model.epoch-{epoch}.pth"
    """As the tool's, in whose names taod looks for the epoch."""

    def plan(self, spec: Spec, run: Run) -> Plan[DetectionFrame, Batch]:
        own, config = spec.augmentation_config.preprocessing, spec.dataset_config
        classes = classes_of(spec)
        frame = DetectionFrame(
            classes=classes.names,
            ids=classes.ids,
            optimizer=spec.training_config.optimizer.name,
            spec=run.document,
            height=own.output_image_height,
            width=own.output_image_width,
            mean=(0.0, 0.0, 0.0),
            std=(255.0, 255.0, 255.0),
            grey=own.output_image_channel == 1,
            model=msgspec.to_builtins(_shape(spec)),
        )
        if frame.height % STRIDE or frame.width % STRIDE:
            raise SpecError(
                f"augmentation_config.preprocessing asks for images of {frame.width}x{frame.height}; both sides must "
                f"be multiples of {STRIDE}."
            )
        train = samples.read(sources(config.data_sources, "dataset_config.data_sources"), classes)
        held_out = self.validation(spec, frame)
        return Plan(
            frame=frame,
            recipe=_recipe(spec, run),
            samples=DetectionSamples(train, frame.fit, augmentation(spec.augmentation_config), grey=frame.grey),
            validation=held_out[0] if held_out else None,
            about=f"{frame.model['backbone']} at {frame.width}x{frame.height}, {len(frame.classes)} classes",
        )

    def build(self, frame: DetectionFrame) -> GridDetector:
        return GridDetector(_of(frame))

    def loss(self, model: nn.Module, data: Batch, plan: Plan[DetectionFrame, Batch], step: int) -> Loss:
        return regularised(super().loss(model, data, plan, step), model, plan.frame)

    def deployed(self, model: nn.Module, frame: DetectionFrame, spec: Spec) -> nn.Module:
        assert isinstance(model, GridDetector)
        return Deployed(model)

    def probing(self, deployed: nn.Module) -> nn.Module:
        return deployed

    def nms(self, spec: Spec, frame: DetectionFrame) -> Nms:
        raise NotImplementedError  # boxes are clustered outside of the model

    def metadata(self, frame: DetectionFrame, spec: Spec) -> Document:
        shape = _of(frame)
        return {
            "mean": frame.mean,
            "std": frame.std,
            "channels": "grey, three times" if frame.grey else "red, green, blue",
            "fit": {"height": frame.height, "width": frame.width, "keep_ratio": False},
            "stride": STRIDE,
            "boxes": f"left, top, right, bottom of each class: distances of {shape.scale} pixels from the point "
            f"{shape.offset} pixels right of and below a cell's upper left",
            "clustering": [msgspec.to_builtins(one.clustering_config) for one in _trained(frame)],
        }

    def names_validation(self, spec: Spec) -> bool:
        return spec.dataset_config.validation_data_source is not None

    def truths(self, spec: Spec, classes: Classes, action: str) -> list[Sample]:
        if action == "inference":
            if not spec.image_dir:
                raise DataError("image_dir is not set; give the model an inference dataset.")
            return samples.unlabelled(Path(spec.image_dir))
        own = classes_of(spec)
        if own.names != classes.names:
            raise SpecError(
                f"classwise_config has the classes {', '.join(own.names)}, the model {', '.join(classes.names)}; "
                "use the model's."
            )
        config, field = spec.dataset_config, "dataset_config.validation_data_source"
        given = [config.validation_data_source] if config.validation_data_source else []
        if spec.use_training_set:
            given, field = config.data_sources, "dataset_config.data_sources"
        return samples.read(sources(given, field), own)

    def batch(self, spec: Spec, action: str) -> int:
        if spec.batch_size:
            return spec.batch_size
        return spec.inferencer_config.batch_size if action == "inference" else spec.training_config.batch_size_per_gpu

    def score(self, spec: Spec, frame: DetectionFrame, *, training: bool) -> GridScore:
        return GridScore(frame, spec)

    def writer(self, spec: Spec, frame: DetectionFrame, folder: Path) -> GridWriter:
        return GridWriter(folder, frame, spec.bbox_handler_config)

    def checkpoint(self, spec: Spec, action: str) -> tuple[str | None, str]:
        if action in ("export", "prune"):
            return spec.model, "model"
        return spec.model_path or spec.inferencer_config.tlt_config.model, "model_path"

    def onnx_file(self, spec: Spec) -> str | None:
        return spec.output_file

    def pruning(self, spec: Spec) -> Pruning:
        return spec.pruning()


def classes_of(spec: Spec) -> Classes:
    """The classes in the order of `classwise_config`, and the names of the data that are mapped to them."""
    names = [entry.key.lower() for entry in spec.classwise_config]
    mapping = {one.key.lower(): one.value.lower() for one in spec.dataset_config.target_class_mapping if one.key}
    if not names or len(set(names)) < len(names):
        raise SpecError("classwise_config must have one entry for each class.")
    if other := sorted(set(mapping.values()) - set(names)):
        raise SpecError(
            f"dataset_config.target_class_mapping maps to {', '.join(other)}, which classwise_config does not have; "
            "add an entry for it or leave it out."
        )
    sources_of = {source: names.index(target) for source, target in mapping.items()}
    return Classes(names, sources_of, list(range(1, len(names) + 1)), folded=True)


def _shape(spec: Spec) -> GridShape:
    model, costs = spec.model_config, spec.cost_function_config
    values = [entry.value for entry in spec.classwise_config]
    return GridShape(
        backbone=backbones.name_of(model.arch, model.num_layers, "model_config", "num_layers"),
        classes=len(values),
        scale=model.objective_set.bbox.scale,
        offset=model.objective_set.bbox.offset,
        dropout=model.dropout_rate,
        freeze_blocks=[int(block) for block in model.freeze_blocks],
        freeze_bn=model.freeze_bn,
        deadzone=spec.bbox_rasterizer_config.deadzone_radius,
        rasterizers=[value.bbox_rasterizer_config for value in values],
        costs=[value.cost_function_config for value in values],
        autoweighting=costs.enable_autoweighting,
        least=costs.min_objective_weight,
        most=costs.max_objective_weight,
    )


def _of(frame: DetectionFrame) -> GridShape:
    return msgspec.convert(frame.model, GridShape)


def _recipe(spec: Spec, run: Run) -> Recipe:
    own, model, validation = spec.training_config, spec.model_config, spec.evaluation_config
    resume, start = state.resume_or_start(
        model.pretrained_model_file, state.CheckpointFolder.below(run.results, DetectnetV2.checkpoint_name)
    )
    halves = model.training_precision.backend_floatx == "FLOAT16"
    return Recipe(
        epochs=own.num_epochs,
        batch=own.batch_size_per_gpu,
        optimiser=tf1_recipe.optimiser(own.optimizer),
        schedule=lambda steps: tf1_recipe.schedule(own.learning_rate, steps * own.num_epochs),
        seed=spec.random_seed,
        precision="fp16" if halves else "auto" if spec.use_amp else "fp32",
        clip_norm=CLIP,
        checkpoint_interval=own.checkpoint_interval,
        validation_interval=validation.validation_period_during_training,
        validation_first=validation.first_validation_epoch,
        resume=resume,
        start=start,
        gpus=spec.gpus or 1,
        resume_field="model_config.pretrained_model_file",
        start_field="model_config.pretrained_model_file",
        lr_field="training_config.learning_rate",
        precision_field="model_config.training_precision.backend_floatx",
    )


def augmentation(config: Augmentation) -> Transform:
    """Resized, then flipped, moved, zoomed and turned, and its colours changed; small boxes are dropped."""
    own, spatial = config.preprocessing, config.spatial_augmentation
    height, width = own.output_image_height, own.output_image_width
    moved = v2.RandomAffine(
        degrees=float(np.degrees(spatial.rotate_rad_max)),
        translate=(min(1.0, spatial.translate_max_x / width), min(1.0, spatial.translate_max_y / height)),
        scale=(min(spatial.zoom_min, spatial.zoom_max), max(spatial.zoom_min, spatial.zoom_max)),
    )

    def least(boxed: Boxed) -> Boxed:
        return sanitized(boxed, (max(1.0, own.min_bbox_width), max(1.0, own.min_bbox_height)))

    return Steps(
        Stretch(height, width),
        flip(spatial.hflip_probability, spatial.vflip_probability),
        Library(moved),
        _Colours(config.color_augmentation),
        least,
    )


class _Colours:
    """The hue turned, saturation and contrast scaled, each channel shifted."""

    def __init__(self, how: Colour) -> None:
        self._how = how

    def __call__(self, boxed: Boxed) -> Boxed:
        how, image = self._how, boxed.image
        if how.hue_rotation_max:
            turn = how.hue_rotation_max / 360
            image = v2.functional.adjust_hue(image, uniform(-turn, turn))
        if how.saturation_shift_max:
            shift = how.saturation_shift_max
            image = v2.functional.adjust_saturation(image, uniform(1 - shift, 1 + shift))
        if how.contrast_scale_max or how.color_shift_stddev:
            centre, factor = 255 * how.contrast_center, 1 + uniform(-how.contrast_scale_max, how.contrast_scale_max)
            shifts = torch.randn(3, 1, 1) * how.color_shift_stddev * 255
            image = ((image.float() - centre) * factor + centre + shifts).clamp(0, 255).to(torch.uint8)
        return boxed._replace(image=image)


def _trained(frame: DetectionFrame) -> list[Handling]:
    """How the training's specification clusters the boxes of each class."""
    return _postprocessing(convert(frame.spec, Spec).classwise_config, frame)


def _postprocessing(entries: Sequence[ClassEntry], frame: DetectionFrame) -> list[Handling]:
    named = {entry.key.lower(): entry.postprocessing_config.clustering_config for entry in entries}
    return [Handling(clustering_config=named[name]) if name in named else Handling() for name in frame.classes]


def _found(arrays: Arrays, data: Batch, row: int, shape: GridShape, how: Sequence[Handling]) -> Detections:
    """The detections of an image in pixels of the input."""
    coverage, distances = arrays[0][row], arrays[1][row]
    return clustering.detected(coverage, clustering.decoded(coverage, distances, shape.scale, shape.offset), how)


class GridScore(VocScore):
    """`mean average precision` as the classes' own overlaps and sizes count it, and the cost of the predictions."""

    def __init__(self, frame: DetectionFrame, spec: Spec) -> None:
        rules = {entry.key.lower(): entry.value.evaluation_config for entry in spec.classwise_config}
        own = [rules[name] for name in frame.classes]
        mode: Mode = "integrate" if spec.evaluation_config.average_precision_mode == "INTEGRATE" else "sample"
        super().__init__(frame.classes, mode, [rule.minimum_detection_ground_truth_overlap for rule in own])
        self._sizes = [rule.evaluation_box_config for rule in own]
        self._shape, self._how = _of(frame), _postprocessing(spec.classwise_config, frame)
        self._cost = 0.0

    def add(self, outputs: Arrays, data: Batch, indices: Sequence[int]) -> None:
        before = len(self.truths)
        super().add(outputs, data, indices)
        for place, (truth, origin) in enumerate(zip(data.truths, data.places, strict=True), before):
            kept = counted(truth.boxes * origin.factors, truth.classes, self._sizes)
            # An object of another size is not counted; a detection of it is not an error.
            self.truths[place] = Truth(truth.boxes, truth.classes, truth.crowd | ~kept, truth.areas)
        cover, far = (torch.from_numpy(part) for part in outputs)
        costs = grid.costs(torch.logit(cover, eps=1e-6), far, data.targets, self._shape)
        weighted = costs * grid.weights(self._shape) * grid.class_weights(self._shape)
        self._cost += float(weighted.sum()) * len(data.truths)

    def read(self, outputs: Arrays, data: Batch, row: int) -> Detections:
        found = _found(outputs, data, row, self._shape, self._how)
        kept = counted(found.boxes, found.classes, self._sizes)
        return Detections(data.places[row].back(found.boxes[kept]), found.scores[kept], found.classes[kept])

    def measure(self) -> tuple[dict[str, float], dict[str, dict[str, float]]]:
        kpi, categorical = super().measure()
        return {**kpi, "validation cost": self._cost / max(1, self.count)}, categorical


def counted(boxes: np.ndarray, classes: np.ndarray, sizes: Sequence[BoxSizes]) -> np.ndarray:
    """Which boxes [n, 4], in pixels of the input, have a size that their class is evaluated at."""
    sides = boxes[:, 2:] - boxes[:, :2]
    rows = [[one.minimum_width, one.minimum_height, one.maximum_width, one.maximum_height] for one in sizes]
    limits = np.array(rows, dtype=float)[classes.astype(int)].reshape(-1, 4)
    found: np.ndarray = ((sides >= limits[:, :2]) & (sides <= limits[:, 2:])).all(axis=1)
    return found


class GridWriter(DetectionWriter):
    """What `bbox_handler_config` says of boxes, labels and images."""

    def __init__(self, folder: Path, frame: DetectionFrame, handler: BoxHandler) -> None:
        how = [handler.of(name) for name in frame.classes]
        colours = [one.bbox_color for one in how]
        palette = [(one.R, one.G, one.B) for one in colours if one is not None]
        look = OutputStyle(
            [one.output_map or name for one, name in zip(how, frame.classes, strict=True)],
            palette if len(palette) == len(colours) else None,
            handler.overlay_linewidth,
            images=not handler.disable_overlay,
            labels=handler.kitti_dump,
        )
        super().__init__(folder, frame, 0.0, look)
        self._shape, self._how = _of(frame), how
        wanted = {name.lower() for name in handler.postproc_classes}
        self._chosen = np.array([not wanted or name in wanted for name in frame.classes])

    def found(self, outputs_: Arrays, data: Batch, place: int) -> Detections:
        found = _found([part[None] for part in outputs_], data, 0, self._shape, self._how)
        kept = self._chosen[found.classes]
        return Detections(data.places[place].back(found.boxes[kept]), found.scores[kept], found.classes[kept])


NETWORK = DetectnetV2()
