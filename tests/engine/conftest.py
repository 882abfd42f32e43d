"""A small dataset of generated images, a spec for it, and the engine run within the test's own process."""

from __future__ import annotations

import json
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

CLASSES = ("red", "green", "blue")


class Bench:
    """Folders of images, and runs of the engine over them."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def images(self, split: str, per_class: int, *, side: int = 20, classes: tuple[str, ...] = CLASSES) -> Path:
        """Noisy images, a class's own channel the brightest: learnt within an epoch or two."""
        import numpy as np
        from PIL import Image

        random = np.random.default_rng(len(split))
        folder = self.root / split
        for number, name in enumerate(classes):
            (folder / name).mkdir(parents=True, exist_ok=True)
            for index in range(per_class):
                pixels = random.integers(0, 120, (side, side + 4, 3), dtype=np.uint8)
                pixels[..., number % 3] += 100
                Image.fromarray(pixels).save(folder / name / f"{index:03d}.png")
        (self.root / "classes.txt").write_text("\n".join(classes) + "\n")
        return folder

    def spec(self, **changes: Any) -> dict[str, Any]:
        """A spec for `train/`, `val/` and `test/`; `changes` are dotted paths with __ for the dot."""
        small = {"hidden_sizes": [8, 16], "depths": [1, 1], "embedding_size": 8}
        document: dict[str, Any] = {
            "dataset": {
                "data": {
                    "samples_per_gpu": 4,
                    "workers_per_gpu": 0,
                    "train": {
                        "data_prefix": str(self.root / "train"),
                        "classes": str(self.root / "classes.txt"),
                        "pipeline": [{"type": "RandomResizedCrop", "size": 16}, {"type": "RandomFlip"}],
                    },
                    "val": {"data_prefix": str(self.root / "val"), "classes": str(self.root / "classes.txt")},
                    "test": {"data_prefix": str(self.root / "test")},
                }
            },
            "model": {"backbone": {"type": "resnet_tiny", "custom_args": small}, "head": {"num_classes": 20}},
            "train": {
                "seed": 3,
                "train_config": {"runner": {"max_epochs": 2}, "optimizer": {"type": "AdamW", "lr": 0.01}},
            },
        }
        for path, value in changes.items():
            *groups, last = path.split("__")
            place = document
            for group in groups:
                place = place.setdefault(group, {})
            place[last] = value
        return document

    def write(self, document: dict[str, Any]) -> Path:
        path = self.root / "spec.yaml"
        path.write_text(yaml.safe_dump(document))
        return path

    def run(self, action: str, results: str, document: dict[str, Any]) -> tuple[int, list[dict[str, Any]]]:
        """Exit code, and the status lines that this run added."""
        from runners.engine.run import main

        status = self.root / results / "status.json"
        before = len(status.read_text().splitlines()) if status.exists() else 0
        code = main(
            ["classification_pyt", action, "-e", str(self.write(document)), "-r", str(self.root / results), "-k", "k"]
        )
        return code, [json.loads(line) for line in status.read_text().splitlines()[before:]]


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


@pytest.fixture
def colours(bench: Bench) -> Bench:
    """With 8 images of each of three classes to train on, 4 to validate."""
    bench.images("train", 8)
    bench.images("val", 4)
    return bench


@pytest.fixture(autouse=True)
def own_signals() -> Iterator[None]:
    """An action run in this process takes over SIGTERM and SIGINT: give them back."""
    saved: dict[int, Callable[..., Any] | int | None] = {
        number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)
    }
    yield
    for number, handler in saved.items():
        signal.signal(number, handler)


@pytest.fixture
def one_thread() -> Iterator[None]:
    """One thread: the same sums each time. Threads of a process that imported torch before its run spin while they
    wait, which on shared cores costs more than they bring."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)
