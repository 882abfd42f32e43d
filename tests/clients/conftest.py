"""One daemon for all published clients, and for plain HTTP beside them."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.clients.world import Beside, World


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """A daemon that serves while the tests run; at its end it must have had nothing to complain of."""
    made = World(tmp_path_factory.mktemp("clients"))
    made.start()
    yield made
    assert made.stop() == 0
    assert made.complaints == ""


@pytest.fixture(scope="session")
def beside(world: World) -> Iterator[Beside]:
    made = Beside(world)
    yield made
    made.http.close()
