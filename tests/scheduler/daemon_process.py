"""A daemon for the tests to kill: `python daemon_process.py <root> [<state to die in>]`; it posts nothing itself.

With a state, it kills itself the moment that a job's row says so: at each seam between two steps of a start.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from sched_world import ScriptRunner, World

from runners.protocol import Claim, RunIdentity, RunRequest


class DyingRunner(ScriptRunner):
    """Dies after the process was started and before it is recorded."""

    async def start(self, request: RunRequest) -> RunIdentity:
        await super().start(request)
        os.kill(os.getpid(), signal.SIGKILL)
        raise AssertionError


class DyingHeir(ScriptRunner):
    """Dies during an adoption: the claim is decided but nothing is recorded."""

    async def recover(self, request: RunRequest) -> tuple[Claim, RunIdentity | None]:
        await super().recover(request)
        os.kill(os.getpid(), signal.SIGKILL)
        raise AssertionError


RUNNERS = {"started": DyingRunner, "adopting": DyingHeir}


async def main(root: Path, die_in: str) -> None:
    world = World(root, runner=RUNNERS.get(die_in, ScriptRunner)())
    move = world.store.jobs.transition

    def deadly(job_id: str, new: str, *arguments: object, **fields: object) -> object:
        result = move(job_id, new, *arguments, **fields)  # type: ignore[arg-type]
        if new == die_in:
            # After the transaction: at the loop's next turn, before anything else that waits for it.
            asyncio.get_running_loop().call_soon(os.kill, os.getpid(), signal.SIGKILL)
        return result

    world.store.jobs.transition = deadly  # type: ignore[method-assign, assignment]
    await world.scheduler.start()
    print("ready", flush=True)
    await asyncio.Event().wait()


asyncio.run(main(Path(sys.argv[1]), sys.argv[2] if len(sys.argv) > 2 else ""))
