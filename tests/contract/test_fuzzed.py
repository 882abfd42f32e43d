"""schemathesis over a real daemon: every operation, positive and negative data, every phase, and no failure.

`TAOD_FUZZ_S=300 TAOD_FUZZ_SEED=7 pytest tests/contract/test_fuzzed.py` runs longer, with other requests.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.contract.fuzz import ENDED_LOG, schemathesis, world

SECONDS = int(os.environ.get("TAOD_FUZZ_S", "30"))
BUDGET = ("--max-time", str(SECONDS // 2))
"""A budget of its own for each phase without an end; the others send all that the document has."""
OPERATIONS = 92
SEED = os.environ.get("TAOD_FUZZ_SEED", "1")
READS = "^(list_|job_list|dataset_list|model_list|get_schema|health|network|index|devices|metrics|login)"


@pytest.mark.slow
@pytest.mark.timeout(SECONDS + 1800)
def test_whatever_is_sent_the_daemon_keeps_to_its_document(tmp_path: Path) -> None:
    for phases, budget in {"examples,coverage": (), "fuzzing": BUDGET, "stateful": BUDGET}.items():
        folder = tmp_path / phases
        folder.mkdir()
        with world(folder) as daemon:
            found = schemathesis(daemon, "--phases", phases, *budget, "--seed", SEED)
        assert found.returncode == 0, found.stdout[-20_000:] + found.stderr[-2_000:]
        for phase in phases.split(","):
            assert f"✅ {phase.capitalize()}" in found.stdout, found.stdout[-2_000:]
        assert phases != "examples,coverage" or f"Tested: {OPERATIONS}" in found.stdout
        log = (folder / "root" / "daemon.log").read_text()
        assert "Traceback" not in log, log[-20_000:]


@pytest.mark.slow
def test_what_is_well_formed_and_names_nothing_else_is_accepted(tmp_path: Path) -> None:
    with world(tmp_path) as daemon:
        found = schemathesis(
            daemon, "--phases", "coverage,fuzzing", "--mode", "positive", "--max-examples", "5",
            "--include-operation-id-regex", READS, "--checks", "positive_data_acceptance", acceptance=True,
        )  # fmt: skip
        assert found.returncode == 0, found.stdout[-20_000:] + found.stderr[-2_000:]


@pytest.mark.slow
def test_logs_of_ended_jobs_are_followed_to_their_end(tmp_path: Path) -> None:
    with world(tmp_path) as daemon:
        found = schemathesis(
            daemon, "--phases", "coverage,fuzzing", "--max-examples", "10", "--include-operation-id-regex", "get_log$",
            logs=ENDED_LOG,
        )  # fmt: skip
        assert found.returncode == 0, found.stdout[-20_000:] + found.stderr[-2_000:]
        assert "Tested: 3" in found.stdout
    log = (tmp_path / "root" / "daemon.log").read_text()
    assert "Traceback" not in log, log[-20_000:]
