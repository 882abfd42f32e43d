"""The processes that a test's daemon has started, among those of other tests: engines are children of this one too."""

from __future__ import annotations

import contextlib

import psutil


def children(module: str) -> list[psutil.Process]:
    """Those that run this module; ended ones that nothing waits for are left out."""
    found = []
    for each in psutil.Process().children():
        with contextlib.suppress(psutil.NoSuchProcess):
            found += [each] if any(module in word for word in each.cmdline()) else []
    return found
