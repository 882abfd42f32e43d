"""A daemon that kills itself at a seam: `python dying_daemon.py <root> <seam> <targets as JSON>`.

It runs one job to its end, which is the event, and delivers until it dies.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from pathlib import Path
from typing import Any

import msgspec

sys.path.insert(0, str(Path(__file__).parents[1] / "scheduler"))

from sched_world import World

from taod.clock import SystemClock
from taod.config import NotifyConfig, NotifyTargetConfig
from taod.notify import delivery


def die(*_: object) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


async def main(root: Path, seam: str, targets: list[NotifyTargetConfig]) -> None:
    config = NotifyConfig(target=targets)
    world = World(root, notify=config)
    rows = world.store.notifications
    spawn, begin, end = delivery._spawn, rows.begin, rows.end

    def then_die(call: Any) -> Any:
        def both(*arguments: Any) -> None:
            call(*arguments)
            die()

        return both

    match seam:
        case "event":
            rows.begin = die
        case "marked":
            rows.begin = then_die(begin)
        case "spawned":
            delivery._spawn = then_die(spawn)
        case "sent":
            rows.end = die
        case "recorded":
            rows.end = then_die(end)
    deliveries = delivery.Deliveries(
        store=world.store, root=world.root, outbox=world.outbox, config=config, clock=SystemClock()
    )
    deliveries.start()
    world.post("say SUCCESS 'All went well'")
    await world.scheduler.start()
    await asyncio.Event().wait()


asyncio.run(main(Path(sys.argv[1]), sys.argv[2], msgspec.json.decode(sys.argv[3], type=list[NotifyTargetConfig])))
