"""Specification of each release of a tool: Python, installation steps, sizes, licence, compiled operators.

The data is in `data/<tool>-<release>.toml`, with long requirement lists beside it.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterator
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path

import msgspec

from taod.errors import ConfigError, NotFound


class Licence(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The licence that the user accepts before the package is installed."""

    name: str
    text: str
    """Location of its text."""


class Step(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One call of pip."""

    title: str
    packages: list[str] = []
    file: str = ""
    """Requirement list beside the specification, in addition to `packages`."""
    cpu: list[str] = []
    """Requirements for a machine without a GPU, used instead of `packages` if the configured index has them."""
    only: str = ""
    """`cpu` or `gpu`: the step is only for that kind of environment."""
    options: list[str] = []
    """Further options of `pip install`."""
    optional: bool = False
    """Whether the tool is usable without it, for example if it must be compiled."""


class Operators(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Compiled operators of the package, and their requirements."""

    title: str
    networks: list[str]
    glibcxx: str = ""
    """Symbol version that the system's libstdc++ must provide: `3.4.32`."""
    cuda: int = 0
    """Major version of CUDA that the driver must support."""
    without: str = ""
    """Effect if they cannot be loaded."""


class Layer(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Parts of the tool that the CPU compatibility layer replaces."""

    modules: list[str] = []
    """Packages that the tool imports and that need a GPU, CUDA or MPI to be built."""
    operators: list[str] = []
    """Modules of the tool whose `load_ops` loads operators without a check."""


class Probe(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Settings for a check's imports."""

    preload: list[str] = []
    """Modules that most entry points import; imported once, before each entry point is checked in a fork."""
    all_or_none: bool = True
    """Whether the entry points import all of their actions for each of them, as NVIDIA's do."""


class ToolSpec(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One release of one tool. Sizes are in megabytes (10^6 bytes)."""

    tool: str
    release: str
    title: str
    package: str
    python: str
    """`major.minor` of CPython."""
    licence: Licence
    download_mb: int
    disk_mb: int
    step: list[Step]
    machines: tuple[str, ...] = ("x86_64",)
    """Processor architectures that it is built for."""
    cpu_download_mb: int = 0
    cpu_disk_mb: int = 0
    """Sizes of an environment with CPU builds; 0: the tool cannot be installed with `--cpu`."""
    gpu_obstacle: str = ""
    """Why it cannot be installed for a GPU, with the remedy; empty if it can."""
    cuda: int = 0
    """Major version of CUDA of its libraries; the driver must support it."""
    needs_modules: list[str] = []
    """Modules that the chosen interpreter must already have, such as `tensorrt`."""
    operators: list[Operators] = []
    layer: Layer = Layer()
    absent: list[str] = []
    """Packages that the tool imports and no index offers, and that only some functions call: stand-ins replace them so
    that the rest works."""
    supplies: list[str] = []
    """Packages that the tool imports and no index offers, of which taod supplies the used part."""
    probe: Probe = Probe()
    environment: dict[str, str] = {}
    """Environment variables of its runs."""

    def steps(self, *, cpu: bool) -> list[Step]:
        """The steps of an environment for the CPU (`cpu`) or a GPU, in order."""
        return [step for step in self.step if step.only in ("", "cpu" if cpu else "gpu")]

    def name(self, *, cpu: bool) -> str:
        """Name of its environment."""
        return f"{self.tool}-{self.release}{'-cpu' if cpu else ''}"


class ToolSpecs:
    """The known tools: taod's own specifications, and those of a user's folder in the same format."""

    def __init__(self, own: Path | None = None) -> None:
        """`own`: a folder of further specifications, which replace taod's of the same tool and release."""
        self._own = own

    def all(self) -> tuple[ToolSpec, ...]:
        """All releases of all tools, the newest release of a tool first. Raises ConfigError for an invalid file."""
        return tuple(each for each, _ in self._found().values())

    def get(self, tool: str, release: str | None = None) -> ToolSpec:
        """A tool's release; None: the newest. Raises NotFound naming the nearest one."""
        known = self.all()
        of_tool = [each for each in known if each.tool == tool]
        if not of_tool:
            tools = sorted({each.tool for each in known})
            near = difflib.get_close_matches(tool, tools, n=1)
            hint = f"did you mean {near[0]}? " if near else ""
            raise NotFound(f"tool {tool!r} is unknown; {hint}taod can install {', '.join(tools)}")
        if release is None:
            return of_tool[0]
        for each in of_tool:
            if each.release == release or each.release.startswith(f"{release}."):
                return each
        releases = ", ".join(each.release for each in of_tool)
        raise NotFound(f"{tool} has no release {release!r} that taod can install; it has {releases}")

    def lists(self, spec: ToolSpec) -> Traversable:
        """The folder of the requirement lists that a specification names."""
        return self._found()[spec.tool, spec.release][1]

    def _found(self) -> dict[tuple[str, str], tuple[ToolSpec, Traversable]]:
        shipped: Traversable = files("runners.toolenv") / "data"
        folders = [shipped] if self._own is None else [shipped, self._own]
        found = {(each.tool, each.release): (each, folder) for folder in folders for each in _read(folder)}
        newest_first = sorted(found, key=lambda key: version(key[1]), reverse=True)
        return {key: found[key] for key in sorted(newest_first, key=lambda key: key[0])}


def _read(folder: Traversable) -> Iterator[ToolSpec]:
    for file in folder.iterdir():
        if file.name.endswith(".toml"):
            try:
                yield msgspec.toml.decode(file.read_bytes(), type=ToolSpec)
            except (OSError, msgspec.MsgspecError, UnicodeDecodeError, ValueError) as error:
                raise ConfigError(f"{file}: {error}") from error


def version(text: str) -> tuple[int, ...]:
    """`7.3.0` as a tuple for comparison; parts that are not numbers count as 0."""
    return tuple(int(part) if part.isdigit() else 0 for part in text.split("."))
