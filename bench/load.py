"""100 clients at once, reading and writing without a pause, against a real daemon: errors, lost writes, latency.

`python -m bench load` takes 15 seconds, `python -m bench.load 60` as many as it is told.
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
"""How often each is done, of 100."""
READS = frozenset({"list", "read", "jobs", "counts"})


@dataclass
class Told:
    """What clients did and were told."""

    times: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    errors: Counter[str] = field(default_factory=Counter)
    names: dict[str, str] = field(default_factory=dict)
    """Dataset → the name that it was last told to have."""
    models: set[str] = field(default_factory=set)
    deleted: set[str] = field(default_factory=set)
    jobs: set[str] = field(default_factory=set)


class Line:
    """One connection that stays open: as little of a client as there can be, so that the daemon is what is measured."""

    def __init__(self, info: DaemonInfo) -> None:
        where = urlsplit(info.url)
        self._where = (where.hostname, where.port)
        self._head = f"Host: {where.netloc}\r\nAuthorization: Bearer {info.token}\r\n"
        self._path = f"/api/v1/user/{info.user_id}"

    async def __aenter__(self) -> Line:
        self._reader, self._writer = await asyncio.open_connection(*self._where)
        return self

    async def __aexit__(self, *_: object) -> None:
        self._writer.close()

    async def ask(self, verb: str, path: str, body: Any = None) -> tuple[int, Any, int]:
        """Status, body, and X-Total-Count (0 without)."""
        content = b"" if body is None else msgspec.json.encode(body)
        head = f"{verb} {self._path}{path} HTTP/1.1\r\n{self._head}Content-Length: {len(content)}\r\n\r\n"
        self._writer.write(head.encode() + content)
        first, *lines = (await self._reader.readuntil(b"\r\n\r\n")).split(b"\r\n")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(b":") for line in lines)}
        answer = await self._reader.readexactly(int(headers[b"content-length"]))
        return int(first.split()[1]), msgspec.json.decode(answer), int(headers.get(b"x-total-count", 0))


def run(seconds: float = SECONDS) -> list[tuple[str, str, str]]:
    with serving() as root:
        told, lost, took = asyncio.run(_load(find(root), root, seconds))
    every = [time for times in told.times.values() for time in times]
    reads = [time for name, times in told.times.items() if name in READS for time in times]
    writes = [time for name, times in told.times.items() if name not in READS for time in times]
    written = len(told.names) + len(told.models) + len(told.deleted) + len(told.jobs)
    errors = ", ".join(f"{count} × {what}" for what, count in told.errors.most_common(3)) or "0"
    load = f"{CLIENTS} clients, {took:.0f} s"
    return [
        (f"{load}: errors of {len(every):,} requests", errors, "goal 0"),
        (f"{load}: lost of {written:,} written objects", str(lost), "goal 0"),
        (f"{load}: requests a second", f"{len(every) / took:.0f}", "closed loop, no pauses"),
        (f"{load}: reads", _percentiles(reads), "≈ clients ÷ requests a second"),
        (f"{load}: writes", _percentiles(writes), "≈ clients ÷ requests a second"),
    ]


async def _load(info: DaemonInfo, root: Any, seconds: float) -> tuple[Told, int, float]:
    told = Told()
    async with model(root) as (_, model_id):
        began = time.perf_counter()
        await asyncio.gather(*(_client(info, told, model_id, began + seconds, number) for number in range(CLIENTS)))
        took = time.perf_counter() - began
        return told, await _lost(info, told), took


async def _client(info: DaemonInfo, told: Told, model_id: str, until: float, seed: int) -> None:
    draw, mine = random.Random(seed), list[str]()
    async with Line(info) as line:
        while time.perf_counter() < until:
            name = draw.choices([*OPERATIONS], [*OPERATIONS.values()])[0]
            began = time.perf_counter()
            try:
                await _do(line, told, model_id, name, mine, draw)
            except (AssertionError, OSError, asyncio.IncompleteReadError) as error:
                told.errors[f"{name}: {error!r:.200}"] += 1
                if not isinstance(error, AssertionError):
                    return
            told.times[name].append(time.perf_counter() - began)


async def _do(line: Line, told: Told, model_id: str, name: str, mine: list[str], draw: random.Random) -> None:
    if name in ("read", "patch", "delete") and not mine:
        name = "create"
    match name:
        case "list":
            sort = draw.choice(["date-descending", "name-ascending"])
            await _expect(200, line, "GET", f"/dataset?size=20&sort={sort}&name={draw.randrange(100)}")
        case "read":
            read = await _expect(200, line, "GET", f"/dataset/{draw.choice(mine)}")
            assert told.names[read["id"]] == read["name"], "an older name was read"
        case "jobs":
            await _expect(200, line, "GET", "/job?size=20")
        case "counts":
            await _expect(200, line, "GET", "/job/counts")
        case "create":
            wanted = {"type": _filled.KIND, "format": _filled.NETWORK, "name": f"load {draw.randrange(10_000)}"}
            made = await _expect(201, line, "POST", "/dataset", wanted)
            told.names[made["id"]] = wanted["name"]
            mine.append(made["id"])
        case "patch":
            dataset_id, new = draw.choice(mine), f"renamed {draw.randrange(10_000)}"
            await _expect(200, line, "PATCH", f"/dataset/{dataset_id}", {"name": new})
            told.names[dataset_id] = new
        case "model":
            made = await _expect(201, line, "POST", "/model", {"network_arch": _filled.NETWORK, "name": "load"})
            told.models.add(made["id"])
        case "delete":
            dataset_id = mine.pop()
            await _expect(200, line, "DELETE", f"/dataset/{dataset_id}")
            del told.names[dataset_id]
            told.deleted.add(dataset_id)
        case "run":
            told.jobs.update(await _expect(201, line, "POST", f"/model/{model_id}/job", {"actions": ["train"]}))


async def _expect(status: int, line: Line, verb: str, path: str, body: Any = None) -> Any:
    got, answer, _ = await line.ask(verb, path, body)
    assert got == status, f"{verb} {path}: {got} {answer}"
    return answer


async def _lost(info: DaemonInfo, told: Told) -> int:
    """How much of what clients were told is not so."""
    async with Line(info) as line:
        names = {entry["id"]: entry["name"] for entry in await _expect(200, line, "GET", "/dataset")}
        models = {entry["id"] for entry in await _expect(200, line, "GET", "/model")}
        jobs = {entry["id"] for entry in await _expect(200, line, "GET", "/job")}
    renamed = sum(names.get(dataset_id) != name for dataset_id, name in told.names.items())
    return renamed + len(told.deleted & names.keys()) + len(told.models - models) + len(told.jobs - jobs)


def _percentiles(times: list[float]) -> str:
    cuts = statistics.quantiles(times, n=100)
    return f"p50 {cuts[49] * 1000:.0f} ms, p99 {cuts[98] * 1000:.0f} ms"


if __name__ == "__main__":
    for figure, measured, goal in run(float(sys.argv[1]) if len(sys.argv) > 1 else SECONDS):
        print(f"| {figure} | {measured} | {goal} |")
