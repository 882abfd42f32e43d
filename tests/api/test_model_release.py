"""A model's release over HTTP: chosen at its creation, moved with its specifications, kept by its checkpoints."""

from __future__ import annotations

from taod.client import AsyncClient, ClientError
from taod.types.model import ModelCreate
from taod.types.state import State
from tests.api.conftest import Server
from tests.api.test_jobs import reached

ARCH = {"network_arch": "classification_pyt"}
SPEC = {"train": {"train_config": {"runner": {"max_epochs": 7}}}, "model": {"head": {"type": "FANLinearClsHead"}}}


async def test_a_model_is_made_of_the_release_that_is_asked_for(server: Server) -> None:
    made = await server.call("POST", "/model", 201, json=ARCH)
    assert made["release"] == "5.0"
    for asked in ("7.3", "7.3.0"):
        made = await server.call("POST", "/model", 201, json=ARCH | {"release": asked})
        assert made["release"] == (await server.call("GET", f"/model/{made['id']}", 200))["release"] == "7.3"
    schema = await server.call("GET", f"/model/{made['id']}/specs/train/schema", 200)
    assert "num_epochs" in schema["properties"]["train"]["properties"]
    for asked, nearest in (("9.1", "7.3"), ("6.0", "5.0"), ("new", "5.0")):
        words = await server.rejected("POST", "/model", json=ARCH | {"release": asked})
        assert words == f"release = '{asked}': taod knows 5.0, 7.3; the nearest is {nearest}"
    words = await server.rejected("POST", "/model", json={"network_arch": "unet", "release": "7.3"})
    assert words == "release = '7.3': unet is of release 5.0 only"
    words = await server.rejected("PATCH", f"/model/{made['id']}", json={"release": "5.0"})
    assert words == "release = '5.0': the model is of release 7.3; POST …/release moves it"
    await server.call("PATCH", f"/model/{made['id']}", 200, json={"release": "7.3"})


async def test_a_move_shows_what_changes_and_converts_what_was_saved(server: Server, client: AsyncClient) -> None:
    model = (await client.models.create(ModelCreate(network_arch="classification_pyt"))).id
    await server.call("POST", f"/model/{model}/specs/train", 201, json=SPEC)
    await server.call("POST", f"/model/{model}/specs/evaluate", 201, json={})
    before = await client.models.preview_release(model, "7.3")
    train = next(action for action in before.actions if action.action == "train")
    assert (before.release, before.to, before.blocked, train.saved) == ("5.0", "7.3", "", True)
    assert {change.kind for change in train.changes} == {"renamed", "rejected", "new"}
    assert (await client.models.get(model)).release == "5.0"
    assert await client.models.move_release(model, "7.3") == before
    assert (await client.models.get(model)).release == "7.3"
    assert await server.call("GET", f"/model/{model}/specs/train", 200) == {"train": {"num_epochs": 7}}
    # Nothing to do.
    again = await client.models.move_release(model, "7.3")
    assert (again.actions, again.release, again.to) == ([], "7.3", "7.3")
    # Back, without the specifications.
    await client.models.move_release(model, "5.0", convert=False)
    await server.rejected("GET", f"/model/{model}/specs/train", 404)
    for release in ("9.1", ""):
        words = await server.rejected("POST", f"/model/{model}/release", json={"release": release})
        assert words.startswith(f"release = '{release}': taod knows 5.0, 7.3; the nearest is")
        if release:
            assert words == await server.rejected("GET", f"/model/{model}/release?to={release}")


async def test_checkpoints_and_open_jobs_keep_a_model_at_its_release(server: Server, images) -> None:
    data = await server.ready_dataset(images())
    model = await server.model(train_datasets=[data], eval_dataset=data)
    (job,) = await server.call("POST", f"/model/{model}/job", 201, json={"actions": ["train"], "job": None})
    move = {"release": "7.3"}
    words = await server.rejected("POST", f"/model/{model}/release", 409, json=move)
    assert words == (
        f"train {job} of model 'My Model' has not ended and is of release 5.0; cancel it, or wait for its end"
    )
    server.word("go")
    await reached(server, job, State.DONE)
    words = await server.rejected("POST", f"/model/{model}/release", 409, json=move)
    assert words == (
        f"model 'My Model' has checkpoints of release 5.0 (train {job}), which another release cannot use; "
        "set abandon_checkpoints, or create a model of release 7.3"
    )
    moved = await server.call("POST", f"/model/{model}/release", 200, json=move | {"abandon_checkpoints": True})
    assert moved["to"] == "7.3"
    # The old training is no parent of what comes now.
    words = await server.rejected("POST", f"/model/{model}/job", json={"actions": ["evaluate"], "job": job})
    assert words == (
        f"job {job} (train) cannot be the parent: it is of release 5.0, and model 'My Model' of release 7.3; "
        "train it again"
    )
    words = await server.rejected("POST", f"/model/{model}/job", json={"actions": ["evaluate"], "job": None})
    assert "evaluate needs a parent job" in words


async def test_a_move_needs_the_models_owner_and_a_writable_model(server: Server, client: AsyncClient) -> None:
    model = await server.model(read_only=True)
    words = await server.rejected("POST", f"/model/{model}/release", json={"release": "7.3"})
    assert words == "model 'My Model' is read-only; set read_only to false first"
    try:
        await client.models.move_release("0" * 8, "7.3")
    except ClientError as error:
        assert "0" * 8 in str(error)
    else:
        raise AssertionError
