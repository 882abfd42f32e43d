"""The id of a request: in every answer, and with the one entry that a failed one leaves in the log."""

from __future__ import annotations

import logging
import re
import sqlite3

import pytest

from taod.api.middleware.request_id_middleware import RequestIdMiddleware
from taod.daemon import quiet_uvicorn
from taod.errors import LimitReached

MADE = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")
ID = "X-Request-ID"


def broken(*_: object, **__: object) -> None:
    raise RuntimeError("a secret detail")


@pytest.mark.parametrize(
    ("method", "path", "headers", "status"),
    [
        ("GET", "/api/v1/health", {}, 200),
        ("HEAD", "/api/v1/health", {}, 200),
        ("OPTIONS", "/api/v1/health", {}, 204),
        ("GET", "/openapi.json", {}, 200),
        ("GET", "/api/v1/devices", {"Authorization": ""}, 401),
        ("GET", "/api/v1/devices", {"Host": "evil.example"}, 403),
        ("GET", "/nowhere", {}, 404),
        ("DELETE", "/api/v1/devices", {}, 405),
    ],
)
async def test_every_answer_has_an_id_of_its_own(server, method, path, headers, status) -> None:
    answers = [await server.client.request(method, path, headers=headers) for _ in range(2)]
    assert [answer.status_code for answer in answers] == [status, status]
    assert all(MADE.fullmatch(answer.headers[ID]) for answer in answers)
    assert answers[0].headers[ID] != answers[1].headers[ID]


@pytest.mark.parametrize("sane", ["abc", "2024-01-01T00:00:00+00:00/7", "a" * 128])
async def test_a_sane_id_of_the_client_is_taken_over(server, sane) -> None:
    answer = await server.client.get("/api/v1/health", headers={ID: sane})
    assert answer.headers[ID] == sane


@pytest.mark.parametrize("odd", ["", "two words", "-dash", "a" * 129, 'quo"te', "tab\tbed", "naïve".encode()])
async def test_any_other_id_is_replaced(server, odd) -> None:
    answer = await server.client.get("/api/v1/health", headers={ID: odd})
    assert MADE.fullmatch(answer.headers[ID])


async def test_a_failure_is_one_entry_with_its_id_and_traceback(server, monkeypatch, caplog) -> None:
    monkeypatch.setattr(server.services.datasets, "page", broken)
    answer = await server.client.get(server.base + "/dataset", headers={ID: "find-me"})
    assert answer.status_code == 500
    assert answer.headers[ID] == "find-me"
    assert answer.json() == {
        "error_code": 500,
        "error_desc": "the server failed to answer; its log says why, under request id find-me",
    }
    entries = [record for record in caplog.records if record.levelno >= logging.WARNING]
    assert [entry.getMessage() for entry in entries] == [
        "request find-me: GET /api/v1/user/{user_id}/dataset failed with 500"
    ]
    assert "a secret detail" in caplog.text
    assert "Traceback" in caplog.text


async def test_a_error_leaves_nothing_in_the_log(server, caplog) -> None:
    await server.rejected("GET", "/dataset?size=x")
    assert caplog.text == ""


async def test_a_limit_that_is_reached_writes_no_traceback(server, monkeypatch, caplog) -> None:
    """2,000 event streams wrote 1,900 of them, which delayed other clients by seconds."""

    def full(*_: object) -> None:
        raise LimitReached("128 streams are open")

    monkeypatch.setattr(server.services.datasets, "create", full)
    await server.rejected("POST", "/dataset", 503, json={"type": "bpnet", "format": "default"})
    assert caplog.text == ""


async def test_a_full_disk_is_reported_as_such(server, monkeypatch, caplog) -> None:
    def full(*_: object) -> None:
        error = sqlite3.OperationalError("database or disk is full")
        error.sqlite_errorcode = sqlite3.SQLITE_FULL
        raise error

    monkeypatch.setattr(server.services.datasets, "create", full)
    words = await server.rejected("POST", "/dataset", 507, json={"type": "bpnet", "format": "default"})
    assert "free some space" in words
    assert "failed with 507" in caplog.text


async def test_the_key_of_a_login_is_never_logged(server, monkeypatch, caplog) -> None:
    monkeypatch.setattr(server.services.users, "login", broken)
    answer = await server.client.get("/api/v1/login/hunter2")
    assert answer.status_code == 500
    assert "hunter2" not in answer.text
    assert "/api/v1/login/{key}" in caplog.text
    assert "hunter2" not in caplog.text


async def test_what_litestar_itself_cannot_do_reports_nothing(server, monkeypatch, caplog) -> None:
    from litestar.exceptions import InternalServerException

    def detailed(*_: object, **__: object) -> None:
        raise InternalServerException("File /usr/lib/python3/secret.py, line 3")

    monkeypatch.setattr(server.services.datasets, "page", detailed)
    assert "secret.py" not in await server.rejected("GET", "/dataset", 500)
    assert "secret.py" in caplog.text


async def test_what_fails_outside_of_every_handler_is_answered_too(server, monkeypatch, caplog) -> None:
    monkeypatch.setattr(server.services.users, "by_bearer", broken)
    answer = await server.client.get(server.base)
    assert answer.status_code == 500
    assert answer.json()["error_code"] == 500
    assert MADE.fullmatch(answer.headers[ID])
    assert f"request {answer.headers[ID]}: GET - failed with 500" in caplog.text


async def test_an_interrupted_response_is_one_entry_and_stays_broken(caplog) -> None:
    async def torn(scope, receive, send) -> None:
        scope["path_template"] = "/api/v1/log"
        await send({"type": "http.response.start", "status": 200, "headers": []})
        raise RuntimeError("the disk is gone")

    scope = {"type": "http", "method": "GET", "path": "/", "headers": [(b"x-request-id", b"torn")]}
    sent = []

    async def send(message) -> None:
        sent.append(message)

    with pytest.raises(RuntimeError):
        await RequestIdMiddleware(torn)(scope, None, send)
    assert sent == [{"type": "http.response.start", "status": 200, "headers": [(b"x-request-id", b"torn")]}]
    assert [record.getMessage() for record in caplog.records] == [
        "request torn: GET /api/v1/log failed after a 200 was sent"
    ]
    assert "the disk is gone" in caplog.text


async def test_a_client_that_left_is_no_failure(caplog) -> None:
    async def reading(scope, receive, send) -> None:
        assert (await receive())["type"] == "http.disconnect"
        await send({"type": "http.response.start", "status": 500, "headers": []})

    async def receive():
        return {"type": "http.disconnect"}

    async def send(_) -> None:
        pass

    await RequestIdMiddleware(reading)({"type": "http", "method": "POST", "path": "/", "headers": []}, receive, send)
    assert caplog.text == ""


def test_the_servers_own_entry_for_the_same_failure_is_left_out(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    quiet_uvicorn()
    logger = logging.getLogger("uvicorn.error")
    # A server that ran in this process has configured its loggers.
    monkeypatch.setattr(logging.getLogger("uvicorn"), "propagate", True)
    for name, value in {"propagate": True, "disabled": False, "level": logging.NOTSET}.items():
        monkeypatch.setattr(logger, name, value)
    monkeypatch.setattr(logging.root.manager, "disable", 0)
    caplog.set_level(logging.INFO)
    logger.error("Exception in ASGI application\n")
    logger.warning("Invalid HTTP request received.")
    assert [record.getMessage() for record in caplog.records] == ["Invalid HTTP request received."]
