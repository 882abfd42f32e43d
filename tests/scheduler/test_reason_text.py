"""The sentence of every reason."""

from __future__ import annotations

import msgspec
import pytest

from taod.types.reason import Actor, Reason, ReasonCode, cancelled, noted, waits_for_parent
from taod.types.reason_text import EXIT_MEANINGS, data_text, text
from taod.types.state import State
from taod.types.warning import Warning, WarningCode

JOB = {"job": "0123456789", "action": "train"}
DATA = {"role": "train", "dataset": "digits"}
NONE = {"first": [], "more": 0}
DEVICES = {
    "wanted": 1, "alone": False, "devices": 2, "leased": 0, "holders": NONE, "kept_for": NONE, "unavailable": [],
    "overtaken_with": None,
}  # fmt: skip
FOREIGN = {"processes": [{"pid": 7, "name": "sleep"}, {"pid": 8, "name": ""}], "more": 2}
LOG = {"log": "the last line"}
EXIT = {"exit_code": 1, "detail": "", "memory": "", "after_success": False}
WHY = Reason(ReasonCode.ALL_TRIED).document()
C = ReasonCode

TEXTS = [
    (Reason(C.RECORDED, {"text": "as it was"}), "as it was"),
    (Reason(C.POSTED), "waits for the scheduler"),
    (waits_for_parent("0123456789", "train"), "waits for its parent train 01234567"),
    (waits_for_parent("0123456789", "train", State.RUNNING), "waits for its parent train 01234567"),
    (waits_for_parent("0123456789", "train", State.PAUSED), "waits for its parent train 01234567 (paused)"),
    (waits_for_parent("0123456789", "train", State.HELD), "waits for its parent train 01234567 (held)"),
    (Reason(C.DATA_UPLOADING, DATA), "waits: its train dataset 'digits' is still being uploaded"),
    (Reason(C.DATA_MISSING, DATA),
     "waits: its train dataset 'digits' has no data yet: upload an archive or link a folder"),
    (Reason(C.DATA_CONVERTING, {**DATA, **JOB, "held": True}),
     "waits: its train dataset 'digits' is being converted by train 01234567 (held)"),
    (Reason(C.DATA_UNKNOWN, {"error": "disk error"}), "waits: the state of its data cannot be read (disk error)"),
    (Reason(C.RELEASED), "released by the user"),
    (Reason(C.QUEUED), "Queued"),
    (Reason(C.TURN), "waits for its turn"),
    (Reason(C.QUEUE_PAUSED, {"by": "ada", "message": ""}), "waits: the queue is paused by ada"),
    (Reason(C.QUEUE_PAUSED, {"by": "ada", "message": "driver"}), "waits: the queue is paused by ada: driver"),
    (Reason(C.LIMIT_RUNNING, {"running": 1}), "waits: 1 job runs, the most that scheduler.max_running allows"),
    (Reason(C.LIMIT_USER, {"running": 2}),
     "waits: 2 jobs run for its user, the most that scheduler.max_running_per_user allows"),
    (Reason(C.DEVICES, {**DEVICES, "leased": 1, "holders": {"first": [JOB, {}], "more": 1}}),
     "waits for a device: 1 of 2 leased by job 01234567 (train), another user's job and 1 more"),
    (Reason(C.DEVICES, {**DEVICES, "wanted": 2, "alone": True, "kept_for": {"first": [JOB], "more": 0},
                        "unavailable": [{"device": "GPU 0", "fault": Reason(C.DEVICE_SILENT).document()}],
                        "overtaken_with": 3}),
     "waits for 2 devices of its own: free ones are kept for train 01234567; GPU 0 is lost: its driver no longer "
     "answers for it; users take turns, and its user has 3 running"),
    (Reason(C.DEVICES, {**DEVICES, "overtaken_with": 0}), "waits for a device: users take turns"),
    (Reason(C.DEVICE_UNFIT, {"device": "GPU 0", "fault": Reason(C.DEVICE_FOREIGN, FOREIGN).document()}),
     "waits for a device: GPU 0 is in use by pid 7 (sleep), pid 8 and 2 more, not taod's"),
    (Reason(C.DEVICE_SILENT), "lost: its driver no longer answers for it"),
    (Reason(C.DEVICE_FOREIGN, {**FOREIGN, "more": 0}), "in use by pid 7 (sleep), pid 8, not taod's"),
    (Reason(C.DEVICE_MEMORY, {"free_gib": 10.0, "total_gib": 80.0, "wanted_gib": 20.0}),
     "short of memory: 10.0 GiB free of 80.0, devices.min_free_memory asks for 20.0"),
    (Reason(C.CLUSTER, {"cluster": "slurm", "slots": 2}), "waits for slurm: 2 of 2 runs are under way there"),
    (Reason(C.RESUMED), "Resumed"),
    (Reason(C.RETRY, {"retry": 1, "retries": 3}), "Retry 1 of 3"),
    (Reason(C.RESTARTED), "The daemon was restarted before it was started"),
    (Reason(C.NOT_STARTED, {"at": "2024"}), "It could not be started by 2024"),
    (Reason(C.TRIAL, {"trial": 3, "sweep": "0123456789"}), "Trial 3 of sweep 01234567"),
    (Reason(C.TRIAL_PROMOTED, {"epochs": 9}), "Promoted to 9 epochs"),
    (Reason(C.SWEEP_RESUMED), "Its sweep resumes"),
    (Reason(C.HELD), "held by the user"),
    (Reason(C.RETRY_LATER, {"retry": 1, "retries": 3, "pause_s": 30.0,
                            "failure": Reason(C.EXIT, {**EXIT, **LOG}).document()}),
     "Retry 1 of 3 in 30 s, after: exit code 1"),
    (Reason(C.SWEEP_HELD), "Held while its sweep is paused"),
    (Reason(C.LEASED, {"devices": ["GPU 0", "GPU 1"]}), "Leased GPU 0, GPU 1"),
    (Reason(C.LEASED_CLUSTER, {"cluster": "slurm"}), "Given to slurm"),
    (Reason(C.LEASED_NOTHING), "It needs no device itself"),
    (Reason(C.STARTING, {"runner": "docker"}), "Starting with docker"),
    (Reason(C.RUNNING, {"runner": "docker"}), "Running with docker"),
    (Reason(C.SWEEP_STARTING), "Starts its trials"),
    (Reason(C.SWEEP_RUNNING), "Runs its trials"),
    (Reason(C.STOPPING, {"intent": "cancel"}), "Being cancelled"),
    (Reason(C.STOPPING, {"intent": "pause"}), "Being paused"),
    (Reason(C.STOPPING, {"intent": "finish"}), "Stopped early: ends with its best trial"),
    (Reason(C.ENDED), "Ended"),
    (Reason(C.DONE, {"message": ""}), "Done"),
    (Reason(C.DONE, {"message": "All went well"}), "All went well"),
    (Reason(C.PAUSED, {"epoch": None}), "Paused before its first epoch"),
    (Reason(C.PAUSED, {"epoch": 3}), "Paused at epoch 3"),
    (Reason(C.SWEEP_PAUSED, {"ended": 1, "planned": 4, "metric": "loss"}), "Paused: 1 of 4 trials done"),
    (Reason(C.SWEEP_PAUSED, {"ended": 1, "planned": 4, "metric": "loss", "value": 0.25, "trial": 0}),
     "Paused: 1 of 4 trials done; best loss 0.25 (trial 0)"),
    (cancelled(Actor.USER), "Cancelled by user"),
    (cancelled(Actor.SWEEP), "Cancelled by its sweep"),
    (cancelled(Actor.PRUNING_SWEEP, Reason(C.SWEEP_ENDED_EARLY)),
     "Cancelled by its sweep (the sweep was stopped early)"),
    (cancelled(Actor.MODEL_DELETION), "Cancelled by the deletion of its model"),
    (cancelled(Actor.DATASET_DELETION), "Cancelled by the deletion of its dataset"),
    (cancelled(Actor.DAEMON), "Cancelled by the end of the daemon"),
    (Reason(C.PARENT_CANCELLED, JOB), "Cancelled because its parent train 01234567 was cancelled"),
    (Reason(C.SWEEP_DONE, {"trial": 1, "trials": 4, "metric": "loss", "value": 0.5, "why": WHY, "checkpoint": False}),
     "Trial 1 is the best of 4: loss 0.5 (every trial is done); it left no checkpoint"),
    (Reason(C.NO_DEVICES), "It can never run: there is no device; set devices.cpu_slots to 1 or more"),
    (Reason(C.TOO_MANY_DEVICES, {"wanted": 3, "available": 2, "kind": "cpu", "instances": 0}),
     "It can never run: it asks for 3 devices and taod has 2 CPU slots; ask for 2 at most"),
    (Reason(C.TOO_MANY_DEVICES, {"wanted": 3, "available": 0, "kind": "gpu", "instances": 2}),
     "It can never run: it asks for 3 devices and taod has no whole GPU; a run can use one MIG instance, not several; "
     "ask for 1 at most"),
    (Reason(C.PARENT_FAILED, JOB), "Failed because its parent train 01234567 failed"),
    (Reason(C.PARENT_DELETED), "Failed because the job that it follows was deleted"),
    (Reason(C.START_FAILED, {"error": "no image"}), "no image"),
    (Reason(C.FAULT, {"error": "KeyError: 'x'"}), "taod failed to supervise it, see its log: KeyError: 'x'"),
    (Reason(C.PREPARE_FAILED, {"error": "OSError: full"}), "It could not be prepared: OSError: full"),
    (Reason(C.ENDED_BEFORE_START), "ended before it had started"),
    (Reason(C.RUN_LOST, {"error": "no runner x"}), "Its run cannot be found again: no runner x"),
    (Reason(C.RUN_UNRECORDED), "There is no record of its run"),
    (Reason(C.REPORTED, {"message": "bad spec"}), "bad spec"),
    (Reason(C.NO_SUCCESS, {"status": None, "message": "", **LOG}),
     "ended without reporting success: it exited with 0, and reported no status at all\nthe last line"),
    (Reason(C.EXIT_UNKNOWN, {"detail": "gone"}),
     "ended, and its exit code is not known: its supervisor was killed or the machine stopped (gone)"),
    (Reason(C.EXIT, EXIT), "exit code 1"),
    (Reason(C.EXIT, {**EXIT, "explanation": "ValueError: x"}), "exit code 1: ValueError: x"),
    (Reason(C.EXIT, {**EXIT, "memory": "gpu", "explanation": "OOM"}),
     "exit code 1: the GPU's memory was not enough\nOOM"),
    (Reason(C.EXIT, {**EXIT, "memory": "machine"}), "exit code 1: the machine's memory was not enough"),
    (Reason(C.EXIT, {**EXIT, "exit_code": 144, "after_success": True}),
     "exit code 144: ended by signal 16, after it had reported success"),
    (Reason(C.TIME_LIMIT, {"limit_s": 7200.0, **LOG}),
     "ended by taod: its time limit of 2 h was over (supervision.wall_s)\nthe last line"),
    (Reason(C.STALLED, {"limit_s": 90, "stopped": [7]}),
     "ended by taod: no line of log or status for 90 s; pid 7 is stopped (SIGSTOP): `kill -CONT` resumes it "
     "(supervision.stall)"),
    (Reason(C.DEVICE_LOST, {"devices": [{"name": "GPU 0 (H100)", "id": "GPU-0"}]}),
     "GPU 0 (H100) was lost (GPU-0): its driver no longer answers for it"),
    (Reason(C.SWEEP_FAILED), "No trial was done"),
    (Reason(C.SWEEP_FAILED, {"trials": 4, "count": 3, "cause": Reason(C.EXIT, {**EXIT, **LOG}).document()}),
     "All 4 trials failed, 3 of them so: exit code 1"),
    (Reason(C.SWEEP_EMPTY), "Stopped early by user, before any trial had a value"),
    (Reason(C.JOB_DELETED), "its job was deleted"),
    (Reason(C.NO_METRIC, {"metric": "loss", "reported": []}), "it reported no metric 'loss'; it reported none"),
    (Reason(C.NOT_FINITE, {"metric": "loss", "epoch": 2}), "loss was not finite at epoch 2"),
    (Reason(C.PRUNED, {"why": Reason(C.SWEEP_ENDED_EARLY).document()}), "pruned: the sweep was stopped early"),
    (Reason(C.WORSE_THAN_MEDIAN, {"others": 4, "epoch": 2}), "worse than the median of 4 trials at epoch 2"),
    (Reason(C.SWEEP_ENDED_EARLY), "the sweep was stopped early"),
    (Reason(C.ALL_TRIED), "every trial is done"),
    (Reason(C.FIRST_FAILED, {"count": 5}), "the first 5 trials failed"),
    (Reason(C.EPOCHS_SPENT, {"epochs": 30}), "30 epochs are spent"),
    (Reason(C.HOURS_SPENT, {"hours": 2.0}), "2 hours are spent"),
    (Reason(C.NO_IMPROVEMENT, {"trials": 2}), "the last 2 trials brought no improvement"),
    (Reason(C.STOPPED_EARLY), "stopped early by user"),
    (noted(Warning(WarningCode.RECORDED, "", {"text": "odd"}, "change it")), "odd; change it"),
    (Reason(C.CHANGED, {"field": "spec"}), "changed by the user: spec"),
    (Reason(C.CHANGED, {"field": "priority", "before": 0, "after": 3}), "changed by the user: priority 0 → 3"),
    (Reason(C.CHANGED, {"field": "position", "place": "front"}), "changed by the user: moved to the front"),
    (Reason(C.CHANGED, {"field": "position", "place": "before", **JOB}),
     "changed by the user: moved before train 01234567"),
    (Reason(C.REPORTS_AGAIN), "It reports again"),
    (Reason(C.SURVIVORS, {"processes": ["17 (python)", "18 (sh)"]}),
     "Processes of the run still live, end them by hand: 17 (python), 18 (sh)"),
    (Reason(C.MEMORY_UNLIMITED, {"fault": "no cgroup"}),
     "Without its memory limit (supervision.memory_bytes): no cgroup"),
    (Reason(C.SAMPLER, {"text": "random instead of gp"}), "random instead of gp"),
]  # fmt: skip


@pytest.mark.parametrize(("reason", "sentence"), TEXTS, ids=lambda value: "" if isinstance(value, str) else value.code)
def test_the_sentence_of_a_reason(reason: Reason, sentence: str) -> None:
    stored = msgspec.json.decode(msgspec.json.encode(reason), type=Reason)
    assert stored == reason
    assert text(stored) == sentence


def test_the_table_has_every_code() -> None:
    assert {reason.code for reason, _ in TEXTS} == set(ReasonCode)


@pytest.mark.parametrize(("code", "meaning"), EXIT_MEANINGS.items())
def test_a_known_exit_code_is_explained(code: int, meaning: str) -> None:
    assert text(Reason(ReasonCode.EXIT, {**EXIT, "exit_code": code})) == f"exit code {code}: {meaning}"


def test_a_plan_names_missing_data_without_the_leading_word() -> None:
    assert data_text(Reason(ReasonCode.DATA_UPLOADING, DATA)) == "its train dataset 'digits' is still being uploaded"
