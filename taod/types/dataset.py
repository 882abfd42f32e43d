"""Datasets: request and response bodies."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import msgspec
from msgspec import Meta

from taod.types.common import Id, Location, Name, Prose, Timestamp
from taod.types.job import Job
from taod.types.warning import Warning


class DatasetType(StrEnum):
    OBJECT_DETECTION = "object_detection"
    SEMANTIC_SEGMENTATION = "semantic_segmentation"
    IMAGE_CLASSIFICATION = "image_classification"
    INSTANCE_SEGMENTATION = "instance_segmentation"
    CHARACTER_RECOGNITION = "character_recognition"
    BPNET = "bpnet"
    FPENET = "fpenet"
    ACTION_RECOGNITION = "action_recognition"
    POINTPILLARS = "pointpillars"
    POSE_CLASSIFICATION = "pose_classification"
    ML_RECOG = "ml_recog"
    OCDNET = "ocdnet"
    OCRNET = "ocrnet"
    OPTICAL_INSPECTION = "optical_inspection"
    RE_IDENTIFICATION = "re_identification"
    # Of release 7.3; the ones above are those of 5.0.
    CENTERPOSE = "centerpose"
    DEPTH_NET_MONO = "depth_net_mono"
    DEPTH_NET_STEREO = "depth_net_stereo"
    VISUAL_CHANGENET_SEGMENT = "visual_changenet_segment"


class DatasetFormat(StrEnum):
    KITTI = "kitti"
    PASCAL_VOC = "pascal_voc"
    RAW = "raw"
    COCO_RAW = "coco_raw"
    UNET = "unet"
    COCO = "coco"
    LPRNET = "lprnet"
    DEFAULT = "default"
    CUSTOM = "custom"
    CLASSIFICATION_PYT = "classification_pyt"
    # Of release 7.3; the ones above are those of 5.0.
    ODVG = "odvg"
    COCO_PANOPTIC = "coco_panoptic"
    SSL = "ssl"


TypeName = Annotated[str, Meta(extra_json_schema={"enum": list(DatasetType)})]
FormatName = Annotated[str, Meta(extra_json_schema={"enum": list(DatasetFormat)})]
"""A string, so that an invalid one gets the contract's own error."""

DEFAULT_NAME = "My Dataset"
DEFAULT_DESCRIPTION = "My TAO Dataset"
DEFAULT_LOGO = "https://www.nvidia.com"
DEFAULT_VERSION = "1.0.0"


class DatasetCreate(msgspec.Struct, forbid_unknown_fields=True):
    """Body of POST dataset."""

    type: TypeName
    format: FormatName
    name: Name = DEFAULT_NAME
    description: Prose = DEFAULT_DESCRIPTION
    logo: Location = DEFAULT_LOGO
    version: Name = DEFAULT_VERSION


class DatasetPut(msgspec.Struct, forbid_unknown_fields=True):
    """Body of PUT dataset: the writable fields, absent ones take their default; type and format must equal the present
    ones."""

    name: Name = DEFAULT_NAME
    description: Prose = DEFAULT_DESCRIPTION
    logo: Location = DEFAULT_LOGO
    version: Name = DEFAULT_VERSION
    type: TypeName | msgspec.UnsetType = msgspec.UNSET
    format: FormatName | msgspec.UnsetType = msgspec.UNSET


class DatasetPatch(msgspec.Struct, forbid_unknown_fields=True):
    """Body of PATCH dataset: given fields are changed."""

    name: Name | msgspec.UnsetType = msgspec.UNSET
    description: Prose | msgspec.UnsetType = msgspec.UNSET
    logo: Location | msgspec.UnsetType = msgspec.UNSET
    version: Name | msgspec.UnsetType = msgspec.UNSET
    type: TypeName | msgspec.UnsetType = msgspec.UNSET
    format: FormatName | msgspec.UnsetType = msgspec.UNSET


class Dataset(msgspec.Struct):
    """A dataset as defined by the HTTP contract."""

    id: Id
    jobs: list[Job]
    logo: str
    name: str
    type: DatasetType
    format: DatasetFormat
    actions: list[str]
    version: str
    created_on: Timestamp
    description: str
    last_modified: Timestamp


class DatasetLink(msgspec.Struct, forbid_unknown_fields=True):
    """Body of POST dataset/{id}/link: a folder on the daemon's machine, used in place and never changed."""

    path: Location


class SplitSummary(msgspec.Struct):
    """One split of a dataset: number of images, and by class if classes are known."""

    name: str
    images: int
    classes: dict[str, int] = {}


class Spread(msgspec.Struct):
    """Minimum, median and maximum of a quantity."""

    least: float
    median: float
    most: float


class BoxFigures(msgspec.Struct):
    """Statistics of a dataset's boxes, in pixels."""

    boxes: int
    width: Spread
    height: Spread
    per_image: Spread
    """Number of boxes of an image with boxes."""


class ImageFigures(msgspec.Struct):
    """Statistics of image sizes, in pixels; of a large dataset a sample is measured."""

    measured: int
    width: Spread
    height: Spread


class UploadMode(StrEnum):
    """What an upload does with the dataset's present files."""

    REPLACE = "replace"
    """They are deleted once the new ones are complete."""
    ADD = "add"
    """They are kept; a new file replaces one of the same name."""


class UploadProgress(msgspec.Struct):
    """Progress of an upload; also the body of upload events."""

    dataset_id: Id
    stage: str
    """`receiving`, `unpacking`, `checking`; `waiting` for the next part; in events also `done` and `failed`."""
    received: int = 0
    """Bytes received."""
    total: int | None = None
    """Total bytes, if the client announced them."""
    files: int = 0
    """Files unpacked so far; an archive is unpacked while it arrives, if its format allows."""
    unpacked: int = 0
    """Bytes unpacked so far."""
    message: str = ""
    """Why it failed."""


class DatasetSummary(msgspec.Struct):
    """Summary of a dataset's files."""

    state: str
    """`empty`, `uploading`, `ready` or `linked`."""
    images: int = 0
    bytes: int = 0
    files: int = 0
    classes: list[str] = []
    splits: list[SplitSummary] = []
    fingerprint: str | None = None
    path: str | None = None
    boxes: BoxFigures | None = None
    sizes: ImageFigures | None = None
    extensions: dict[str, int] = {}
    """Images by extension as written (`.jpg`, `.JPG`), the most common first."""
    highest_class_id: int | None = None
    """The highest category id (COCO) or class number (masks) that is declared or used."""
    lowest_class_id: int | None = None
    """The lowest category id (COCO) that is declared or used."""
    shares: dict[str, float] = {}
    """Share of the masks' pixels that each class has, from 0 to 1; of a large dataset some masks are sampled."""
    upload: UploadProgress | None = None
    """The upload that is being received or waits for its next part."""
    warnings: list[Warning] = []
    """Warnings since the summary, such as a linked folder that has changed."""
    parent_job: Id | None = None
    """The job that created this dataset."""
    parent_dataset: Id | None = None
    """The dataset that this one was derived from."""


class CheckState(StrEnum):
    """State of the full check of a dataset."""

    NONE = "none"
    """It was never started, or is disabled."""
    WAITING = "waiting"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"
    OUTDATED = "outdated"
    """It was done on data that the dataset no longer has."""


class CheckProgress(msgspec.Struct):
    """Progress of the full check of a dataset; the body of check events."""

    dataset_id: Id
    state: CheckState
    """`waiting` or `running`; in the last event the final state."""
    message: str = ""
    progress: float = 0.0
    """From 0 to 1."""
    deep: bool = False
    """Whether images are decoded whole."""


class DatasetProblem(msgspec.Struct):
    """One problem of a dataset. `line` counts from 1; 0: the whole file."""

    file: str
    line: int
    what: str
    expected: str


class DatasetReport(msgspec.Struct):
    """Result of the full check."""

    state: CheckState
    message: str = ""
    items: int = 0
    """Images, or samples where the type has no images."""
    labels: int = 0
    classes: dict[str, int] = {}
    problems: int = 0
    """Number of all problems; `first` has those that were found first."""
    first: list[DatasetProblem] = []
    deep: bool = False
    """Whether images were decoded whole, not only their headers."""
    progress: float = 0.0
    """From 0 to 1."""
    fingerprint: str | None = None
    """Fingerprint of the checked data."""
    started_on: Timestamp | None = None
    ended_on: Timestamp | None = None
    boxes: BoxFigures | None = None
    sizes: ImageFigures | None = None
    unreadable: int = 0
    """Images that cannot be read."""
    unreadable_first: list[str] = []
    """Paths of the first unreadable images, below the dataset's top."""
    pixels: dict[str, int] = {}
    """Pixels of each class in the masks; `classes` counts the masks with the class. A class without a name in
    `target_classes.json` is named by its number."""


class DatasetCheck(msgspec.Struct, forbid_unknown_fields=True):
    """Body of POST dataset/{id}/check."""

    deep: bool = False
    """Decode every image whole."""


class DatasetFromJob(msgspec.Struct, forbid_unknown_fields=True):
    """Body of POST job/{id}/dataset; absent fields are taken from the job and its results."""

    name: Name = ""
    description: Prose = ""
    format: FormatName | None = None
    type: TypeName | None = None
    """None: the type of the dataset that the job read if it allows the format, else `object_detection`."""


class DatasetSample(msgspec.Struct):
    """One sample image of a dataset; GET …/samples/{number} returns its thumbnail."""

    number: int
    image: str
    """Path below the dataset's top."""
    classes: list[str] = []
    boxes: int = 0


class UploadAnswer(msgspec.Struct):
    """Answer of an upload: what was received, and its summary."""

    message: str
    files: int = 0
    bytes: int = 0
    summary: DatasetSummary | None = None
    received: int | None = None
    """Bytes received of an incomplete upload in parts."""
