"""Changes of state: each that may be, each that may not, and what follows from them."""

from __future__ import annotations

import itertools

import pytest

from store import Store
from taod.errors import Conflict, NotFound
from taod.types.state import TRANSITIONS, ImpossibleTransition, State
from tests.store.conftest import REASON


@pytest.mark.parametrize(("old", "new"), itertools.product(State, State))
def test_every_pair_of_states(store: Store, make, old: State, new: State) -> None:
    job = make.job_in(old)
    before = store.jobs.history(job.id)
    held = store.leases.for_job(job.id)
    assert bool(held) == old.on_device
    at = make.clock.advance()

    if new not in TRANSITIONS[old]:
        with pytest.raises(ImpossibleTransition):
            store.jobs.transition(job.id, new, REASON)
        assert store.jobs.get(job.id) == job
        assert store.jobs.history(job.id) == before
        assert store.leases.for_job(job.id) == held
        return

    after = store.jobs.transition(job.id, new, REASON)
    assert store.jobs.get(job.id) == after
    assert (after.state, after.reason, after.last_modified) == (new, REASON, at)
    assert store.jobs.history(job.id)[:-1] == before
    last = store.jobs.history(job.id)[-1]
    assert (last.at, last.state, last.reason) == (at, new, REASON)
    assert store.leases.for_job(job.id) == (held if new.on_device else [])
    if new is State.RUNNING:
        assert after.started_at == at
    if new.ended or new is State.PAUSED:
        assert after.ended_at == at
    if new in (State.QUEUED, State.WAITING, State.HELD):
        assert (after.started_at, after.ended_at, after.stop_intent) == (None, None, None)


def test_a_change_of_state_is_one_transaction_with_its_row_of_history(store: Store, make) -> None:
    job = make.job_in(State.LEASED)
    before = store.jobs.history(job.id), store.leases.for_job(job.id), store.jobs.counts()
    database = store._database
    database.write("CREATE TEMP TRIGGER full BEFORE INSERT ON history BEGIN SELECT RAISE(ABORT, 'full'); END")
    with pytest.raises(Conflict, match="full"):
        store.jobs.transition(job.id, State.CANCELLED, REASON)
    assert store.jobs.get(job.id) == job
    assert (store.jobs.history(job.id), store.leases.for_job(job.id), store.jobs.counts()) == before


def test_a_place_in_the_queue_is_when_it_was_entered_and_kept_by_one_that_never_ran(store: Store, make) -> None:
    waiting = make.job(state=State.WAITING)
    assert waiting.place == 0
    make.clock.advance()
    queued = store.jobs.transition(waiting.id, State.QUEUED, REASON)
    assert queued.place == round(make.clock.now * 1e9)
    make.clock.advance()
    store.jobs.lease(queued.id, [("g0", 0)], REASON)
    assert store.jobs.transition(queued.id, State.QUEUED, REASON).place == queued.place


def test_a_job_that_enters_the_queue_goes_to_its_end_but_one_that_never_ran_keeps_its_place(store: Store, make) -> None:
    started = make.job_in(State.STARTING)
    paused = make.job_in(State.PAUSED)
    place = started.queued_at
    assert store.jobs.transition(started.id, State.QUEUED, REASON).queued_at == place
    at = make.clock.advance()
    assert store.jobs.transition(paused.id, State.QUEUED, REASON).queued_at == at


def test_a_stop_intent_lives_until_the_job_has_ended(store: Store, make) -> None:
    job = make.job_in(State.RUNNING)
    asked = store.jobs.transition(job.id, State.STOPPING, REASON, stop_intent="cancel")
    assert asked.stop_intent == "cancel"
    assert store.jobs.transition(job.id, State.CANCELLED, REASON).stop_intent is None


def test_fields_are_written_with_the_state_and_win_over_what_follows_from_it(store: Store, make) -> None:
    job = make.job_in(State.LEASED)
    after = store.jobs.transition(job.id, State.STARTING, REASON, attempt=1, runner="native")
    assert (after.attempt, after.runner) == (1, "native")
    done = store.jobs.transition(job.id, State.DONE, REASON, ended_at="2024-01-01")
    assert done.ended_at == "2024-01-01"


def test_a_wrong_name_changes_nothing(store: Store, make) -> None:
    job = make.job()
    with pytest.raises(TypeError, match="colour"):
        store.jobs.transition(job.id, State.HELD, REASON, colour="red")
    assert store.jobs.get(job.id) == job


def test_an_unknown_job_has_no_state_to_change(store: Store) -> None:
    with pytest.raises(NotFound):
        store.jobs.transition("none", State.QUEUED, REASON)
