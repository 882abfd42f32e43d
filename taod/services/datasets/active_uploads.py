"""Which datasets are being uploaded now; kept in memory, so that a crash leaves no dataset marked."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from taod.errors import Conflict


class Uploads:
    """The running uploads, by dataset."""

    def __init__(self) -> None:
        self._under_way: set[str] = set()

    def __contains__(self, dataset_id: str) -> bool:
        return dataset_id in self._under_way

    @contextmanager
    def claim(self, dataset_id: str) -> Iterator[None]:
        """Claim the dataset for one upload. Raises Conflict while it is claimed."""
        if dataset_id in self._under_way:
            raise Conflict(f"dataset {dataset_id} is being uploaded right now; wait until that upload has ended")
        self._under_way.add(dataset_id)
        try:
            yield
        finally:
            self._under_way.discard(dataset_id)
