"""U-Net (Ronneberger et al. 2015, arXiv:1505.04597) on the core."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
import torch
from torch import nn

from runners.engine.core import optimise, vision
from runners.engine.core.loading import Samples
from runners.engine.core.network import Loss, Plan, Recipe
from runners.engine.core.optimise import Schedule
from runners.engine.core.pixels import scaled
from runners.engine.core.state import CheckpointFolder, resume_or_start
from runners.engine.errors import SpecError
from runners.engine.networks.unet.capabilities import Spec, Training
from runners.engine.segmentation import data
from runners.engine.segmentation.data import IGNORED, Augment, Batch, Entry, Fit, Palette
from runners.engine.segmentation.network import MaskFrame, Segmentation
from runners.engine.segmentation.score import MaskScore, mean
from runners.engine.spec import convert

if TYPE_CHECKING:
    from runners.engine.run import Run

_ENCODERS = {
    "resnet": {18: "resnet18", 34: "resnet34", 50: "resnet50", 101: "resnet101"},
    "vgg": {16: "vgg16_bn", 19: "vgg19_bn"},
    "efficientnet_b0": {},
}
_VANILLA = "vanilla"


class Vanilla(nn.Module):
    """The U-Net of the paper, with batch norms and padded convolutions."""

    def __init__(self, channels: int, classes: int, width: int = 64, depth: int = 4) -> None:
        super().__init__()
        widths = [width << level for level in range(depth + 1)]
        self.down = nn.ModuleList(
            _twice(before, after) for before, after in zip([channels, *widths], widths, strict=False)
        )
        self.rise = nn.ModuleList(nn.ConvTranspose2d(2 * each, each, 2, stride=2) for each in widths[:-1])
        self.up = nn.ModuleList(_twice(2 * each, each) for each in widths[:-1])
        self.head = nn.Conv2d(width, classes, 1)

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        found: list[torch.Tensor] = []
        for level, block in enumerate(self.down):
            pixels = block(nn.functional.max_pool2d(pixels, 2) if level else pixels)
            found.append(pixels)
        for level in range(len(self.up) - 1, -1, -1):
            pixels = self.up[level](torch.cat((found[level], self.rise[level](pixels)), dim=1))
        logits: torch.Tensor = self.head(pixels)
        return logits


def _twice(before: int, after: int) -> nn.Sequential:
    parts: list[nn.Module] = []
    for channels in (before, after):
        parts += [nn.Conv2d(channels, after, 3, padding=1, bias=False), nn.BatchNorm2d(after), nn.ReLU(inplace=True)]
    return nn.Sequential(*parts)


class Unet(Segmentation[Spec]):
    name = "unet"
    spec_type = Spec
    checkpoint_name = "weights/model.epoch-{epoch}.pth"

    def plan(self, spec: Spec, run: Run) -> Plan[MaskFrame, Batch]:
        own, model = spec.dataset_config, spec.model_config
        fit = Fit(
            model.model_input_height,
            model.model_input_width,
            model.model_input_channels,
            own.resize_padding,
            own.resize_method,
        )
        if fit.height % 32 or fit.width % 32:
            raise SpecError(
                f"model_config.model_input_height and _width are {fit.height} and {fit.width}; "
                "they must be multiples of 32."
            )
        colours = _palette(spec)
        frame = MaskFrame(
            classes=colours.classes,
            optimizer="adam",
            backbone=_encoder(spec),
            fit=fit,
            palette=colours,
            mean=[127.5] * fit.channels,
            std=[127.5] * fit.channels,
        )
        samples = _pairs(spec, frame, "train", own.train_images_path, own.train_masks_path)
        if own.augment:
            spatial = own.augmentation_config.spatial_augmentation
            how = Augment(
                hflip=spatial.hflip_probability,
                vflip=spatial.vflip_probability,
                crop_and_resize=spatial.crop_and_resize_prob,
                brightness=own.augmentation_config.brightness_augmentation.delta,
            )
        else:
            how = Augment()
        samples = msgspec.structs.replace(samples, augment=how)
        validation = None
        if own.val_images_path:
            validation = _pairs(spec, frame, "val", own.val_images_path, own.val_masks_path)
        about = f"unet with {frame.backbone}, input {fit.height}x{fit.width}"
        recipe = _recipe(spec, run)
        return Plan(frame=frame, recipe=recipe, samples=samples, validation=validation, about=about)

    def build(self, frame: MaskFrame) -> nn.Module:
        if frame.backbone == _VANILLA:
            return Vanilla(frame.fit.channels, len(frame.classes))
        vision.define()
        import segmentation_models_pytorch as smp

        found: nn.Module = smp.Unet(
            frame.backbone, encoder_weights=None, in_channels=frame.fit.channels, classes=len(frame.classes)
        )
        encoder = found.get_submodule("encoder")
        for name in ("_conv_head", "_bn1"):  # of EfficientNet: only a classifier uses them
            if hasattr(encoder, name):
                setattr(encoder, name, nn.Identity())
        return found

    def loss(self, model: nn.Module, data: Batch, plan: Plan[MaskFrame, Batch], step: int) -> Loss:
        training = convert(plan.frame.spec, Spec).training_config
        logits = model(scaled(data.pixels, plan.frame.mean, plan.frame.std))
        total = logits.new_zeros(())
        if training.loss != "dice":
            total = total + nn.functional.cross_entropy(logits, data.classes, ignore_index=IGNORED)
        if training.loss != "cross_entropy":
            total = total + _dice(logits, data.classes)
        if training.regularizer.type == "L1":
            weights = (weight for weight in model.parameters() if weight.ndim > 1)
            total = total + training.regularizer.weight * torch.stack([weight.abs().sum() for weight in weights]).sum()
        return Loss(total)

    def values(self, score: MaskScore, *, training: bool) -> dict[str, float]:
        if training:
            return {"loss": score.loss, "mean IOU": mean(score.iou())}
        return {
            "mean IOU": mean(score.iou()),
            "Precision": mean(score.precision()),
            "Recall": mean(score.recall()),
            "F1 score": mean(score.f1()),
        }

    def checkpoint(self, spec: Spec, action: str) -> tuple[str | None, str]:
        return (spec.model, "model") if action == "export" else (spec.model_path, "model_path")

    def samples(self, spec: Spec, frame: MaskFrame, action: str) -> tuple[Samples[Batch], int, int | None]:
        own = spec.dataset_config
        if action == "evaluate":
            images, masks = spec.image_dir or own.val_images_path, spec.label_dir or own.val_masks_path
            return _pairs(spec, frame, "val", images, masks), spec.batch_size, None
        folder = spec.image_dir or own.test_images_path or ""
        return data.pairs([folder], [], ("image_dir", ""), frame.palette, frame.fit), spec.batch_size, None

    def onnx_file(self, spec: Spec) -> str | None:
        return spec.output_file


def _palette(spec: Spec) -> Palette:
    field = "dataset_config.data_class_config.target_classes"
    listed = spec.dataset_config.data_class_config.target_classes
    # Beside grey images two classes may also be black and white.
    binary = spec.dataset_config.input_image_type == "grayscale" and {one.label_id for one in listed} == {0, 1}
    shades = {0: (0, 0, 0), 1: (255, 255, 255)} if binary else {}
    entries = [Entry(one.name, one.mapping_class or one.name, one.label_id, shades.get(one.label_id)) for one in listed]
    return data.palette(entries, field)


def _encoder(spec: Spec) -> str:
    model = spec.model_config
    if model.arch.startswith("vanilla"):
        return _VANILLA
    if model.arch == "efficientnet_b0":
        return "efficientnet-b0"
    names = _ENCODERS.get(model.arch, {})
    if model.num_layers not in names:
        have = ", ".join(map(str, names))
        raise SpecError(f"model_config.num_layers {model.num_layers} is not in the engine for {model.arch}: {have}.")
    return names[model.num_layers]


def _pairs(spec: Spec, frame: MaskFrame, part: str, images: str | None, masks: str | None) -> data.Pairs:
    fields = (f"dataset_config.{part}_images_path", f"dataset_config.{part}_masks_path")
    lenient = spec.dataset_config.filter_data
    return data.pairs([images or ""], [masks or ""], fields, frame.palette, frame.fit, lenient=lenient)


def _recipe(spec: Spec, run: Run) -> Recipe:
    training = spec.training_config
    adam, regularizer = training.optimizer.adam, training.regularizer
    resume, start = resume_or_start(
        spec.pretrained_model_file, CheckpointFolder.below(run.results, Unet.checkpoint_name)
    )

    def optimiser(model: nn.Module) -> torch.optim.Optimizer:
        freeze(spec, model)
        decay = regularizer.weight if regularizer.type == "L2" else 0.0
        betas = (adam.beta1, adam.beta2)
        return optimise.adam(model, training.learning_rate, weight_decay=decay, betas=betas, eps=adam.epsilon)

    return Recipe(
        epochs=training.epochs,
        batch=training.batch_size,
        optimiser=optimiser,
        schedule=lambda steps: _schedule(training),
        seed=spec.random_seed,
        precision="auto" if spec.use_amp else "fp32",
        checkpoint_interval=training.checkpoint_interval,
        validation_interval=training.checkpoint_interval,
        logging_interval=training.log_summary_steps,
        resume=resume,
        start=start,
        gpus=spec.gpus,
        start_field="pretrained_model_file",
        lr_field="training_config.learning_rate",
    )


def freeze(spec: Spec, model: nn.Module) -> None:
    there = blocks(model)
    for number in spec.model_config.freeze_blocks:
        for module in there[number]:
            module.requires_grad_(False)
    if spec.model_config.freeze_bn:
        optimise.freeze_norms(model)


def blocks(model: nn.Module) -> list[list[nn.Module]]:
    """Modules by block as `freeze_blocks` counts them, from the input: five, each but the first at half the size of
    the one before."""
    if isinstance(model, Vanilla):
        return [[level] for level in model.down]
    encoder = model.get_submodule("encoder")
    parts = dict(encoder.named_children())
    if "layer1" in parts:  # ResNet
        return [[parts["conv1"], parts["bn1"]], *([parts[f"layer{number}"]] for number in range(1, 5))]
    if "features" in parts:  # VGG: a pooling begins a block
        found: list[list[nn.Module]] = [[]]
        for layer in parts["features"].children():
            if isinstance(layer, nn.MaxPool2d):
                found.append([])
            found[-1].append(layer)
        return found[:5]
    layers = list(parts["_blocks"].children())  # EfficientNet-B0
    return [[parts["_conv_stem"], parts["_bn0"]], layers[:3], layers[3:5], layers[5:9], layers[9:]]


def _schedule(training: Training) -> Schedule:
    exponential, cosine = training.lr_scheduler.exponential_decay, training.lr_scheduler.cosine_decay
    lr = training.learning_rate
    if exponential is not None:
        rate, steps = exponential.decay_rate, exponential.decay_steps
        return lambda step: float(lr * rate ** (step / steps))
    if cosine is not None:
        return optimise.cosine(lr, cosine.decay_steps, lr * cosine.alpha)
    return optimise.fixed(lr)


def _dice(logits: torch.Tensor, classes: torch.Tensor) -> torch.Tensor:
    """One less the mean soft overlap of the classes (Milletari et al. 2016, arXiv:1606.04797)."""
    known = (classes != IGNORED)[:, None]
    count = logits.shape[1]
    truth = nn.functional.one_hot(classes.clamp(max=count - 1), count).permute(0, 3, 1, 2).float() * known
    found = logits.softmax(dim=1) * known
    both = (truth * found).sum(dim=(0, 2, 3))
    return 1 - ((2 * both + 1) / (truth.sum(dim=(0, 2, 3)) + found.sum(dim=(0, 2, 3)) + 1)).mean()


NETWORK = Unet()
