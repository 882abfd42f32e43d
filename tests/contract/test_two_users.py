"""Two users at every endpoint: neither sees nor changes what is the other's; what is public is read, not written."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest

from store.records import JobFilter
from taod.api.openapi.document import Operation, operations
from taod.api.routes.events import messages
from taod.services.users import BEARER
from taod.types.event import EventType
from taod.types.state import State
from tests.api.conftest import Server, config, gate, images, server, tool_path
from tests.patience import PATIENCE_S

__all__ = ["config", "gate", "images", "server", "tool_path"]

ALL = operations()
USER = "/api/v1/user/{user_id}"
IMAGES = {"type": "image_classification", "format": "classification_pyt"}
PUBLISHED = "nvidia/tao/pretrained_fan_classification_imagenet:fan_hybrid_tiny"
OWNED = [each for each in ALL if "_id}" in each.path.removeprefix(USER)]
"""Operations on one dataset, model or job."""
SERVER_WIDE = {
    "index", "devices", "health", "health_liveness", "readiness", "login", "networks", "network", "network_parameters",
    "metrics", "queue_state", "change_queue", "list_tools", "install_tool", "check_tool", "remove_tool",
    "notify_state", "test_notify",
}  # fmt: skip
"""Operations without an owner."""
READ_PUBLIC = {"get_model", "model_list_jobs", "model_get_job", "model_get_schema"}
"""What another user may ask of a public model: itself and the results of its jobs. Specs, logs and files are not
found."""
REJECTED_PUBLIC = {
    "put_model", "patch_model", "delete_model", "model_run_jobs", "model_post_specs", "model_put_specs",
    "move_release",
}  # fmt: skip


@dataclass
class Two:
    """Ann has one of everything; Bob has a token and nothing else."""

    server: Server
    bob: httpx.AsyncClient
    bob_id: str
    ids: dict[str, str]
    public: str
    done: str

    async def ask(self, operation: Operation, user_id: str, **ids: str) -> httpx.Response:
        """As Bob, with the ids of Ann's things, or those given."""
        values = self.ids | {"action": "train", "path": "log.txt", "number": "0", "user_id": user_id} | ids
        body: dict[str, Any] = {"json": {}}
        if operation.opt.get("upload"):
            body = {"content": b"x", "headers": {"Content-Type": "application/octet-stream"}}
        elif operation.name == "run_jobs":
            body = {"json": [{"actions": ["train"]}]}
        elif operation.name == "link_dataset":
            body = {"json": {"path": "/tmp"}}
        if operation.method == "get":
            body = {}
        return await self.bob.request(operation.method, operation.path.format(**values), **body)

    def everything(self) -> Any:
        """All that is Ann's, as the store has it."""
        store = self.server.services.store
        jobs, _ = store.jobs.list(JobFilter(user_id=self.server.user.id))
        return msgspec.to_builtins(
            [
                store.datasets.get(self.server.user.id, self.ids["dataset_id"]),
                store.models.get(self.server.user.id, self.ids["model_id"]),
                store.models.get(self.server.user.id, self.public),
                jobs,
                store.specs.get("model", self.ids["model_id"], "train"),
                store.specs.get("model", self.public, "train"),
                store.models.weights(self.server.user.id),
            ]
        )


@pytest.fixture
async def two(server: Server, images, tmp_path: Path) -> Any:
    data = await server.ready_dataset(images("train"), name="ann's images")
    model = await server.model(train_datasets=[data], eval_dataset=data, name="ann's model", encryption_key="ann's")
    own = await _weights(server, tmp_path, "ann's own", ngc_path="")
    entry = await _weights(server, tmp_path, "ann's copy", ngc_path=PUBLISHED)
    public = await server.model(
        public=True, name="gift", encryption_key="ann's", additional_id_info=data, ptm=[own, entry],
        train_datasets=[data], eval_dataset=data, inference_dataset=data, calibration_dataset=data,
    )  # fmt: skip
    spec = {"train": {"train_config": {"runner": {"max_epochs": 1}}}}
    done, job = [], ""
    for owner in (public, model):
        await server.call("POST", f"/model/{owner}/specs/train", 201, json=spec)
        done.append(job)
        (job,) = await server.call("POST", f"/model/{owner}/job", 201, json=[{"actions": ["train"]}])
        if owner == public:
            server.word("go")
        async with server.services.bus.subscribe(None) as events:
            while server.services.store.jobs.result(job).detailed_status is None or server.services.store.jobs.get(
                job
            ).state is not (State.DONE if owner == public else State.RUNNING):
                await asyncio.wait_for(anext(events), PATIENCE_S)
    bob, _ = server.services.users.add("bob")
    token = server.services.users.issue(bob.id, kind=BEARER, label="test")
    ids = {"dataset_id": data, "model_id": model, "job_id": job}
    async with httpx.AsyncClient(
        transport=httpx.ASGITransport(server.app, raise_app_exceptions=False),
        base_url=str(server.client.base_url),
        headers={"Authorization": f"Bearer {token}"},
    ) as client:
        yield Two(server, client, bob.id, ids, public, done[-1])
    server.word("go")


async def _weights(server: Server, folder: Path, name: str, ngc_path: str) -> str:
    path = folder / f"{name}.pth"
    path.write_bytes(b"weights")
    body = {"path": str(path), "network_arch": "classification_pyt", "ngc_path": ngc_path}
    return (await server.call("POST", "/ptm", 201, json=body))["id"]


async def test_no_endpoint_gives_another_users_things_by_their_ids(two: Two) -> None:
    before = two.everything()
    assert len(OWNED) == 62
    for operation in OWNED:
        answer = await two.ask(operation, two.bob_id)
        assert answer.status_code == 404, f"{operation.id}: {answer.status_code} {answer.text}"
        assert "ann" not in answer.text, operation.id
    assert two.everything() == before


async def test_no_endpoint_answers_below_another_users_id(two: Two) -> None:
    before = two.everything()
    for operation in ALL:
        if operation.id in SERVER_WIDE:
            continue
        answer = await two.ask(operation, two.server.user.id)
        assert answer.status_code == 404, f"{operation.id}: {answer.status_code} {answer.text}"
        assert answer.json()["error_desc"].startswith(f"user {two.server.user.id} not found;"), operation.id
    assert two.everything() == before


async def test_no_list_and_no_count_has_another_users_things(two: Two) -> None:
    below = f"/api/v1/user/{two.bob_id}"
    seen = set()
    for operation in ALL:
        if operation in OWNED or operation.method != "get" or operation.id in {"events_events", "login"}:
            continue
        answer = await two.ask(operation, two.bob_id, name="dino")
        assert answer.status_code == 200, operation.id
        seen.add(operation.id)
        for name, value in two.ids.items():
            assert value not in answer.text, f"{operation.id} reports the {name}"
        assert "ann's images" not in answer.text
        assert "ann's" not in answer.text
    assert seen >= {"list_datasets", "list_models", "list_all", "job_counts", "list_ptms", "devices", "metrics"}
    assert (await two.bob.get(f"{below}/dataset")).headers["X-Total-Count"] == "0"
    assert set((await two.bob.get(f"{below}/job/counts")).json().values()) == {0}
    mine = (await two.server.client.get("/api/v1/devices")).json()
    assert [lease["job_id"] for device in mine for lease in device["leases"]] == [two.ids["job_id"]]


async def test_who_holds_a_device_is_reported_to_its_user_alone(two: Two) -> None:
    view = two.server.services.devices_view
    (lease,) = [lease for device in (await two.bob.get("/api/v1/devices")).json() for lease in device["leases"]]
    assert (lease["job_id"], lease["action"], lease["network"]) == ("", "", "")
    reported = msgspec.json.encode(view.now())
    assert view.redacted(reported, two.server.user.id) is reported
    services, job = two.server.services, two.ids["job_id"].encode()
    for user_id, knows in ((two.bob_id, False), (two.server.user.id, True)):
        stream = messages(services, user_id, None)
        await anext(stream)
        services.bus.publish(EventType.DEVICES, view.now(), user_id=None)
        event = b""
        while b"event: devices" not in event:
            event = await asyncio.wait_for(anext(stream), PATIENCE_S)
        assert (job in event) is knows
        await stream.aclose()


async def test_a_public_model_is_read_and_not_written(two: Two) -> None:
    before = two.everything()
    for operation in OWNED:
        if "{model_id}" not in operation.path:
            continue
        answer = await two.ask(operation, two.bob_id, model_id=two.public, job_id=two.done)
        status = 200 if operation.id in READ_PUBLIC else 400 if operation.id in REJECTED_PUBLIC else 404
        assert answer.status_code == status, f"{operation.id}: {answer.status_code} {answer.text}"
        if status == 400:
            assert "read-only" in answer.text, operation.id
        assert "ann's" not in answer.text, operation.id
        assert two.ids["dataset_id"] not in answer.text, operation.id
        assert str(two.server.services.root.path) not in answer.text, operation.id
        assert "cat" not in answer.text.replace("cate", "").replace("cation", ""), f"{operation.id}: a class's name"
    assert two.everything() == before


async def test_a_public_model_shows_results_and_nothing_of_its_owner(two: Two) -> None:
    below = f"/api/v1/user/{two.bob_id}/model"
    listed = (await two.bob.get(below)).json()
    (shown,) = [model for model in listed if model["id"] == two.public]
    assert shown == (await two.bob.get(f"{below}/{two.public}")).json()
    assert "encryption_key" not in shown
    private = ("train_datasets", "eval_dataset", "inference_dataset", "calibration_dataset", "additional_id_info")
    assert [shown[field] for field in private] == [[], None, None, None, None]
    (entry,) = shown["ptm"]
    assert [model["ngc_path"] for model in listed if model["id"] == entry] == [PUBLISHED]
    (job,) = shown["jobs"]
    assert (job["id"], job["status"], job["result"]["kpi"][0]["metric"]) == (two.done, "Done", "loss")
    assert "detailed_status" not in job["result"]
    answer = await two.bob.get(f"{below}/{two.public}/job")
    assert (answer.json(), answer.headers["X-Total-Count"]) == ([job], "1")
    assert (await two.bob.get(f"{below}/{two.public}/job/{two.done}")).json() == job
    mine = await two.server.call("GET", f"/model/{two.public}", 200)
    assert mine["encryption_key"] == "ann's"
    assert [mine[field] for field in private[1:]] == [two.ids["dataset_id"]] * 4
    assert len(mine["ptm"]) == 2
    assert mine["jobs"][0]["result"]["detailed_status"]["message"] == "Finished"


async def test_weights_are_known_to_who_registered_them(two: Two, images, tmp_path: Path) -> None:
    below = f"/api/v1/user/{two.bob_id}"
    ptms = (await two.bob.get(f"{below}/ptm")).json()
    assert {ptm["path"] for ptm in ptms} == {None}
    assert "ann's own" not in str(ptms)
    (entry,) = [ptm["id"] for ptm in ptms if ptm["ngc_path"] == PUBLISHED]
    own = next(iter(set(two.server.services.store.models.weights(two.server.user.id)) - {entry}))
    assert (await two.bob.get(f"{below}/model/{own}")).status_code == 404
    body: dict[str, Any] = {"network_arch": "classification_pyt", "ptm": [own]}
    answer = await two.bob.post(f"{below}/model", json=body)
    assert (answer.status_code, "there is no pretrained model" in answer.text) == (400, True)
    data = (await two.bob.post(f"{below}/dataset", json=IMAGES)).json()["id"]
    await two.bob.post(f"{below}/dataset/{data}/link", json={"path": str(images("bob"))})
    body |= {"ptm": [entry], "train_datasets": [data], "eval_dataset": data}
    model = (await two.bob.post(f"{below}/model", json=body)).json()["id"]
    answer = await two.bob.post(f"{below}/model/{model}/job", json=[{"actions": ["train"]}])
    assert (answer.status_code, "has no weights on this machine" in answer.text) == (400, True), answer.text

    before = two.everything()
    (tmp_path / "bob.pth").write_bytes(b"bob")
    body = {"path": str(tmp_path / "bob.pth"), "network_arch": "classification_pyt", "ngc_path": PUBLISHED}
    assert (await two.bob.post(f"{below}/ptm", json=body)).json()["id"] == entry
    answer = await two.bob.post(f"{below}/ptm", json=body | {"name": "bob's"})
    assert (answer.status_code, "keeps its name" in answer.text) == (400, True)
    assert two.everything() == before
    answer = await two.bob.post(f"{below}/model/{model}/job?dry_run=true", json=[{"actions": ["train"]}])
    assert answer.status_code == 200, answer.text
    (planned,) = answer.json()
    assert str(tmp_path / "bob.pth") in planned["reads"]
    assert "ann" not in answer.text


async def test_the_same_own_entry_of_two_users_is_two_entries(two: Two, tmp_path: Path) -> None:
    (tmp_path / "bob.pth").write_bytes(b"bob")
    body = {"path": str(tmp_path / "bob.pth"), "network_arch": "classification_pyt", "name": "bob's"}
    body["ngc_path"] = "local/classification_pyt:ann's own.pth"
    made = (await two.bob.post(f"/api/v1/user/{two.bob_id}/ptm", json=body)).json()
    assert made["id"] not in two.server.services.store.models.weights(two.server.user.id)
    assert (await two.server.client.get(f"{two.server.base}/model/{made['id']}")).status_code == 404
    again = (await two.bob.post(f"/api/v1/user/{two.bob_id}/ptm", json=body | {"name": "newer"})).json()
    assert (again["id"], again["name"]) == (made["id"], "newer")


async def test_no_request_refers_to_another_users_data(two: Two) -> None:
    below = f"/api/v1/user/{two.bob_id}"
    data = two.ids["dataset_id"]
    for field, value in (("train_datasets", [data]), ("eval_dataset", data), ("ptm", [two.ids["model_id"]])):
        answer = await two.bob.post(f"{below}/model", json={"network_arch": "classification_pyt", field: value})
        assert answer.status_code == 400
        assert f"Provided {field} cannot be added: there is no" in answer.json()["error_desc"]
    model = (await two.bob.post(f"{below}/model", json={"network_arch": "classification_pyt"})).json()["id"]
    answer = await two.bob.post(f"{below}/model/{model}/job", json=[{"job": two.ids["job_id"], "actions": ["export"]}])
    assert answer.status_code == 400
    assert "has no such job" in answer.json()["error_desc"]


async def test_events_are_heard_by_whom_they_concern(two: Two, tmp_path: Path) -> None:
    services = two.server.services
    async with services.bus.subscribe(two.bob_id) as bobs, services.bus.subscribe(two.server.user.id) as anns:
        await two.server.call("PATCH", f"/dataset/{two.ids['dataset_id']}", 200, json={"name": "new"})
        await _weights(two.server, tmp_path, "ann's newer", ngc_path=PUBLISHED)
        await two.bob.post(f"/api/v1/user/{two.bob_id}/dataset", json={"type": "bpnet", "format": "default"})
        heard = {"bob": await anext(bobs), "ann": await anext(anns)}
        while heard["bob"].type is not EventType.DATASET:
            assert heard["bob"].type is not EventType.MODEL
            assert two.ids["job_id"].encode() not in heard["bob"].data
            heard["bob"] = await anext(bobs)
        while heard["ann"].type is not EventType.DATASET:
            heard["ann"] = await anext(anns)
    assert b'"created"' in heard["bob"].data
    assert two.ids["dataset_id"].encode() in heard["ann"].data
