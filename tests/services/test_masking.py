"""Secrets are masked by position, not by their text."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from taod import masking

GOLDEN = Path(__file__).parents[1] / "catalogue" / "golden"


def test_a_key_of_one_letter_is_masked_only_where_it_is_the_key() -> None:
    words = ["dino", "train", "--key=k", "--out=/data/k/kitti", "-k", "k", "k", "encryption_key=k", "a.enc_key=k"]
    shown = [
        "dino",
        "train",
        "--key=***",
        "--out=/data/k/kitti",
        "-k",
        "***",
        "k",
        "encryption_key=***",
        "a.enc_key=***",
    ]
    assert masking.argv(words) == shown


def test_a_key_with_any_characters_is_masked_completely() -> None:
    assert masking.argv(["--key=a b\n=c", "-k", "--key=x", "--key"]) == ["--key=***", "-k", "***", "--key"]
    assert masking.argv(["--key="]) == ["--key="]


def test_command_lines_joined_for_a_shell_are_masked_too() -> None:
    joined = "/bin/ocrnet convert --key=k --out=/k/k && /bin/ocrnet convert --key=k"
    shown = masking.argv(["/bin/sh", "-c", joined, "k"])
    assert shown == ["/bin/sh", "-c", joined.replace("--key=k", "--key=***"), "k"]


def test_variables_are_masked_by_name() -> None:
    shown = masking.environment({"WANDB_API_KEY": "1", "HF_TOKEN": "1", "KEY": "1", "MONKEY": "1", "A_KEY": ""})
    assert shown == {"WANDB_API_KEY": "***", "HF_TOKEN": "***", "KEY": "***", "MONKEY": "1", "A_KEY": ""}


@pytest.mark.parametrize(
    ("line", "shown"),
    [
        ("python train.py --key k --out /k/k", "python train.py --key *** --out /k/k"),
        ("Namespace(key='k', name='k')", "Namespace(key='***', name='k')"),
        ("encryption_key: k", "encryption_key: ***"),
        ('{"enc_key": "k", "k": 1}', '{"enc_key": "***", "k": 1}'),
        ("tool -k k kitti", "tool -k *** kitti"),
        ("epoch k of kitti, monkey k", "epoch k of kitti, monkey k"),
        ("--key kitti", "--key kitti"),
    ],
)
def test_a_log_is_masked_where_a_tool_names_its_key(line: str, shown: str) -> None:
    assert masking.log(line, ["k"]) == shown
    assert masking.log(line, [""]) == line


def test_only_the_key_of_each_command_line_is_masked() -> None:
    lines = [line for file in GOLDEN.glob("*.txt") for line in file.read_text().splitlines() if "=KEY" in line]
    assert lines
    for line in lines:
        words = line.split()
        shown = masking.argv(words)
        changed = [word for word, now in zip(words, shown, strict=True) if word != now]
        assert changed == [word for word in words if word.endswith("=KEY")], line


def test_only_one_module_masks() -> None:
    """No other module may write the mask or replace the text of a secret."""
    root = Path(__file__).parents[2]
    found = [
        str(file.relative_to(root))
        for folder in ("taod", "runners", "store", "tui")
        for file in (root / folder).rglob("*.py")
        if re.search(r"\"\*\*\*\"|\.replace\((secret|key)\b", file.read_text()) and file.name != "masking.py"
    ]
    assert found == []
