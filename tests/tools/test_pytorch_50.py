"""Assembled command lines with NVIDIA's PyTorch tools of release 5.0: TAOD_TOOLS_PYT50 names their environment."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest
from PIL import Image

from runners.protocol import Command
from taod.catalogue.commands.assemble import assemble
from taod.catalogue.commands.inputs import DatasetFacts, JobFacts
from taod.catalogue.schema import merge

VENV = os.environ.get("TAOD_TOOLS_PYT50", "")
pytestmark = [
    pytest.mark.tools,
    pytest.mark.timeout(1800),
    pytest.mark.skipif(not VENV, reason="TAOD_TOOLS_PYT50 names no environment with the PyTorch tools 5.0"),
]


def run(words: list[str]) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"PATH": f"{VENV}/bin:{os.environ['PATH']}"}
    return subprocess.run(words, env=environment, capture_output=True, text=True, check=False)


@pytest.mark.parametrize(
    ("network", "known"),
    [("ocrnet", True), ("action_recognition", True), ("ml_recog", False), ("ocdnet", False), ("mal", False)],
)
def test_the_parser_has_the_key_option_that_the_catalogue_passes(network: str, known: bool) -> None:
    done = run([network, "--help"])
    assert done.returncode == 0, done.stderr
    assert ("--key" in done.stdout) == known


def test_ocrnet_converts_both_parts_and_reports_where_taod_follows(tmp_path: Path) -> None:
    for part in ("train", "test"):
        (tmp_path / "data" / part).mkdir(parents=True)
        Image.new("RGB", (100, 32), "white").save(tmp_path / "data" / part / "a.png")
        (tmp_path / "data" / part / "gt_new.txt").write_text("a.png\t12\n")
    facts = JobFacts(
        network="ocrnet",
        action="dataset_convert",
        folder=tmp_path,
        results=tmp_path / "results",
        spec=merge.default("ocrnet", "dataset_convert"),
        key="",
        own=DatasetFacts(tmp_path / "data", "ocrnet", "default"),
    )
    made = assemble(facts)
    assert made.spec_path is not None and made.spec_text is not None and made.status_folder is not None
    made.spec_path.write_text(made.spec_text)
    done = run(Command("ocrnet", "dataset_convert", made.argv, made.image, then=made.then).argv_with_following())
    assert done.returncode == 0, done.stdout
    last = (made.status_folder / "status.json").read_text().splitlines()[-1]
    assert json.loads(last)["status"] == "SUCCESS"
    assert all((tmp_path / "data" / part / "lmdb" / "data.mdb").is_file() for part in ("train", "test"))
