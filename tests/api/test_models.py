"""Models, pretrained models and specifications over HTTP: every rule with its words."""

from __future__ import annotations

import uuid

from taod.api.responses import in_header

ARCH = {"network_arch": "classification_pyt"}
LR = "train.train_config.optimizer.lr"
WEIGHT_DECAY = "train.train_config.optimizer.weight_decay"


def epochs(count):
    return {"train": {"train_config": {"runner": {"max_epochs": count}}}}


async def test_a_model_is_made_with_the_defaults(server) -> None:
    made = await server.call("POST", "/model", 201, json=ARCH)
    assert made == await server.call("GET", f"/model/{made['id']}", 200)
    expected = {
        "name": "My Model", "description": "My TAO Model", "version": "1.0.0", "logo": "https://www.nvidia.com",
        "encryption_key": "tlt_encode", "metric": "kpi", "ptm": [], "train_datasets": [], "eval_dataset": None,
        "public": False, "read_only": False, "ngc_path": "", "dataset_type": "image_classification",
        "automl_enabled": False, "automl_max_recommendations": 20, "automl_R": 27, "automl_nu": 3,
        "epoch_multiplier": 1, "automl_add_hyperparameters": "[]", "jobs": [],
        "actions": ["train", "evaluate", "export", "gen_trt_engine", "inference"],
    }  # fmt: skip
    assert {name: made[name] for name in expected} == expected


WRONG = [
    ({}, "network_arch is required; one of"),
    ({"network_arch": "resnet"}, "Invalid network arch: network_arch 'resnet'; known are"),
    ({"network_arch": "object_detection"}, "Invalid network arch"),
    (ARCH | {"netwrok": 1}, "'netwrok' is unknown"),
    (ARCH | {"id": "x"}, "'id' cannot be set or changed"),
    (ARCH | {"dataset_type": "ocrnet"}, "dataset_type 'ocrnet' does not fit classification_pyt"),
    (
        ARCH | {"train_datasets": [str(uuid.uuid4())]},
        "Provided train_datasets cannot be added: there is no",
    ),
    (ARCH | {"eval_dataset": "x"}, "Provided eval_dataset cannot be added"),
    (ARCH | {"ptm": ["x"]}, "Provided ptm cannot be added"),
    (ARCH | {"automl_algorithm": "luck"}, "automl_algorithm 'luck' is not known; one of Bayesian, HyperBand"),
    (ARCH | {"automl_add_hyperparameters": "a.b"}, "automl_add_hyperparameters"),
    (ARCH | {"automl_max_recommendations": 0}, "automl_max_recommendations = 0"),
    ({"network_arch": "mal", "automl_enabled": True}, "mal has no AutoML"),
    ({"network_arch": "analytics", "automl_enabled": True}, "analytics has no AutoML"),
]


async def test_what_cannot_be_made_is_rejected_by_name(server) -> None:
    for body, words in WRONG:
        assert words in await server.rejected("POST", "/model", json=body)
    assert await server.call("GET", "/model?read_only=false", 200) == []


async def test_data_services_take_sets_for_detection_and_segmentation(server) -> None:
    for type_, format_ in (
        ("object_detection", "kitti"), ("instance_segmentation", "coco"), ("semantic_segmentation", "unet"),
    ):  # fmt: skip
        dataset_id = await server.dataset(type_, format_)
        await server.model("augmentation", inference_dataset=dataset_id)
    digits = await server.dataset(name="digits")
    body = {"network_arch": "augmentation", "inference_dataset": digits}
    assert await server.rejected("POST", "/model", json=body) == (
        "Provided inference_dataset cannot be added: dataset 'digits' is of type 'image_classification', augmentation "
        "needs 'object_detection' or 'instance_segmentation' or 'semantic_segmentation'"
    )


async def test_the_grounding_networks_train_on_odvg_and_are_validated_with_coco(server) -> None:
    coco, odvg = [await server.dataset("object_detection", each, name=each) for each in ("coco", "odvg")]
    model_id = await server.model("grounding_dino", train_datasets=[odvg], eval_dataset=coco)
    for body, words in (
        ({"train_datasets": [coco]}, "has format 'coco', grounding_dino needs odvg here"),
        ({"eval_dataset": odvg}, "has format 'odvg', grounding_dino needs coco here"),
    ):
        assert words in await server.rejected("PATCH", f"/model/{model_id}", json=body)


async def test_datasets_must_fit_the_network(server) -> None:
    boxes = await server.dataset("object_detection", "kitti", name="boxes")
    raw = await server.dataset("image_classification", "raw", name="unlabelled")
    model_id = await server.model()
    path = f"/model/{model_id}"
    assert "'boxes' is of type 'object_detection'" in await server.rejected(
        "PATCH", path, json={"train_datasets": [boxes]}
    )
    words = await server.rejected("PATCH", path, json={"eval_dataset": raw})
    assert words == (
        "Provided eval_dataset cannot be added: dataset 'unlabelled' has format 'raw', classification_pyt needs "
        "classification_pyt here"
    )
    assert (await server.call("PATCH", path, 200, json={"inference_dataset": raw}))["inference_dataset"] == raw
    assert (await server.call("PATCH", path, 200, json={"inference_dataset": None}))["inference_dataset"] is None


async def test_automl_fields_are_stored_as_published_clients_send_them(server) -> None:
    sent = {
        "automl_enabled": True, "automl_algorithm": "hyperband", "metric": "loss", "epoch_multiplier": 2,
        "automl_R": 9, "automl_nu": 2, "automl_max_recommendations": 5, "automl_delete_intermediate_ckpt": True,
        "automl_add_hyperparameters": f"['{LR}']", "automl_remove_hyperparameters": [WEIGHT_DECAY],
    }  # fmt: skip
    model_id = await server.model()
    stored = await server.call("PATCH", f"/model/{model_id}", 200, json=sent)
    assert stored["automl_algorithm"] == "HyperBand"
    assert stored["automl_add_hyperparameters"] == f'["{LR}"]'
    assert stored["automl_remove_hyperparameters"] == f'["{WEIGHT_DECAY}"]'
    assert stored["metric"] == "loss"
    words = await server.rejected("PATCH", f"/model/{model_id}", json={"automl_add_hyperparameters": "['train.seed']"})
    assert words.startswith("automl_add_hyperparameters: 'train.seed' is no parameter of classification_pyt's train")


async def test_put_replaces_patch_merges_and_the_network_stays(server) -> None:
    model_id = await server.model(name="reader", description="d")
    assert (await server.call("PATCH", f"/model/{model_id}", 200, json={"name": "n"}))["description"] == "d"
    assert (await server.call("PUT", f"/model/{model_id}", 200, json=ARCH | {"version": "2"}))["name"] == "My Model"
    for method in ("PUT", "PATCH"):
        words = await server.rejected(method, f"/model/{model_id}", json={"network_arch": "dino"})
        assert "network_arch cannot be changed: it is 'classification_pyt', 'dino' was given" in words


async def test_read_only_and_public_models_are_kept(server) -> None:
    model_id = await server.model(read_only=True)
    path = f"/model/{model_id}"
    assert "read_only" in await server.rejected("DELETE", path)
    assert "read-only" in await server.rejected("PATCH", path, json={"name": "x"})
    await server.call("PATCH", path, 200, json={"read_only": False, "public": True})
    assert "public" in await server.rejected("DELETE", path)
    await server.call("PATCH", path, 200, json={"public": False})
    assert (await server.call("DELETE", path, 200))["id"] == model_id
    await server.rejected("GET", path, 404)


async def test_a_public_model_is_read_without_its_key_and_not_written(server) -> None:
    model_id = await server.model(public=True, encryption_key="mine-alone")
    other, _ = server.services.users.add("other")
    bearer = {"Authorization": f"Bearer {server.services.users.issue(other.id, kind='bearer', label='t')}"}
    path = f"/api/v1/user/{other.id}/model/{model_id}"
    read = await server.client.get(path, headers=bearer)
    assert read.status_code == 200
    assert "encryption_key" not in read.json()
    for method, below, body in (("PATCH", "", {}), ("DELETE", "", {}), ("POST", "/job", {"actions": ["train"]})):
        answer = await server.client.request(method, path + below, headers=bearer, json=body)
        assert (answer.status_code, "read-only" in answer.text) == (400, True), method


async def test_models_are_filtered_by_network(server) -> None:
    await server.model()
    fixed = await server.model("dino", read_only=True)
    listed = await server.call("GET", "/model?arch=dino", 200)
    assert {m["network_arch"] for m in listed} == {"dino"}
    assert [m["id"] for m in listed if not m["ngc_path"]] == [fixed]
    assert [m["network_arch"] for m in await server.call("GET", "/model?read_only=false", 200)] == [
        "classification_pyt"
    ]
    assert "arch=resnet" in await server.rejected("GET", "/model?arch=resnet")
    assert "read_only=maybe" in await server.rejected("GET", "/model?read_only=maybe")


async def test_pretrained_models_are_entries_with_or_without_weights(server, tmp_path) -> None:
    ngc = "nvidia/tao/pretrained:resnet"
    assert server.services.ptms.seed([(ngc, "classification_pyt"), (ngc, "dino")]) == 2
    assert server.services.ptms.seed([(ngc, "classification_pyt"), (ngc, "dino")]) == 0
    own = await server.model()
    listed = await server.call("GET", "/model", 200)
    assert listed[0]["id"] == own
    entry = next(m for m in listed if m["ngc_path"] == ngc and m["network_arch"] == "classification_pyt")
    assert (entry["public"], entry["read_only"], entry["actions"], "encryption_key" in entry) == (True, True, [], False)
    assert "read-only" in await server.rejected("PATCH", f"/model/{entry['id']}", json={"name": "x"})
    assert "read-only" in await server.rejected("DELETE", f"/model/{entry['id']}")
    other = next(m for m in listed if m["ngc_path"] == ngc and m["network_arch"] == "dino")
    assert "is for dino" in await server.rejected("PATCH", f"/model/{own}", json={"ptm": [other["id"]]})
    assert "is no pretrained model" in await server.rejected("PATCH", f"/model/{own}", json={"ptm": [own]})
    await server.call("PATCH", f"/model/{own}", 200, json={"ptm": [entry["id"]]})

    weights = tmp_path / "resnet.pth"
    body = {"path": str(weights), "network_arch": "classification_pyt", "ngc_path": ngc}
    assert "no such file" in await server.rejected("POST", "/ptm", json=body)
    weights.write_bytes(b"w")
    assert (await server.call("POST", "/ptm", 201, json=body)) == {
        "id": entry["id"],
        "name": "pretrained:resnet",
        "network_arch": "classification_pyt",
        "ngc_path": ngc,
        "path": str(weights),
    }
    new = await server.call("POST", "/ptm", 201, json={"path": str(weights), "network_arch": "dino"})
    assert new["ngc_path"] == "local/dino:resnet.pth"
    assert {ngc, new["ngc_path"]} <= {m["ngc_path"] for m in await server.call("GET", "/ptm?arch=dino", 200)}
    assert "link_roots" in await server.rejected("POST", "/ptm", json={"path": "/etc", "network_arch": "dino"})


async def test_specs_are_saved_merged_and_validated(server) -> None:
    path = f"/model/{await server.model()}/specs/train"
    assert "no spec was saved" in await server.rejected("GET", path, 404)
    assert "no spec was saved" in await server.rejected("PUT", path, 404, json={})
    schema = await server.call("GET", path + "/schema", 200)
    assert schema["default"]
    assert "automl_default_parameters" in schema
    assert await server.call("POST", path, 201, json=schema["default"]) == schema["default"]
    changed = await server.call("PUT", path, 200, json=epochs(7))
    assert changed["train"]["train_config"]["runner"]["max_epochs"] == 7
    assert changed["model"] == schema["default"]["model"]
    assert await server.call("GET", path, 200) == changed
    words = await server.rejected("PUT", path, json=epochs("x") | {"gpus": -1.5})
    assert words.startswith("Invalid specs: ")
    assert "$.train.train_config.runner.max_epochs" in words
    assert "$.gpus" in words
    assert await server.call("GET", path, 200) == changed
    assert "JSON object" in await server.rejected("POST", path, json=[])


async def test_unknown_parameters_are_kept_with_a_warning(server) -> None:
    path = f"{server.base}/model/{await server.model()}/specs/train"
    answer = await server.client.post(path, json={"trian": {"x": 1}})
    assert answer.status_code == 201
    assert answer.json() == {"trian": {"x": 1}}
    assert "trian" in answer.headers["X-Taod-Warnings"]
    server.services.config.specs.strict = True
    rejected = await server.client.post(path, json={"trian": {"x": 1}})
    assert (rejected.status_code, "trian" in rejected.json()["error_desc"]) == (400, True)


async def test_actions_that_are_not_there_have_no_specs(server) -> None:
    model_id = await server.model()
    dataset_id = await server.dataset("object_detection", "kitti")
    assert "has no action 'prune'" in await server.rejected("GET", f"/model/{model_id}/specs/prune/schema", 404)
    assert (await server.call("GET", f"/dataset/{dataset_id}/specs/convert/schema", 200))["default"]


def test_warnings_are_reported_in_what_a_header_can_hold() -> None:
    assert in_header(["$.a: unknown", "$.naïve\r\nX: \x00"]) == "$.a: unknown; $.na\\xefve\\r\\nX: \\x00"
    for long in ("a" * 9000, "\U0001f600" * 3000):
        assert len(in_header([long])) <= 4096
