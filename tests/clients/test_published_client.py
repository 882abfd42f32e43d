"""The published command-line client, unchanged, through every one of its commands, on a real `taod serve`."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.clients.networks import CONVERSIONS, DATA_SERVICES, Data, data_of
from tests.clients.published import ClientFailed, InOneProcess, OneByOne, PublishedClient
from tests.clients.world import Beside, World

tao = pytest.importorskip("tao_cli.tao", reason="the published client is not installed (dependency group test)")

GROUPS = {
    name.replace("-", "_"): frozenset(group.commands) for name, group in tao.cli.commands.items() if name != "login"
}
"""Network → its commands."""
WHOLE = ("detectnet_v2", "classification_pyt", "ocrnet")
"""Networks whose commands are each a process of the client, as people run them, with every spec saved before."""
KEY = "own+key,of=letters:1.0/@%^-_!"
"""Of what every network takes: some pass their command line to a shell unquoted."""
PARENTS = {"prune": "train", "retrain": "prune", "gen_trt_engine": "export", "trtexec": "export"}
"""Which job a person names at an action; at the rest it is the train."""
BEYOND = {("lprnet", "prune"), ("lprnet", "retrain")}
"""Commands of the client for what the network's tool cannot do."""


class Play:
    """One network group's commands, each at least once; what was played is kept."""

    def __init__(self, client: PublishedClient, beside: Beside, network: str) -> None:
        self.client = client
        self.beside = beside
        self.network = network
        self.played: set[str] = set()

    def command(self, command: str, **options: str) -> str:
        self.played.add(command)
        words = [word for name, value in options.items() for word in (f"--{name}", value)]
        return self.client.run(self.network.replace("_", "-"), command, *words)

    def has(self, command: str) -> bool:
        return command in GROUPS[self.network]

    def dataset(self, type_: str, format_: str) -> str:
        """Make a dataset by the client, and upload its data by HTTP."""
        made = self.command("dataset-create", dataset_type=type_, dataset_format=format_)
        self.beside.upload(made, type_, format_)
        return made

    def convert(self, dataset_id: str) -> str:
        """Convert a dataset with the defaults that the client is shown; the job's id."""
        action = CONVERSIONS[self.network]
        spec = json.loads(self.command("dataset-convert-defaults", id=dataset_id, action=action))
        self.beside.call("POST", f"/dataset/{dataset_id}/specs/{action}", spec, status=201)
        return self.command("dataset-convert", id=dataset_id, action=action)

    def defaults(self, model_id: str, action: str) -> None:
        """Save the defaults that the client is shown as they are."""
        spec = json.loads(self.command(f"model-{action.replace('_', '-')}-defaults", id=model_id))
        self.beside.call("POST", f"/model/{model_id}/specs/{action}", spec, status=201)

    def act(self, model_id: str, action: str, parent: str | None = None) -> str:
        options = {"job": parent} if parent else {}
        return self.command(f"model-{action.replace('_', '-')}", id=model_id, **options)

    def actions(self) -> list[str]:
        """The actions of the group beside train, parents first."""
        names = [name[len("model-") : -len("-defaults")].replace("-", "_") for name in GROUPS[self.network]
                 if name.startswith("model-") and name.endswith("-defaults")]  # fmt: skip
        return sorted(set(names) - {"train", "automl"}, key=lambda name: (PARENTS.get(name, "train") != "train", name))


@pytest.fixture(scope="session")
def one_process(world: World) -> Iterator[InOneProcess]:
    made = InOneProcess(world.environment())
    yield made
    made.close()


def test_login_reports_user_and_token(world: World) -> None:
    for base in (f"{world.url}/api/v1", f"{world.url}/api/v1/"):
        client = OneByOne(world.environment(BASE_URL=base, USER="unknown", TOKEN="invalid"))
        reported = json.loads(client.run("login", "--ngc-api-key", world.key()))
        assert reported["user_id"] == world.user_id
        logged_in = OneByOne(world.environment(BASE_URL=base, TOKEN=reported["token"]))
        logged_in.run("dino", "model-create", "--network_arch", "dino", "--encryption_key", KEY)
        wrong = json.loads(client.run("login", "--ngc-api-key", "no-such-key"))
        assert (set(wrong), wrong["error_code"]) == ({"error_code", "error_desc"}, 401)


@pytest.mark.slow
@pytest.mark.parametrize("network", [name for name in GROUPS if name not in DATA_SERVICES])
def test_every_command_of_a_network(network: str, world: World, beside: Beside, one_process: InOneProcess) -> None:
    client = OneByOne(world.environment()) if network in WHOLE else one_process
    play = Play(client, beside, network)
    data = data_of(network)
    jobs: dict[str, str] = {}

    train_set, eval_set, inference_set = datasets(play, data, jobs)
    model = play.command("model-create", network_arch=network, encryption_key=KEY)
    roles = {"eval_dataset": eval_set, "inference_dataset": inference_set, "calibration_dataset": train_set}
    read = beside.call("PATCH", f"/model/{model}", {"train_datasets": [train_set], **roles})
    assert (read["network_arch"], read["encryption_key"], read["ptm"]) == (network, KEY, [])
    assert all(isinstance(path, str) for path in json.loads(play.command("model-automl-defaults", id=model)))

    for action in ("train", *play.actions()):
        if action not in read["actions"]:
            beyond(play, model, action)
            continue
        if network in WHOLE:
            play.defaults(model, action)
        parent = jobs.get(PARENTS.get(action, "train"))
        jobs[action] = play.act(model, action, parent) if parent else stop_and_resume(play, world, model)
        if network not in WHOLE:
            # The job was made without a saved spec; what it took instead is what the client is shown.
            play.defaults(model, action)
            detail = beside.call("GET", f"/job/{jobs[action]}")
            assert detail["spec"] == beside.call("GET", f"/model/{model}/specs/{action}")
            assert detail["warnings"][0] == {"code": "default_spec", "subject": action}

    ends = beside.end_of(jobs.values())
    assert [end for end in ends if not end.startswith("Done")] == []
    listed = {job["id"]: job for job in beside.call("GET", f"/model/{model}/job")}
    assert set(listed) == {job for action, job in jobs.items() if not action.startswith("convert ")}
    assert listed[jobs["train"]]["result"]["epoch"] == 2
    log = beside.http.get(f"/model/{model}/job/{jobs['train']}/log").text
    assert (log.count("starts afresh"), log.count("continues from")) == (1, 1)
    assert play.played == GROUPS[network]


def datasets(play: Play, data: Data, jobs: dict[str, str]) -> tuple[str, str, str]:
    """Ids of the train, eval and inference sets, converted where the client has a command for it."""
    train_set, eval_set = play.dataset(data.type, data.labelled), play.dataset(data.type, data.labelled)
    inference_set = play.dataset(data.type, data.inference)
    if play.has("dataset-convert"):
        for dataset in (train_set, eval_set):
            jobs[f"convert {dataset}"] = play.convert(dataset)
    if play.has("dataset-job-cancel"):
        # This release of the client ends in an error of its own before it asks the server for anything.
        with pytest.raises(ClientFailed, match=r"AttributeError: .*dataset_job_cancel"):
            play.command("dataset-job-cancel", id=train_set, job=jobs.get(f"convert {train_set}", train_set))
    return train_set, eval_set, inference_set


def stop_and_resume(play: Play, world: World, model: str) -> str:
    """A train that is cancelled after its first epoch and resumed; its id."""
    beside = play.beside
    with world.held(play.network):
        job = play.act(model, "train")
        beside.until(lambda: beside.job(job)["result"].get("epoch") == 1)
        assert play.command("model-job-cancel", id=model, job=job) == job
        (end,) = beside.end_of([job])
        assert end == "Error train: Cancelled by user"
    read = beside.call("GET", f"/model/{model}/job/{job}")
    assert read["result"]["detailed_status"]["message"] == "Cancelled by user"
    assert play.command("model-job-resume", id=model, job=job) == job
    return job


def beyond(play: Play, model: str, action: str) -> None:
    """The client has commands for actions that the network lacks: rejected by name, and no job is made."""
    assert (play.network, action) in BEYOND
    for ask in (play.defaults, play.act):
        with pytest.raises(ClientFailed, match="KeyError"):
            ask(model, action)
    words = play.beside.rejected("POST", f"/model/{model}/job", {"job": None, "actions": [action]})
    assert f"{play.network} has no action '{action}'" in words


@pytest.mark.parametrize("network", DATA_SERVICES)
def test_every_command_of_a_data_service(network: str, beside: Beside, one_process: InOneProcess) -> None:
    play = Play(one_process, beside, network)
    data = data_of(network)
    images = play.dataset(data.type, data.labelled)
    model = play.command("model-create", network_arch=network)
    beside.call("PATCH", f"/model/{model}", {"inference_dataset": images})
    jobs = []
    actions: list[dict[str, str]] = [{"action": "analyze"}, {"action": "validate"}] if network == "analytics" else [{}]
    for chosen in actions:
        spec: dict[str, Any] = json.loads(play.command("model-action-defaults", id=model, **chosen))
        (action,) = chosen.values() or beside.call("GET", f"/model/{model}")["actions"]
        beside.call("POST", f"/model/{model}/specs/{action}", spec, status=201)
        jobs.append(play.command("execute-action", id=model, **chosen))
    assert [end for end in beside.end_of(jobs) if not end.startswith("Done")] == []
    assert play.played == GROUPS[network]
