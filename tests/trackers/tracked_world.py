"""A scheduler with trackers over a real store, runs whose tools report metrics, and a daemon of both to kill:
`python tracked_world.py <root>`."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import Any

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parents[2]))
sys.path.insert(0, str(Path(__file__).parents[1] / "scheduler"))

from sched_world import World

from taod.config import TrackersConfig
from taod.services.snapshots import Snapshots
from taod.trackers.feed import Trackers, _Feed

EPOCHS = """
epoch() {
    echo "{\\"status\\": \\"RUNNING\\", \\"epoch\\": $1, \\"max_epoch\\": 99, \\"kpi\\": {\\"val_mAP\\": 0.$1}, \\"graphical\\": {\\"loss\\": $((100 - $1)).5}}" >>results/status.json
}
"""  # noqa: E501
DONE = "say SUCCESS 'All went well'"


class Tracked:
    """The parts of one daemon that trackers need."""

    def __init__(self, root: Path, **more: Any) -> None:
        self.world = World(root, **more.pop("world", {}))
        self.snapshots = Snapshots(self.world.store)
        self.trackers = Trackers(
            store=self.world.store,
            root=self.world.root,
            bus=self.world.bus,
            reads=self.snapshots,
            config=TrackersConfig(**({"tensorboard": "boards"} | more)),
        )

    @property
    def boards(self) -> Path:
        return self.world.root.path / "boards"

    async def start(self) -> None:
        await self.world.scheduler.start()
        self.trackers.start()

    async def stop(self) -> None:
        """Runs continue."""
        await self.trackers.stop()
        self.snapshots.close()
        await self.world.close()

    def run(self, job_id: str) -> Path:
        """The folder of the job's run."""
        (found,) = self.boards.rglob(f"*-{job_id[:8]}")
        return found

    def post(self, script: str, **more: Any) -> str:
        return self.world.post(EPOCHS + script, **more)

    def recorded(self, job_id: str, feed: _Feed | None = None) -> bool:
        """Whether the store has that the tracker has the whole job."""
        feed = feed or self.trackers._feeds[0]
        behind = self.world.store.tracked.behind(feed._key, ("", ""), 1000)
        return self.world.job(job_id).state.ended and job_id not in [id for _, id in behind]


async def main(root: Path) -> None:
    await Tracked(root).start()
    print("ready", flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1])))
