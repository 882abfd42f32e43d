"""The prune action of classifiers: a checkpoint to a smaller one, which a retraining starts from."""

from __future__ import annotations

import logging
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING

import msgspec

from runners.engine import checkpoint
from runners.engine.classification import pruning
from runners.engine.classification.backbones import Classifier
from runners.engine.classification.network import Classifying, S
from runners.engine.core import answers
from runners.engine.errors import SpecError
from runners.engine.spec import convert

if TYPE_CHECKING:
    from runners.engine.run import Run

log = logging.getLogger("engine")


def run(run: Run, network: Classifying[S]) -> str:
    """Write model.pth; returns the closing sentence. Raises EngineError."""
    spec = convert(run.document, network.spec_type)
    path, field = network.checkpoint(spec, "prune")
    if not path:
        raise SpecError(f"{field} is not set: train first, or run prune on a finished train job.")
    frame, model = answers.from_checkpoint(network, Path(path))
    assert isinstance(model, Classifier)
    if frame.shape.backbone.startswith("cspdarknet"):
        raise SpecError(
            f"{field} {path} is a {frame.shape.backbone}, which the engine does not prune: torch-pruning does not "
            "follow the halves that it joins; use another backbone."
        )
    model.eval().requires_grad_(True)
    (example,) = network.example(frame, 1, Random(0))
    before = pruning.cost(model, example)
    shapes = pruning.prune(model, example, network.pruning(spec), model.head)
    after = pruning.cost(model, example)
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
