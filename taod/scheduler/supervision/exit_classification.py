"""How a run ended, judged from what is known of it: pure, no process and no store."""

from __future__ import annotations

import re

import msgspec

from runners.protocol import Ended
from taod.scheduler.supervision.failure_reason import explain, reported, useful
from taod.scheduler.supervision.run_limits import OOM
from taod.types.reason import CANCELLED_BY_USER, Reason, ReasonCode
from taod.types.state import State

CANCEL = "cancel"
PAUSE = "pause"
FINISH = "finish"
"""Of a sweep: end now, with the best trial so far."""
RUNNING = "RUNNING"
SUCCESS = "SUCCESS"
FAILURE = "FAILURE"

EXCERPT_CHARACTERS = 600
EXCERPT_LINES = 5
UNREPORTED = frozenset({"trtexec"})
"""Actions of programs that write no status.json: only the exit code shows the outcome."""

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
    """Why taod itself ended a run, or what it knows to have ended it: the cause's name, and the reason."""

    cause: str
    reason: Reason


class Facts(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of an ended run."""

    stop_intent: str | None
    ended: Ended
    status: str | None
    """Last status that the tool reported in this attempt; None: none at all."""
    message: str = ""
    """The message of that line."""
    epoch: int | None = None
    """Last epoch that it reported."""
    log: str = ""
    """The last lines of its log, `explain.LINES` of them."""
    cancelled: Reason = CANCELLED_BY_USER
    """The reason of a cancelled job."""
    action: str = ""
    abort: AbortReason | None = None
    """The limit that it exceeded, or the GPU that it lost."""


class Outcome(msgspec.Struct, frozen=True):
    """The state and the reason that follow from the end of a run."""

    state: State
    reason: Reason
    cause: str = ""
    """What a failure comes from, where it has a name: `oom`, `lost`, `stall`, `wall`."""


def judge(facts: Facts) -> Outcome:
    """The state that follows. A run is done only if it both reported success, where it reports, and exited with 0."""
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


def _finished(facts: Facts) -> bool:
    """Tools of releases after 5 never write SUCCESS: they end with RUNNING and this message."""
    return facts.status == RUNNING and facts.message.rstrip(". ").endswith("finished successfully")


def _failed(facts: Facts) -> Outcome:
    if facts.abort is not None:
        reason = facts.abort.reason
        return Outcome(State.FAILED, Reason(reason.code, reason.arguments | _log(facts)), facts.abort.cause)
    last_lines = "\n".join(facts.log.splitlines()[-MEMORY_LINES:])
    memory = _exhausted(last_lines) or _exhausted(facts.message)
    oom = facts.ended.out_of_memory or bool(memory)
    return Outcome(State.FAILED, _failure(facts, memory), OOM if oom else "")


def _exhausted(log: str) -> str:
    """Which memory was exhausted according to the log's last lines: GPU, MACHINE, or empty."""
    if _GPU.search(log):
        return GPU
    return MACHINE if _MACHINE.search(log) else ""


def _failure(facts: Facts, memory: str) -> Reason:
    """`memory`: which one was exhausted according to the log."""
    code, detail = facts.ended.exit_code, facts.ended.message
    if facts.status == FAILURE and (message := reported(facts.message, facts.log)):
        return Reason(ReasonCode.REPORTED, {"message": message})
    if code == 0:
        return Reason(ReasonCode.NO_SUCCESS, {"status": facts.status, "message": facts.message, **_log(facts)})
    if code is None:
        return Reason(ReasonCode.EXIT_UNKNOWN, {"detail": detail, **_log(facts)})
    known = {"exit_code": code, "detail": detail, "memory": memory, "after_success": facts.status == SUCCESS}
    return Reason(ReasonCode.EXIT, {**known, **_log(facts)})


def _log(facts: Facts) -> dict[str, str]:
    """The line of the log that explains the failure; where no line does, the end of the log."""
    if explanation := explain(facts.log):
        return {"explanation": explanation}
    excerpt = "\n".join(useful(facts.log)[-EXCERPT_LINES:])[-EXCERPT_CHARACTERS:]
    return {"log": excerpt} if excerpt else {}
