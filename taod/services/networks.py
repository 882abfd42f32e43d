"""The catalogue for clients: networks with their actions, the runners for each, and parameters."""

from __future__ import annotations

import msgspec

from runners.registry import RunnerRegistry
from taod.catalogue import Catalogue, Network
from taod.catalogue.network import get_network
from taod.catalogue.releases import BASE, KNOWN, covering, nearest
from taod.catalogue.schema import descriptions
from taod.catalogue.schema.tables import Node, Parameter, Table
from taod.errors import BadRequest, NotFound
from taod.types.network import ActionInfo, NetworkInfo, ParameterInfo


class ParameterFilter(msgspec.Struct, frozen=True):
    """A filter of parameters; None: any."""

    action: str | None = None
    popular: bool | None = None
    required: bool | None = None
    automl: bool | None = None
    hidden: bool = False
    """True: include parameters that the schema does not show."""
    text: str | None = None
    """Case-insensitive substring of path, title or description."""
    release: str | None = None
    """Release of NVIDIA's tools; None: the first that has the network."""


class Networks:
    """Read-only view of the catalogue."""

    def __init__(self, catalogue: Catalogue, runners: RunnerRegistry) -> None:
        self._catalogue = catalogue
        self._runners = runners

    def all(self, release: str | None = None) -> list[NetworkInfo]:
        """Every network and dataset type of a release (default 5.0), sorted by name.

        Raises BadRequest naming the nearest known release.
        """
        chosen = BASE if release is None else _known(release)
        return [self._info(get_network(name, chosen)) for name in self._catalogue.names(chosen)]

    def get(self, name: str, release: str | None = None) -> NetworkInfo:
        """One network, in the given release or the first that has it. Raises NotFound, BadRequest."""
        return self._info(self._network(name, release))

    def _info(self, network: Network) -> NetworkInfo:
        name, release = network.name, network.release
        able = {action: self._runners.able(name, action, release) for action in network.actions}
        actions = [
            ActionInfo(
                name=action,
                runners=runners,
                takes_spec=network.takes_spec(action),
                may_follow=network.may_follow(action),
                needs_parent=network.needs_parent(action),
                tool=self._runners.tool(runners[0], name, action, release) if runners else "",
            )
            for action, runners in able.items()
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
            release=release,
        )

    def parameters(self, name: str, wanted: ParameterFilter) -> list[ParameterInfo]:
        """The parameters of a network's specifications, in the order of its tables.

        A parameter that differs between actions has one entry per variant. Raises NotFound, BadRequest.
        """
        network = self._network(name, wanted.release)
        if wanted.action is not None and wanted.action not in network.actions:
            raise NotFound(f"{name} has no action {wanted.action!r}; it has {', '.join(network.actions)}")
        actions = network.actions if wanted.action is None else [wanted.action]
        found: dict[bytes, ParameterInfo] = {}
        for action in actions:
            table = network.table(action)
            for row in table.rows.values():
                info = _info(table, row)
                if _fits(info, wanted):
                    found.setdefault(msgspec.json.encode(info), info).actions.append(action)
        return list(found.values())

    def _network(self, name: str, release: str | None) -> Network:
        searched = KNOWN if release is None else (_known(release),)
        network = next((found for each in searched if (found := self._catalogue.network(name, each)) is not None), None)
        if network is None:
            raise NotFound(f"network {name!r} not found; list networks with GET /api/v1/networks")
        return network


def _known(release: str) -> str:
    """The known release that covers it. Raises BadRequest naming the nearest."""
    chosen = covering(release)
    if chosen is None:
        raise BadRequest(f"release = {release!r}: taod knows {', '.join(KNOWN)}; the nearest is {nearest(release)}")
    return chosen


def _info(table: Table, row: Parameter) -> ParameterInfo:
    return ParameterInfo(
        path=row.path,
        title=descriptions.title(row.path),
        description=descriptions.description(table, row),
        type=row.type,
        actions=[],
        default=row.default,
        minimum=row.minimum,
        maximum=row.maximum,
        options=row.options,
        multiple_of=row.multiple_of,
        rules=row.compare,
        required=row.required,
        popular=row.popular,
        automl=row.automl,
        hidden=_is_hidden(table, row.path),
        constant=row.const,
    )


def _is_hidden(table: Table, path: str) -> bool:
    """Whether the schema omits the parameter because it or a group around it is hidden."""
    node: Node | None = table.root
    for part in path.split("."):
        node = node.children.get(part) if node is not None else None
        if node is None or node.hidden:
            return True
    return False


def _fits(info: ParameterInfo, wanted: ParameterFilter) -> bool:
    flags = ((wanted.popular, info.popular), (wanted.required, info.required), (wanted.automl, info.automl))
    if any(expected is not None and expected != actual for expected, actual in flags):
        return False
    if info.hidden and not wanted.hidden:
        return False
    if wanted.text is None:
        return True
    return any(wanted.text.lower() in text.lower() for text in (info.path, info.title, info.description))
