"""The inference action: predictions for the images of a folder."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from runners.engine.core import trained_model
from runners.engine.core.loading import BatchLoader
from runners.engine.core.network import F, Network, S, T, Writer
from runners.engine.errors import DataError
from runners.engine.interrupt import Interrupt
from runners.engine.status import Pace

if TYPE_CHECKING:
    from runners.engine.run import Run

log = logging.getLogger("engine")


def run(run: Run, network: Network[S, F, T]) -> str:
    """Write what the model predicts; returns the closing sentence. An image that cannot be read is left out with a
    warning, and the results appear only when they are whole."""
    spec, model, feed = trained_model.open_for_action(run, network)
    log.info("Reading %d images", len(feed.samples))
    writer = network.writer(spec, model.frame, run.results)
    whole = False
    try:
        written, left_out = _write(run, model, feed, writer)
        whole = written > 0
    finally:
        writer.close(whole)
    if not written:
        raise DataError(f"None of the {left_out} images can be read; the first is {feed.samples.path(0)}.")
    note = f"; {left_out} could not be read and are left out" if left_out else ""
    return f"Inference finished: {written} images {network.verb}{note}"


def _write(
    run: Run, model: trained_model.TrainedModel[S, F, T], feed: BatchLoader[T], writer: Writer[T]
) -> tuple[int, int]:
    """How many images were written, and how many left out."""
    interrupt, pace = Interrupt().install(), Pace(0.5)
    written = left_out = 0
    for step, batch in enumerate(feed.epoch(), 1):
        interrupt.check()
        for bad in batch.unreadable:
            log.warning("Left out: %s cannot be read (%s)", bad.path, bad.reason)
        if batch.data is not None:
            outputs = model.predict(batch.data)
            for place, index in enumerate(batch.indices):
                writer.add(feed.samples.path(index), [part[place] for part in outputs], batch.data, place)
        written, left_out = written + len(batch.indices), left_out + len(batch.unreadable)
        if pace.due():
            run.status.running(f"Inference, batch {step} of {feed.steps}", cur_iter=step)
    interrupt.check()
    return written, left_out
