"""Jobs run exactly once, however often the daemon is killed. `TAOD_STORM_KILLS=200 pytest …` makes a longer storm."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest
from storm import GROUNDS, Storm

KILLS = int(os.environ.get("TAOD_STORM_KILLS", "10"))
SEED = int(os.environ.get("TAOD_STORM_SEED", "0")) or time.time_ns()
GROUND = os.environ.get("TAOD_STORM_GROUND") or sorted(GROUNDS)[SEED % len(GROUNDS)]


@pytest.mark.slow
@pytest.mark.timeout(1800 + 60 * KILLS)
@pytest.mark.parametrize("moves", [False, True], ids=["", "without its database at times"])
async def test_every_job_runs_once_through_a_storm_of_kills(tmp_path: Path, moves: bool) -> None:
    figures = await Storm(tmp_path, kills=KILLS, seed=SEED, context=GROUND, moves=moves).run()
    print(
        f"seed {SEED}, {GROUND}: {figures.kills} kills ({figures.during_start} of a daemon that had not answered yet), "
        f"{figures.jobs} jobs, {figures.starts} starts, {figures.notified} notifications, {dict(figures.states)}, "
        f"{figures.edits} edits, {figures.closings} closings, {figures.moves} moves of the database, "
        f"{figures.seconds:.0f} s"
    )
    assert figures.faults == [], "\n".join(figures.faults)
    assert figures.kills == KILLS
    assert figures.jobs > KILLS // 2, "a busy machine posts fewer, but not none"
