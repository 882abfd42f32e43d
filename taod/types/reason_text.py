"""Renders a reason as text, for the API, the command line, the dashboard and a job's history."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from taod.types import warning_text
from taod.types.reason import Actor, Reason, ReasonCode, from_document
from taod.types.warning import Warning

Arguments = Mapping[str, Any]

EXIT_MEANINGS = {
    126: "the program is not executable",
    127: "the program was not found",
    130: "interrupted",
    134: "aborted",
    135: "bus error, too little shared memory?",
    137: "killed, out of memory?",
    139: "segmentation fault",
    143: "terminated",
}
"""Usual meaning of an exit code; 128+n is an end by signal n."""
OTHERS = "another user's job"
_ACTORS = {
    Actor.USER: "user",
    Actor.SWEEP: "its sweep",
    Actor.PRUNING_SWEEP: "its sweep",
    Actor.MODEL_DELETION: "the deletion of its model",
    Actor.DATASET_DELETION: "the deletion of its dataset",
    Actor.DAEMON: "the end of the daemon",
}
_STOPPING = {
    "cancel": "Being cancelled",
    "pause": "Being paused",
    "finish": "Stopped early: ends with its best trial",
}
_MEMORY = {"gpu": "the GPU's memory was not enough", "machine": "the machine's memory was not enough"}


def text(reason: Reason) -> str:
    """The text of a reason: one sentence; failures have further lines."""
    return _TEXTS[reason.code](reason.arguments)


def job_label(of: Arguments) -> str:
    """Name of a job in texts: its action and the first digits of its id."""
    return f"{of['action']} {of['job'][:8]}"


def data_text(reason: Reason) -> str:
    """Why a job's data is not ready, without the leading `waits`."""
    return _DATA_TEXTS[reason.code](reason.arguments)


def progress_text(of: Arguments) -> str:
    """Progress of a sweep, from the arguments of SWEEP_PAUSED."""
    best = f"; best {of['metric']} {of['value']:.6g} (trial {of['trial']})" if "value" in of else ""
    return f"{of['ended']} of {of['planned']} trials done{best}"


def _text_of(document: dict[str, Any]) -> str:
    return text(from_document(document))


def _jobs(count: int) -> str:
    return f"{count} job{' runs' if count == 1 else 's run'}"


def _gpus(count: int, whole: str = "") -> str:
    return f"{count or 'no'} {whole}GPU{'s' if count > 1 else ''}"


def _some(of: Arguments, name: Callable[[Arguments], str]) -> str:
    names = [name(each) if each else OTHERS for each in of["first"]]
    return ", ".join(names) + (f" and {of['more']} more" if of["more"] else "")


def _parent(of: Arguments) -> str:
    state = f" ({of['state']})" if of.get("state") else ""
    return f"waits for its parent {job_label(of)}{state}"


def _converting(of: Arguments) -> str:
    held = " (held)" if of["held"] else ""
    return f"its {of['role']} dataset {of['dataset']!r} is being converted by {job_label(of)}{held}"


def _devices(of: Arguments) -> str:
    wanted = "a device" if of["wanted"] == 1 else f"{of['wanted']} devices"
    wanted += " of its own" if of["alone"] else ""
    parts = []
    if of["leased"]:
        holders = _some(of["holders"], lambda job: f"job {job['job'][:8]} ({job['action']})")
        parts.append(f"{of['leased']} of {of['devices']} leased by {holders}")
    if of["kept_for"]["first"]:
        parts.append(f"free ones are kept for {_some(of['kept_for'], job_label)}")
    parts += [f"{each['device']} is {_text_of(each['fault'])}" for each in of["unavailable"]]
    if (running := of["overtaken_with"]) is not None:
        parts.append("users take turns" + (f", and its user has {running} running" if running else ""))
    return f"waits for {wanted}: " + "; ".join(parts)


def _foreign(of: Arguments) -> str:
    names = [f"pid {one['pid']}" + (f" ({one['name']})" if one["name"] else "") for one in of["processes"]]
    more = f" and {of['more']} more" if of["more"] else ""
    return f"in use by {', '.join(names)}{more}, not taod's"


def _too_many_devices(of: Arguments) -> str:
    wanted, available = of["wanted"], of["available"]
    asks = f"It can never run: it asks for {wanted} devices and taod has"
    if of["instances"]:
        return (
            f"{asks} {_gpus(available, 'whole ')}; a run can use one MIG instance, not several; "
            f"ask for {max(available, 1)} at most"
        )
    have = _gpus(available) if of["kind"] == "gpu" else f"{available} CPU slot" + ("s" if available > 1 else "")
    return f"{asks} {have}; ask for {available} at most"


def _queue_paused(of: Arguments) -> str:
    return f"waits: the queue is paused by {of['by']}" + (f": {of['message']}" if of["message"] else "")


def _retry_later(of: Arguments) -> str:
    failure = _text_of(of["failure"]).splitlines()[0]
    pause = warning_text.duration(of["pause_s"])
    return f"Retry {of['retry']} of {of['retries']} in {pause}, after: {failure}"


def _cancelled(of: Arguments) -> str:
    why = f" ({_text_of(of['why'])})" if "why" in of else ""
    return f"Cancelled by {_ACTORS[Actor(of['by'])]}{why}"


def _paused(of: Arguments) -> str:
    return "Paused before its first epoch" if of["epoch"] is None else f"Paused at epoch {of['epoch']}"


def _sweep_done(of: Arguments) -> str:
    best = f"Trial {of['trial']} is the best of {of['trials']}: {of['metric']} {of['value']:.6g}"
    return f"{best} ({_text_of(of['why'])})" + ("" if of["checkpoint"] else "; it left no checkpoint")


def _sweep_failed(of: Arguments) -> str:
    if "cause" not in of:
        return "No trial was done"
    cause = _text_of(of["cause"]).splitlines()[0]
    return f"All {of['trials']} trials failed, {of['count']} of them so: {cause}"


def _no_success(of: Arguments) -> str:
    if of["status"] is None:
        last = "and reported no status at all"
    else:
        last = f"but its last status was {of['status']}" + (f" ({of['message']})" if of["message"] else "")
    return _with_log(f"ended without reporting success: it exited with 0, {last}", of, explained=False)


def _exit_unknown(of: Arguments) -> str:
    why = "ended, and its exit code is not known: its supervisor was killed or the machine stopped"
    return _with_log(f"{why} ({of['detail']})" if of["detail"] else why, of)


def _exit(of: Arguments) -> str:
    code = of["exit_code"]
    by_signal = f"ended by signal {code - 128}" if 128 < code < 193 else ""
    meaning = of["detail"] or _MEMORY.get(of["memory"]) or EXIT_MEANINGS.get(code, by_signal)
    if of["after_success"]:
        meaning = ", ".join(filter(None, [meaning, "after it had reported success"]))
    return _with_log(f"exit code {code}" + (f": {meaning}" if meaning else ""), of, explained=bool(meaning))


def _device_lost(of: Arguments) -> str:
    names = ", ".join(f"{device['name']} was lost ({device['id']})" for device in of["devices"])
    return _with_log(f"{names}: its driver no longer answers for it", of)


def _with_log(sentence: str, of: Arguments, *, explained: bool = True) -> str:
    """The sentence with the log line that explains the failure, on its own line if the sentence has an explanation too;
    without such a line, the end of the log follows."""
    explanation = of.get("explanation", "")
    if explanation and not explained:
        return f"{sentence}: {explanation}"
    below = explanation or of.get("log", "")
    return f"{sentence}\n{below}" if below else sentence


def _not_finite(of: Arguments) -> str:
    return f"{of['metric']} was not finite" + (f" at epoch {of['epoch']}" if of["epoch"] is not None else "")


def _changed(of: Arguments) -> str:
    change = of["field"]
    if change == "position":
        target = f"{of['place']} {job_label(of)}" if "job" in of else f"to the {of['place']}"
        change = f"moved {target}"
    elif "before" in of:
        change = f"{change} {of['before']} → {of['after']}"
    return f"changed by the user: {change}"


_DATA_TEXTS: dict[ReasonCode, Callable[[Arguments], str]] = {
    ReasonCode.DATA_UPLOADING: lambda of: f"its {of['role']} dataset {of['dataset']!r} is still being uploaded",
    ReasonCode.DATA_MISSING: lambda of: (
        f"its {of['role']} dataset {of['dataset']!r} has no data yet: upload an archive or link a folder"
    ),
    ReasonCode.DATA_CONVERTING: _converting,
    ReasonCode.DATA_UNKNOWN: lambda of: f"the state of its data cannot be read ({of['error']})",
}


def _data(code: ReasonCode) -> Callable[[Arguments], str]:
    return lambda of: f"waits: {_DATA_TEXTS[code](of)}"


_TEXTS: dict[ReasonCode, Callable[[Arguments], str]] = {
    ReasonCode.RECORDED: lambda of: str(of["text"]),
    ReasonCode.POSTED: lambda _: "waits for the scheduler",
    ReasonCode.PARENT: _parent,
    **{code: _data(code) for code in _DATA_TEXTS},
    ReasonCode.RELEASED: lambda _: "released by the user",
    ReasonCode.QUEUED: lambda _: "Queued",
    ReasonCode.TURN: lambda _: "waits for its turn",
    ReasonCode.QUEUE_PAUSED: _queue_paused,
    ReasonCode.LIMIT_RUNNING: lambda of: f"waits: {_jobs(of['running'])}, the most that scheduler.max_running allows",
    ReasonCode.LIMIT_USER: lambda of: (
        f"waits: {_jobs(of['running'])} for its user, the most that scheduler.max_running_per_user allows"
    ),
    ReasonCode.DEVICES: _devices,
    ReasonCode.DEVICE_UNFIT: lambda of: f"waits for a device: {of['device']} is {_text_of(of['fault'])}",
    ReasonCode.CLUSTER: lambda of: (
        f"waits for {of['cluster']}: {of['slots']} of {of['slots']} runs are under way there"
    ),
    ReasonCode.RESUMED: lambda _: "Resumed",
    ReasonCode.RETRY: lambda of: f"Retry {of['retry']} of {of['retries']}",
    ReasonCode.RESTARTED: lambda _: "The daemon was restarted before it was started",
    ReasonCode.NOT_STARTED: lambda of: f"It could not be started by {of['at']}",
    ReasonCode.TRIAL: lambda of: f"Trial {of['trial']} of sweep {of['sweep'][:8]}",
    ReasonCode.TRIAL_PROMOTED: lambda of: f"Promoted to {of['epochs']} epochs",
    ReasonCode.SWEEP_RESUMED: lambda _: "Its sweep resumes",
    ReasonCode.HELD: lambda _: "held by the user",
    ReasonCode.RETRY_LATER: _retry_later,
    ReasonCode.SWEEP_HELD: lambda _: "Held while its sweep is paused",
    ReasonCode.LEASED: lambda of: f"Leased {', '.join(of['devices'])}",
    ReasonCode.LEASED_CLUSTER: lambda of: f"Given to {of['cluster']}",
    ReasonCode.LEASED_NOTHING: lambda _: "It needs no device itself",
    ReasonCode.STARTING: lambda of: f"Starting with {of['runner']}",
    ReasonCode.RUNNING: lambda of: f"Running with {of['runner']}",
    ReasonCode.SWEEP_STARTING: lambda _: "Starts its trials",
    ReasonCode.SWEEP_RUNNING: lambda _: "Runs its trials",
    ReasonCode.STOPPING: lambda of: _STOPPING[of["intent"]],
    ReasonCode.ENDED: lambda _: "Ended",
    ReasonCode.DONE: lambda of: of["message"] or "Done",
    ReasonCode.PAUSED: _paused,
    ReasonCode.SWEEP_PAUSED: lambda of: f"Paused: {progress_text(of)}",
    ReasonCode.CANCELLED: _cancelled,
    ReasonCode.PARENT_CANCELLED: lambda of: f"Cancelled because its parent {job_label(of)} was cancelled",
    ReasonCode.SWEEP_DONE: _sweep_done,
    ReasonCode.NO_DEVICES: lambda _: "It can never run: there is no device; set devices.cpu_slots to 1 or more",
    ReasonCode.TOO_MANY_DEVICES: _too_many_devices,
    ReasonCode.PARENT_FAILED: lambda of: f"Failed because its parent {job_label(of)} failed",
    ReasonCode.PARENT_DELETED: lambda _: "Failed because the job that it follows was deleted",
    ReasonCode.START_FAILED: lambda of: str(of["error"]),
    ReasonCode.FAULT: lambda of: f"taod failed to supervise it, see its log: {of['error']}",
    ReasonCode.PREPARE_FAILED: lambda of: f"It could not be prepared: {of['error']}",
    ReasonCode.ENDED_BEFORE_START: lambda _: "ended before it had started",
    ReasonCode.RUN_LOST: lambda of: f"Its run cannot be found again: {of['error']}",
    ReasonCode.RUN_UNRECORDED: lambda _: "There is no record of its run",
    ReasonCode.REPORTED: lambda of: str(of["message"]),
    ReasonCode.NO_SUCCESS: _no_success,
    ReasonCode.EXIT_UNKNOWN: _exit_unknown,
    ReasonCode.EXIT: _exit,
    ReasonCode.TIME_LIMIT: lambda of: _with_log(
        f"ended by taod: its time limit of {warning_text.duration(of['limit_s'])} was over (supervision.wall_s)", of
    ),
    ReasonCode.STALLED: lambda of: _with_log(f"ended by taod: {warning_text.silence(of)} (supervision.stall)", of),
    ReasonCode.DEVICE_LOST: _device_lost,
    ReasonCode.SWEEP_FAILED: _sweep_failed,
    ReasonCode.SWEEP_EMPTY: lambda _: "Stopped early by user, before any trial had a value",
    ReasonCode.JOB_DELETED: lambda _: "its job was deleted",
    ReasonCode.NO_METRIC: lambda of: (
        f"it reported no metric {of['metric']!r}; it reported {', '.join(of['reported']) or 'none'}"
    ),
    ReasonCode.NOT_FINITE: _not_finite,
    ReasonCode.PRUNED: lambda of: f"pruned: {_text_of(of['why'])}",
    ReasonCode.WORSE_THAN_MEDIAN: lambda of: f"worse than the median of {of['others']} trials at epoch {of['epoch']}",
    ReasonCode.SWEEP_ENDED_EARLY: lambda _: "the sweep was stopped early",
    ReasonCode.ALL_TRIED: lambda _: "every trial is done",
    ReasonCode.FIRST_FAILED: lambda of: f"the first {of['count']} trials failed",
    ReasonCode.EPOCHS_SPENT: lambda of: f"{of['epochs']} epochs are spent",
    ReasonCode.HOURS_SPENT: lambda of: f"{of['hours']:g} hours are spent",
    ReasonCode.NO_IMPROVEMENT: lambda of: f"the last {of['trials']} trials brought no improvement",
    ReasonCode.STOPPED_EARLY: lambda _: "stopped early by user",
    ReasonCode.DEVICE_SILENT: lambda _: "lost: its driver no longer answers for it",
    ReasonCode.DEVICE_FOREIGN: _foreign,
    ReasonCode.DEVICE_MEMORY: lambda of: (
        f"short of memory: {of['free_gib']:.1f} GiB free of {of['total_gib']:.1f}, "
        f"devices.min_free_memory asks for {of['wanted_gib']:.1f}"
    ),
    ReasonCode.WARNING: lambda of: warning_text.text(msgspec.convert(of["warning"], Warning)),
    ReasonCode.CHANGED: _changed,
    ReasonCode.REPORTS_AGAIN: lambda _: "It reports again",
    ReasonCode.SURVIVORS: lambda of: f"Processes of the run still live, end them by hand: {', '.join(of['processes'])}",
    ReasonCode.MEMORY_UNLIMITED: lambda of: f"Without its memory limit (supervision.memory_bytes): {of['fault']}",
    ReasonCode.SAMPLER: lambda of: str(of["text"]),
}
