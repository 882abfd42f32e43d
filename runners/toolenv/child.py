"""Child processes of an installation, which never outlive it."""

from __future__ import annotations

import ctypes
import os
import signal
from collections.abc import Callable
from functools import partial

_PR_SET_PDEATHSIG = 1
_LIBC = ctypes.CDLL(None)


def ends_with(parent: int) -> Callable[[], None]:
    """A `preexec_fn` with which the child is killed when the process `parent` ends, however that ends (prctl(2))."""
    return partial(_follow, parent)


def _follow(parent: int) -> None:
    _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:  # It has ended already.
        os._exit(1)
