"""Compares a job's specification with the data that it reads: a table of rules that yield warnings.

Pure: facts in, warnings out. `data/preflight.json` says which rule applies to which network. A new rule is a function
in `RULES`, a code in `taod.types.warning` and its text in `taod.types.warning_text`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

import msgspec

from taod.catalogue.commands import conversions
from taod.catalogue.commands.inputs import DatasetFacts, JobFacts
from taod.catalogue.network import Network
from taod.catalogue.network import get_network as network_of
from taod.catalogue.releases import BASE
from taod.catalogue.schema.merge import Document, get, put
from taod.catalogue.schema.tables import DATA
from taod.types.warning import Warning, WarningCode

ClassRule = Literal["names", "ids", "identities", "label_map", "map_keys", "mapping", "palette", "list"]
TRAINS = frozenset({"train", "distill", "retrain"})
_LEARNS = TRAINS | {"evaluate"}
_FILLED = frozenset({".jpg", ".jpeg", ".png"})
"""Extensions that the tools can read, in any letter case."""
_BOXES = {"convert": "in pixels", "convert_and_index": "relative to the image"}
"""The boxes of the records that each conversion writes."""
_SHOWN = 5


class NetworkFacts(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Facts of one network for the rules."""

    image_extension: list[str] = []
    """Parameters with the extension of the images; written with a dot where the default has one."""
    only_extension: str = ""
    """The only extension that the tool reads, whatever its parameters are."""
    first_class_id: int = 0
    """The conversion of the data rejects lower category ids."""
    read_if: dict[str, str] = {}
    """Parameter with a path -> the boolean parameter without which it is not read."""
    batch_size: str = ""
    """The parameter with the images of one training step per GPU."""
    drop_last: bool = False
    """The training drops an incomplete batch."""
    unit: Literal["images", "videos", "sequences", "scans"] = "images"
    """What one training sample is."""
    train_part: str = ""
    """The split that is trained on, where the dataset has several."""
    minimum_steps: int = 0
    """The tool rejects fewer steps per epoch."""
    minimum_steps_field: str = ""
    """The parameter that overrides `minimum_steps`."""
    validation: Literal["", "required", "measured"] = ""
    """Behaviour without an eval dataset. `required`: the training fails at its start or first validation; `measured`:
    it runs without validation. Empty: it reads no eval dataset, or validates on the train dataset."""
    validation_switch: str = ""
    """The parameter that turns the validation off."""
    validation_fold: str = ""
    """The parameter that makes a part of the training records the validation set."""
    records: Literal["", "convert", "convert_and_index"] = ""
    """The conversion that writes the records it reads."""
    classes: dict[str, ClassRule] = {}
    """Parameter that must fit the classes of the data -> the rule."""
    layouts: dict[str, dict[str, str]] = {}
    """Parameter that chooses a folder of the dataset -> value -> folder."""


class Missing(msgspec.Struct, frozen=True):
    """A path in a dataset that the specification names and that does not exist."""

    field: str
    root: Path
    path: str
    """Below the dataset's root."""


class Unreadable(msgspec.Struct, frozen=True):
    """Images that the check of a dataset could not read."""

    images: int
    first: str


class PreflightFacts(msgspec.Struct, frozen=True, kw_only=True):
    """A job, its complete specification, and facts of its data."""

    job: JobFacts
    spec: Document
    """Defaults, inherited and filled values included."""
    missing: list[Missing] = []
    folders: dict[Path, list[str]] = {}
    """Dataset root -> its top-level folders, for datasets that lack a path."""
    unreadable: dict[Path, Unreadable] = {}
    converting: frozenset[Path] = frozenset()
    """Roots of datasets with a waiting, running or planned conversion."""
    converted_by: dict[Path, str] = {}
    """Dataset root -> its last completed conversion."""
    samples: int | None = None
    """Training samples where these are not images; None: not counted."""
    identities: int | None = None
    """Different persons or objects among the training images (re-identification)."""

    @property
    def network(self) -> NetworkFacts:
        return network_facts(self.job.catalogued)

    @property
    def datasets(self) -> list[DatasetFacts]:
        """All datasets that the job may read, without duplicates."""
        job = self.job
        found = [*job.train, *(each for each in (job.eval, job.inference, job.calibration, job.own) if each)]
        return list({each.root: each for each in found}.values())


Rule = Callable[[PreflightFacts], Iterator[Warning]]


def check(facts: PreflightFacts) -> list[Warning]:
    """Every warning of every rule, in the table's order."""
    return [warning for rule in RULES for warning in rule(facts)]


@lru_cache(maxsize=1)
def _table() -> dict[str, NetworkFacts]:
    return msgspec.json.decode((DATA / "preflight.json").read_bytes(), type=dict[str, NetworkFacts])


def network_facts(network: Network | str) -> NetworkFacts:
    """The facts of a network; empty where the table has no line for it, and for releases after 5.0."""
    chosen = network_of(network)
    return _table().get(chosen.name, NetworkFacts()) if chosen.release == BASE else NetworkFacts()


def fill_from_data(spec: Document, job: JobFacts, given: Document) -> None:
    """Set the image extension from the data where the user gave none."""
    found = _extensions(job)
    for field in _extension_fields(job.catalogued, job.action):
        if get(given, field) is None and (value := _written(job.catalogued, job.action, field, found)) is not None:
            put(spec, field, value)


def data_defaults(network: Network | str, action: str, extensions: dict[str, int]) -> dict[str, str]:
    """Parameter -> default value that follows from the data and that the parameter's options allow."""
    found = Counter(extensions)
    rows = network_of(network).table(action).rows
    values = {field: _written(network, action, field, found) for field in _extension_fields(network, action)}
    return {field: value for field, value in values.items() if value and value in (rows[field].options or [value])}


def _extension_fields(network: Network | str, action: str) -> list[str]:
    rows = network_of(network).table(action).rows
    return [field for field in network_facts(network).image_extension if field in rows]


def _extensions(job: JobFacts) -> Counter[str]:
    """Extensions of the images that the action reads."""
    by_action = {"evaluate": [job.eval], "inference": [job.inference or job.eval]}
    chosen = [each for each in by_action.get(job.action, []) if each is not None] or job.train
    found: Counter[str] = Counter()
    for dataset in chosen or [each for each in (job.own, job.eval, job.inference) if each is not None]:
        found.update(dataset.extensions)
    return found


def _written(network: Network | str, action: str, field: str, found: Counter[str]) -> str | None:
    """The most common readable extension as the parameter spells it; None where there is none."""
    common = next((extension for extension, _ in found.most_common() if extension.lower() in _FILLED), None)
    if common is None:
        return None
    default = network_of(network).table(action).rows[field].default
    return common if str(default or "").startswith(".") else common.removeprefix(".")


def _image_extension(facts: PreflightFacts) -> Iterator[Warning]:
    found = _extensions(facts.job)
    dataset = next((each.name for each in [*facts.job.train, *facts.datasets] if each.extensions), "")
    for field in _extension_fields(facts.job.catalogued, facts.job.action):
        value = get(facts.spec, field)
        if value is None or not found:
            continue
        shown = ", ".join(f"{extension} ({count})" for extension, count in found.most_common(_SHOWN))
        arguments = {"value": value, "dataset": dataset, "found": shown}
        if f".{str(value).removeprefix('.')}" not in found:
            best = _written(facts.job.catalogued, facts.job.action, field, found)
            remedy = f"set {field} to {best!r}" if best else "convert the images to .jpg or .png"
            yield Warning(WarningCode.IMAGE_EXTENSION, field, arguments, remedy)
        elif len(found) > 1:
            yield Warning(WarningCode.MIXED_EXTENSIONS, field, arguments, "convert the images to one format")


def _only_extension(facts: PreflightFacts) -> Iterator[Warning]:
    only = facts.network.only_extension
    for dataset in facts.datasets if only else []:
        others = {extension: count for extension, count in dataset.extensions.items() if extension != only}
        if others:
            shown = ", ".join(f"{extension} ({count})" for extension, count in list(others.items())[:_SHOWN])
            arguments = {"found": shown, "only": only, "network": facts.job.network}
            yield Warning(WarningCode.EXTENSION_UNREAD, dataset.name, arguments, f"convert the images to {only}")


def _first_class_id(facts: PreflightFacts) -> Iterator[Warning]:
    first = facts.network.first_class_id
    for dataset in facts.datasets:
        lowest = dataset.lowest_class_id
        if lowest is not None and lowest < first:
            arguments = {"lowest": lowest, "first": first}
            remedy = f"number its categories from {first}"
            yield Warning(WarningCode.CLASS_ID_REJECTED, dataset.name, arguments, remedy)


def _classes(facts: PreflightFacts) -> Iterator[Warning]:
    job = facts.job
    if job.action not in _LEARNS:
        return
    dataset = job.train[0] if job.train else job.eval
    if dataset is None:
        return
    for field, rule in facts.network.classes.items():
        value = get(facts.spec, field)
        if value is not None:
            yield from _CLASS_RULES[rule](facts, dataset, field, value)


def _count(field: str, value: Any, dataset: DatasetFacts, count: int | None, counted: str) -> Iterator[Warning]:
    if count and value != count:
        arguments = {"value": value, "dataset": dataset.name, "classes": count, "counted": counted}
        yield Warning(WarningCode.CLASS_COUNT, field, arguments, f"set {field} to {count}")


def _names(facts: PreflightFacts, dataset: DatasetFacts, field: str, value: Any) -> Iterator[Warning]:
    classes = {name for each in facts.job.train or [dataset] for name in each.classes}
    yield from _count(field, value, dataset, len(classes), "classes")


def _identities(facts: PreflightFacts, dataset: DatasetFacts, field: str, value: Any) -> Iterator[Warning]:
    yield from _count(field, value, dataset, facts.identities, "identities to train on")


def _ids(facts: PreflightFacts, dataset: DatasetFacts, field: str, value: Any) -> Iterator[Warning]:
    for each in facts.job.train or [dataset]:
        yield from _above(field, value, each, limit=value)


def _palette(facts: PreflightFacts, dataset: DatasetFacts, field: str, value: Any) -> Iterator[Warning]:
    ids = [entry["label_id"] for entry in value if isinstance(entry, dict) and isinstance(entry.get("label_id"), int)]
    if ids:
        yield from _above(field, f"label_id {max(ids)} at most", dataset, limit=max(ids) + 1)


def _above(field: str, shown: Any, dataset: DatasetFacts, limit: Any) -> Iterator[Warning]:
    """The highest class id of the data must be below `limit`."""
    highest = dataset.highest_class_id
    if highest is None or not isinstance(limit, int) or highest < limit:
        return
    arguments = {"value": shown, "dataset": dataset.name, "highest": highest}
    remedy = f"set {field} to {highest + 1} or more" if shown == limit else f"add label_id {highest} to {field}"
    yield Warning(WarningCode.CLASS_ID, field, arguments, remedy)


def _label_map(facts: PreflightFacts, dataset: DatasetFacts, field: str, value: Any) -> Iterator[Warning]:
    """The number of classes must match the label map beside it."""
    names = get(facts.spec, f"{field.rpartition('.')[0]}.label_map")
    if isinstance(names, dict):
        count = max((number + 1 for number in names.values() if isinstance(number, int)), default=0)
        yield from _count(field, value, dataset, count, "classes in its label map")


def _map_keys(facts: PreflightFacts, dataset: DatasetFacts, field: str, value: Any) -> Iterator[Warning]:
    """Every class of the data needs an entry."""
    known = {str(key) for key in value} if isinstance(value, dict) else set()
    lacking = [name for name in dataset.classes if name not in known]
    yield from _unlisted(field, dataset, lacking)


def _mapping(facts: PreflightFacts, dataset: DatasetFacts, field: str, value: Any) -> Iterator[Warning]:
    """At least one class of the data must be named; leaving out others is allowed."""
    entries = value if isinstance(value, list) else []
    known = {str(entry.get("key") if isinstance(entry, dict) else entry).lower() for entry in entries}
    if known and not any(name.lower() in known for name in dataset.classes):
        yield from _unlisted(field, dataset, dataset.classes)


def _unlisted(field: str, dataset: DatasetFacts, names: list[str]) -> Iterator[Warning]:
    if names:
        shown = ", ".join(names[:_SHOWN]) + (f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else "")
        arguments = {"classes": shown, "dataset": dataset.name}
        yield Warning(WarningCode.CLASSES_UNLISTED, field, arguments, f"add the classes of the dataset to {field}")


_CLASS_RULES: dict[str, Callable[[PreflightFacts, DatasetFacts, str, Any], Iterator[Warning]]] = {
    "names": _names,
    "ids": _ids,
    "identities": _identities,
    "label_map": _label_map,
    "map_keys": _map_keys,
    "mapping": _mapping,
    "palette": _palette,
    "list": _mapping,
}


def _train_samples(facts: PreflightFacts) -> int | None:
    """Upper bound of the training samples; None where a dataset's count is not known."""
    if facts.network.unit != "images":
        return facts.samples
    part, total = facts.network.train_part, 0
    for dataset in facts.job.train:
        count = dataset.parts.get(part, dataset.images)
        if not count:
            return None
        total += count
    return total or None


def _batch_size(facts: PreflightFacts) -> Iterator[Warning]:
    field = facts.network.batch_size
    value = get(facts.spec, field) if field and facts.job.action in TRAINS else None
    samples = _train_samples(facts)
    if samples is None or not isinstance(value, int):
        return
    minimum = get(facts.spec, facts.network.minimum_steps_field or "-", facts.network.minimum_steps)
    steps = -(-samples // max(value, 1))
    if minimum and steps < minimum:
        fitting = max(samples // minimum, 1)
        enough = samples >= minimum
        remedy = f"set {field} to {fitting} or less" if enough else f"train on at least {minimum} images"
        arguments = {"value": value, "samples": samples, "steps": steps, "minimum": minimum}
        yield Warning(WarningCode.FEW_STEPS, field, arguments, remedy)
    elif value * max(facts.job.gpus, 1) > samples:
        arguments = {"value": value, "samples": samples, "unit": facts.network.unit, "part": "training"}
        dropped = facts.network.drop_last
        if facts.job.gpus > 1:
            arguments["gpus"] = facts.job.gpus
        fitting = max(samples // max(facts.job.gpus, 1), 1)
        code = WarningCode.NO_BATCHES if dropped else WarningCode.BATCH_SIZE
        yield Warning(code, field, arguments, f"set {field} to {fitting} or less")


def _validation(facts: PreflightFacts) -> Iterator[Warning]:
    how, job = facts.network.validation, facts.job
    if not how or job.action not in TRAINS or job.eval is not None:
        return
    switch, fold = facts.network.validation_switch, facts.network.validation_fold
    if switch and get(facts.spec, switch) is False:
        return
    if fold and get(facts.spec, fold) is not None:
        return
    effect = {
        "required": f"NVIDIA's {job.network} stops without validation data",
        "measured": "the training is not validated, so it has no validation metric and no best checkpoint",
    }[how]
    yield Warning(WarningCode.NO_VALIDATION, "eval_dataset", {"effect": effect}, "set eval_dataset of the model")


def _missing_paths(facts: PreflightFacts) -> Iterator[Warning]:
    """One warning for each dataset that lacks paths."""
    datasets = {dataset.root: dataset for dataset in facts.datasets}
    wanted = [
        each
        for each in facts.missing
        if each.root in datasets
        and _is_read(facts, each.field)
        and not _will_exist(facts, datasets[each.root], each.path)
    ]
    for dataset in facts.datasets:
        lacking = [each for each in wanted if each.root == dataset.root]
        if not lacking:
            continue
        paths = list(dict.fromkeys(each.path for each in lacking))
        shown = ", ".join(paths[:_SHOWN]) + (f" and {len(paths) - _SHOWN} more" if len(paths) > _SHOWN else "")
        arguments = {"dataset": dataset.name, "paths": shown}
        fields = ", ".join(dict.fromkeys(each.field for each in lacking))
        switches = [facts.network.read_if[each.field] for each in lacking if each.field in facts.network.read_if]
        remedy = f"upload these files, or set {switches[0]} to false" if switches else ""
        yield Warning(WarningCode.PATH_MISSING, fields, arguments, remedy or _remedy(facts, dataset, paths))


def _is_read(facts: PreflightFacts, field: str) -> bool:
    switch = facts.network.read_if.get(field)
    return switch is None or get(facts.spec, switch) is not False


def _will_exist(facts: PreflightFacts, dataset: DatasetFacts, path: str) -> bool:
    """Whether a conversion, this job's own included, will write the path."""
    converted = dataset.root in facts.converting or conversions.writes(facts.job.network, facts.job.action)
    return converted and conversions.is_output(dataset.type, dataset.format, path)


def _remedy(facts: PreflightFacts, dataset: DatasetFacts, paths: list[str]) -> str:
    for field, folders in facts.network.layouts.items():
        if any(path.partition("/")[0] in folders.values() for path in paths):
            there = [value for value, folder in folders.items() if folder in facts.folders.get(dataset.root, [])]
            if there:
                return f"set {field} to {there[0]!r}"
    if any(conversions.is_output(dataset.type, dataset.format, path) for path in paths):
        return "run the dataset's conversion first"
    return "upload these files, or set the field to a path of the dataset"


def _unreadable(facts: PreflightFacts) -> Iterator[Warning]:
    for dataset in facts.datasets:
        found = facts.unreadable.get(dataset.root)
        if found is not None and found.images:
            many = "1 image" if found.images == 1 else f"{found.images} images"
            arguments = {"images": many, "first": found.first}
            yield Warning(WarningCode.UNREADABLE_IMAGES, dataset.name, arguments, "replace or remove them")


def _records(facts: PreflightFacts) -> Iterator[Warning]:
    """`convert` writes boxes in pixels, `convert_and_index` boxes relative to the image and index files."""
    wanted, job = facts.network.records, facts.job
    if not wanted or job.action not in _LEARNS:
        return
    read = job.train if job.action in TRAINS else []
    if wanted == "convert" and job.eval is not None:
        read = [*read, job.eval]
    for dataset in read:
        found = facts.converted_by.get(dataset.root)
        if found in _BOXES and found != wanted:
            arguments = {"action": found, "network": job.network}
            code = WarningCode.RECORDS_BOXES if wanted == "convert" else WarningCode.NO_INDEX_FILES
            yield Warning(code, dataset.name, arguments, f"run {wanted} on the dataset")


def _replaced_records(facts: PreflightFacts) -> Iterator[Warning]:
    """Both conversions write the same file names."""
    job = facts.job
    if job.network != "object_detection" or job.action not in _BOXES or job.own is None:
        return
    found = facts.converted_by.get(job.own.root)
    if found in _BOXES and found != job.action:
        arguments = {"action": found, "boxes": _BOXES[job.action]}
        remedy = "convert a copy of the dataset to keep both"
        yield Warning(WarningCode.RECORDS_REPLACED, job.own.name, arguments, remedy)


RULES: tuple[Rule, ...] = (
    _image_extension,
    _only_extension,
    _first_class_id,
    _classes,
    _batch_size,
    _validation,
    _missing_paths,
    _unreadable,
    _records,
    _replaced_records,
)
