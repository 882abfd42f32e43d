"""mask_rcnn as a network of the engine."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
from torch import nn

from runners.engine.core import optimise, state
from runners.engine.core.loading import Samples
from runners.engine.core.network import Arrays, Loss, Plan, Recipe
from runners.engine.core.optimise import Schedule
from runners.engine.detection import anchors, coco_data, masks, metrics, samples
from runners.engine.detection.data import Batch
from runners.engine.detection.masks import MaskSamples
from runners.engine.detection.metrics import Detections
from runners.engine.detection.network import CocoScore, Detection, DetectionFrame, DetectionWriter, detections
from runners.engine.detection.nms import Detector, Nms
from runners.engine.detection.samples import Classes, Sample
from runners.engine.detection.settings import numbers, rows
from runners.engine.detection.transforms import Letterbox
from runners.engine.detection.two_stage import ProposalSettings, ProposalTraining, RegionTraining
from runners.engine.errors import DataError, SpecError
from runners.engine.networks.mask_rcnn import model as models
from runners.engine.networks.mask_rcnn.capabilities import CATALOGUE_CLASSES, CATALOGUE_EXAMPLES, Spec
from runners.engine.networks.mask_rcnn.model import MaskingDetector, MaskRcnn, MaskShape, ProbedMaskDetector
from taod.documents import Document

if TYPE_CHECKING:
    from runners.engine.run import Run

STRIDES = [4, 8, 16, 32]
LEAST_SCORE = 0.01
"""Chance below which a detection counts for nothing."""


class MaskRcnnNetwork(Detection[Spec]):
    name = "mask_rcnn"
    spec_type = Spec
    checkpoint_name = "weights/model.epoch-{epoch}.pth"
    output_names = models.OUTPUTS
    probe_names = models.PROBES

    def plan(self, spec: Spec, run: Run) -> Plan[DetectionFrame, Batch]:
        config = spec.data_config
        fields = ("data_config.training_file_pattern", "data_config.num_classes")
        train, classes = coco_data.training(config.training_file_pattern, config.num_classes, CATALOGUE_CLASSES, fields)
        size = numbers(config.image_size, "data_config.image_size") or []
        if len(size) != 2 or any(side < 64 or side % 64 for side in size):
            raise SpecError(f"data_config.image_size '{config.image_size}' must be height and width, multiples of 64.")
        frame = DetectionFrame(
            classes=classes.names,
            ids=classes.ids,
            optimizer="sgd",
            height=int(size[0]),
            width=int(size[1]),
            keeps_aspect=True,
            model=msgspec.to_builtins(_shape(spec, len(classes.names))),
        )
        fit = Letterbox(frame.height, frame.width)
        crowds, most = not config.skip_crowd_during_training, config.max_num_instances
        learnt = MaskSamples(
            train, fit, side=spec.maskrcnn_config.gt_mask_size, mirrored=config.augment_input_data, crowds=crowds,
            most=most,
        )  # fmt: skip
        validation = None
        if config.val_json_file or config.validation_file_pattern:
            validation = self.evaluation_samples(_held_out(spec, classes), frame)
        return Plan(
            frame=frame,
            recipe=_recipe(spec, run, len(train)),
            samples=learnt,
            validation=validation,
            about=f"resnet of {spec.maskrcnn_config.nlayers} layers at {frame.width}x{frame.height}, "
            f"{len(frame.classes)} classes",
        )

    def evaluation_samples(self, samples: list[Sample], frame: DetectionFrame) -> Samples[Batch]:
        found: Samples[Batch] = MaskSamples(samples, Letterbox(frame.height, frame.width))
        return found

    def build(self, frame: DetectionFrame) -> Detector:
        return MaskRcnn(msgspec.convert(frame.model, MaskShape), frame.height, frame.width)

    def loss(self, model: nn.Module, data: Batch, plan: Plan[DetectionFrame, Batch], step: int) -> Loss:
        found = super().loss(model, data, plan, step)
        added = optimise.penalty(model, "L1", float(plan.frame.spec.get("l1_weight_decay") or 0.0))
        return found if added is None else found._replace(total=found.total + added)

    def deployed(self, model: nn.Module, frame: DetectionFrame, spec: Spec) -> nn.Module:
        config = spec.maskrcnn_config
        asked = ProposalSettings(
            config.test_rpn_pre_nms_topn,
            config.test_rpn_post_nms_topn,
            config.test_rpn_nms_thresh,
            config.rpn_min_size,
        )
        assert isinstance(model, MaskRcnn)
        return MaskingDetector(model, asked, self.nms(spec, frame))

    def probing(self, deployed: nn.Module) -> nn.Module:
        assert isinstance(deployed, MaskingDetector)
        return ProbedMaskDetector(deployed)

    def nms(self, spec: Spec, frame: DetectionFrame) -> Nms:
        config = spec.maskrcnn_config
        return Nms(LEAST_SCORE, config.test_nms, config.test_detections_per_image)

    def checkpoint(self, spec: Spec, action: str) -> tuple[str | None, str]:
        return (spec.model, "model") if action == "export" else (spec.model_path, "model_path")

    def onnx_file(self, spec: Spec) -> str | None:
        return spec.output_file

    def batch(self, spec: Spec, action: str) -> int:
        return spec.batch_size or spec.eval_batch_size

    def truths(self, spec: Spec, classes: Classes, action: str) -> list[Sample]:
        if action == "inference":
            if not spec.image_dir:
                raise DataError("image_dir is not set; give the model an inference dataset.")
            return samples.unlabelled(Path(spec.image_dir))
        return _held_out(spec, classes)

    def score(self, spec: Spec, frame: DetectionFrame, *, training: bool) -> MaskScore:
        return MaskScore(frame.classes)

    def writer(self, spec: Spec, frame: DetectionFrame, folder: Path) -> MaskWriter:
        return MaskWriter(folder, frame, spec.threshold, masks=spec.include_mask)

    def metadata(self, frame: DetectionFrame, spec: Spec) -> Document:
        return super().metadata(frame, spec) | {"masks": "chances over each box, pasted at 0.5"}


def masked(found: Arrays, row: int, data: Batch) -> Detections:
    """The detections of an image of a batch with their masks, in pixels of its file."""
    place = data.places[row]
    boxes = detections(found, row, place)
    size = (place.width, place.height)
    pasted = [masks.pasted(mask, box, size) for mask, box in zip(found[4][row], boxes.boxes, strict=False)]
    return msgspec.structs.replace(boxes, masks=pasted)


class MaskScore(CocoScore):
    """COCO's values of boxes, and of masks under the same names after `mask_`."""

    def __init__(self, names: list[str]) -> None:
        super().__init__(names, {name: name for name in metrics.COCO_KPIS})

    def add(self, outputs: Arrays, data: Batch, indices: Sequence[int]) -> None:
        self.truths += data.truths
        self.found += [masked(outputs, row, data) for row in range(len(data.places))]

    def measure(self) -> tuple[dict[str, float], dict[str, dict[str, float]]]:
        kpis, classes = super().measure()
        values, each = metrics.coco(self.truths, self.found, self.names, masks=True)
        return kpis | {f"mask_{name}": value for name, value in values.items()}, classes | {"mask_AP": each}


class MaskWriter(DetectionWriter):
    """With the masks over the images and in the COCO results."""

    def __init__(self, folder: Path, frame: DetectionFrame, confidence: float, *, masks: bool) -> None:
        super().__init__(folder, frame, confidence)
        self._masks = masks

    def found(self, outputs_: Arrays, data: Batch, place: int) -> Detections:
        if not self._masks:
            return super().found(outputs_, data, place)
        alone = data._replace(places=data.places[place : place + 1])
        return masked([array[None] for array in outputs_], 0, alone)


def _held_out(spec: Spec, classes: Classes) -> list[Sample]:
    config, field = spec.data_config, "data_config.val_json_file"
    return coco_data.held_out(config.validation_file_pattern, config.val_json_file, classes, field)


def _shape(spec: Spec, classes: int) -> MaskShape:
    """Raises SpecError naming the parameter."""
    config, where = spec.maskrcnn_config, "maskrcnn_config"
    ratios = rows(config.aspect_ratios, f"{where}.aspect_ratios") or []
    if not ratios or any(len(pair) != 2 or min(pair) <= 0 for pair in ratios):
        raise SpecError(f"{where}.aspect_ratios '{config.aspect_ratios}' must be pairs of positive factors.")
    codes = numbers(config.bbox_reg_weights, f"{where}.bbox_reg_weights") or []
    if len(codes) != 4 or min(codes) <= 0:
        raise SpecError(f"{where}.bbox_reg_weights '{config.bbox_reg_weights}' must be four positive numbers.")
    if config.mrcnn_resolution % 2:
        raise SpecError(f"{where}.mrcnn_resolution is {config.mrcnn_resolution}; it must be even.")
    strides = [*STRIDES, STRIDES[-1] * 2]
    return MaskShape(
        backbone=f"resnet_{config.nlayers}",
        classes=classes,
        strides=STRIDES,
        width=256,
        anchors=[anchors.scaled(stride, config.anchor_scale, config.num_scales, ratios) for stride in strides],
        freeze_blocks=[int(block) for block in numbers(config.freeze_blocks, f"{where}.freeze_blocks") or []],
        freeze_bn=config.freeze_bn,
        proposals=ProposalTraining(
            asked=ProposalSettings(
                config.train_rpn_pre_nms_topn,
                config.train_rpn_post_nms_topn,
                config.train_rpn_nms_threshold,
                config.rpn_min_size,
            ),
            positive=config.rpn_positive_overlap,
            negative=config.rpn_negative_overlap,
            batch=config.rpn_batch_size_per_im,
            share=config.rpn_fg_fraction,
            box_weight=config.rpn_box_loss_weight,
        ),
        regions=RegionTraining(
            positive=config.fg_thresh,
            low=config.bg_thresh_lo,
            high=config.bg_thresh_hi,
            batch=config.batch_size_per_im,
            share=config.fg_fraction,
            truths=True,
            pool=7,
            hidden=config.fast_rcnn_mlp_head_dim,
            codes=(codes[0], codes[1], codes[2], codes[3]),
            box_weight=config.fast_rcnn_box_loss_weight,
        ),
        side=config.mrcnn_resolution,
        mask_weight=config.mrcnn_weight_loss_mask,
    )


def _recipe(spec: Spec, run: Run, images: int) -> Recipe:
    """Epochs of the data's images, or of `num_examples_per_epoch` where that is set."""
    given = spec.num_examples_per_epoch
    steps = -(-(images if given == CATALOGUE_EXAMPLES else given) // spec.train_batch_size)
    epochs = spec.num_epochs or -(-spec.total_steps // steps)
    interval = max(1, round(spec.num_steps_per_eval / steps))
    home = state.CheckpointFolder.below(run.results, MaskRcnnNetwork.checkpoint_name)
    resume, start = state.resume_or_start(spec.checkpoint, home)
    return Recipe(
        epochs=epochs,
        batch=spec.train_batch_size,
        optimiser=lambda model: optimise.sgd(model, 1e-3, momentum=spec.momentum, weight_decay=spec.l2_weight_decay),
        schedule=lambda _: _schedule(spec),
        steps=None if given == CATALOGUE_EXAMPLES else steps,
        seed=spec.seed,
        precision="auto" if spec.use_amp else "fp32",
        clip_norm=optimise.CLIP,
        checkpoint_interval=interval,
        validation_interval=interval,
        resume=resume,
        start=start,
        gpus=spec.gpus or 1,
        resume_field="checkpoint",
        start_field="checkpoint",
        lr_field="init_learning_rate",
        precision_field="use_amp",
    )


def _schedule(spec: Spec) -> Schedule:
    """Raises SpecError where steps and levels are not as many."""
    steps = numbers(spec.learning_rate_steps, "learning_rate_steps") or []
    levels = numbers(spec.learning_rate_decay_levels, "learning_rate_decay_levels") or []
    if len(steps) != len(levels):
        raise SpecError(
            f"learning_rate_steps has {len(steps)} steps and learning_rate_decay_levels {len(levels)} levels; they "
            "must be as many."
        )
    rate = spec.init_learning_rate

    def level(step: int) -> float:
        return rate * ([1.0] + [value for at, value in zip(steps, levels, strict=True) if step >= at])[-1]

    return optimise.warmed(level, spec.warmup_steps, spec.warmup_learning_rate / rate)


NETWORK = MaskRcnnNetwork()
