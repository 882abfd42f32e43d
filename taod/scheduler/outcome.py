"""How a run ended, judged from what is known of it: pure, no process and no store."""

from __future__ import annotations

import msgspec

from runners.protocol import Ended
from taod.types.state import State

CANCEL = "cancel"
PAUSE = "pause"
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
UNREPORTED = frozenset({"trtexec"})
"""Actions that are done by a program that knows nothing of status.json: its exit code alone tells how it went."""


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
    """The last lines of its log."""
    by: str = "user"
    """Who cancelled it."""
    action: str = ""


class Outcome(msgspec.Struct, frozen=True):
    """What becomes of the job, in words that the user reads."""

    state: State
    message: str


def judge(facts: Facts) -> Outcome:
    """The state that follows. A run is done only if it both reported success, where it reports, and exited with 0."""
    code = facts.ended.exit_code
    unreported = facts.action in UNREPORTED and facts.status is None
    succeeded = code == 0 and (facts.status == SUCCESS or unreported)
    if facts.stop_intent == CANCEL:
        return Outcome(State.CANCELLED, f"Cancelled by {facts.by}")
    if facts.stop_intent == PAUSE and not succeeded:
        return Outcome(State.PAUSED, paused_at(facts.epoch))
    if succeeded:
        return Outcome(State.DONE, facts.message or "Done")
    return Outcome(State.FAILED, _failure(facts))


def paused_at(epoch: int | None) -> str:
    """The words for a pause."""
    return "Paused before its first epoch" if epoch is None else f"Paused at epoch {epoch}"


def _failure(facts: Facts) -> str:
    code, said = facts.ended.exit_code, facts.ended.message
    if facts.status == FAILURE and facts.message:
        return facts.message
    if code == 0:
        return _with_log("ended without reporting success", facts.log)
    if code is None:
        why = "ended, and its exit code is not known: its supervisor was killed or the machine stopped"
        return _with_log(f"{why} ({said})" if said else why, facts.log)
    meaning = said or MEANINGS.get(code, f"ended by signal {code - 128}" if 128 < code < 193 else "")
    if facts.status == SUCCESS:
        meaning = f"{meaning}, after it had reported success".removeprefix(", ")
    return _with_log(f"exit code {code}" + (f": {meaning}" if meaning else ""), facts.log)


def _with_log(sentence: str, log: str) -> str:
    """The sentence with the end of the log below it."""
    excerpt = log.strip()[-EXCERPT_CHARACTERS:]
    return f"{sentence}\n{excerpt}" if excerpt else sentence
