"""The engine and the cluster that runners are tested with: started once a session, when a test needs them."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.runners import engines


@pytest.fixture(scope="session")
def docker_engine() -> Iterator[engines.Dockerd]:
    with engines.dockerd() as engine:
        yield engine


@pytest.fixture(scope="session")
def podman_engine() -> Iterator[engines.Podman]:
    with engines.podman() as engine:
        yield engine


@pytest.fixture(params=["docker", "podman"])
def container_engine(request: pytest.FixtureRequest) -> engines.Dockerd | engines.Podman:
    engine: engines.Dockerd | engines.Podman = request.getfixturevalue(f"{request.param}_engine")
    return engine


@pytest.fixture(scope="session")
def slurm_cluster() -> Iterator[engines.Cluster]:
    with engines.cluster() as cluster:
        yield cluster
