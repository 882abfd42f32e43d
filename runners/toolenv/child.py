"""Ends an installation's child processes with it."""

from __future__ import annotations

import ctypes
import os
import signal
from collections.abc import Callable
from functools import partial

_PR_SET_PDEATHSIG = 1
_LIBC = ctypes.CDLL(None)


def ends_with(parent: int) -> Callable[[], None]:
    """A `preexec_fn` by which the kernel kills the child when the process `parent` ends in any way (prctl(2))."""
    return partial(_follow, parent)


def _follow(parent: int) -> None:
    _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:  # the parent has ended already
        os._exit(1)
