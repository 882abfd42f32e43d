"""The native runner: the tools' own entry points, found in configured folders, a virtual environment or PATH."""

from __future__ import annotations

import os
import shutil
from importlib.metadata import distributions
from pathlib import Path
from typing import Any

from runners.environment import GPU, LEASED, Rules, of_run, threads_per_slot
from runners.local import LocalRunner
from runners.protocol import Launch, RunRequest, StartFailed, Verdict
from taod.config import NativeConfig

ENTRY_POINTS = {
    ("object_detection", "convert"): "detectnet_v2",
    ("object_detection", "convert_and_index"): "ssd",
    ("object_detection", "convert_efficientdet_tf1"): "efficientdet_tf1",
    ("object_detection", "convert_efficientdet_tf2"): "efficientdet_tf2",
    ("instance_segmentation", "convert"): "mask_rcnn",
    ("semantic_segmentation", "convert"): "unet",
}
"""Whose entry point converts a dataset of a type."""
ENTRY_POINTS_OF_ACTIONS = {"kmeans": "yolo_v3", "augment": "augment", "trtexec": "trtexec"}
"""Actions with one entry point whatever the network."""

LEASE_GUARD = Path(__file__).parent / "lease_guard"
"""Folder of the module that keeps the tools' Python processes on their leased GPUs."""
DEPLOYED = "gen_trt_engine"
DEPLOY_TOOLS = "nvidia-tao-deploy"
"""The distribution that builds TensorRT engines."""
DEPLOY_PACKAGE = b"nvidia_tao_deploy"
_SCRIPT_BYTES = 4096
DEPLOY_IMAGE = "tao-deploy"
"""The kind of image of command lines that only the deploy tools understand."""


class Native(LocalRunner):
    """Runs `<network> <action> …` with the executable that is found for the network."""

    name = "native"

    def __init__(self, config: NativeConfig | None = None, rules: Rules | None = None, *, cpu_slots: int = 1) -> None:
        super().__init__(rules)
        config = config or NativeConfig()
        self._venv = Path(config.venv).expanduser().absolute() if config.venv else None
        folders = [Path(folder).expanduser().absolute() for folder in config.path]
        self._folders = ([self._venv / "bin"] if self._venv else []) + folders
        self._threads = threads_per_slot(0, cpu_slots)

    def can(self, network: str, action: str, spec: dict[str, Any] | None = None) -> Verdict:
        entry = ENTRY_POINTS.get((network, action)) or ENTRY_POINTS_OF_ACTIONS.get(action, network)
        deployed = action == DEPLOYED
        if self._find(entry, deployed=deployed) is not None:
            return Verdict(True)
        if deployed:
            return Verdict(
                False,
                f"there is no executable {entry!r} of {DEPLOY_TOOLS}",
                f"install {DEPLOY_TOOLS} in an environment of its own, and name its bin folder in runner.native.path",
            )
        return Verdict(
            False,
            f"there is no executable {entry!r}",
            "install the TAO wheel that has it, and name its folder in runner.native.path or runner.native.venv",
        )

    def describe(self, request: RunRequest) -> Launch:
        entry = request.command.argv[0]
        program = self._find(entry, deployed=request.command.image == DEPLOY_IMAGE)
        if program is None:
            raise StartFailed(f"there is no executable {entry!r} in runner.native.path, runner.native.venv or PATH")
        environment = {"PATH": self._search_path()}
        if self._venv:
            environment["VIRTUAL_ENV"] = str(self._venv)
        environment |= of_run(request, self.rules.extra, threads=self._threads)
        if gpus := [device.id for device in request.devices if device.kind == GPU]:
            modules = [str(LEASE_GUARD), *filter(None, [environment.get("PYTHONPATH")])]
            environment |= {LEASED: ",".join(gpus), "PYTHONPATH": os.pathsep.join(modules)}
        return Launch(request.command.words(program), environment)

    def version(self, network: str) -> str | None:
        """`nvidia-tao-pytorch 5.0.0`: which distribution the network's executable is of; None where none tells.

        Read from what was installed beside it; nothing is run.
        """
        program = self._find(network)
        return None if program is None else _package(program, network)

    def _find(self, entry: str, *, deployed: bool = False) -> str | None:
        """The first executable of that name; `deployed`: of those of the deploy tools, else of the others."""
        for folder in self._search_path().split(os.pathsep):
            found = shutil.which(entry, path=folder)
            if found is not None and _is_deploy_tool(found, entry) == deployed:
                return str(Path(found).absolute())
        return None

    def _search_path(self) -> str:
        return os.pathsep.join([*map(str, self._folders), os.environ.get("PATH", os.defpath)])


def _package(program: str, entry: str) -> str | None:
    """`nvidia-tao-pytorch 5.0.0`: the distribution that an executable is of, read from what lies beside it."""
    # In an environment the executables lie beside the packages; a link leads there.
    folders = dict.fromkeys(path.parent.parent for path in (Path(program), Path(program).resolve()))
    packages = [str(site) for folder in folders for site in folder.glob("lib/python*/*-packages")]
    for distribution in distributions(path=packages):
        if any(p.group == "console_scripts" and p.name == entry for p in distribution.entry_points):
            return f"{distribution.name} {distribution.version}"
    return None


def _is_deploy_tool(program: str, entry: str) -> bool:
    """Whether an executable is of the deploy tools: a script that names their package, or installed with it."""
    try:
        with Path(program).open("rb") as file:
            if DEPLOY_PACKAGE in file.read(_SCRIPT_BYTES):
                return True
    except OSError:
        return False
    package = _package(program, entry)
    return package is not None and package.startswith(DEPLOY_TOOLS)
