"""Pretrained models: the catalogue's entries, and registering weights that lie on this machine."""

from __future__ import annotations

import uuid
from collections.abc import Iterable
from pathlib import Path

from store import Store
from store.records import ModelRecord
from taod.catalogue import Catalogue, Network
from taod.clock import Clock, iso
from taod.config import Config
from taod.errors import BadRequest
from taod.services.announce import Announcer
from taod.types.dataset import DEFAULT_LOGO, DEFAULT_VERSION
from taod.types.model import DEFAULT_DESCRIPTION, Ptm, PtmCreate
from taod.types.network import NetworkArch

_NAMESPACE = uuid.UUID("6f4cbb5c-6a1f-5c2e-9a52-0d7a2f6f3b11")


class Ptms:
    """What may be asked about pretrained models; they belong to nobody and everybody sees them."""

    def __init__(
        self, *, store: Store, catalogue: Catalogue, announcer: Announcer, config: Config, clock: Clock
    ) -> None:
        self._store = store
        self._catalogue = catalogue
        self._announcer = announcer
        self._config = config
        self._clock = clock

    def seed(self, entries: Iterable[tuple[str, str]]) -> int:
        """Make the catalogue's entries, (ngc_path, network_arch) each, that are not there yet; returns how many."""
        known = self._store.models.ptm_ids()
        missing = [
            (ngc_path, arch) for ngc_path, arch in dict.fromkeys(entries) if _entry_id(ngc_path, arch) not in known
        ]
        if not missing:
            return 0
        with self._store.transaction():
            for ngc_path, arch in missing:
                self._store.models.add(self._record(ngc_path, arch, name=_name(ngc_path), weights=None))
        return len(missing)

    def all(self, network_arch: str | None = None) -> list[Ptm]:
        """The pretrained models, all or of one network."""
        return [_view(record) for record in self._store.models.ptms(network_arch)]

    def register(self, body: PtmCreate) -> Ptm:
        """Say where the weights of an entry lie, or make a new entry. The file or folder is used in place.

        Raises BadRequest naming the field: unknown network, no such path, or one outside the allowed roots.
        """
        self._network(body.network_arch)
        weights = self._allowed(body.path)
        ngc_path = body.ngc_path or f"local/{body.network_arch}:{weights.name}"
        same = [record for record in self._store.models.ptms(body.network_arch) if record.ngc_path == ngc_path]
        if same:
            fields = {"weights_path": str(weights)} | ({"name": body.name} if body.name else {})
            with self._store.lasting():
                record = self._store.models.update(same[0].id, **fields)
        else:
            record = self._record(ngc_path, body.network_arch, name=body.name or _name(ngc_path), weights=weights)
            with self._store.lasting():
                self._store.models.add(record)
        self._announcer.model(None, record.id, "updated" if same else "created")
        return _view(record)

    def _network(self, arch: str) -> Network:
        network = self._catalogue.network(arch)
        if network is None or network.kind != "network":
            known = ", ".join(self._catalogue.networks())
            raise BadRequest(f"Invalid network arch: network_arch {arch!r}; known are {known}")
        return network

    def _allowed(self, text: str) -> Path:
        roots = [Path(root).expanduser().resolve() for root in self._config.storage.link_roots]
        names = ", ".join(str(root) for root in roots)
        try:
            path = Path(text).expanduser().resolve(strict=True)
        except (OSError, RuntimeError, ValueError) as error:
            raise BadRequest(
                f"path {text!r}: there is no such file or folder on this machine; name one below {names}"
            ) from error
        if not any(path.is_relative_to(root) for root in roots):
            raise BadRequest(f"path {text!r} is outside of storage.link_roots ({names}); add its folder there")
        return path

    def _record(self, ngc_path: str, arch: str, *, name: str, weights: Path | None) -> ModelRecord:
        network = self._network(arch)
        now = iso(self._clock.time())
        return ModelRecord(
            id=_entry_id(ngc_path, arch),
            user_id=None,
            network_arch=arch,
            name=name,
            description=DEFAULT_DESCRIPTION,
            logo=DEFAULT_LOGO,
            version=DEFAULT_VERSION,
            created_on=now,
            last_modified=now,
            dataset_type=network.dataset_type,
            public=True,
            read_only=True,
            ngc_path=ngc_path,
            weights_path=None if weights is None else str(weights),
        )


def _entry_id(ngc_path: str, arch: str) -> str:
    """The same entry has the same id in every root."""
    return str(uuid.uuid5(_NAMESPACE, f"{arch} {ngc_path}"))


def _name(ngc_path: str) -> str:
    return ngc_path.rsplit("/", 1)[-1]


def _view(record: ModelRecord) -> Ptm:
    return Ptm(
        id=record.id,
        name=record.name,
        network_arch=NetworkArch(record.network_arch),
        ngc_path=record.ngc_path,
        path=record.weights_path,
    )
