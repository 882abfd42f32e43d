"""Notifications over HTTP and the command line: targets and what is undelivered, test messages, no secrets anywhere."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from store import Store
from taod.cli.commands.doctor import examine
from taod.cli.main import command
from taod.config import Config, NotifyTargetConfig
from taod.errors import BadRequest
from taod.types.notification import DeliveryState, NotifyEvent, NotifyTest
from tests.api.conftest import Server
from tests.notify.receivers import lines, webhook, writer

SECRET = "topsecret"


@pytest.fixture
def config(config: Config, tmp_path: Path) -> Config:
    config.notify.target = [
        writer(tmp_path / "out", events=[NotifyEvent.DISK_FULL]),
        NotifyTargetConfig("hook", webhook=f"http://ada:{SECRET}@127.0.0.1:1/{SECRET}", events=[NotifyEvent.FAILED]),
        NotifyTargetConfig("chat", apprise="$TAOD_TEST_CHAT", events=[NotifyEvent.FAILED]),
    ]
    return config


async def test_the_targets_are_listed_without_secrets_and_tested_once(server: Server, tmp_path: Path) -> None:
    state = (await server.client.get("/api/v1/notify")).json()
    assert [(each["name"], each["kind"], each["address"]) for each in state["targets"]] == [
        ("file", "command", "sh ***"),
        ("hook", "webhook", "http://127.0.0.1:1/***"),
        ("chat", "apprise", "$TAOD_TEST_CHAT"),
    ]
    answer = await server.client.post("/api/v1/notify/test", json={})
    results = {each["target"]: (each["delivered"], each["error"]) for each in answer.json()}
    assert answer.status_code == 200 and SECRET not in answer.text
    assert results["file"] == (True, "")
    assert results["hook"][0] is False and "ConnectError" in results["hook"][1]
    assert results["chat"] == (False, (
        "notify.target 'chat': apprise = '$TAOD_TEST_CHAT': the daemon has no such variable; set it, and restart the "
        "daemon"
    ))  # fmt: skip
    assert [each["event"] for each in lines(tmp_path / "out")] == ["test"]
    assert list(server.services.root.sending.iterdir()) == []
    answer = await server.client.post("/api/v1/notify/test", json={"target": "phone"})
    assert answer.status_code == 400
    assert answer.json()["error_desc"] == "target = 'phone' is not configured; the targets are file, hook, chat"


async def test_a_test_is_for_the_first_user_and_needs_a_target(server: Server) -> None:
    bob, _ = server.services.users.add("bob")
    with pytest.raises(BadRequest, match="only the first user of this root"):
        await server.services.notifications.test(bob, NotifyTest())
    server.services.notifications._config.target.clear()
    with pytest.raises(BadRequest, match=r"no target is configured; add a \[\[notify.target\]\]"):
        await server.services.notifications.test(server.user, NotifyTest())


async def test_users_see_their_own_undelivered_notifications(server: Server, images, tmp_path: Path) -> None:
    data = await server.ready_dataset(images("train"))
    model = await server.model(train_datasets=[data], name="cats")
    (job,) = await server.call("POST", f"/model/{model}/job", 201, json=[{"actions": ["train"]}])
    server.word("fail")
    services = server.services
    async with services.bus.subscribe(None) as stream:
        while not services.store.jobs.get(job).state.ended:
            await anext(stream)
    shown = (await server.client.get("/api/v1/notify")).json()["undelivered"]
    assert [(each["target"], each["event"]) for each in shown] == [("hook", "failed"), ("chat", "failed")]
    assert shown[0]["subject"].endswith("train of cats failed")
    bob, _ = services.users.add("bob")
    assert services.notifications.state(bob.id).undelivered == []


def failing_target(tmp_path: Path) -> Config:
    """A root with a target whose last attempt failed."""
    config = Config()
    config.storage.root = str(tmp_path / "root")
    config.notify.target = [NotifyTargetConfig("hook", webhook=f"https://x.example/{SECRET}")]
    from taod.clock import SystemClock
    from taod.notify.outbox import Outbox
    from taod.paths import Root

    root = Root(config.root)
    root.make()
    store = Store.open(root.database)
    with store.transaction():
        Outbox(store, config.notify, SystemClock()).disk("/", 0)
    found = store.notifications.next("hook")
    assert found is not None
    store.notifications.begin(found.id)
    store.notifications.end(found.id, DeliveryState.PENDING, "HTTP status 404")
    store.close()
    return config


def test_doctor_names_a_target_that_does_not_take_its_notifications(tmp_path: Path) -> None:
    config = failing_target(tmp_path)
    (found,) = [each for each in examine(config) if each.name == "notify"]
    assert not found.ok and found.found == "hook: https://x.example/***: 1 undelivered: HTTP status 404"
    assert "taod notify test hook" in found.remedy
    config.notify.target.append(NotifyTargetConfig("chat", apprise="$TAOD_TEST_CHAT"))
    missing = [each for each in examine(config) if each.name == "notify" and "chat" in each.found]
    assert [each.ok for each in missing] == [False] and "no such variable" in missing[0].found
    config.notify.target.clear()
    (found,) = [each for each in examine(config) if each.name == "notify"]
    assert found.ok and found.found == "no target is configured"


def test_the_configuration_is_printed_without_addresses(tmp_path: Path) -> None:
    file = tmp_path / "taod.toml"
    file.write_text(
        f'[[notify.target]]\nname = "a"\nwebhook = "https://{SECRET}@x.example/{SECRET}"\n'
        f'[[notify.target]]\nname = "b"\ncommand = ["curl", "{SECRET}"]\n'
        f'[[notify.target]]\nname = "c"\napprise = "tgram://{SECRET}/1"\n'
    )
    for form in ((), ("--json",)):
        result: Result = CliRunner().invoke(command(), ["config", "--config", str(file), *form])
        assert result.exit_code == 0 and SECRET not in result.output and "tgram://***" in result.output


def test_the_command_lists_and_tests(tmp_path: Path) -> None:
    import asyncio

    import uvicorn

    from taod.api.app import create_app
    from taod.daemon import bind
    from taod.services.composition import open_services

    with webhook() as hook:
        config = Config()
        config.storage.root = str(tmp_path / "root")
        config.devices.gpus = False
        config.notify.target = [NotifyTargetConfig("hook", webhook=hook.url)]
        services = open_services(config)
        _, token = services.users.ensure_first()

        async def ask() -> list[Result]:
            listener = bind("127.0.0.1", 0)
            server = uvicorn.Server(uvicorn.Config(create_app(services), log_config=None))
            serving = asyncio.create_task(server.serve(sockets=[listener]))
            port = listener.getsockname()[1]
            access = ["--url", f"http://127.0.0.1:{port}", "--token", token]
            said = [
                await asyncio.to_thread(CliRunner().invoke, command(), ["notify", *words, *access])
                for words in (("ls",), ("ls", "--json"), ("ls", "-q"), ("test",), ("test", "hook", "-q"))
            ]
            hook.statuses.append(500)
            said.append(await asyncio.to_thread(CliRunner().invoke, command(), ["notify", "test", *access]))
            server.should_exit = True
            await serving
            return said

        table, as_json, names, tested, one, failed = asyncio.run(ask())
        services.store.close()
    assert [each.exit_code for each in (table, as_json, names, tested, one, failed)] == [0, 0, 0, 0, 0, 1]
    assert "webhook" in table.output and '"undelivered": []' in as_json.output and names.output == "hook\n"
    assert "yes" in tested.output and one.output == "hook\n"
    assert "HTTP status 500" in failed.output
    assert len(hook.received) == 3 and "hidden" not in table.output + as_json.output + tested.output
