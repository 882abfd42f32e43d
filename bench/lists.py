"""Pages of long lists, and writes, in the services: time from the call to the bytes of the answer."""

from __future__ import annotations

import itertools
import json
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import msgspec

from bench import _filled
from store.records import JobFilter, ResourceFilter
from taod.config import Config
from taod.paths import Root
from taod.scheduler.policy.dispatch import Snapshot, decide, most_wanted
from taod.scheduler.policy.fair_share import Line
from taod.scheduler.scheduler import CHANGED_AT_ONCE
from taod.services import Services
from taod.services.composition import open_services
from taod.services.datasets.dataset_service import Datasets
from taod.services.models.model_service import Models
from taod.services.resources import PageRequest
from taod.types.common import JobSort, Sort
from taod.types.dataset import DatasetCreate
from taod.types.job import Job
from taod.types.model import ModelCreate
from taod.types.reason import POSTED, TURN
from taod.types.state import State

ROWS, JOBS_EACH = 10_000, 10
FILES = 1_000
"""Datasets of the peer, whose time is linear; 110,000 files would take minutes to create."""
ROUNDS = 51
PAGE = PageRequest(0, 20)
GOAL, CREATE = "goal ≤ 3 ms", "goal ≤ 2 ms"
_encode = msgspec.json.encode


def run() -> list[tuple[str, str, str]]:
    with tempfile.TemporaryDirectory(prefix="taod-bench-") as folder:
        return [
            *_resources(Path(folder) / "resources"),
            *_jobs(Path(folder) / "jobs"),
            *_one_model(Path(folder) / "one"),
            *_queue(Path(folder) / "queue"),
        ]


def _resources(folder: Path) -> Iterator[tuple[str, str, str]]:
    """Lists of datasets and models with ten jobs each."""
    peer = f"{_files_walk_s(folder / 'files') * 1000:.0f} ms to walk the JSON files of {FILES:,} datasets; {GOAL}"
    with _opened(folder, datasets=ROWS, models=ROWS, jobs_each=JOBS_EACH) as (services, user):
        for name, service in (("datasets", services.datasets), ("models", services.models)):
            for how, wanted, sort in (
                ("by date", ResourceFilter(), Sort.DATE_DESCENDING),
                ("whose name has “97”, by name", ResourceFilter(name="97"), Sort.NAME_ASCENDING),
                ("whose name has “none”, by name", ResourceFilter(name="none"), Sort.NAME_ASCENDING),
            ):
                took = _times(partial(_page_of, service, user, wanted, sort))
                yield f"20 of {ROWS:,} {name} with {JOBS_EACH} jobs each, {how}", _shown(took), peer
                peer = GOAL
        body = DatasetCreate(type=_filled.KIND, format=_filled.NETWORK)
        yield "create a dataset", _shown(_times(lambda: _encode(services.datasets.create(user, body)))), CREATE
        model = ModelCreate(network_arch=_filled.NETWORK)
        yield "create a model", _shown(_times(lambda: _encode(services.models.create(user, model)))), CREATE


def _jobs(folder: Path) -> Iterator[tuple[str, str, str]]:
    with _opened(folder, models=ROWS // JOBS_EACH, jobs_each=JOBS_EACH) as (services, user):
        for how, wanted in (
            ("by date", JobFilter(user_id=user)),
            ("that run", JobFilter(user_id=user, states=frozenset({State.RUNNING}))),
            ("by network and action", JobFilter(user_id=user, network=_filled.NETWORK, action="train")),
            ("with “model 97”", JobFilter(user_id=user, text="model 97")),
            ("with “none”", JobFilter(user_id=user, text="none")),
        ):
            took = _times(partial(_page_of_jobs, services, wanted))
            yield f"20 of {ROWS:,} jobs {how}", _shown(took), GOAL
        yield "how many are in each state", _shown(_times(lambda: services.jobs.counts(JobFilter(user_id=user)))), GOAL


def _one_model(folder: Path) -> Iterator[tuple[str, str, str]]:
    with _opened(folder, models=1, jobs_each=ROWS) as (services, user):
        (found,) = services.store.models.list(user, ResourceFilter(name="Model 0"))[0]
        took = _times(lambda: _encode(services.models.get(user, found.id)), 9)
        size = len(_encode(services.models.get(user, found.id)))
        # An answer that is built from objects must decode and encode the results.
        jobs = services.store.jobs.public("model", [found.id])[found.id]
        stored = _encode(jobs)
        objects = _times(lambda: _encode(msgspec.json.decode(stored, type=list[Job])), 9)
        yield (
            f"a model with {ROWS:,} jobs, {size / 1e6:.0f} MB",
            _shown(took),
            f"{_shown(objects)} to decode and encode its results alone",
        )
        page = _times(lambda: _encode(services.jobs.of_owner(user, "model", found.id, JobSort.DATE_DESCENDING, PAGE)))
        yield f"20 of a model's {ROWS:,} jobs", _shown(page), GOAL


def _queue(folder: Path) -> Iterator[tuple[str, str, str]]:
    with _opened(folder, queued=ROWS, waiting=ROWS) as (services, _):
        queue, devices = services.store.queue, services.devices_view.now()
        with services.store.transaction():
            for job in services.store.jobs.in_states([State.QUEUED]):
                services.store.jobs.explain(job.id, TURN)

        def look() -> None:
            pending = queue.to_explain(most_wanted(devices))
            for one in queue.waiting_owners():
                queue.waiting_of(one.owner_id, POSTED, CHANGED_AT_ONCE)
            lines = [
                Line(first.priority, first.user_id, first.owner_kind, itertools.chain([first], queue.behind(first)))
                for first in queue.fronts()
            ]
            decide(Snapshot(pending, devices=devices, lines=lines))

        everything = _times(lambda: services.store.jobs.in_states([State.QUEUED, State.WAITING]), 5)
        yield (
            f"a scheduling pass over {ROWS:,} queued and {ROWS:,} waiting jobs",
            _shown(_times(look)),
            f"{_shown(everything)} to read them all",
        )


def _page_of(service: Datasets | Models, user: str, wanted: ResourceFilter, sort: Sort) -> bytes:
    return _encode(service.page(user, wanted, sort, PAGE).items)


def _page_of_jobs(services: Services, wanted: JobFilter) -> bytes:
    return _encode(services.jobs.page(wanted, JobSort.DATE_DESCENDING, PAGE).items)


@contextmanager
def _opened(folder: Path, **rows: int) -> Iterator[tuple[Services, str]]:
    """Yields services on a filled store, and the user's id."""
    root = Root(folder / "root")
    root.path.parent.mkdir(parents=True, exist_ok=True)
    root.make()
    user = _filled.fill(root.database, **rows)
    config = Config()
    config.storage.root = str(root.path)
    services = open_services(config)
    try:
        yield services, user.id
    finally:
        services.store.close()


def _files_walk_s(folder: Path) -> float:
    """A page of 20 datasets from JSON files, one per dataset and job: all are read, filtered and sorted."""
    result = json.loads(_encode(_filled.RESULT))
    for number in range(FILES):
        jobs = folder / f"{number}" / "jobs"
        jobs.mkdir(parents=True)
        (jobs.parent / "metadata.json").write_text(json.dumps({"name": f"Dataset {number}", "created_on": number}))
        for job in range(JOBS_EACH):
            (jobs / f"{job}.json").write_text(json.dumps({"id": job, "status": "Done", "result": result}))

    def walk() -> str:
        found = []
        for dataset in folder.iterdir():
            entry = json.loads((dataset / "metadata.json").read_text())
            entry["jobs"] = [json.loads(path.read_text()) for path in (dataset / "jobs").iterdir()]
            found.append(entry)
        found = [entry for entry in found if "set" in entry["name"]]
        return json.dumps(sorted(found, key=lambda entry: entry["created_on"], reverse=True)[:20])

    return statistics.median(_times(walk, 5))


def _times(action: Callable[[], object], rounds: int = ROUNDS) -> list[float]:
    action()
    times = []
    for _ in range(rounds):
        began = time.perf_counter()
        action()
        times.append(time.perf_counter() - began)
    return times


def _shown(times: list[float]) -> str:
    milliseconds = sorted(time * 1000 for time in times)
    return f"{statistics.median(milliseconds):.2f} ms (from {milliseconds[0]:.2f} to {milliseconds[-1]:.1f})"
