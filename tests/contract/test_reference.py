"""The OpenAPI document against the published API, both ways: nothing of it is missing, and what we add is listed."""

from __future__ import annotations

import html
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from taod.api.openapi.examples import SCHEMAS
from taod.api.routes.docs import document, page
from taod.catalogue import Catalogue
from taod.types.network import NetworkArch

DOCUMENT = document()
TABLE = yaml.safe_load((Path(__file__).parent / "reference.yaml").read_text())
OPERATIONS: dict[str, dict[Any, Any]] = TABLE["operations"]
USER = "/api/v1/user/{user_id}"

BESIDE = {
    "POST /dataset/{dataset_id}/link",
    "PUT /dataset/{dataset_id}/upload",
    "DELETE /dataset/{dataset_id}/upload",
    "GET /dataset/{dataset_id}/summary",
    "GET /dataset/{dataset_id}/report",
    "POST /dataset/{dataset_id}/check",
    "DELETE /dataset/{dataset_id}/check",
    "GET /dataset/{dataset_id}/samples",
    "GET /dataset/{dataset_id}/samples/{number}",
    "GET /model/{model_id}/release",
    "POST /model/{model_id}/release",
    "DELETE /model/{model_id}/job/{job_id}",
    "GET /model/{model_id}/job/{job_id}/sweep",
    "GET /model/{model_id}/job/{job_id}/sweep.csv",
    "POST /model/{model_id}/job/{job_id}/sweep/finish",
    *(
        f"GET /{kind}/{{{kind}_id}}/job/{{job_id}}/{what}"
        for kind in ("dataset", "model")
        for what in ("log", "files", "files/{path}")
    ),
}
"""Operations on datasets and models that the published API does not have."""
MODEL_FIELDS_BESIDE = {
    "dataset_type", "metric", "automl_enabled", "automl_algorithm", "automl_max_recommendations",
    "automl_delete_intermediate_ckpt", "automl_R", "automl_nu", "epoch_multiplier", "automl_add_hyperparameters",
    "automl_remove_hyperparameters", "release",
}  # fmt: skip
"""Fields of a model's body that published clients send although the published document lacks them."""
RUN_FIELDS_BESIDE = {"runner"}
MODEL_ANSWER_BESIDE = {"release"}
QUERY_BESIDE = {
    "POST /dataset/{dataset_id}/job": {"dry_run"},
    "POST /model/{model_id}/job": {"dry_run"},
    "POST /dataset/{dataset_id}/upload": {"filename", "mode", "sha256"},
}
ANSWERS_BESIDE = {"POST /dataset/{dataset_id}/upload": {308, 416}}
"""Answers to requests that the published API does not know: an upload in parts."""
NULLABLE = {
    "parent_id", "eval_dataset", "inference_dataset", "calibration_dataset", "additional_id_info", "automl_algorithm",
    "job", "units", "value", "eta", "epoch", "cur_iter", "max_epoch", "time_per_iter", "time_per_epoch",
    "detailed_status",
}  # fmt: skip
"""Fields that may be null, or left out, where there is no value."""
ALWAYS = {401, 403, 404, 500}


def of(operation: str) -> dict[str, Any]:
    verb, path = operation.split(" ")
    return DOCUMENT["paths"][USER + path][verb.lower()]


def resolve(schema: dict[str, Any]) -> dict[str, Any]:
    """The schema behind references, with the null of an optional value taken off."""
    if "$ref" in schema:
        return resolve(DOCUMENT["components"]["schemas"][schema["$ref"].rpartition("/")[2]])
    if "anyOf" in schema:
        real = [one for one in schema["anyOf"] if one != {"type": "null"}]
        if len(real) == 1:
            return resolve(real[0])
    if "allOf" in schema:
        return resolve(schema["allOf"][0])
    return schema


def is_nullable(schema: dict[str, Any]) -> bool:
    return {"type": "null"} in schema.get("anyOf", ())


def compare(reported: dict[str, Any], wanted: Any, at: str, *, beside: set[str] = frozenset()) -> None:
    """Fail unless the schema is what the table wants, field by field."""
    schema = resolve(reported)
    if isinstance(wanted, list):
        assert schema["type"] == "array", at
        compare(schema["items"], wanted[0], f"{at}[]", beside=beside)
    elif wanted == {}:
        assert schema["type"] == "object", at
        assert "properties" not in schema, at
    elif wanted in TABLE["enums"]:
        allowed = TABLE["enums"][wanted].split()
        assert schema["type"] == "string" if "type" in schema else True, at
        if wanted.startswith("Some"):
            assert set(allowed) <= set(schema["enum"]), at
        else:
            added = TABLE["additions"].get(wanted, "").split()
            assert sorted(schema["enum"]) == sorted(allowed + added), at
    elif wanted in TABLE["models"]:
        fields = {name.rstrip("*"): kind for name, kind in TABLE["models"][wanted].items()}
        assert schema["type"] == "object", at
        assert set(schema["properties"]) - beside == set(fields), at
        assert beside <= set(schema["properties"]), at
        for name, kind in fields.items():
            field = schema["properties"][name]
            assert not is_nullable(field) or name in NULLABLE, f"{at}.{name}"
            compare(field, kind, f"{at}.{name}")
    else:
        assert schema["type"] == wanted, at
        assert "enum" not in schema, at


def test_the_table_has_all_34_operations() -> None:
    assert len(OPERATIONS) == 34


def test_the_operations_are_those_of_the_reference_and_the_ones_listed_here() -> None:
    ours = {
        f"{verb.upper()} {path.removeprefix(USER)}"
        for path, item in DOCUMENT["paths"].items()
        for verb in item
        if path.removeprefix(USER).startswith(("/dataset", "/model"))
    }
    assert ours - BESIDE == set(OPERATIONS)
    assert ours >= BESIDE


@pytest.mark.parametrize("operation", OPERATIONS)
def test_the_parameters_are_those_of_the_reference(operation: str) -> None:
    parameters = of(operation).get("parameters", [])
    in_path = {each["name"]: each for each in parameters if each["in"] == "path"}
    _, path = operation.split(" ")
    assert set(in_path) == {"user_id"} | {part[1:-1] for part in path.split("/") if part.startswith("{")}
    for name, each in in_path.items():
        assert each["required"]
        assert each["description"]
        assert each["schema"] == ({"type": "string"} | ({"format": "uuid"} if name != "action" else {}))
    in_query = {each["name"]: each for each in parameters if each["in"] == "query"}
    wanted = TABLE["models"].get(OPERATIONS[operation].get("query"), {})
    assert set(in_query) == set(wanted) | QUERY_BESIDE.get(operation, set())
    for name, kind in wanted.items():
        assert not in_query[name]["required"]
        compare(in_query[name]["schema"], kind, f"{operation}?{name}")


@pytest.mark.parametrize("operation", OPERATIONS)
def test_the_bodies_are_those_of_the_reference(operation: str) -> None:
    wanted = OPERATIONS[operation]
    body = of(operation).get("requestBody")
    if "form" in wanted:
        (form,) = (kind["schema"] for name, kind in body["content"].items() if name == "multipart/form-data")
        assert set(TABLE["models"][wanted["form"]]) <= set(form["properties"])
    elif "body" not in wanted:
        assert body is None
    else:
        content = body["content"]["application/json"]
        schema = content["schema"]
        beside = MODEL_FIELDS_BESIDE if wanted["body"] == "ModelBody" else set()
        if wanted["body"] == ["Run"]:
            schema, alone = schema["anyOf"]
            beside = RUN_FIELDS_BESIDE
            compare(alone, "Run", operation, beside=beside)
        compare(schema, wanted["body"], operation, beside=beside)
        assert content["examples"]


@pytest.mark.parametrize("operation", OPERATIONS)
def test_the_answers_are_those_of_the_reference(operation: str) -> None:
    wanted = {code: kind for code, kind in OPERATIONS[operation].items() if isinstance(code, int)}
    reported = of(operation)["responses"]
    assert set(wanted) <= {int(code) for code in reported}
    assert {int(code) for code in reported} >= ALWAYS
    dry_run = {200} if "dry_run" in QUERY_BESIDE.get(operation, set()) else set()
    assert {int(code) for code in reported} - set(wanted) - ALWAYS - dry_run - ANSWERS_BESIDE.get(operation, set()) <= {
        400,
        409,
        413,
        503,
        507,
    }
    for code, kind in wanted.items():
        answer = reported[str(code)]
        if kind == "nothing":
            continue  # ours carries the job or the summary that was changed
        if kind == "bytes":
            assert answer["content"] == {"application/octet-stream": {"schema": {"type": "string"}}}
        elif kind == "Error":
            shared = DOCUMENT["components"]["responses"][answer["$ref"].rpartition("/")[2]]
            compare(shared["content"]["application/json"]["schema"], "Error", f"{operation} {code}")
        else:
            assert list(answer["content"]) == ["application/json"]
            beside = MODEL_ANSWER_BESIDE if kind in ("Model", ["Model"]) else set()
            compare(answer["content"]["application/json"]["schema"], kind, f"{operation} {code}", beside=beside)


def test_the_architectures_are_those_of_the_catalogue() -> None:
    assert sorted(NetworkArch) == sorted(Catalogue().networks())


def operations() -> list[tuple[str, dict[str, Any]]]:
    return [
        (f"{verb.upper()} {path}", operation)
        for path, item in DOCUMENT["paths"].items()
        for verb, operation in item.items()
    ]


def test_every_operation_is_described() -> None:
    ids = [operation["operationId"] for _, operation in operations()]
    assert len(ids) == len(set(ids)) == 92
    tags = {tag["name"] for tag in DOCUMENT["tags"]}
    for name, operation in operations():
        assert operation["summary"], name
        assert operation["description"] not in (None, operation["summary"]), name
        for parameter in operation.get("parameters", ()):
            assert parameter["description"], f"{name} {parameter['name']}"
            assert parameter["example"], f"{name} {parameter['name']}"
        for status in (each for each in operation["responses"] if each < "300" and "/download" not in name):
            for content in operation["responses"][status]["content"].values():
                assert content["example"], f"{name} {status}"
        assert set(operation["tags"]) <= tags, name
        if "requestBody" in operation and "upload" not in name:
            assert operation["requestBody"]["content"]["application/json"]["examples"], name
        for answer in operation["responses"].values():
            for link in answer.get("links", {}).values():
                assert link["operationId"] in ids
    secured = [name for name, operation in operations() if operation.get("security") != []]
    assert len(secured) == 92 - 4
    assert DOCUMENT["security"] == [{"bearer": []}]
    assert DOCUMENT["components"]["securitySchemes"]["bearer"]["scheme"] == "bearer"


def test_every_example_is_valid() -> None:
    def check(value: Any, schema: dict[str, Any], at: str) -> None:
        whole = schema | {"components": DOCUMENT["components"]}
        found = list(jsonschema.Draft202012Validator(whole).iter_errors(value))
        assert not found, f"{at}: {found[0].message}"

    shown = 0
    used = DOCUMENT["components"]["schemas"]
    assert {name for name in used if "examples" in used[name]} == set(SCHEMAS), "an example that nothing shows"
    for name, schema in DOCUMENT["components"]["schemas"].items():
        for example in schema.get("examples", ()):
            check(example, schema, name)
            shown += 1
    for name, operation in operations():
        for kind in operation.get("requestBody", {}).get("content", {}).values():
            for example in kind.get("examples", {}).values():
                check(example["value"], kind["schema"], name)
                shown += 1
        for parameter in operation.get("parameters", ()):
            check(parameter["example"], parameter["schema"], f"{name} {parameter['name']}")
        for status, answer in operation["responses"].items():
            for content in answer.get("content", {}).values():
                if "example" in content:
                    check(content["example"], content["schema"], f"{name} {status}")
                    shown += 1
    for name, answer in DOCUMENT["components"]["responses"].items():
        content = answer["content"]["application/json"]
        check(content["example"], content["schema"], name)
        shown += 1
    assert shown > 100


def test_the_document_keeps_to_its_own_standard() -> None:
    from jsonschema_rs import meta

    assert DOCUMENT["openapi"].startswith("3.1")
    for schema in DOCUMENT["components"]["schemas"].values():
        assert meta.is_valid({"$schema": "https://json-schema.org/draft/2020-12/schema"} | schema)


def test_the_page_shows_every_operation_and_schema() -> None:
    text = page(DOCUMENT)
    for path in DOCUMENT["paths"]:
        assert f"<code>{path}</code>" in text
    for _, operation in operations():
        assert html.escape(operation["description"]) in text
    for name in DOCUMENT["components"]["schemas"]:
        assert f'id="{name}"' in text
    assert "Bad request, see reply body for details" in text
