"""Values that an evaluation, export or inference inherits from the training of its weights."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import msgspec

from taod import plain_file
from taod.catalogue.commands.inputs import JobFacts, ParentFacts
from taod.catalogue.commands.placeholders import spec_file, trained_ancestor
from taod.catalogue.network import QUANTIZED, Network
from taod.catalogue.schema import classwise, merge
from taod.catalogue.schema.tables import Node
from taod.catalogue.specfiles.parse_process import read_yaml_apart

_AFTER_TRAINING = frozenset(
    {"evaluate", "export", "inference", "gen_trt_engine", "confmat", "prune", "retrain", "distill", "quantize"}
)
# For these the PyTorch tools build the network from the configuration before they load its weights.
RESUME = "train.resume_training_checkpoint_path"
"""The checkpoint that a training on Lightning resumes from."""
MOST_SPEC = 16 << 20
"""Bytes of a specification file, which a run may have replaced."""
_MODEL = "model"
"""A prune needs it even where its table lacks it (ocdnet)."""
# Groups that describe the action, not the model.
_OWN = (
    "train",
    "distill",
    "quant",
    "eval",
    "infer",
    "export",
    "prune",
    "gen_trt",
    "nms",
    "bbox",
    "postprocess",
    "cost",
    "visual",
)
# Arguments that fit one architecture only.
_WHOLE = "custom_args"
_UNKNOWN = Node("", "")


def from_training(network: Network, facts: JobFacts, spec: merge.Document, classes: list[str]) -> merge.Document:
    """The spec with the training's values in the groups that both have, such as `model` and `dataset`.

    Values that the user set in this action's spec stay. A value equal to the action's default counts as not set:
    clients send the whole default back, and the weights fit only the model they were trained in.
    """
    ancestor = trained_ancestor(facts.parent)
    if ancestor is None or ancestor.catalogued is not network or facts.action not in _AFTER_TRAINING:
        return spec
    theirs = _trained_spec(network, facts, ancestor, classes)
    inherited = dict(spec)
    for path in network.file.trained:
        if (value := merge.get(theirs, path)) is not None:
            merge.put(inherited, path, value)
    if facts.action == "prune" and network.image != "tlt-pytorch":
        return inherited
    defaults = [merge.default(network, facts.action), merge.default(network, facts.action, classes)]
    root = network.table(facts.action).root
    for group in _shared_groups(network, facts.action, ancestor.action):
        if isinstance(theirs.get(group), dict):
            own = {
                group: _set_by_user(
                    spec.get(group) or {}, [d.get(group) for d in defaults], root.children.get(group, _UNKNOWN)
                )
            }
            trained = {group: theirs[group]}
            laid = _overlay(merge.choose(network, {group: defaults[1].get(group) or {}}, trained), trained, root)
            inherited[group] = merge.merge(merge.choose(network, laid, own), own, root)[group]
    untouched = [default.get(classwise.CONFIG) for default in defaults]
    if facts.action in ("evaluate", "retrain") and spec.get(classwise.CONFIG) in untouched:
        inherited |= {name: theirs[name] for name in (classwise.CONFIG,) if name in theirs}
    if facts.action == "distill":
        _teach(network, inherited, theirs)
    return inherited


_TEACHER = "distill.teacher"
"""The model that a distillation learns from: that of its parent."""


def _teach(network: Network, spec: merge.Document, trained: merge.Document) -> None:
    """Describe the trained model as the teacher; the student is the `model` of the distillation's own specification."""
    node = network.table("distill").node(_TEACHER) or _UNKNOWN
    default = merge.get(merge.default(network, "distill"), _TEACHER) or {}
    own = _set_by_user(merge.get(spec, _TEACHER) or {}, [default], node)
    merge.put(spec, _TEACHER, merge.merge(_overlay(default, trained.get(_MODEL) or {}, node), own, node))


_QUANTIZATION = "quantize"


def reads_quantized(network: Network, facts: JobFacts, spec: merge.Document) -> None:
    """Mark the model of an action as quantized, where its table has the parameter, and describe how it was quantized:
    the tools quantize a new model in the same way before they load the weights."""
    parent, field = facts.parent, f"{facts.action}.{QUANTIZED}"
    if parent is None or parent.action != "quantize" or field not in network.table(facts.action).rows:
        return
    merge.put(spec, field, True)
    done = merge.over_default(network, parent.action, parent.spec or {})
    for filled in network.file.fields.get(parent.action, {}):
        done = merge.without(done, filled)
    if _QUANTIZATION in done:
        spec[_QUANTIZATION] = done[_QUANTIZATION]


_EXPORTED = ("export.input_width", "export.input_height")


def size_of_training(network: Network, facts: JobFacts, spec: merge.Document) -> None:
    """Give an export the size of the training's images, where its specification has no other one than the defaults.

    The tools' defaults are a size of their own, with which the export of a network trained at another one fails.
    """
    ancestor = trained_ancestor(facts.parent)
    if facts.action != "export" or ancestor is None or ancestor.catalogued is not network:
        return
    trained = merge.over_default(network, ancestor.action, ancestor.spec or {})
    rows = network.table(facts.action).rows
    joined = _joined(merge.get(trained, network.file.export_joined) or {})
    for field, path, times in zip(_EXPORTED, network.file.export_size, joined, strict=False):
        value: Any = trained
        for name in path.split("."):
            value = value[int(name)] if isinstance(value, list) else (value or {}).get(name)
        if isinstance(value, int) and value > 0 and merge.get(spec, field) == rows[field].default:
            merge.put(spec, field, value * times)


def _joined(group: merge.Document) -> tuple[int, int]:
    """How many images are joined into one, side by side and below each other."""
    images, grid = len(group.get("input_map") or ()), group.get("grid_map") or {}
    if group.get("concat_type") == "grid" and int(group.get("num_input", 1)) % 2 == 0:
        return int(grid.get("x", 1)), int(grid.get("y", 1))
    return 1, max(images, 1)


def over_parent(facts: JobFacts, spec: merge.Document) -> merge.Document:
    """The training's specification with this action's group and `dataset` in place of its own.

    The checkpoint that the training resumed from is removed: Lightning deletes the file.
    """
    ancestor = trained_ancestor(facts.parent)
    if ancestor is None:
        return spec
    return {
        **merge.without(_written_spec(ancestor), RESUME),
        **{k: v for k, v in spec.items() if k in (facts.action, "dataset")},
    }


def _written_spec(ancestor: ParentFacts) -> merge.Document:
    file = spec_file(ancestor)
    if file.suffix == ".yaml":
        with suppress(OSError, ValueError):  # else its run has replaced or removed it
            loaded = read_yaml_apart(plain_file.read(file, MOST_SPEC))
            if isinstance(loaded, dict):
                return loaded
    return merge.over_default(ancestor.catalogued, ancestor.action, ancestor.spec or {})


def _trained_spec(network: Network, facts: JobFacts, ancestor: ParentFacts, classes: list[str]) -> merge.Document:
    """The training's spec without the values filled in for that run: initial weights, folders."""
    whole = merge.over_default(network, ancestor.action, ancestor.spec or {})
    if ancestor.action == "distill":  # it inherited from its own parent
        distillation = msgspec.structs.replace(facts, action="distill", spec=ancestor.spec, parent=ancestor.parent)
        whole = from_training(network, distillation, whole, classes)
    for field in network.file.fields.get(ancestor.action, {}):
        whole = merge.without(whole, field)
    return whole


def _shared_groups(network: Network, action: str, trained: str) -> list[str]:
    ours, theirs = network.table(action).root.children, network.table(trained).root.children
    both = [name for name, node in ours.items() if name in theirs and node.is_group and theirs[name].is_group]
    if action == "retrain" and network.spec_format != "protobuf":
        return [name for name in both if name == _MODEL]
    if action == "distill":
        both = [name for name in both if name != _MODEL]
    if action == "prune" and _MODEL in theirs and _MODEL not in ours:
        both.append(_MODEL)
    return [name for name in both if not name.startswith(_OWN)]


def _set_by_user(values: merge.Document, defaults: list[Any], node: Node) -> merge.Document:
    """The values that differ from every default."""
    own: merge.Document = {}
    for key, value in values.items():
        others = [d.get(key) if isinstance(d, dict) else None for d in defaults]
        child = node.children.get(key, _UNKNOWN)
        if isinstance(value, dict) and not child.free_keys:
            below = _set_by_user(value, others, child)
            if below or not value:
                own[key] = below
        elif value is not None and value not in others:
            own[key] = value
    return own


def _overlay(base: merge.Document, over: merge.Document, node: Node) -> merge.Document:
    laid = dict(base)
    for key, value in over.items():
        below = laid.get(key)
        child = node.children.get(key, _UNKNOWN)
        if isinstance(value, dict) and isinstance(below, dict) and key != _WHOLE and not child.free_keys:
            laid[key] = _overlay(below, value, child)
        else:
            laid[key] = value
    return laid
