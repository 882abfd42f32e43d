"""Command line words that a tool behind a shell cannot take."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from taod.catalogue import Catalogue
from taod.catalogue.commands import shell_safety
from taod.catalogue.commands.assemble import takes_key
from taod.catalogue.network import get_network

GOLDEN = Path(__file__).parent / "golden"


def test_the_catalogues_command_lines_need_no_quoting() -> None:
    lines = [
        line[2:].split() for file in GOLDEN.glob("*.txt") for line in file.read_text().splitlines() if line[:2] == "$ "
    ]
    assert len(lines) > 250
    assert [words for words in lines if shell_safety.fault(words, "/root")] == []


@pytest.mark.parametrize(
    "character", [one for one in map(chr, range(1, 127)) if not shell_safety.unsafe_character(one)]
)
def test_safe_characters_reach_a_program_unchanged(character: str) -> None:
    """Against real shells, in the middle, at the beginning and alone, in both ways of NVIDIA's entry points."""
    for word in (f"--key={character}b", f"--key=a{character}b", f"a{character}"):
        for line in (["sh", "-c", f"printf %s {word}"], ["bash", "-c", f"bash -c 'printf %s {word}'"]):
            assert subprocess.run(line, capture_output=True, text=True, check=True, cwd="/").stdout == word


def test_a_fault_names_field_value_and_remedy_without_showing_the_key() -> None:
    assert shell_safety.fault(["dino", "train", "--key=abc", "--results_dir=/r/é/"], "/r") == ""
    key = shell_safety.fault(["dino", "train", "--key=se;cret"], "/r")
    assert key.startswith("encryption_key contains ';', and the entry point of dino ") and "se;cret" not in key
    root = shell_safety.fault(["dino", "train", "--results_dir=/my root/jobs"], "/my root")
    assert root.startswith("the root '/my root' contains a space") and "--root" in root
    value = shell_safety.fault(["ssd", "prune", "--normalizer=$(x)"], "/r")
    assert value.startswith("normalizer = '$(x)' contains '$'")
    assert shell_safety.fault(["trtexec", "--onnx=/my root/a.onnx"], "/my root") == ""


def test_networks_with_the_key_on_their_command_line() -> None:
    """Of release 5.0: the tools of TensorFlow 1, except the training of faster_rcnn, whose specification has it."""
    catalogue = Catalogue()
    takers = {name: {one for one in get_network(name).actions if takes_key(name, one)} for name in catalogue.networks()}
    assert {get_network(name).image for name, actions in takers.items() if actions} == {"tlt-tf1"}
    assert takers["detectnet_v2"] >= {"train", "evaluate", "prune", "export"}
    assert "train" not in takers["faster_rcnn"] and "evaluate" in takers["faster_rcnn"]
