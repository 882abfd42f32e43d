"""Checks and samples of datasets over HTTP: started automatically, reported while they run, cancelled, restarted."""

from __future__ import annotations

import asyncio
import io
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from PIL import Image

from taod.config import Config
from taod.types.dataset import CheckProgress, CheckState
from taod.types.event import EventType, ResourceChange
from tests.api.conftest import Server, config, gate, server, tool_path
from tests.patience import PATIENCE_S

__all__ = ["config", "gate", "server", "tool_path"]

CAR = "car 0.00 0 0.00 2 2 12 12 0 0 0 0 0 0 0\n"


@pytest.fixture
def config(config: Config) -> Config:  # noqa: F811
    config.datasets.check_after_s = 0.0
    return config


def boxes(folder: Path, *, far: bool = False) -> Path:
    """A KITTI set of three images; `far`: one box lies outside."""
    for part in ("images", "labels"):
        (folder / part).mkdir(parents=True)
    for number in range(3):
        Image.new("RGB", (40, 30), (number * 80, 0, 0)).save(folder / "images" / f"{number}.png")
        (folder / "labels" / f"{number}.txt").write_text(CAR)
    if far:
        (folder / "labels" / "1.txt").write_text(CAR + CAR.replace("12 12", "99 12"))
    return folder


async def checked(server: Server, dataset_id: str, events: AsyncIterator[Any]) -> dict[str, Any]:
    """The report, once the daemon has reported that the check is over."""

    async def over() -> None:
        async for event in events:
            if event.type is EventType.DATASET:
                reported = msgspec.json.decode(event.data, type=ResourceChange)
                if (reported.id, reported.change) == (dataset_id, "checked"):
                    return

    await asyncio.wait_for(over(), PATIENCE_S)
    return await server.call("GET", f"/dataset/{dataset_id}/report", 200)


async def test_a_linked_set_is_checked_by_itself_and_its_problems_are_reported(server: Server, tmp_path: Path) -> None:
    dataset_id = await server.dataset("object_detection", "kitti")
    assert (await server.call("GET", f"/dataset/{dataset_id}/report", 200))["state"] == "none"
    async with server.services.bus.subscribe(server.user.id, None) as events:
        await server.call(
            "POST", f"/dataset/{dataset_id}/link", 201, json={"path": str(boxes(tmp_path / "d", far=True))}
        )
        report = await checked(server, dataset_id, events)
    assert (report["state"], report["items"], report["labels"], report["classes"]) == ("done", 3, 4, {"car": 4})
    assert report["first"] == [
        {
            "file": "labels/1.txt",
            "line": 2,
            "what": "the box (2, 2, 99, 12) of 'car' leaves the image",
            "expected": "within 40 x 30 pixels in images/1.png",
        }
    ]
    assert report["message"] == "Checked 3 items with 4 labels: 1 problem"
    assert report["boxes"]["width"] == {"least": 10.0, "median": 10.0, "most": 97.0}
    assert report["sizes"]["width"]["most"] == 40.0
    # It is no job: neither the published answer nor the queue knows of it.
    found = await server.call("GET", f"/dataset/{dataset_id}", 200)
    assert found["jobs"] == []
    assert await server.call("GET", "/job", 200) == []


async def test_how_far_a_check_is_comes_by_events(server: Server, tmp_path: Path) -> None:
    folder = boxes(tmp_path / "d")
    for number in range(3, 2500):  # some quarters of a second of work, so that the engine reports of it in between
        (folder / "images" / f"{number}.png").write_bytes((folder / "images" / "0.png").read_bytes())
        (folder / "labels" / f"{number}.txt").write_text(CAR * 40)
    dataset_id = await server.dataset("object_detection", "kitti")
    reported: list[CheckProgress] = []
    async with asyncio.timeout(PATIENCE_S), server.services.bus.subscribe(server.user.id, None) as events:
        await server.call("POST", f"/dataset/{dataset_id}/link", 201, json={"path": str(folder)})
        async for event in events:
            if event.type is EventType.CHECK:
                reported.append(msgspec.json.decode(event.data, type=CheckProgress))
                if reported[-1].state is CheckState.DONE:
                    break
    assert {each.dataset_id for each in reported} == {dataset_id}
    states = [each.state for each in reported]
    assert states[:2] == [CheckState.WAITING, CheckState.RUNNING]
    shares = [each.progress for each in reported]
    assert shares == sorted(shares)
    assert any(0 < share < 1 for share in shares), "reported while it runs"
    assert (reported[-1].message, reported[-1].progress) == (
        "Checked 2500 items with 99883 labels: nothing is wrong",
        1.0,
    )


async def test_a_check_of_data_that_has_changed_is_outdated_and_can_be_restarted(
    server: Server, tmp_path: Path
) -> None:
    folder = boxes(tmp_path / "d")
    dataset_id = await server.dataset("object_detection", "kitti")
    async with server.services.bus.subscribe(server.user.id, None) as events:
        await server.call("POST", f"/dataset/{dataset_id}/link", 201, json={"path": str(folder)})
        assert (await checked(server, dataset_id, events))["problems"] == 0
        server.services.config.datasets.check = "off"
        (folder / "images" / "3.png").write_bytes(b"no image")
        await server.call("POST", f"/dataset/{dataset_id}/link", 201, json={"path": str(folder)})
        old = await server.call("GET", f"/dataset/{dataset_id}/report", 200)
        assert old["state"] == "outdated"
        assert "POST …/check starts a new check" in old["message"]
        started = await server.call("POST", f"/dataset/{dataset_id}/check", 201, json={"deep": True})
        assert started["state"] in ("waiting", "running")
        report = await checked(server, dataset_id, events)
    assert (report["state"], report["deep"], report["problems"]) == ("done", True, 1)
    assert report["first"][0] == {
        "file": "images/3.png",
        "line": 0,
        "what": "the image has no label file",
        "expected": "labels/3.txt",
    }


async def test_a_check_can_be_cancelled_and_does_not_block_use(server: Server, tmp_path: Path) -> None:
    dataset_id = await server.dataset("object_detection", "kitti")
    server.services.config.datasets.check_after_s = 60.0
    await server.call("POST", f"/dataset/{dataset_id}/link", 201, json={"path": str(boxes(tmp_path / "d"))})
    assert (await server.call("GET", f"/dataset/{dataset_id}/report", 200))["state"] == "waiting"
    # Linked again while its check waits: nothing rejects.
    await server.call("POST", f"/dataset/{dataset_id}/link", 201, json={"path": str(tmp_path / "d")})
    report = await server.call("DELETE", f"/dataset/{dataset_id}/check", 200)
    assert (report["state"], report["message"]) == ("cancelled", "Cancelled by user")
    assert "no check of dataset" in await server.rejected("DELETE", f"/dataset/{dataset_id}/check", 404)


async def test_what_an_earlier_daemon_did_not_finish_is_restarted(server: Server, tmp_path: Path) -> None:
    server.services.config.datasets.check_after_s = 60.0
    dataset_id = await server.dataset("object_detection", "kitti")
    await server.call("POST", f"/dataset/{dataset_id}/link", 201, json={"path": str(boxes(tmp_path / "d"))})
    await server.services.checks.stop()
    assert (await server.call("GET", f"/dataset/{dataset_id}/report", 200))["state"] == "none"
    server.services.checks._stopping = False
    async with server.services.bus.subscribe(server.user.id, None) as events:
        server.services.checks.start()
        assert (await checked(server, dataset_id, events))["state"] == "done"


async def test_deleting_a_dataset_takes_its_review_along(server: Server, tmp_path: Path) -> None:
    dataset_id = await server.dataset("object_detection", "kitti")
    async with server.services.bus.subscribe(server.user.id, None) as events:
        await server.call("POST", f"/dataset/{dataset_id}/link", 201, json={"path": str(boxes(tmp_path / "d"))})
        await checked(server, dataset_id, events)
    review = server.services.root.review(dataset_id)
    assert review.is_dir()
    await server.call("DELETE", f"/dataset/{dataset_id}", 200)
    assert not review.exists()


async def test_samples_have_thumbnails_with_boxes_drawn(server: Server, tmp_path: Path) -> None:
    server.services.config.datasets.check = "off"
    dataset_id = await server.dataset("object_detection", "kitti")
    assert await server.call("GET", f"/dataset/{dataset_id}/samples", 200) == []
    await server.call("POST", f"/dataset/{dataset_id}/link", 201, json={"path": str(boxes(tmp_path / "d"))})
    samples = await server.call("GET", f"/dataset/{dataset_id}/samples", 200)
    assert [sample["image"] for sample in samples] == [f"images/{number}.png" for number in range(3)]
    assert samples[0] == {"number": 0, "image": "images/0.png", "classes": ["car"], "boxes": 1}
    drawn, plain = [
        await server.client.get(f"{server.base}/dataset/{dataset_id}/samples/0{query}")
        for query in ("", "?boxes=false")
    ]
    assert drawn.headers["content-type"] == "image/jpeg"
    images = [Image.open(io.BytesIO(each.content)) for each in (drawn, plain)]
    assert [image.size for image in images] == [(40, 30)] * 2
    assert max(images[1].getpixel((2, 7))) < 20  # black, as the image is
    assert max(images[0].getpixel((2, 7))) > 60  # the box's left edge
