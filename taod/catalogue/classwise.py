"""The parts of a specification that have an entry for each class, and how they are written for the tools."""

from __future__ import annotations

import copy
from typing import Any

from taod.catalogue.tables import Table

LISTS = (
    "classwise_config",
    "bbox_handler_config.classwise_bbox_handler_config",
    "dataset_config.target_class_mapping",
)
NAMES = "inferencer_config.target_classes"
_MAPPING = "dataset_config.target_class_mapping"
_COUNTS = ("model.head.num_classes", "dataset.num_classes")

# Where each part of an entry goes: part of the entry -> (group, map in it, name of the map's key field).
_SPLIT = (
    ("bbox_rasterizer_config", "bbox_rasterizer_config", "target_class_config"),
    ("postprocessing_config", "postprocessing_config", "target_class_config"),
)


def count_path(dataset_type: str, table: Table) -> str | None:
    """Where a classifier's number of classes is set. Detectors count category ids instead, so they have none here."""
    if dataset_type != "image_classification":
        return None
    return next((path for path in _COUNTS if path in table.rows), None)


def fill(table: Table, document: dict[str, Any], classes: list[str]) -> None:
    """Give the class-wise lists of a default document one entry for each class, made of the entry's defaults."""
    names = classes or _placeholder(table)
    for path in LISTS:
        holder, name = _holder(document, path)
        entries = holder.get(name) if holder is not None else None
        if path not in table.rows or holder is None or not isinstance(entries, list) or not entries:
            continue
        template = entries[0]
        if not classes and "key" in template:
            continue
        holder[name] = [_entry(template, c, mapping=path == _MAPPING) for c in names] or entries
    holder, name = _holder(document, NAMES)
    if classes and NAMES in table.rows and holder is not None:
        holder[name] = list(classes)


def _placeholder(table: Table) -> list[str]:
    row = table.rows.get(f"{_MAPPING}.key")
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
    entries = document.get("classwise_config")
    if not isinstance(entries, list):
        return document
    spread = {k: copy.deepcopy(v) for k, v in document.items() if k != "classwise_config"}
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


def _list(document: dict[str, Any], group: str, name: str) -> list[Any]:
    holder = document.setdefault(group, {})
    if not isinstance(holder.get(name), list):
        holder[name] = []
    entries: list[Any] = holder[name]
    return entries
