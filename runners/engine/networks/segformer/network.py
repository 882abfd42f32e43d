"""SegFormer (Xie et al. 2021, arXiv:2105.15203) on the core; the model is that of transformers."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import msgspec
import torch
from torch import nn

from runners.engine.core import optimise
from runners.engine.core.loading import Samples
from runners.engine.core.network import Loss, Plan, Recipe
from runners.engine.core.pixels import scaled
from runners.engine.core.vision import without_torchvision
from runners.engine.errors import SpecError
from runners.engine.networks.segformer.capabilities import Spec, Split
from runners.engine.segmentation import data
from runners.engine.segmentation.data import IGNORED, Augment, Batch, Entry, Fit, Palette
from runners.engine.segmentation.network import MaskFrame, Segmentation
from runners.engine.segmentation.score import MaskScore, mean

if TYPE_CHECKING:
    from runners.engine.run import Run

_WIDE = [64, 128, 320, 512]
_DEPTHS = {
    "mit_b0": [2, 2, 2, 2],
    "mit_b1": [2, 2, 2, 2],
    "mit_b2": [3, 4, 6, 3],
    "mit_b3": [3, 4, 18, 3],
    "mit_b4": [3, 8, 27, 3],
    "mit_b5": [3, 6, 40, 3],
}


class Mixed(nn.Module):
    """Pixels → logits of the input's size; the decoder answers for every fourth pixel."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        logits = self.model(pixel_values=pixels).logits
        return nn.functional.interpolate(logits, size=pixels.shape[2:], mode="bilinear", align_corners=False)


class Segformer(Segmentation[Spec]):
    name = "segformer"
    spec_type = Spec
    checkpoint_name = "train/iter_{epoch}.pth"
    exporter = "trace"
    """The other one takes fourteen times as long for the same outputs."""

    def plan(self, spec: Spec, run: Run) -> Plan[MaskFrame, Batch]:
        own, model = spec.dataset, spec.model
        fit = Fit(model.input_height, model.input_width)
        if fit.height % 32 or fit.width % 32:
            raise SpecError(
                f"model.input_height and input_width are {fit.height} and {fit.width}; they must be multiples of 32."
            )
        colours = _palette(spec)
        frame = MaskFrame(
            classes=colours.classes,
            optimizer="AdamW",
            backbone=model.backbone.type,
            fit=fit,
            palette=colours,
            mean=list(own.img_norm_cfg.mean),
            std=list(own.img_norm_cfg.std),
            options={} if own.img_norm_cfg.to_rgb else {"bgr": True},
        )
        augmentation, pad = own.train_dataset.pipeline.augmentation_config, own.train_dataset.pipeline.Pad
        how = Augment(
            hflip=augmentation.random_flip.prob,
            scale=augmentation.resize.img_scale,
            ratio=augmentation.resize.ratio_range,
            most=augmentation.random_crop.cat_max_ratio,
            pad_value=pad.pad_val,
            pad_class=pad.seg_pad_val,
        )
        samples = msgspec.structs.replace(_pairs(own.train_dataset, "train_dataset", frame), augment=how)
        validation = None
        if spec.train.validate and own.val_dataset.img_dir:
            validation = _pairs(own.val_dataset, "val_dataset", frame)
        about = f"segformer with {frame.backbone}, input {fit.height}x{fit.width}"
        return Plan(frame=frame, recipe=_recipe(spec), samples=samples, validation=validation, about=about)

    def build(self, frame: MaskFrame) -> nn.Module:
        without_torchvision()
        from transformers.models.segformer.configuration_segformer import SegformerConfig
        from transformers.models.segformer.modeling_segformer import SegformerForSemanticSegmentation

        small = frame.backbone in ("mit_b0", "mit_b1")
        config = SegformerConfig(  # type: ignore[call-arg]
            num_labels=len(frame.classes),
            depths=_DEPTHS[frame.backbone],
            hidden_sizes=[32, 64, 160, 256] if frame.backbone == "mit_b0" else _WIDE,
            decoder_hidden_size=256 if small else 768,
        )
        return Mixed(SegformerForSemanticSegmentation(config))

    def loss(self, model: nn.Module, data: Batch, plan: Plan[MaskFrame, Batch], step: int) -> Loss:
        logits = model(*self.inputs(data, plan.frame))
        return Loss(nn.functional.cross_entropy(logits, data.classes, ignore_index=IGNORED))

    def inputs(self, data: Batch, frame: MaskFrame) -> tuple[torch.Tensor, ...]:
        pixels = data.pixels.flip(-1) if frame.options.get("bgr") else data.pixels
        return (scaled(pixels, frame.mean, frame.std),)

    def values(self, score: MaskScore, *, training: bool) -> dict[str, float]:
        found = {"Mean IOU": mean(score.iou()), "Mean accuracy": mean(score.recall()), "Pixel accuracy": score.accuracy}
        return found | {"loss": score.loss} if training else found

    def checkpoint(self, spec: Spec, action: str) -> tuple[str | None, str]:
        named: dict[str, str | None] = {
            "evaluate": spec.evaluate.checkpoint,
            "inference": spec.inference.checkpoint,
            "export": spec.export.checkpoint,
        }
        return named[action], f"{action}.checkpoint"

    def samples(self, spec: Spec, frame: MaskFrame, action: str) -> tuple[Samples[Batch], int, int | None]:
        found = _pairs(spec.dataset.test_dataset, "test_dataset", frame, masks=action == "evaluate")
        return found, max(1, spec.dataset.batch_size), spec.dataset.workers_per_gpu

    def onnx_file(self, spec: Spec) -> str | None:
        return spec.export.onnx_file

    def check_export(self, spec: Spec, frame: MaskFrame) -> None:
        """The trained size counts; another size is rejected where the user set it, not where it is the default."""
        asked = (spec.export.input_height, spec.export.input_width)
        if asked not in ((frame.fit.height, frame.fit.width), (512, 512)):
            raise SpecError(
                f"export.input_height and input_width are {asked[0]} and {asked[1]}; the model was trained at "
                f"{frame.fit.height} and {frame.fit.width}."
            )


def _palette(spec: Spec) -> Palette:
    rgb = spec.dataset.input_type == "rgb"
    entries = [
        Entry(one.seg_class, one.mapping_class or one.seg_class, one.label_id, one.rgb) for one in spec.dataset.palette
    ]
    lacking = [entry.name for entry in entries if entry.rgb is None]
    if rgb and lacking:
        raise SpecError(f"dataset.palette has no rgb for {lacking[0]!r}, and dataset.input_type is rgb.")
    return data.palette(entries, "dataset.palette")


def _pairs(split: Split, name: str, frame: MaskFrame, *, masks: bool = True) -> data.Pairs:
    fields = (f"dataset.{name}.img_dir", f"dataset.{name}.ann_dir")
    images, annotations = (
        [value] if isinstance(value, str) else list(value or []) for value in (split.img_dir, split.ann_dir)
    )
    return data.pairs(images, (annotations or [""]) if masks else [], fields, frame.palette, frame.fit)


def _recipe(spec: Spec) -> Recipe:
    train = spec.train
    optim, decay = train.trainer.sf_optim, train.lr_config
    steps = math.gcd(train.validation_interval, train.checkpoint_interval)
    steps = min(steps, train.max_iters)
    return Recipe(
        epochs=-(-train.max_iters // steps),
        batch=max(1, spec.dataset.batch_size),
        optimiser=lambda model: optimise.adam(
            model, optim.lr, weight_decay=optim.weight_decay, betas=optim.betas, decoupled=True
        ),
        schedule=lambda _: optimise.poly(optim.lr, train.max_iters, decay.power, decay.min_lr),
        steps=steps,
        iterations=train.max_iters,
        seed=train.exp_config.manual_seed,
        workers=spec.dataset.workers_per_gpu,
        checkpoint_interval=max(1, train.checkpoint_interval // steps),
        validation_interval=max(1, train.validation_interval // steps),
        logging_interval=train.logging_interval,
        resume=train.resume_training_checkpoint_path,
        start=spec.model.pretrained_model_path,
        gpus=train.num_gpus,
        resume_field="train.resume_training_checkpoint_path",
        start_field="model.pretrained_model_path",
        lr_field="train.trainer.sf_optim.lr",
    )


NETWORK = Segformer()
