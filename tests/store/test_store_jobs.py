"""Jobs: how they are made, found, changed, counted; results, leases, runs."""

from __future__ import annotations

import msgspec
import pytest

from store import Store
from store.leases import LeaseTaken
from store.records import HistoryRecord, JobFilter, RunRecord
from taod.clock import iso
from taod.errors import Conflict, NotFound
from taod.types.common import JobSort
from taod.types.job import Categorical, CategoryValue, DetailedStatus, Graphical, Job, Kpi, Result
from taod.types.reason import POSTED, Reason, ReasonCode
from taod.types.state import ImpossibleTransition, State
from taod.types.warning import Warning, WarningCode
from tests.store.conftest import REASON

RESULT = Result(
    kpi=[Kpi("loss", {"1": 0.5, "2": None})],
    graphical=[Graphical("lr", {"1": 0.1}, x_max=1, y_max=0.1)],
    categorical=[Categorical("ap", [CategoryValue("car", 0.6)])],
    epoch=2,
    max_epoch=3,
    eta="0:00:10",
    detailed_status=DetailedStatus("1/2/2024", "3:4:5", "RUNNING", "going on"),
)

ODD = Warning(WarningCode.UNKNOWN_PARAMETER, "$.a.b", {"network": "dino", "action": "train"})


def test_a_new_job_has_its_owners_name_its_dates_and_a_first_line_of_history(store: Store, make) -> None:
    model = make.model("my detector")
    at = make.clock.advance()
    job = store.jobs.add([make.new_job(model, spec={"a": [1, 2]}, warnings=[ODD], metric="mAP")])[0]
    found = store.jobs.specified(job.id)
    assert found is not None
    assert (job.owner_name, job.created_on, job.queued_at, found.spec, job.warnings) == (
        "my detector",
        at,
        at,
        {"a": [1, 2]},
        [ODD],
    )
    assert store.jobs.get(job.id) == store.jobs.owned("model", model.id, job.id) == job
    assert store.jobs.history(job.id) == [HistoryRecord(at, State.QUEUED, Reason(ReasonCode.QUEUED))]
    assert store.jobs.owned("dataset", model.id, job.id) is None
    assert store.jobs.get("none") is None


def test_a_chain_is_made_in_one_piece_and_lists_in_its_order(store: Store, make) -> None:
    model = make.model()
    first = make.new_job(model)
    others = [make.new_job(model, parent_id=first.id, state=State.WAITING) for _ in range(8)]
    made = store.jobs.add([first, *others])
    assert [job.id for job in store.jobs.list(sort=JobSort.DATE_ASCENDING)[0]] == [job.id for job in made]
    assert [job.id for job in store.jobs.children(first.id)] == [job.id for job in others]
    assert made[1].queued_at is None


def test_of_a_chain_with_a_wrong_parent_nothing_is_made(store: Store, make) -> None:
    model = make.model()
    with pytest.raises(Conflict):
        store.jobs.add([make.new_job(model), make.new_job(model, parent_id="none")])
    assert store.jobs.list()[1] == 0


def test_jobs_are_filtered_by_every_field(store: Store, make) -> None:
    model, dataset = make.model("Straßen"), make.dataset("Tiere")
    train, convert = make.job(model), make.job(dataset, action="convert", state=State.WAITING)
    other = make.user("grace")
    hers = make.job(make.model("hers", user_id=other.id, network_arch="ssd"))

    def found(**fields: object) -> set[str]:
        jobs, total = store.jobs.list(JobFilter(**fields))
        assert total == len(jobs) == sum(store.jobs.counts(JobFilter(**fields)).values())
        return {job.id for job in jobs}

    assert found() == {train.id, convert.id, hers.id}
    assert found(user_id=other.id) == {hers.id}
    assert found(owner_kind="dataset") == {convert.id}
    assert found(owner_id=model.id) == {train.id}
    assert found(states=frozenset({State.WAITING, State.DONE})) == {convert.id}
    assert found(states=frozenset()) == set()
    assert found(action="convert") == {convert.id}
    assert found(network="ssd") == {hers.id}
    assert found(text="STRASSEN") == {train.id}
    trial = make.job(model, sweep_id=train.id, trial=0)
    assert found(trials=True) == {trial.id}
    assert found(trials=False) == {train.id, convert.id, hers.id}
    assert found(trials=False, user_id=other.id) == {hers.id}
    assert found(trials=False, states=frozenset({State.QUEUED})) == {train.id, hers.id}
    assert found(trials=False, text="STRASSEN") == {train.id}
    store.jobs.delete(trial.id)
    assert found(text="tier") == found(text="CONV") == found(text="image_cl") == {convert.id}
    assert found(text=hers.id[4:13].upper()) == {hers.id}
    assert found(text="%") == set()


def test_a_search_follows_the_owners_new_name(store: Store, make) -> None:
    dataset = make.dataset("before")
    make.job(dataset)
    store.datasets.update(dataset.id, name="After")
    assert store.jobs.list(JobFilter(text="before"))[1] == 0
    assert store.jobs.list(JobFilter(text="after"))[0][0].owner_name == "After"


def test_jobs_are_counted_by_state(store: Store, make) -> None:
    model = make.model()
    make.job(model), make.job(model), make.job(model, state=State.WAITING)
    assert store.jobs.counts() == {State.QUEUED: 2, State.WAITING: 1}


def test_the_queue_is_ordered_by_priority_then_by_time(store: Store, make) -> None:
    model = make.model()
    early, late, urgent = make.job(model), make.job(model), make.job(model, priority=5)
    back = make.job(model)
    store.jobs.update(back.id, place=0)
    make.job(model, state=State.WAITING)
    assert [job.id for job in store.jobs.in_states([State.QUEUED])] == [urgent.id, back.id, early.id, late.id]
    assert store.jobs.in_states([]) == []


def test_an_update_changes_no_state_and_checks_names(store: Store, make) -> None:
    job = make.job()
    at = make.clock.advance()
    changed = store.jobs.update(job.id, priority=3, spec={"b": 1}, stop_intent="cancel")
    assert (changed.priority, changed.stop_intent, changed.last_modified) == (3, "cancel", at)
    found = store.jobs.specified(job.id)
    assert found is not None and found.spec == {"b": 1}
    assert len(store.jobs.history(job.id)) == 1
    for wrong in ("state", "colour", "owner_name", "owner_id", "search_key"):
        with pytest.raises(TypeError, match=wrong):
            store.jobs.update(job.id, **{wrong: "x"})
    with pytest.raises(NotFound):
        store.jobs.update("none", priority=1)


def test_a_note_is_written_beside_the_states(store: Store, make) -> None:
    job = make.job()
    store.jobs.note(job.id, REASON)
    assert [(entry.state, entry.reason) for entry in store.jobs.history(job.id)] == [
        (State.QUEUED, Reason(ReasonCode.QUEUED)),
        (State.QUEUED, REASON),
    ]
    with pytest.raises(NotFound):
        store.jobs.note("none", REASON)


def test_a_result_is_kept_whole_and_short(store: Store, make) -> None:
    job = make.job()
    assert store.jobs.result(job.id) == Result()
    saved = store.jobs.save_result(job.id, RESULT, metric_value=0.25)
    assert store.jobs.result(job.id) == RESULT
    assert saved.metric_value == 0.25
    assert saved.progress == Result(epoch=2, max_epoch=3, eta="0:00:10", detailed_status=RESULT.detailed_status)
    assert store.jobs.save_result(job.id, Result(epoch=3)).metric_value == 0.25
    assert store.jobs.result(job.id) == Result(epoch=3)
    with pytest.raises(NotFound):
        store.jobs.save_result("none", RESULT)
    with pytest.raises(NotFound):
        store.jobs.result("none")


def _read(jobs: list[Job]) -> list[Job]:
    """As a client reads them."""
    return msgspec.json.decode(msgspec.json.encode(jobs), type=list[Job])


def test_many_owners_jobs_come_with_their_results_at_once(store: Store, make) -> None:
    busy, idle, other = make.model(), make.model(), make.model()
    first, second = make.job(busy, spec={"a": 1}), make.job(busy, parent_id=None, state=State.WAITING)
    make.job(other)
    second = store.jobs.save_result(second.id, RESULT)
    found = store.jobs.public("model", [idle.id, busy.id])
    assert list(found) == [idle.id, busy.id] and found[idle.id] == []
    assert _read(found[busy.id]) == [first.public(Result()), second.public(RESULT)]
    assert store.jobs.public("dataset", [busy.id]) == {busy.id: []}


def test_an_owners_jobs_come_in_pages(store: Store, make) -> None:
    owner = make.model()
    jobs = [make.job(owner).id for _ in range(5)]
    make.job()
    page, total = store.jobs.public_page("model", owner.id, JobSort.DATE_ASCENDING, 1, 2)
    assert ([job.id for job in page], total) == (jobs[1:3], 5)
    page, total = store.jobs.public_page("model", owner.id, skip=4)
    assert ([job.id for job in page], total) == (jobs[:1], 5)
    assert store.jobs.public_page("dataset", owner.id) == ([], 0)


def test_the_newest_job_of_some_actions_is_found(store: Store, make) -> None:
    owner = make.model()
    train, prune = make.job(owner), make.job(owner, action="prune")
    failed = store.jobs.transition(make.job(owner).id, State.CANCELLED, REASON)
    make.job(owner, action="evaluate"), make.job()
    assert store.jobs.newest("model", owner.id, ["train", "prune"], but=[State.CANCELLED]) == (prune.id, "prune")
    assert store.jobs.newest("model", owner.id, ["train"], but=[State.CANCELLED]) == (train.id, "train")
    assert store.jobs.newest("model", owner.id, ["train"], but=[]) == (failed.id, "train")
    assert store.jobs.newest("model", owner.id, ["export"], but=[]) is None
    assert store.jobs.newest("dataset", owner.id, ["train"], but=[]) is None


def test_why_a_job_waits_is_said_of_one_that_waits(store: Store, make) -> None:
    queued, gone = make.job(), make.job_in(State.LEASED)
    assert store.jobs.explain(queued.id, REASON).reason == REASON
    assert store.jobs.explain(gone.id, REASON) is None
    assert store.jobs.get(gone.id) == gone and len(store.jobs.history(queued.id)) == 1


def test_the_kept_counts_equal_counted_ones(store: Store, make) -> None:
    for user in ("ada", "grace"):
        owner = make.model(user_id=make.user(user).id)
        jobs = [make.job(owner) for _ in range(6)]
        store.jobs.transition(jobs[0].id, State.CANCELLED, REASON)
        store.jobs.transition(jobs[1].id, State.HELD, REASON)
        store.jobs.delete(jobs[2].id)
        with pytest.raises(RuntimeError), store.transaction():
            store.jobs.transition(jobs[3].id, State.CANCELLED, REASON)
            make.job(owner)
            raise RuntimeError
        store.models.delete(make.job().owner_id)
    store.users.delete(make.user("grace").id)
    ada = JobFilter(user_id=make.user("ada").id)
    assert store.jobs.counts(ada) == {State.CANCELLED: 1, State.HELD: 1, State.QUEUED: 3}
    assert store.jobs.counts() == store.jobs.counts(ada)
    assert store.jobs.counts(JobFilter(states=frozenset({State.HELD, State.DONE}))) == {State.HELD: 1}
    for states in (None, frozenset({State.QUEUED}), frozenset({State.DONE}), frozenset()):
        wanted = JobFilter(user_id=ada.user_id, states=states)
        found, total = store.jobs.list(wanted)
        assert len(found) == total == sum(store.jobs.counts(wanted).values())


def test_deleting_a_parent_leaves_its_children_without_one(store: Store, make) -> None:
    model = make.model()
    parent = make.job(model)
    child = make.job(model, parent_id=parent.id, state=State.WAITING)
    assert store.jobs.delete(parent.id) and not store.jobs.delete(parent.id)
    orphan = store.jobs.get(child.id)
    assert orphan is not None and orphan.parent_id is None


def test_a_lease_gives_the_slots_and_names_the_devices(store: Store, make) -> None:
    job = make.job(devices_wanted=2)
    leased = store.jobs.lease(job.id, [("gpu-b", 1), ("gpu-a", 0), ("gpu-b", 0)], REASON)
    assert (leased.state, leased.devices, leased.reason) == (State.LEASED, ["gpu-b", "gpu-a"], REASON)
    assert [(lease.device_id, lease.slot) for lease in store.leases.for_job(job.id)] == [
        ("gpu-a", 0),
        ("gpu-b", 0),
        ("gpu-b", 1),
    ]
    assert store.leases.all() == store.leases.for_job(job.id)


def test_a_slot_is_leased_once_and_the_rejected_job_is_unchanged(store: Store, make) -> None:
    holder, other = make.job(), make.job()
    store.jobs.lease(holder.id, [("gpu", 1)], REASON)
    with store.transaction():  # The caller continues after the error, in a transaction of its own.
        with pytest.raises(LeaseTaken, match=f"slot 1 of device gpu is leased by job {holder.id}"):
            store.jobs.lease(other.id, [("gpu", 0), ("gpu", 1)], REASON)
        store.jobs.note(other.id, POSTED)
    assert store.jobs.get(other.id) == other
    assert store.leases.for_job(other.id) == []
    assert [entry.reason for entry in store.jobs.history(other.id)] == [Reason(ReasonCode.QUEUED), POSTED]
    store.jobs.lease(other.id, [("gpu", 0)], REASON)


def test_only_a_queued_job_is_leased(store: Store, make) -> None:
    job = make.job(state=State.WAITING)
    with pytest.raises(ImpossibleTransition):
        store.jobs.lease(job.id, [("gpu", 0)], REASON)
    assert store.leases.all() == []


def test_runs_are_kept_for_each_attempt(store: Store, make) -> None:
    job = make.job()
    first = store.runs.add(RunRecord(job.id, 1, "native", ["dino", "train"], {"TAOD_RUN": f"{job.id}/1"}))
    store.runs.add(RunRecord(job.id, 2, "embedded", [], {}))
    assert store.runs.get(job.id, 1) == first
    changed = store.runs.update(job.id, 1, identity=b'{"pid": 7}', exit_code=137, ended_at=iso(1))
    assert (changed.identity, changed.exit_code) == (b'{"pid": 7}', 137)
    latest = store.runs.latest(job.id)
    assert latest is not None and latest.attempt == 2
    assert store.runs.get(job.id, 3) is None and store.runs.latest("none") is None
    with pytest.raises(Conflict):
        store.runs.add(first)
    with pytest.raises(NotFound):
        store.runs.update(job.id, 3, exit_code=0)
    with pytest.raises(TypeError, match="pid"):
        store.runs.update(job.id, 1, pid=7)


def test_the_mark_of_an_attempts_first_status_line_is_remembered(store: Store, make) -> None:
    job = make.job()
    store.jobs.mark_status(job.id, 2, "train/status.json", 120)
    assert store.jobs.status_mark(job.id, 2) == ("train/status.json", 120)
    assert store.jobs.status_mark(job.id, 1) is None


def test_jobs_made_together_have_dates_in_their_order_at_any_moment(store: Store, make) -> None:
    owner = make.model()
    for moment in range(50):
        make.clock.now = 1_795_588_060.0 + moment * 1.37e-7
        dates = [job.created_on for job in store.jobs.add([make.new_job(owner) for _ in range(3)])]
        assert dates == sorted(set(dates))
