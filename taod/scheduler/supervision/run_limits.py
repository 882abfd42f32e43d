"""The limits and retries of one job, from `[supervision]` in taod.toml and its rules. Pure."""

from __future__ import annotations

import difflib
import signal
from collections.abc import Iterable
from fnmatch import fnmatchcase

import msgspec

from taod.config import SupervisionConfig, SupervisionRule
from taod.errors import ConfigError

OOM = "oom"
LOST = "lost"
STALL = "stall"
WALL = "wall"
UNKNOWN = "unknown"
CAUSES = (OOM, LOST, STALL, UNKNOWN)
MAX_BACKOFF_S = 3600.0
SIGNAL_EXIT_BASE = 128


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """Limits of one job; 0: no limit."""

    memory_bytes: int = 0
    wall_s: float = 0.0
    stall_s: float = 0.0
    kill_stalled: bool = False
    retries: int = 0
    exits: frozenset[int] = frozenset()
    causes: frozenset[str] = frozenset()
    backoff_s: float = 30.0

    def allows_retry(self, *, exit_code: int | None, cause: str, retries: int) -> bool:
        """Whether a failure is retried, after `retries` earlier retries."""
        if retries >= self.retries:
            return False
        return cause in self.causes or (exit_code in self.exits) or (exit_code is None and UNKNOWN in self.causes)

    def pause_s(self, retries: int) -> float:
        """Seconds before the next retry, after `retries` earlier ones."""
        return float(min(self.backoff_s * 2**retries, max(MAX_BACKOFF_S, self.backoff_s)))


def limits(config: SupervisionConfig, network: str, action: str) -> Limits:
    """The limits of a job. Raises ConfigError for an invalid exit."""
    rule = next(
        (one for one in config.rule if fnmatchcase(network, one.network) and fnmatchcase(action, one.action)),
        SupervisionRule(),
    )
    exits, causes = parse_exits(config.retry_exits if rule.retry_exits is None else rule.retry_exits)
    return Limits(
        memory_bytes=config.memory_bytes if rule.memory_bytes is None else rule.memory_bytes,
        wall_s=config.wall_s if rule.wall_s is None else rule.wall_s,
        stall_s=config.stall_s if rule.stall_s is None else rule.stall_s,
        kill_stalled=(rule.stall or config.stall) == "kill",
        retries=config.retries if rule.retries is None else rule.retries,
        exits=exits,
        causes=causes,
        backoff_s=config.backoff_s if rule.backoff_s is None else rule.backoff_s,
    )


def check(config: SupervisionConfig) -> None:
    """Raise ConfigError for an invalid exit in `[supervision]` or a rule."""
    for exits in (config.retry_exits, *(rule.retry_exits or [] for rule in config.rule)):
        parse_exits(exits)


def parse_exits(exits: Iterable[int | str]) -> tuple[frozenset[int], frozenset[str]]:
    """Split into exit codes (a signal's: 128 + its number) and causes. Raises ConfigError naming an invalid entry."""
    codes, causes = set(), set()
    for one in exits:
        if isinstance(one, int) and 0 < one < 256:
            codes.add(one)
        elif one in CAUSES:
            causes.add(str(one))
        elif isinstance(one, str) and one in signal.Signals.__members__:
            codes.add(SIGNAL_EXIT_BASE + signal.Signals[one])
        else:
            known = [*CAUSES, *signal.Signals.__members__]
            near = difflib.get_close_matches(str(one), known, n=1)
            hint = f"did you mean {near[0]!r}?" if near else f"use 1 to 255, a signal's name, or {', '.join(CAUSES)}"
            raise ConfigError(f"supervision.retry_exits: {one!r} is no exit; {hint}")
    return frozenset(codes), frozenset(causes)
