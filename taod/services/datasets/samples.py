"""Samples of datasets and their thumbnails."""

from __future__ import annotations

import asyncio

from store.records import DatasetRecord
from taod.datasets.formats.types import Item
from taod.datasets.validation import samples
from taod.errors import NotFound
from taod.paths import Root
from taod.services.datasets.dataset_records import DatasetRecords
from taod.types.dataset import DatasetSample


class Samples:
    """Lists samples and creates their thumbnails."""

    def __init__(self, root: Root, records: DatasetRecords) -> None:
        self._root = root
        self._records = records
        self._choosing = asyncio.Lock()
        """Samples of one dataset at a time: choosing them reads the whole dataset."""

    async def page(self, user_id: str, dataset_id: str) -> list[DatasetSample]:
        """Some images of a dataset; empty if it has no files. Raises NotFound."""
        return samples.views(await self._items(self._records.get(user_id, dataset_id)))

    async def thumbnail(self, user_id: str, dataset_id: str, number: int, *, boxes: bool) -> bytes:
        """The JPEG thumbnail of a sample. Raises NotFound."""
        record = self._records.get(user_id, dataset_id)
        items = await self._items(record)
        if number >= len(items):
            raise NotFound(f"there is no sample {number} of dataset {record.name!r}; GET …/samples lists them")
        mark = None if record.summary is None else record.summary.fingerprint
        review = self._root.review(record.id)
        return await asyncio.to_thread(
            samples.thumbnail, self._records.folder(record), items[number], review, mark, boxes=boxes
        )

    async def _items(self, record: DatasetRecord) -> list[Item]:
        if not record.has_data:
            return []
        mark = None if record.summary is None else record.summary.fingerprint
        async with self._choosing:
            return await asyncio.to_thread(
                samples.choose,
                self._records.folder(record),
                record.type,
                record.format,
                self._root.review(record.id),
                mark,
            )
