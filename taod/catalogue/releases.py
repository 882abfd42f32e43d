"""The releases of NVIDIA's tools whose facts the catalogue has. Pure.

A release's data are layered over those before it: a network that it does not list keeps its earlier facts.
"""

from __future__ import annotations

import re

from taod.types.release import BASE as BASE
from taod.types.release import NEWEST

KNOWN = (BASE, NEWEST)
"""Oldest first."""
_VERSIONS = {BASE: ((5, 0), (5, 1), (5, 2)), NEWEST: ((7, 3),)}
"""Release -> versions of the tools, major and minor, that take its command lines and specifications."""
_OF_TF2 = {BASE: _VERSIONS[BASE], NEWEST: ((6, 0), (7, 3))}
"""The same of the TF2 networks: their own tools end with 6.0, and those that deploy them have later ones."""
TF2 = frozenset({"classification_tf2", "efficientdet_tf2"})
"""Executables, and networks, of the TF2 tools."""
_VERSION = re.compile(r"(\d+)\.(\d+)(?:\.\d+)*")


def covering(version: str, program: str = "") -> str | None:
    """The known release that a version of the tools follows: `5.1.0` -> `5.0`; None for a version of no known one.

    `program`: the executable, since the TF2 tools have versions of their own.
    """
    found = _VERSION.match(version)
    number = (int(found[1]), int(found[2])) if found else None
    return next((release for release in KNOWN if number in _versions(program)[release]), None)


def prefixes(release: str, program: str = "") -> tuple[str, ...]:
    """The beginnings of the versions that a release covers: `("5.0", "5.1", "5.2")`."""
    return tuple(f"{major}.{minor}" for major, minor in _versions(program)[release])


def _versions(program: str) -> dict[str, tuple[tuple[int, int], ...]]:
    return _OF_TF2 if program in TF2 else _VERSIONS


def pattern() -> str:
    """A regular expression for the versions that a known release covers, and for no version."""
    numbers = (re.escape(prefix) for release in KNOWN for prefix in prefixes(release))
    return rf"^(({'|'.join(numbers)})(\.[0-9]+)*)?$"


def nearest(version: str) -> str:
    """The known release nearest below a version; the oldest release if the version is older or invalid."""
    found = _VERSION.match(version)
    number = (int(found[1]), int(found[2])) if found else (0, 0)
    below = [release for release in KNOWN if _VERSIONS[release][0] <= number]
    return below[-1] if below else BASE


def in_tag(image: str) -> str | None:
    """The version in a container image's tag (`…/tao-toolkit:5.0.0-pyt` -> `5.0.0`); None where it names none."""
    name, _, tag = image.rpartition(":")
    found = _VERSION.match(tag) if name and "/" not in tag else None
    return found[0] if found else None


def layers(release: str) -> tuple[str, ...]:
    """The releases whose data are laid over each other for one release, the oldest first; KeyError if unknown."""
    if release not in KNOWN:
        raise KeyError(release)
    return KNOWN[: KNOWN.index(release) + 1]
