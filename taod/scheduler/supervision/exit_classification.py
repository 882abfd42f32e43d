"""Classifies the end of a run: state, reason and cause. Pure: no process and no store."""

from __future__ import annotations

import re

import msgspec

from runners.protocol import RunEnd
from taod.scheduler.supervision.failure_reason import explain, reported, useful
from taod.scheduler.supervision.run_limits import OOM
from taod.types.reason import CANCELLED_BY_USER, Reason, ReasonCode
from taod.types.state import State

CANCEL = "cancel"
PAUSE = "pause"
FINISH = "finish"
"""Stop intent of a sweep: end with the best trial so far."""
RUNNING = "RUNNING"
SUCCESS = "SUCCESS"
FAILURE = "FAILURE"

EXCERPT_CHARACTERS = 600
EXCERPT_LINES = 5
UNREPORTED = frozenset({"trtexec"})
"""Actions of programs without status.json, of which only the exit code is known."""

MEMORY_LINES = 60
"""Number of last lines of a log that are searched for exhausted memory."""
GPU, MACHINE = "gpu", "machine"

_GPU = re.compile(
    r"CUDA out of memory|cuda(?:\.|Error)?\w*OutOfMemoryError|CUDA_ERROR_OUT_OF_MEMORY|cudaErrorMemoryAllocation"
    r"|CUBLAS_STATUS_ALLOC_FAILED|CUDA error: out of memory|OOM when allocating tensor"
    r"|cuMemAlloc\w* failed: out of memory"
    r"|RESOURCE_EXHAUSTED: (?:OOM|Out of memory)"
)
_MACHINE = re.compile(
    r"^MemoryError\b|DefaultCPUAllocator: (?:can't|not enough)|std::bad_alloc|Cannot allocate memory"
    r"|Out of memory: Killed process|DataLoader worker \(pid.*\) is killed by signal: Killed",
    re.MULTILINE,
)


class AbortReason(msgspec.Struct, frozen=True):
    """Why taod ended a run, or knows that it ended: name of the cause, and reason."""

    cause: str
    reason: Reason


class ExitFacts(msgspec.Struct, frozen=True, kw_only=True):
    """Facts about an ended run."""

    stop_intent: str | None
    ended: RunEnd
    status: str | None
    """Last status that the tool reported in this attempt; None: none."""
    message: str = ""
    """Message of the last status line."""
    epoch: int | None = None
    """Last epoch that the tool reported."""
    log: str = ""
    """The last `failure_reason.LINES` lines of its log."""
    cancelled: Reason = CANCELLED_BY_USER
    """The reason of a cancelled job."""
    action: str = ""
    abort: AbortReason | None = None
    """The exceeded limit or the lost GPU, if that ended the run."""


class Outcome(msgspec.Struct, frozen=True):
    """The state and reason of a job after its run ended."""

    state: State
    reason: Reason
    cause: str = ""
    """Cause of a failure, if known: `oom`, `lost`, `stall` or `wall`."""


def judge(facts: ExitFacts) -> Outcome:
    """Classify an ended run. It is done only if it exited with 0 and, unless it never reports, reported success."""
    code = facts.ended.exit_code
    unreported = facts.action in UNREPORTED and facts.status is None
    succeeded = code == 0 and (facts.status == SUCCESS or _finished(facts) or unreported)
    if facts.stop_intent == CANCEL:
        return Outcome(State.CANCELLED, facts.cancelled)
    if facts.stop_intent == PAUSE and not succeeded:
        return Outcome(State.PAUSED, Reason(ReasonCode.PAUSED, {"epoch": facts.epoch}))
    if succeeded:
        return Outcome(State.DONE, Reason(ReasonCode.DONE, {"message": facts.message}))
    return _failed(facts)


def _finished(facts: ExitFacts) -> bool:
    """Whether a tool of a release after 5 finished: these never write SUCCESS, but RUNNING with this message."""
    return facts.status == RUNNING and facts.message.rstrip(". ").endswith("finished successfully")


def _failed(facts: ExitFacts) -> Outcome:
    if facts.abort is not None:
        reason = facts.abort.reason
        return Outcome(State.FAILED, Reason(reason.code, reason.arguments | _log(facts)), facts.abort.cause)
    last_lines = "\n".join(facts.log.splitlines()[-MEMORY_LINES:])
    memory = _exhausted(last_lines) or _exhausted(facts.message)
    oom = facts.ended.out_of_memory or bool(memory)
    return Outcome(State.FAILED, _failure(facts, memory), OOM if oom else "")


def _exhausted(log: str) -> str:
    """The memory that was exhausted according to these lines: GPU, MACHINE or empty."""
    if _GPU.search(log):
        return GPU
    return MACHINE if _MACHINE.search(log) else ""


def _failure(facts: ExitFacts, memory: str) -> Reason:
    """The reason of a failure; `memory`: the memory that was exhausted according to the log."""
    code, detail = facts.ended.exit_code, facts.ended.message
    if facts.status == FAILURE and (message := reported(facts.message, facts.log)):
        return Reason(ReasonCode.REPORTED, {"message": message})
    if code == 0:
        return Reason(ReasonCode.NO_SUCCESS, {"status": facts.status, "message": facts.message, **_log(facts)})
    if code is None:
        return Reason(ReasonCode.EXIT_UNKNOWN, {"detail": detail, **_log(facts)})
    known = {"exit_code": code, "detail": detail, "memory": memory, "after_success": facts.status == SUCCESS}
    return Reason(ReasonCode.EXIT, {**known, **_log(facts)})


def _log(facts: ExitFacts) -> dict[str, str]:
    """Reason arguments from the log: the line that explains the failure, else the end of the log."""
    if explanation := explain(facts.log):
        return {"explanation": explanation}
    excerpt = "\n".join(useful(facts.log)[-EXCERPT_LINES:])[-EXCERPT_CHARACTERS:]
    return {"log": excerpt} if excerpt else {}
