"""An exact name wins over ids that start with it; jobs and sweeps, which have no names, are found by an id prefix."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from taod.cli.support import resolve
from taod.client import AsyncClient
from taod.errors import BadRequest

if TYPE_CHECKING:
    from tests.api.conftest import Server


async def test_a_models_exact_name_wins_over_ids(server: Server, client: AsyncClient) -> None:
    other = await server.model(name="other")
    named = await server.model(name=other[0])
    assert await resolve.model_id(client, other[0]) == named
    assert await resolve.owner_id(client, "model", other[0]) == named
    assert await resolve.model_id(client, other[:12]) == other
    assert await resolve.model_id(client, "other") == other


async def test_a_datasets_exact_name_wins_over_ids(server: Server, client: AsyncClient) -> None:
    other = await server.dataset(name="other")
    named = await server.dataset(name=other[:2])
    assert await resolve.dataset_id(client, other[:2]) == named
    assert await resolve.owner_id(client, "dataset", other[:2]) == named
    assert await resolve.dataset_id(client, other[:12]) == other


async def test_a_name_of_two_models_is_ambiguous(server: Server, client: AsyncClient) -> None:
    twins = [await server.model(name="e1") for _ in range(2)]
    with pytest.raises(BadRequest) as raised:
        await resolve.model_id(client, "e1")
    assert all(each in str(raised.value) for each in twins)


@pytest.mark.parametrize(
    "settings", [{}, {"automl_enabled": True, "automl_algorithm": "Bayesian"}], ids=["job", "sweep"]
)
async def test_a_job_is_found_by_its_id_although_a_model_has_its_prefix_as_name(
    server: Server, client: AsyncClient, images, settings: dict[str, object]
) -> None:
    dataset = await server.ready_dataset(images())
    model = await server.model(train_datasets=[dataset], eval_dataset=dataset, **settings)
    (job_id,) = await server.call("POST", f"/model/{model}/job", 201, json={"actions": ["train"]})
    named = await server.model(name=job_id[:8])
    assert await resolve.job_id(client, job_id[:8]) == job_id
    assert await resolve.model_id(client, job_id[:8]) == named
    server.word("go")
