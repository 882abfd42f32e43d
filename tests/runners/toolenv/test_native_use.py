"""The native runner with managed tool environments: which one it takes, and what a run gets of it."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from runners.environment import Rules
from runners.native import Native
from runners.protocol import Command, DeviceGrant, RunRequest
from runners.registry import RunnerRegistry
from runners.toolenv.environments import PROGRESS, Environments, Progress
from taod.catalogue import Catalogue
from taod.config import NativeConfig, RunnerConfig
from taod.services.networks import Networks
from taod.types.tool import ActionCheck, EntryPoint, Environment, ToolState, tool_of

TRAIN = EntryPoint("dino", [ActionCheck("train", True), ActionCheck("export", False, "ModuleNotFoundError: onnx")])


@pytest.fixture(autouse=True)
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A PATH without any tool."""
    folder = tmp_path / "path"
    folder.mkdir()
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")
    return folder


@pytest.fixture
def tools(tmp_path: Path) -> Environments:
    return Environments(tmp_path / "tools")


def installed(tools: Environments, release: str, *, cpu: bool = False, entry: EntryPoint = TRAIN) -> Environment:
    name = f"pytorch-{release}{'-cpu' if cpu else ''}"
    made = Environment(
        name=name,
        tool="pytorch",
        release=release,
        package="nvidia-tao-pytorch",
        path=str(tools.path(name)),
        state=ToolState.READY,
        cpu=cpu,
        entry_points=[entry],
        variables={"NEEDED": "yes"},
    )
    program(tools.path(name) / "bin", entry.name)
    tools.write(made)
    return made


def program(folder: Path, name: str) -> str:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text("#!/bin/sh\n")
    (folder / name).chmod(0o755)
    return str(folder / name)


def run_of(network: str, action: str = "train") -> RunRequest:
    command = Command(network, action, [network, action, "-e", "spec.yaml"], "tlt-pytorch")
    return RunRequest("job", 1, command, "/nowhere", [DeviceGrant("cpu:0", "cpu", 0)])


def test_a_run_gets_the_environment_that_has_its_action(tools: Environments, path: Path) -> None:
    native = Native(rules=Rules(extra={"NEEDED": "mine"}), tools=tools.folder)
    assert not native.can("dino", "train").can
    program(path, "dino")
    made = installed(tools, "5.1.0")
    assert native.can("dino", "train").can and native.can("dino", "evaluate").can
    launch = native.describe(run_of("dino"))
    assert launch.argv == [f"{made.path}/bin/dino", "train", "-e", "spec.yaml"]
    assert launch.environment["PATH"].startswith(f"{made.path}/bin:")
    assert launch.environment["VIRTUAL_ENV"] == made.path
    assert launch.environment["TELEMETRY_OPT_OUT"] == "yes"
    assert launch.environment["NEEDED"] == "mine", "runner.environment wins over what the tool needs"
    assert tool_of(launch.environment) == f"nvidia-tao-pytorch 5.1.0 in {made.path}"
    # What the check could not import is left to a program on PATH.
    export = native.describe(run_of("dino", "export"))
    assert export.argv[0] == str(path / "dino") and tool_of(export.environment) == ""


def test_configured_folders_come_before_installed_tools(tools: Environments, tmp_path: Path) -> None:
    installed(tools, "5.1.0")
    own = program(tmp_path / "own", "dino")
    native = Native(NativeConfig(path=[str(tmp_path / "own")]), tools=tools.folder)
    assert native.describe(run_of("dino")).argv[0] == own


def test_a_newer_release_and_a_gpus_environment_are_preferred(tools: Environments) -> None:
    native = Native(tools=tools.folder)
    for release, cpu in (("5.1.0", True), ("5.1.0", False), ("5.10.0", True), ("5.9.0", False)):
        installed(tools, release, cpu=cpu)
        # Each is seen at once, although the folder is read only when it has changed.
        best = native.describe(run_of("dino")).environment
        assert best["VIRTUAL_ENV"] == tools.ready()[0].path
    assert [each.name for each in tools.ready()] == [
        "pytorch-5.10.0-cpu",
        "pytorch-5.9.0",
        "pytorch-5.1.0",
        "pytorch-5.1.0-cpu",
    ]


def test_a_release_with_other_command_lines_is_not_used_and_named(tools: Environments) -> None:
    made = installed(tools, "7.3.0", cpu=True)
    verdict = Native(tools=tools.folder).can("dino", "train")
    assert not verdict.can
    assert verdict.reason == (
        f"nvidia-tao-pytorch 7.3.0 (CPU layer) in {made.path} has it, and taod's command lines are of release 5"
    )


def test_an_incomplete_environment_is_never_used(tools: Environments) -> None:
    folder = tools.path("pytorch-5.1.0")
    program(folder / "bin", "dino")
    progress = Progress("pytorch", "5.1.0", "nvidia-tao-pytorch", False, "/usr/bin/python3.8", "", 5, ["one", "two"])
    (folder / PROGRESS).write_bytes(msgspec.json.encode(progress))
    (left,) = tools.all()
    assert (left.state, left.steps_done, left.steps) == (ToolState.INCOMPLETE, 2, 5)
    verdict = Native(tools=tools.folder).can("dino", "train")
    assert not verdict.can and "`taod tools ls`" in verdict.remedy


def test_the_registry_names_the_tool_of_an_action(tools: Environments) -> None:
    made = installed(tools, "5.1.0", cpu=True)
    registry = RunnerRegistry.from_config(RunnerConfig(order=["native", "embedded"]), tools=tools.folder)
    assert registry.tool("dino", "train") == f"nvidia-tao-pytorch 5.1.0 (CPU layer) in {made.path}"
    assert registry.tool("dino", "export") == ""
    assert registry.tool("annotations", "convert") == "", "the engine is no installed tool"


def test_a_networks_actions_name_their_tool(tools: Environments) -> None:
    made = installed(tools, "5.1.0", cpu=True)
    registry = RunnerRegistry.from_config(RunnerConfig(order=["native"]), tools=tools.folder)
    actions = {action.name: action for action in Networks(Catalogue(), registry).get("dino").actions}
    assert actions["train"].runners == ["native"]
    assert actions["train"].tool == f"nvidia-tao-pytorch 5.1.0 (CPU layer) in {made.path}"
    assert actions["export"].runners == [] and actions["export"].tool == ""
