"""`taod mcp`, driven by the client of the protocol's official SDK."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

import jsonschema
import pytest

from tests.patience import PATIENCE_S

mcp = pytest.importorskip("mcp", reason="the extra `mcp` is not installed")
pytestmark = pytest.mark.slow(seconds=3)

in_thread = asyncio.to_thread
"""Commands of the daemon run an event loop of their own."""
Connect = Callable[..., AbstractAsyncContextManager[Any]]


@pytest.fixture
def connect(daemon: Any) -> Connect:
    """Starts `taod mcp` with these options as an agent does, and connects to it."""

    @asynccontextmanager
    async def connected(*options: str) -> AsyncIterator[Any]:
        server = mcp.StdioServerParameters(
            command=sys.executable, args=["-m", "taod", "mcp", *options], env=dict(os.environ) | daemon.environment
        )
        async with mcp.Client(server, read_timeout_seconds=PATIENCE_S) as client:
            yield client

    return connected


async def call(client: Any, tool: str, /, **arguments: Any) -> Any:
    """The structured result of a tool."""
    answer = await client.call_tool(tool, arguments)
    assert not answer.is_error, answer.content
    return answer.structured_content


async def failure(client: Any, tool: str, /, **arguments: Any) -> str:
    answer = await client.call_tool(tool, arguments)
    assert answer.is_error
    return str(answer.content[0].text)


async def test_an_agent_reads_but_changes_nothing_without_the_flag(daemon: Any, connect: Connect) -> None:
    model = await in_thread(daemon.model, name="cats")
    train = await in_thread(daemon.id, "model", "run", model, "train")
    await in_thread(daemon.json, "job", "wait", train)
    async with connect() as client:
        tools = (await client.list_tools()).tools
        assert all(tool.annotations.read_only_hint for tool in tools) and len(tools) == 13
        for tool in tools:
            for schema in (tool.input_schema, tool.output_schema):
                jsonschema.Draft202012Validator.check_schema(schema)
                assert schema["type"] == "object"
        jobs = await call(client, "list_jobs", state=["done"], network="classification_pyt")
        assert [job["id"] for job in jobs["items"]] == [train] and jobs["total"] == 1
        shown = await call(client, "show_job", job=train[:8])
        assert shown["job"]["result"]["kpi"] == [{"metric": "loss", "values": {"1": 0.5}}]
        assert "starting train" in (await call(client, "read_log", job=train, lines=5))["text"]
        assert (await call(client, "show_specification", kind="model", owner="cats", action="train"))["document"]
        planned = await call(client, "plan_jobs", kind="model", owner="cats", actions=["evaluate"])
        assert planned["items"][0]["action"] == "evaluate"
        assert (await call(client, "list_datasets"))["total"] >= 1
        assert (await call(client, "show_dataset", dataset="ready images"))["summary"]
        assert (await call(client, "list_models"))["items"][0]["name"] == "cats"
        assert (await call(client, "show_queue"))["waiting"]["total"] == 0
        assert len((await call(client, "list_networks"))["items"]) > 20
        searched = {"network": "classification_pyt", "action": "train", "text": "max_epochs", "popular": False}
        found = await call(client, "list_parameters", **searched)
        assert "train.train_config.runner.max_epochs" in [each["path"] for each in found["items"]]
        compared = await call(client, "compare_jobs", jobs=[train, train])
        assert compared["jobs"] == [f"cats {train[:8]}"] * 2
        ranked = await call(client, "rank_jobs", network="classification_pyt", dataset="ready images")
        assert [entry["job_id"] for entry in ranked["entries"]] == [train] and ranked["metric"] == "loss"

        assert "taod mcp --write" in await failure(client, "cancel_job", job=train)
        assert "there is no job" in await failure(client, "show_job", job="ffff")
        assert "`$.size`" in await failure(client, "list_jobs", size=0)
        assert "unknown field `jb`" in await failure(client, "show_job", jb=train)


async def test_an_agent_trains_with_the_flag(daemon: Any, connect: Connect) -> None:
    await in_thread(daemon.model, name="dogs")
    async with connect("--write") as client:
        tools = {tool.name: tool for tool in (await client.list_tools()).tools}
        assert not tools["run_jobs"].annotations.read_only_hint and len(tools) == 19
        epochs = {"train": {"train_config": {"runner": {"max_epochs": 3}}}}
        default = await call(client, "show_specification", kind="model", owner="dogs", action="train")
        assert default["document"]["model"]["backbone"]
        edited = await call(client, "edit_specification", kind="model", owner="dogs", action="train", changes=epochs)
        assert edited["document"]["train"]["train_config"]["runner"]["max_epochs"] == 3
        ids = (await call(client, "run_jobs", kind="model", owner="dogs", actions=["train"]))["items"]
        assert (await in_thread(daemon.json, "job", "wait", ids[0]))["state"] == "done"
        created = await call(client, "create_model", network_arch="dino", name="by an agent")
        assert (await in_thread(daemon.json, "model", "show", created["id"]))["name"] == "by an agent"
        assert "cannot" in await failure(client, "cancel_job", job=ids[0])
