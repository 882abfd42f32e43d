"""The prune action: a checkpoint to a smaller one, which a retraining starts from."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING

import msgspec

from runners.engine import checkpoint
from runners.engine.core import pruning, trained_model
from runners.engine.core.network import F, Network, S, T
from runners.engine.errors import CheckpointError, SpecError
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
    before = pruning.cost(traced, example)
    shapes = pruning.prune(model, example, network.pruning(spec), heads, traced)
    after = pruning.cost(traced, example)
    frame = msgspec.structs.replace(frame, pruned={**frame.pruned, **shapes})
    target = run.results / "model.pth"
    target.parent.mkdir(parents=True, exist_ok=True)
    state = {"network": network.name, "frame": msgspec.to_builtins(frame), "model": model.state_dict()}
    checkpoint.save(target, state)
    ratio = after.parameters / before.parameters
    kpi = {"pruning_ratio": ratio, "param_count": after.parameters / 1e6, "size": target.stat().st_size / 2**20}
    run.status.running("Pruned", kpi=kpi)
    log.info("%.2f M of %.2f M weights are left", after.parameters / 1e6, before.parameters / 1e6)
    log.info("%.2f M of %.2f M operations an image are left", after.operations / 1e6, before.operations / 1e6)
    operations = after.operations / before.operations
    return f"Pruning finished: {target.name} has {ratio:.0%} of the weights and {operations:.0%} of the operations"


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
