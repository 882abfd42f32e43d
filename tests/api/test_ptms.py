"""The published pretrained models in the model list: there from the start, behind the user's own, page by page."""

from __future__ import annotations

from taod.services.composition import open_services

PUBLISHED = 291
FAN = "pretrained_fan_classification_imagenet:fan_hybrid_tiny"


async def test_every_published_entry_is_in_the_list_behind_the_users_own(server) -> None:
    own = [await server.model(name=f"own {n}") for n in range(3)]
    for sort in ("", "?sort=date-ascending", "?sort=name-ascending", "?sort=name-descending"):
        listed = await server.call("GET", f"/model{sort}", 200)
        assert {m["id"] for m in listed[:3]} == set(own), sort
        pretrained = listed[3:]
        assert len({(m["ngc_path"], m["network_arch"]) for m in pretrained}) == len(pretrained) == PUBLISHED
        for entry in pretrained:
            assert entry["ngc_path"].startswith("nvidia/tao/")
            assert (entry["public"], entry["read_only"], entry["jobs"]) == (True, True, [])
            assert "encryption_key" not in entry


async def test_clients_find_one_by_network_and_the_end_of_its_path(server) -> None:
    for query in ("", "?arch=classification_pyt", "?read_only=true", "?name=FAN_hybrid_tiny"):
        listed = await server.call("GET", f"/model{query}", 200)
        found = [m["id"] for m in listed if m["network_arch"] == "classification_pyt" and m["ngc_path"].endswith(FAN)]
        assert len(found) == 1, query
        entry = await server.call("GET", f"/model/{found[0]}", 200)
        assert entry["dataset_type"] == "image_classification"


async def test_pages_run_over_from_own_models_into_the_pretrained(server) -> None:
    for n in range(5):
        await server.model(name=f"own {n}")
    whole = await server.call("GET", "/model", 200)
    assert len(whole) == 5 + PUBLISHED
    pages = []
    for skip in range(0, len(whole) + 7, 7):
        answer = await server.client.get(f"{server.base}/model?skip={skip}&size=7")
        assert answer.headers["X-Total-Count"] == str(len(whole)), skip
        pages += answer.json()
    assert pages == whole
    assert await server.call("GET", f"/model?skip={len(whole)}", 200) == []
    assert await server.call("GET", "/model?skip=3&size=0", 200) == []
    answer = await server.client.get(f"{server.base}/model?arch=dino&size=2&skip=1")
    assert (len(answer.json()), answer.headers["X-Total-Count"]) == (2, "32")


async def test_a_second_start_adds_nothing_and_keeps_registered_weights(server, config, tmp_path) -> None:
    entry = next(m for m in await server.call("GET", "/model", 200) if m["ngc_path"].endswith(FAN))
    weights = tmp_path / "fan.pth"
    weights.write_bytes(b"w")
    body = {"path": str(weights), "network_arch": entry["network_arch"], "ngc_path": entry["ngc_path"]}
    await server.call("POST", "/ptm", 201, json=body)
    again = open_services(config)
    try:
        assert again.ptms.seed(again.catalogue.pretrained()) == 0
        ptms = again.ptms.all(server.user.id)
    finally:
        again.store.close()
    assert len(ptms) == PUBLISHED
    assert [ptm.path for ptm in ptms if ptm.id == entry["id"]] == [str(weights)]


async def test_a_start_adds_only_what_is_new(server) -> None:
    first, *rest = list(server.services.catalogue.pretrained())
    assert server.services.ptms.seed([first, ("nvidia/tao/newer:v2", "dino"), *rest]) == 1
    listed = await server.call("GET", "/model?arch=dino&name=newer", 200)
    assert [m["ngc_path"] for m in listed] == ["nvidia/tao/newer:v2"]
