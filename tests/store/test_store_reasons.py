"""An older file keeps the reasons of its jobs, histories and trials; a code is given to those that decisions need."""

from __future__ import annotations

from pathlib import Path

import pytest

from store import Store
from store.database import Database
from store.migrations import STEPS, migrate
from taod.types.job import JobKind
from taod.types.reason import CANCELLED_BY_SWEEP, CANCELLED_BY_USER, TURN, Reason, ReasonCode
from taod.types.reason_text import text

BEFORE = dict(list(STEPS.items())[: list(STEPS).index("reasons_as_data")])
AT = "2024-03-01T10:00:00.000001+00:00"


def recorded(words: str) -> Reason:
    return Reason(ReasonCode.RECORDED, {"text": words})


EARLY = Reason(ReasonCode.SWEEP_ENDED_EARLY)
SLOW = "worse than the median of 4 recommendations at epoch 2"
JOBS = {
    "failed": ('exit code 1: ValueError: "x"\nline', recorded('exit code 1: ValueError: "x"\nline')),
    "queued": ("waits for its turn", TURN),
    "waiting": ("waits for its parent train 1", recorded("waits for its parent train 1")),
    "cancelled": ("Cancelled by user", CANCELLED_BY_USER),
}
TRIALS = [
    ("", None),
    ("pruned: the sweep was stopped early", Reason(ReasonCode.PRUNED, {"why": EARLY.document()})),
    (f"pruned: {SLOW}", Reason(ReasonCode.PRUNED, {"why": recorded(SLOW).document()})),
    ("loss was not finite", recorded("loss was not finite")),
]


WAITS = """{"wanted": 1, "alone": false, "devices": 1, "leased": 1, "holders": {"first": [{"job": "1234", "action":
    "train"}], "more": 0}, "kept_for": {"first": [], "more": 0}, "unavailable": [%s], "overtaken_with": null}"""
"""Arguments of a job that waits for devices."""


@pytest.fixture
def old(tmp_path: Path) -> Store:
    """A root of the version before, opened by this one."""
    database = Database(tmp_path / "taod.db")
    migrate(database, BEFORE)
    database.write("INSERT INTO users VALUES ('u', 'ada', ?)", [AT])
    database.write(
        """INSERT INTO datasets (id, user_id, name, name_key, description, logo, version, type, format, created_on,
        last_modified, state) VALUES ('d', 'u', '', '', '', '', '', '', '', ?1, ?1, 'ready')""",
        [AT],
    )
    texts = {state: words for state, (words, _) in JOBS.items()} | {"trial": "Cancelled by its sweep"}
    for state, words in texts.items():
        database.write(
            """INSERT INTO jobs (id, user_id, dataset_id, owner_kind, owner_id, network, action, state, reason,
            created_on, last_modified, priority, devices_wanted, devices, attempt, progress, warnings, search_key)
            VALUES (?1, 'u', 'd', 'dataset', 'd', '', 'convert', ?2, ?3, ?4, ?4, 0, 1, '[]', 0, '{}', '[]', '')""",
            [state, "cancelled" if state == "trial" else state, words, AT],
        )
        database.write(
            "INSERT INTO history (job_id, at, state, reason) VALUES (?, ?, 'queued', ?)", [state, AT, f"{words}!"]
        )
    settings = '{"algorithm":"Random","metric":"loss","minimise":true}'
    database.write("INSERT INTO sweeps VALUES ('failed', ?, '[]', '[]', '{}', 1, 1, NULL)", [settings])
    for number, (words, _) in enumerate(TRIALS):
        database.write(
            """INSERT INTO trials VALUES
            ('failed', ?, NULL, '{}', '{}', '{}', 0, 0, NULL, 0, NULL, '{}', 0, 'open', ?, 0)""",
            [number, words],
        )
    database.close()
    return Store.open(tmp_path / "taod.db")


@pytest.mark.parametrize(("state", "expected"), [(state, reason) for state, (_, reason) in JOBS.items()])
def test_a_job_of_an_older_file_keeps_its_reason(old: Store, state: str, expected: Reason) -> None:
    job = old.jobs.get(state)
    assert job is not None and job.reason == expected
    words = JOBS[state][0]
    assert job.view().reason == words
    assert [entry.reason for entry in old.jobs.history(state)] == [recorded(f"{words}!")]


def test_a_trial_that_its_sweep_cancelled_is_still_known_as_such(old: Store) -> None:
    job = old.jobs.get("trial")
    assert job is not None and job.reason == CANCELLED_BY_SWEEP


def test_trials_of_an_older_file_keep_their_reasons(old: Store) -> None:
    trials = old.sweeps.trials("failed")
    assert [trial.reason for trial in trials] == [reason for _, reason in TRIALS]
    assert [text(trial.reason) if trial.reason else "" for trial in trials] == [words for words, _ in TRIALS]


def test_a_sweep_of_an_older_file_is_one_by_its_kind(old: Store) -> None:
    kinds = {state: job.kind for state in JOBS if (job := old.jobs.get(state)) is not None}
    assert kinds == {state: JobKind.SWEEP if state == "failed" else JobKind.RUN for state in JOBS}
    assert (old.jobs.get("failed").trials, old.jobs.get("queued").trials) == (len(TRIALS), None)


def test_the_queue_of_an_older_file_is_explained_by_code(old: Store) -> None:
    assert old.queue.to_explain({"model": 1, "dataset": 1}) == []


def test_the_fault_of_a_device_keeps_its_text(tmp_path: Path) -> None:
    database = Database(tmp_path / "taod.db")
    migrate(database, dict(list(STEPS.items())[: list(STEPS).index("device_faults")]))
    database.write("INSERT INTO users VALUES ('u', 'ada', ?)", [AT])
    database.write(
        """INSERT INTO datasets (id, user_id, name, name_key, description, logo, version, type, format, created_on,
        last_modified, state) VALUES ('d', 'u', '', '', '', '', '', '', '', ?1, ?1, 'ready')""",
        [AT],
    )
    found = {
        "unfit": ("device_unfit", '{"device": "GPU 0", "fault": "in use by pid 7"}'),
        "devices": ("devices", WAITS % '{"device": "GPU 0", "fault": "lost"}'),
        "none": ("devices", WAITS % ""),
    }
    for job_id, (code, arguments) in found.items():
        database.write(
            """INSERT INTO jobs (id, user_id, dataset_id, owner_kind, owner_id, network, action, state, reason_code,
            reason_args, created_on, last_modified, priority, devices_wanted, devices, attempt, progress, warnings,
            search_key) VALUES (?1, 'u', 'd', 'dataset', 'd', '', 'convert', 'queued', ?2, ?3, ?4, ?4, 0, 1, '[]', 0,
            '{}', '[]', '')""",
            [job_id, code, arguments, AT],
        )
        database.write(
            "INSERT INTO history (job_id, at, state, reason_code, reason_args) VALUES (?, ?, 'queued', ?, ?)",
            [job_id, AT, code, arguments],
        )
    database.close()
    texts = {
        "unfit": "waits for a device: GPU 0 is in use by pid 7",
        "devices": "waits for a device: 1 of 1 leased by job 1234 (train); GPU 0 is lost",
        "none": "waits for a device: 1 of 1 leased by job 1234 (train)",
    }
    store = Store.open(tmp_path / "taod.db")
    for job_id, words in texts.items():
        job = store.jobs.get(job_id)
        assert job is not None and job.reason_text == words
        assert [entry.reason_text for entry in store.jobs.history(job_id)] == [words]
