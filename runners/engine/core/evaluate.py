"""The evaluate action: a model's KPIs on labelled images."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TYPE_CHECKING

from runners.engine.core import trained_model
from runners.engine.core.loading import BatchLoader
from runners.engine.core.network import Arrays, F, Network, S, Score, T
from runners.engine.errors import DataError
from runners.engine.interrupt import Interrupt
from runners.engine.status import Pace

if TYPE_CHECKING:
    from runners.engine.run import Run

log = logging.getLogger("engine")


def run(run: Run, network: Network[S, F, T]) -> str:
    """Report the KPIs and write the files of the evaluation; returns the closing sentence."""
    spec, model, feed = trained_model.open_for_action(run, network)
    score = network.score(spec, model.frame, training=False)
    measure(run, network, spec, model.predict, feed, score)
    kpi, categorical = score.kpi(), score.categorical()
    said = score.write(run.results, model.source)
    for name, value in kpi.items():
        log.info("%s %.4f", name, value)
    run.status.running("Evaluation", kpi=kpi, **({"categorical": categorical} if categorical else {}))
    return f"Evaluation finished: {said} on {score.count} images"


def measure(
    run: Run,
    network: Network[S, F, T],
    spec: S,
    predict: Callable[[T], Arrays],
    feed: BatchLoader[T],
    score: Score[T],
) -> None:
    """Let the score see what the model says of all images. Raises DataError, and Interrupted."""
    log.info("Evaluating %d images", len(feed.samples))
    interrupt, pace = Interrupt().install(), Pace(0.5)
    for step, batch in enumerate(feed.epoch(), 1):
        interrupt.check()
        for bad in batch.unreadable:
            if not network.tolerant(spec):
                raise bad.error(network.remedy)
            log.warning("Left out: %s cannot be read (%s)", bad.path, bad.reason)
        if batch.data is not None:
            score.add(predict(batch.data), batch.data, batch.indices)
        if pace.due():
            run.status.running(f"Evaluating, batch {step} of {feed.steps}", cur_iter=step)
    interrupt.check()
    if not score.count:
        raise DataError(f"None of the {len(feed.samples)} images can be read; the first is {feed.samples.path(0)}.")
