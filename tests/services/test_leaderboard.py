"""The leaderboard: which jobs are ranked, by which metric, in which order."""

from __future__ import annotations

import msgspec
import pytest

from store import Store
from store.records import JobFilter, JobRecord
from taod.errors import BadRequest
from taod.services.jobs.leaderboard import rank
from taod.services.resources import PageRequest
from taod.types.job import DataSeen, JobKind, Kpi, Result
from tests.store.conftest import FakeClock, Maker, clock, make, store

__all__ = ["clock", "make", "store"]

ALL = PageRequest()


def trained(
    make: Maker,
    *,
    network: str = "unet",
    dataset: str = "d1",
    kind: JobKind = JobKind.RUN,
    **losses: dict[str, float | None],
) -> JobRecord:
    job = make.job(make.model(network_arch=network), metric="mIoU", kind=kind)
    make.store.jobs.update(job.id, data=[DataSeen("train", dataset, f"images {dataset}"), DataSeen("eval", "e", "e")])
    return make.store.jobs.save_result(job.id, Result(kpi=[Kpi(name, values) for name, values in losses.items()]))


def ids(store: Store, filter: JobFilter = JobFilter(), metric: str | None = None, page: PageRequest = ALL) -> list[str]:
    return [entry.job_id for entry in rank(store, filter, metric, page).entries]


def test_jobs_are_ranked_by_their_best_epoch(store: Store, make: Maker) -> None:
    one = trained(make, mIoU={"1": 0.5, "2": 0.9, "3": 0.7}, val_loss={"1": 0.4, "2": 0.2})
    two = trained(make, mIoU={"1": 0.95}, val_loss={"1": 0.3})
    made = rank(store, JobFilter(), None, ALL)
    assert (made.metric, made.lower_is_better, made.total) == ("mIoU", False, 2)
    assert set(made.metrics) == {"mIoU", "val_loss"}
    assert [(entry.job_id, entry.best, entry.epoch, entry.last) for entry in made.entries] == [
        (two.id, 0.95, 1, 0.95),
        (one.id, 0.9, 2, 0.7),
    ]
    assert made.entries[0].datasets == ["images d1", "e"]
    falling = rank(store, JobFilter(), "val_loss", ALL)
    assert falling.lower_is_better and [entry.job_id for entry in falling.entries] == [one.id, two.id]
    assert ids(store, metric="VAL_LOSS") == [one.id, two.id]


def test_values_that_are_not_finite_or_missing_are_not_ranked(store: Store, make: Maker) -> None:
    good = trained(make, mIoU={"1": None, "2": 0.1})
    trained(make, mIoU={"1": None})
    make.job()
    assert ids(store) == [good.id]


def test_filters_and_pages_narrow_it(store: Store, make: Maker) -> None:
    first = trained(make, mIoU={"1": 0.3})
    second = trained(make, dataset="d2", mIoU={"1": 0.2})
    third = trained(make, network="segformer", mIoU={"1": 0.1})
    assert ids(store, JobFilter(network="unet")) == [first.id, second.id]
    assert ids(store, JobFilter(dataset="d2")) == [second.id]
    assert ids(store, JobFilter(dataset="e"), page=PageRequest(1, 1)) == [second.id]
    assert ids(store, page=PageRequest(skip=2)) == [third.id]
    assert rank(store, JobFilter(user_id="another"), None, ALL).metric is None


def test_a_sweep_is_ranked_by_its_trials_alone(store: Store, make: Maker) -> None:
    trial = trained(make, mIoU={"1": 0.3})
    trained(make, kind=JobKind.SWEEP, mIoU={"1": 0.4})
    assert ids(store) == [trial.id]


def test_an_unknown_metric_is_rejected_with_those_that_are_reported(store: Store, make: Maker) -> None:
    trained(make, mIoU={"1": 0.3})
    with pytest.raises(BadRequest, match="metric = 'accuracy': none of these jobs reports it; they report mIoU"):
        rank(store, JobFilter(), "accuracy", ALL)
    assert rank(store, JobFilter(network="dino"), "accuracy", ALL).entries == []


def test_it_is_encoded_as_plain_json(store: Store, make: Maker, clock: FakeClock) -> None:
    job = trained(make, mIoU={"1": 0.3})
    (entry,) = msgspec.to_builtins(rank(store, JobFilter(), None, ALL))["entries"]
    assert entry["job_id"] == job.id and entry["best"] == 0.3 and entry["trial"] is None
