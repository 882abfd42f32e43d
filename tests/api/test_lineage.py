"""Where data came from: linked folders that change, what a job saw, datasets made by jobs, data in use."""

from __future__ import annotations

import asyncio
from pathlib import Path

import msgspec
import pytest

from taod.datasets.validation.fingerprint import figures, fingerprint
from taod.datasets.validation.summary import summarise
from taod.errors import BadRequest
from taod.types.state import State
from taod.types.warning import Warning
from taod.types.warning_text import text
from tests.patience import PATIENCE_S


@pytest.fixture
def config(config):
    config.storage.link_check_s = 1e-9  # checked at every read
    return config


async def linked(server, images) -> tuple[str, Path]:
    folder = images("train")
    return await server.ready_dataset(folder, name="cats"), folder


async def changed(server, dataset_id: str) -> list[str]:
    """Ask, wait for the look, and return the warnings as text."""
    await server.call("GET", f"/dataset/{dataset_id}", 200)
    await server.services.lineage.settled()
    summary = await server.call("GET", f"/dataset/{dataset_id}/summary", 200)
    return [text(warning) for warning in msgspec.convert(summary["warnings"], list[Warning])]


async def until(server, job_id: str, state: State) -> None:
    async with asyncio.timeout(PATIENCE_S), server.services.bus.subscribe(None) as events:
        if server.services.store.jobs.get(job_id).state is state:
            return
        async for _ in events:
            if server.services.store.jobs.get(job_id).state is state:
                return


def test_the_fingerprint_is_the_summary_s(images) -> None:
    folder = images("train")
    (folder / ".DS_Store").write_bytes(b"x")
    (folder / "more").symlink_to(images("val"))
    summary = summarise(folder, "image_classification", "classification_pyt")
    assert fingerprint(folder) == summary.fingerprint
    assert figures(fingerprint(folder)) == (summary.files, summary.bytes)


async def test_a_linked_folder_that_changes_is_warned_about_until_it_is_linked_again(server, images) -> None:
    dataset_id, folder = await linked(server, images)
    assert await changed(server, dataset_id) == []
    (folder / "images_train" / "cat" / "2.png").write_bytes(b"new")
    (words,) = await changed(server, dataset_id)
    assert words.startswith("linked dataset 'cats' has changed since it was linked (3 files with ")
    assert words.endswith("link it again to use the changed data")
    answer = await server.client.get(f"{server.base}/dataset/{dataset_id}")
    assert answer.headers["X-Taod-Warnings"] == words
    await server.call("POST", f"/dataset/{dataset_id}/link", 201, json={"path": str(folder)})
    assert await changed(server, dataset_id) == []
    (folder / "images_train" / "cat" / "2.png").rename(folder / "images_train" / "cat" / "3.png")
    (words,) = await changed(server, dataset_id)
    assert "its 4 files have the same sizes and other names or times" in words
    folder.rename(folder.with_name("moved"))
    (words,) = await changed(server, dataset_id)
    assert "cannot be read any more" in words


async def test_a_folder_is_checked_only_once_per_interval(server, images, monkeypatch) -> None:
    dataset_id, folder = await linked(server, images)
    server.services.lineage._check_s = 3600.0
    assert await changed(server, dataset_id) == []
    (folder / "images_train" / "cat" / "2.png").write_bytes(b"new")
    assert await changed(server, dataset_id) == []
    server.services.lineage._check_s = 1e-9
    assert await changed(server, dataset_id)


async def test_a_job_is_warned_and_records_what_it_saw(server, images) -> None:
    dataset_id, folder = await linked(server, images)
    registered = (await server.call("GET", f"/dataset/{dataset_id}/summary", 200))["fingerprint"]
    model_id = await server.model(train_datasets=[dataset_id], eval_dataset=dataset_id)
    quiet = await server.client.post(f"{server.base}/model/{model_id}/job", json={"actions": ["train"]})
    assert quiet.headers["X-Taod-Warnings"] == "no spec was saved for train: the schema's default is used"
    await until(server, quiet.json()[0], State.RUNNING)
    await server.services.lineage.settled()
    (folder / "images_train" / "dog" / "2.png").write_bytes(b"new")
    warned = await server.client.post(f"{server.base}/model/{model_id}/job", json={"actions": ["train"]})
    assert warned.status_code == 201
    assert "has changed since it was linked" in warned.headers["X-Taod-Warnings"]
    seen = (await server.call("GET", f"/job/{quiet.json()[0]}", 200))["data"]
    assert [each["role"] for each in seen] == ["train", "eval"]
    assert seen[0] == {
        "role": "train", "dataset_id": dataset_id, "name": "cats", "fingerprint": registered, "linked": True,
        "changed": False,
    }  # fmt: skip
    waiting = await server.call("GET", f"/job/{warned.json()[0]}", 200)
    assert waiting["data"] == []
    assert any("has changed" in entry["reason"] for entry in waiting["history"])
    server.word("done")
    await until(server, warned.json()[0], State.RUNNING)
    await server.services.lineage.settled()
    later = await server.call("GET", f"/job/{warned.json()[0]}", 200)
    assert later["data"][0]["changed"]
    assert later["data"][0]["fingerprint"] == fingerprint(folder) != registered
    server.word("done")
    await until(server, warned.json()[0], State.DONE)


async def test_a_change_between_post_and_start_is_in_the_history(server, images) -> None:
    dataset_id, folder = await linked(server, images)
    model_id = await server.model(train_datasets=[dataset_id], eval_dataset=dataset_id)
    jobs = await server.call("POST", f"/model/{model_id}/job", 201, json={"actions": ["train"]})
    jobs += await server.call("POST", f"/model/{model_id}/job", 201, json={"actions": ["train"]})
    await until(server, jobs[0], State.RUNNING)
    await server.services.lineage.settled()
    (folder / "classes.txt").write_text("cat\ndog\n\n")
    server.word("done")
    await until(server, jobs[1], State.RUNNING)
    await server.services.lineage.settled()
    history = (await server.call("GET", f"/job/{jobs[1]}", 200))["history"]
    assert sum("has changed since it was linked" in entry["reason"] for entry in history) == 1
    server.word("done")
    await until(server, jobs[1], State.DONE)


async def test_a_dataset_made_by_a_job_knows_where_it_came_from(server, images) -> None:
    services = server.services
    dataset_id, _ = await linked(server, images)
    model_id = await server.model(train_datasets=[dataset_id], eval_dataset=dataset_id)
    (job_id,) = await server.call("POST", f"/model/{model_id}/job", 201, json={"actions": ["train"]})
    job = services.store.jobs.get(job_id)
    results = services.root.job(job_id).path / "made"
    (results / "images_val" / "cat").mkdir(parents=True)
    (results / "images_val" / "cat" / "1.png").write_bytes(b"x")
    with pytest.raises(BadRequest, match=r"missing: classes\.txt"):
        await services.datasets.create_from_job(
            job, results, name="made", format="classification_pyt", parent_dataset=dataset_id
        )
    assert len(await server.call("GET", "/dataset", 200)) == 1
    (results / "classes.txt").write_text("cat\n")
    made = await services.datasets.create_from_job(
        job, results, name="made", format="classification_pyt", parent_dataset=dataset_id
    )
    assert (made.name, made.type) == ("made", "image_classification")
    summary = await server.call("GET", f"/dataset/{made.id}/summary", 200)
    assert (summary["state"], summary["images"]) == ("ready", 1)
    assert (summary["parent_job"], summary["parent_dataset"]) == (job_id, dataset_id)
    await server.call("POST", f"/job/{job_id}/cancel", 200)
    await until(server, job_id, State.CANCELLED)
    await server.call("DELETE", f"/job/{job_id}", 200)
    assert not results.exists()
    assert (services.root.dataset(made.id) / "images_val" / "cat" / "1.png").read_bytes() == b"x"
    assert (await server.call("GET", f"/dataset/{made.id}/summary", 200))["parent_job"] == job_id
    assert list(services.root.incoming.iterdir()) == []


async def test_data_that_a_run_reads_stays_whatever_its_model_says_now(server, images) -> None:
    dataset_id, folder = await linked(server, images)
    model_id = await server.model(train_datasets=[dataset_id], eval_dataset=dataset_id)
    (job_id,) = await server.call("POST", f"/model/{model_id}/job", 201, json={"actions": ["train"]})
    await until(server, job_id, State.RUNNING)
    await server.call("PATCH", f"/model/{model_id}", 200, json={"train_datasets": [], "eval_dataset": None})
    for method, below, more in (
        ("DELETE", "", {}),
        ("POST", "/link", {"json": {"path": str(folder)}}),
        ("PUT", "/upload", {"content": b"x", "headers": {"Content-Type": "application/octet-stream"}}),
    ):
        words = await server.rejected(method, f"/dataset/{dataset_id}{below}", 409, **more)
        assert f"job {job_id[:8]} (train) is reading dataset 'cats'" in words
    server.word("done")
    await until(server, job_id, State.DONE)
    await server.call("DELETE", f"/dataset/{dataset_id}", 200)
