"""Applies the rules of taod.toml to a run of one network and action, and reads its secrets."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from contextlib import suppress
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TypeVar

from runners.protocol import StartFailed
from taod.config import DockerRule, SlurmRule

SHORTEST_SECRET = 8
"""Least number of characters: a shorter secret cannot be masked without masking other text."""

Rule = TypeVar("Rule", DockerRule, SlurmRule)


def matching(rules: Iterable[Rule], network: str, action: str) -> list[Rule]:
    """The rules for a network and action, in order."""
    return [rule for rule in rules if fnmatchcase(network, rule.network) and fnmatchcase(action, rule.action)]


def environment(rules: Iterable[DockerRule | SlurmRule]) -> dict[str, str]:
    """The variables of these rules; later rules override earlier ones."""
    return {name: value for rule in rules for name, value in rule.environment.items()}


def sources(rules: Iterable[DockerRule | SlurmRule]) -> dict[str, str]:
    """Sources of the secrets of these rules, by variable."""
    return {name: source for rule in rules for name, source in rule.secrets.items()}


def read_secrets(found: Mapping[str, str]) -> dict[str, str]:
    """The values of secrets by variable. Raises StartFailed naming the variable, without any value."""
    return {name: _read(name, source) for name, source in found.items()}


def readable_secrets(found: Mapping[str, str]) -> list[str]:
    """The values of the secrets that can be read now."""
    values = []
    for name, source in found.items():
        with suppress(StartFailed):
            values.append(_read(name, source))
    return values


def _read(name: str, source: str) -> str:
    if source.startswith("$"):
        value = os.environ.get(source[1:], "")
        if not value:
            raise StartFailed(f"secret {name}: the daemon's environment has no {source}; set it, and restart taod")
    else:
        path = Path(source).expanduser()
        try:
            value = path.read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            why = error.strerror if isinstance(error, OSError) else "it is not text"
            raise StartFailed(f"secret {name}: {path} cannot be read: {why}; correct the path in the rule") from error
    if len(value) < SHORTEST_SECRET or len(value.split()) != 1 or "\0" in value:
        raise StartFailed(
            f"secret {name}: the value in {source} is not one word of at least {SHORTEST_SECRET} characters; correct it"
        )
    return value
