"""Warnings as data: a code, its subject, its values and the remedy. `warning_text.py` renders it as text."""

from __future__ import annotations

from enum import StrEnum
from typing import Any

import msgspec


class WarningCode(StrEnum):
    """Codes of warnings. Programs recognise a warning by its code, never by its text."""

    RECORDED = "recorded"
    """Kept as text by an earlier version."""
    # Specifications
    UNKNOWN_PARAMETER = "unknown_parameter"
    OUTSIDE_REFERENCE = "outside_reference"
    DEFAULT_SPEC = "default_spec"
    NOT_SEARCHED = "not_searched"
    # Linked datasets
    LINK_UNREADABLE = "link_unreadable"
    LINK_CHANGED = "link_changed"
    # Runs
    STATUS_LINES = "status_lines"
    STALLED = "stalled"
    NO_RUNNER = "no_runner"
    """In a plan: no runner can run the action here."""
    KEY_SHOWN = "key_shown"
    """The tool takes the encryption key on its command line only."""
    CHECKPOINT_INCOMPLETE = "checkpoint_incomplete"
    # Preflight
    IMAGE_EXTENSION = "image_extension"
    MIXED_EXTENSIONS = "mixed_extensions"
    EXTENSION_UNREAD = "extension_unread"
    CLASS_COUNT = "class_count"
    CLASS_ID = "class_id"
    CLASS_ID_REJECTED = "class_id_rejected"
    CLASSES_UNLISTED = "classes_unlisted"
    BATCH_SIZE = "batch_size"
    NO_BATCHES = "no_batches"
    FEW_STEPS = "few_steps"
    NO_VALIDATION = "no_validation"
    PATH_MISSING = "path_missing"
    UNREADABLE_IMAGES = "unreadable_images"
    NO_INDEX_FILES = "no_index_files"
    RECORDS_BOXES = "records_boxes"
    RECORDS_REPLACED = "records_replaced"


class Warning(msgspec.Struct, frozen=True, omit_defaults=True):
    """A problem that does not stop a request or a run."""

    code: WarningCode
    subject: str = ""
    """The specification field (`dataset.num_classes`) or dataset name that it concerns."""
    arguments: dict[str, Any] = {}
    """Values of the message, by name."""
    remedy: str = ""
    """What to change, as an imperative; empty if nothing."""
