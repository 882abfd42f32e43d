"""Networks, devices, metrics, the index and the documentation."""

from __future__ import annotations

import yaml


async def test_the_index_lists_what_is_below(server) -> None:
    index = (await server.client.get("/api/v1")).json()
    for path in index.values():
        assert (await server.client.get(path)).status_code == 200, path
    below = await server.call("GET", "", 200)
    assert below["dataset"] == f"{server.base}/dataset"


async def test_networks_report_which_runner_can_do_each_action(server) -> None:
    networks = {network["name"]: network for network in (await server.client.get("/api/v1/networks")).json()}
    assert len(networks) == 40
    one = (await server.client.get("/api/v1/networks/classification_pyt")).json()
    assert one == networks["classification_pyt"]
    reported = {"name": "train", "runners": ["native"], "takes_spec": True, "may_follow": [], "needs_parent": False}
    assert any(action.items() >= reported.items() for action in one["actions"])
    assert all(action["runners"] == [] for action in networks["pointpillars"]["actions"])


async def test_devices_are_reported(server) -> None:
    devices = (await server.client.get("/api/v1/devices")).json()
    assert [(device["id"], device["kind"], device["leases"]) for device in devices] == [("cpu:0", "cpu", [])]


async def test_metrics_are_in_the_format_of_prometheus(server) -> None:
    answer = await server.client.get("/metrics")
    assert answer.headers["Content-Type"].startswith("text/plain")
    assert 'taod_jobs{state="running"} 0.0' in answer.text
    assert "taod_uptime_seconds" in answer.text
    assert "taod_queue_paused 0.0" in answer.text
    await server.client.patch("/api/v1/queue", json={"paused": True})
    assert "taod_queue_paused 1.0" in (await server.client.get("/metrics")).text
    assert 'taod_device_slots{id="cpu:0"' in answer.text


async def test_the_openapi_document_has_every_endpoint_of_the_reference(server) -> None:
    document = (await server.client.get("/openapi.json", headers={"Authorization": ""})).json()
    operations = {(method.upper(), path) for path, item in document["paths"].items() for method in item}
    user = "/api/v1/user/{user_id}"
    for kind in ("dataset", "model"):
        one = f"{user}/{kind}/{{{kind}_id}}"
        owned = one
        expected = {("GET", f"{user}/{kind}"), ("POST", f"{user}/{kind}")}
        expected |= {(method, one) for method in ("GET", "PUT", "PATCH", "DELETE")}
        expected |= {("GET", f"{owned}/job"), ("POST", f"{owned}/job"), ("GET", f"{owned}/job/{{job_id}}")}
        expected |= {("POST", f"{owned}/job/{{job_id}}/cancel"), ("GET", f"{owned}/job/{{job_id}}/download")}
        expected |= {(method, f"{owned}/specs/{{action}}") for method in ("GET", "PUT", "POST")}
        expected |= {("GET", f"{owned}/specs/{{action}}/schema"), ("DELETE", f"{owned}/job/{{job_id}}")}
        assert expected <= operations
    assert ("POST", f"{user}/dataset/{{dataset_id}}/upload") in operations
    assert ("POST", f"{user}/model/{{model_id}}/job/{{job_id}}") in operations
    assert ("POST", f"{user}/model/{{model_id}}/job/{{job_id}}/resume") in operations
    create = document["paths"][f"{user}/dataset"]["post"]
    assert create["requestBody"]["content"]["application/json"]["schema"] == {
        "$ref": "#/components/schemas/DatasetCreate"
    }
    assert create["responses"]["400"] == {"$ref": "#/components/responses/BadRequest"}
    assert {parameter["name"] for parameter in document["paths"][f"{user}/dataset"]["get"]["parameters"]} >= {
        "user_id", "skip", "size", "sort", "name", "type",
    }  # fmt: skip


async def test_every_reference_in_the_document_leads_somewhere(server) -> None:
    text = (await server.client.get("/openapi.yaml")).text
    document = yaml.safe_load(text)

    def references(value):
        if isinstance(value, dict):
            if isinstance(value.get("$ref"), str):
                yield value["$ref"]
            for part in value.values():
                yield from references(part)
        elif isinstance(value, list):
            for part in value:
                yield from references(part)

    names = set(references(document))
    assert len(names) > 40
    for name in names:
        _, components, kind, last = name.split("/")
        assert last in document[components][kind], name


async def test_a_browser_at_the_address_gets_a_page_with_the_next_steps(server) -> None:
    answer = await server.client.get("/", headers={"Authorization": "", "Accept": "text/html"})
    assert answer.headers["Content-Type"] == "text/html; charset=utf-8"
    for words in ("TAO Toolkit API", "taod tui", 'href="/swagger"', 'href="/openapi.json"', "Authorization: Bearer"):
        assert words in answer.text


async def test_the_page_needs_no_network(server) -> None:
    for path in ("/redoc", "/swagger"):
        answer = await server.client.get(path, headers={"Authorization": ""})
        assert answer.headers["Content-Type"] == "text/html; charset=utf-8"
        assert "/api/v1/user/{user_id}/dataset" in answer.text
        assert "<script" not in answer.text
        assert "src=" not in answer.text
