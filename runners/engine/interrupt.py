"""SIGTERM and SIGINT as a flag that loops check between steps; it knows nothing of what they save."""

from __future__ import annotations

import signal
from types import FrameType

from runners.engine.errors import Interrupted


class Interrupt:
    """Whether the run was asked to end.

    Until `install` the signals do what they always do (end the process), which is right while libraries load.
    A repeated SIGTERM changes nothing, since the first is being obeyed; a second SIGINT (Ctrl-C) ends at once.
    """

    def __init__(self) -> None:
        self.number: int | None = None

    @property
    def requested(self) -> bool:
        return self.number is not None

    def install(self) -> Interrupt:
        signal.signal(signal.SIGTERM, self._asked)
        signal.signal(signal.SIGINT, self._asked)
        return self

    def request(self) -> None:
        """As if SIGTERM had come: another process of the run got it."""
        if self.number is None:
            self.number = signal.SIGTERM

    def check(self) -> None:
        """Raise Interrupted if the run was asked to end."""
        if self.number is not None:
            raise Interrupted(self.number)

    def _asked(self, number: int, frame: FrameType | None) -> None:
        if self.number is not None and number == signal.SIGINT:
            signal.signal(signal.SIGINT, signal.SIG_DFL)
            signal.raise_signal(signal.SIGINT)
        if self.number is None:
            self.number = number


def leave_to_parent() -> None:
    """For helper processes (data workers): Ctrl-C is the parent's business, SIGTERM ends them."""
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
