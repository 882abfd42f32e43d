"""Renders a warning as text, for headers, terminals, the dashboard and a job's history."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Any

import msgspec

from taod.types.warning import Warning, WarningCode

Arguments = Mapping[str, Any]


def text(warning: Warning) -> str:
    """The text of a warning: cause first, remedy last."""
    said = _TEXTS[warning.code](warning.subject, warning.arguments)
    return f"{said}; {warning.remedy}" if warning.remedy else said


def _unknown_parameter(subject: str, of: Arguments) -> str:
    near = f"; the nearest known parameter is {of['nearest']}" if of.get("nearest") else ""
    rejected = ", and the tool of release 5.0 rejects fields that its message lacks" if of.get("rejected") else ""
    return f"{subject} is not a parameter of {of['network']} {of['action']}{near}; it is passed on as it is{rejected}"


def _outside_reference(subject: str, of: Arguments) -> str:
    shown = msgspec.json.encode(of["value"], enc_hook=repr).decode()
    value = shown if len(shown) <= 80 else shown[:77] + "..."
    return f"{subject} {of['rule']} by the reference, not {value}; it is passed on as it is"


def _status_lines(_: str, of: Arguments) -> str:
    parts = []
    if of.get("broken"):
        parts.append(f"{of['broken']} not read, no JSON object")
    if of.get("oversized"):
        parts.append(f"{of['oversized']} not read, longer than {of['limit_bytes'] >> 20} MiB")
    if of.get("repaired"):
        parts.append(f"{of['repaired']} read with bytes that are no UTF-8")
    return f"Lines of status.json: {'; '.join(parts)}"


def _checkpoint_incomplete(_: str, of: Arguments) -> str:
    files = "; ".join(f"{file['name']} {file['fault']}" for file in of["files"])
    resumed = f"resumes from {of['resumed_from']}" if of["resumed_from"] else "no whole checkpoint is left to pass on"
    return f"Incomplete checkpoint set aside: {files}; {resumed}"


def silence(of: Arguments) -> str:
    """For how long a run has been silent, and its stopped processes, which explain the silence."""
    stopped = ", ".join(map(str, of["stopped"]))
    why = f"; pid {stopped} is stopped (SIGSTOP): `kill -CONT` resumes it" if stopped else ""
    return f"no line of log or status for {duration(of['limit_s'])}{why}"


def duration(seconds: float) -> str:
    """A duration for a sentence: `90 s`, `30 min`, `2 h`, else `1:02:03`."""
    if seconds < 120:
        return f"{seconds:g} s"
    if seconds % 3600 == 0:
        return f"{seconds / 3600:g} h"
    return f"{seconds / 60:g} min" if seconds % 60 == 0 else str(timedelta(seconds=round(seconds)))


_TEXTS: dict[WarningCode, Callable[[str, Arguments], str]] = {
    WarningCode.RECORDED: lambda _, of: str(of["text"]),
    WarningCode.UNKNOWN_PARAMETER: _unknown_parameter,
    WarningCode.OUTSIDE_REFERENCE: _outside_reference,
    WarningCode.DEFAULT_SPEC: lambda subject, _: f"no spec was saved for {subject}: the schema's default is used",
    WarningCode.NOT_SEARCHED: lambda _, of: str(of["text"]),
    WarningCode.LINK_UNREADABLE: lambda subject, of: (
        f"the folder {of['path']} of linked dataset {subject!r} cannot be read any more"
    ),
    WarningCode.LINK_CHANGED: lambda subject, of: (
        f"linked dataset {subject!r} has changed since it was linked ({of['change']})"
    ),
    WarningCode.STATUS_LINES: _status_lines,
    WarningCode.STALLED: lambda _, of: f"Stalled: {of['silence'] if 'silence' in of else silence(of)}",
    WarningCode.NO_RUNNER: lambda _, of: str(of["text"]),
    WarningCode.KEY_SHOWN: lambda subject, of: (
        f"{of['program']} takes the {subject} on its command line, which every account of this machine can read"
    ),
    WarningCode.CHECKPOINT_INCOMPLETE: _checkpoint_incomplete,
    WarningCode.IMAGE_EXTENSION: lambda subject, of: (
        f"{subject} = {of['value']!r}, and the images of dataset {of['dataset']!r} end in {of['found']}"
    ),
    WarningCode.MIXED_EXTENSIONS: lambda subject, of: (
        f"the images of dataset {of['dataset']!r} have several extensions ({of['found']}), and the tool reads one: "
        f"{subject} = {of['value']!r}"
    ),
    WarningCode.EXTENSION_UNREAD: lambda subject, of: (
        f"dataset {subject!r} has images that end in {of['found']}, and release 5.0 of {of['network']} reads only "
        f"{of['only']}"
    ),
    WarningCode.CLASS_ID_REJECTED: lambda subject, of: (
        f"dataset {subject!r} has category id {of['lowest']}, and the conversion to TFRecords rejects ids below "
        f"{of['first']}"
    ),
    WarningCode.CLASS_COUNT: lambda subject, of: (
        f"{subject} = {of['value']}, and dataset {of['dataset']!r} has {of['classes']} {of['counted']}"
    ),
    WarningCode.CLASS_ID: lambda subject, of: (
        f"{subject} = {of['value']}, and the highest category id of dataset {of['dataset']!r} is {of['highest']}"
    ),
    WarningCode.CLASSES_UNLISTED: lambda subject, of: (
        f"{subject} lacks {of['classes']}, of which dataset {of['dataset']!r} has samples"
    ),
    WarningCode.BATCH_SIZE: lambda subject, of: (
        f"{subject} = {of['value']} is more than the {of['samples']} {of['unit']} of the {of['part']} data"
    ),
    WarningCode.NO_BATCHES: lambda subject, of: (
        f"{subject} = {of['value']} is more than the {of['samples']} {of['unit']} of the {of['part']} data, and the "
        "tool drops an incomplete batch: the training would have no step and leave no weights, and may report success"
    ),
    WarningCode.FEW_STEPS: lambda subject, of: (
        f"{of['samples']} training images and {subject} = {of['value']} make {of['steps']} steps per epoch, and the "
        f"tool rejects fewer than {of['minimum']}"
    ),
    WarningCode.NO_VALIDATION: lambda subject, of: f"the model has no {subject}: {of['effect']}",
    WarningCode.PATH_MISSING: lambda subject, of: f"dataset {of['dataset']!r} lacks {of['paths']}, named by {subject}",
    WarningCode.UNREADABLE_IMAGES: lambda subject, of: (
        f"the check of dataset {subject!r} found {of['images']} that cannot be read, {of['first']} first"
    ),
    WarningCode.NO_INDEX_FILES: lambda subject, of: (
        f"dataset {subject!r} was converted by {of['action']}, which writes no index files, and {of['network']} "
        "reads its records by them"
    ),
    WarningCode.RECORDS_BOXES: lambda subject, of: (
        f"dataset {subject!r} was converted by {of['action']}, which writes boxes relative to the image, and "
        f"{of['network']} reads boxes in pixels"
    ),
    WarningCode.RECORDS_REPLACED: lambda subject, of: (
        f"dataset {subject!r} has records of {of['action']}, which this conversion replaces with boxes {of['boxes']}"
    ),
}
