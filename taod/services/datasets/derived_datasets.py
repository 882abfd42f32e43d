"""Creates datasets from the results of data service jobs: conversions, corrections, augmentations, labels.

Results may have labels without images, as those of NVIDIA's converters do; then they are combined with the images of
the dataset that the job read. All files are hard links to existing files.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

from store import Store
from store.records import DatasetRecord, JobRecord
from taod.datasets.formats import coco, kitti
from taod.datasets.formats.types import text_of
from taod.errors import BadRequest
from taod.services.datasets.dataset_records import DatasetRecords
from taod.services.datasets.dataset_service import Datasets
from taod.services.jobs.job_service import Jobs
from taod.services.jobs.requirements import DATA_SERVICES
from taod.types.dataset import Dataset, DatasetFromJob, DatasetType
from taod.types.state import State

LABELLED = "label.json"
"""Results of auto_label: COCO annotations of the images that it read."""
AUGMENTED = Path("labels") / "output.json"
"""Results of release 5.0's augmentation: COCO annotations beside the images."""
NOT_LABELS = frozenset(
    {"status.json", "skipped_files.txt", "not_kitti.txt", "summary.json", "problems.json", "log.txt"}
)
"""Result files with the suffix of a label file that are none."""
NOT_FOUND = (
    "its results have no annotations.json or another COCO file, no labels/ or KITTI .txt files, and no images/ with "
    "masks/; convert or augment a dataset, or correct one with apply_correction"
)


class DerivedDatasets:
    """Creates datasets from job results."""

    def __init__(self, store: Store, records: DatasetRecords, datasets: Datasets, jobs: Jobs) -> None:
        self._store = store
        self._records = records
        self._datasets = datasets
        self._jobs = jobs

    async def create(self, user_id: str, job_id: str, body: DatasetFromJob) -> Dataset:
        """Create a dataset from a job's results, which the job keeps.

        Raises NotFound; BadRequest if the results have no dataset.
        """
        job = self._jobs.record(user_id, job_id)
        if job.network not in DATA_SERVICES:
            raise BadRequest(
                f"job {job.id} is a {job.action} of {job.network}: only jobs of {', '.join(sorted(DATA_SERVICES))} "
                "leave datasets"
            )
        if job.state is not State.DONE:
            raise BadRequest(f"job {job.id} is {job.state} ({job.reason_text}): only a finished job has left a dataset")
        source = self._source(job)
        found = await asyncio.to_thread(find_dataset, self._jobs.folder(job).results)
        if found is None:
            raise BadRequest(f"job {job.id} has left no dataset: {NOT_FOUND}")
        with self._layout(job, source, found) as folder:
            format_ = body.format or found.format
            return await self._datasets.create_from_job(
                job,
                folder,
                name=body.name or f"{job.action} of {source.name if source else job.owner_name}",
                format=format_,
                type=body.type or _type(format_, source.type if source else None),
                description=body.description or f"Made by {job.network} {job.action}",
                parent_dataset=source.id if source else None,
            )

    @contextmanager
    def _layout(self, job: JobRecord, source: DatasetRecord | None, found: FoundDataset) -> Iterator[Path]:
        """A folder in the layout of a dataset, with links to the found labels and their images.

        Raises BadRequest if the images of the source dataset are gone.
        """
        folder = self._jobs.folder(job)
        if found.complete:
            yield folder.results
            return
        images = folder.results / "images"
        if not images.is_dir():
            read = None if source is None else self._records.folder(source) / "images"
            if read is None or not read.is_dir():
                raise BadRequest(
                    f"job {job.id} has left labels without images, and the images that it read are gone; "
                    "upload them again, and run the job again"
                )
            images = read
        with TemporaryDirectory(prefix="from-job-", dir=folder.path) as temporary:
            top = Path(temporary)
            (top / "images").symlink_to(images, target_is_directory=True)
            if found.format == "coco":
                (top / "annotations.json").symlink_to(found.labels[0])
            elif found.labels[0].is_dir():
                (top / "labels").symlink_to(found.labels[0], target_is_directory=True)
            else:
                (top / "labels").mkdir()
                for file in found.labels:
                    (top / "labels" / file.name).symlink_to(file)
            yield top

    def _source(self, job: JobRecord) -> DatasetRecord | None:
        """The dataset that the job read, if it still exists."""
        read = (seen.dataset_id for seen in job.data if seen.role == "inference")
        return next((found for each in read if (found := self._store.datasets.get(job.user_id, each))), None)


def _type(format_: str, source: str | None) -> str:
    """The dataset type: that of the source if it has segments and the format can hold them."""
    if format_ == "unet":
        return DatasetType.SEMANTIC_SEGMENTATION
    if format_ == "coco" and source in (DatasetType.SEMANTIC_SEGMENTATION, DatasetType.INSTANCE_SEGMENTATION):
        return source
    return DatasetType.OBJECT_DETECTION


class FoundDataset(NamedTuple):
    """A dataset in a job's results."""

    format: str
    complete: bool
    """The results have the layout of a dataset, including images."""
    labels: tuple[Path, ...] = ()
    """One COCO file, one folder of label files, or KITTI label files."""


def find_dataset(results: Path) -> FoundDataset | None:
    """Find the labels in a job's results, of any tool; None if there are none. Blocks."""
    has_images = (results / "images").is_dir()
    if (results / "annotations.json").is_file():
        return FoundDataset("coco", has_images, (results / "annotations.json",))
    if has_images and (results / "images" / "train").is_dir() and (results / "masks").is_dir():
        return FoundDataset("unet", True)
    for name in (LABELLED, AUGMENTED):
        if (results / name).is_file():
            return FoundDataset("coco", False, (results / name,))
    labels = results / "labels"
    if labels.is_dir() and any(file.suffix == ".txt" for file in labels.rglob("*.txt")):
        return FoundDataset("kitti", has_images, (labels,))
    loose = sorted(file for file in _files(results) if file.name not in NOT_LABELS)
    documents = [file for file in loose if file.suffix == ".json" and _is_coco(file)]
    if len(documents) == 1:
        return FoundDataset("coco", False, tuple(documents))
    texts = [file for file in loose if file.suffix == ".txt"]
    if texts and not documents and all(_is_kitti(file) for file in texts):
        return FoundDataset("kitti", False, tuple(texts))
    return None


def _files(folder: Path) -> Iterator[Path]:
    return (each for each in folder.iterdir() if each.is_file()) if folder.is_dir() else iter(())


def _is_coco(file: Path) -> bool:
    document, _, _ = coco.load(file.parent, file.name)
    return bool(document.images and document.categories)


def _is_kitti(file: Path) -> bool:
    text = text_of(file.parent, file.name)
    return isinstance(text, str) and not kitti.parse(text, file.name)[1]
