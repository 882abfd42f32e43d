"""Over a real socket: events, a followed log, a download that is left, the lifespan."""

from __future__ import annotations

import asyncio
import json
import os
import socket
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import httpx
import pytest
import uvicorn
from httpx_sse import aconnect_sse

from taod.api.app import create_app
from taod.api.routes import events as stream
from taod.api.streams import written_by
from taod.services.composition import open_services
from taod.types.event import EventType, ResourceChange
from tests.patience import PATIENCE_S


class Live:
    """A server on a socket of its own."""

    def __init__(self, services, user, client: httpx.AsyncClient, gate: int) -> None:
        self.services, self.user, self.client, self.gate = services, user, client, gate
        self.base = f"/api/v1/user/{user.id}"


@pytest.fixture
async def live(config, gate) -> AsyncIterator[Live]:
    services = open_services(config)
    user, token = services.users.ensure_first()
    listening = socket.create_server(("127.0.0.1", 0))
    uvicorn_config = uvicorn.Config(create_app(services), log_config=None, lifespan="on", timeout_graceful_shutdown=5)
    server = uvicorn.Server(uvicorn_config)
    serving = asyncio.create_task(server.serve(sockets=[listening]))
    url = f"http://127.0.0.1:{listening.getsockname()[1]}"
    headers = {"Authorization": f"Bearer {token}"}
    try:
        async with httpx.AsyncClient(base_url=url, headers=headers, timeout=PATIENCE_S) as client:
            assert (await client.get("/api/v1/health/readiness")).status_code == 200
            yield Live(services, user, client, gate)
    finally:
        services.end_streams()
        server.should_exit = True
        await asyncio.wait_for(serving, PATIENCE_S)
        services.store.close()


async def model(live, images) -> str:
    made = (
        await live.client.post(
            f"{live.base}/dataset", json={"type": "image_classification", "format": "classification_pyt"}
        )
    ).json()
    await live.client.post(f"{live.base}/dataset/{made['id']}/link", json={"path": str(images("train"))})
    body = {"network_arch": "classification_pyt", "train_datasets": [made["id"]]}
    return (await live.client.post(f"{live.base}/model", json=body)).json()["id"]


async def test_a_run_is_seen_by_its_events_and_its_log_while_it_continues(live, images) -> None:
    model_id = await model(live, images)
    async with asyncio.timeout(PATIENCE_S), aconnect_sse(live.client, "GET", f"{live.base}/events") as source:
        assert source.response.headers["Content-Type"].startswith("text/event-stream")
        coming = source.aiter_sse()
        answer = await live.client.post(f"{live.base}/model/{model_id}/job", json={"actions": ["train"]})
        (job_id,) = answer.json()
        url = f"{live.base}/model/{model_id}/job/{job_id}/log?follow=1"
        async with live.client.stream("GET", url) as log:
            blocks = log.aiter_bytes()
            seen = b""
            while b"starting train\n" not in seen:
                seen += await anext(blocks)

            os.write(live.gate, b"go\n")
            async for block in blocks:
                seen += block
        assert seen.endswith(b"the word is go\n")

        events = []
        async for event in coming:
            events.append(event)
            if event.event == "job" and json.loads(event.data)["state"] == "done":
                break
    states = [json.loads(event.data)["state"] for event in events if event.event == "job"]
    assert [state for state in dict.fromkeys(states) if state in ("leased", "running", "done")] == [
        "leased", "running", "done",
    ]  # fmt: skip
    reported = [json.loads(event.data) for event in events if event.event == "status"]
    assert [line["status"] for line in reported] == ["STARTED", "RUNNING", "SUCCESS"]
    assert reported[1]["kpi"] == {"loss": 0.5}
    assert len({event.id for event in events}) == len(events)

    headers = {"Last-Event-ID": events[-2].id}
    async with (
        asyncio.timeout(PATIENCE_S),
        aconnect_sse(live.client, "GET", f"{live.base}/events", headers=headers) as source,
    ):
        assert (await anext(source.aiter_sse())).id == events[-1].id
    async with (
        asyncio.timeout(PATIENCE_S),
        aconnect_sse(live.client, "GET", f"{live.base}/events?last_event_id=old-1") as source,
    ):
        assert (await anext(source.aiter_sse())).event == "reset"


async def test_head_of_everything_is_an_answer_without_a_body_and_nothing_in_the_log(live, images, caplog) -> None:
    model_id = await model(live, images)
    os.write(live.gate, b"go\n")
    body = {"actions": ["train"]}
    (job_id,) = (await live.client.post(f"{live.base}/model/{model_id}/job", json=body)).json()
    job = f"{live.base}/job/{job_id}"
    async with live.client.stream("GET", f"{job}/log?follow=1") as log:
        await log.aread()
    below = ("dataset", "model", f"model/{model_id}", f"model/{model_id}/job/{job_id}/download", "ptm", "events")
    paths = [f"{live.base}/{each}" for each in below]
    paths += [job, f"{job}/log", f"{job}/log?follow=1", f"{job}/files", f"{job}/files/log.txt"]
    for path in [*paths, "/api/v1", "/api/v1/health", "/metrics", "/openapi.json", "/redoc"]:
        answer = await asyncio.wait_for(live.client.head(path), PATIENCE_S)
        assert (answer.status_code, answer.content) == (200, b""), path
    assert (await live.client.head(f"{live.base}/model/none")).status_code == 404
    assert "Traceback" not in caplog.text
    assert "failed after" not in caplog.text


async def test_a_client_that_does_not_read_is_sent_a_reset_and_others_are_served(live) -> None:
    change, number = ResourceChange("x", "updated", "y" * 4096), 6_000
    headers = {"Authorization": live.client.headers["Authorization"]}
    head = f"GET {live.base}/events HTTP/1.1\r\nHost: {live.client.base_url.netloc.decode()}\r\n"
    head += "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    reader, writer = await asyncio.open_connection(live.client.base_url.host, live.client.base_url.port, limit=1024)
    writer.write(head.encode() + b"\r\n")
    await asyncio.wait_for(reader.readuntil(b"taod"), PATIENCE_S)
    async with asyncio.timeout(PATIENCE_S), aconnect_sse(live.client, "GET", f"{live.base}/events") as quick:
        coming = quick.aiter_sse()
        seen = 0
        for start in range(0, number, 100):
            for _ in range(start, start + 100):
                live.services.bus.publish(EventType.MODEL, change, user_id=live.user.id)
            while seen < start + 100:
                event = await anext(coming)
                assert event.event != "reset"
                seen += event.event == "model"
        read = b""
        while b"event: reset" not in read[-(1 << 17) :]:
            read += await reader.read(1 << 16)
    assert len(read) < number * 4096 / 2, "what the slow one could not take was kept for it"
    writer.close()


async def test_a_client_that_leaves_is_noticed(live) -> None:
    bus = live.services.bus
    async with live.client.stream("GET", f"{live.base}/events") as response:
        await anext(response.aiter_bytes())
        assert bus.listeners == 1
    async with asyncio.timeout(PATIENCE_S):
        while bus.listened.is_set():  # noqa: ASYNC110 - the bus has no event for the end of listening
            await asyncio.sleep(0.01)


async def test_silence_is_filled_with_comments(live) -> None:
    messages = stream.messages(live.services, live.user.id, None, heartbeat_s=0.001)
    assert (await anext(messages)) == b": taod\n\n"
    async with asyncio.timeout(PATIENCE_S):
        while not (await anext(messages)).startswith(b":"):
            pass
    await messages.aclose()
    assert live.services.bus.listeners == 0


async def test_streams_end_when_the_server_stops(live) -> None:
    async with live.client.stream("GET", f"{live.base}/events") as response:
        blocks = response.aiter_bytes()
        await anext(blocks)
        live.services.end_streams()
        async with asyncio.timeout(PATIENCE_S):
            async for _ in blocks:
                pass
    assert live.services.bus.listeners == 0


async def test_what_is_written_for_a_reader_that_leaves_is_stopped() -> None:
    loop = asyncio.get_running_loop()
    stopped = asyncio.Event()

    def endless(into) -> None:
        try:
            while True:
                into.write(b"x" * 1024 * 1024)
        finally:
            loop.call_soon_threadsafe(stopped.set)

    flow = written_by(endless)
    assert len(await anext(flow)) == 1024 * 1024
    await flow.aclose()
    await asyncio.wait_for(stopped.wait(), PATIENCE_S)


async def test_readers_that_do_not_read_do_not_block_other_readers(live, images) -> None:
    model_id = await model(live, images)
    os.write(live.gate, b"go\n")
    body = {"actions": ["train"]}
    (job_id,) = (await live.client.post(f"{live.base}/model/{model_id}/job", json=body)).json()
    job = f"{live.base}/model/{model_id}/job/{job_id}"
    async with live.client.stream("GET", f"{job}/log?follow=1") as log:
        await log.aread()
    (live.services.root.job(job_id).results / "noise.bin").write_bytes(os.urandom(8 << 20))
    async with AsyncExitStack() as readers:
        for _ in range(min(32, (os.cpu_count() or 1) + 4) + 1):  # one more than asyncio shares threads
            answer = await readers.enter_async_context(live.client.stream("GET", f"{job}/download"))
            assert answer.status_code == 200
        names = (await asyncio.wait_for(live.client.get(f"{job}/files"), PATIENCE_S)).json()
    assert "results/noise.bin" in [entry["path"] for entry in names]


async def test_what_fails_while_it_is_written_fails_the_reader() -> None:
    def broken(into) -> None:
        into.write(b"some")
        raise OSError("the disk is gone")

    flow = written_by(broken)
    with pytest.raises(OSError, match="the disk is gone"):
        _ = [block async for block in flow]
