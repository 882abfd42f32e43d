"""The native runner with managed tool environments: which one it takes, and what a run gets of it."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from runners.docker.runner import Docker
from runners.environment import Rules
from runners.native import Native
from runners.protocol import Command, DeviceGrant, RunRequest, StartFailed
from runners.registry import RunnerRegistry
from runners.toolenv.environments import PROGRESS, Environments, Progress
from taod.catalogue import Catalogue
from taod.catalogue.network import get_network
from taod.catalogue.schema.tables import index
from taod.config import Config, DockerConfig, NativeConfig, RunnerConfig
from taod.errors import BadRequest, InvalidSpec
from taod.services import Services
from taod.services.composition import open_services
from taod.services.models.model_references import EVALUATED_FORMATS, LABELLED_FORMATS
from taod.services.networks import Networks
from taod.types.dataset import DatasetCreate
from taod.types.job import JobRun
from taod.types.model import ModelCreate
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
    for release, cpu in (("5.1.0", True), ("5.1.0", False), ("5.1.10", True), ("5.1.9", False)):
        installed(tools, release, cpu=cpu)
        # Each is seen at once, although the folder is read only when it has changed.
        best = native.describe(run_of("dino")).environment
        assert best["VIRTUAL_ENV"] == tools.ready()[0].path
    assert [each.name for each in tools.ready()] == [
        "pytorch-5.1.10-cpu",
        "pytorch-5.1.9",
        "pytorch-5.1.0",
        "pytorch-5.1.0-cpu",
    ]


def test_an_unknown_release_is_not_used_and_named_with_the_nearest(tools: Environments) -> None:
    made = installed(tools, "8.1.0", cpu=True)
    verdict = Native(tools=tools.folder).can("dino", "train")
    assert not verdict.can
    assert (
        verdict.reason == f"nvidia-tao-pytorch 8.1.0 (CPU layer) in {made.path} has it, and taod knows no release 8.1.0"
    )
    assert verdict.remedy.startswith("install release 7.3, the nearest known one")


def test_a_tool_gets_command_lines_of_its_own_release_alone(tools: Environments, path: Path) -> None:
    newer = installed(tools, "7.3.0", cpu=True)
    native = Native(tools=tools.folder)
    assert native.can("dino", "train").can
    assert native.can_release("dino", "train", "7.3").can
    rejected = native.can_release("dino", "train", "5.0")
    assert not rejected.can and "is not of release 5.0" in rejected.reason
    with pytest.raises(StartFailed):
        native.describe(run_of("dino"))
    request = msgspec.structs.replace(run_of("dino"), command=Command(
        "dino", "train", ["dino", "train", "-e", "spec.yaml"], "tlt-pytorch", release="7.3"
    ))  # fmt: skip
    assert native.describe(request).argv[0] == f"{newer.path}/bin/dino"
    # An executable without a distribution is of 5.0.
    older = program(path, "dino")
    assert native.can_release("dino", "train", "5.0").can
    assert native.describe(run_of("dino")).argv[0] == older
    assert native.describe(request).argv[0] == f"{newer.path}/bin/dino"
    # A network that 7.3 does not list has facts of 5.0.
    installed(tools, "7.3.0", entry=EntryPoint("unet", [ActionCheck("train", True)]))
    assert not native.can_release("unet", "train", "5.0").can


def test_a_network_may_be_another_ones_executable(tools: Environments) -> None:
    entry = EntryPoint("visual_changenet", [ActionCheck("train", True)])
    made = installed(tools, "7.3.0", entry=entry)
    native = Native(tools=tools.folder)
    assert native.can("visual_changenet_classify", "train").can
    assert native.tool("visual_changenet_classify", "train", "7.3") == f"nvidia-tao-pytorch 7.3.0 in {made.path}"


def test_the_registry_chooses_by_release(tools: Environments) -> None:
    installed(tools, "7.3.0")
    registry = RunnerRegistry.from_config(RunnerConfig(order=["native"]), tools=tools.folder)
    assert registry.choose("dino", "train", release="7.3").runner is not None
    assert registry.choose("dino", "train").runner is None
    assert registry.able("dino", "train", "7.3") == ["native"] and registry.able("dino", "train") == []
    assert registry.release("dino", "train", ["7.3", "5.0"]) == "7.3"
    assert registry.release("dino", "evaluate", ["7.3", "5.0"]) is None
    embedded = RunnerRegistry.from_config(RunnerConfig(order=["embedded"]), tools=tools.folder)
    rejected = embedded.choose("classification_pyt", "train", release="7.3")
    assert rejected.runner is None and "its tools are of release 5.0" in rejected.reason
    assert embedded.release("classification_pyt", "train", ["7.3", "5.0"]) == "5.0"


@pytest.mark.parametrize(
    ("tag", "release", "reason"),
    [
        ("7.3.0-pyt", "7.3", ""),
        ("5.0.0-pyt", "5.0", ""),
        ("latest", "5.0", ""),
        ("7.3.0-pyt", "5.0", "is of release 7.3, and the model of release 5.0"),
        ("5.5.0-pyt", "5.0", "taod knows no release 5.5.0"),
    ],
)
def test_an_images_tag_names_its_release(tag: str, release: str, reason: str) -> None:
    image = f"nvcr.io/nvidia/tao/tao-toolkit:{tag}"
    docker = Docker(DockerConfig(images={"tlt-pytorch": image}))
    verdict = docker.can_release("dino", "train", release)
    assert verdict.can == (not reason)
    assert reason in verdict.reason
    if "5.5" in tag:
        assert "5.0, the nearest known release" in verdict.remedy


async def test_a_model_is_of_the_release_of_the_tool_that_would_train_it(tools: Environments, tmp_path: Path) -> None:
    services = _services(tools, tmp_path)
    try:
        user = services.users.add("ada")[0].id
        models = services.models
        data = services.datasets.create(user, DatasetCreate(type="object_detection", format="coco")).id
        body = ModelCreate(network_arch="dino", train_datasets=[data], eval_dataset=data)
        before = models.create(user, body).id
        installed(tools, "7.3.0")
        after = models.create(user, body).id
        new = models.create(user, ModelCreate(network_arch="rtdetr"))
        assert [models.record(user, each).release for each in (before, after, new.id)] == ["5.0", "7.3", "7.3"]
        assert new.network_arch == "rtdetr" and new.dataset_type == "object_detection"
        with pytest.raises(BadRequest, match="no runner can do dino train here"):
            await services.submission.post(user, "model", before, [JobRun(["train"])])
        swept = models.create(user, msgspec.structs.replace(body, automl_enabled=True)).id
        (sweep_id,) = await services.submission.post(user, "model", swept, [JobRun(["train"])])
        sweep = services.store.sweeps.get(sweep_id)
        assert sweep is not None and sweep.settings.metric == "val_mAP50"
        assert {each.path for each in sweep.space} <= set(get_network("dino", "7.3").table("train").automl)
        (planned,) = services.dry_run.plan(user, "model", after, [JobRun(["train"])])
        assert planned.release == "7.3" and planned.argv[2] == "-e" and len(planned.argv) == 4
        (job_id,) = await services.submission.post(user, "model", after, [JobRun(["train"])])
        job = services.store.jobs.get(job_id)
        assert job is not None and job.release == "7.3" and job.view().release == "7.3"
        listed = {each.name: each for each in services.networks.all("7.3.0")}
        assert listed["dino"].release == "7.3" and listed["unet"].release == "5.0"
        assert "rtdetr" not in {each.name for each in services.networks.all()}
        with pytest.raises(BadRequest, match="the nearest is 5"):
            services.networks.all("6.26.3")
    finally:
        services.store.close()


def test_a_retraining_is_a_training_of_the_tool(tools: Environments) -> None:
    installed(tools, "7.3.0", entry=EntryPoint("ocrnet", [ActionCheck("train", True), ActionCheck("prune", True)]))
    native = Native(tools=tools.folder)
    assert native.can("ocrnet", "retrain").can
    assert native.can_release("ocrnet", "retrain", "7.3").can
    assert not native.can("ocrnet", "evaluate").can


async def test_a_sweep_of_7_3_searches_the_parameters_and_ranges_of_7_3(tools: Environments, tmp_path: Path) -> None:
    installed(tools, "7.3.0", entry=EntryPoint("classification_pyt", [ActionCheck("train", True)]))
    services = _services(tools, tmp_path)
    try:
        user = services.users.add("ada")[0].id
        kind = {"type": "image_classification", "format": "classification_pyt"}
        data = services.datasets.create(user, DatasetCreate(**kind)).id
        fields = {"train_datasets": [data], "eval_dataset": data, "automl_enabled": True}
        old, near = "train.train_config.optimizer.lr", "train.optim.lr"
        with pytest.raises(BadRequest, match=rf"'{old}' is no parameter of classification_pyt's .*{near}"):
            services.models.create(user, ModelCreate("classification_pyt", automl_add_hyperparameters=[old], **fields))
        model = services.models.create(user, ModelCreate("classification_pyt", **fields))
        assert model.release == "7.3"
        for path, said, fault in (
            (old, {"max": 1e-3}, rf"'{old}' is no parameter of the train specification"),
            ("train.optim.lr", {"min": -1.0, "max": 1e-3}, r"train\.optim\.lr.*"),
            ("train.optim.optim", {"values": ["adamw", "lion"]}, r"train\.optim\.optim.*lion"),
        ):
            with pytest.raises(InvalidSpec, match=fault):
                await services.specs.post(user, "model", model.id, "train", {"automl": {path: said}})
        narrowed = {"automl": {"train.optim.lr": {"min": 1e-4, "max": 1e-3}}, "train": {"num_epochs": 2}}
        await services.specs.post(user, "model", model.id, "train", narrowed)
        (job_id,) = await services.submission.post(user, "model", model.id, [JobRun(["train"])])
        job, sweep = services.store.jobs.get(job_id), services.store.sweeps.get(job_id)
        assert job is not None and sweep is not None and (job.kind, job.release) == ("sweep", "7.3")
        lr = next(each for each in sweep.space if each.path == "train.optim.lr")
        assert (lr.low, lr.high, sweep.settings.metric, sweep.settings.epochs) == (1e-4, 1e-3, "val_acc_1", 2)
        table = get_network("classification_pyt", "7.3").table("train")
        assert {each.path for each in sweep.space} <= set(table.automl) | {"train.optim.lr"}
    finally:
        services.store.close()


@pytest.mark.parametrize("name", [name for name, entry in index("7.3").items() if entry.release == "7.3"])
async def test_every_network_of_7_3_can_be_created_and_planned(name: str, tools: Environments, tmp_path: Path) -> None:
    network = get_network(name, "7.3")
    every = [ActionCheck(action, True) for action in network.actions]
    installed(tools, "7.3.0", entry=EntryPoint(network.program, every))
    services = _services(tools, tmp_path)
    try:
        user = services.users.add("ada")[0].id
        labelled = LABELLED_FORMATS.get(name, frozenset(network.formats))
        known = Catalogue().dataset_formats(network.dataset_type)
        service = network.image == "tao-ds"
        form = "coco" if service else next(each for each in known if each in labelled)
        data = services.datasets.create(user, DatasetCreate(type=network.dataset_type, format=form)).id
        evaluated = next(iter(EVALUATED_FORMATS.get(name, {form})))
        others = services.datasets.create(user, DatasetCreate(type=network.dataset_type, format=evaluated)).id
        fields = {"train_datasets": [data], "eval_dataset": others, "inference_dataset": others}
        model = services.models.create(user, ModelCreate(network_arch=name, **fields)).id
        for action in network.actions:
            default = services.specs.schema(user, "model", model, action)["default"]
            await services.specs.post(user, "model", model, action, default)
        chain = network.actions[:1] if service else ["train", "evaluate"][: 1 + (name != "nvdinov2")]
        planned = services.dry_run.plan(user, "model", model, [JobRun(chain)])
        for each in planned:
            assert (each.release, each.argv[:3]) == ("7.3", [network.program, each.action, "-e"])
            assert not [warning for warning in each.warnings if "runner" in warning.code]
    finally:
        services.store.close()


def _services(tools: Environments, tmp_path: Path) -> Services:
    config = Config()
    config.storage.root = str(tmp_path / "root")
    config.runner.order = ["native"]
    config.tools.folder = str(tools.folder)
    config.devices.gpus = False
    return open_services(config)


def test_an_incomplete_environment_is_never_used(tools: Environments) -> None:
    folder = tools.path("pytorch-5.1.0")
    program(folder / "bin", "dino")
    progress = Progress("pytorch", "5.1.0", "nvidia-tao-pytorch", False, "/usr/bin/python3.8", 5, ["one", "two"])
    (folder / PROGRESS).write_bytes(msgspec.json.encode(progress))
    (left,) = tools.all()
    assert (left.state, left.steps_done, left.steps) == (ToolState.INCOMPLETE, 2, 5)
    verdict = Native(tools=tools.folder).can("dino", "train")
    assert not verdict.can and "`taod tools ls`" in verdict.remedy


def test_the_registry_names_the_tool_of_an_action(tools: Environments) -> None:
    made = installed(tools, "5.1.0", cpu=True)
    registry = RunnerRegistry.from_config(RunnerConfig(order=["native", "embedded"]), tools=tools.folder)
    assert registry.able("dino", "train")[0] == "native"
    assert registry.tool("native", "dino", "train") == f"nvidia-tao-pytorch 5.1.0 (CPU layer) in {made.path}"
    assert registry.tool("native", "dino", "export") == ""
    assert registry.able("annotations", "convert")[0] == "embedded"
    assert registry.tool("embedded", "annotations", "convert") == "", "the engine is not an installed tool"


def test_a_networks_actions_name_their_tool(tools: Environments) -> None:
    made = installed(tools, "5.1.0", cpu=True)
    registry = RunnerRegistry.from_config(RunnerConfig(order=["native"]), tools=tools.folder)
    actions = {action.name: action for action in Networks(Catalogue(), registry).get("dino").actions}
    assert actions["train"].runners == ["native"]
    assert actions["train"].tool == f"nvidia-tao-pytorch 5.1.0 (CPU layer) in {made.path}"
    assert actions["export"].runners == [] and actions["export"].tool == ""
