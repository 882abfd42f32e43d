"""Training throughput of the engine and a handwritten torch loop: same model, images, batch and optimiser, same run.

`python -m bench.engine_throughput [--backbone resnet_tiny] [--side 32] [--batch 32] [--images 1024] [--rounds 5]`
prints images per second of each and the ratio (median over rounds; above 1 the engine is faster). Rounds alternate, so
that other load affects both alike. Both include decoding, augmentation, normalisation, forward, backward, optimiser and
running loss.
"""

from __future__ import annotations

import argparse
import logging
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch.utils.data import DataLoader, Dataset

from runners.engine.core import train
from runners.engine.core.report import TrainReport
from runners.engine.core.state import Progress
from runners.engine.interrupt import Interrupt
from runners.engine.networks.classification_pyt import models, settings
from runners.engine.networks.classification_pyt.network import NETWORK
from runners.engine.run import Run
from runners.engine.status import StatusWriter

CLASSES = 10


def make_images(folder: Path, count: int, side: int) -> None:
    random = np.random.default_rng(0)
    for index in range(count):
        path = folder / str(index % CLASSES) / f"{index:06d}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(random.integers(0, 255, (side, side, 3), dtype=np.uint8)).save(path)


class PlainSet(Dataset[tuple[torch.Tensor, int]]):
    """The handwritten dataset: open, pad, crop at random, convert to a normalised float tensor."""

    def __init__(self, folder: Path, side: int) -> None:
        self.paths = sorted(folder.rglob("*.png"))
        self.side = side
        self.mean = torch.tensor([0.485, 0.456, 0.406]).view(3, 1, 1)
        self.std = torch.tensor([0.229, 0.224, 0.225]).view(3, 1, 1)

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, int]:
        with Image.open(self.paths[index]) as opened:
            image = opened.convert("RGB")
        left, top = (int(torch.randint(-2, 3, ())) for _ in range(2))
        image = image.crop((left, top, left + self.side, top + self.side))
        pixels = torch.from_numpy(np.array(image)).permute(2, 0, 1).float() / 255
        return (pixels - self.mean) / self.std, int(self.paths[index].parent.name)


def plain_epoch(folder: Path, architecture: models.Architecture, batch: int) -> Callable[[], None]:
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    model = models.build(architecture).to(device)
    optimiser = torch.optim.AdamW(model.parameters(), lr=1e-3, weight_decay=0.05)
    loader = DataLoader(PlainSet(folder, architecture.height), batch_size=batch, shuffle=True)

    def epoch() -> None:
        model.train()
        total = 0.0
        for pixels, labels in loader:
            pixels, labels = pixels.to(device), labels.to(device)
            loss = torch.nn.functional.cross_entropy(model(pixels), labels)
            optimiser.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimiser.step()
            total += loss.item() * len(labels)

    return epoch


def engine_epoch(root: Path, backbone: str, side: int, batch: int) -> tuple[Callable[[], None], models.Architecture]:
    """One epoch of the engine, including its log and status lines."""
    document: dict[str, Any] = {
        "dataset": {
            "data": {
                "samples_per_gpu": batch,
                "workers_per_gpu": 0,
                "train": {
                    "data_prefix": str(root / "images"),
                    "pipeline": [{"type": "RandomCrop", "size": side, "padding": 2}],
                },
            }
        },
        "model": {"backbone": {"type": backbone}},
        "train": {"train_config": {"precision": "fp32"}},
    }
    status = StatusWriter(root / "status.json")
    run, spec = Run("classification_pyt", "train", document, root, status, None), settings.of(document)
    ready = train.arrange(run, NETWORK, spec, NETWORK.plan(spec, run))
    report = TrainReport(status, 1, ready.feed.steps, 1, None)
    return lambda: train._steps(ready, Progress(), report, Interrupt()), ready.frame.architecture


def timed(epoch: Callable[[], None]) -> float:
    began = time.perf_counter()
    epoch()
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter() - began


def compare(backbone: str, side: int, batch: int, images: int, rounds: int) -> tuple[str, str, str]:
    """One setting as a row: name, ratio with the engine's rate, rate of the handwritten loop."""
    logging.getLogger("engine").addHandler(logging.NullHandler())
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        make_images(root / "images", images, side)
        engine, architecture = engine_epoch(root, backbone, side, batch)
        plain = plain_epoch(root / "images", architecture, batch)
        timed(plain), timed(engine)
        turns = [(timed(plain), timed(engine)) for _ in range(rounds)]
    by_hand, own = (statistics.median(images / turn[which] for turn in turns) for which in (0, 1))
    ratio = statistics.median(hand / engine for hand, engine in turns)
    device = torch.cuda.get_device_name() if torch.cuda.is_available() else f"cpu, {torch.get_num_threads()} threads"
    return (
        f"train {backbone} {side}x{side}, batch {batch}, {device}, {rounds} rounds",
        f"{ratio:.2f} times by hand ({own:.0f} images/s)",
        f"plain torch loop {by_hand:.0f} images/s; goal ≥ 1",
    )


def run() -> list[tuple[str, str, str]]:
    """The two settings of docs/benchmarks.md."""
    return [compare("resnet_tiny", 32, 32, 1024, 5), compare("resnet_10", 64, 32, 256, 3)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--backbone", default="resnet_tiny")
    parser.add_argument("--side", type=int, default=32)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--images", type=int, default=1024)
    parser.add_argument("--rounds", type=int, default=5)
    asked = parser.parse_args()
    print(*compare(asked.backbone, asked.side, asked.batch, asked.images, asked.rounds), sep="\n")


if __name__ == "__main__":
    main()
