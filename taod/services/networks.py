"""The catalogue as clients see it: networks with their actions, and which runner can do each."""

from __future__ import annotations

from runners.registry import RunnerRegistry
from taod.catalogue import Catalogue
from taod.errors import NotFound
from taod.types.network import ActionInfo, NetworkInfo


class Networks:
    """Read-only view of the catalogue."""

    def __init__(self, catalogue: Catalogue, runners: RunnerRegistry) -> None:
        self._catalogue = catalogue
        self._runners = runners

    def all(self) -> list[NetworkInfo]:
        """Every network and dataset type, by name."""
        return [self.get(name) for name in self._catalogue.names()]

    def get(self, name: str) -> NetworkInfo:
        """One network. Raises NotFound."""
        network = self._catalogue.network(name)
        if network is None:
            raise NotFound(f"there is no network {name!r}; GET /api/v1/networks lists them")
        actions = [
            ActionInfo(
                name=action,
                runners=self._runners.able(name, action),
                takes_spec=network.takes_spec(action),
            )
            for action in network.actions
        ]
        return NetworkInfo(
            name=network.name,
            kind=network.kind,
            dataset_type=network.dataset_type,
            formats=list(network.formats or ()),
            image=network.image,
            spec_format=network.spec_format,
            actions=actions,
            metric=network.metric,
        )
