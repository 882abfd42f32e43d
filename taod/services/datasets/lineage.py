"""Data of jobs: the datasets that they may read, the data that they read, and changes of linked folders."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable, Sequence
from pathlib import Path

import msgspec

from store import Store
from store.records import DatasetRecord
from taod.clock import Clock
from taod.datasets.validation.fingerprint import figures, fingerprint
from taod.telemetry.publisher import Publisher
from taod.types.common import OwnerKind
from taod.types.job import DataSeen
from taod.types.reason import noted
from taod.types.warning import Warning, WarningCode
from taod.types.warning_text import text

log = logging.getLogger(__name__)

ROLES = {"eval": "eval_dataset", "inference": "inference_dataset", "calibration": "calibration_dataset"}
"""Roles with one dataset per model → the model's field."""

AT_POST_S = 0.5
"""How long a POST waits for the inspection of linked folders; later results are added to the job's history."""
AT_READ_S = 0.05


def datasets_read(store: Store, user_id: str, owner_kind: OwnerKind, owner_id: str) -> list[tuple[str, DatasetRecord]]:
    """(role, dataset) of everything that a job of this model or dataset may read."""
    named = datasets_named(store, user_id, owner_kind, owner_id)
    return [(role, found) for role, dataset_id in named if (found := store.datasets.get(user_id, dataset_id))]


def datasets_named(store: Store, user_id: str, owner_kind: OwnerKind, owner_id: str) -> list[tuple[str, str]]:
    """(role, dataset's id) of everything that a job of this model or dataset may read, if it exists."""
    if owner_kind == "dataset":
        return [("own", owner_id)]
    model = store.models.get(user_id, owner_id)
    if model is None:
        return []
    trained = [("train", dataset_id) for dataset_id in model.train_datasets]
    return trained + [(role, dataset_id) for role, field in ROLES.items() if (dataset_id := getattr(model, field))]


class _Inspection(msgspec.Struct, frozen=True):
    """The result of one inspection of a linked folder."""

    registered: str | None
    """The fingerprint that it was compared with."""
    found: str | None
    """None: the folder cannot be read."""
    at: float


class Lineage:
    """Inspects each linked folder in a thread, at most every `check_s`, and records the data of jobs."""

    def __init__(self, store: Store, publisher: Publisher, clock: Clock, check_s: float) -> None:
        self._store = store
        self._publisher = publisher
        self._clock = clock
        self._check_s = check_s
        self._inspections: dict[str, _Inspection] = {}
        self._inspecting: dict[str, asyncio.Task[None]] = {}
        self._recording: set[asyncio.Task[None]] = set()

    def known(self, dataset: DatasetRecord) -> list[Warning]:
        """Warnings of the last inspection, without reading the disk."""
        last = self._inspections.get(dataset.id)
        if dataset.state != "linked" or last is None or last.registered != _registered(dataset):
            return []
        if last.found is None:
            return [Warning(WarningCode.LINK_UNREADABLE, dataset.name, {"path": dataset.path})]
        if last.registered is None or last.found == last.registered:
            return []
        then, now = figures(last.registered), figures(last.found)
        change = (
            f"{then.files} files with {then.bytes} bytes then, {now.files} with {now.bytes} now"
            if then != now
            else f"its {now.files} files have the same sizes and other names or times"
        )
        remedy = "link it again to use the changed data"
        return [Warning(WarningCode.LINK_CHANGED, dataset.name, {"change": change}, remedy)]

    async def inspect(self, datasets: Iterable[DatasetRecord], patience_s: float = AT_READ_S) -> list[Warning]:
        """Inspect linked folders again if needed and return the warnings.

        An inspection that takes longer than `patience_s` continues in the background.
        """
        linked = [dataset for dataset in datasets if dataset.state == "linked"]
        tasks = [task for dataset in linked if (task := self._inspect(dataset, self._check_s)) is not None]
        if tasks:
            await asyncio.wait(tasks, timeout=patience_s)
        found = [warning for dataset in linked for warning in self.known(dataset)]
        return [warning for at, warning in enumerate(found) if warning not in found[:at]]

    async def before(self, user_id: str, owner_kind: OwnerKind, owner_id: str) -> list[Warning]:
        """Warnings about all datasets that jobs of this owner may read."""
        read = datasets_read(self._store, user_id, owner_kind, owner_id.lower())
        return await self.inspect([dataset for _, dataset in read], AT_POST_S)

    def begin(self, job_id: str, warnings: Sequence[Warning], read: Sequence[tuple[str, DatasetRecord]]) -> None:
        """Record the data that a starting job reads; inspect linked folders and update the record asynchronously.

        `warnings`: the job's existing warnings, which are not added to its history again.
        """
        self._record(job_id, read)
        linked = [dataset for _, dataset in read if dataset.state == "linked"]
        if linked:
            task = asyncio.get_running_loop().create_task(self._begin(job_id, warnings, read, linked))
            self._recording.add(task)
            task.add_done_callback(self._recording.discard)

    async def settled(self) -> None:
        """Wait for all running inspections."""
        while tasks := [*self._inspecting.values(), *self._recording]:
            await asyncio.wait(tasks)

    async def close(self) -> None:
        """Cancel all running inspections."""
        tasks = [*self._inspecting.values(), *self._recording]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _inspect(self, dataset: DatasetRecord, max_age_s: float) -> asyncio.Task[None] | None:
        """The running inspection, or a new one if the last is outdated; else None."""
        if dataset.id in self._inspecting:
            return self._inspecting[dataset.id]
        last = self._inspections.get(dataset.id)
        fresh = last is not None and self._clock.monotonic() - last.at < max_age_s
        if fresh and last is not None and last.registered == _registered(dataset):
            return None
        task = asyncio.get_running_loop().create_task(self._compare(dataset))
        self._inspecting[dataset.id] = task
        task.add_done_callback(lambda _: self._inspecting.pop(dataset.id, None))
        return task

    async def _compare(self, dataset: DatasetRecord) -> None:
        before = self.known(dataset)
        try:
            found = await asyncio.to_thread(fingerprint, Path(dataset.path or ""))
        except OSError:
            found = None
        self._inspections[dataset.id] = _Inspection(_registered(dataset), found, self._clock.monotonic())
        now = self.known(dataset)
        if now and now != before:
            self._publisher.dataset(dataset.user_id, dataset.id, "updated", text(now[0]))

    async def _begin(
        self,
        job_id: str,
        warnings: Sequence[Warning],
        read: Sequence[tuple[str, DatasetRecord]],
        linked: Sequence[DatasetRecord],
    ) -> None:
        try:
            tasks = [task for dataset in linked if (task := self._inspect(dataset, 0.0)) is not None]
            if tasks:
                await asyncio.wait(tasks)
            if self._store.jobs.get(job_id) is None:
                return
            with self._store.transaction():
                self._record(job_id, read)
                for dataset in {dataset.id: dataset for dataset in linked}.values():
                    for warning in self.known(dataset):
                        if warning not in warnings:
                            self._store.jobs.note(job_id, noted(warning))
        except Exception:
            log.exception("the data that job %s reads could not be recorded", job_id)

    def _record(self, job_id: str, read: Sequence[tuple[str, DatasetRecord]]) -> None:
        self._store.jobs.update(job_id, data=[self._seen(role, dataset) for role, dataset in read])

    def _seen(self, role: str, dataset: DatasetRecord) -> DataSeen:
        last = self._inspections.get(dataset.id) if dataset.state == "linked" else None
        current = last is not None and last.registered == _registered(dataset)
        return DataSeen(
            role=role,
            dataset_id=dataset.id,
            name=dataset.name,
            fingerprint=last.found if last is not None and current else _registered(dataset),
            linked=dataset.state == "linked",
            changed=bool(self.known(dataset)),
        )


def _registered(dataset: DatasetRecord) -> str | None:
    return None if dataset.summary is None else dataset.summary.fingerprint
