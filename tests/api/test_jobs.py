"""Jobs over HTTP, with a tool that really runs: posting, its errors, cancelling, changing, deleting, files."""

from __future__ import annotations

import asyncio
import io
import tarfile
import uuid

import msgspec
import pytest

from taod.types.event import EventType
from taod.types.job import JobView
from taod.types.state import State
from tests.patience import PATIENCE_S


async def reached(server, job_id: str, *states: State) -> dict:
    """Wait, by the bus, until the job is in one of the states; returns its detail's view."""
    async with server.services.bus.subscribe(server.user.id, None) as events:
        job = await server.call("GET", f"/job/{job_id}", 200)
        if job["job"]["state"] in states:
            return job["job"]

        async def wait() -> None:
            async for event in events:
                if event.type is EventType.JOB:
                    view = msgspec.json.decode(event.data, type=JobView)
                    if view.id == job_id and view.state in states:
                        return

        await asyncio.wait_for(wait(), PATIENCE_S)
    return (await server.call("GET", f"/job/{job_id}", 200))["job"]


@pytest.fixture
async def model(server, images) -> str:
    """A model with data for training, evaluation and inference."""
    train = await server.ready_dataset(images("train"), name="train images")
    val = await server.ready_dataset(images("val"))
    test = await server.ready_dataset(images("test"))
    return await server.model(train_datasets=[train], eval_dataset=val, inference_dataset=test)


async def post(server, model_id: str, *actions: str, job: str | None = None, status: int = 201):
    return await server.call("POST", f"/model/{model_id}/job", status, json={"job": job, "actions": list(actions)})


async def test_a_chain_runs_to_its_end(server, model) -> None:
    train, evaluate, export = await post(server, model, "train", "evaluate", "export")
    jobs = await server.call("GET", f"/model/{model}/job?sort=date-ascending", 200)
    assert [(job["action"], job["parent_id"]) for job in jobs] == [
        ("train", None), ("evaluate", train), ("export", train),
    ]  # fmt: skip
    assert "waits for its parent train" in (await reached(server, evaluate, State.WAITING))["reason"]
    for job_id in (train, evaluate, export):
        server.word("go")
        assert (await reached(server, job_id, State.DONE, State.FAILED))["state"] == "done"

    job = await server.call("GET", f"/model/{model}/job/{train}", 200)
    assert set(job) == {"id", "action", "parent_id", "status", "created_on", "last_modified", "result"}
    assert job["status"] == "Done"
    assert job["result"]["kpi"] == [{"metric": "loss", "values": {"1": 0.5}}]
    assert (await server.call("GET", f"/model/{model}", 200))["jobs"][0] == job

    detail = await server.call("GET", f"/job/{train}", 200)
    assert detail["children"] == [evaluate, export]
    assert detail["process"]["exit_code"] == 0
    assert detail["spec"]["model"]
    assert detail["warnings"][0] == {"code": "default_spec", "subject": "train"}
    assert any("no spec was saved" in entry["reason"] for entry in detail["history"])
    assert (detail["job"]["metric"], detail["job"]["metric_value"]) == ("loss", 0.5)
    assert await server.call("GET", "/job/counts", 200) == {state: 3 * (state == "done") for state in State}


async def test_the_files_of_a_job(server, model) -> None:
    (train,) = await post(server, model, "train")
    server.word("go")
    await reached(server, train, State.DONE)
    for below in (f"/job/{train}", f"/model/{model}/job/{train}"):
        base = server.base + below
        names = [entry["path"] for entry in await server.call("GET", f"{below}/files", 200)]
        assert {"results/train/epoch_1.pth", "results/status.json", "log.txt", "command.json"} <= set(names)
        weights = await server.client.get(f"{base}/files/results/train/epoch_1.pth")
        assert (weights.content, weights.headers["Content-Length"]) == (b"weights", "7")
        part = await server.client.get(f"{base}/files/results/train/epoch_1.pth", headers={"Range": "bytes=2-4"})
        assert (part.status_code, part.content, part.headers["Content-Range"]) == (206, b"igh", "bytes 2-4/7")
        for path in ("..%2f..%2f..%2ftaod.db", "results/nothing", "results", "%2e%2e/%2e%2e/taod.db"):
            assert (await server.client.get(f"{base}/files/{path}")).status_code == 404, path

        answer = await server.client.get(f"{base}/download")
        assert answer.headers["Content-Disposition"] == f'attachment; filename="{train}.tar.gz"'
        with tarfile.open(fileobj=io.BytesIO(answer.content)) as archive:
            members = archive.getnames()
            assert archive.extractfile(f"{train}/train/epoch_1.pth").read() == b"weights"
        assert {name.partition("/")[0] for name in members} == {train}
        assert f"{train}/log.txt" in members

        log = await server.client.get(f"{base}/log")
        assert log.headers["Content-Type"] == "text/plain; charset=utf-8"
        assert log.text.endswith("the word is go\n")
        assert int(log.headers["X-Taod-Log-Size"]) == len(log.content)
        assert (await server.client.get(f"{base}/log?tail=1")).text == "the word is go\n"
        tail = await server.client.get(f"{base}/log", headers={"Range": "bytes=-3"})
        assert (tail.status_code, tail.text) == (206, "go\n")
        late = await server.client.get(f"{base}/log", headers={"Range": "bytes=99999-"})
        assert (late.status_code, late.json()["error_code"]) == (416, 416)
        assert (await server.client.get(f"{base}/log?follow=1")).content == log.content


async def test_a_log_with_progress_bars_is_shown_plainly_and_kept_raw(server, model) -> None:
    (train,) = await post(server, model, "train")
    server.word("go")
    await reached(server, train, State.DONE)
    raw = b"Epoch 1:   0%\rEpoch 1: 100%\n\x1b[32mgreen\x1b[0m\n"
    with server.services.root.job(train).log.open("ab") as file:
        file.write(raw)
    base = f"{server.base}/job/{train}/log"
    plain = (await server.client.get(f"{base}?plain=1")).text
    assert plain.endswith("the word is go\nEpoch 1: 100%\ngreen\n")
    assert (await server.client.get(f"{base}?plain=1&follow=1")).text == plain
    assert (await server.client.get(f"{base}?plain=1&tail=2")).text == "Epoch 1: 100%\ngreen\n"
    assert (await server.client.get(base)).content.endswith(raw)


async def test_the_detail_of_a_running_job_reports_what_it_uses(server, model) -> None:
    (train,) = await post(server, model, "train")
    await reached(server, train, State.RUNNING)
    process = (await server.call("GET", f"/job/{train}", 200))["process"]
    assert process["pid"] and process["rss_bytes"] > 100_000 and process["cpu_percent"] is not None
    server.word("go")
    await reached(server, train, State.DONE)
    process = (await server.call("GET", f"/job/{train}", 200))["process"]
    assert (process["rss_bytes"], process["exit_code"]) == (None, 0)


async def test_secrets_are_masked_in_what_is_shown(server, model) -> None:
    await server.call("PATCH", f"/model/{model}", 200, json={"encryption_key": "very-secret"})
    (train,) = await post(server, model, "train")
    server.word("go")
    await reached(server, train, State.DONE)
    answer = await server.client.get(f"{server.base}/job/{train}/files/command.json")
    assert answer.headers["Content-Type"] == "text/plain; charset=utf-8"
    assert "very-secret" not in answer.text
    detail = await server.call("GET", f"/job/{train}", 200)
    assert "very-secret" not in str(detail)


async def test_before_anything_exists_there_is_nothing_to_read(server, model) -> None:
    running, waiting = await post(server, model, "train", "evaluate")
    await reached(server, running, State.RUNNING)
    for below in ("/log", "/download"):
        words = await server.rejected("GET", f"/model/{model}/job/{waiting}{below}", 404)
        assert "waiting" in words
    assert await server.call("GET", f"/job/{waiting}/files", 200) == []
    server.word("fail")
    failed = await reached(server, running, State.FAILED)
    assert failed["status"] == "Error"
    assert "CUDA out of memory" in failed["reason"]
    assert running[:4] in (await reached(server, waiting, State.FAILED, State.CANCELLED))["reason"]


async def test_cancel_is_asynchronous_and_ends_in_words(server, model) -> None:
    train, evaluate = await post(server, model, "train", "evaluate")
    await reached(server, train, State.RUNNING)
    await server.call("POST", f"/model/{model}/job/{train}/cancel", 200)
    await reached(server, train, State.CANCELLED)
    job = await server.call("GET", f"/model/{model}/job/{train}", 200)
    assert job["status"] == "Error"
    assert job["result"]["detailed_status"]["message"] == "Cancelled by user"
    assert (await reached(server, evaluate, State.CANCELLED))["reason"].startswith("Cancelled because its parent train")
    words = await server.rejected("POST", f"/model/{model}/job/{train}/cancel", 404)
    assert "cannot be cancelled: it is Error already (Cancelled by user)" in words
    assert "cannot be the parent: it is cancelled" in await server.rejected(
        "POST", f"/model/{model}/job", json={"job": train, "actions": ["evaluate"]}
    )


async def test_a_training_is_paused_and_resumed_under_its_id(server, model) -> None:
    (train,) = await post(server, model, "train")
    await reached(server, train, State.RUNNING)
    assert "it is running" in await server.rejected("POST", f"/model/{model}/job/{train}/resume")
    assert "is Running" in await server.rejected("DELETE", f"/model/{model}/job/{train}")
    await server.call("POST", f"/model/{model}/job/{train}", 200, content=b"")
    assert (await reached(server, train, State.PAUSED))["status"] == "Pending"
    assert "cancel it first" in await server.rejected("DELETE", f"/model/{model}/job/{train}")
    await server.call("POST", f"/model/{model}/job/{train}/resume", 200)
    server.word("go")
    assert (await reached(server, train, State.DONE, State.FAILED))["attempt"] == 2


async def test_only_trainings_are_paused_and_resumed(server, model) -> None:
    train, evaluate = await post(server, model, "train", "evaluate")
    assert "cannot be paused" in await server.rejected("POST", f"/job/{evaluate}/pause")
    await server.call("POST", f"/job/{evaluate}/cancel", 200)
    words = await server.rejected("POST", f"/model/{model}/job/{evaluate}/resume")
    assert words.startswith("Action not train")
    await server.call("POST", f"/job/{train}/cancel", 200)


async def test_a_job_is_deleted_with_its_files(server, model) -> None:
    (train,) = await post(server, model, "train")
    server.word("go")
    await reached(server, train, State.DONE)
    folder = server.services.root.job(train).path
    assert folder.exists()
    await server.call("DELETE", f"/model/{model}/job/{train}", 200)
    assert not folder.exists()
    await server.rejected("GET", f"/model/{model}/job/{train}", 404)


async def test_a_model_is_deleted_with_its_running_jobs(server, model) -> None:
    train, _ = await post(server, model, "train", "evaluate")
    await reached(server, train, State.RUNNING)
    assert (await server.call("DELETE", f"/model/{model}", 200))["id"] == model
    assert await server.call("GET", "/job", 200) == []
    assert not server.services.root.job(train).path.exists()
    assert server.services.store.leases.all() == []


async def test_a_job_that_waits_is_changed(server, model) -> None:
    running, waiting = await post(server, model, "train", "evaluate")
    path = f"/job/{waiting}"
    assert (await server.call("PATCH", path, 200, json={"priority": 5}))["priority"] == 5
    assert (await server.call("PATCH", path, 200, json={"held": True}))["state"] == "held"
    assert (await server.call("PATCH", path, 200, json={"held": False}))["state"] == "waiting"
    spec = (await server.call("GET", path, 200))["spec"] | {"gpus": 1}
    await server.call("PATCH", path, 200, json={"spec": spec})
    assert (await server.call("GET", path, 200))["spec"] == spec
    assert "Invalid specs" in await server.rejected("PATCH", path, json={"spec": {"dataset": 5}})
    assert "'state' cannot be set" in await server.rejected("PATCH", path, json={"state": "done"})
    await reached(server, running, State.RUNNING)
    assert "has not started" in await server.rejected("PATCH", f"/job/{running}", json={"priority": 1})
    await server.call("POST", f"/job/{running}/cancel", 200)
    await reached(server, running, State.CANCELLED)


async def test_all_jobs_are_filtered(server, model) -> None:
    train, evaluate = await post(server, model, "train", "evaluate")
    await reached(server, train, State.RUNNING)

    async def found(query: str) -> list[str]:
        return [job["id"] for job in await server.call("GET", f"/job?{query}", 200)]

    assert await found("") == [evaluate, train]
    assert await found("sort=date-ascending&size=1") == [train]
    assert await found("status=Running") == [train]
    assert await found("status=Pending,Done") == [evaluate]
    assert await found("state=waiting") == [evaluate]
    assert await found("status=Done&state=waiting") == []
    assert await found("action=train") == [train]
    assert await found("network=dino") == []
    assert await found(f"text={train[:8]}") == [train]
    assert "status=Ended" in await server.rejected("GET", "/job?status=Ended")
    assert "sort=name-ascending" in await server.rejected("GET", "/job?sort=name-ascending")
    assert (await server.call("GET", "/job/counts?action=train", 200))["running"] == 1
    assert "taod_jobs" in (await server.client.get("/metrics")).text
    device = (await server.client.get("/api/v1/devices")).json()[0]
    assert [lease["job_id"] for lease in device["leases"]] == [train]
    await server.call("POST", f"/job/{train}/cancel", 200)
    await reached(server, train, State.CANCELLED)


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ([], "expected"),
        ({"actions": []}, "actions: name at least one"),
        ({"actions": ["prune"]}, "classification_pyt has no action 'prune'; its actions are train"),
        ({"actions": ["export"]}, "export needs a parent job"),
        ({"job": str(uuid.uuid4()), "actions": ["evaluate"]}, "has no such job"),
        ({"job": "x", "actions": ["evaluate"]}, "has no such job"),
        ({"actions": ["evaluate"]}, "evaluate needs a parent job"),
        ([{"actions": ["train"]}, {"actions": ["train", "nothing"]}], "no action 'nothing'"),
        ({"job": None, "action": ["train"]}, "'action' is unknown, did you mean 'actions'?"),
    ],
)
async def test_all_or_nothing(server, model, body, words) -> None:
    assert words in await server.rejected("POST", f"/model/{model}/job", json=body)
    assert await server.call("GET", f"/model/{model}/job", 200) == []


@pytest.mark.parametrize(
    ("arch", "actions", "words"),
    [
        ("classification_pyt", ["train"], "train needs train_datasets"),
        ("segformer", ["train"], "train needs train_datasets"),
    ],
)
async def test_data_that_is_certainly_missing_is_named(server, arch, actions, words) -> None:
    model_id = await server.model(arch)
    assert words in await server.rejected("POST", f"/model/{model_id}/job", json={"actions": actions})


async def test_what_no_runner_can_do_is_rejected_with_the_remedy(server) -> None:
    data = await server.dataset("pointpillars", "default")
    model_id = await server.model("pointpillars", train_datasets=[data])
    words = await server.rejected("POST", f"/model/{model_id}/job", json={"actions": ["train"]})
    assert words.startswith("no runner can do pointpillars train here")


async def test_more_gpus_than_there_are_are_rejected(server, model) -> None:
    await server.call("POST", f"/model/{model}/specs/train", 201, json={"train": {"num_gpus": 2}})
    words = await server.rejected("POST", f"/model/{model}/job", json={"actions": ["train"]})
    assert "train.num_gpus = 2: this machine has no GPU" in words


async def test_weights_that_are_not_there_are_named(server, model, tmp_path) -> None:
    server.services.ptms.seed([("nvidia/tao/x:y", "classification_pyt")])
    entry = next(m for m in await server.call("GET", "/ptm", 200) if m["ngc_path"] == "nvidia/tao/x:y")
    await server.call("PATCH", f"/model/{model}", 200, json={"ptm": [entry["id"]]})
    words = await server.rejected("POST", f"/model/{model}/job", json={"actions": ["train"]})
    assert "'nvidia/tao/x:y' has no weights on this machine; register them by POST …/ptm" in words


async def test_a_job_waits_for_its_data(server, images) -> None:
    data = await server.dataset(name="late images")
    model_id = await server.model(train_datasets=[data])
    (train,) = await post(server, model_id, "train")
    job = await waits_for(server, train, "late images")
    assert job["state"] == "waiting"
    await server.call("POST", f"/dataset/{data}/link", 201, json={"path": str(images("train"))})
    server.word("go")
    assert (await reached(server, train, State.DONE, State.FAILED))["state"] == "done"


async def waits_for(server, job_id: str, words: str) -> dict:
    """Wait, by the bus, until the job's reason has these words."""
    async with server.services.bus.subscribe(server.user.id, None) as events:
        view = (await server.call("GET", f"/job/{job_id}", 200))["job"]

        async def wait() -> dict:
            async for event in events:
                if event.type is EventType.JOB:
                    reported = msgspec.json.decode(event.data)
                    if reported["id"] == job_id and words in reported["reason"]:
                        return reported
            raise AssertionError

        return view if words in view["reason"] else await asyncio.wait_for(wait(), PATIENCE_S)


async def test_data_that_is_being_read_is_not_replaced(server, model, images) -> None:
    (train,) = await post(server, model, "train")
    await reached(server, train, State.RUNNING)
    data = (await server.call("GET", f"/model/{model}", 200))["train_datasets"][0]
    words = await server.rejected("POST", f"/dataset/{data}/link", 409, json={"path": str(images("other"))})
    assert "is reading dataset 'train images'" in words
    await server.call("POST", f"/job/{train}/cancel", 200)
    await reached(server, train, State.CANCELLED)


async def test_jobs_that_are_not_there(server) -> None:
    model_id = await server.model()
    owned = [
        ("GET", ""), ("DELETE", ""), ("POST", ""), ("POST", "/cancel"), ("POST", "/resume"), ("GET", "/download"),
        ("GET", "/log"), ("GET", "/files"),
    ]  # fmt: skip
    anywhere = [("GET", ""), ("DELETE", ""), ("PATCH", ""), ("POST", "/cancel"), ("POST", "/pause"), ("GET", "/log")]
    for which in ("not-a-uuid", str(uuid.uuid4())):
        for method, below in owned:
            words = await server.rejected(method, f"/model/{model_id}/job/{which}{below}", 404)
            assert which in words, (method, below)
        for method, below in anywhere:
            assert which in await server.rejected(method, f"/job/{which}{below}", 404), (method, below)


async def test_a_job_of_another_model_is_not_found(server, model) -> None:
    (train,) = await post(server, model, "train")
    other = await server.model()
    await server.rejected("GET", f"/model/{other}/job/{train}", 404)
    assert "has no such job" in await server.rejected(
        "POST", f"/model/{other}/job", json={"job": train, "actions": ["export"]}
    )
    await server.call("POST", f"/job/{train}/cancel", 200)
    await reached(server, train, State.CANCELLED)


async def test_a_dataset_has_jobs_of_its_own(server, tmp_path) -> None:
    folder = tmp_path / "boxes"
    for part in ("images", "labels"):
        (folder / part).mkdir(parents=True)
    (folder / "images" / "1.png").write_bytes(b"png")
    (folder / "labels" / "1.txt").write_text("car 0.0 0 0.0 1 1 2 2 0 0 0 0 0 0 0\n")
    data = await server.dataset("object_detection", "kitti")
    await server.call("POST", f"/dataset/{data}/link", 201, json={"path": str(folder)})
    (convert,) = await server.call("POST", f"/dataset/{data}/job", 201, json={"job": None, "actions": ["convert"]})
    server.word("go")
    assert (await reached(server, convert, State.DONE, State.FAILED))["state"] == "done"
    job = await server.call("GET", f"/dataset/{data}/job/{convert}", 200)
    assert (await server.call("GET", f"/dataset/{data}", 200))["jobs"] == [job]
    shown = (await server.client.get(f"{server.base}/job/{convert}/files/command.json")).json()
    assert shown["argv"][:2] == ["detectnet_v2", "dataset_convert"]
    assert (await server.client.get(f"{server.base}/dataset/{data}/job/{convert}/download")).status_code == 200
    words = await server.rejected("POST", f"/dataset/{data}/job", json={"actions": ["train"]})
    assert "object_detection has no action 'train'" in words
    await server.call("DELETE", f"/dataset/{data}/job/{convert}", 200)
    await server.call("DELETE", f"/dataset/{data}", 200)
