"""Which datasets are being uploaded at this moment; kept in memory, so that a crash leaves no dataset half marked."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from taod.errors import Conflict


class Uploads:
    """The uploads under way, by dataset."""

    def __init__(self) -> None:
        self._under_way: set[str] = set()

    def __contains__(self, dataset_id: str) -> bool:
        return dataset_id in self._under_way

    @contextmanager
    def claim(self, dataset_id: str) -> Iterator[None]:
        """Hold the dataset for one upload. Raises Conflict while another one holds it."""
        if dataset_id in self._under_way:
            raise Conflict(f"dataset {dataset_id} is being uploaded right now; wait until that upload has ended")
        self._under_way.add(dataset_id)
        try:
            yield
        finally:
            self._under_way.discard(dataset_id)
