"""Datasets: create, read, change, delete, upload and link."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import msgspec

from store import Store
from store.records import DatasetRecord, JobRecord, ResourceFilter
from taod.catalogue import Catalogue
from taod.clock import Clock, iso
from taod.config import Config
from taod.datasets.upload.content_range import Part, RangeRejected
from taod.datasets.upload.ingest import DatasetIngest, UploadOptions
from taod.datasets.upload.progress import Stage
from taod.errors import BadRequest, Conflict, NotFound
from taod.ids import new_id
from taod.paths import Root
from taod.scheduler.scheduler import Scheduler
from taod.services.datasets.dataset_records import DatasetRecords, Uploads
from taod.services.datasets.dataset_validation import Checks
from taod.services.datasets.lineage import Lineage
from taod.services.resources import Page, PageRequest, remove_folder, set_fields, take_immutable
from taod.telemetry.publisher import Publisher
from taod.types.common import DATASET, Sort
from taod.types.dataset import (
    Dataset,
    DatasetCreate,
    DatasetFormat,
    DatasetLink,
    DatasetPatch,
    DatasetPut,
    DatasetSummary,
    DatasetType,
    UploadAnswer,
    UploadProgress,
)
from taod.types.state import ON_DEVICE
from taod.types.warning import Warning


class Datasets:
    """Operations on datasets; a user sees only their own."""

    def __init__(
        self,
        *,
        store: Store,
        root: Root,
        catalogue: Catalogue,
        records: DatasetRecords,
        scheduler: Scheduler,
        intake: DatasetIngest,
        uploads: Uploads,
        checks: Checks,
        publisher: Publisher,
        lineage: Lineage,
        config: Config,
        clock: Clock,
    ) -> None:
        self._store = store
        self._root = root
        self._catalogue = catalogue
        self._records = records
        self._scheduler = scheduler
        self._intake = intake
        self._uploads = uploads
        self._checks = checks
        self._publisher = publisher
        self._lineage = lineage
        self._config = config
        self._clock = clock

    def get(self, user_id: str, dataset_id: str) -> Dataset:
        """One dataset with its jobs. Raises NotFound."""
        return self._view([self._records.get(user_id, dataset_id)])[0]

    def page(self, user_id: str, wanted: ResourceFilter, sort: Sort, page: PageRequest) -> Page[Dataset]:
        """The user's datasets with their jobs."""
        records, total = self._store.datasets.list(user_id, wanted, sort, page.skip, page.size)
        return Page(self._view(records), total)

    def create(self, user_id: str, body: DatasetCreate) -> Dataset:
        """Create an empty dataset. Raises BadRequest for an unknown type or format, or if they do not fit."""
        record = self._new_record(user_id, body)
        with self._store.durable():
            self._store.datasets.add(record)
        self._publisher.dataset(user_id, record.id, "created")
        return self._view([record])[0]

    def update(self, user_id: str, dataset_id: str, body: DatasetPut | DatasetPatch) -> None:
        """Set the given fields (PUT: all writable fields). Raises BadRequest for a change of type or format."""
        record = self._records.get(user_id, dataset_id)
        fields = set_fields(body)
        take_immutable(fields, record, "type", "format")
        if fields:
            with self._store.durable():
                self._store.datasets.update(record.id, **fields)
        self._publisher.dataset(user_id, record.id, "updated")

    async def delete(self, user_id: str, dataset_id: str) -> None:
        """Cancel the dataset's own jobs, then delete it with its files; a linked folder is kept.

        Raises BadRequest if a model uses it, Conflict if a run reads it or it is being uploaded.
        """
        record = self._records.get(user_id, dataset_id)
        self._check_unused(record)
        self._check_not_read(record, but_own=True)
        with self._claim(record.id):
            await self._scheduler.cancel_owner(DATASET, record.id)
            self._check_unused(record)
            self._check_not_read(record, but_own=True)
            jobs = self._store.jobs.ids_of(DATASET, record.id)
            with self._store.durable():
                self._store.datasets.delete(record.id)
            self._publisher.dataset(user_id, record.id, "deleted")
            self._checks.forget(record.id)
            for job_id in jobs:
                await asyncio.to_thread(remove_folder, self._root.job(job_id).path)
            await self._intake.forget(record.id)

    def summary(self, user_id: str, dataset_id: str) -> DatasetSummary:
        """The summary of its files, the progress of its upload, its warnings and its origin."""
        record = self._records.get(user_id, dataset_id)
        upload = self._intake.progress(record.id)
        summary = record.summary or DatasetSummary(state=record.state, path=record.path)
        if record.id in self._uploads:
            summary = DatasetSummary(state="uploading")
        return msgspec.structs.replace(
            summary,
            upload=upload,
            warnings=self._lineage.known(record),
            parent_job=record.parent_job,
            parent_dataset=record.parent_dataset,
        )

    async def warnings(self, user_id: str, dataset_id: str) -> list[Warning]:
        """Inspect a linked folder and return warnings about changes."""
        return await self._lineage.inspect([self._records.get(user_id, dataset_id)])

    async def upload(
        self,
        user_id: str,
        dataset_id: str,
        body: AsyncIterator[bytes],
        options: UploadOptions = UploadOptions(),
        part: Part | None = None,
    ) -> UploadAnswer:
        """Receive an archive or a part of it; the dataset keeps its old data until the new data is complete.

        Raises BadRequest naming the fault of the archive, RangeRejected for a part at the wrong offset, NoSpace,
        Conflict if the data is being read or uploaded.
        """
        record = self._records.get(user_id, dataset_id)
        self._check_not_read(record)
        with self._claim(record.id):
            self._publisher.dataset(user_id, record.id, "uploading")
            report = partial(self._publisher.upload, user_id)

            def placed(summary: DatasetSummary) -> None:
                with self._store.durable():
                    self._store.datasets.update(record.id, state="ready", path=None, summary=summary)

            try:
                if part is None:
                    summary = await self._intake.accept(record, body, options, report, placed)
                else:
                    answer = await self._intake.accept_part(record, body, part, options, report, placed)
                    if isinstance(answer, int):
                        self._publish_part(user_id, record.id, answer, part.total)
                        return UploadAnswer(
                            f"{answer} of {part.total} bytes were received; send the next part", received=answer
                        )
                    summary = answer
            except RangeRejected:
                self._publisher.dataset(user_id, record.id, "updated")  # the upload is as it was before
                raise
            except BaseException as error:
                report(UploadProgress(record.id, Stage.FAILED, message=str(error) or type(error).__name__))
                self._publisher.dataset(user_id, record.id, "updated", "the upload failed")
                raise
        report(UploadProgress(record.id, Stage.DONE, files=summary.files, unpacked=summary.bytes))
        self._publisher.dataset(user_id, record.id, "uploaded", f"{summary.files} files")
        self._checks.data_changed(user_id, record.id)
        return UploadAnswer(
            message=f"Upload successful: {summary.files} files",
            files=summary.files,
            bytes=summary.bytes,
            summary=summary,
        )

    async def give_up_upload(self, user_id: str, dataset_id: str) -> DatasetSummary:
        """Delete an incomplete upload in parts. Raises NotFound, Conflict."""
        record = self._records.get(user_id, dataset_id)
        await self._intake.give_up(record.id)
        self._publisher.dataset(user_id, record.id, "updated", "the upload was given up")
        return self.summary(user_id, record.id)

    def recover(self) -> None:
        """Record data that the last daemon moved into place before it was killed. Called once, at the start."""
        for dataset_id, summary in self._intake.unrecorded().items():
            try:
                with self._store.durable():
                    self._store.datasets.update(dataset_id, state="ready", path=None, summary=summary)
            except NotFound:
                remove_folder(self._root.dataset(dataset_id))  # derived by a job; its dataset was not created yet
            self._intake.recorded(dataset_id)

    async def link(self, user_id: str, dataset_id: str, body: DatasetLink) -> DatasetSummary:
        """Use a folder of this machine in place. Raises BadRequest if it is not allowed or does not fit."""
        record = self._records.get(user_id, dataset_id)
        self._check_not_read(record)
        with self._claim(record.id):
            summary = await self._intake.link(record, body.path, self._config.storage.link_roots)
            with self._store.durable():
                self._store.datasets.update(record.id, state="linked", path=summary.path or body.path, summary=summary)
            # Files of an earlier upload are no longer its data.
            await self._intake.forget(record.id)
        self._publisher.dataset(user_id, record.id, "uploaded", "linked")
        self._checks.data_changed(user_id, record.id)
        return summary

    def _publish_part(self, user_id: str, dataset_id: str, received: int, total: int) -> None:
        """Publish that a part of an upload was received."""
        self._publisher.upload(user_id, UploadProgress(dataset_id, Stage.WAITING, received, total))
        self._publisher.dataset(user_id, dataset_id, "updated", f"{received} of {total} bytes were received")

    async def create_from_job(
        self,
        job: JobRecord,
        folder: Path,
        *,
        name: str,
        format: str,
        type: str | None = None,
        description: str = "",
        parent_dataset: str | None = None,
    ) -> Dataset:
        """Create a dataset from a folder in a job's results; the job keeps its files.

        `type` and `parent_dataset` default to those of the dataset that the job belongs to. Raises BadRequest if the
        folder does not have the layout of type and format, or they do not fit; then no dataset is created.
        """
        source = self._store.datasets.get(job.user_id, parent_dataset or job.owner_id)
        type_ = type or (source.type if source is not None else "")
        body = DatasetCreate(type_, format, name=name, description=description or f"Made by {job.action}")
        record = self._new_record(job.user_id, body)
        record.parent_job, record.parent_dataset = job.id, None if source is None else source.id

        def placed(summary: DatasetSummary) -> None:
            with self._store.durable():
                self._store.datasets.add(msgspec.structs.replace(record, state="ready", summary=summary))

        # The row is added together with its data: a kill leaves both or neither.
        with self._claim(record.id):
            await self._intake.adopt(record, folder, self._data_of(job), placed)
        self._publisher.dataset(job.user_id, record.id, "created", f"derived by {job.action} {job.id[:8]}")
        self._checks.data_changed(job.user_id, record.id)
        return self.get(job.user_id, record.id)

    def _data_of(self, job: JobRecord) -> list[Path]:
        """The folders whose files may become a dataset of the job: its own, those that it read, and linked ones."""
        ids = {job.owner_id, *(seen.dataset_id for seen in job.data)}
        read = [found for each in ids if (found := self._store.datasets.get(job.user_id, each)) is not None]
        linked = [Path(each).expanduser() for each in self._config.storage.link_roots]
        return [self._root.job(job.id).path, *map(self._records.folder, read), *linked]

    @contextmanager
    def _claim(self, dataset_id: str) -> Iterator[None]:
        """Claim the dataset for an upload. Its end, successful or not, wakes the scheduler for waiting jobs."""
        try:
            with self._uploads.claim(dataset_id):
                yield
        finally:
            self._scheduler.wake()

    def _new_record(self, user_id: str, body: DatasetCreate) -> DatasetRecord:
        """A new record, not stored yet. Raises BadRequest for an unknown type or format, or if they do not fit."""
        type_, format_ = body.type, body.format
        if type_ not in set(DatasetType):
            raise BadRequest(f"Invalid dataset type: type {type_!r}; known are {', '.join(DatasetType)}")
        fitting = self._catalogue.dataset_formats(type_)
        if format_ not in set(DatasetFormat) or format_ not in fitting:
            raise BadRequest(
                f"Incompatible dataset format and type: format {format_!r} with type {type_!r}; "
                f"its formats are {', '.join(fitting)}"
            )
        now = iso(self._clock.time())
        return DatasetRecord(id=new_id(), user_id=user_id, created_on=now, last_modified=now, **set_fields(body))

    def _check_unused(self, record: DatasetRecord) -> None:
        users = self._store.datasets.users_of(record.id)
        if users:
            names = ", ".join(f"{name!r} ({model_id})" for model_id, name in users)
            raise BadRequest(f"dataset {record.name!r} is used by the models {names}; remove it from them first")

    def _check_not_read(self, record: DatasetRecord, *, but_own: bool = False) -> None:
        """Raise Conflict if a run reads the data; `but_own`: ignore the dataset's own jobs.

        A run reads the data recorded at its start, even if its model has other datasets now.
        """
        owners = {model_id for model_id, _ in self._store.datasets.users_of(record.id)} | {record.id}
        for job in self._store.jobs.in_states(ON_DEVICE):
            if but_own and job.owner_id == record.id:
                continue
            if job.owner_id in owners or any(seen.dataset_id == record.id for seen in job.data):
                raise Conflict(
                    f"job {job.id[:8]} ({job.action}) is reading dataset {record.name!r}; "
                    "wait until it has ended, or cancel it"
                )

    def _view(self, records: list[DatasetRecord]) -> list[Dataset]:
        jobs = self._store.jobs.public(DATASET, [record.id for record in records])
        return [
            Dataset(
                id=record.id,
                jobs=jobs[record.id],
                logo=record.logo,
                name=record.name,
                type=DatasetType(record.type),
                format=DatasetFormat(record.format),
                actions=self._catalogue.actions_for_dataset(record.type, record.format),
                version=record.version,
                created_on=record.created_on,
                description=record.description,
                last_modified=record.last_modified,
            )
            for record in records
        ]
