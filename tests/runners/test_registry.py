"""Which runner does an action, where it finds its program, and what a run's environment holds."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import msgspec
import pytest

from runners.embedded import Embedded
from runners.environment import Rules, threads_per_slot
from runners.native import Native
from runners.protocol import Command, DeviceGrant, RunRequest, StartFailed, Verdict
from runners.registry import RunnerRegistry
from taod.config import EmbeddedConfig, NativeConfig, RunnerConfig, RunnerRule
from taod.errors import ConfigError

GPUS = [DeviceGrant("GPU-aa", "gpu", 0), DeviceGrant("GPU-bb", "gpu", 3)]
CPU = [DeviceGrant("cpu:0", "cpu", 0)]


class Able:
    """A runner that can do the named networks."""

    def __init__(self, name: str, *networks: str) -> None:
        self.name, self.networks = name, networks

    def can(self, network: str, action: str, spec: dict[str, Any] | None = None) -> Verdict:
        if network in self.networks:
            return Verdict(True)
        return Verdict(False, f"no {network} in it.", f"install {network}")


def registry(order: list[str], *rules: RunnerRule) -> RunnerRegistry:
    made = {"a": Able("a", "dino"), "b": Able("b", "dino", "unet"), "c": Able("c", "mal")}
    return RunnerRegistry({name: lambda r=runner: r for name, runner in made.items()}, order, list(rules))  # type: ignore[misc]


def request(devices: list[DeviceGrant], *argv: str, **environment: str) -> RunRequest:
    return RunRequest("job-1", 2, Command("net", "train", list(argv), "tlt-pytorch", environment), "/jobs/1", devices)


def program(folder: Path, name: str) -> str:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / name
    path.write_text("#!/bin/sh\n")
    path.chmod(0o755)
    return str(path)


@pytest.mark.parametrize(
    ("network", "order", "rules", "chosen"),
    [
        ("dino", ["a", "b"], [], "a"),
        ("dino", ["b", "a"], [], "b"),
        ("unet", ["a", "b"], [], "b"),
        ("mal", ["a", "b"], [], None),
        ("dino", ["a", "b"], [RunnerRule("b", "d*")], "b"),
        ("dino", ["a", "b"], [RunnerRule("b", "*", "export"), RunnerRule("b", "dino", "tr?in")], "b"),
        ("unet", ["a", "b"], [RunnerRule("a", "unet")], None),
        ("dino", [], [], None),
    ],
)
def test_the_first_matching_rule_wins_else_the_first_that_can(
    network: str, order: list[str], rules: list[RunnerRule], chosen: str | None
) -> None:
    choice = registry(order, *rules).choose(network, "train")
    assert (choice.runner.name if choice.runner else None) == chosen


def test_without_an_able_runner_reasons_and_remedies_are_given() -> None:
    choice = registry(["a", "b"]).choose("mal", "train")
    assert choice.reason == "no runner can do mal train here (a: no mal in it; b: no mal in it)"
    assert choice.remedy == "install mal"
    assert registry(["a", "b"]).able("dino", "train") == ["a", "b"]


def test_of_several_reasons_the_one_about_the_spec_comes_first() -> None:
    class Picky(Able):
        def can(self, network: str, action: str, spec: dict[str, Any] | None = None) -> Verdict:
            return Verdict(not spec, "size 7 is not in it", "change size")

    runners = registry(["a", "b"])
    runners._made["b"] = Picky("b")
    choice = runners.choose("mal", "train", {"size": 7})
    assert choice.reason == "no runner can do mal train here (b: size 7 is not in it; a: no mal in it)"
    assert choice.remedy == "change size; or install mal"


def test_a_runner_outside_the_order_is_still_there_for_its_runs() -> None:
    assert registry(["a"]).get("c").name == "c"


@pytest.mark.parametrize(
    "config", [RunnerConfig(order=["nativ"]), RunnerConfig(rule=[RunnerRule("nativ", "dino")])], ids=["order", "rule"]
)
def test_an_unknown_runner_is_a_configuration_error_that_names_the_known(config: RunnerConfig) -> None:
    with pytest.raises(
        ConfigError, match=r"no runner 'nativ'; did you mean 'native'\? known here: docker, embedded, native, slurm"
    ):
        RunnerRegistry.from_config(config)


def test_a_run_on_gpus_sees_them_by_uuid(monkeypatch: pytest.MonkeyPatch) -> None:
    launch = Embedded().describe(request(GPUS, "dino", "train", EXTRA="1"))
    assert launch.argv[1:] == ["-m", "runners.engine", "dino", "train"]
    assert launch.environment["CUDA_VISIBLE_DEVICES"] == launch.environment["NVIDIA_VISIBLE_DEVICES"] == "GPU-aa,GPU-bb"
    assert launch.environment["NUM_GPU_PER_NODE"] == "2"
    assert launch.environment["TAOD_RUN"] == "job-1/2"
    assert launch.environment["EXTRA"] == "1"
    assert "OMP_NUM_THREADS" not in launch.environment


def test_the_engine_gets_the_parameters_that_the_tool_has_no_option_for() -> None:
    asked = request(CPU, "ssd", "export", "--batch_size=2")
    further = msgspec.structs.replace(asked.command, further={"data_type": "int8", "cal_image_dir": "/c/images/"})
    launch = Embedded().describe(msgspec.structs.replace(asked, command=further))
    assert launch.argv[3:] == ["ssd", "export", "--batch_size=2", "--data_type=int8", "--cal_image_dir=/c/images/"]


def test_a_run_on_a_cpu_slot_sees_no_gpu_and_its_share_of_the_cores() -> None:
    environment = Embedded(EmbeddedConfig(threads=3)).describe(request(CPU, "dino")).environment
    assert environment["CUDA_VISIBLE_DEVICES"] == environment["NVIDIA_VISIBLE_DEVICES"] == ""
    assert environment["OMP_NUM_THREADS"] == "3"
    cores = len(os.sched_getaffinity(0))
    assert threads_per_slot(0, 1) == cores
    assert threads_per_slot(0, 10 * cores) == 1


def test_the_engine_runs_in_the_daemons_python_or_the_configured_one(tmp_path: Path) -> None:
    assert Embedded().describe(request(CPU, "dino")).argv[0] == sys.executable
    own = program(tmp_path / "bin", "python")
    assert Embedded(EmbeddedConfig(python=own)).describe(request(CPU, "dino")).argv[0] == own
    missing = Embedded(EmbeddedConfig(python=str(tmp_path / "none")))
    with pytest.raises(StartFailed, match=r"runner\.embedded\.python"):
        missing.describe(request(CPU, "dino"))


def test_the_engine_needs_what_the_configured_interpreter_has(tmp_path: Path) -> None:
    able = Embedded(EmbeddedConfig(python=sys.executable)).can("dataset", "check")
    assert able == Verdict(True)
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", tmp_path], check=True)
    python = f"{tmp_path}/bin/python"
    verdict = Embedded(EmbeddedConfig(python=python)).can("dataset", "check")
    assert not verdict.can and f"which {python} lacks" in verdict.reason
    assert verdict.remedy == f"{python} -m pip install 'taod[data]'"


def test_no_setting_of_the_daemon_reaches_the_engine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TAOD_SERVER_PORT", "1")
    assert not [name for name in Embedded().inherited() if name.startswith("TAOD_")]


def test_native_finds_programs_in_the_environment_first_then_in_folders_then_in_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    in_path = program(tmp_path / "path", "dino")
    monkeypatch.setenv("PATH", f"{tmp_path / 'path'}:/usr/bin:/bin")
    assert Native().describe(request(CPU, "dino", "train", "-k", "x")).argv == [in_path, "train", "-k", "x"]
    in_folder = program(tmp_path / "folder", "dino")
    folders = [str(tmp_path / "folder")]
    assert Native(NativeConfig(path=folders)).describe(request(CPU, "dino")).argv == [in_folder]
    in_venv = program(tmp_path / "venv/bin", "dino")
    launch = Native(NativeConfig(path=folders, venv=str(tmp_path / "venv"))).describe(request(CPU, "dino"))
    assert launch.argv == [in_venv]
    assert launch.environment["VIRTUAL_ENV"] == str(tmp_path / "venv")
    assert launch.environment["PATH"].startswith(f"{tmp_path / 'venv/bin'}:{tmp_path / 'folder'}:")


def test_native_names_what_is_missing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    verdict = Native().can("dino", "train")
    assert not verdict.can and "'dino'" in verdict.reason and "runner.native.path" in verdict.remedy
    with pytest.raises(StartFailed, match="'dino'"):
        Native().describe(request(CPU, "dino"))


@pytest.mark.parametrize(
    ("network", "action", "entry"),
    [
        ("object_detection", "convert", "detectnet_v2"),
        ("object_detection", "kmeans", "yolo_v3"),
        ("instance_segmentation", "convert", "mask_rcnn"),
        ("unet", "train", "unet"),
        ("unet", "trtexec", "trtexec"),
    ],
)
def test_native_knows_whose_program_does_an_action(
    network: str, action: str, entry: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert not Native().can(network, action).can
    program(tmp_path, entry)
    assert Native().can(network, action).can


def test_native_runs_do_not_inherit_the_daemons_python(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV", "TAOD_ROOT"):
        monkeypatch.setenv(name, "x")
    monkeypatch.setenv("LC_ALL", "C.UTF-8")
    inherited = Native().inherited()
    assert inherited["LC_ALL"] == "C.UTF-8"
    assert not {"PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV", "TAOD_ROOT"} & inherited.keys()


@pytest.mark.parametrize("kind", [Native, Embedded])
def test_the_list_of_inherited_variables_is_the_same_for_all_local_runners(
    kind: type[Native] | type[Embedded], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("MY_KEY", "MY_OTHER", "WANDB_API_KEY", "TAOD_ROOT"):
        monkeypatch.setenv(name, "x")
    assert not {"MY_KEY", "WANDB_API_KEY", "TAOD_ROOT"} & kind().inherited().keys()
    chosen = kind(None, Rules(inherit=["MY_*", "WANDB_API_KEY", "TAOD*"])).inherited()
    assert chosen == {"MY_KEY": "x", "MY_OTHER": "x", "WANDB_API_KEY": "x"}


def test_telemetry_is_off_in_every_runner_unless_taod_toml_says_otherwise(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program(tmp_path, "dino")
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    on = {"TELEMETRY_OPT_OUT": "no", "WANDB_MODE": "offline"}
    for extra, wanted in (({}, "yes"), (on, "no")):
        registry = RunnerRegistry.from_config(RunnerConfig(environment=extra))
        for name in ("native", "embedded", "docker", "slurm"):
            limited = msgspec.structs.replace(
                request(CPU, "dino"), command=Command("dino", "train", ["dino"], "tlt-pytorch")
            )
            environment = registry.get(name).describe(limited).environment
            assert environment["TELEMETRY_OPT_OUT"] == wanted, name
            assert environment.get("WANDB_MODE") == extra.get("WANDB_MODE"), name


def test_the_engine_declares_what_it_can(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("runners.engine.capabilities")
    pytest.importorskip("torch")
    assert Embedded().can("classification_pyt", "train") == Verdict(True)
    verdict = Embedded().can("dino", "train")
    assert not verdict.can and "dino" in verdict.reason and verdict.remedy
    missing = Embedded(EmbeddedConfig(python="/nowhere/python")).can("classification_pyt", "train")
    assert not missing.can and "runner.embedded.python" in missing.remedy
