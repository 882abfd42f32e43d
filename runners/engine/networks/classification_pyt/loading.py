"""Brings images to the model: batches of uint8 tensors whose content depends on seed, epoch and index alone.

Neither the number of workers nor where an epoch was taken up again changes a batch, which is what makes a resumed
run equal to an uninterrupted one.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from random import Random
from typing import Any, NamedTuple

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset, Sampler

from runners.engine.interrupt import leave_to_parent
from runners.engine.networks.classification_pyt import images
from runners.engine.networks.classification_pyt.images import Images, Unreadable
from runners.engine.networks.classification_pyt.pipeline import Pipeline

Key = tuple[int, int]
"""(epoch, index of the image)."""


class Batch(NamedTuple):
    """`pixels` uint8 [n, height, width, 3]; `labels` int64 [n] (-1 where unknown); `indices` of the images."""

    pixels: torch.Tensor
    labels: torch.Tensor
    indices: list[int]
    unreadable: list[Unreadable]


class ImageSet(Dataset[Any]):
    """Reads and transforms one image at a time; a broken one comes as an Unreadable, not as an exception."""

    def __init__(self, found: Images, pipeline: Pipeline, seed: int) -> None:
        self._found = found
        self._pipeline = pipeline
        self._seed = seed
        self._rng = Random()

    def __getitem__(self, key: Key) -> tuple[np.ndarray, int, int] | Unreadable:
        epoch, index = key
        path = self._found.path(index)
        try:
            image = images.read(path)
        except Exception as error:
            return Unreadable(index, path, f"{type(error).__name__}: {error}".splitlines()[0].replace(f" '{path}'", ""))
        self._rng.seed((self._seed << 72) | (epoch << 40) | index)
        label = self._found.labels[index] if self._found.labels else -1
        return self._pipeline(image, self._rng), label, index


class EpochBatches(Sampler[list[Key]]):
    """Which images make which batch: shuffled by (seed, epoch) for training, else in order.

    In training a last batch of a single image is left out, since a batch norm has nothing to compare it with.
    """

    def __init__(self, count: int, batch: int, seed: int, *, shuffle: bool) -> None:
        self._count, self._batch, self._seed, self._shuffle = count, batch, seed, shuffle
        lone = shuffle and batch > 1 and count % batch == 1 and count > batch
        self.steps = -(-count // batch) - lone
        self._epoch, self._from = 0, 0

    def begin(self, epoch: int, step: int = 0) -> None:
        """The next iteration is this epoch, from this step on."""
        self._epoch, self._from = epoch, step

    def __len__(self) -> int:
        return self.steps - self._from

    def __iter__(self) -> Iterator[list[Key]]:
        order = np.arange(self._count)
        if self._shuffle:
            order = np.random.default_rng([self._seed, self._epoch]).permutation(self._count)
        for step in range(self._from, self.steps):
            part = order[step * self._batch : (step + 1) * self._batch]
            yield [(self._epoch, int(index)) for index in part]


class Feed:
    """A dataset's batches, an epoch at a time. Batches of images that were all unreadable have n = 0."""

    def __init__(
        self, found: Images, pipeline: Pipeline, *, batch: int, workers: int, seed: int, shuffle: bool
    ) -> None:
        self._order = EpochBatches(len(found.names), batch, seed, shuffle=shuffle)
        self._loader: DataLoader[Any] = DataLoader(
            ImageSet(found, pipeline, seed),
            batch_sampler=self._order,
            num_workers=workers,
            collate_fn=_collate,
            pin_memory=torch.cuda.is_available(),
            persistent_workers=workers > 0,
            worker_init_fn=_start_worker if workers else None,
            generator=torch.Generator(),  # its own, so that starting an epoch draws nothing from the model's
        )

    @property
    def steps(self) -> int:
        """Batches in a whole epoch."""
        return self._order.steps

    def epoch(self, number: int = 0, from_step: int = 0) -> Iterator[Batch]:
        self._order.begin(number, from_step)
        return iter(self._loader)


def default_workers(on_gpu: bool) -> int:
    """On CPU a worker only takes cores from the model unless there are many."""
    cores = len(os.sched_getaffinity(0))
    if on_gpu:
        return min(8, cores)
    return 2 if cores >= 8 else 0


def _collate(samples: list[Any]) -> Batch:
    bad = [sample for sample in samples if isinstance(sample, Unreadable)]
    good = [sample for sample in samples if not isinstance(sample, Unreadable)]
    if not good:
        return Batch(torch.empty((0, 1, 1, 3), dtype=torch.uint8), torch.empty(0, dtype=torch.int64), [], bad)
    pixels = torch.from_numpy(np.stack([pixels for pixels, _, _ in good]))
    labels = torch.tensor([label for _, label, _ in good], dtype=torch.int64)
    return Batch(pixels, labels, [index for _, _, index in good], bad)


def _start_worker(number: int) -> None:
    leave_to_parent()
    torch.set_num_threads(1)
