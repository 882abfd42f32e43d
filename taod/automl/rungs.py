"""Rungs and brackets: how many trials train for how many epochs. Pure.

HyperBand: Li et al., 2018, https://jmlr.org/papers/v18/16-558.html. ASHA: Li et al., 2020, MLSys.
"""

from __future__ import annotations

import math

import msgspec


class Bracket(msgspec.Struct, frozen=True):
    """Rungs from the shortest to the longest: (how many trials, epochs at their end)."""

    rungs: list[tuple[int, int]]


def halvings(largest: int, nu: int) -> int:
    """⌊log_nu(largest)⌋, without the error of float logarithms."""
    count = 0
    while largest >= nu:
        largest //= nu
        count += 1
    return count


def hyperband(largest: int, nu: int, multiplier: int) -> list[Bracket]:
    """The brackets of R = `largest`, the one with the most trials first: s = smax … 1, as in the published API.

    n = ⌈⌊(smax+1)/(s+1)⌋·nu^s⌉ trials start with R/nu^s; rung i keeps the best n·nu^-i of them. If R is below nu,
    there is one bracket with one rung.
    """
    most = halvings(largest, nu)
    brackets = []
    for s in range(most, 0, -1):
        count = math.ceil(((most + 1) // (s + 1)) * nu**s)
        rungs = [(max(1, count // nu**i), epochs_of(largest, nu, s - i, multiplier)) for i in range(s + 1)]
        brackets.append(Bracket(rungs))
    return brackets or [Bracket([(1, largest * multiplier)])]


def asha(largest: int, nu: int, multiplier: int) -> list[int]:
    """Epochs at the end of each rung."""
    most = halvings(largest, nu)
    return [epochs_of(largest, nu, most - i, multiplier) for i in range(most + 1)]


def epochs_of(largest: int, nu: int, divided: int, multiplier: int) -> int:
    """Epochs of `largest` resources divided `divided` times by `nu`, times `multiplier`; at least one resource."""
    parts: int = nu**divided
    return max(1, largest // parts) * multiplier
