"""Pretrained models: creates the catalogue's entries, and registers weights on this machine."""

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
from taod.telemetry.publisher import Publisher
from taod.types.dataset import DEFAULT_LOGO, DEFAULT_VERSION
from taod.types.model import DEFAULT_DESCRIPTION, Ptm, PtmCreate
from taod.types.network import NetworkArch

_NAMESPACE = uuid.UUID("6f4cbb5c-6a1f-5c2e-9a52-0d7a2f6f3b11")


class Ptms:
    """Operations on pretrained models; all users see the catalogue's, each user registers their own weights."""

    def __init__(
        self, *, store: Store, catalogue: Catalogue, publisher: Publisher, config: Config, clock: Clock
    ) -> None:
        self._store = store
        self._catalogue = catalogue
        self._publisher = publisher
        self._config = config
        self._clock = clock

    def seed(self, entries: Iterable[tuple[str, str]]) -> int:
        """Create the missing entries, each (ngc_path, network_arch). Returns how many."""
        wanted = {_entry_id(ngc_path, arch): (ngc_path, arch) for ngc_path, arch in entries}
        missing = wanted.keys() - self._store.models.ptm_ids(public=True)
        hidden = missing & self._store.models.ptm_ids(public=False)
        if not missing:
            return 0
        with self._store.transaction():
            for entry_id, (ngc_path, arch) in wanted.items():
                if entry_id in hidden:
                    self._store.models.update(entry_id, public=True)
                elif entry_id in missing:
                    self._store.models.add(self._record(entry_id, ngc_path, arch, public=True))
        return len(missing - hidden)

    def all(self, user_id: str, network_arch: str | None = None) -> list[Ptm]:
        """The pretrained models visible to the user, of one network or all."""
        weights = self._store.models.weights(user_id)
        return [_view(record, weights.get(record.id)) for record in self._store.models.ptms(user_id, network_arch)]

    def register(self, user_id: str, body: PtmCreate) -> Ptm:
        """Register the path of an entry's weights; creates a private entry if there is none. Files are used in place.

        Raises BadRequest naming the field: an unknown network, a path that does not exist or is outside the allowed
        roots, or a name for an entry of the catalogue.
        """
        self._network(body.network_arch)
        weights = self._allowed(body.path)
        ngc_path = body.ngc_path or f"local/{body.network_arch}:{weights.name}"
        record = self._known(user_id, ngc_path, body.network_arch)
        if record is not None and record.public and body.name not in (None, record.name):
            raise BadRequest(
                f"name {body.name!r}: {ngc_path} is an entry of the catalogue and keeps its name; leave it out"
            )
        with self._store.durable():
            if record is None:
                entry_id = _entry_id(ngc_path, f"{user_id} {body.network_arch}")
                record = self._record(entry_id, ngc_path, body.network_arch, public=False, name=body.name)
                self._store.models.add(record)
                change = "created"
            else:
                change = "updated"
                if body.name is not None and not record.public:
                    record = self._store.models.update(record.id, name=body.name)
            self._store.models.register_weights(user_id, record.id, str(weights))
        self._publisher.model(user_id, record.id, change)
        return _view(record, str(weights))

    def _known(self, user_id: str, ngc_path: str, arch: str) -> ModelRecord | None:
        """The entry of this path; the user's own before the catalogue's."""
        same = [record for record in self._store.models.ptms(user_id, arch) if record.ngc_path == ngc_path]
        return min(same, key=lambda record: record.public, default=None)

    def _network(self, arch: str) -> Network:
        network = self._catalogue.network(arch)
        if network is None or network.kind != "network":
            known = ", ".join(self._catalogue.networks())
            raise BadRequest(f"Invalid network arch: network_arch {arch!r}; known are {known}")
        return network

    def _allowed(self, text: str) -> Path:
        """The resolved path. The error for a path outside of the roots does not reveal whether it exists."""
        roots = [Path(root).expanduser().resolve() for root in self._config.storage.link_roots]
        names = ", ".join(str(root) for root in roots)
        try:
            path = Path(text).expanduser().resolve()
            inside = any(path.is_relative_to(root) for root in roots)
            exists = inside and path.exists()
        except (OSError, RuntimeError, ValueError) as error:
            raise BadRequest(f"path {text!r} cannot be a path; name a file or folder below {names}") from error
        if not inside:
            raise BadRequest(f"path {text!r} is outside of storage.link_roots ({names}); add its folder there")
        if not exists:
            raise BadRequest(f"path {text!r}: there is no such file or folder on this machine; name one below {names}")
        return path

    def _record(self, entry_id: str, ngc_path: str, arch: str, *, public: bool, name: str | None = None) -> ModelRecord:
        network = self._network(arch)
        now = iso(self._clock.time())
        return ModelRecord(
            id=entry_id,
            user_id=None,
            network_arch=arch,
            name=name or ngc_path.rsplit("/", 1)[-1],
            description=DEFAULT_DESCRIPTION,
            logo=DEFAULT_LOGO,
            version=DEFAULT_VERSION,
            created_on=now,
            last_modified=now,
            dataset_type=network.dataset_type,
            public=public,
            read_only=True,
            ngc_path=ngc_path,
        )


def _entry_id(ngc_path: str, scope: str) -> str:
    """An id that is equal in every root. `scope`: the network, for private entries preceded by the user's id."""
    return str(uuid.uuid5(_NAMESPACE, f"{scope} {ngc_path}"))


def _view(record: ModelRecord, path: str | None) -> Ptm:
    return Ptm(
        id=record.id,
        name=record.name,
        network_arch=NetworkArch(record.network_arch),
        ngc_path=record.ngc_path,
        path=path,
    )
