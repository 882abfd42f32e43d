"""How a run ended, judged from what is known of it: pure, no process and no store."""

from __future__ import annotations

import msgspec

from runners.protocol import Ended
from taod.scheduler.supervision import oom_detection
from taod.scheduler.supervision.failure_reason import explain, reported, useful
from taod.scheduler.supervision.run_limits import OOM
from taod.types.state import State

CANCEL = "cancel"
PAUSE = "pause"
FINISH = "finish"
"""Of a sweep: end now, with the best trial so far."""
RUNNING = "RUNNING"
SUCCESS = "SUCCESS"
FAILURE = "FAILURE"

MEANINGS = {
    126: "the program is not executable",
    127: "the program was not found",
    130: "interrupted",
    134: "aborted",
    135: "bus error, too little shared memory?",
    137: "killed, out of memory?",
    139: "segmentation fault",
    143: "terminated",
}
"""What an exit code mostly means; 128+n is an end by signal n."""
EXCERPT_CHARACTERS = 600
EXCERPT_LINES = 5
UNREPORTED = frozenset({"trtexec"})
"""Actions that are done by a program that knows nothing of status.json: its exit code alone tells how it went."""


class Broken(msgspec.Struct, frozen=True):
    """Why taod itself ended a run, or what it knows to have ended it: the cause's name, and words."""

    cause: str
    words: str


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
    by: str = "user"
    """Who cancelled it."""
    action: str = ""
    broken: Broken | None = None
    """A limit that it broke, or a GPU that it lost."""


class Outcome(msgspec.Struct, frozen=True):
    """What becomes of the job, in words that the user reads."""

    state: State
    message: str
    cause: str = ""
    """What a failure comes from, where it has a name: `oom`, `lost`, `stall`, `wall`."""


def judge(facts: Facts) -> Outcome:
    """The state that follows. A run is done only if it both reported success, where it reports, and exited with 0."""
    code = facts.ended.exit_code
    unreported = facts.action in UNREPORTED and facts.status is None
    succeeded = code == 0 and (facts.status == SUCCESS or _finished(facts) or unreported)
    if facts.stop_intent == CANCEL:
        return Outcome(State.CANCELLED, f"Cancelled by {facts.by}")
    if facts.stop_intent == PAUSE and not succeeded:
        return Outcome(State.PAUSED, paused_at(facts.epoch))
    if succeeded:
        return Outcome(State.DONE, facts.message or "Done")
    return _failed(facts)


def _finished(facts: Facts) -> bool:
    """Tools of releases after 5 never write SUCCESS: they end with RUNNING and this message."""
    return facts.status == RUNNING and facts.message.rstrip(". ").endswith("finished successfully")


def paused_at(epoch: int | None) -> str:
    """The words for a pause."""
    return "Paused before its first epoch" if epoch is None else f"Paused at epoch {epoch}"


def _failed(facts: Facts) -> Outcome:
    if facts.broken is not None:
        return Outcome(State.FAILED, _with_log(facts.broken.words, facts.log, explained=True), facts.broken.cause)
    short = oom_detection.named("\n".join(facts.log.splitlines()[-oom_detection.LINES :])) or oom_detection.named(
        facts.message
    )
    oom = facts.ended.out_of_memory or bool(short)
    return Outcome(State.FAILED, _failure(facts, short), OOM if oom else "")


def _failure(facts: Facts, short: str) -> str:
    """`short`: which memory the log says was not enough."""
    code, said = facts.ended.exit_code, facts.ended.message
    if facts.status == FAILURE and (why := reported(facts.message, facts.log)):
        return why
    if code == 0:
        return _with_log(f"ended without reporting success: it exited with 0, {_last_word(facts)}", facts.log)
    if code is None:
        why = "ended, and its exit code is not known: its supervisor was killed or the machine stopped"
        return _with_log(f"{why} ({said})" if said else why, facts.log, explained=True)
    meaning = said or short or MEANINGS.get(code, f"ended by signal {code - 128}" if 128 < code < 193 else "")
    if facts.status == SUCCESS:
        meaning = f"{meaning}, after it had reported success".removeprefix(", ")
    sentence = f"exit code {code}" + (f": {meaning}" if meaning else "")
    return _with_log(sentence, facts.log, explained=bool(meaning))


def _last_word(facts: Facts) -> str:
    """What the tool reported last, where that is not an end."""
    if facts.status is None:
        return "and reported no status at all"
    return f"but its last status was {facts.status}" + (f" ({facts.message})" if facts.message else "")


def _with_log(sentence: str, log: str, *, explained: bool = False) -> str:
    """The sentence with the log's line that explains the failure, which goes below a sentence that explains it too;
    where no line does, with the end of the log below it."""
    if (why := explain(log)) and not explained:
        return f"{sentence}: {why}"
    below = why or "\n".join(useful(log)[-EXCERPT_LINES:])[-EXCERPT_CHARACTERS:]
    return f"{sentence}\n{below}" if below else sentence
