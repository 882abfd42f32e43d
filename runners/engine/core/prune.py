"""The prune action: a checkpoint to a smaller one, which a retraining starts from."""

from __future__ import annotations

import copy
import logging
from collections.abc import Sequence
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING

import msgspec
from torch import nn

from runners.engine import checkpoint
from runners.engine.core import evaluate, pruning, trained_model
from runners.engine.core.loading import BatchLoader
from runners.engine.core.network import F, Network, S, T
from runners.engine.errors import CheckpointError, EngineError, SpecError
from runners.engine.spec import convert

if TYPE_CHECKING:
    from runners.engine.run import Run

log = logging.getLogger("engine")


def run(run: Run, network: Network[S, F, T]) -> str:
    """Write model.pth; returns the closing sentence. Raises EngineError."""
    spec = convert(run.document, network.spec_type)
    path, field = network.checkpoint(spec, "prune")
    if not path:
        raise SpecError(f"{field} is not set: train first, or run prune on a finished train job.")
    frame, model = trained_model.from_checkpoint(network, Path(path))
    traced, heads = network.prunable(model.eval(), frame)
    (example,) = network.example(frame, 1, Random(0))
    before, first = pruning.cost(traced, example), _score(run, network, frame, model)
    shapes = pruning.prune(model, example, network.pruning(spec), heads, traced)
    after, second = pruning.cost(traced, example), _score(run, network, frame, model)
    frame = msgspec.structs.replace(frame, pruned={**frame.pruned, **shapes})
    target = run.results / "model.pth"
    target.parent.mkdir(parents=True, exist_ok=True)
    state = {"network": network.name, "frame": msgspec.to_builtins(frame), "model": model.state_dict()}
    checkpoint.save(target, state)
    ratio = after.parameters / before.parameters
    kpi = {"pruning_ratio": ratio, "param_count": after.parameters / 1e6, "size": target.stat().st_size / 2**20}
    stats = {
        "parameters": _millions(before.parameters, after.parameters),
        "FLOPs of an image": _millions(2 * before.operations, 2 * after.operations),
    }
    if isinstance(first, str) or isinstance(second, str):
        stats["KPI"] = f"not measured: {first if isinstance(first, str) else second}"
    else:
        stats |= {name: f"{value:.4f} before, {second[name]:.4f} after" for name, value in first.items()}
        kpi |= second
    run.status.running("Pruned", kpi=kpi, stats=stats)
    for name, said in stats.items():
        log.info("%s: %s", name, said)
    operations = after.operations / before.operations
    return f"Pruning finished: {target.name} has {ratio:.0%} of the weights and {operations:.0%} of the operations"


def _millions(before: int, after: int) -> str:
    return f"{before / 1e6:.2f} M before, {after / 1e6:.2f} M after ({after / before:.0%})"


def _score(run: Run, network: Network[S, F, T], frame: F, model: nn.Module) -> dict[str, float] | str:
    """The KPIs on the images that this specification, else the training's, names for validation; why there are none."""
    try:
        for document in (run.document, frame.spec):
            spec = convert(document, network.spec_type)
            found = network.validation(spec, frame)
            if found is not None:
                break
        else:
            return "neither the specification of the prune nor that of the training names an evaluation dataset"
        score, copied = network.score(spec, frame, training=True), copy.deepcopy(model)
        predict = trained_model.predictor(network, spec, frame, copied, trained_model.device())
        evaluate.measure(run, network, spec, predict, BatchLoader(found[0], batch=found[1], workers=None), score)
        return score.kpi()
    except EngineError as error:
        return str(error)


def shapes_of(network: Network[S, F, T], frame: F, paths: Sequence[str | None]) -> dict[str, list[int]]:
    """The shapes that a training takes over from a pruned model of this network: the first of the files that can be
    read decides. Raises SpecError where the specification asks for another model."""
    for path in paths:
        if not path or not path.endswith(".pth") or not Path(path).is_file():
            continue
        try:
            content = checkpoint.load_any(Path(path))
        except CheckpointError:
            continue  # a resumed training takes one before it
        if not isinstance(content, dict) or content.get("network") != network.name:
            continue
        found = trained_model.frame_of_checkpoint(network, Path(path), content)
        theirs, ours = network.shape_of(found), network.shape_of(frame)
        if found.pruned and theirs != ours:
            name = next(name for name in theirs if theirs[name] != ours[name])
            raise SpecError(
                f"{path} is a pruned model with {name} {theirs[name]}; the specification asks for {ours[name]}: set "
                f"the pruned model's {name}."
            )
        return found.pruned
    return frame.pruned
