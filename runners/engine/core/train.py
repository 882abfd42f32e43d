"""The train action: from a network's plan to checkpoints, one an epoch."""

from __future__ import annotations

import logging
import math
import time
from pathlib import Path
from typing import TYPE_CHECKING, Generic

import msgspec
import torch
from torch import nn

from runners.engine import checkpoint
from runners.engine.core import distributed, prune, pruning, state, weights
from runners.engine.core.distributed import Group, Processes
from runners.engine.core.images import Unreadable
from runners.engine.core.loading import BatchLoader
from runners.engine.core.network import F, Loss, Network, Plan, Recipe, S, Score, T
from runners.engine.core.pixels import to_device
from runners.engine.core.report import TrainReport
from runners.engine.core.state import CheckpointFolder, Progress
from runners.engine.core.trained_model import predictor
from runners.engine.core.trainer import Trainer, prepare
from runners.engine.errors import DataError, EngineError, Interrupted
from runners.engine.interrupt import Interrupt
from runners.engine.spec import convert

if TYPE_CHECKING:
    from runners.engine.run import Run

log = logging.getLogger("engine")


class Prepared(msgspec.Struct, Generic[S, F, T], frozen=True):
    """A training ready to start or to continue."""

    network: Network[S, F, T]
    spec: S
    plan: Plan[F, T]
    home: CheckpointFolder
    trainer: Trainer
    feed: BatchLoader[T]
    validation: BatchLoader[T] | None
    group: Group

    @property
    def frame(self) -> F:
        return self.plan.frame

    @property
    def recipe(self) -> Recipe:
        return self.plan.recipe


def run(run: Run, network: Network[S, F, T]) -> str:
    """Train as the spec says; returns the closing sentence. Raises EngineError; Interrupted once the state is saved."""
    spec = convert(run.document, network.spec_type)
    plan = network.plan(spec, run)
    with Processes(max(plan.recipe.gpus, run.gpus or 1)) as group:
        return _run(arrange(run, network, spec, plan, group), run)


def _run(ready: Prepared[S, F, T], run: Run) -> str:
    interrupt = Interrupt().install()
    progress = _begin(ready)
    recipe = ready.recipe
    report = TrainReport(run.status, recipe.epochs, ready.feed.steps, recipe.logging_interval, recipe.iterations)
    if progress.epoch > recipe.epochs:
        return f"Nothing to do: epoch {progress.epoch - 1} of {recipe.epochs} was done before"
    try:
        while progress.epoch <= recipe.epochs:
            if _epoch(ready, progress, report, interrupt):
                ready.home.interrupted.unlink(missing_ok=True)
                return f"Training ended early after {progress.epoch - 1} epochs: {recipe.monitor} got no better"
    except Interrupted as stop:
        raise _save_interrupted(ready, progress, stop) from None
    ready.home.interrupted.unlink(missing_ok=True)
    if recipe.iterations is not None:
        return f"Training finished: {recipe.iterations} steps"
    return f"Training finished: {recipe.epochs} epochs"


def arrange(
    run: Run, network: Network[S, F, T], spec: S, plan: Plan[F, T], group: Group | None = None
) -> Prepared[S, F, T]:
    """Build what the plan names: model, optimiser and data, on the device of this process."""
    group = group or Group()
    recipe = plan.recipe
    device = device_of(group)
    prepare(device, recipe.seed, deterministic=recipe.deterministic)
    if len(plan.samples) < 2:
        raise DataError(f"{plan.samples.path(0)} is a single image; training needs at least two.")
    data = {"digest": plan.samples.digest(), "batch": recipe.batch * group.size, "seed": recipe.seed}
    home = CheckpointFolder.below(run.results, network.checkpoint_name, recipe.resume_field)
    older = [str(path) for _, path in home.epochs(Path(recipe.resume).parent)] if recipe.resume else []
    pruned = prune.shapes_of(network, plan.frame, [recipe.resume, *older, recipe.start])
    frame = msgspec.structs.replace(plan.frame, data=data, spec=run.document, pruned=pruned)
    plan = msgspec.structs.replace(plan, frame=frame)
    feed = BatchLoader(
        plan.samples,
        batch=recipe.batch,
        workers=recipe.workers,
        seed=recipe.seed,
        shuffle=True,
        steps=recipe.steps,
        group=group,
    )
    model = pruning.reshape(network.build(plan.frame), plan.frame.pruned)
    count = sum(parameter.numel() for parameter in model.parameters())
    if recipe.start:
        loaded = weights.start(model, Path(recipe.start), recipe.start_field, strict=recipe.strict_start)
        log.info("Starting from %s: %s", recipe.start, loaded)
        stats = {"pretrained weights": f"{Path(recipe.start).name}: {loaded}"}
        if frame.pruned:
            stats["parameters"] = f"{count / 1e6:.2f} M, in the shapes of the pruned model"
        run.status.running("Weights loaded", stats=stats)
    trainer = Trainer(model, recipe, recipe.schedule(feed.steps), device, group)
    log.info(
        "%s, %.2f M weights, on %s (%s, %d threads)",
        plan.about or network.name,
        count / 1e6,
        torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu",
        str(trainer.dtype).removeprefix("torch."),
        torch.get_num_threads(),
    )
    log.info("%d images of %d classes in %d steps an epoch", len(plan.samples), len(plan.frame.classes), feed.steps)
    validation = None
    if plan.validation is not None:
        validation = BatchLoader(plan.validation, batch=recipe.batch, workers=recipe.workers)
    home.folder.mkdir(parents=True, exist_ok=True)
    return Prepared(network, spec, plan, home, trainer, feed, validation, group)


def device_of(group: Group) -> torch.device:
    if not torch.cuda.is_available():
        return torch.device("cpu")
    return torch.device("cuda", group.rank) if group.size > 1 else torch.device("cuda")


def _begin(ready: Prepared[S, F, T]) -> Progress:
    """Resume where there is something to resume, else start fresh; an earlier run's files are moved aside."""
    home, group = ready.home, ready.group
    if group.first:
        checkpoint.sweep(home.folder)
    named = ready.recipe.resume
    chosen = state.choose_checkpoint(Path(named) if named else None, home, ready.frame)
    progress = Progress()
    if chosen is not None:
        path, content = chosen
        progress = state.restore(ready.trainer, ready.frame, content, path)
        log.info("Going on at epoch %d, step %d, from %s", progress.epoch, progress.step, path)
    distributed.barrier(group)
    if not group.first:
        return progress
    done = _number(ready, progress.epoch - 1)
    overtaken = [path for number, path in home.epochs() if number > done]
    if home.interrupted.exists() and (chosen is None or chosen[0] != home.interrupted):
        overtaken.append(home.interrupted)
    for moved in checkpoint.set_aside(overtaken):
        log.warning("A checkpoint of an earlier run was moved to %s", moved)
    return progress


def _number(ready: Prepared[S, F, T], epoch: int) -> int:
    """What a checkpoint of that epoch is called by: the epoch, or the iteration that it ends with."""
    if ready.recipe.iterations is None:
        return epoch
    return min(epoch * ready.feed.steps, ready.recipe.iterations)


def _epoch(ready: Prepared[S, F, T], progress: Progress, report: TrainReport, interrupt: Interrupt) -> bool:
    """Run the rest of an epoch: steps, validation, status line, checkpoint; advances `progress` to the next epoch.

    Returns whether the training ends early.
    """
    recipe, trainer = ready.recipe, ready.trainer
    epoch, before, began = progress.epoch, progress.seconds, time.monotonic()
    try:
        _steps(ready, progress, report, interrupt)
        last = epoch == recipe.epochs
        score = None
        if ready.validation is not None and (last or validates(recipe, epoch)):
            if ready.group.first:
                score = _validate(ready, ready.validation, interrupt)
            distributed.barrier(ready.group)
    finally:
        progress.seconds = before + time.monotonic() - began
    trained = _trained(ready, progress)
    _check_finite(trained["loss"], epoch, recipe)
    kpi = ready.network.kpi(trained, score.kpi() if score is not None else None)
    if score is None and ready.validation is not None:
        kpi.pop("loss", None)
    report.epoch(epoch, progress.seconds, kpi, score.categorical() if score is not None else {}, trainer.lr)
    trainer.clear()
    progress.epoch, progress.step, progress.seen, progress.seconds = epoch + 1, 0, 0, 0.0
    early = _ends_early(ready, progress, kpi)
    if ready.group.first and (last or early or epoch % recipe.checkpoint_interval == 0):
        path = ready.home.path(_number(ready, epoch))
        checkpoint.save(path, state.capture(trainer, ready.network.name, ready.frame, progress))
        ready.home.interrupted.unlink(missing_ok=True)
        checkpoint.prune(ready.home.folder, recipe.keep, ready.home.name)
    return early


def validates(recipe: Recipe, epoch: int) -> bool:
    """Whether an epoch other than the last one ends with a validation."""
    since = epoch - (recipe.validation_first or 0)
    return since >= 0 and since % recipe.validation_interval == 0


def _trained(ready: Prepared[S, F, T], progress: Progress) -> dict[str, float]:
    """The epoch's means over all processes: loss, and the sums of the losses by name."""
    seen = torch.tensor([float(progress.seen)], dtype=torch.float64, device=ready.trainer.device)
    tally = torch.cat((ready.trainer.tally, seen))
    values = distributed.sum_over_processes(tally, ready.group).tolist()
    means = [value / max(1.0, values[-1]) for value in values[:-1]]
    return dict(zip(("loss", *ready.trainer.names), means, strict=False))


def _ends_early(ready: Prepared[S, F, T], progress: Progress, kpi: dict[str, float]) -> bool:
    recipe = ready.recipe
    if recipe.patience is None:
        return False
    value = distributed.broadcast([kpi.get(recipe.monitor, math.nan)], ready.group, ready.trainer.device)[0]
    if math.isnan(value):
        return False
    better = progress.best is None or (value < progress.best if recipe.minimise else value > progress.best)
    if better:
        progress.best, progress.waited = value, 0
    else:
        progress.waited += 1
    return progress.waited > recipe.patience


def _steps(ready: Prepared[S, F, T], progress: Progress, report: TrainReport, interrupt: Interrupt) -> None:
    trainer, epoch, steps, recipe = ready.trainer, progress.epoch, ready.feed.steps, ready.recipe
    trainer.parallel.train()
    _check_interrupt(ready, interrupt)
    batches = ready.feed.epoch(epoch, progress.step)
    if recipe.iterations is not None:
        steps = min(steps, recipe.iterations - (epoch - 1) * steps)
    while progress.step < steps:
        try:
            batch = next(batches)
        except RuntimeError:
            interrupt.check()  # a data worker may have died of the same signal
            raise
        _reject_unreadable(batch.unreadable, ready)
        number = (epoch - 1) * ready.feed.steps + progress.step
        count = len(batch.indices)
        learnt = batch.data is not None and (count > 1 or recipe.batch == 1 or ready.group.size > 1)
        loss = None
        if batch.data is not None and learnt:
            last = progress.step + 1 == steps
            loss = trainer.step(_loss_of(ready, batch.data), count, number, last)
        progress.step += 1
        progress.seen += count if learnt else 0
        if loss is not None and report.due(progress.step):
            value = loss.item()
            _check_finite(value, epoch, recipe)
            report.step(epoch, progress.step, value, trainer.lr)
        if trainer.between:
            _check_interrupt(ready, interrupt)


class _LossOf(msgspec.Struct, Generic[S, F, T], frozen=True):
    """The loss of one batch, for the trainer."""

    ready: Prepared[S, F, T]
    data: T

    def __call__(self, model: nn.Module, step: int) -> Loss:
        data = to_device(self.data, self.ready.trainer.device)
        return self.ready.network.loss(model, data, self.ready.plan, step)


def _loss_of(ready: Prepared[S, F, T], data: T) -> _LossOf[S, F, T]:
    return _LossOf(ready, data)


def _check_interrupt(ready: Prepared[S, F, T], interrupt: Interrupt) -> None:
    """Raise Interrupted if the run was asked to end; all processes of a run do it after the same step."""
    if distributed.any_of(interrupt.requested, ready.group, ready.trainer.device) and not interrupt.requested:
        interrupt.request()
    interrupt.check()


def _validate(ready: Prepared[S, F, T], feed: BatchLoader[T], interrupt: Interrupt) -> Score[T]:
    network, frame, trainer = ready.network, ready.frame, ready.trainer
    score = network.score(ready.spec, frame, training=True)
    ask = predictor(network, ready.spec, frame, trainer.deployed, trainer.device)
    for batch in feed.epoch():
        if ready.group.size == 1:
            interrupt.check()
        _reject_unreadable(batch.unreadable, ready)
        if batch.data is not None:
            score.add(ask(batch.data), batch.data, batch.indices)
    return score


def _reject_unreadable(unreadable: list[Unreadable], ready: Prepared[S, F, T]) -> None:
    for bad in unreadable:
        if not ready.recipe.tolerant:
            raise bad.error(ready.network.remedy)
        log.warning("Left out: %s cannot be read (%s)", bad.path, bad.reason)


def _check_finite(loss: float, epoch: int, recipe: Recipe) -> None:
    if not math.isfinite(loss):
        raise EngineError(f"The loss became {loss} in epoch {epoch}; lower {recipe.lr_field}.")


def _save_interrupted(ready: Prepared[S, F, T], progress: Progress, stop: Interrupted) -> Interrupted:
    """Leave the run's state for a resume; returns what is to be raised, saying where it stopped."""
    path = ready.home.interrupted
    if ready.group.first:
        checkpoint.save(path, state.capture(ready.trainer, ready.network.name, ready.frame, progress))
    where = f"epoch {progress.epoch}, step {progress.step} of {ready.feed.steps}"
    return Interrupted(stop.number, f"Stopped at {where}; the state is saved in {path.parent.name}/{path.name}")
