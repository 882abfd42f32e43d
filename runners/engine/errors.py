"""What can stop a run, each with one sentence for the user."""

from __future__ import annotations

import signal


class EngineError(Exception):
    """The run cannot continue as requested; `str(error)` is one sentence with the value and the remedy."""


class SpecError(EngineError):
    """The experiment spec asks for something wrong or unknown; the sentence names the parameter."""


class DataError(EngineError):
    """Images, class folders or the classes file are not as they must be; the sentence names the path."""


class CheckpointError(EngineError):
    """A checkpoint cannot be read or does not fit."""


class Interrupted(Exception):
    """A signal asked the run to end; `str` says what was saved."""

    def __init__(self, number: int, message: str = "") -> None:
        super().__init__(message or f"Stopped by {signal.Signals(number).name}")
        self.number = number

    @property
    def exit_code(self) -> int:
        return 128 + self.number
