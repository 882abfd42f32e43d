"""Specifications: schema, validation, saving, and the default for jobs without a saved one."""

from __future__ import annotations

from collections import Counter
from typing import Any

import msgspec

from store import Store
from store.records import DatasetRecord
from taod.automl.space import user_ranges, without_search
from taod.catalogue import Catalogue
from taod.catalogue.preflight import data_defaults
from taod.catalogue.schema.json_schema import schema, set_defaults
from taod.catalogue.schema.merge import default, merge, missing, over_default, put
from taod.catalogue.schema.validate import check
from taod.catalogue.specfiles import references
from taod.catalogue.specfiles.parse import ParseError
from taod.config import SpecsConfig
from taod.documents import DocumentError, is_long, measure
from taod.errors import BadRequest, InvalidSpec, NotFound
from taod.services.jobs.job_owner import Owner, Owners
from taod.services.parser import Parser
from taod.services.snapshots import Snapshots
from taod.types.common import OwnerKind
from taod.types.warning import Warning, WarningCode

Document = dict[str, Any]
TRAIN = "train"
_MAX_NAMED = 50
"""Number of violations that an error names."""


class Saved(msgspec.Struct, frozen=True):
    """A specification with its warnings."""

    document: Document
    warnings: list[Warning] = []
    saved: bool = True
    """False: it is the schema's default."""


class Specs:
    """Operations on the specifications of a model's or dataset's actions."""

    def __init__(
        self,
        *,
        store: Store,
        catalogue: Catalogue,
        owners: Owners,
        config: SpecsConfig,
        parser: Parser,
        snapshots: Snapshots,
    ) -> None:
        self._store = store
        self._catalogue = catalogue
        self._owners = owners
        self._config = config
        self._parser = parser
        self._snapshots = snapshots

    def schema(self, user_id: str, kind: OwnerKind, owner_id: str, action: str) -> Document:
        """JSON Schema of the action's parameters; its `default` is a complete valid spec. Raises NotFound."""
        owner = self._with_spec(self._owners.find(user_id, kind, owner_id), action)
        if owner.user_id != user_id:
            return schema(owner.catalogued, action, None)
        described = schema(owner.catalogued, action, self._classes(owner))
        set_defaults(described, self._data_defaults(owner, action))
        return described

    def get(self, user_id: str, kind: OwnerKind, owner_id: str, action: str) -> Document:
        """The saved spec. Raises NotFound if none was saved or the owner belongs to another user."""
        owner = self._with_spec(self._owners.find(user_id, kind, owner_id), action)
        if owner.user_id != user_id:
            raise NotFound(f"specs of {kind} {owner.name!r} are its owner's alone; save some for one of your own")
        return self._saved(owner, action)

    async def read(
        self, user_id: str, kind: OwnerKind, owner_id: str, action: str, text: str, spec_format: str | None
    ) -> Document:
        """Parse a specification file. `spec_format` None: the format of the owner's tool.

        Raises NotFound; BadRequest naming the line.
        """
        owner = self._with_spec(self._owners.writable(user_id, kind, owner_id), action)
        network = owner.catalogued
        chosen = network.spec_format if spec_format is None else spec_format
        try:
            return await self._parser.spec(chosen, text, network, action)
        except (ParseError, DocumentError) as error:
            label = {"yaml": "YAML", "json": "JSON", "protobuf": "protobuf text"}[chosen]
            raise BadRequest(f"the body is not {label} as {owner.network} reads it: {error}") from error

    async def post(self, user_id: str, kind: OwnerKind, owner_id: str, action: str, document: Document) -> Saved:
        """Save a spec. Raises InvalidSpec listing the violations."""
        owner = self._with_spec(self._owners.writable(user_id, kind, owner_id), action)
        examined = await self._examined(owner, action, document)
        self._owners.writable(user_id, kind, owner_id)
        self._save(owner, action, examined.document)
        return examined

    async def put(self, user_id: str, kind: OwnerKind, owner_id: str, action: str, changes: Document) -> Saved:
        """Merge changes into the saved spec. Raises NotFound if none was saved, InvalidSpec."""
        while True:
            owner = self._with_spec(self._owners.writable(user_id, kind, owner_id), action)
            base = self._saved(owner, action)
            examined = await self._examined(owner, action, merge(base, changes, owner.catalogued.table(action).root))
            self._owners.writable(user_id, kind, owner_id)
            if self._saved(owner, action) == base:  # else another request has changed it meanwhile
                self._save(owner, action, examined.document)
                return examined

    def for_job(self, owner: Owner, action: str) -> Saved:
        """The spec for a job of this action: the saved one, else the schema's default with a warning.

        Raises BadRequest naming required fields without a default.
        """
        saved = self._store.specs.get(owner.kind, owner.id, action)
        if saved is not None:
            return Saved(saved, self._check(owner, action, saved))
        document = default(owner.catalogued, action, self._classes(owner))
        for field, value in self._data_defaults(owner, action).items():
            put(document, field, value)
        absent = missing(owner.catalogued, action, document)
        if absent:
            raise BadRequest(
                f"no spec was saved for {action}, and its default lacks {', '.join(absent)}; "
                f"POST …/specs/{action} with values for them"
            )
        self._check(owner, action, document)
        return Saved(document, [Warning(WarningCode.DEFAULT_SPEC, action)], saved=False)

    def check_for_job(self, owner: Owner, action: str, document: Document) -> Saved:
        """Validate a spec for a single job, which is not saved. Raises InvalidSpec."""
        return self._examine(owner, action, document)

    def takes_spec(self, owner: Owner, action: str) -> bool:
        return owner.catalogued.takes_spec(action)

    def _with_spec(self, owner: Owner, action: str) -> Owner:
        self._owners.check_action(owner, action)
        if not self.takes_spec(owner, action):
            having = ", ".join(each for each in owner.actions if self.takes_spec(owner, each)) or "none"
            raise NotFound(f"action {action!r} of {owner.network} takes no spec; those that do: {having}")
        return owner

    def _saved(self, owner: Owner, action: str) -> Document:
        document = self._store.specs.get(owner.kind, owner.id, action)
        if document is None:
            raise NotFound(f"no spec was saved for {action}; GET …/specs/{action}/schema has a default to start from")
        return document

    def _save(self, owner: Owner, action: str, document: Document) -> None:
        with self._store.durable():
            self._store.specs.save(owner.kind, owner.id, action, document)

    async def _examined(self, owner: Owner, action: str, document: Document) -> Saved:
        """As `_examine`; a document that is long, or whose references may make it so, beside the event loop."""
        if not is_long(document) and not references.has_references(document):
            return self._examine(owner, action, document)
        return await self._snapshots.run(str(owner.user_id), self._examine, owner, action, document)

    def _examine(self, owner: Owner, action: str, document: Document) -> Saved:
        """The document with its references resolved, and its warnings. Raises InvalidSpec."""
        document = self._resolved(owner, action, document)
        return Saved(document, self._check(owner, action, document))

    def _resolved(self, owner: Owner, action: str, document: Document) -> Document:
        """The document with OmegaConf references to its own values resolved, if the tool uses them."""
        network = owner.catalogued
        self._check_bounds(document)
        if not network.resolves_references:
            return document
        whole = over_default(network, action, document)
        resolved, problems = references.resolve(document, whole)
        if problems:
            faults = "; ".join(f"{each.path}: {each.why}" for each in problems)
            raise InvalidSpec(f"Invalid specs: {faults}")
        self._check_bounds(resolved)
        return resolved

    def _check_bounds(self, document: Document) -> None:
        """Raise InvalidSpec if merging or references made the document larger than a request may be."""
        try:
            measure(document, self._parser.bounds)
        except DocumentError as error:
            raise InvalidSpec(f"Invalid specs: {error}") from error

    def _check(self, owner: Owner, action: str, document: Document) -> list[Warning]:
        narrows = action == TRAIN and owner.model is not None and isinstance(document, dict)
        if narrows:
            # The search space of a sweep is not part of the tool's parameters.
            user_ranges(owner.catalogued, document)
            document = without_search(document)
        checked = check(owner.catalogued, action, document, strict=self._config.strict)
        if checked.violations:
            named = [str(violation) for violation in checked.violations[:_MAX_NAMED]]
            more = len(checked.violations) - len(named)
            raise InvalidSpec("Invalid specs: " + "; ".join(named) + (f"; and {more} more" if more else ""))
        return list(checked.warnings)

    def _data_defaults(self, owner: Owner, action: str) -> dict[str, str]:
        """Parameter → default derived from the files of the data that the action reads."""
        model = owner.model
        read = [owner.dataset]
        if model is not None and owner.user_id is not None:
            evaluated = [model.eval_dataset] if action == "evaluate" else []
            inferred = [model.inference_dataset, model.eval_dataset] if action == "inference" else []
            ids = [each for each in (*evaluated, *inferred) if each][:1] or model.train_datasets
            read = [self._store.datasets.get(owner.user_id, each) for each in ids]
        counts: Counter[str] = Counter()
        for dataset in read:
            if dataset is not None and dataset.summary is not None:
                counts.update(dataset.summary.extensions)
        return data_defaults(owner.catalogued, action, counts)

    def _classes(self, owner: Owner) -> list[str] | None:
        """The classes of all train datasets in order, else of the first other dataset that has classes."""
        model = owner.model
        if model is None:
            return self._classes_of([owner.dataset]) or None
        if owner.user_id is None:
            return None
        others = [model.eval_dataset, model.inference_dataset, model.calibration_dataset]
        groups = [list(model.train_datasets), *([name] for name in others if name)]
        for ids in groups:
            classes = self._classes_of([self._store.datasets.get(owner.user_id, one) for one in ids])
            if classes:
                return classes
        return None

    def _classes_of(self, datasets: list[DatasetRecord | None]) -> list[str]:
        summaries = [dataset.summary for dataset in datasets if dataset is not None]
        names = [name for summary in summaries if summary is not None for name in summary.classes]
        return list(dict.fromkeys(names))
