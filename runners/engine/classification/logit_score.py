"""Counts how good predictions are: loss, top-k accuracy, confusion matrix. Plain numpy, and no model."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


class LogitScore:
    """Gathers logits batch by batch. `confusion[true, predicted]` are counts."""

    def __init__(self, classes: Sequence[str], topk: Sequence[int] = (1, 5)) -> None:
        self.classes = list(classes)
        self.confusion = np.zeros((len(classes), len(classes)), dtype=np.int64)
        self._hits = {k: 0 for k in sorted({1, *topk}) if k <= len(classes)}
        self._loss = 0.0
        self.count = 0

    def add(self, logits: np.ndarray, labels: np.ndarray) -> None:
        """`logits` float [n, classes], `labels` int [n]."""
        logits = logits.astype(np.float64)
        top = logits.max(axis=1, keepdims=True)
        log_sum = np.log(np.exp(logits - top).sum(axis=1)) + top[:, 0]
        rows = np.arange(len(labels))
        own = logits[rows, labels]
        self._loss += float((log_sum - own).sum())
        order = np.argsort(-logits, axis=1, kind="stable")
        for k in self._hits:
            self._hits[k] += int((order[:, :k] == labels[:, None]).any(axis=1).sum())
        np.add.at(self.confusion, (labels, order[:, 0]), 1)
        self.count += len(labels)

    @property
    def loss(self) -> float:
        """Mean cross entropy, in nats."""
        return self._loss / self.count if self.count else float("nan")

    def kpi(self) -> dict[str, float]:
        """`accuracy_top-k` as shares in [0, 1], and `loss`."""
        share = {f"accuracy_top-{k}": hits / max(1, self.count) for k, hits in self._hits.items()}
        return {**share, "loss": self.loss}

    def accuracy(self) -> dict[str, float]:
        """Share of each class's images that were recognised (its recall); classes without images are left out."""
        return self._per_class(self.confusion.sum(axis=1))

    def precision(self) -> dict[str, float]:
        """Share of what was taken for a class that is of it; classes that were never predicted are left out."""
        return self._per_class(self.confusion.sum(axis=0))

    def _per_class(self, totals: np.ndarray) -> dict[str, float]:
        right = np.diag(self.confusion)
        return {
            name: float(right[index] / totals[index]) for index, name in enumerate(self.classes) if totals[index] > 0
        }


def softmax(logits: np.ndarray) -> np.ndarray:
    """Probabilities float64 [n, classes]."""
    shifted = np.exp(logits.astype(np.float64) - logits.max(axis=1, keepdims=True))
    probabilities: np.ndarray = shifted / shifted.sum(axis=1, keepdims=True)
    return probabilities
