"""The native runner: the tools' own entry points, found in configured folders, a virtual environment or PATH."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable
from functools import lru_cache
from importlib.metadata import distributions
from pathlib import Path
from typing import Any

import msgspec

from runners.environment import GPU, LEASED, Rules, of_run, threads_per_slot
from runners.local import LocalRunner
from runners.protocol import Launch, RunRequest, StartFailed, Verdict
from runners.toolenv.environments import Environments
from taod.catalogue import network as catalogue
from taod.catalogue import releases
from taod.config import NativeConfig
from taod.types.tool import TOOL, Environment

ENTRY_POINTS = {
    ("object_detection", "convert"): "detectnet_v2",
    ("object_detection", "convert_and_index"): "ssd",
    ("object_detection", "convert_efficientdet_tf1"): "efficientdet_tf1",
    ("object_detection", "convert_efficientdet_tf2"): "efficientdet_tf2",
    ("instance_segmentation", "convert"): "mask_rcnn",
    ("semantic_segmentation", "convert"): "unet",
}
"""Dataset type -> the entry point that converts it."""
ENTRY_POINTS_OF_ACTIONS = {"kmeans": "yolo_v3", "augment": "augment", "trtexec": "trtexec"}
"""Action -> its entry point, for actions with the same one for all networks."""
_SAME_WORD = {"retrain": "train"}
"""Action -> the tool's own word for it, where it has another."""

LEASE_GUARD = Path(__file__).parent / "lease_guard"
"""Folder of the module that keeps the tools' Python processes on their leased GPUs."""
DEPLOYED = "gen_trt_engine"
DEPLOY_TOOLS = "nvidia-tao-deploy"
"""The distribution that builds TensorRT engines."""
DEPLOY_PACKAGE = b"nvidia_tao_deploy"
_SCRIPT_BYTES = 4096
DEPLOY_IMAGE = "tao-deploy"
"""The kind of image of command lines for the deploy tools."""


class Native(LocalRunner):
    """Runs `<network> <action> …` with the network's executable."""

    name = "native"

    def __init__(
        self,
        config: NativeConfig | None = None,
        rules: Rules | None = None,
        *,
        cpu_slots: int = 1,
        tools: Path | None = None,
    ) -> None:
        """`tools`: the folder of managed tool environments, which are searched after the configured folders."""
        super().__init__(rules)
        config = config or NativeConfig()
        self._venv = Path(config.venv).expanduser().absolute() if config.venv else None
        folders = [Path(folder).expanduser().absolute() for folder in config.path]
        self._folders = ([self._venv / "bin"] if self._venv else []) + folders
        self._threads = threads_per_slot(0, cpu_slots)
        self._tools = None if tools is None else Environments(tools)

    def can(self, network: str, action: str, spec: dict[str, Any] | None = None) -> Verdict:
        if any(self._find_for(network, action, release) is not None for release in releases.KNOWN):
            return Verdict(True)
        entry, subtask = _entry(network, action, releases.KNOWN[-1]), _subtask(network, action)
        if action == DEPLOYED:
            return Verdict(
                False,
                f"the executable {entry!r} of {DEPLOY_TOOLS} was not found",
                f"install {DEPLOY_TOOLS} in an environment of its own, and name its bin folder in runner.native.path",
            )
        other = self._tools.find(entry, subtask) if self._tools is not None else None
        if other is not None:
            return Verdict(
                False,
                f"{other.label} in {other.path} has it, and taod knows no release {other.release}",
                f"install release {releases.nearest(other.release)}, the nearest known one, or use another runner",
            )
        return Verdict(
            False,
            f"the executable {entry!r} was not found",
            "install the tool that has it (`taod tools ls`), or name its folder in runner.native.path or "
            "runner.native.venv",
        )

    def can_release(self, network: str, action: str, release: str) -> Verdict:
        if self._find_for(network, action, release) is not None:
            return Verdict(True)
        return Verdict(
            False,
            f"the installed tool is not of release {release}, of which the model is",
            f"`taod tools install` a tool of release {release}, or create a model for the installed one",
        )

    def describe(self, request: RunRequest) -> Launch:
        entry, *words = request.command.argv
        found = self._find(
            entry,
            words[0] if words else "",
            request.command.release,
            deployed=request.command.image == DEPLOY_IMAGE,
        )
        if found is None:
            raise StartFailed(
                f"the executable {entry!r} was not found in runner.native.path, runner.native.venv, an installed tool "
                "or PATH"
            )
        environment = {"PATH": self._search_path()}
        if self._venv:
            environment["VIRTUAL_ENV"] = str(self._venv)
        if (tool := found.environment) is not None:
            # the entry points start `python` and `torchrun` by name
            path = os.pathsep.join([f"{tool.path}/bin", environment["PATH"]])
            environment |= tool.variables | {"PATH": path, "VIRTUAL_ENV": tool.path}
        if found.environment is not None or self.rules.cache_for_all:
            inherited = self.inherited()
            environment |= {name: value for name, value in self.rules.caches().items() if name not in inherited}
        environment |= of_run(request, self.rules.extra, threads=self._threads)
        if label := _label(found, entry):
            environment[TOOL] = label
        if gpus := [device.id for device in request.devices if device.kind == GPU]:
            modules = [str(LEASE_GUARD), *filter(None, [environment.get("PYTHONPATH")])]
            environment |= {LEASED: ",".join(gpus), "PYTHONPATH": os.pathsep.join(modules)}
        return Launch(request.command.argv_with_following(found.program), environment)

    def version(self, network: str) -> str | None:
        """`nvidia-tao-pytorch 5.0.0`: the distribution of the network's executable; None if unknown.

        Read from the metadata installed beside it; nothing is executed.
        """
        newest_first = reversed(releases.KNOWN)
        found = next((each for release in newest_first if (each := self._find_for(network, "train", release))), None)
        return None if found is None else _label(found, network) or None

    def tool(self, network: str, action: str, release: str = releases.BASE) -> str:
        """The tool for the action, its version and environment: `nvidia-tao-pytorch 7.3.0 in /…`; empty without one."""
        entry = _entry(network, action, release)
        found = self._find_for(network, action, release)
        if found is None or not (label := _label(found, entry)):
            return ""
        return f"{label} in {found.environment.path if found.environment else Path(found.program).parent.parent}"

    def _find_for(self, network: str, action: str, release: str) -> _Executable | None:
        entry = _entry(network, action, release)
        return self._find(entry, _subtask(network, action), release, deployed=action == DEPLOYED)

    def _find(self, entry: str, subtask: str, release: str, *, deployed: bool = False) -> _Executable | None:
        """The first executable of a name and release: in the configured folders, an installed tool, or on PATH.

        `deployed`: search executables of the deploy tools; otherwise all others.
        """
        program = _which(entry, map(str, self._folders), release, deployed=deployed)
        if program is not None:
            return _Executable(program)
        versions = releases.prefixes(release, entry)
        tool = self._tools.find(entry, subtask, releases=versions) if self._tools is not None else None
        if tool is not None and (tool.package == DEPLOY_TOOLS) == deployed:
            return _Executable(f"{tool.path}/bin/{entry}", tool)
        program = _which(entry, os.environ.get("PATH", os.defpath).split(os.pathsep), release, deployed=deployed)
        return None if program is None else _Executable(program)

    def _search_path(self) -> str:
        return os.pathsep.join([*map(str, self._folders), os.environ.get("PATH", os.defpath)])


class _Executable(msgspec.Struct, frozen=True):
    """An executable, and its managed environment, if any."""

    program: str
    environment: Environment | None = None


def _subtask(network: str, action: str) -> str:
    """The word after the executable: dataset types have conversions of their own name, and a retrain is a train."""
    return "dataset_convert" if (network, action) in ENTRY_POINTS else _SAME_WORD.get(action, action)


def _entry(network: str, action: str, release: str) -> str:
    """The executable of an action."""
    named = ENTRY_POINTS.get((network, action)) or ENTRY_POINTS_OF_ACTIONS.get(action)
    known = catalogue.get(network, release)
    return named or (known.program if known is not None else network)


def _which(entry: str, folders: Iterable[str], release: str, *, deployed: bool) -> str | None:
    for folder in folders:
        found = shutil.which(entry, path=folder)
        if found is not None and _is_deploy_tool(found, entry) == deployed and _release(found, entry) == release:
            return str(Path(found).absolute())
    return None


def _label(found: _Executable, entry: str) -> str:
    """`nvidia-tao-pytorch 5.0.0`; empty if no metadata beside the executable names its distribution."""
    if found.environment is not None:
        return found.environment.label
    return _package(found.program, entry) or ""


def _release(program: str, entry: str) -> str | None:
    """The release of an executable: of its distribution, or 5.0 if that is unknown."""
    package = _package(program, entry)
    return releases.BASE if package is None else releases.covering(package.rpartition(" ")[2], entry)


def _package(program: str, entry: str) -> str | None:
    """`nvidia-tao-pytorch 5.0.0`: an executable's distribution, cached until the executable changes."""
    return _package_at(program, entry, Path(program).stat().st_mtime_ns)


@lru_cache
def _package_at(program: str, entry: str, changed_ns: int) -> str | None:
    """The distribution, from the packages beside the executable; `changed_ns` is only the cache's key."""
    # resolve links: an environment's executables lie beside its packages
    folders = dict.fromkeys(path.parent.parent for path in (Path(program), Path(program).resolve()))
    packages = [str(site) for folder in folders for site in folder.glob("lib/python*/*-packages")]
    for distribution in distributions(path=packages):
        if any(p.group == "console_scripts" and p.name == entry for p in distribution.entry_points):
            return f"{distribution.name} {distribution.version}"
    return None


def _is_deploy_tool(program: str, entry: str) -> bool:
    """Whether an executable belongs to the deploy tools: a script that names their package, or installed with it."""
    try:
        with Path(program).open("rb") as file:
            if DEPLOY_PACKAGE in file.read(_SCRIPT_BYTES):
                return True
    except OSError:
        return False
    package = _package(program, entry)
    return package is not None and package.startswith(DEPLOY_TOOLS)
