"""One run's event file: whatever is interrupted or changes, TensorBoard's own reader gets each point once."""

from __future__ import annotations

import errno
import math
import random
from pathlib import Path

import pytest

pytest.importorskip("tensorboardX", reason="the extra `tensorboard` is not installed")
pytest.importorskip("tensorboard", reason="TensorBoard's reader is not installed")

from taod.trackers import event_file
from taod.trackers.event_file import EventFile
from taod.trackers.run import Points
from tests.trackers.readers import events, parameters, scalars, texts

NOW_S = 1_700_000_000.0


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "run" / "events.out.tfevents.1700000000.taod"


def write(path: Path, points: Points, now_s: float = NOW_S, **content: str) -> EventFile:
    """Write by a new process, which knows nothing of the ones before."""
    file = EventFile(path)
    file.update(points, now_s)
    for tag, text in content.items():
        file.set_text(tag, text, now_s)
    file.save(durable=True)
    return file


def series(points: Points) -> dict[str, list[tuple[int, float]]]:
    """What the reader should have of the points."""
    return {
        tag: [(step, pytest.approx(math.nan if value is None else value, nan_ok=True)) for step, value in each.items()]
        for tag, each in points.items()
    }


def test_points_and_texts_are_read_by_tensorboard(path: Path) -> None:
    points: Points = {"metrics/mAP 50%: ü": {1: 0.25, 2: None, 3: 1e300}, "curves/loss": {0: 3.5, 10: 0.1}}
    write(path, points, specification="<pre>a: 1</pre>")
    found = scalars(path.parent)
    assert found["curves/loss"] == series(points)["curves/loss"]
    assert [step for step, _ in found["metrics/mAP 50%: ü"]] == [1, 2, 3]
    assert math.isnan(found["metrics/mAP 50%: ü"][1][1])
    assert texts(path.parent) == {"specification": ["<pre>a: 1</pre>"]}


def test_parameters_are_written_once_and_outlive_a_change(path: Path) -> None:
    for value in (0.5, 0.25, 0.25):
        file = EventFile(path)
        file.update({"loss": {0: value, 1: value}}, NOW_S)
        file.set_parameters({"lr": 0.1, "net": "dino", "amp": True, "sizes": [1, 2], "epochs": 3}, NOW_S)
        file.save(durable=True)
    assert parameters(path.parent) == {"lr": 0.1, "net": "dino", "amp": True, "sizes": "[1, 2]", "epochs": 3.0}
    assert path.read_bytes().count(b"_hparams_") == 1


def test_each_process_adds_only_what_is_missing(path: Path) -> None:
    points: Points = {"loss": {}}
    for epoch in range(1, 30):
        points["loss"][epoch] = 1 / epoch
        before = path.stat().st_size if path.exists() else 0
        write(path, points, specification="a: 1")
        assert path.stat().st_size - before < 200
    assert scalars(path.parent) == series(points)
    assert texts(path.parent) == {"specification": ["a: 1"]}


def test_a_file_that_ends_anywhere_is_completed(path: Path) -> None:
    """A writer that is killed leaves any part of what it wrote."""
    points: Points = {"loss": {1: 0.5, 2: 0.25}, "acc": {1: 0.1, 2: None}}
    write(path, points, specification="a: 1")
    whole = path.read_bytes()
    for size in range(len(whole) + 1):
        path.write_bytes(whole[:size])
        write(path, points, specification="a: 1")
        assert scalars(path.parent) == series(points), size
        assert texts(path.parent) == {"specification": ["a: 1"]}


def test_zeros_after_a_power_cut_are_replaced(path: Path) -> None:
    points: Points = {"loss": {1: 0.5, 2: 0.25}}
    write(path, points)
    whole = path.read_bytes()
    for kept in range(0, len(whole), 7):
        path.write_bytes(whole[:kept] + bytes(len(whole) - kept))
        write(path, points)
        assert scalars(path.parent) == series(points), kept


def test_a_point_that_changes_replaces_the_former_one(path: Path) -> None:
    points: Points = {"loss": {1: 0.5, 2: 0.25, 3: 0.2}, "acc": {1: 0.1, 2: 0.2, 3: 0.3}}
    write(path, points, result="one")
    points["loss"][2] = 0.125
    write(path, points, NOW_S + 60, result="one")
    assert scalars(path.parent) == series(points)
    assert texts(path.parent)["result"] == ["one"]
    times = {step: at for step, (_, at) in EventFile(path).points["acc"].items()}
    assert set(times.values()) == {NOW_S}  # those that are only written again keep their time


def test_a_point_for_each_iteration_waits_for_its_last_value(path: Path) -> None:
    """Replacing the point each time would make TensorBoard report a restart each time."""
    file = EventFile(path)
    loss, points = {0: 9.0}, {"acc": {1: 0.5}}
    for epoch in range(1, 6):
        for iteration in range(4):
            loss[epoch] = epoch + iteration / 10
            points = {"loss": {**loss}, "acc": dict.fromkeys(range(1, epoch + 1), 0.5)}
            file.update(points, NOW_S, final=False)
            file.save(durable=False)
        assert scalars(path.parent)["acc"][-1] == (epoch, 0.5)
        assert scalars(path.parent)["loss"][-1][0] == (epoch if epoch == 1 else epoch - 1)
    file.update(points, NOW_S)
    file.save(durable=True)
    assert scalars(path.parent) == series(points)
    sessions = [event for event in events(path) if event.HasField("session_log")]
    assert len(sessions) == 1


def test_points_that_are_gone_or_come_late(path: Path) -> None:
    write(path, {"loss": {1: 0.5, 2: 0.25, 5: 0.1}, "acc": {4: 0.5}})
    late: Points = {"loss": {1: 0.5, 2: 0.25, 3: 0.2, 5: 0.1}}
    write(path, late)
    assert scalars(path.parent)["loss"] == series(late)["loss"]
    assert "acc" not in EventFile(path).points or not EventFile(path).points["acc"]
    assert scalars(path.parent).get("acc", []) == []


def test_any_history_of_changes_and_kills(path: Path) -> None:
    chance = random.Random(7)
    points: Points = {}
    for turn in range(120):
        tag = chance.choice("abc")
        match chance.randrange(4):
            case 0 | 1:
                points.setdefault(tag, {})[max(points.get(tag, {}), default=0) + 1] = chance.random()
            case 2:
                points.setdefault(tag, {})[chance.randrange(12)] = chance.choice([None, chance.random()])
            case 3 if points.get(tag):
                del points[tag][chance.choice([*points[tag]])]
        points = {tag: dict(sorted(each.items())) for tag, each in points.items() if each}
        write(path, points)
        if turn % 3 == 0:
            path.write_bytes(path.read_bytes()[: -chance.randrange(1, 60)])
        if turn % 10 == 9:
            write(path, points)
            assert {tag: each for tag, each in scalars(path.parent).items() if each} == series(points)


def test_a_full_disk_leaves_the_file_readable(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    points: Points = {"loss": {1: 0.5}}
    write(path, points)
    before = path.read_bytes()

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(event_file.os, "fsync", full)
        with pytest.raises(OSError, match="No space left"):
            write(path, {"loss": {1: 0.5, 2: 0.25}})
    assert path.read_bytes() == before
    write(path, {"loss": {1: 0.5, 2: 0.25}})
    assert scalars(path.parent) == series({"loss": {1: 0.5, 2: 0.25}})
