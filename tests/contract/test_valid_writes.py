"""What keeps to the document and refers to what is there is accepted: datasets, models, specifications, jobs."""

from __future__ import annotations

import asyncio
import copy
import os
import string
import typing
from collections.abc import Iterator
from typing import Any

import httpx
import jsonschema
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from taod.api.app import create_app
from taod.api.routes.docs import document
from taod.automl.algorithms import ALGORITHMS
from taod.catalogue import Catalogue
from taod.catalogue.schema.merge import missing
from taod.services.composition import open_services
from taod.services.models.model_references import LABELLED_FORMATS, UNLABELLED_FORMATS
from taod.services.models.model_service import NO_AUTOML
from taod.types.model import MOST
from taod.types.network import NetworkArch
from tests.api.conftest import HOST, config, images, tool_path

__all__ = ["config", "images", "tool_path"]

DOCUMENT = document()
CATALOGUE = Catalogue()
KINDS = [
    (name, each)
    for name in CATALOGUE.names()
    if (found := CATALOGUE.network(name)) is not None and found.kind == "dataset"
    for each in found.formats
]
"""Types of datasets with each of their formats."""
EXAMPLES = int(os.environ.get("TAOD_VALID_WRITES", "40"))
quick = settings(
    max_examples=EXAMPLES,
    deadline=None,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)

texts = st.text(st.characters(exclude_categories=["Cc", "Cs", "Zl", "Zp"]), max_size=40)
keys = st.text(string.ascii_letters + string.digits + "@%+=:,./_^!-", max_size=40)
"""Some networks pass their key to a shell unquoted; other characters are rejected for these."""
shown = {"name": texts, "description": texts, "logo": texts, "version": texts}
kinds = st.sampled_from(KINDS)
counts = st.integers(1, MOST)
algorithms = st.sampled_from([None, *ALGORITHMS, *(each.name for each in ALGORITHMS.values())])
names = st.just([])
"""Names of parameters depend on the network; those that it lacks are rejected."""
free = shown | {
    "encryption_key": keys, "public": st.just(False), "ngc_path": texts, "metric": texts, "read_only": st.just(False),
    "additional_id_info": st.none() | texts, "automl_delete_intermediate_ckpt": st.booleans(),
    "automl_algorithm": algorithms, "epoch_multiplier": counts, "automl_max_recommendations": counts,
    "automl_R": counts, "automl_nu": st.integers(2, MOST),
    "automl_add_hyperparameters": names | names.map(repr), "automl_remove_hyperparameters": names | names.map(repr),
}  # fmt: skip
"""Fields of a model that depend on nothing else."""


class Api:
    """An application and its event loop, asked without waiting for anything else."""

    def __init__(self, config: Any) -> None:
        self.loop = asyncio.Runner()
        self.services = open_services(config)
        self.user, token = self.services.users.ensure_first()
        self.client = httpx.AsyncClient(
            transport=httpx.ASGITransport(create_app(self.services)),
            base_url=f"{HOST}/api/v1/user/{self.user.id}",
            headers={"Authorization": f"Bearer {token}"},
        )

    def accepted(self, method: str, template: str, body: Any, **ids: str) -> Any:
        """Send a body that keeps to the document; it must be taken. Returns the answer."""
        operation = DOCUMENT["paths"]["/api/v1/user/{user_id}" + template][method.lower()]
        schema = operation["requestBody"]["content"]["application/json"]["schema"]
        jsonschema.validate(body, schema | {"components": DOCUMENT["components"]}, jsonschema.Draft202012Validator)
        answer = self.loop.run(self.client.request(method, template.format(**ids), json=body))
        successes = [status for status in operation["responses"] if status < "300"]
        assert str(answer.status_code) in successes, f"{method} {template} {body}: {answer.text}"
        return answer.json()

    def dataset(self, type_: str, format_: str) -> str:
        body = {"type": type_, "format": format_}
        return typing.cast("str", self.accepted("POST", "/dataset", body)["id"])


@pytest.fixture
def api(config: Any) -> Iterator[Api]:
    api = Api(config)
    yield api
    api.loop.run(api.client.aclose())
    api.loop.run(api.services.stop())
    api.services.store.close()
    api.loop.close()


def test_valid_datasets_are_made_and_changed(api: Api) -> None:
    @quick
    @given(kinds, st.fixed_dictionaries({}, optional=shown), st.fixed_dictionaries({}, optional=shown), st.booleans())
    def check(kind: tuple[str, str], first: dict[str, str], then: dict[str, str], again: bool) -> None:
        same = dict(zip(("type", "format"), kind, strict=True))
        made = api.accepted("POST", "/dataset", first | same)
        assert made.items() >= (first | same).items()
        for method in ("PATCH", "PUT"):
            changed = api.accepted(
                method, "/dataset/{dataset_id}", then | (same if again else {}), dataset_id=made["id"]
            )
            assert changed.items() >= then.items()

    check()


def test_valid_models_are_made_and_changed(api: Api) -> None:
    data = {arch: _data(api, arch) for arch in CATALOGUE.networks()}
    ptms = {arch: [ptm.id for ptm in api.services.ptms.all(api.user.id, arch)] for arch in CATALOGUE.networks()}

    @quick
    @given(st.data())
    def check(choose: st.DataObject) -> None:
        arch = choose.draw(st.sampled_from(list(NetworkArch)))
        one = st.sampled_from([None, *data[arch]])
        fields = free | {
            "network_arch": st.just(str(arch)), "dataset_type": st.just(CATALOGUE.network(arch).dataset_type),
            "train_datasets": st.lists(st.sampled_from(data[arch])), "eval_dataset": one, "inference_dataset": one,
            "calibration_dataset": one, "automl_enabled": st.just(False) if arch in NO_AUTOML else st.booleans(),
            "ptm": st.lists(st.sampled_from(ptms[arch])) if ptms[arch] else st.just([]),
        }  # fmt: skip
        bodies = st.fixed_dictionaries({}, optional=fields)
        sent = choose.draw(bodies) | {"network_arch": str(arch)}
        made = api.accepted("POST", "/model", sent)
        _compare(made, sent)
        for method in ("PATCH", "PUT"):
            sent = choose.draw(bodies)
            _compare(api.accepted(method, "/model/{model_id}", sent, model_id=made["id"]), sent)

    check()


def test_every_default_specification_is_taken_as_it_is(api: Api) -> None:
    taken = 0
    for kind, owner in _owners(api):
        network = CATALOGUE.network(owner["network_arch"] if kind == "model" else owner["type"])
        assert network is not None
        for action in filter(network.takes_spec, owner["actions"]):
            template, ids = f"/{kind}/{{{kind}_id}}/specs/{{action}}", {f"{kind}_id": owner["id"], "action": action}
            schema = api.loop.run(api.client.get(template.format(**ids) + "/schema")).json()
            default = schema["default"]
            if missing(network.name, action, default):
                assert (network.name, action) == ("object_detection", "kmeans"), "a required field has no default"
                continue
            assert api.accepted("POST", template, default, **ids) == default
            assert api.accepted("PUT", template, copy.deepcopy(default), **ids) == default
            taken += 1
    assert taken > 150


def test_valid_requests_for_jobs_are_taken(api: Api, images: Any) -> None:
    data = api.dataset("image_classification", "classification_pyt")
    api.accepted("POST", "/dataset/{dataset_id}/link", {"path": str(images("train"))}, dataset_id=data)
    body = {"network_arch": "classification_pyt", "train_datasets": [data], "eval_dataset": data}
    model = api.accepted("POST", "/model", body | {"inference_dataset": data})["id"]
    (train,) = api.accepted("POST", "/model/{model_id}/job", [{"actions": ["train"]}], model_id=model)
    jobs = [train]
    after = st.lists(st.sampled_from(["evaluate", "export", "inference"]), min_size=1, max_size=3)
    entry = st.fixed_dictionaries({"actions": after}, optional={"job": st.sampled_from([None, train])})
    entry |= st.fixed_dictionaries({"actions": after.map(lambda rest: ["train", *rest])}, optional={"job": st.none()})

    @quick
    @given(st.data())
    def check(choose: st.DataObject) -> None:
        entries = choose.draw(entry | st.lists(entry, min_size=1, max_size=3))
        listed = entries if isinstance(entries, list) else [entries]
        made = api.accepted("POST", "/model/{model_id}/job", entries, model_id=model)
        assert len(made) == sum(len(each["actions"]) for each in listed)
        jobs.extend(made)
        change = choose.draw(
            st.fixed_dictionaries({}, optional={"priority": st.integers(-100, 100), "held": st.booleans()})
        )
        api.accepted("PATCH", "/job/{job_id}", change, job_id=made[-1])

    check()
    assert len(jobs) == len(set(jobs))


def _compare(answer: dict[str, Any], sent: dict[str, Any]) -> None:
    lists = {"ptm", "train_datasets"}
    spelt = {"automl_algorithm", "automl_add_hyperparameters", "automl_remove_hyperparameters"}
    for field, value in sent.items():
        if field not in spelt:
            assert answer[field] == (list(dict.fromkeys(value)) if field in lists else value), field


def _data(api: Api, arch: str) -> list[str]:
    """Datasets that fit an architecture in every place."""
    network = CATALOGUE.network(arch)
    assert network is not None
    owner = CATALOGUE.network(network.dataset_type)
    assert owner is not None
    allowed = LABELLED_FORMATS.get(arch, frozenset(owner.formats) - UNLABELLED_FORMATS)
    return [api.dataset(network.dataset_type, each) for each in sorted(allowed & frozenset(owner.formats))]


def _owners(api: Api) -> Iterator[tuple[str, dict[str, Any]]]:
    """A model of every architecture, and a dataset of every type and format."""
    for arch in CATALOGUE.networks():
        yield "model", api.accepted("POST", "/model", {"network_arch": arch})
    for type_, format_ in KINDS:
        yield "dataset", api.accepted("POST", "/dataset", {"type": type_, "format": format_})
