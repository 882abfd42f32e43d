"""Which runner a job gets: what is present, rules, an admin's word, a cluster beside this machine's devices."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from runners.docker.runner import Docker
from runners.native import Native
from runners.protocol import Command, RunRequest
from runners.registry import RunnerRegistry
from store.records import PendingJob
from taod.clock import SystemClock
from taod.config import Config, NativeConfig, RunnerConfig, RunnerRule, SlurmConfig, StorageConfig
from taod.errors import BadRequest
from taod.paths import JobFolder
from taod.scheduler.policy.cluster_queue import decisive_jobs, serve
from taod.scheduler.policy.dispatch import Explain, Lease
from taod.services import Services
from taod.services.composition import open_services
from taod.types.dataset import DatasetCreate
from taod.types.device import Device, DeviceKind, DeviceLease
from taod.types.job import JobPatch, JobRun
from taod.types.model import ModelCreate
from taod.types.reason import POSTED, TURN, Reason, ReasonCode
from taod.types.state import State
from tests.runners.engines import IMAGE, Dockerd

SITE = Device("cluster:slurm", DeviceKind.CLUSTER, 0, "slurm", slots=2)


def pending(number: int, reason: Reason = POSTED) -> PendingJob:
    return PendingJob(
        id=f"job-{number}", user_id="u", owner_kind="model", owner_id="m", network="dino", action="train",
        parent_id=None, state=State.QUEUED, reason_code=reason.code, created_on="", priority=0,
        devices_wanted=1, queued_at="", reason_args=reason.arguments, site=SITE.id,
    )  # fmt: skip


def test_a_site_is_filled_in_the_queue_s_order_and_the_rest_get_a_reason() -> None:
    queue = [pending(n) for n in range(4)]
    held = msgspec.structs.replace(SITE, leases=[DeviceLease("other", "train", "dino", 0, "")])
    waits = Reason(ReasonCode.CLUSTER, {"cluster": "slurm", "slots": 2})
    assert serve(queue, held) == [
        Lease("job-0", [(SITE.id, 1)], Reason(ReasonCode.LEASED_CLUSTER, {"cluster": "slurm"})),
        *(Explain(f"job-{n}", waits) for n in (1, 2, 3)),
    ]
    assert serve([pending(7, waits)], msgspec.structs.replace(held, slots=1)) == [
        Explain("job-7", Reason(ReasonCode.CLUSTER, {"cluster": "slurm", "slots": 1}))
    ]


def test_those_far_behind_at_a_site_get_only_that_reason() -> None:
    many = [pending(n) for n in range(decisive_jobs(SITE) + 5)]
    decisions = serve(many, SITE)
    assert decisions[-1] == Explain(many[-1].id, TURN)
    assert sum(isinstance(decision, Lease) for decision in decisions) == 2


@pytest.fixture
def services(tmp_path: Path) -> Iterator[Services]:
    """Over a root whose classification_pyt runs natively, whose dino goes to a cluster."""
    for name in ("classification_pyt", "dino"):
        (tmp_path / name).write_text("#!/bin/sh\n")
        (tmp_path / name).chmod(0o755)
    config = Config(
        storage=StorageConfig(root=str(tmp_path / "root")),
        runner=RunnerConfig(
            order=["native", "embedded"],
            native=NativeConfig(path=[str(tmp_path)]),
            slurm=SlurmConfig(max_jobs=2, max_gpus=4),
            rule=[RunnerRule("slurm", "dino", "train")],
        ),
    )
    services = open_services(config, SystemClock())
    yield services
    services.store.close()


def model_of(services: Services, network: str) -> tuple[str, str]:
    """Ids of the first user and of a model of theirs."""
    user = services.users.ensure_first()[0].id
    kind = "object_detection" if network == "dino" else "image_classification"
    data = services.datasets.create(user, DatasetCreate(type=kind, format="coco" if network == "dino" else network))
    made = services.models.create(
        user, ModelCreate(network_arch=network, train_datasets=[data.id], eval_dataset=data.id)
    )
    return user, made.id


@pytest.mark.skipif(not Path("/usr/bin/sbatch").exists(), reason="needs the Slurm client")
async def test_a_rule_sends_a_network_to_the_cluster_whose_slots_are_devices(services: Services) -> None:
    user, model = model_of(services, "dino")
    sites = [device for device in services.devices_view.now() if device.kind is DeviceKind.CLUSTER]
    assert [(site.id, site.slots) for site in sites] == [("cluster:slurm", 2)]
    spec = services.specs.schema(user, "model", model, "train")["default"]
    spec["train"]["num_gpus"] = 4
    await services.specs.post(user, "model", model, "train", spec)
    (job_id,) = await services.submission.post(user, "model", model, [JobRun(["train"])])
    job = services.store.jobs.get(job_id)
    assert job is not None
    assert (job.site, job.devices_wanted) == ("cluster:slurm", 1)
    (plan,) = services.dry_run.plan(user, "model", model, [JobRun(["train"])])
    assert plan.runner == "slurm"
    assert "--gres=gpu:4" in plan.executes
    with pytest.raises(BadRequest, match="num_gpus"):
        await services.jobs.patch(job, JobPatch(spec={**spec, "train": {**spec["train"], "num_gpus": 5}}))
    by_action = {action.name: action.runners for action in services.networks.get("dino").actions}
    assert (by_action["train"], by_action["evaluate"]) == (["slurm"], ["native"])


async def test_only_the_first_user_may_name_a_runner_and_only_one_that_can(services: Services) -> None:
    user, model = model_of(services, "classification_pyt")
    (job_id,) = await services.submission.post(user, "model", model, [JobRun(["train"], runner="native")])
    job = services.store.jobs.get(job_id)
    assert job is not None
    assert job.asked_runner == "native"
    with pytest.raises(BadRequest, match="runner = 'nativ': unknown runner; known are docker, embedded"):
        await services.submission.post(user, "model", model, [JobRun(["train"], runner="nativ")])
    with pytest.raises(BadRequest, match=r"no runner can do classification_pyt train here \(docker: "):
        await services.submission.post(user, "model", model, [JobRun(["train"], runner="docker")])
    other = services.users.add("other")[0].id
    with pytest.raises(BadRequest, match="only the first user of this root may choose a runner"):
        services.submission._check_runner(other, "native")


def test_by_default_containers_come_first_where_their_image_is(
    docker_engine: Dockerd, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DOCKER_HOST", docker_engine.url)
    registry = RunnerRegistry.from_config(RunnerConfig())
    assert "docker" not in registry.able("classification_pyt", "train")
    docker_engine.docker("tag", IMAGE, registry.get("docker")._config.images["tlt-pytorch"])  # type: ignore[attr-defined]
    try:
        registry = RunnerRegistry.from_config(RunnerConfig())
        assert registry.able("classification_pyt", "train")[0] == "docker"
        assert "docker" not in registry.able("detectnet_v2", "train")
        assert "docker" not in registry.able("classification_pyt", "gen_trt_engine")
    finally:
        docker_engine.docker("rmi", "--no-prune", registry.get("docker")._config.images["tlt-pytorch"])  # type: ignore[attr-defined]


def test_native_names_the_wheel_a_tool_is_of(tmp_path: Path) -> None:
    info = tmp_path / "venv/lib/python3.8/site-packages/nvidia_tao_pytorch-5.0.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: nvidia-tao-pytorch\nVersion: 5.0.0\n")
    (info / "entry_points.txt").write_text("[console_scripts]\ndino = nvidia_tao_pytorch.dino:main\n")
    (tmp_path / "venv/bin").mkdir()
    for name in ("dino", "unet"):
        (tmp_path / "venv/bin" / name).write_text("#!/bin/sh\n")
        (tmp_path / "venv/bin" / name).chmod(0o755)
    native = Native(NativeConfig(venv=str(tmp_path / "venv")))
    assert native.version("dino") == "nvidia-tao-pytorch 5.0.0"
    assert native.version("unet") is None
    assert native.version("mal") is None


def tool(folder: Path, name: str, text: str = "#!/bin/sh\n") -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text(text)
    (folder / name).chmod(0o755)
    return folder / name


def test_native_builds_engines_with_the_deploy_tools_alone(tmp_path: Path) -> None:
    training = tool(tmp_path / "train/bin", "dino")
    native = Native(NativeConfig(path=[str(training.parent)]))
    verdict = native.can("dino", "gen_trt_engine")
    assert (native.can("dino", "train").can, verdict.can) == (True, False)
    assert verdict.reason == "the executable 'dino' of nvidia-tao-deploy was not found"

    deploy = tool(tmp_path / "deploy/bin", "dino", "#!/usr/bin/python3\nfrom nvidia_tao_deploy.cv.dino import main\n")
    for folders in ([training, deploy], [deploy, training]):
        native = Native(NativeConfig(path=[str(each.parent) for each in folders]))
        assert (native.can("dino", "train").can, native.can("dino", "gen_trt_engine").can) == (True, True)
        for action, image, program in (("train", "tlt-pytorch", training), ("evaluate", "tao-deploy", deploy)):
            command = Command("dino", action, ["dino", action], image)
            assert native.describe(RunRequest("j", 1, command, str(tmp_path))).argv == [str(program), action]


PLUGIN = """
from runners.local import LocalRunner
from runners.protocol import Launch, Verdict


class Fifth(LocalRunner):
    name = "fifth"

    def __init__(self, config):
        super().__init__()
        self.slots_of_cpu = config.native.path

    def can(self, network, action, spec=None):
        return Verdict(network == "dino", "only dino", "use another")

    def describe(self, request):
        return Launch(["/bin/sh", "-c", "echo fifth"], {})

    def inherited(self):
        return {}
"""


def test_a_runner_of_another_distribution_is_found_by_its_entry_point(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "taod_fifth.py").write_text(PLUGIN)
    info = tmp_path / "taod_fifth-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: taod-fifth\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[taod.runners]\nfifth = taod_fifth:Fifth\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    registry = RunnerRegistry.from_config(RunnerConfig(order=["fifth"]))
    choice = registry.choose("dino", "train")
    assert choice.runner is not None
    assert choice.runner.name == "fifth"
    request = RunRequest("job", 1, Command("dino", "train", ["dino"], "tlt-pytorch"), str(JobFolder(tmp_path).path))
    assert choice.runner.describe(request).argv[-1] == "echo fifth"
    assert "fifth: only dino" in registry.choose("unet", "train").reason
    assert "taod_fifth" in sys.modules
    sys.modules.pop("taod_fifth")


def test_a_runner_is_chosen_within_the_place_of_the_job(tmp_path: Path) -> None:
    registry = RunnerRegistry.from_config(RunnerConfig(order=["native"], native=NativeConfig(path=[str(tmp_path)])))
    (tmp_path / "dino").write_text("")
    (tmp_path / "dino").chmod(0o755)
    assert registry.choose("dino", "train", place="").runner is not None
    moved = registry.choose("dino", "train", place="cluster:slurm")
    assert moved.runner is None
    assert moved.remedy == "post it again"
    assert isinstance(registry.get("docker"), Docker)
