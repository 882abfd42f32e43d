"""What every request passes: Host, Origin, token; and how HTTP itself rejects."""

from __future__ import annotations

import socket

import pytest

from taod.api.middleware.auth_middleware import host_name, known_hosts
from taod.config import ServerConfig

OTHER = "951fb45c-f82d-4e86-b288-af11c19b5959"


@pytest.mark.parametrize(
    "path", ["/api/v1", "/api/v1/devices", "/api/v1/networks", "/metrics", "/nowhere", "/index.html"]
)
async def test_without_a_token_nothing_is_reported(server, path) -> None:
    answer = await server.client.get(path, headers={"Authorization": ""})
    assert answer.status_code == 401
    assert answer.json()["error_code"] == 401
    assert answer.headers["WWW-Authenticate"] == "Bearer"


async def test_a_wrong_token_is_rejected_and_not_repeated(server) -> None:
    answer = await server.client.get("/api/v1", headers={"Authorization": "Bearer wrong-secret"})
    assert answer.status_code == 401
    assert "wrong-secret" not in answer.text


@pytest.mark.parametrize("path", ["/api/v1/health", "/api/v1/health/liveness", "/api/v1/health/readiness"])
async def test_health_needs_no_token(server, path) -> None:
    answer = await server.client.get(path, headers={"Authorization": ""})
    assert answer.status_code == 200
    assert answer.json()["status"] == "ok"


OPEN = {
    "/api/v1/health", "/api/v1/health/liveness", "/api/v1/health/readiness", "/api/v1/login/{key}",
    "/", "/openapi.json", "/openapi.yaml", "/redoc", "/swagger",
}  # fmt: skip
"""All that there is without a token."""


async def test_no_other_route_is_answered_without_a_token(server) -> None:
    found = set()
    for route in server.app.routes:
        values = dict.fromkeys(route.path_parameters, OTHER) | {"key": "nonsense"}
        path = route.path_format.format(**values)
        for verb in route.methods & {"GET", "POST", "PUT", "PATCH", "DELETE"}:
            answer = await server.client.request(verb, path, headers={"Authorization": ""})
            if answer.status_code != 401 or "unknown key" in answer.text:
                found.add(route.path_format)
    assert found == OPEN


@pytest.mark.parametrize("path", ["/", "/openapi.json", "/openapi.yaml", "/redoc", "/swagger"])
async def test_the_documentation_is_open_and_says_nothing_of_this_machine(server, path) -> None:
    answer = await server.client.get(path, headers={"Authorization": ""})
    assert answer.status_code == 200
    assert answer.content == (await server.client.get(path)).content
    here = (server.user.id, server.token, socket.gethostname(), str(server.services.root.path))
    assert [word for word in here if word in answer.text] == []
    assert (await server.client.get(path, headers={"Host": "evil.example"})).status_code == 403
    assert (await server.client.get(path, headers={"Origin": "https://evil.example"})).status_code == 403


async def test_a_key_buys_a_token(server, key) -> None:
    answer = await server.client.get(f"/api/v1/login/{key}", headers={"Authorization": ""})
    assert answer.status_code == 200
    assert answer.json()["user_id"] == server.user.id
    bearer = {"Authorization": f"Bearer {answer.json()['token']}"}
    assert (await server.client.get(server.base + "/dataset", headers=bearer)).status_code == 200
    assert (await server.client.get("/api/v1/login/nonsense")).status_code == 401


async def test_each_start_has_a_token_of_its_own(server) -> None:
    user, token = server.services.users.ensure_first()
    assert user.id == server.user.id
    assert (await server.client.get("/api/v1")).status_code == 401
    assert (await server.client.get("/api/v1", headers={"Authorization": f"Bearer {token}"})).status_code == 200


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Host": "localhost:8470"}, 200),
        ({"Host": "[::1]:8470"}, 200),
        ({"Host": "evil.example"}, 403),
        ({"Host": "127.0.0.1.evil.example"}, 403),
        ({"Host": ""}, 403),
        ({"Host": "127.0.0.1:1", "Origin": "http://127.0.0.1:1"}, 200),
        ({"Host": "127.0.0.1:1", "Origin": "http://127.0.0.1:2"}, 403),
        ({"Origin": "https://evil.example"}, 403),
        ({"Origin": "null"}, 403),
    ],
)
async def test_host_and_origin(server, headers, status) -> None:
    answer = await server.client.get("/api/v1", headers=headers)
    assert answer.status_code == status, answer.text


async def test_two_hosts_are_rejected_whichever_comes_last(server) -> None:
    for hosts in (("evil.example", "127.0.0.1"), ("127.0.0.1", "evil.example"), ("127.0.0.1", "127.0.0.1")):
        answer = await server.client.get("/api/v1/health", headers=[("Host", host) for host in hosts])
        assert answer.status_code == 403, hosts


def test_configured_names_and_addresses_are_hosts() -> None:
    names = known_hosts(ServerConfig(host="10.0.0.5", allow_remote=True, allowed_hosts=["Box.lan:80"]))
    assert names == {"10.0.0.5", "box.lan"}
    assert host_name("[::1]:8470") == host_name("::1") == "::1"


@pytest.mark.parametrize(
    ("method", "path", "status", "words"),
    [
        ("GET", "/api/v1/nowhere", 404, "there is nothing at /api/v1/nowhere"),
        ("DELETE", "/api/v1/networks", 405, "DELETE is not possible at /api/v1/networks; it allows GET"),
        ("GET", "/api/v1/networks/resnet", 404, "'resnet'"),
        ("GET", f"/api/v1/user/{OTHER}/dataset", 404, f"user {OTHER} not found"),
        ("GET", "/api/v1/user/not-a-uuid/dataset", 404, "user not-a-uuid not found"),
        ("GET", f"/api/v1/user/{OTHER}", 404, f"user {OTHER} not found"),
    ],
)
async def test_http_errors_have_the_contracts_body(server, method, path, status, words) -> None:
    answer = await server.client.request(method, path)
    assert answer.status_code == status
    assert answer.json()["error_code"] == status
    assert words in answer.json()["error_desc"]
    if status == 405:
        assert "GET" in answer.headers["Allow"]


async def test_slashes_may_be_doubled_and_trail(server) -> None:
    for path in (
        f"/api/v1//user/{server.user.id}/dataset",
        f"{server.base}/dataset/",
        f"/api//v1/user//{server.user.id}/job/",
    ):
        answer = await server.client.get(path)
        assert answer.status_code == 200, path
        assert answer.headers["X-Total-Count"] == "0"


async def test_a_user_id_in_capitals_is_the_same(server) -> None:
    assert (await server.client.get(f"/api/v1/user/{server.user.id.upper()}/dataset")).status_code == 200


async def test_head_is_get_without_a_body(server) -> None:
    answer = await server.client.head(server.base + "/dataset")
    assert (answer.status_code, answer.content) == (200, b"")
    assert (await server.client.head("/api/v1/nowhere")).status_code == 404


async def test_options_reports_the_verbs(server) -> None:
    answer = await server.client.options(server.base + "/dataset")
    assert answer.status_code == 204
    assert {"GET", "POST"} <= {verb.strip() for verb in answer.headers["Allow"].split(",")}


async def test_an_oversized_body_is_rejected(server) -> None:
    too_much = server.services.config.limits.body_bytes + 1
    words = await server.rejected("POST", "/dataset", 413, content=b" " * too_much)
    assert "limits.body_bytes" in words


async def test_a_fault_of_the_server_reports_nothing_of_itself(server, monkeypatch, caplog) -> None:
    def broken(*_: object) -> None:
        raise RuntimeError("a secret detail")

    monkeypatch.setattr(server.services.datasets, "page", broken)
    words = await server.rejected("GET", "/dataset", 500)
    assert "secret" not in words
    assert "a secret detail" in caplog.text
