"""Assembles a job's command line and specification file from its facts. Reads files, writes none."""

from __future__ import annotations

import functools
from contextlib import suppress
from pathlib import Path
from typing import Any

import msgspec

from taod import plain_file
from taod.catalogue import preflight
from taod.catalogue.commands import command, conversions, inherit, placeholders, resources, sources
from taod.catalogue.commands.inputs import Assembled, JobFacts, ParentFacts
from taod.catalogue.commands.sources import depth, segmentation
from taod.catalogue.commands.sources.common import known_classes
from taod.catalogue.network import Network
from taod.catalogue.schema import classwise, merge, normalise
from taod.catalogue.specfiles import emit
from taod.errors import BadRequest

_CALIBRATED = "cal_image_dir"


def assemble(facts: JobFacts) -> Assembled:
    """The command line `[network, action, --field=value, …]` and the text of the specification file.

    Raises taod.errors.BadRequest for facts that the network cannot work with, and KeyError for an unknown network.
    """
    network = facts.catalogued
    spec_path = facts.folder / f"{placeholders.SPEC_NAME}{emit.SUFFIXES[_spec_format(facts, network)]}"
    context = placeholders.Context(facts, spec_path)
    fields = command.fields(facts, network)

    spec = _complete(facts, network, context)
    moved = _move_to_command(spec, fields, action=facts.action, network=network)
    values: dict[str, Any] = {}
    for field, how in fields.items():
        made, given = placeholders.value(how, context, field, fields), moved.pop(field, None)
        values[field] = made if made is not None else given
    values |= moved
    if facts.network == "bpnet" and facts.action == "inference":
        values["dump_visualizations"] = True

    further = _further(facts, network, fields, spec)
    text = _spec_text(facts, network, fields, spec)
    if text is not None and "key" in network.file.fields.get(facts.action, {}).values():
        # Its own specification holds the key: a command line is read by every account of the machine.
        values = {field: value for field, value in values.items() if fields.get(field) != "key"}
    argv = [*command.program(network, facts.action), *command.options(values)]
    if network.takes_only_overrides:
        argv += ["-e", str(spec_path)]
    overrides = sources.overrides(facts)
    return Assembled(
        argv=argv,
        further=further,
        image=command.image(facts, network),
        spec_path=spec_path if text is not None else None,
        spec_text=text,
        reads=_reads(facts),
        then=[[*argv, *(f"{field}={value}" for field, value in changed.items())] for changed in overrides],
        status_folder=_status_folder(network, facts.action, spec, overrides),
        environment=network.checkpoint_environment if facts.parent or context.resume() else {},
        files=_files(facts, fields),
        writes=_writes(facts),
    )


def _status_folder(network: Network, action: str, spec: merge.Document, overrides: list[dict[str, str]]) -> Path | None:
    """The folder of the last command line's status.json; None where it is below the results."""
    place = network.file.status.get(action)
    if place is None:
        return None
    field, _, below = place.partition("/")
    folder = (overrides[-1].get(field) if overrides else None) or merge.get(spec, field)
    return Path(folder) / below if isinstance(folder, str) else None


def complete(facts: JobFacts) -> merge.Document:
    """The complete specification of the job: defaults, inherited and filled values.

    Raises as `assemble` does.
    """
    network = facts.catalogued
    return _complete(facts, network, placeholders.Context(facts, facts.folder / placeholders.SPEC_NAME))


@functools.cache
def takes_key(name: str, action: str) -> str:
    """The program of the action if it gets the encryption key on its command line, else empty."""
    nowhere, probe = Path("/"), "the-key"
    argv = assemble(JobFacts(network=name, action=action, folder=nowhere, results=nowhere, spec=None, key=probe)).argv
    return argv[0] if any(word.endswith(f"={probe}") for word in argv) else ""


def pending_fields(facts: JobFacts) -> list[str]:
    """Command line and spec fields that get their value from files of a parent that has not finished."""
    network = facts.catalogued
    context = placeholders.Context(facts, facts.folder / placeholders.SPEC_NAME)
    names: list[str] = []
    for fields in (command.fields(facts, network), network.file.fields.get(facts.action, {})):
        names += [
            field
            for field, how in fields.items()
            if placeholders.is_pending(how, field, fields, facts.parent)
            and placeholders.value(how, context, field, fields) is None
        ]
    return list(dict.fromkeys(names))


def _spec_format(facts: JobFacts, network: Network) -> str:
    return "yaml" if facts.action == "convert_efficientdet_tf2" else network.spec_format


def _complete(facts: JobFacts, network: Network, context: placeholders.Context) -> merge.Document:
    """The user's spec merged over the defaults, with taod's values filled in and unset values removed."""
    classes = known_classes(facts)
    spec = merge.over_default(network, facts.action, facts.spec or {}, classes)
    spec = inherit.from_training(network, facts, spec, classes)
    inherit.size_of_training(network, facts, spec)
    inherit.reads_quantized(network, facts, spec)
    if "parent_spec_copied" in command.fields(facts, network).values():
        spec = inherit.over_parent(facts, spec)
    table = network.table(facts.action)
    count = classwise.count_path(network.dataset_type, table)
    if count is not None and classes and merge.get(spec, count) == table.rows[count].default:
        merge.put(spec, count, len(classes))

    filled = network.file.fields.get(facts.action, {})
    for field, how in filled.items():
        found = placeholders.value(how, context, field, filled)
        if found is not None:
            merge.put(spec, field, found)
            spec = merge.choose(network, spec, _only(field, found))
    # Some networks have it in their table but not in their filled fields.
    if inherit.RESUME in table.rows and (last := context.resume()) is not None:
        merge.put(spec, inherit.RESUME, last)
    _detectnet_inference(facts, spec, context)
    if facts.action == "export" and _CALIBRATED in table.rows and spec.get("data_type") == "int8":
        spec[_CALIBRATED] = spec.get(_CALIBRATED) or placeholders.value("cal_image_dir", context, _CALIBRATED, {})
    sources.fill_sources(spec, facts)
    preflight.fill_from_data(spec, facts, facts.spec or {})
    resources.fit(spec, facts.gpus)
    if network.takes_only_overrides and not facts.gpus and merge.get(spec, resources.ON_CPU) is False:
        merge.put(spec, resources.ON_CPU, True)
    spec.pop("version", None)
    for unknown in network.file.deploy_lacks if command.runs_deployed(facts) else ():
        spec = merge.without(spec, unknown)
    return normalise.normalise(table, merge.without_nulls(spec))


def _only(field: str, value: Any) -> merge.Document:
    document: merge.Document = {}
    merge.put(document, field, value)
    return document


def _detectnet_inference(facts: JobFacts, spec: merge.Document, context: placeholders.Context) -> None:
    """detectnet_v2 has one group for engines and one for checkpoints."""
    if facts.network != "detectnet_v2" or facts.action != "inference":
        return
    model = placeholders.value("parent_model_evaluate", context, "model_path", {})
    engine = isinstance(model, str) and model.endswith(".engine")
    used, other = ("tensorrt_config", "tlt_config") if engine else ("tlt_config", "tensorrt_config")
    merge.drop(spec, f"inferencer_config.{other}")
    if model is not None:
        merge.put(spec, f"inferencer_config.{used}.{'trt_engine' if engine else 'model'}", model)


def _move_to_command(spec: merge.Document, fields: dict[str, str], *, action: str, network: Network) -> dict[str, Any]:
    """Remove from the spec what goes to the command line, and return it.

    These are the command line's user fields. A dataset's action or a prune without a specification file passes
    every scalar this way.
    """
    if network.takes_only_overrides:
        return {}
    names = {field for field, how in fields.items() if how in placeholders.USER_FUNCTIONS}
    if "experiment_spec" not in fields.values() and (network.kind == "dataset" or action == "prune"):
        names |= {name for name in spec if name not in fields}
    scalars = [name for name in spec if name in names and not isinstance(spec[name], dict | list)]
    moved = {name: spec.pop(name) for name in scalars}
    if action.startswith("convert") and not placeholders.SPEC_FUNCTIONS.intersection(fields.values()):
        # The options of such a conversion are a group in its table and plain options on the command line.
        group = spec.get("dataset_convert", {})
        moved = {name: group[name] for name in names if group.get(name) is not None} | moved
    return moved


def _further(facts: JobFacts, network: Network, fields: dict[str, str], spec: merge.Document) -> merge.Document:
    """What the user set of an export that reads the specification of its training, or none."""
    if facts.action != "export" or not placeholders.SPEC_FUNCTIONS.intersection(fields.values()) <= {"parent_spec"}:
        return {}
    rows = network.table(facts.action).rows
    return {
        name: value
        for name, value in spec.items()
        if name in rows and name not in fields and not isinstance(value, dict | list) and value != rows[name].default
    }


def _spec_text(facts: JobFacts, network: Network, fields: dict[str, str], spec: merge.Document) -> str | None:
    used = placeholders.SPEC_FUNCTIONS.intersection(fields.values())
    if not used and not network.takes_only_overrides:
        return None
    if used == {"parent_spec"}:
        return _ancestor_text(facts)
    spec_format = _spec_format(facts, network)
    return emit.emit(spec_format, classwise.split(spec) if spec_format == "protobuf" else spec)


def _ancestor_text(facts: JobFacts) -> str | None:
    """The specification of the nearest ancestor that has one: its file, else assembled for that training."""
    parent = facts.parent
    while parent is not None:
        file = placeholders.spec_file(parent)
        with suppress(OSError, UnicodeDecodeError):  # else its run has replaced or removed it
            return plain_file.read(file, inherit.MOST_SPEC).decode("utf-8")
        if parent.spec is not None and parent.action in ("train", "retrain"):
            return assemble(_as_facts(parent, facts)).spec_text
        parent = parent.parent
    return None


def _as_facts(parent: ParentFacts, facts: JobFacts) -> JobFacts:
    """Facts of an ancestor, assembled now with the data of this job's model."""
    return msgspec.structs.replace(
        facts,
        network=parent.network,
        release=parent.release,
        action=parent.action,
        folder=parent.results.parent,
        results=parent.results,
        spec=parent.spec,
        parent=parent.parent,
    )


def _files(facts: JobFacts, fields: dict[str, str]) -> dict[Path, str]:
    if facts.network in ("mask2former", "oneformer"):
        categories = segmentation.label_map(facts)
        return {} if categories is None else {facts.folder / segmentation.LABEL_MAP: categories}
    if facts.network.startswith("depth_net"):
        return depth.lists(facts)
    if "class_names_file" not in fields.values():
        return {}
    names = known_classes(facts)
    if not names:
        raise BadRequest(
            f"{facts.action} needs the names of the dataset's classes, and none were found; "
            "check its label files, or add a classes.txt with one name a line"
        )
    return {facts.folder / placeholders.CLASS_NAMES: "".join(f"{name}\n" for name in names)}


def _writes(facts: JobFacts) -> list[Path]:
    datasets = [facts.own, *facts.train] if conversions.writes(facts.network, facts.action) else []
    return [dataset.root for dataset in datasets if dataset is not None]


def _reads(facts: JobFacts) -> list[Path]:
    datasets = [*facts.train, facts.eval, facts.inference, facts.calibration, facts.own]
    found = [d.root for d in datasets if d is not None] + list(facts.ptms)
    found += [d.linked for d in datasets if d is not None and d.linked is not None]
    parent = facts.parent
    while parent is not None:
        found.append(parent.results)
        parent = parent.parent
    return list(dict.fromkeys(found))
