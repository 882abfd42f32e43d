"""The train action: from a spec and class folders to checkpoints, one an epoch."""

from __future__ import annotations

import logging
import math
import time
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import torch

from runners.engine import checkpoint
from runners.engine.errors import DataError, EngineError, Interrupted, SpecError
from runners.engine.interrupt import Interrupt
from runners.engine.networks.classification_pyt import images, models, optimise, settings, state
from runners.engine.networks.classification_pyt.images import Images
from runners.engine.networks.classification_pyt.loading import Batch, Feed, default_workers
from runners.engine.networks.classification_pyt.pipeline import Pipeline, evaluation_entries
from runners.engine.networks.classification_pyt.predictor import Predictor, torch_logits
from runners.engine.networks.classification_pyt.report import TrainReport
from runners.engine.networks.classification_pyt.scoring import Score
from runners.engine.networks.classification_pyt.state import Frame, Progress
from runners.engine.networks.classification_pyt.trainer import Trainer, prepare

if TYPE_CHECKING:
    from runners.engine.run import Run

log = logging.getLogger("engine")

DEFAULT_PIPELINE = [{"type": "RandomResizedCrop", "size": 224}, {"type": "RandomFlip", "flip_prob": 0.5}]


class Prepared(msgspec.Struct, frozen=True):
    """A training ready to start or to continue."""

    spec: settings.Spec
    folder: Path
    """Where checkpoints go."""
    frame: Frame
    trainer: Trainer
    feed: Feed
    validation: tuple[Feed, Predictor] | None
    batch: int
    tolerant: bool
    """Unreadable images are left out."""


def run(run: Run) -> str:
    """Train as the spec says; returns the closing sentence. Raises EngineError; Interrupted once the state is saved."""
    spec = settings.of(run.document)
    ready = _prepare(spec, run)
    interrupt = Interrupt().install()
    progress = _begin(ready, spec)
    epochs = spec.train.train_config.runner.max_epochs
    report = TrainReport(run.status, epochs, ready.feed.steps, spec.train.train_config.logging.interval)
    if progress.epoch > epochs:
        return f"Nothing to do: epoch {progress.epoch - 1} of {epochs} was done before"
    try:
        while progress.epoch <= epochs:
            _epoch(ready, progress, report, interrupt)
    except Interrupted as stop:
        raise _save_interrupted(ready, progress, stop) from None
    (ready.folder / checkpoint.INTERRUPTED).unlink(missing_ok=True)
    return f"Training finished: {epochs} epochs"


def _prepare(spec: settings.Spec, run: Run) -> Prepared:
    config, data = spec.train.train_config, spec.dataset.data
    _say_what_is_left_out(spec, run)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    prepare(device, spec.seed, deterministic=spec.train.exp_config.deterministic)
    found = images.in_classes(data.train, "dataset.data.train", every=True)
    if len(found.names) < 2:
        raise DataError(f"{found.folder} has a single image; training needs at least two.")
    _check_classes(spec.model.head.num_classes, found)
    pipeline = Pipeline(data.train.pipeline or DEFAULT_PIPELINE, "dataset.data.train")
    norm = pipeline.norm or spec.dataset.img_norm_cfg
    backbone = spec.model.backbone
    architecture, notes = models.plan(backbone.type, backbone.custom_args, len(found.classes), pipeline.size)
    for note in notes:
        log.info("%s", note)
    frame = Frame(
        architecture=architecture,
        classes=found.classes,
        mean=list(norm.mean),
        std=list(norm.std),
        pipeline=data.val.pipeline or evaluation_entries(pipeline),
        optimizer=config.optimizer.type,
        data={"digest": found.digest(), "batch": data.samples_per_gpu, "seed": spec.seed},
        spec=run.document,
    )
    workers = data.workers_per_gpu if data.workers_per_gpu is not None else default_workers(device.type == "cuda")
    feed = Feed(found, pipeline, batch=data.samples_per_gpu, workers=workers, seed=spec.seed, shuffle=True)
    model = models.build(architecture)
    schedule = optimise.schedule(config.lr_config, config.optimizer.lr, feed.steps, config.runner.max_epochs)
    trainer = Trainer(model, config, spec.model.head.loss, schedule, (frame.mean, frame.std), device)
    weights = sum(parameter.numel() for parameter in model.parameters())
    log.info(
        "%s, %.2f M weights, input %dx%d, on %s (%s, %d threads)",
        backbone.type,
        weights / 1e6,
        *pipeline.size,
        torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu",
        str(trainer.dtype).removeprefix("torch."),
        torch.get_num_threads(),
    )
    log.info("%d images of %d classes in %d steps an epoch", len(found.names), len(found.classes), feed.steps)
    validation = _validation(spec, frame, trainer, workers) if config.validate else None
    folder = run.results / "train"
    folder.mkdir(parents=True, exist_ok=True)
    return Prepared(spec, folder, frame, trainer, feed, validation, data.samples_per_gpu, data.skip_unreadable)


def _validation(spec: settings.Spec, frame: Frame, trainer: Trainer, workers: int) -> tuple[Feed, Predictor] | None:
    data = spec.dataset.data
    if not data.val.data_prefix:
        log.info("No validation: dataset.data.val.data_prefix is not set")
        return None
    found = images.in_classes(data.val, "dataset.data.val", frame.classes)
    pipeline = Pipeline(frame.pipeline, "dataset.data.val")
    size = (frame.architecture.height, frame.architecture.width)
    if pipeline.size != size:
        raise SpecError(f"dataset.data.val.pipeline makes images of {pipeline.size}, dataset.data.train's of {size}.")
    feed = Feed(found, pipeline, batch=data.samples_per_gpu, workers=workers, seed=0, shuffle=False)
    logits = torch_logits(trainer.model, frame.mean, frame.std, trainer.device)
    return feed, Predictor(Path(), frame.classes, frame.mean, frame.std, size, frame.pipeline, logits)


def _check_classes(wanted: int, found: Images) -> None:
    """The data decide the number of classes; a number in the specification must agree."""
    count = len(found.classes)
    if wanted == count:
        return
    if wanted != settings.CATALOGUE_CLASSES:
        raise SpecError(f"model.head.num_classes is {wanted}, but the data have {count} classes; set it to {count}.")
    log.info("model.head.num_classes is left at %d; the data have %d classes, which is used", wanted, count)


def _say_what_is_left_out(spec: settings.Spec, run: Run) -> None:
    gpus = max(run.gpus or 1, spec.gpus or 1, spec.train.num_gpus or 1)
    if gpus > 1:
        log.warning("%d GPUs were asked for; the engine trains on one", gpus)
    for hook in spec.train.train_config.custom_hooks:
        log.warning("train.train_config.custom_hooks: %s is not in the engine and is left out", hook.get("type"))


def _begin(ready: Prepared, spec: settings.Spec) -> Progress:
    """Resume where there is something to resume, else start fresh; an earlier run's files are moved aside."""
    checkpoint.sweep(ready.folder)
    named = spec.train.train_config.resume_training_checkpoint_path
    chosen = state.choose(Path(named) if named else None, ready.folder, ready.frame)
    progress = Progress()
    if chosen is not None:
        path, content = chosen
        progress = state.restore(ready.trainer, ready.frame, content, path)
        log.info("Going on at epoch %d, step %d, from %s", progress.epoch, progress.step, path)
    elif spec.model.init_cfg.checkpoint:
        start = Path(spec.model.init_cfg.checkpoint.split(",")[0])
        log.info("Starting from %s: %s", start, state.start_weights(ready.trainer.model, start))
    overtaken = [path for epoch, path in checkpoint.epochs(ready.folder) if epoch >= progress.epoch]
    interrupted = ready.folder / checkpoint.INTERRUPTED
    if interrupted.exists() and (chosen is None or chosen[0] != interrupted):
        overtaken.append(interrupted)
    for moved in checkpoint.set_aside(overtaken):
        log.warning("A checkpoint of an earlier run was moved to %s", moved)
    return progress


def _epoch(ready: Prepared, progress: Progress, report: TrainReport, interrupt: Interrupt) -> None:
    """Run the rest of an epoch: steps, validation, status line, checkpoint; advances `progress` to the next epoch."""
    config, epochs = ready.spec.train.train_config, ready.spec.train.train_config.runner.max_epochs
    epoch, before, began = progress.epoch, progress.seconds, time.monotonic()
    try:
        _steps(ready, progress, report, interrupt)
        last = epoch == epochs
        score = None
        if ready.validation is not None and (last or epoch % config.evaluation.interval == 0):
            score = _validate(ready, *ready.validation, interrupt)
    finally:
        progress.seconds = before + time.monotonic() - began
    loss, hits = (value / max(1, progress.seen) for value in ready.trainer.tally.tolist())
    _check_finite(loss, epoch)
    train = {"train_loss": loss, "train_accuracy_top-1": hits}
    if ready.validation is None:
        train["loss"] = loss
    report.epoch(epoch, progress.seconds, train, score, ready.trainer.lr)
    ready.trainer.clear()
    progress.epoch, progress.step, progress.seen, progress.seconds = epoch + 1, 0, 0, 0.0
    if last or epoch % config.checkpoint_config.interval == 0:
        path = checkpoint.epoch_path(ready.folder, epoch)
        checkpoint.save(path, state.capture(ready.trainer, ready.frame, progress))
        (ready.folder / checkpoint.INTERRUPTED).unlink(missing_ok=True)
        checkpoint.prune(ready.folder, config.checkpoint_config.max_keep_ckpts)


def _steps(ready: Prepared, progress: Progress, report: TrainReport, interrupt: Interrupt) -> None:
    trainer, epoch, steps = ready.trainer, progress.epoch, ready.feed.steps
    trainer.model.train()
    interrupt.check()
    batches = ready.feed.epoch(epoch, progress.step)
    while progress.step < steps:
        try:
            batch = next(batches)
        except RuntimeError:
            interrupt.check()  # a data worker may have died of the same signal
            raise
        _reject_unreadable(batch, ready.tolerant)
        number = (epoch - 1) * steps + progress.step
        learnt = len(batch.indices) > 1 or (ready.batch == 1 and batch.indices)
        loss = trainer.step(batch, number) if learnt else None
        progress.step += 1
        progress.seen += len(batch.indices) if learnt else 0
        if loss is not None and report.due(progress.step):
            value = loss.item()
            _check_finite(value, epoch)
            report.step(epoch, progress.step, value, trainer.lr)
        interrupt.check()


def _validate(ready: Prepared, feed: Feed, predictor: Predictor, interrupt: Interrupt) -> Score:
    score = Score(ready.frame.classes)
    for batch, logits in predictor.over(feed, interrupt):
        _reject_unreadable(batch, ready.tolerant)
        score.add(logits, batch.labels.numpy())
    return score


def _reject_unreadable(batch: Batch, tolerant: bool) -> None:
    for bad in batch.unreadable:
        if not tolerant:
            raise bad.error()
        log.warning("Left out: %s cannot be read (%s)", bad.path, bad.reason)


def _check_finite(loss: float, epoch: int) -> None:
    if not math.isfinite(loss):
        raise EngineError(f"The loss became {loss} in epoch {epoch}; lower train.train_config.optimizer.lr.")


def _save_interrupted(ready: Prepared, progress: Progress, stop: Interrupted) -> Interrupted:
    """Leave the run's state for a resume; returns what is to be raised, saying where it stopped."""
    path = ready.folder / checkpoint.INTERRUPTED
    checkpoint.save(path, state.capture(ready.trainer, ready.frame, progress))
    where = f"epoch {progress.epoch}, step {progress.step} of {ready.feed.steps}"
    return Interrupted(stop.number, f"Stopped at {where}; the state is saved in {path.parent.name}/{path.name}")
