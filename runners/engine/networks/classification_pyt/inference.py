"""The inference action: a class for each image of a folder, whatever the folder's shape."""

from __future__ import annotations

import csv
import logging
from typing import TYPE_CHECKING

from runners.engine.errors import DataError
from runners.engine.interrupt import Interrupt
from runners.engine.networks.classification_pyt import evaluation_data, images, settings
from runners.engine.networks.classification_pyt.scoring import softmax
from runners.engine.status import Pace

if TYPE_CHECKING:
    from runners.engine.run import Run

log = logging.getLogger("engine")


def run(run: Run) -> str:
    """Write result.csv: path, class, confidence (softmax, in [0, 1]); returns the closing sentence.

    An image that cannot be read is left out with a warning. The file appears only when it is whole.
    """
    spec = settings.of(run.document)
    split, where = spec.dataset.data.test, "dataset.data.test"
    model = evaluation_data.load(spec.inference.checkpoint, "inference.checkpoint")
    found = images.loose(split, where)
    asked = evaluation_data.about(model, found, split, where, spec, spec.inference.batch_size)
    log.info("Classifying %d images of %s", len(found.names), found.folder)
    interrupt, pace = Interrupt().install(), Pace(0.5)
    target, aside = run.results / "result.csv", run.results / ".result.csv.part"
    written = left_out = 0
    with aside.open("w", newline="", encoding="utf-8", errors="surrogateescape") as file:
        writer = csv.writer(file)
        writer.writerow(["path", "class", "confidence"])
        for step, (batch, logits) in enumerate(asked.answers(interrupt), 1):
            for bad in batch.unreadable:
                log.warning("Left out: %s cannot be read (%s)", bad.path, bad.reason)
            chances = softmax(logits) if len(logits) else logits
            for index, row in zip(batch.indices, chances, strict=True):
                best = int(row.argmax())
                writer.writerow([found.path(index), model.classes[best], f"{row[best]:.6f}"])
            written, left_out = written + len(batch.indices), left_out + len(batch.unreadable)
            if pace.due():
                run.status.running(f"Classifying, batch {step} of {asked.feed.steps}", cur_iter=step)
    if not written:
        aside.unlink()
        raise DataError(f"None of the {left_out} images of {found.folder} can be read.")
    aside.replace(target)
    note = f"; {left_out} could not be read and are left out" if left_out else ""
    return f"Inference finished: {written} images classified{note}"
