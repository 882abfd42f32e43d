"""What evaluate and inference share: the model at hand, and a feed of images brought to its size."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import msgspec
import numpy as np
import torch

from runners.engine.errors import SpecError
from runners.engine.interrupt import Interrupt
from runners.engine.networks.classification_pyt import predictor, settings
from runners.engine.networks.classification_pyt.images import Images
from runners.engine.networks.classification_pyt.loading import Batch, Feed, default_workers
from runners.engine.networks.classification_pyt.pipeline import Pipeline
from runners.engine.networks.classification_pyt.predictor import Predictor
from runners.engine.networks.classification_pyt.settings import Split

log = logging.getLogger("engine")


def load(checkpoint: str | None, field: str) -> Predictor:
    """The predictor on the device of this run. Raises CheckpointError."""
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    found = predictor.load(checkpoint, field, device)
    log.info("%s: %d classes, input %dx%d", found.source, len(found.classes), *found.size)
    return found


class Asked(msgspec.Struct, frozen=True):
    """A model and the images that it is asked about."""

    model: Predictor
    found: Images
    feed: Feed

    def answers(self, interrupt: Interrupt) -> Iterator[tuple[Batch, np.ndarray]]:
        """Each batch with its logits [n, classes]."""
        return self.model.over(self.feed, interrupt)


def about(model: Predictor, found: Images, split: Split, where: str, spec: settings.Spec, batch: int | None) -> Asked:
    """The split's own pipeline where the spec has one, else the one kept with the model. Raises SpecError."""
    pipeline = Pipeline(split.pipeline or model.pipeline, where)
    if pipeline.size != model.size:
        raise SpecError(f"{where}.pipeline makes images of {pipeline.size}, the model wants {model.size}.")
    if pipeline.norm and (list(pipeline.norm.mean), list(pipeline.norm.std)) != (model.mean, model.std):
        log.warning("%s.pipeline normalises otherwise than in training; the training's mean and std are used", where)
    data = spec.dataset.data
    workers = data.workers_per_gpu if data.workers_per_gpu is not None else default_workers(torch.cuda.is_available())
    feed = Feed(found, pipeline, batch=batch or data.samples_per_gpu, workers=workers, seed=0, shuffle=False)
    return Asked(model, found, feed)
