"""Hostile texts in every field, shown by every command and page in a real pseudo-terminal: none is obeyed."""

from __future__ import annotations

import fcntl
import importlib
import json
import os
import pty
import re
import select
import sqlite3
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from rich.segment import Segment
from textual.color import Color

from taod import terminal
from taod.cli import main
from tests.hostile.conftest import Daemon
from tests.patience import PATIENCE_S
from tui.render_filters import VisibleControls

ATTACKS = {
    "clipboard": "\x1b]52;c;cHduZWQ=\x07",
    "title": "\x1b]0;pwned\x1b\\",
    "link": "\x1b]8;;http://pwned\x1b\\",
    "clear": "\x1b[2J\x1b[31337;1H",
    "report": "\x1b[31337n",
    "device": "\x1bP31337q\x1b\\",
    "reset": "\x1bc",
    "C1": "\x9b31337m\x9d52;c;cHduZWQ=\x9c",
    "bell": "\x07",
    "return": "a\rb",
    "backspace": "\x08\x08",
    "direction": "\u202e\u2066\u200f",
    "separator": "\u2028\u2029",
    "line": "x\nhostile row",
    "NUL": "a\x00b",
}
EVERYTHING = "".join(ATTACKS.values())
OBEYED = re.compile(
    rb"\x1b[\]P_^X]|\x1bc|\x1b\[(?:31337|2J)|\x07|\x08|\x00|\xc2[\x80-\x9f]|\xe2\x80[\x8e\x8f\xa8-\xae]|\xe2\x81[\xa6-\xa9]"
    rb"|\r(?!\n|\x1b)"
)
"""What must never reach a terminal from a text."""
ALLOWED = re.compile(r"\x1b\[[0-9;:]*m|\x1b\[\?25[hl]|\x1b\[\d*[AK]|\x1b\[2K|\r")
COMMANDS = {
    "dataset ls": "dataset ls",
    "dataset show": "dataset show @DATASET",
    "dataset show json": "dataset show @DATASET --json",
    "dataset ls json": "dataset ls --json",
    "model ls": "model ls",
    "model show": "model show @MODEL",
    "model show json": "model show @MODEL --json",
    "job ls": "job ls",
    "job ls json": "job ls --json",
    "job show": "job show @JOB",
    "job show json": "job show @JOB --json",
    "job log": "job log @JOB",
    "job log tail": "job log -n 3 @JOB",
    "job log follow": "job log -f @JOB",
    "job files": "job files @JOB",
    "job wait": "job wait @JOB",
    "job follow": "job follow @JOB",
    "queue ls": "queue ls",
    "queue status": "queue status",
    "device": "device ls",
    "ptm": "ptm ls",
    "user": "user ls --root @ROOT",
    "doctor": "doctor --root @ROOT",
    "config": "config --root @ROOT",
    "unknown id": "job show @ATTACK",
    "unknown command": "@ATTACK",
    "unknown option": "job ls --text @ATTACK",
    "delete a dataset": "dataset rm @ATTACK",
    "dataset summary": "dataset summary @DATASET",
    "dataset report": "dataset report @DATASET",
    "dataset report json": "dataset report @DATASET --json",
    "dataset spec": "dataset spec get @DATASET @ATTACK",
    "link": "dataset link @DATASET @ATTACK",
    "upload": "dataset upload @DATASET @ATTACK",
    "a dataset of a type": "dataset create --type @ATTACK --format @ATTACK",
    "a setting of a dataset": "dataset set @DATASET @ATTACK",
    "a dataset of a job": "dataset from-job @ATTACK",
    "model create": "model create @ATTACK",
    "model set": "model set @MODEL @ATTACK",
    "model run": "model run @MODEL @ATTACK",
    "model release": "model release @MODEL @ATTACK",
    "model spec": "model spec get @MODEL @ATTACK",
    "model spec set": "model spec set @MODEL train @ATTACK",
    "model spec default": "model spec default @MODEL train",
    "job spec": "job spec @JOB @ATTACK",
    "job plan": "job plan @MODEL train",
    "job cancel": "job cancel @ATTACK",
    "job priority": "job priority @ATTACK high",
    "job move": "job move @JOB @ATTACK",
    "job download": "job download @JOB @ATTACK",
    "job rm": "job rm @ATTACK",
    "sweep ls": "sweep ls",
    "sweep show": "sweep show @ATTACK",
    "sweep csv": "sweep csv @ATTACK",
    "network show": "network show @ATTACK",
    "network parameters": "network show classification_pyt @ATTACK",
    "tools ls": "tools ls",
    "tools check": "tools check @ATTACK",
    "tools install": "tools install @ATTACK",
    "tools rm": "tools rm @ATTACK",
    "ptm add": "ptm add @ATTACK @ATTACK",
    "user add": "user add @ATTACK --root @ROOT",
    "user key": "user key @ATTACK --root @ROOT",
    "user revoke": "user revoke @ATTACK --root @ROOT",
    "user rm": "user rm @ATTACK --root @ROOT",
    "restore": "restore @ATTACK --root @ROOT",
    "a file of settings": "config --config @ATTACK",
    "completion": "completion @ATTACK",
    "a port": "serve --port @ATTACK",
    "a root": "stop --root @ATTACK",
    "a dashboard of a root": "tui --root @ATTACK",
    "job leaderboard": "job leaderboard --metric @ATTACK",
    "job compare": "job compare @JOB @JOB",
    "job compare json": "job compare @JOB @JOB --json",
    "job compare markdown": "job compare @JOB @JOB --markdown",
    "job compare csv": "job compare @JOB @JOB --csv",
    "job compare html": "job compare @JOB @JOB --html",
    "model pack": "model pack @ATTACK",
    "notify ls": "notify ls",
    "notify test": "notify test @ATTACK",
    "an unknown job": "job compare @JOB @ATTACK",
    "job hold": "job hold @ATTACK",
    "job pause": "job pause @ATTACK",
    "job release": "job release @ATTACK",
    "job resume": "job resume @ATTACK",
    "sweep finish": "sweep finish @ATTACK",
    "queue pause": "queue pause --reason @ATTACK",
    "queue resume": "queue resume",
    "network ls": "network ls",
    "dataset check": "dataset check @DATASET",
    "dataset run": "dataset run @DATASET @ATTACK",
    "dataset spec default": "dataset spec default @DATASET @ATTACK",
    "dataset spec schema": "dataset spec schema @DATASET @ATTACK",
    "dataset spec set": "dataset spec set @DATASET @ATTACK @ATTACK",
    "dataset spec edit": "dataset spec edit @DATASET @ATTACK",
    "model rm": "model rm @ATTACK",
    "model spec edit": "model spec edit @MODEL @ATTACK",
    "model spec schema": "model spec schema @MODEL @ATTACK",
    "user token": "user token @ATTACK --root @ROOT",
    "backup": "backup --root @ATTACK",
    "openapi": "openapi",
    "mcp": "mcp --root @ATTACK",
    "a daemon in the background": "serve --detach --root @ROOT --config @ATTACK",
    "a second daemon in the background": "serve --detach --root @ROOT",
    "service unit": "service install --print --root @ATTACK",
    "service status": "service status",
    "service remove": "service remove",
}
NOT_DRIVEN = {"quickstart": "it shows objects that it has created itself, and trains for minutes"}
"""Command → why it is not driven here."""
KEYS = {
    "log": b"l",
    "zoom": b"\r",
    "back": b"\x1b",
    "datasets": b"2",
    "dataset": b"\r",
    "models": b"3",
    "model": b"\r",
    "help": b"?",
}
"""Name of a page of the dashboard → the key that leads there."""
RUNNER = """
import json, sys, traceback
from taod.cli.main import main
for name, words in json.load(open(sys.argv[1])):
    sys.__stdout__.write("@@" + name + "@@")
    sys.__stdout__.flush()
    try:
        main(words)
    except SystemExit:
        pass
    except BaseException:
        traceback.print_exc()
    sys.stdout.flush(); sys.stderr.flush()
sys.__stdout__.write("@@end@@")
sys.__stdout__.flush()
"""
SCRIPT = """
printf '%b' '@ATTACK\\n\\033[31mred\\033[0m\\n'
mkdir -p "$results/@FILE"
printf 'x' > "$results/@FILE/weights.pth"
cat "@STATUS" >> "$results/status.json"
"""


def in_shell(text: str) -> str:
    return "".join(f"\\0{each:03o}" for each in text.encode())


def store(daemon: Daemon) -> sqlite3.Connection:
    return sqlite3.connect(daemon.root / "taod.db", timeout=PATIENCE_S)


@pytest.fixture(scope="module")
def hostile(daemon: Daemon, folder: Path) -> dict[str, str]:
    """Ids of objects whose every text is hostile: by runs and files as they may be, names as an old store has them."""
    status = folder / "status"
    line = {"status": "RUNNING", "message": EVERYTHING, "epoch": 1, "max_epoch": 1, "kpi": {"a" + EVERYTHING: 0.5}}
    status.write_text(json.dumps(line) + "\n")
    name = EVERYTHING.replace("/", "").replace("\0", "").replace("\n", "")[:100]
    script = SCRIPT.replace("@ATTACK", in_shell(EVERYTHING)).replace("@STATUS", str(status))
    daemon.script.write_text(script.replace("@FILE", name))
    daemon.script.chmod(0o755)
    photos = folder / "images"
    for label in ("a", name[:40]):
        (photos / "images_train" / label).mkdir(parents=True, exist_ok=True)
        (photos / "images_train" / label / "1.png").write_bytes(b"x")
    (photos / "classes.txt").write_text("a\n" + name[:40] + "\n")
    dataset, model = daemon.make("dataset"), daemon.make("model")
    linked = daemon.ask("POST", f"/dataset/{dataset}/link", {"path": str(photos)})
    assert linked[0] == 201, linked
    daemon.ask("PATCH", f"/model/{model}", {"train_datasets": [dataset], "eval_dataset": dataset})
    status_, created = daemon.ask("POST", f"/model/{model}/job", {"actions": ["train"]})
    assert status_ == 201, created
    until = time.monotonic() + PATIENCE_S
    while daemon.ask("GET", f"/job/{created[0]}")[1]["job"]["ended_at"] is None:
        assert time.monotonic() < until
        time.sleep(0.05)
    daemon.ask("PATCH", "/api/v1/user/" + daemon.user + "/queue", {"paused": True})
    waiting = daemon.ask("POST", f"/model/{model}/job", {"actions": ["train"]})
    assert waiting[0] == 201, waiting
    with store(daemon) as connection:
        for table in ("datasets", "models"):
            columns = {row[1] for row in connection.execute(f"PRAGMA table_info({table})")}
            for column in columns & {"name", "description", "version", "logo", "metric", "encryption_key"}:
                connection.execute(f"UPDATE {table} SET {column} = ?", ("n" + EVERYTHING,))
        connection.execute("UPDATE users SET name = ?", ("n" + EVERYTHING,))
    return {"DATASET": dataset, "MODEL": model, "JOB": created[0], "ROOT": str(daemon.root), "ATTACK": "q" + EVERYTHING}


def in_terminal(
    command: list[str], environment: dict[str, str], typed: bytes = b""
) -> tuple[int, subprocess.Popen[bytes]]:
    """A process in a pseudo-terminal of its own; the terminal's other end."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 160, 0, 0))
    plain = termios.tcgetattr(theirs)
    plain[3] &= ~termios.ECHO
    termios.tcsetattr(theirs, termios.TCSANOW, plain)
    process = subprocess.Popen(
        command, stdin=theirs, stdout=theirs, stderr=theirs, env=os.environ | environment, start_new_session=True
    )
    os.close(theirs)
    if typed:
        os.write(ours, typed)
    return ours, process


def read_until(end: int, condition: object, seen: bytearray, patience_s: float = PATIENCE_S) -> None:
    """Read from a terminal until the text is there, or nothing more comes."""
    until = time.monotonic() + patience_s
    while time.monotonic() < until:
        if not select.select([end], [], [], 0.1)[0]:
            continue
        try:
            block = os.read(end, 65536)
        except OSError:
            return
        if not block:
            return
        seen += block
        if isinstance(condition, bytes) and condition in seen:
            return


@pytest.fixture(scope="module")
def shown(daemon: Daemon, hostile: dict[str, str]) -> dict[str, bytes]:
    """What each command writes to its terminal."""
    filled = []
    for name, line in COMMANDS.items():
        words = [hostile[word[1:]].replace("\0", "") if word.startswith("@") else word for word in line.split()]
        filled.append((name, words))
    environment = {"TAOD_ROOT": str(daemon.root), "TERM": "xterm-256color", "COLUMNS": "160", "EDITOR": "true"}
    environment["XDG_CONFIG_HOME"] = str(daemon.folder / "settings")
    lines = daemon.folder / "lines.json"  # A terminal's line has 4,096 characters at most.
    lines.write_text(json.dumps(filled))
    # One command asks whether to start a daemon.
    end, process = in_terminal([sys.executable, "-c", RUNNER, str(lines)], environment, typed=b"n\n")
    seen = bytearray()
    try:
        read_until(end, b"@@end@@", seen)
    finally:
        process.kill()
        process.wait()
        os.close(end)
    parts = re.split(rb"@@([a-zA-Z ]+)@@", bytes(seen))
    return {name.decode(): text for name, text in zip(parts[1::2], parts[2::2], strict=True)}


def leaves(found: click.Command, path: str) -> Iterator[str]:
    if isinstance(found, click.Group):
        for name in found.list_commands(click.Context(found)):
            below = found.get_command(click.Context(found), name)
            assert below is not None
            yield from leaves(below, f"{path} {name}")
    else:
        yield path


def test_every_command_is_driven() -> None:
    every = [
        leaf
        for name, (module, attribute, _) in main.COMMANDS.items()
        for leaf in leaves(getattr(importlib.import_module(module), attribute), name)
    ]
    driven = [f"{line} " for line in (*COMMANDS.values(), *NOT_DRIVEN)]
    assert [leaf for leaf in every if not any(line.startswith(f"{leaf} ") for line in driven)] == []


@pytest.mark.parametrize("name", COMMANDS)
def test_no_command_passes_a_control_character(shown: dict[str, bytes], name: str) -> None:
    output = shown[name]
    assert OBEYED.search(output) is None, OBEYED.search(output)
    rest = ALLOWED.sub("", output.decode("utf-8", "replace")).replace("\n", "").replace("\t", "")
    assert terminal.in_lines(rest) == rest
    assert output.strip(), "nothing was shown"
    assert b"Traceback" not in output


@pytest.mark.parametrize("name", ["dataset ls", "model ls", "job ls"])
def test_a_newline_in_a_name_makes_no_row(shown: dict[str, bytes], name: str) -> None:
    rows = [ALLOWED.sub("", line).strip() for line in shown[name].decode().splitlines()]
    assert not any(row.startswith("hostile row") for row in rows)


def test_a_log_keeps_its_colours(shown: dict[str, bytes]) -> None:
    assert b"\x1b[31mred\x1b[0m" in shown["job log"]


@pytest.fixture(scope="module")
def pages(daemon: Daemon, hostile: dict[str, str]) -> dict[str, bytes]:
    """What the dashboard writes after each key, once everything is there."""
    environment = {"TAOD_ROOT": str(daemon.root), "TERM": "xterm-256color"}
    end, process = in_terminal([sys.executable, "-m", "taod", "tui"], environment)
    found: dict[str, bytes] = {}
    try:
        read_until(end, b"train", first := bytearray(), 30)
        found["start"] = bytes(first)
        for name, key in KEYS.items():
            os.write(end, key)
            read_until(end, None, seen := bytearray(), 0.5)
            found[name] = bytes(seen)
    finally:
        process.kill()
        process.wait()
        os.close(end)
    return found


@pytest.mark.parametrize("name", ["start", *KEYS])
def test_no_page_of_the_dashboard_passes_a_control_character(pages: dict[str, bytes], name: str) -> None:
    page = pages[name].replace(b"\x1b]22;default\x07", b"")  # Textual's own: the shape of the mouse pointer
    attack = rb"\x1b\]52|\x1b\]0;pwned|\x1b\]8;;http|\x1b\[31337|\x1bP31337|\x1bc|\xc2[\x80-\x9f]|\x07|\x08"
    assert re.search(attack, page) is None
    assert re.search(rb"\xe2\x80[\xa8-\xae]|\xe2\x81[\xa6-\xa9]", page) is None


def test_the_dashboard_has_shown_the_hostile_texts(pages: dict[str, bytes]) -> None:
    assert sum(b"52;c;" in page for page in pages.values()) >= 2


def test_the_dashboard_writes_control_characters_as_escapes(pages: dict[str, bytes]) -> None:
    assert sum(rb"\x1b]52;c;" in page for page in pages.values()) >= 2


def test_an_escape_takes_its_room_from_the_gap_after_it() -> None:
    row = [Segment("a\x1bb  "), Segment("    next"), Segment(" col   ")]
    assert VisibleControls().apply(row, Color(0, 0, 0)) == [Segment(r"a\x1bb "), Segment(" next"), Segment(" col   ")]
    full = VisibleControls().apply([Segment("ab\x07cd e\u202ef")], Color(0, 0, 0))
    assert "".join(text for text, *_ in full) == r"ab\x07c"


@pytest.mark.parametrize("name", ATTACKS)
@pytest.mark.parametrize("form", [terminal.in_line, terminal.in_lines, terminal.coloured])
def test_each_attack_becomes_plain_text(name: str, form: object) -> None:
    assert callable(form)
    text = str(form(ATTACKS[name]))
    assert all(each.isprintable() or each in "\n\t" for each in text)
    assert form is terminal.in_lines or form is terminal.coloured or "\n" not in text


@pytest.mark.parametrize("size", range(1, 8))
def test_a_log_in_parts_is_as_safe_as_in_one(size: int) -> None:
    log = ("\x1b[1;31mred\x1b[0m a\rb\r\nc " + EVERYTHING + " ö€\n").encode()
    text = terminal.LogText()
    parts = "".join(text.feed(log[at : at + size]) for at in range(0, len(log), size)) + text.feed(b"", final=True)
    assert parts == terminal.LogText().feed(log, final=True)
    assert parts.startswith("\x1b[1;31mred\x1b[0m a\nb\nc ")
    assert terminal.in_lines(re.sub(r"\x1b\[[0-9;:]*m", "", parts)) == re.sub(r"\x1b\[[0-9;:]*m", "", parts)
