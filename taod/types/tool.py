"""Tool environments: NVIDIA's packages installed by taod, each with its dependencies in a virtual environment."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum

import msgspec

from taod.types.common import Location, Name

TOOL = "TAOD_TOOL"
"""Variable of a run that names its tool's package and version."""


class ToolState(StrEnum):
    """Whether an environment can be used."""

    READY = "ready"
    INCOMPLETE = "incomplete"
    """Its installation was interrupted or failed, and the next one resumes it. No run uses it."""
    INSTALLING = "installing"


class Consent(msgspec.Struct, frozen=True):
    """Who accepted which licence, and when."""

    licence: str
    accepted_at: str
    accepted_by: str
    """Name of the operating system's user."""


class ActionCheck(msgspec.Struct, frozen=True, omit_defaults=True):
    """Whether an action's code could be imported in the environment."""

    name: str
    ok: bool
    reason: str = ""


class EntryPoint(msgspec.Struct, frozen=True, omit_defaults=True):
    """An executable of the tool, with the result of the last check for each action."""

    name: str
    actions: list[ActionCheck] = []
    reason: str = ""
    """Why the executable itself cannot be used; its actions are then unknown."""

    def offers(self, action: str) -> bool:
        """Whether the last check could import this action."""
        return any(each.name == action and each.ok for each in self.actions)


class Environment(msgspec.Struct, frozen=True, omit_defaults=True):
    """An installed tool: a virtual environment below the tools folder."""

    name: str
    """`<tool>-<release>`, with `-cpu` for the CPU compatibility layer: the name of its folder."""
    tool: str
    release: str
    package: str
    path: str
    state: ToolState
    cpu: bool = False
    """With the compatibility layer that runs GPU code on the CPU: slow, for trials and tests."""
    python: str = ""
    """Version of its interpreter: `3.12.1`."""
    interpreter: str = ""
    """The interpreter that it was created from."""
    steps_done: int = 0
    steps: int = 0
    packages: dict[str, str] = {}
    """Exact version of each installed distribution."""
    consent: Consent | None = None
    entry_points: list[EntryPoint] = []
    notices: list[str] = []
    """Restrictions found at the installation, such as operators that cannot be loaded on this machine."""
    variables: dict[str, str] = {}
    """Environment variables that the tool's runs need."""
    installed_at: str = ""
    checked_at: str = ""
    size_bytes: int = 0

    @property
    def label(self) -> str:
        """`nvidia-tao-pytorch 7.3.0 (CPU layer)`."""
        return f"{self.package} {self.release}{' (CPU layer)' if self.cpu else ''}"

    def entry_point(self, name: str) -> EntryPoint | None:
        return next((each for each in self.entry_points if each.name == name), None)

    def offers(self, entry: str, action: str) -> bool:
        """Whether a run may use it for this action: its installation is complete, and its last check imported the
        action."""
        found = self.entry_point(entry) if self.state is ToolState.READY else None
        return found is not None and found.offers(action)


class ToolInfo(msgspec.Struct, frozen=True, omit_defaults=True):
    """One release of one tool that taod can install, and its environments here."""

    tool: str
    release: str
    package: str
    title: str
    python: str
    """Version of Python that it needs: `3.12`."""
    licence: str
    download_mb: int
    disk_mb: int
    cpu_download_mb: int
    cpu_disk_mb: int
    environments: list[Environment] = []


class ToolInstall(msgspec.Struct, forbid_unknown_fields=True):
    """A request to install a tool."""

    accept_license: bool = False
    """The package is installed only when its licence is accepted."""
    release: Name | None = None
    """Its newest release if not given."""
    cpu: bool = False
    python: Location | None = None
    """Path of the interpreter; None: one is searched."""


class ToolProgress(msgspec.Struct, frozen=True, omit_defaults=True):
    """Progress of an installation or a check."""

    name: str
    """Name of the environment."""
    step: int
    steps: int
    title: str
    """Title of the step: `PyTorch`."""
    detail: str = ""
    """The current package or entry point."""
    loaded_bytes: int = 0
    """Bytes downloaded or taken from the cache so far, in all steps."""
    elapsed_s: float = 0.0
    ended: bool = False
    error: str = ""
    """Why it failed, with the remedy; empty otherwise."""


def tool_of(environment: Mapping[str, str]) -> str:
    """The tool of a run, from its environment: `nvidia-tao-pytorch 7.3.0 in /…`; empty if unknown."""
    if not environment.get(TOOL):
        return ""
    return " in ".join(environment[name] for name in (TOOL, "VIRTUAL_ENV") if environment.get(name))
