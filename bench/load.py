"""100 concurrent clients that read and write without pauses, on a real daemon: errors, lost writes, latency.

`python -m bench load` takes 15 seconds, `python -m bench.load 60` 60 seconds.
"""

from __future__ import annotations

import asyncio
import random
import statistics
import sys
import time
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import msgspec

from bench import _filled
from bench._daemon import model, serving
from taod.client.find import find
from taod.types.common import DaemonInfo

CLIENTS = 100
SECONDS = 15.0
OPERATIONS = {
    "list": 25,
    "read": 20,
    "jobs": 15,
    "counts": 5,
    "create": 12,
    "patch": 12,
    "model": 5,
    "delete": 5,
    "run": 1,
}
"""Weight of each operation, in per cent."""
READS = frozenset({"list", "read", "jobs", "counts"})


@dataclass
class Observed:
    """What the clients did, and the answers that they got."""

    times: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    errors: Counter[str] = field(default_factory=Counter)
    names: dict[str, str] = field(default_factory=dict)
    """Dataset id → its name by the last answer."""
    models: set[str] = field(default_factory=set)
    deleted: set[str] = field(default_factory=set)
    jobs: set[str] = field(default_factory=set)


class Connection:
    """A persistent connection with minimal client code, so that the benchmark measures the daemon."""

    def __init__(self, info: DaemonInfo) -> None:
        address = urlsplit(info.url)
        self._address = (address.hostname, address.port)
        self._head = f"Host: {address.netloc}\r\nAuthorization: Bearer {info.token}\r\n"
        self._path = f"/api/v1/user/{info.user_id}"

    async def __aenter__(self) -> Connection:
        self._reader, self._writer = await asyncio.open_connection(*self._address)
        return self

    async def __aexit__(self, *_: object) -> None:
        self._writer.close()

    async def ask(self, verb: str, path: str, body: Any = None) -> tuple[int, Any, int]:
        """Status, body, and X-Total-Count (0 without)."""
        content = b"" if body is None else msgspec.json.encode(body)
        head = f"{verb} {self._path}{path} HTTP/1.1\r\n{self._head}Content-Length: {len(content)}\r\n\r\n"
        self._writer.write(head.encode() + content)
        first, *lines = (await self._reader.readuntil(b"\r\n\r\n")).split(b"\r\n")
        headers = {name.lower(): value.strip() for name, _, value in (entry.partition(b":") for entry in lines)}
        answer = await self._reader.readexactly(int(headers[b"content-length"]))
        return int(first.split()[1]), msgspec.json.decode(answer), int(headers.get(b"x-total-count", 0))


def run(seconds: float = SECONDS) -> list[tuple[str, str, str]]:
    with serving() as root:
        observed, lost, took = asyncio.run(_load(find(root), root, seconds))
    every = [time for times in observed.times.values() for time in times]
    reads = [time for name, times in observed.times.items() if name in READS for time in times]
    writes = [time for name, times in observed.times.items() if name not in READS for time in times]
    written = len(observed.names) + len(observed.models) + len(observed.deleted) + len(observed.jobs)
    errors = ", ".join(f"{count} × {what}" for what, count in observed.errors.most_common(3)) or "0"
    load = f"{CLIENTS} clients, {took:.0f} s"
    return [
        (f"{load}: errors of {len(every):,} requests", errors, "goal 0"),
        (f"{load}: lost of {written:,} written objects", str(lost), "goal 0"),
        (f"{load}: requests a second", f"{len(every) / took:.0f}", "closed loop, no pauses"),
        (f"{load}: reads", _percentiles(reads), "≈ clients ÷ requests a second"),
        (f"{load}: writes", _percentiles(writes), "≈ clients ÷ requests a second"),
    ]


async def _load(info: DaemonInfo, root: Any, seconds: float) -> tuple[Observed, int, float]:
    observed = Observed()
    async with model(root) as (_, model_id):
        began = time.perf_counter()
        await asyncio.gather(*(_client(info, observed, model_id, began + seconds, number) for number in range(CLIENTS)))
        took = time.perf_counter() - began
        return observed, await _lost(info, observed), took


async def _client(info: DaemonInfo, observed: Observed, model_id: str, until: float, seed: int) -> None:
    draw, mine = random.Random(seed), list[str]()
    async with Connection(info) as connection:
        while time.perf_counter() < until:
            name = draw.choices([*OPERATIONS], [*OPERATIONS.values()])[0]
            began = time.perf_counter()
            try:
                await _do(connection, observed, model_id, name, mine, draw)
            except (AssertionError, OSError, asyncio.IncompleteReadError) as error:
                observed.errors[f"{name}: {error!r:.200}"] += 1
                if not isinstance(error, AssertionError):
                    return
            observed.times[name].append(time.perf_counter() - began)


async def _do(
    connection: Connection, observed: Observed, model_id: str, name: str, mine: list[str], draw: random.Random
) -> None:
    if name in ("read", "patch", "delete") and not mine:
        name = "create"
    match name:
        case "list":
            sort = draw.choice(["date-descending", "name-ascending"])
            await _expect(200, connection, "GET", f"/dataset?size=20&sort={sort}&name={draw.randrange(100)}")
        case "read":
            read = await _expect(200, connection, "GET", f"/dataset/{draw.choice(mine)}")
            assert observed.names[read["id"]] == read["name"], "an older name was read"
        case "jobs":
            await _expect(200, connection, "GET", "/job?size=20")
        case "counts":
            await _expect(200, connection, "GET", "/job/counts")
        case "create":
            wanted = {"type": _filled.KIND, "format": _filled.NETWORK, "name": f"load {draw.randrange(10_000)}"}
            created = await _expect(201, connection, "POST", "/dataset", wanted)
            observed.names[created["id"]] = wanted["name"]
            mine.append(created["id"])
        case "patch":
            dataset_id, new = draw.choice(mine), f"renamed {draw.randrange(10_000)}"
            await _expect(200, connection, "PATCH", f"/dataset/{dataset_id}", {"name": new})
            observed.names[dataset_id] = new
        case "model":
            created = await _expect(
                201, connection, "POST", "/model", {"network_arch": _filled.NETWORK, "name": "load"}
            )
            observed.models.add(created["id"])
        case "delete":
            dataset_id = mine.pop()
            await _expect(200, connection, "DELETE", f"/dataset/{dataset_id}")
            del observed.names[dataset_id]
            observed.deleted.add(dataset_id)
        case "run":
            observed.jobs.update(
                await _expect(201, connection, "POST", f"/model/{model_id}/job", {"actions": ["train"]})
            )


async def _expect(status: int, connection: Connection, verb: str, path: str, body: Any = None) -> Any:
    got, answer, _ = await connection.ask(verb, path, body)
    assert got == status, f"{verb} {path}: {got} {answer}"
    return answer


async def _lost(info: DaemonInfo, observed: Observed) -> int:
    """Number of writes that the answers confirmed and the daemon does not have."""
    async with Connection(info) as connection:
        names = {entry["id"]: entry["name"] for entry in await _expect(200, connection, "GET", "/dataset")}
        models = {entry["id"] for entry in await _expect(200, connection, "GET", "/model")}
        jobs = {entry["id"] for entry in await _expect(200, connection, "GET", "/job")}
    renamed: int = sum(names.get(dataset_id) != name for dataset_id, name in observed.names.items())
    return renamed + len(observed.deleted & names.keys()) + len(observed.models - models) + len(observed.jobs - jobs)


def _percentiles(times: list[float]) -> str:
    cuts = statistics.quantiles(times, n=100)
    return f"p50 {cuts[49] * 1000:.0f} ms, p99 {cuts[98] * 1000:.0f} ms"


if __name__ == "__main__":
    for figure, measured, goal in run(float(sys.argv[1]) if len(sys.argv) > 1 else SECONDS):
        print(f"| {figure} | {measured} | {goal} |")
