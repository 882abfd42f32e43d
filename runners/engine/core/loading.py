"""Brings samples to the model: batches whose content depends on seed, epoch and index alone.

Neither the number of workers nor where an epoch was taken up again changes a batch, which is what makes a resumed
run equal to an uninterrupted one.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from random import Random
from typing import Any, Generic, NamedTuple, Protocol, TypeVar

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset, Sampler
from torch.utils.data._utils.pin_memory import pin_memory

from runners.engine.core.distributed import Group
from runners.engine.core.images import Unreadable
from runners.engine.interrupt import leave_to_parent

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)

Key = tuple[int, int]
"""(epoch, index of the sample)."""


class Samples(Protocol[T_co]):
    """A dataset. `T` is a NamedTuple of what a batch holds; its tensors are moved to the device."""

    def __len__(self) -> int: ...

    def path(self, index: int) -> str: ...

    def sample(self, index: int, rng: Random) -> object:
        """One sample, read and augmented with `rng` alone. May raise for an image that cannot be read."""

    def collate(self, samples: list[Any]) -> T_co: ...

    def digest(self) -> str:
        """Says whether another listing has the same samples in the same order."""


class Batch(NamedTuple, Generic[T]):
    """`data` is None where no sample could be read."""

    data: T | None
    indices: list[int]
    unreadable: list[Unreadable]

    def pin_memory(self) -> Batch[T]:
        pinned: T | None = pin_memory(self.data)  # type: ignore[no-untyped-call]
        return Batch(pinned, self.indices, self.unreadable)


class _Rows(Dataset[tuple[int, object] | Unreadable], Generic[T]):
    """Reads and transforms one sample at a time; a broken one comes as an Unreadable, not as an exception."""

    def __init__(self, samples: Samples[T], seed: int) -> None:
        self._samples = samples
        self._seed = seed
        self._rng = Random()

    def __getitem__(self, key: Key) -> tuple[int, object] | Unreadable:
        epoch, index = key
        self._rng.seed((self._seed << 72) | (epoch << 40) | index)
        try:
            return index, self._samples.sample(index, self._rng)
        except Exception as error:
            path = self._samples.path(index)
            said = f"{type(error).__name__}: {error}".splitlines()[0].replace(f" '{path}'", "")
            return Unreadable(index, path, said)

    def collate(self, samples: list[tuple[int, object] | Unreadable]) -> Batch[T]:
        bad = [sample for sample in samples if isinstance(sample, Unreadable)]
        good = [sample for sample in samples if not isinstance(sample, Unreadable)]
        data = self._samples.collate([sample for _, sample in good]) if good else None
        return Batch(data, [index for index, _ in good], bad)


class EpochBatches(Sampler[list[Key]]):
    """Which samples make which batch: shuffled by (seed, epoch) for training, else in order.

    In training a last batch of a single sample is left out, since a batch norm has nothing to compare it with. With
    `steps` an epoch is that many batches of an endless sequence of shuffled passes. In a group of processes `batch` is
    each one's share of the batch that all of them make together.
    """

    def __init__(
        self, count: int, batch: int, seed: int, *, shuffle: bool, steps: int | None = None, group: Group | None = None
    ) -> None:
        self._group = group or Group()
        self._count, self._batch, self._seed, self._shuffle = count, batch * self._group.size, seed, shuffle
        self._endless = steps is not None
        lone = shuffle and self._batch > 1 and count > self._batch and 0 < count % self._batch < 2 * self._group.size
        if self._group.size == 1:
            lone = lone and count % self._batch == 1
        self.steps = steps if steps is not None else -(-count // self._batch) - lone
        self._epoch, self._from = 0, 0

    def begin(self, epoch: int, step: int = 0) -> None:
        """The next iteration is this epoch, from this step on."""
        self._epoch, self._from = epoch, step

    def __len__(self) -> int:
        return self.steps - self._from

    def __iter__(self) -> Iterator[list[Key]]:
        order = self._pass(self._epoch)
        for step in range(self._from, self.steps):
            if self._endless:
                keys = self._at(((self._epoch - 1) * self.steps + step) * self._batch)
            else:
                part = order[step * self._batch : (step + 1) * self._batch]
                keys = [(self._epoch, int(index)) for index in part]
            yield keys[self._group.rank :: self._group.size]

    def _pass(self, number: int) -> np.ndarray:
        if self._shuffle and not self._endless:
            return np.random.default_rng([self._seed, number]).permutation(self._count)
        return np.arange(self._count)

    def _at(self, start: int) -> list[Key]:
        keys: list[Key] = []
        while len(keys) < self._batch:
            number, place = divmod(start + len(keys), self._count)
            order = np.random.default_rng([self._seed, number + 1]).permutation(self._count)
            keys += [(number + 1, int(index)) for index in order[place : place + self._batch - len(keys)]]
        return keys


class BatchLoader(Generic[T]):
    """A dataset's batches, an epoch at a time."""

    def __init__(
        self,
        samples: Samples[T],
        *,
        batch: int,
        workers: int | None = None,
        seed: int = 0,
        shuffle: bool = False,
        steps: int | None = None,
        group: Group | None = None,
    ) -> None:
        self.samples = samples
        self._order = EpochBatches(len(samples), batch, seed, shuffle=shuffle, steps=steps, group=group)
        rows = _Rows(samples, seed)
        workers = default_workers(torch.cuda.is_available()) if workers is None else workers
        self._loader: DataLoader[tuple[int, object] | Unreadable] = DataLoader(
            rows,
            batch_sampler=self._order,
            num_workers=workers,
            collate_fn=rows.collate,
            pin_memory=torch.cuda.is_available(),
            persistent_workers=workers > 0,
            worker_init_fn=_start_worker if workers else None,
            generator=torch.Generator(),  # its own, so that starting an epoch draws nothing from the model's
        )

    @property
    def steps(self) -> int:
        """Batches in a whole epoch."""
        return self._order.steps

    def epoch(self, number: int = 0, from_step: int = 0) -> Iterator[Batch[T]]:
        self._order.begin(number, from_step)
        return iter(self._loader)


def default_workers(on_gpu: bool) -> int:
    """On CPU a worker only takes cores from the model unless there are many."""
    cores = len(os.sched_getaffinity(0))
    if on_gpu:
        return min(8, cores)
    return 2 if cores >= 8 else 0


def _start_worker(number: int) -> None:
    leave_to_parent()
    torch.set_num_threads(1)
