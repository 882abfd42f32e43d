"""The parts of a specification with an entry for each class, and their form in the tools' files."""

from __future__ import annotations

import copy
from typing import Any

from taod.catalogue.schema.tables import Table

CONFIG = "classwise_config"
MAPPING = "dataset_config.target_class_mapping"
LISTS = (
    CONFIG,
    "bbox_handler_config.classwise_bbox_handler_config",
    MAPPING,
)
NAMES = "inferencer_config.target_classes"
_COUNTS = ("model.head.num_classes", "dataset.num_classes")

# (part of an entry, group, map in the group) of the parts that `split` copies.
_SPLIT = (
    ("bbox_rasterizer_config", "bbox_rasterizer_config", "target_class_config"),
    ("postprocessing_config", "postprocessing_config", "target_class_config"),
)


def count_path(dataset_type: str, table: Table) -> str | None:
    """Where a classifier's number of classes is set. Detectors count category ids instead, so they have none here."""
    if dataset_type != "image_classification":
        return None
    return next((path for path in _COUNTS if path in table.rows), None)


def fill_classes(table: Table, document: dict[str, Any], classes: list[str]) -> None:
    """Give the class-wise lists of a default document one entry for each class, with the entry's defaults."""
    names = classes or _placeholder(table)
    for path in LISTS:
        holder, name = _holder(document, path)
        entries = holder.get(name) if holder is not None else None
        if path not in table.rows or holder is None or not isinstance(entries, list) or not entries:
            continue
        template = entries[0]
        if not classes and "key" in template:
            continue
        holder[name] = [_entry(template, c, mapping=path == MAPPING) for c in names] or entries
    holder, name = _holder(document, NAMES)
    if classes and NAMES in table.rows and holder is not None:
        holder[name] = list(classes)


def _placeholder(table: Table) -> list[str]:
    row = table.rows.get(f"{MAPPING}.key")
    return [row.default] if row is not None and row.default else []


def _holder(document: dict[str, Any], path: str) -> tuple[dict[str, Any] | None, str]:
    group, _, name = path.rpartition(".")
    holder = document.get(group) if group else document
    return (holder if isinstance(holder, dict) else None), name


def _entry(template: dict[str, Any], name: str, *, mapping: bool) -> dict[str, Any]:
    entry = {"key": name, **{k: copy.deepcopy(v) for k, v in template.items() if k != "key"}}
    return {"key": name, "value": name} if mapping else entry


def split(document: dict[str, Any]) -> dict[str, Any]:
    """The document with `classwise_config` spread over the maps that the tool reads.

    The maps are in bbox_rasterizer_config, postprocessing_config, cost_function_config and evaluation_config.
    """
    entries = document.get(CONFIG)
    if not isinstance(entries, list):
        return document
    spread = {k: copy.deepcopy(v) for k, v in document.items() if k != CONFIG}
    for entry in entries:
        key, value = entry.get("key"), dict(entry.get("value") or {})
        if entry.get("postprocessing_config") is not None:
            value["postprocessing_config"] = entry["postprocessing_config"]
        for part, group, name in _SPLIT:
            if value.get(part) is not None:
                _list(spread, group, name).append({"key": key, "value": value[part]})
        cost = value.get("cost_function_config")
        if cost is not None:
            _list(spread, "cost_function_config", "target_classes").append({"name": key, **cost})
        _spread_evaluation(spread, key, value.get("evaluation_config") or {})
    return spread


def _spread_evaluation(spread: dict[str, Any], key: Any, evaluation: dict[str, Any]) -> None:
    overlap = evaluation.get("minimum_detection_ground_truth_overlap")
    if overlap is not None:
        name = "minimum_detection_ground_truth_overlap"
        _list(spread, "evaluation_config", name).append({"key": key, "value": overlap})
    box = evaluation.get("evaluation_box_config")
    if box is not None:
        _list(spread, "evaluation_config", "evaluation_box_config").append({"key": key, "value": box})


def gather(document: dict[str, Any]) -> dict[str, Any]:
    """The document with the tool's maps merged into one `classwise_config`: the inverse of `split`."""
    gathered = copy.deepcopy(document)
    entries: dict[Any, dict[str, Any]] = {}
    for group, name, put in _GATHERED:
        for item in _taken(gathered, group, name):
            if isinstance(item, dict):
                key = item.get("name") if name == "target_classes" else item.get("key")
                put(entries.setdefault(key, {"key": key}), item)
    if entries:
        gathered[CONFIG] = [*_taken(gathered, "", CONFIG), *entries.values()]
    return gathered


def _taken(document: dict[str, Any], group: str, name: str) -> list[Any]:
    """Remove a map from its group and return it; an empty group is removed."""
    holder = document.get(group) if group else document
    if not isinstance(holder, dict) or name not in holder:
        return []
    found = holder.pop(name)
    if group and not holder:
        del document[group]
    return found if isinstance(found, list) else [found]


def _put_rasterizer(entry: dict[str, Any], item: dict[str, Any]) -> None:
    entry.setdefault("value", {})["bbox_rasterizer_config"] = item.get("value")


def _put_clustering(entry: dict[str, Any], item: dict[str, Any]) -> None:
    entry["postprocessing_config"] = item.get("value")


def _put_cost(entry: dict[str, Any], item: dict[str, Any]) -> None:
    entry.setdefault("value", {})["cost_function_config"] = {k: v for k, v in item.items() if k != "name"}


def _put_overlap(entry: dict[str, Any], item: dict[str, Any]) -> None:
    evaluation = entry.setdefault("value", {}).setdefault("evaluation_config", {})
    evaluation["minimum_detection_ground_truth_overlap"] = item.get("value")


def _put_box(entry: dict[str, Any], item: dict[str, Any]) -> None:
    evaluation = entry.setdefault("value", {}).setdefault("evaluation_config", {})
    evaluation["evaluation_box_config"] = item.get("value")


_GATHERED = (
    ("bbox_rasterizer_config", "target_class_config", _put_rasterizer),
    ("cost_function_config", "target_classes", _put_cost),
    ("evaluation_config", "minimum_detection_ground_truth_overlap", _put_overlap),
    ("evaluation_config", "evaluation_box_config", _put_box),
    ("postprocessing_config", "target_class_config", _put_clustering),
)


def _list(document: dict[str, Any], group: str, name: str) -> list[Any]:
    holder = document.setdefault(group, {})
    if not isinstance(holder.get(name), list):
        holder[name] = []
    entries: list[Any] = holder[name]
    return entries
