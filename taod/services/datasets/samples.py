"""Samples of datasets and their thumbnails."""

from __future__ import annotations

from store.records import DatasetRecord
from taod.datasets.formats.types import Item
from taod.datasets.validation import samples
from taod.errors import NotFound
from taod.paths import Root
from taod.services.datasets.dataset_records import DatasetRecords
from taod.services.snapshots import Snapshots
from taod.types.dataset import DatasetSample


class Samples:
    """Lists samples and creates their thumbnails."""

    def __init__(self, root: Root, records: DatasetRecords, snapshots: Snapshots) -> None:
        self._root = root
        self._records = records
        self._snapshots = snapshots

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
        return await self._snapshots.run(
            user_id, samples.thumbnail, self._records.folder(record), items[number], review, mark, boxes=boxes
        )

    async def _items(self, record: DatasetRecord) -> list[Item]:
        if not record.has_data:
            return []
        mark = None if record.summary is None else record.summary.fingerprint
        folder, review = self._records.folder(record), self._root.review(record.id)
        # Choosing them reads the whole dataset.
        return await self._snapshots.run(
            record.user_id, samples.choose, folder, record.type, record.format, review, mark
        )
