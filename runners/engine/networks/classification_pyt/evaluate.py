"""The evaluate action: a model's KPIs on labelled images.

Images are those of `dataset.data.val`, which is where the catalogue puts the evaluation dataset; where that is not
set, those of `dataset.data.test` by class folder.
"""

from __future__ import annotations

import csv
import logging
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from runners.engine.errors import DataError
from runners.engine.interrupt import Interrupt
from runners.engine.networks.classification_pyt import evaluation_data, images, settings
from runners.engine.networks.classification_pyt.scoring import Score
from runners.engine.status import Pace

if TYPE_CHECKING:
    from runners.engine.run import Run

log = logging.getLogger("engine")


def run(run: Run) -> str:
    """Write metrics.json and confusion_matrix.csv, and report the KPIs; returns the closing sentence."""
    spec = settings.of(run.document)
    split, where = spec.dataset.data.val, "dataset.data.val"
    if not split.data_prefix:
        split, where = spec.dataset.data.test, "dataset.data.test"
    model = evaluation_data.load(spec.evaluate.checkpoint, "evaluate.checkpoint")
    found = images.in_classes(split, where, model.classes)
    asked = evaluation_data.about(model, found, split, where, spec, spec.evaluate.batch_size)
    log.info("Evaluating %d images of %s", len(found.names), found.folder)
    score = _score(asked, _topk(spec.evaluate.topk), run, tolerant=spec.dataset.data.skip_unreadable)
    kpi = score.kpi()
    per_class = {"accuracy": score.accuracy(), "precision": score.precision()}
    _write(run.results, score, {"checkpoint": str(model.source), "images": score.count, **kpi, "classes": per_class})
    for name, value in kpi.items():
        log.info("%s %.4f", name, value)
    run.status.running("Evaluation", kpi=kpi, categorical=per_class)
    return f"Evaluation finished: accuracy_top-1 {kpi['accuracy_top-1']:.4f} on {score.count} images"


def _topk(wanted: int | list[int] | None) -> tuple[int, ...]:
    """The k of the top-k accuracies that are reported beside top-1; 5 by default."""
    if wanted is None:
        return (5,)
    return (wanted,) if isinstance(wanted, int) else tuple(wanted)


def _score(asked: evaluation_data.Asked, topk: tuple[int, ...], run: Run, *, tolerant: bool) -> Score:
    score = Score(asked.model.classes, topk)
    interrupt, pace = Interrupt().install(), Pace(0.5)
    for step, (batch, logits) in enumerate(asked.answers(interrupt), 1):
        for bad in batch.unreadable:
            if not tolerant:
                raise bad.error()
            log.warning("Left out: %s cannot be read (%s)", bad.path, bad.reason)
        score.add(logits, batch.labels.numpy())
        if pace.due():
            run.status.running(f"Evaluating, batch {step} of {asked.feed.steps}", cur_iter=step)
    if not score.count:
        raise DataError(f"None of the images of {asked.found.folder} can be read.")
    return score


def _write(results: Path, score: Score, metrics: dict[str, object]) -> None:
    (results / "metrics.json").write_bytes(msgspec.json.format(msgspec.json.encode(metrics)) + b"\n")
    with (results / "confusion_matrix.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["true \\ predicted", *score.classes])
        for name, row in zip(score.classes, score.confusion.tolist(), strict=True):
            writer.writerow([name, *row])
