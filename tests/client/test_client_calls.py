"""The client's calls against a real server on a socket."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from contextlib import aclosing
from pathlib import Path
from typing import Any

import pytest

from taod.client import AsyncClient, ClientError, NoDaemon
from taod.types.dataset import DatasetCreate
from taod.types.job import JobPatch, JobRun
from taod.types.state import State, Status
from tests.patience import PATIENCE_S


async def test_health_networks_and_devices_come_as_structs(client: AsyncClient, server: Any, contract: Any) -> None:
    server.world.devices = [contract.gpu(), contract.cpu()]
    assert (await client.health()).status == "ok"
    assert (await client.networks.list())[0].actions[0].runners == ["embedded"]
    assert (await client.networks.get("classification_pyt")).metric == "loss"
    assert [device.kind for device in await client.devices.list()] == ["gpu", "cpu"]


async def test_a_error_carries_status_and_the_servers_words(client: AsyncClient) -> None:
    with pytest.raises(ClientError) as caught:
        await client.datasets.create(DatasetCreate(type="nonsense", format="raw"))
    assert (caught.value.status, str(caught.value)) == (400, "Invalid dataset type")


async def test_a_wrong_token_is_a_401(server: Any) -> None:
    async with AsyncClient(server.url, server.world.user, "wrong") as intruder:
        with pytest.raises(ClientError, match="token") as caught:
            await intruder.devices.list()
    assert caught.value.status == 401 and not isinstance(caught.value, NoDaemon)


async def test_a_closed_port_is_no_daemon_with_the_remedy(server: Any, client: AsyncClient) -> None:
    await server.stop()
    with pytest.raises(NoDaemon, match="taod serve"):
        await client.health()


async def test_a_call_after_the_client_was_closed_is_no_daemon(server: Any) -> None:
    client = AsyncClient(server.url, server.world.user, "secret")
    await client.devices.list()
    await client.aclose()
    with pytest.raises(NoDaemon, match="has been closed"):
        await client.devices.list()


async def test_an_answer_of_another_shape_is_reported_and_not_raised_raw(client: AsyncClient) -> None:
    with pytest.raises(ClientError, match="same version"):
        await client.call("GET", "/api/v1/health", list[int])


async def test_datasets_are_made_listed_with_total_and_deleted(client: AsyncClient) -> None:
    made = [
        await client.datasets.create(DatasetCreate(type="image_classification", format="raw", name=f"set {number}"))
        for number in range(3)
    ]
    page = await client.datasets.list(name="set", size=2)
    assert (len(page.items), page.total) == (2, 3)
    assert (await client.datasets.delete(made[0].id)).name == "set 0"
    with pytest.raises(ClientError, match="no dataset"):
        await client.datasets.delete(made[0].id)


async def test_an_upload_arrives_whole_and_reports_its_progress(
    client: AsyncClient, server: Any, tmp_path: Path
) -> None:
    archive = tmp_path / 'my "data".tar.gz'
    content = bytes(range(256)) * 10_000
    archive.write_bytes(content)
    seen: list[tuple[int, int]] = []
    answer = await client.datasets.upload("d1", archive, lambda sent, size: seen.append((sent, size)))
    assert server.world.uploads["d1"] == ("my _data_.tar.gz", content)
    assert answer.summary is not None and answer.summary.bytes == len(content)
    assert seen[-1] == (len(content), len(content)) and len(seen) == 3


async def test_a_spec_comes_back_with_its_warnings(client: AsyncClient) -> None:
    document, warnings = await client.specs.merge("model", "m1", "train", {"gpu_ids": [0]})
    assert document == {"saved": True, "gpu_ids": [0]}
    assert "gpu_ids" in warnings


async def test_jobs_are_asked_for_filtered_counted_and_paged(client: AsyncClient, server: Any) -> None:
    ids = await client.jobs.run("model", "m1", JobRun(["train", "evaluate"]))
    assert [server.world.jobs[each].action for each in ids] == ["train", "evaluate"]
    server.world.add_job(state=State.DONE, owner_name="helmets")
    assert (await client.jobs.list(status=Status.DONE)).items[0].owner_name == "helmets"
    assert (await client.jobs.list(text="HELM")).total == 1
    page = await client.jobs.list(skip=1, size=1)
    assert (len(page.items), page.total) == (1, 3)
    assert (await client.jobs.counts())[State.RUNNING] == 2


async def test_what_is_done_to_a_job_answers_with_its_view(client: AsyncClient, server: Any) -> None:
    job = server.world.add_job()
    assert (await client.jobs.pause(job.id)).state is State.PAUSED
    assert (await client.jobs.resume(job.id)).state is State.QUEUED
    assert (await client.jobs.update(job.id, JobPatch(priority=5))).priority == 5
    assert (await client.jobs.cancel(job.id)).reason == "Cancelled by user"
    with pytest.raises(ClientError) as caught:
        await client.jobs.cancel(job.id)
    assert caught.value.status == 404
    assert (await client.jobs.get(job.id)).history[-1].state is State.CANCELLED


async def test_a_log_is_read_by_tail_and_by_range(client: AsyncClient, server: Any) -> None:
    job = server.world.add_job()
    assert await client.logs.tail(job.id, 5) == type(await client.logs.tail(job.id, 5))(b"", 0)
    await server.world.write(job.id, b"one\ntwo\nthree\n")
    part = await client.logs.tail(job.id, 2)
    assert (part.data, part.end) == (b"two\nthree\n", 14)
    assert await client.logs.read(job.id, 4, 7) == b"two"
    assert await client.logs.read(job.id, 14, 20) == b""
    with pytest.raises(ClientError, match="no job"):
        await client.logs.tail("unknown", 5)


async def test_a_log_is_followed_from_an_offset_until_the_run_ends(client: AsyncClient, server: Any) -> None:
    world, received = server.world, b""
    job = world.add_job()
    await world.write(job.id, b"old new")
    async with aclosing(client.logs.follow(job.id, 4)) as pieces:
        async for piece in pieces:
            received += piece
            if received == b"new":
                world.change(job.id, state=State.DONE)
                await world.write(job.id, b" end")
    assert received == b"new end"


async def test_a_follower_that_leaves_is_noticed(client: AsyncClient, server: Any) -> None:
    world = server.world
    job = world.add_job()
    await world.write(job.id, b"x")
    async with aclosing(client.logs.follow(job.id)) as pieces:
        assert await anext(pieces) == b"x"
        assert world.followers[job.id] == 1
    await asyncio.wait_for(world.left.wait(), PATIENCE_S)
    assert world.followers[job.id] == 0


async def test_a_file_is_whole_or_not_there(client: AsyncClient, server: Any, tmp_path: Path) -> None:
    job = server.world.add_job()
    await server.world.write(job.id, b"some bytes of a file")
    artifact = (await client.files.list(job.id))[0]
    got = await client.files.download(job.id, artifact.path, tmp_path / "here.txt")
    assert got.read_bytes() == b"some bytes of a file"
    with pytest.raises(ClientError, match="no file"):
        await client.files.download(job.id, "results/nothing", tmp_path / "nothing")
    assert not (tmp_path / "nothing").exists() and not (tmp_path / ".nothing.part").exists()


def test_httpx_is_loaded_with_the_first_call() -> None:
    """So the dashboard can paint before it."""
    program = (
        "import asyncio, sys, taod.client, tui.main; client = taod.client.AsyncClient('http://127.0.0.1:1', 'u', 't')\n"
        "assert 'httpx' not in sys.modules\n"
        "try: asyncio.run(client.health())\n"
        "except taod.client.NoDaemon: assert 'httpx' in sys.modules\n"
        "else: raise AssertionError"
    )
    subprocess.run([sys.executable, "-c", program], check=True, timeout=PATIENCE_S)
