"""Heads of requests that mean different things to different readers, and tokens that outlive their use."""

from __future__ import annotations

from pathlib import Path

import pytest

from store import Store
from taod.api.middleware.auth_middleware import host_name
from taod.errors import BadRequest
from taod.services.users import BEARER, DAY_S, HOUR_S, KEY, Users
from tests.hostile.conftest import Daemon

WRONG_HOSTS = [
    "[::1]evil.example", "[::1]evil.example:80", "[::1].evil.example", "[::1]:80evil", "[::1]:999999", "[::1",
    "::1]", "[]", "[evil]", "[127.0.0.1]evil", "127.0.0.1:evil", "127.0.0.1:80:80", "127.0.0.1:80@evil",
    "127.0.0.1/evil", "127.0.0.1 evil", "localhost.evil.example", "evil.localhost", "localhost:80evil", "", " ", ":80",
    "127.0.0.1\\evil", "0x7f.1", "localhost#", "localhost?", "[::1]]", "[[::1]]", "[::1%eth0]", "http://127.0.0.1",
]  # fmt: skip
RIGHT_HOSTS = ["127.0.0.1", "localhost", "LOCALHOST", "[::1]", "[::1]:8470", "127.0.0.1:1", "localhost:65535", "::1"]


def status_of(answer: bytes) -> int:
    return int(answer.split(b" ", 2)[1])


def lines(daemon: Daemon, *headers: str) -> bytes:
    head = ["GET /api/v1 HTTP/1.1", *headers, "Connection: close"]
    return ("\r\n".join(head) + "\r\n\r\n").encode()


@pytest.mark.parametrize("host", WRONG_HOSTS)
def test_a_host_that_is_not_exactly_the_server_is_rejected(daemon: Daemon, host: str) -> None:
    answer = daemon.raw(lines(daemon, f"Host: {host}", f"Authorization: Bearer {daemon.token}"))
    assert status_of(answer) in (400, 403)


@pytest.mark.parametrize("host", RIGHT_HOSTS)
def test_a_name_of_the_server_is_a_host(daemon: Daemon, host: str) -> None:
    answer = daemon.raw(lines(daemon, f"Host: {host}", f"Authorization: Bearer {daemon.token}"))
    assert status_of(answer) == 200


@pytest.mark.parametrize("name", ["Host", "Origin", "Authorization"])
@pytest.mark.parametrize("order", [0, 1])
@pytest.mark.parametrize("case", [str.title, str.lower, str.upper])
def test_a_repeated_header_is_rejected_in_any_order(daemon: Daemon, name: str, order: int, case: object) -> None:
    assert callable(case)
    here = f"127.0.0.1:{daemon.port}"
    right = {"Host": here, "Origin": f"http://{here}", "Authorization": f"Bearer {daemon.token}"}
    wrong = {"Host": "evil", "Origin": "http://evil", "Authorization": "Bearer evil"}
    pair = [f"{name}: {right[name]}", f"{case(name)}: {wrong[name]}"]
    others = [f"{each}: {value}" for each, value in right.items() if each != name]
    answer = daemon.raw(lines(daemon, *others, *(pair if order else reversed(pair))))
    assert status_of(answer) == 403
    same = daemon.raw(lines(daemon, *others, pair[0], pair[0]))
    assert status_of(same) == 403


@pytest.mark.parametrize(
    "origin", ["http://evil", "null", "", "http://127.0.0.1", "http://127.0.0.1:1", "file://", "http://[::1]evil"]
)
def test_a_foreign_origin_is_rejected(daemon: Daemon, origin: str) -> None:
    host = f"Host: 127.0.0.1:{daemon.port}"
    answer = daemon.raw(lines(daemon, host, f"Origin: {origin}", f"Authorization: Bearer {daemon.token}"))
    assert status_of(answer) == 403


@pytest.mark.parametrize("host", ["[::1]evil", "[::1", "x:b:c", "127.0.0.1:x", "[g::1]", "a b"])
def test_a_malformed_host_has_no_name(host: str) -> None:
    assert host_name(host) == ""


class Clock:
    now = 1_800_000_000.0

    def time(self) -> float:
        return self.now

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def users(clock: Clock) -> Users:
    return Users(Store.open(None, clock=clock), clock, login_days=2.0)


@pytest.mark.parametrize(("days", "valid"), [(0.0, True), (1.9, True), (2.1, False), (1000.0, False), (-5.0, True)])
def test_a_login_expires_and_other_tokens_do_not(users: Users, clock: Clock, days: float, valid: bool) -> None:
    user, key = users.add("ada")
    login = users.login(key).token
    permanent = users.issue(user.id, kind=BEARER, label="notebook")
    clock.now += days * DAY_S
    assert (users.by_bearer(login) is not None) == valid
    assert users.by_bearer(permanent) == user
    assert users.by_bearer(users.login(key).token) == user


def test_the_last_use_is_recorded_to_the_hour(users: Users, clock: Clock) -> None:
    user, key = users.add("ada")
    token = users.issue(user.id, kind=BEARER, label="notebook")

    def last(kind: str) -> str | None:
        return next(each.last_used_on for each in users._store.users.tokens(user.id) if each.kind == kind)

    assert last(BEARER) is None
    users.by_bearer(token)
    first = last(BEARER)
    assert first is not None
    clock.now += HOUR_S / 2
    users.by_bearer(token)
    assert last(BEARER) == first
    clock.now += HOUR_S
    users.by_bearer(token)
    assert str(last(BEARER)) > first
    assert last(KEY) is None
    users.login(key)
    assert last(KEY) is not None


@pytest.mark.parametrize("name", ["", " ", "a\nb", "\x1b]0;x\x07", "a\0", "x" * 257, "\x9b"])
def test_a_user_has_a_printable_name(users: Users, name: str) -> None:
    with pytest.raises(BadRequest, match="cannot be a user's name"):
        users.add(name)


def test_keys_are_not_in_the_log(daemon: Daemon, folder: Path) -> None:
    assert daemon.ask("GET", "/api/v1/login/a-secret-key")[0] == 401
    assert daemon.ask("GET", "/api/v1/login/" + "a" * 20_000)[0] in (401, 404, 431)
    assert "a-secret-key" not in (daemon.root / "daemon.log").read_text()
