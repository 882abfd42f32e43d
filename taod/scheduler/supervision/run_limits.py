"""What a run may use and how often it is tried again: the section of taod.toml and its rules, for one job. Pure."""

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
LONGEST_BACKOFF_S = 3600.0
BY_SIGNAL = 128


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """Those of one job; 0 stands for none."""

    memory_bytes: int = 0
    wall_s: float = 0.0
    stall_s: float = 0.0
    kill_stalled: bool = False
    retries: int = 0
    exits: frozenset[int] = frozenset()
    causes: frozenset[str] = frozenset()
    backoff_s: float = 30.0

    def tries_again(self, *, exit_code: int | None, cause: str, retries: int) -> bool:
        """Whether a failure leads to another try, after so many of them."""
        if retries >= self.retries:
            return False
        return cause in self.causes or (exit_code in self.exits) or (exit_code is None and UNKNOWN in self.causes)

    def pause_s(self, retries: int) -> float:
        """Seconds before the next try, after so many."""
        return float(min(self.backoff_s * 2**retries, max(LONGEST_BACKOFF_S, self.backoff_s)))


def limits(config: SupervisionConfig, network: str, action: str) -> Limits:
    """What holds for a job. Raises ConfigError for an exit that is none."""
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
    """Raise ConfigError for an exit of `[supervision]` or of a rule that is none."""
    for exits in (config.retry_exits, *(rule.retry_exits or [] for rule in config.rule)):
        parse_exits(exits)


def parse_exits(exits: Iterable[int | str]) -> tuple[frozenset[int], frozenset[str]]:
    """Exit codes and causes. A signal's code is 128 and its number. Raises ConfigError naming what is neither."""
    codes, causes = set(), set()
    for one in exits:
        if isinstance(one, int) and 0 < one < 256:
            codes.add(one)
        elif one in CAUSES:
            causes.add(str(one))
        elif isinstance(one, str) and one in signal.Signals.__members__:
            codes.add(BY_SIGNAL + signal.Signals[one])
        else:
            known = [*CAUSES, *signal.Signals.__members__]
            near = difflib.get_close_matches(str(one), known, n=1)
            hint = f"did you mean {near[0]!r}?" if near else f"use 1 to 255, a signal's name, or {', '.join(CAUSES)}"
            raise ConfigError(f"supervision.retry_exits: {one!r} is no exit; {hint}")
    return frozenset(codes), frozenset(causes)
