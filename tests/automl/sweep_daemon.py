"""A daemon for the tests to kill: `python sweep_daemon.py <root>` runs the sweeps in the root's store."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from sweep_world import World


async def main(root: Path) -> None:
    world = World(root, slots=2)
    await world.scheduler.start()
    print("ready", flush=True)
    await asyncio.Event().wait()


asyncio.run(main(Path(sys.argv[1])))
