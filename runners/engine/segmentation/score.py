"""How well masks agree, and the files of evaluations and inferences."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec
import numpy as np
from PIL import Image

from runners.engine.core.images import read
from runners.engine.core.network import Arrays
from runners.engine.segmentation.data import IGNORED, Batch, Fit


def whole_size(numbers: np.ndarray, size: tuple[int, int], fit: Fit) -> np.ndarray:
    """A predicted mask brought back to the size (height, width) of its image."""
    height, width = size
    inner = fit.inner(width, height)
    part = Image.fromarray(numbers[: inner[1], : inner[0]].astype(np.uint8))
    return np.asarray(part.resize((width, height), Image.Resampling.NEAREST))


class MaskScore:
    """Counts pixels: `confusion[true, predicted]`, in the masks' own sizes."""

    def __init__(
        self, classes: Sequence[str], fit: Fit, kpi: Callable[[MaskScore], dict[str, float]], *, losses: bool
    ) -> None:
        self.classes = list(classes)
        self.confusion = np.zeros((len(classes), len(classes)), dtype=np.int64)
        self.count = 0
        self._fit, self._kpi, self._losses = fit, kpi, losses
        self._loss, self._pixels = 0.0, 0

    def add(self, outputs: Arrays, data: Batch, indices: Sequence[int]) -> None:
        logits = outputs[0]
        predicted = logits.argmax(axis=1)
        for numbers, truth, size in zip(predicted, data.whole, data.sizes, strict=True):
            known = truth != IGNORED
            own = whole_size(numbers, size, self._fit)
            pairs = truth[known].astype(np.int64) * len(self.classes) + own[known]
            self.confusion += np.bincount(pairs, minlength=self.confusion.size).reshape(self.confusion.shape)
            self.count += 1
        if self._losses:
            self._add_loss(logits.astype(np.float64), data.classes.numpy())

    def _add_loss(self, logits: np.ndarray, classes: np.ndarray) -> None:
        top = logits.max(axis=1)
        total = np.log(np.exp(logits - top[:, None]).sum(axis=1)) + top
        known = classes != IGNORED
        own = np.take_along_axis(logits, np.where(known, classes, 0)[:, None], axis=1)[:, 0]
        self._loss += float((total - own)[known].sum())
        self._pixels += int(known.sum())

    @property
    def loss(self) -> float:
        """Mean cross entropy of a pixel, in nats."""
        return self._loss / max(1, self._pixels)

    def iou(self) -> dict[str, float]:
        """Intersection over union of each class that is in the masks or in the predictions."""
        hit, union = np.diag(self.confusion), self.confusion.sum(axis=0) + self.confusion.sum(axis=1)
        union = union - hit
        return {name: float(hit[i] / union[i]) for i, name in enumerate(self.classes) if union[i]}

    def _share(self, totals: np.ndarray) -> dict[str, float]:
        hit = np.diag(self.confusion)
        return {name: float(hit[i] / totals[i]) for i, name in enumerate(self.classes) if totals[i]}

    def recall(self) -> dict[str, float]:
        return self._share(self.confusion.sum(axis=1))

    def precision(self) -> dict[str, float]:
        return self._share(self.confusion.sum(axis=0))

    def f1(self) -> dict[str, float]:
        recall, precision = self.recall(), self.precision()
        both = {name: recall.get(name, 0.0) + precision.get(name, 0.0) for name in self.classes}
        return {
            name: 2 * recall.get(name, 0.0) * precision.get(name, 0.0) / total if total else 0.0
            for name, total in both.items()
        }

    @property
    def accuracy(self) -> float:
        return float(np.diag(self.confusion).sum() / max(1, self.confusion.sum()))

    def kpi(self) -> dict[str, float]:
        return self._kpi(self)

    def categorical(self) -> dict[str, dict[str, float]]:
        return {"IoU": self.iou()}

    def write(self, folder: Path, checkpoint: Path) -> str:
        """metrics.json with all values by class."""
        metrics = {
            "checkpoint": str(checkpoint),
            "images": self.count,
            **self.kpi(),
            "pixel_accuracy": self.accuracy,
            "classes": {
                "IoU": self.iou(),
                "precision": self.precision(),
                "recall": self.recall(),
                "f1": self.f1(),
            },
            "confusion": self.confusion.tolist(),
        }
        (folder / "metrics.json").write_bytes(msgspec.json.format(msgspec.json.encode(metrics)) + b"\n")
        return f"mean IoU {mean(self.iou()):.4f}"


def mean(values: dict[str, float]) -> float:
    return sum(values.values()) / max(1, len(values))


class MaskWriter:
    """For each image its mask of class numbers (`mask_labels/`) and the image with the classes' colours over it
    (`vis_overlay/`); the folders appear only when they are whole."""

    def __init__(self, folder: Path, colours: list[list[int]], fit: Fit) -> None:
        self._folder, self._fit = folder, fit
        self._colours = np.array(colours, dtype=np.float32)
        self._aside = folder / ".inference.part"
        shutil.rmtree(self._aside, ignore_errors=True)
        for name in ("mask_labels", "vis_overlay"):
            (self._aside / name).mkdir(parents=True)
        self._names: dict[str, int] = {}

    def add(self, path: str, outputs: Arrays, data: Batch, place: int) -> None:
        numbers = whole_size(outputs[0].argmax(axis=0), data.sizes[place], self._fit)
        stem = Path(path).stem
        seen = self._names[stem] = self._names.get(stem, 0) + 1
        name = f"{stem}.png" if seen == 1 else f"{stem}_{seen}.png"
        Image.fromarray(numbers).save(self._aside / "mask_labels" / name)
        image = np.asarray(read(path), dtype=np.float32)
        over = (image * 0.5 + self._colours[numbers] * 0.5).astype(np.uint8)
        Image.fromarray(over).save(self._aside / "vis_overlay" / name)

    def close(self, whole: bool) -> None:
        if whole:
            for name in ("mask_labels", "vis_overlay"):
                shutil.rmtree(self._folder / name, ignore_errors=True)
                (self._aside / name).rename(self._folder / name)
        shutil.rmtree(self._aside, ignore_errors=True)
