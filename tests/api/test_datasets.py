"""Datasets over HTTP: every rule with its words."""

from __future__ import annotations

import io
import tarfile
import uuid

import pytest

MADE = {"type": "image_classification", "format": "classification_pyt"}


async def test_a_dataset_is_made_with_the_defaults(server) -> None:
    made = await server.call("POST", "/dataset", 201, json=MADE)
    assert made == await server.call("GET", f"/dataset/{made['id']}", 200)
    assert {name: made[name] for name in ("name", "description", "version", "logo", "jobs", "type", "format")} == {
        "name": "My Dataset",
        "description": "My TAO Dataset",
        "version": "1.0.0",
        "logo": "https://www.nvidia.com",
        "jobs": [],
        **MADE,
    }
    assert set(made) == {
        "id", "jobs", "logo", "name", "type", "format", "actions", "version", "created_on", "description",
        "last_modified",
    }  # fmt: skip


async def test_the_body_is_read_whatever_its_content_type_says(server) -> None:
    body = b'{"type": "object_detection", "format": "kitti"}'
    for kind in ("", "text/plain", "application/x-www-form-urlencoded", "multipart/form-data"):
        made = await server.call("POST", "/dataset", 201, content=body, headers={"Content-Type": kind})
        assert "convert" in made["actions"]


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({}, "type"),
        ({"type": "image_classification"}, "format"),
        ({"type": "images", "format": "raw"}, "Invalid dataset type: type 'images'; known are object_detection"),
        ({"type": "object_detection", "format": "unet"}, "Incompatible dataset format and type"),
        ({"type": "object_detection", "format": "nothing"}, "its formats are kitti, raw, coco, coco_raw"),
        (MADE | {"naem": "x", "id": "y"}, "'naem' is unknown, did you mean 'name'?; 'id' cannot be set"),
        (MADE | {"name": 3}, "name = 3: Expected str, got int"),
        ([], "expected a JSON object"),
    ],
)
async def test_what_cannot_be_made_is_rejected_by_name(server, body, words) -> None:
    assert words in await server.rejected("POST", "/dataset", json=body)
    assert await server.call("GET", "/dataset", 200) == []


async def test_a_body_that_is_no_json_is_rejected(server) -> None:
    assert "not JSON" in await server.rejected("POST", "/dataset", content=b"{type: 1}")
    assert "not JSON" in await server.rejected("POST", "/dataset", content=b"\xff\xfe{}")
    assert "type" in await server.rejected("POST", "/dataset", content=b"")


async def test_put_replaces_and_patch_merges(server) -> None:
    dataset_id = await server.dataset(name="digits", description="scans", version="2")
    patched = await server.call("PATCH", f"/dataset/{dataset_id}", 200, json={"name": "numbers"})
    assert (patched["name"], patched["description"], patched["version"]) == ("numbers", "scans", "2")
    put = await server.call("PUT", f"/dataset/{dataset_id}", 200, json={"version": "3"})
    assert (put["name"], put["description"], put["version"]) == ("My Dataset", "My TAO Dataset", "3")
    assert put["last_modified"] > put["created_on"]
    assert (await server.call("PATCH", f"/dataset/{dataset_id}", 200, content=b""))["version"] == "3"


@pytest.mark.parametrize("method", ["PUT", "PATCH"])
@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({"type": "object_detection"}, "type cannot be changed"),
        ({"format": "raw"}, "format cannot be changed"),
        ({"created_on": "now"}, "'created_on' cannot be set or changed"),
        ({"id": "x", "jobs": []}, "'id' cannot be set or changed; 'jobs' cannot be set or changed"),
    ],
)
async def test_what_is_immutable_is_named(server, method, body, words) -> None:
    dataset_id = await server.dataset()
    assert words in await server.rejected(method, f"/dataset/{dataset_id}", json=body)
    await server.call(method, f"/dataset/{dataset_id}", 200, json=MADE)


async def test_lists_have_pages_orders_and_filters(server) -> None:
    for name in ("beta", "Alpha", "gamma"):
        await server.dataset(name=name)
    await server.dataset("object_detection", "kitti", name="alpha 2")

    async def names(query: str) -> tuple[list[str], str]:
        answer = await server.client.get(f"{server.base}/dataset?{query}")
        assert answer.status_code == 200, answer.text
        return [entry["name"] for entry in answer.json()], answer.headers["X-Total-Count"]

    assert await names("sort=date-ascending") == (["beta", "Alpha", "gamma", "alpha 2"], "4")
    assert (await names("sort=date-ascending&skip=1&size=2")) == (["Alpha", "gamma"], "4")
    assert (await names("name=ALPHA&sort=date-descending")) == (["alpha 2", "Alpha"], "2")
    assert (await names("type=object_detection")) == (["alpha 2"], "1")
    assert (await names("size=0")) == ([], "4")
    assert (await names("skip=99")) == ([], "4")
    assert [name.lower() for name in (await names("sort=name-ascending"))[0]] == ["alpha", "alpha 2", "beta", "gamma"]


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ("skip=-1", "skip=-1: expected a whole number, 0 or more"),
        ("size=ten", "size=ten"),
        ("size=1.5", "size=1.5"),
        ("skip=99999999999999999999", "skip="),
        ("sort=size", "expected one of date-descending"),
        ("type=images", "expected one of object_detection"),
    ],
)
async def test_wrong_queries_are_named(server, query, words) -> None:
    assert words in await server.rejected("GET", f"/dataset?{query}")


async def test_what_is_not_there_is_not_found(server) -> None:
    verbs = [
        ("GET", ""), ("PUT", ""), ("PATCH", ""), ("DELETE", ""), ("GET", "/job"), ("POST", "/job"), ("GET", "/summary"),
        ("POST", "/link"), ("POST", "/upload"), ("GET", "/specs/convert"), ("GET", "/specs/convert/schema"),
    ]  # fmt: skip
    for which in ("not-a-uuid", str(uuid.uuid4())):
        for method, below in verbs:
            body = {"actions": ["convert"]} if below == "/job" else {}
            options = {"json": body} if method in ("POST", "PUT", "PATCH") else {}
            assert which in await server.rejected(method, f"/dataset/{which}{below}", 404, **options), (method, below)


async def test_another_users_dataset_is_not_found(server) -> None:
    dataset_id = await server.dataset()
    other, _ = server.services.users.add("other")
    token = server.services.users.issue(other.id, kind="bearer", label="test")
    bearer = {"Authorization": f"Bearer {token}"}
    own = await server.client.get(f"/api/v1/user/{other.id}/dataset/{dataset_id}", headers=bearer)
    assert own.status_code == 404
    theirs = await server.client.get(f"{server.base}/dataset/{dataset_id}", headers=bearer)
    assert theirs.status_code == 404
    assert theirs.json()["error_desc"].startswith(f"user {server.user.id} not found;")


async def test_delete_returns_what_was_and_removes_the_files(server, images) -> None:
    dataset_id = await server.dataset(name="gone")
    deleted = await server.call("DELETE", f"/dataset/{dataset_id}", 200)
    assert (deleted["id"], deleted["name"]) == (dataset_id, "gone")
    await server.rejected("GET", f"/dataset/{dataset_id}", 404)
    linked = await server.ready_dataset(folder := images("train"))
    await server.call("DELETE", f"/dataset/{linked}", 200)
    assert (folder / "classes.txt").exists()


async def test_a_dataset_in_use_is_kept(server) -> None:
    dataset_id = await server.dataset(name="digits")
    await server.model(name="digit reader", train_datasets=[dataset_id])
    words = await server.rejected("DELETE", f"/dataset/{dataset_id}")
    assert "'digit reader'" in words
    assert "'digits'" in words


def archive(folder, compression: str = "gz") -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode=f"w:{compression}") as tar:
        tar.add(folder, arcname=".")
    return packed.getvalue()


@pytest.mark.parametrize("field", ["file", "message"])
async def test_an_archive_is_uploaded_as_multipart(server, images, field) -> None:
    dataset_id = await server.dataset()
    content = archive(images("train"))
    answer = await server.call(
        "POST", f"/dataset/{dataset_id}/upload", 201, files={field: ("data.tar.gz", content, "application/gzip")}
    )
    assert answer["files"] >= 3
    assert answer["summary"]["classes"] == ["cat", "dog"]
    summary = await server.call("GET", f"/dataset/{dataset_id}/summary", 200)
    assert (summary["state"], summary["images"]) == ("ready", 2)
    assert (server.services.root.dataset(dataset_id) / "classes.txt").exists()


async def test_an_archive_is_uploaded_raw(server, images) -> None:
    dataset_id = await server.dataset()
    headers = {"Content-Type": "application/octet-stream"}
    await server.call("POST", f"/dataset/{dataset_id}/upload", 201, content=archive(images("val")), headers=headers)
    await server.call("DELETE", f"/dataset/{dataset_id}", 200)
    assert not server.services.root.dataset(dataset_id).exists()


async def test_a_bad_archive_leaves_the_old_data(server, images) -> None:
    dataset_id = await server.dataset()
    await server.call("POST", f"/dataset/{dataset_id}/upload", 201, files={"file": ("a.tgz", archive(images("train")))})
    words = await server.rejected("POST", f"/dataset/{dataset_id}/upload", files={"file": ("a.tgz", b"no archive")})
    assert words
    assert (await server.call("GET", f"/dataset/{dataset_id}/summary", 200))["state"] == "ready"
    assert (server.services.root.dataset(dataset_id) / "classes.txt").exists()
    await server.services.intake.settled()
    assert list(server.services.root.incoming.iterdir()) == []


async def test_a_link_outside_of_the_roots_is_rejected(server, tmp_path, images) -> None:
    dataset_id = await server.dataset()
    await server.rejected("POST", f"/dataset/{dataset_id}/link", json={"path": "/etc"})
    await server.rejected("POST", f"/dataset/{dataset_id}/link", json={"path": str(tmp_path / "nowhere")})
    summary = await server.call("POST", f"/dataset/{dataset_id}/link", 201, json={"path": str(images("train"))})
    assert summary["state"] == "linked"


async def test_a_type_of_one_network_is_converted_by_that_network(server) -> None:
    for type_ in ("bpnet", "fpenet", "ocrnet", "pointpillars", "pose_classification"):
        dataset_id = await server.dataset(type_, "default")
        assert (await server.call("GET", f"/dataset/{dataset_id}", 200))["actions"] == ["dataset_convert"]
        schema = await server.call("GET", f"/dataset/{dataset_id}/specs/dataset_convert/schema", 200)
        await server.call("POST", f"/dataset/{dataset_id}/specs/dataset_convert", 201, json=schema["default"])
    lone = await server.dataset("action_recognition", "default")
    assert (await server.call("GET", f"/dataset/{lone}", 200))["actions"] == []
