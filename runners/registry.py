"""The runners, and the choice of one for an action: by the rules, then by the order of taod.toml."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Sequence
from fnmatch import fnmatchcase
from functools import partial
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import Any

import msgspec

from runners.docker.runner import Docker
from runners.embedded import Embedded
from runners.environment import Rules
from runners.native import Native
from runners.protocol import OffHostRunner, Runner, Verdict, can_release, place_of
from runners.slurm.runner import Slurm
from taod.catalogue import releases
from taod.config import RunnerConfig, RunnerRule
from taod.errors import ConfigError
from taod.types.release import BASE

GROUP = "taod.runners"
"""Entry point group of runners from other distributions; each loads to a factory `(RunnerConfig) -> Runner`."""


class Choice(msgspec.Struct, frozen=True):
    """The runner for an action; without one, the reason and the remedy."""

    runner: Runner | None
    reason: str = ""
    remedy: str = ""
    rejected: list[tuple[str, Verdict]] = []
    """Each runner that cannot do it, the one whose remedy helps most first."""

    @property
    def rejection(self) -> str:
        """The error text without a runner: reason and remedy."""
        return f"{self.reason}; {self.remedy}" if self.remedy else self.reason


class RunnerRegistry:
    """The runners of this daemon, each created once, when it is first needed."""

    def __init__(self, makers: dict[str, Callable[[], Runner]], order: list[str], rules: list[RunnerRule]) -> None:
        """Raises ConfigError if `order` or a rule names a runner that `makers` lacks."""
        self._makers = makers
        self._made: dict[str, Runner] = {}
        self._order = order
        self._rules = rules
        for name in order:
            self._check(name, "runner.order")
        for rule in rules:
            self._check(rule.runner, f"runner.rule for {rule.network} {rule.action}")

    @classmethod
    def from_config(
        cls, config: RunnerConfig, *, cpu_slots: int = 1, tools: Path | None = None, cache: Path | None = None
    ) -> RunnerRegistry:
        """`cpu_slots`: number of runs that share the cores; `tools`: the folder of managed tool environments;
        `cache`: the folder of downloads that runs share.

        Raises ConfigError naming the known runners or releases.
        """
        rules = Rules.of(config, cache)
        _check_releases(config)
        makers: dict[str, Callable[[], Runner]] = {
            "docker": lambda: Docker(config.docker, rules, cpu_slots=cpu_slots),
            "native": lambda: Native(config.native, rules, cpu_slots=cpu_slots, tools=tools),
            "embedded": lambda: Embedded(config.embedded, rules, cpu_slots=cpu_slots),
            "slurm": lambda: Slurm(config.slurm, rules),
        }
        for point in entry_points(group=GROUP):
            makers.setdefault(point.name, partial(_load, point, config))
        return cls(makers, config.order, config.rule)

    def get(self, name: str) -> Runner:
        """The runner of a name, also one outside the order, whose runs must be found again. Raises ConfigError."""
        self._check(name, "runner")
        if name not in self._made:
            self._made[name] = self._makers[name]()
        return self._made[name]

    def choose(
        self,
        network: str,
        action: str,
        spec: dict[str, Any] | None = None,
        *,
        wanted: str | None = None,
        place: str | None = None,
        release: str = BASE,
    ) -> Choice:
        """The runner for an action: the first matching rule's, else the first in the order that can run it.

        `wanted`: a runner requested by name; `place`: where the run has its slot (`place_of`); `release`: the tools'
        release that the specification belongs to. Raises ConfigError for an unknown runner.
        """
        rejected: list[tuple[str, Verdict]] = []
        for name in [wanted] if wanted else self._candidates(network, action):
            runner = self.get(name)
            verdict = runner.can(network, action, spec)
            if verdict.can:
                verdict = can_release(runner, network, action, release)
            if verdict.can and place is not None and place_of(runner) != place:
                verdict = Verdict(False, "the job's turn was for another runner", "post it again")
            if verdict.can:
                return Choice(runner)
            rejected.append((name, verdict))
        # Runners that could run it with another spec first: theirs is the simplest remedy.
        rejected.sort(
            key=lambda each: (spec is None or not self.get(each[0]).can(network, action).can, not each[1].near)
        )
        why = (
            "; ".join(f"{name}: {verdict.reason.rstrip('.')}" for name, verdict in rejected) or "runner.order is empty"
        )
        remedies = dict.fromkeys(verdict.remedy.rstrip(".") for _, verdict in rejected if verdict.remedy)
        reason = f"no runner can do {network} {action} here ({why})"
        return Choice(None, reason, "; or ".join(remedies), rejected)

    def names(self) -> list[str]:
        """Names of all runners, also of those outside the order."""
        return sorted(self._makers)

    def off_host(self) -> list[OffHostRunner]:
        """The selectable runners whose runs lease no device of this machine."""
        names = dict.fromkeys([*self._order, *(rule.runner for rule in self._rules)])
        return [runner for name in names if isinstance(runner := self.get(name), OffHostRunner)]

    def able(self, network: str, action: str, release: str = BASE) -> list[str]:
        """Names of the runners that can run an action with tools of a release, in order of preference."""
        return [
            name
            for name in self._candidates(network, action)
            if (runner := self.get(name)).can(network, action).can and can_release(runner, network, action, release).can
        ]

    def tool(self, name: str, network: str, action: str, release: str = BASE) -> str:
        """The tool, version and environment that a runner would use; empty without one."""
        runner = self.get(name)
        return runner.tool(network, action, release) if isinstance(runner, Native) else ""

    def release(self, network: str, action: str, known: Sequence[str]) -> str | None:
        """The first of the `known` releases that the preferred runner for the action has; None if no runner can run
        it."""
        for name in self._candidates(network, action):
            runner = self.get(name)
            if runner.can(network, action).can:
                for release in known:
                    if can_release(runner, network, action, release).can:
                        return release
        return None

    def _candidates(self, network: str, action: str) -> list[str]:
        for rule in self._rules:
            if fnmatchcase(network, rule.network) and fnmatchcase(action, rule.action):
                return [rule.runner]
        return self._order

    def _check(self, name: str, key: str) -> None:
        if name in self._makers:
            return
        near = difflib.get_close_matches(name, self._makers, n=1)
        hint = f"did you mean {near[0]!r}? " if near else ""
        raise ConfigError(f"{key}: there is no runner {name!r}; {hint}known here: {', '.join(sorted(self._makers))}")


def _check_releases(config: RunnerConfig) -> None:
    """Raises ConfigError for a release that taod does not know."""
    named = [(f"runner.docker.rule for {rule.network} {rule.action}", rule.release) for rule in config.docker.rule]
    named += [(f"runner.slurm.rule for {rule.network} {rule.action}", rule.release) for rule in config.slurm.rule]
    for key, release in [("runner.slurm", config.slurm.release), *named]:
        if release and releases.covering(release) is None:
            raise ConfigError(f"{key}: release = {release!r} is unknown; the nearest is {releases.nearest(release)!r}")


def _load(point: EntryPoint, config: RunnerConfig) -> Runner:
    runner: Runner = point.load()(config)
    return runner
