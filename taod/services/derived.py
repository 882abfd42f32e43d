"""Data sets made of what jobs of the data services have left: converted, corrected or augmented ones."""

from __future__ import annotations

import asyncio
from pathlib import Path

from store import Store
from store.records import JobRecord
from taod.errors import BadRequest
from taod.services.datasets import Datasets
from taod.services.jobs import Jobs
from taod.services.needs import DATA_SERVICES
from taod.types.dataset import Dataset, DatasetFromJob, DatasetType
from taod.types.state import State


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
        results = self._jobs.folder(job).results
        format_ = body.format or await asyncio.to_thread(_format, results)
        if format_ is None:
            raise BadRequest(
                f"job {job.id} has left no data set: its results have no images/ with labels/, annotations.json or "
                "masks/; convert with data.with_images true, or augment"
            )
        source = self._source(job)
        name = body.name or f"{job.action} of {source[1] if source else job.owner_name}"
        return await self._datasets.create_from_job(
            job,
            results,
            name=name,
            format=format_,
            type=body.type or _type(format_, source[2] if source else None),
            description=body.description or f"Made by {job.network} {job.action}",
            parent_dataset=source[0] if source else None,
        )

    def _source(self, job: JobRecord) -> tuple[str, str, str] | None:
        """Id, name and type of the data set that the job has read."""
        for seen in job.data:
            if seen.role != "inference":
                continue
            record = self._store.datasets.get(job.user_id, seen.dataset_id)
            if record is not None:
                return seen.dataset_id, seen.name, record.type
        return None


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
