"""A database that another process holds for longer than the daemon waits: reported as such, nothing half done."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from tests.api.conftest import Server
from tests.holding import database_held


@asynccontextmanager
async def held(server: Server) -> AsyncIterator[None]:
    """A second connection with a transaction that does not end."""
    server.services.store._database.connection.execute("PRAGMA busy_timeout=20")
    async with database_held(server.services.root.database):
        yield


async def test_a_change_is_rejected_with_what_to_do_and_reads_continue(server: Server, images) -> None:
    data = await server.ready_dataset(images("train"))
    model = await server.model(train_datasets=[data])
    async with held(server):
        answer = await server.client.post(f"{server.base}/model/{model}/job", json=[{"actions": ["train"]}])
        assert (answer.status_code, answer.headers["Retry-After"]) == (503, "5")
        words = answer.json()["error_desc"]
        assert "another process holds" in words and "nothing was changed" in words and "retry later" in words
        assert str(server.services.root.database) not in words
        assert await server.call("GET", "/job", 200) == []
    (train,) = await server.call("POST", f"/model/{model}/job", 201, json=[{"actions": ["train"]}])
    assert [job["id"] for job in await server.call("GET", "/job", 200)] == [train]
    await server.call("POST", f"/job/{train}/cancel", 200)
