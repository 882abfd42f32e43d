"""Data sets made of what jobs of the data services have left: converted, corrected or augmented ones."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from store import Store
from store.records import DatasetRecord, JobRecord
from taod.errors import BadRequest
from taod.services.datasets import Datasets
from taod.services.jobs import Jobs
from taod.services.needs import DATA_SERVICES
from taod.types.dataset import Dataset, DatasetFromJob, DatasetType
from taod.types.state import State

LABELLED = "label.json"
"""What auto_label leaves in its results: COCO annotations of the pictures that it read."""


class Derived:
    """Takes a job's results as a data set of its own."""

    def __init__(self, store: Store, datasets: Datasets, jobs: Jobs) -> None:
        self._store = store
        self._datasets = datasets
        self._jobs = jobs

    async def make(self, user_id: str, job_id: str, body: DatasetFromJob) -> Dataset:
        """A new data set of a job's results, which stay where they are.

        Raises NotFound, and BadRequest where the job has not left a data set.
        """
        job = self._jobs.record(user_id, job_id)
        if job.network not in DATA_SERVICES:
            raise BadRequest(
                f"job {job.id} is a {job.action} of {job.network}: only jobs of {', '.join(sorted(DATA_SERVICES))} "
                "leave data sets"
            )
        if job.state is not State.DONE:
            raise BadRequest(f"job {job.id} is {job.state} ({job.reason}): only a finished job has left a data set")
        source = self._source(job)
        with self._left(job, source) as folder:
            format_ = body.format or await asyncio.to_thread(_format, folder)
            if format_ is None:
                raise BadRequest(
                    f"job {job.id} has left no data set: its results have no images/ with labels/, annotations.json or "
                    "masks/; convert with data.with_images true, or augment"
                )
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
    def _left(self, job: JobRecord, source: DatasetRecord | None) -> Iterator[Path]:
        """What the job has left, laid out as a data set: labels alone are put beside the pictures that they are of.

        Raises BadRequest where these are gone.
        """
        folder = self._jobs.folder(job)
        labels = folder.results / LABELLED
        if job.network != "auto_label" or not labels.is_file():
            yield folder.results
            return
        pictures = None if source is None else self._datasets.folder(source) / "images"
        if pictures is None or not pictures.is_dir():
            raise BadRequest(
                f"job {job.id} has labelled pictures that are gone, so no data set can be made of {LABELLED} alone; "
                "upload them again, and label them again"
            )
        with TemporaryDirectory(prefix="labelled-", dir=folder.path) as together:
            top = Path(together)
            (top / "images").symlink_to(pictures, target_is_directory=True)
            (top / "annotations.json").symlink_to(labels)
            yield top

    def _source(self, job: JobRecord) -> DatasetRecord | None:
        """The data set that the job has read."""
        read = (seen.dataset_id for seen in job.data if seen.role == "inference")
        return next((found for each in read if (found := self._store.datasets.get(job.user_id, each))), None)


def _type(format_: str, source: str | None) -> str:
    """What is made of a data set of segments is one again, where the format can hold them."""
    if format_ == "unet":
        return DatasetType.SEMANTIC_SEGMENTATION
    if format_ == "coco" and source in (DatasetType.SEMANTIC_SEGMENTATION, DatasetType.INSTANCE_SEGMENTATION):
        return source
    return DatasetType.OBJECT_DETECTION


def _format(results: Path) -> str | None:
    if not (results / "images").is_dir():
        return None
    if (results / "annotations.json").is_file():
        return "coco"
    if (results / "images" / "train").is_dir() and (results / "masks").is_dir():
        return "unet"
    return "kitti" if (results / "labels").is_dir() else None
