"""Bodies that are small to send and expensive to read: rejected before the work, while others are served."""

from __future__ import annotations

import json
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from taod.config import LimitsConfig, ServerConfig
from tests.hostile.conftest import Daemon

MB = 1 << 20
YAML = {"Content-Type": "application/yaml"}
PROTO = {"Content-Type": "text/plain"}
LINES = 60_000
NO_LIMITS = {"host", "port", "allow_remote", "allowed_hosts"}
"""Of `[server]`."""


@pytest.fixture(scope="module")
def model(daemon: Daemon) -> str:
    return daemon.make("model")


@pytest.fixture(scope="module")
def proto(daemon: Daemon) -> str:
    return daemon.make("model", network_arch="detectnet_v2")


def merged(levels: int) -> str:
    """Mappings that merge the one before many times."""
    first = "a0: &a0 {k0: 1, k1: 2}\n"
    return first + "".join(
        f"a{n}: &a{n} {{<<: [{', '.join([f'*a{n - 1}'] * 10)}], x{n}: 1}}\n" for n in range(1, levels)
    )


def laughs(levels: int) -> str:
    """Lists that repeat the one before many times."""
    return "a0: &a0 [1, 1]\n" + "".join(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]\n" for n in range(1, levels))


YAML_BOMBS = {
    "lines": "".join(f"a{n}: 1\n" for n in range(LINES)),
    "list": "a: [" + "1," * LINES + "1]",
    "flow depth": "a: " + "[" * 5000 + "]" * 5000,
    "block depth": "- " * 5000,
    "mapping depth": "{a: " * 3000,
    "keys of keys": "? " * 3000,
    "aliases": laughs(12),
    "holds itself": "a: &a [*a]",
    "holds itself in a mapping": "a: &a {b: *a}",
    "sexagesimal": "a: " + "1:" * 100_000 + "1",
    "sexagesimal float": "a: " + "1:" * 100_000 + "1.5",
    "tagged sexagesimal": 'a: !!int "' + "1:" * 100_000 + '1"',
    "long number": "a: " + "9" * 100_000,
    "large number": "a: " + "9" * 30,
    "large hexadecimal": "a: 0x" + "f" * 40,
    "sexagesimal beyond the range": "a: " + "59:" * 20 + "59",
    "python tag": "a: !!python/object/apply:os.system [true]",
    "binary": "a: !!binary aGk=",
    "set": "a: !!set {b, c}",
    "NUL in a key": '"a\\0b": 1',
    "NUL in a text": 'a: "b\\0c"',
    "BEL in a key": '"a\\ab": 1',
    "C1 in a key": '"a\\x9bb": 1',
    "line separator in a key": '"a\\u2028b": 1',
    "same key twice": "a: 1\na: 2\n",
    "same nested key twice": "a: {b: 1, b: 2}",
    "anchors": "".join(f"a{n}: &x{n} [{n}, {n}, {n}]\n" for n in range(LINES // 3)),
    "documents": "---\na: 1\n" * 1000,
    "key that is a list": "[1, 2]: 3",
    "number as a key": "1: 2",
}
JSON_BOMBS = {
    "fields": b"{" + b",".join(b'"f%d":1' % n for n in range(LINES)) + b"}",
    "list": b'{"a":[' + b"1," * LINES + b"1]}",
    "empty lists": b'{"a":[' + b"[]," * LINES + b"1]}",
    "lists": b"[" * 20_000 + b"]" * 20_000,
    "objects": b'{"a":' * 5000 + b"1" + b"}" * 5000,
    "unclosed lists": b"[" * 100_000,
    "escaped quotes": b'{"a":"' + b'\\"' * 100_000,
    "quotes": b'"' * 100_000,
    "large number": b'{"a":' + b"9" * 400 + b"}",
    "number of 100,000 digits": b'{"a":' + b"9" * 100_000 + b"}",
    "large exponent": b'{"a":1e400}',
    "small exponent of many digits": b'{"a":1e-' + b"9" * 50_000 + b"x}",
    "same key twice": b'{"a":1,"a":2}',
    "same key escaped": b'{"a":1,"\\u0061":2}',
    "same nested key": b'{"a":[{"b":1,"c":{},"b":2}]}',
    "same key in a long body": b'{"a":1,"b":"' + b"x" * 8000 + b'","a":2}',
    "NUL in a key": b'{"a\\u0000":1}',
    "NUL in a text": b'{"a":"b\\u0000c"}',
    "ESC in a key": b'{"a\\u001b[2J":1}',
    "C1 in a key": b'{"a\\u009b":1}',
    "half of a surrogate pair": b'{"a":"\\ud800"}',
    "not UTF-8": b'{"a":"\xff"}',
    "two values": b"{}{}",
    "not a number": b'{"a":NaN}',
}
PROTO_BOMBS = {
    "fields": "a: 1\n" * 200_000,
    "list": "a: [" + "1," * 400_000 + "1]",
    "depth": "a {" * 5000,
    "angle depth": "a <" * 5000,
    "long number": "a: " + "9" * 100_000,
    "large number": "a: " + "9" * 30,
    "large hexadecimal": "a: 0x" + "f" * 40,
    "large octal": "a: 0" + "7" * 40,
    "NUL": 'a: "\\000"',
    "NUL in hexadecimal": 'a: "\\x00"',
    "unclosed text": 'a: "' + '\\"' * 100_000,
    "not UTF-8 inside": 'a: "\\377"',
}


REFERENCES = {
    "chain": {f"f{n}": f"${{f{n + 1}}}" for n in range(2000)},
    "chain through lists": {f"f{n}": [[[[f"${{f{n + 1}}}"]]]] for n in range(500)},
    "doubling texts": {"f0": "x" * 100} | {f"f{n}": f"${{f{n - 1}}}${{f{n - 1}}}" for n in range(1, 31)},
    "doubling lists": {"f0": [1, 1]} | {f"f{n}": [f"${{f{n - 1}}}"] * 4 for n in range(1, 31)},
    "circle": {"a": "${b}", "b": "${a}"},
    "itself": {"a": {"b": "${a}"}},
    "unclosed": {"a": "${" * 5000},
    "nested": {"a": "${" * 2000 + "b" + "}" * 2000},
    "nested deep": {"a": "${" * 20_000 + "b" + "}" * 20_000},
    "many in a text": {"a": 1, "b": "${a}" * 200_000},
    "many in texts": {"a": [1] * 1000} | {f"f{n}": "${a}" for n in range(1000)},
    "long index": {"a": [1], "b": "${a." + "1" * 5000 + "}"},
    "function": {"a": "${oc.env:HOME}"},
    "many wrong": {f"f{n}": "${nothing}" for n in range(5000)},
}


def rejected(answer: tuple[int, Any]) -> None:
    status, body = answer
    assert status in (400, 413), body
    assert len(body["error_desc"]) <= 8192
    assert body["error_desc"].isprintable()


@pytest.mark.parametrize("name", YAML_BOMBS)
def test_an_expensive_or_ambiguous_yaml_is_rejected(daemon: Daemon, model: str, name: str) -> None:
    rejected(daemon.ask("POST", f"/model/{model}/specs/train", YAML_BOMBS[name].encode(), headers=YAML))


@pytest.mark.parametrize("name", JSON_BOMBS)
@pytest.mark.parametrize("place", ["spec", "model", "job"])
def test_an_expensive_or_ambiguous_json_is_rejected(daemon: Daemon, model: str, name: str, place: str) -> None:
    path = {"spec": f"/model/{model}/specs/train", "model": "/model", "job": f"/model/{model}/job"}[place]
    rejected(daemon.ask("POST", path, JSON_BOMBS[name]))


@pytest.mark.parametrize("name", PROTO_BOMBS)
def test_an_expensive_or_ambiguous_protobuf_text_is_rejected(daemon: Daemon, proto: str, name: str) -> None:
    rejected(daemon.ask("POST", f"/model/{proto}/specs/train", PROTO_BOMBS[name].encode(), headers=PROTO))


@pytest.mark.parametrize("name", REFERENCES)
def test_references_that_multiply_are_rejected(daemon: Daemon, model: str, name: str) -> None:
    rejected(daemon.ask("POST", f"/model/{model}/specs/train", REFERENCES[name]))


def test_a_specification_does_not_grow_beyond_its_limit_by_changes(daemon: Daemon) -> None:
    path = f"/model/{daemon.make('model')}/specs/train"
    parts = [{f"f{part}x{n}": 1 for n in range(9000)} for part in range(3)]
    assert [daemon.ask("POST", path, parts[0])[0], daemon.ask("PUT", path, parts[1])[0]] == [201, 200]
    rejected(daemon.ask("PUT", path, parts[2]))


@pytest.mark.parametrize("kind", ["yaml", "json", "text/plain"])
def test_a_specification_over_its_limit_is_rejected_unread(daemon: Daemon, model: str, kind: str) -> None:
    path = f"/model/{model}/specs/train"
    status, body = daemon.ask("POST", path, b" " * (2 * MB + 1), headers={"Content-Type": f"application/{kind}"})
    assert (status, "limits.spec_bytes" in body["error_desc"]) == (413, True)


@pytest.mark.parametrize("path", ["/model", "/dataset", "/ptm"])
def test_a_body_over_its_limit_is_rejected(daemon: Daemon, path: str) -> None:
    status, body = daemon.ask("POST", path, b'{"name":"' + b"x" * 300_000 + b'"}')
    assert (status, "limits.body_bytes" in body["error_desc"]) == (413, True)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("name", "x" * 100_000),
        ("name", "x" * 257),
        ("description", "x" * 10_001),
        ("version", "x" * 257),
        ("logo", "x" * 4097),
        ("encryption_key", "x" * 257),
        ("metric", "x" * 257),
        ("train_datasets", ["x"] * 1001),
        ("automl_add_hyperparameters", "[" * 10_000),
        ("automl_R", 2**31),
        ("automl_nu", 2**63),
        ("automl_max_recommendations", -1),
        ("epoch_multiplier", 10**400),
        *(("name", f"a{each}b") for each in ("\0", "\x1b]52;c;eA==\x07", "\x9b", "\n", "\r", "\t", "\u2028", "\x7f")),
        ("description", "a\x1b[2J"),
        ("version", "1\n2"),
        ("encryption_key", "a\0b"),
    ],
    ids=lambda value: ascii(value)[:24],
)
@pytest.mark.parametrize("how", ["create", "change"])
def test_texts_and_numbers_have_limits(daemon: Daemon, model: str, field: str, value: Any, how: str) -> None:
    body = {field: value} | ({"network_arch": "classification_pyt"} if how == "create" else {})
    verb, path = ("POST", "/model") if how == "create" else ("PATCH", f"/model/{model}")
    status, answer = daemon.ask(verb, path, body)
    assert status == 400
    assert field in answer["error_desc"] or "±2^63" in answer["error_desc"]
    assert len(answer["error_desc"]) <= 8192


@pytest.mark.parametrize("name", ["x" * 256, "Größe 1", "名前", "a 'b' \"c\"", "שם"])
def test_a_proper_name_is_kept(daemon: Daemon, name: str) -> None:
    made = daemon.make("model", name=name)
    assert daemon.ask("GET", f"/model/{made}")[1]["name"] == name


def test_a_long_proper_specification_is_saved(daemon: Daemon, model: str) -> None:
    names = [f"class {n}" for n in range(19_000)]
    status, saved = daemon.ask("POST", f"/model/{model}/specs/train", json.dumps({"names": names}).encode())
    assert (status, saved["names"]) == (201, names)
    text = "names:\n" + "".join(f"- {name}\n" for name in names)
    status, saved = daemon.ask("POST", f"/model/{model}/specs/train", text.encode(), headers=YAML)
    assert (status, saved["names"]) == (201, names)


def test_others_are_served_while_bombs_arrive(daemon: Daemon, model: str) -> None:
    answered: list[int] = []
    path = f"/model/{model}/specs/train"

    def bomb(text: str) -> None:
        answered.append(daemon.ask("POST", path, text.encode(), headers=YAML)[0])

    threads = [threading.Thread(target=bomb, args=(YAML_BOMBS[name],)) for name in ("lines", "sexagesimal", "list")]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        daemon.healthy()
        time.sleep(0.01)
    assert set(answered) == {400}


def test_all_limits_are_documented() -> None:
    text = (Path(__file__).parents[2] / "docs" / "security.md").read_text()
    limits = [f"limits.{name}" for name in LimitsConfig.__struct_fields__]
    server = [f"server.{name}" for name in ServerConfig.__struct_fields__ if name not in NO_LIMITS]
    assert [name for name in [*limits, *server] if f"`{name}`" not in text] == []
