"""The score of an evaluation, and the files that evaluations and inferences of classifiers leave."""

from __future__ import annotations

import csv
from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec
import numpy as np

from runners.engine.classification.data import Labelled
from runners.engine.classification.logit_score import LogitScore, softmax
from runners.engine.core.network import Arrays


class Task(msgspec.Struct, frozen=True):
    """What an image is classified by; its logits are beside those of the other tasks. A single task has no name."""

    name: str
    classes: list[str]


def split_by_task(logits: np.ndarray, tasks: Sequence[Task]) -> list[np.ndarray]:
    """The logits [n, all classes] a task."""
    ends = np.cumsum([len(task.classes) for task in tasks])
    return np.split(logits, ends[:-1], axis=1)


Kpis = Callable[[list[LogitScore]], dict[str, float]]


class ClassScore:
    """A score for each task; `kpis` names the values as the tool does."""

    def __init__(self, tasks: Sequence[Task], topk: Sequence[int], kpis: Kpis, *, precision: bool) -> None:
        self.tasks = list(tasks)
        self.scores = [LogitScore(task.classes, topk) for task in tasks]
        self._kpis, self._precision = kpis, precision

    def add(self, outputs: Arrays, data: Labelled, indices: Sequence[int]) -> None:
        labels = data.labels.numpy().reshape(len(data.labels), -1)
        for score, logits, own in zip(self.scores, split_by_task(outputs[0], self.tasks), labels.T, strict=True):
            score.add(logits, own)

    @property
    def count(self) -> int:
        return self.scores[0].count

    def kpi(self) -> dict[str, float]:
        return self._kpis(self.scores)

    def categorical(self) -> dict[str, dict[str, float]]:
        found = {}
        for task, score in zip(self.tasks, self.scores, strict=True):
            before = f"{task.name} " if task.name else ""
            found[f"{before}accuracy"] = score.accuracy()
            if self._precision:
                found[f"{before}precision"] = score.precision()
        return found

    def write(self, folder: Path, checkpoint: Path) -> str:
        """metrics.json and confusion_matrix.csv, or confusion_matrix_<task>.csv."""
        kpi = self.kpi()
        metrics = {"checkpoint": str(checkpoint), "images": self.count, **kpi, "classes": self.categorical()}
        (folder / "metrics.json").write_bytes(msgspec.json.format(msgspec.json.encode(metrics)) + b"\n")
        for task, score in zip(self.tasks, self.scores, strict=True):
            name = f"confusion_matrix_{task.name}.csv" if task.name else "confusion_matrix.csv"
            with (folder / name).open("w", newline="", encoding="utf-8") as file:
                writer = csv.writer(file)
                writer.writerow(["true \\ predicted", *score.classes])
                for label, row in zip(score.classes, score.confusion.tolist(), strict=True):
                    writer.writerow([label, *row])
        name, value = next(iter(kpi.items()))
        return f"{name} {value:.4f}"


class ClassWriter:
    """result.csv: path, and of each task class and confidence (softmax, in [0, 1]); the file appears only when it is
    whole."""

    def __init__(self, folder: Path, tasks: Sequence[Task]) -> None:
        self._target, self._aside = folder / "result.csv", folder / ".result.csv.part"
        self._tasks = tasks
        self._file = self._aside.open("w", newline="", encoding="utf-8", errors="surrogateescape")
        self._writer = csv.writer(self._file)
        names = [name for task in tasks for name in (task.name or "class", f"{task.name} confidence".strip())]
        self._writer.writerow(["path", *names])

    def add(self, path: str, outputs: Arrays, data: Labelled, place: int) -> None:
        cells = [path]
        for task, logits in zip(self._tasks, split_by_task(outputs[0][None], self._tasks), strict=True):
            row = softmax(logits)[0]
            best = int(row.argmax())
            cells += [task.classes[best], f"{row[best]:.6f}"]
        self._writer.writerow(cells)

    def close(self, whole: bool) -> None:
        self._file.close()
        if whole:
            self._aside.replace(self._target)
        else:
            self._aside.unlink()
