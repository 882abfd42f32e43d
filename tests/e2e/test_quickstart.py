"""`taod quickstart` as a user runs it."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = [pytest.mark.slow, pytest.mark.engine]


@pytest.mark.timeout(1800)
def test_quickstart_trains_evaluates_exports_and_labels(tmp_path: Path) -> None:
    ran = subprocess.run(
        [sys.executable, "-m", "taod", "quickstart"],
        capture_output=True,
        text=True,
        timeout=1790,
        env=os.environ | {"TMPDIR": str(tmp_path), "COLUMNS": "200", "TAOD_RUNNER_EMBEDDED_THREADS": "1"},
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    for action in ("train", "evaluate", "export", "inference"):
        assert f"{action}: done." in ran.stdout
    found = re.search(r"accuracy (\d\.\d+) on the eval set;\s+evaluate reported (\d\.\d+)", ran.stdout)
    assert found is not None, ran.stdout
    measured, reported = map(float, found.groups())
    assert abs(measured - reported) <= 1e-3
    assert measured >= 0.95
    assert list(tmp_path.glob("taod-*")) == [], "the daemon's root and the images are removed"
