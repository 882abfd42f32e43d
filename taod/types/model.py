"""Models: request and response bodies."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
from msgspec import UNSET, Meta, UnsetType

from taod.types.common import Id, Location, Name, Prose, Timestamp
from taod.types.dataset import DEFAULT_LOGO, DEFAULT_VERSION, DatasetType, TypeName
from taod.types.job import Job
from taod.types.network import NetworkArch
from taod.types.release import BASE

DEFAULT_NAME = "My Model"
DEFAULT_DESCRIPTION = "My TAO Model"
DEFAULT_KEY = "tlt_encode"

MOST = 2**31 - 1
Count = Annotated[int, Meta(ge=1, le=MOST)]
Nu = Annotated[int, Meta(ge=2, le=MOST)]
IdList = Annotated[list[Id], Meta(max_length=1000)]
ArchName = Annotated[str, Meta(extra_json_schema={"enum": list(NetworkArch)})]
"""A string, so that an invalid one gets the contract's own error."""
NameList = Annotated[str, Meta(max_length=32_768)] | Annotated[list[Name], Meta(max_length=1000)]
"""A list of parameter names; published clients send it as a string with a JSON list."""


class ModelCreate(msgspec.Struct, forbid_unknown_fields=True):
    """Body of POST model, and of PUT, which sets absent fields to their defaults."""

    network_arch: ArchName | UnsetType = UNSET
    name: Name = DEFAULT_NAME
    description: Prose = DEFAULT_DESCRIPTION
    logo: Location = DEFAULT_LOGO
    version: Name = DEFAULT_VERSION
    encryption_key: Name = DEFAULT_KEY
    public: bool = False
    read_only: bool = False
    ngc_path: Location = ""
    additional_id_info: Prose | None = None
    ptm: IdList = []
    train_datasets: IdList = []
    eval_dataset: Id | None = None
    inference_dataset: Id | None = None
    calibration_dataset: Id | None = None
    dataset_type: TypeName | UnsetType = UNSET
    metric: Name = "kpi"
    automl_enabled: bool = False
    automl_algorithm: Name | None = None
    automl_max_recommendations: Count = 20
    automl_delete_intermediate_ckpt: bool = False
    automl_R: Count = 27
    automl_nu: Nu = 3
    epoch_multiplier: Count = 1
    automl_add_hyperparameters: NameList = "[]"
    automl_remove_hyperparameters: NameList = "[]"
    release: str | UnsetType = UNSET
    """Release of NVIDIA's tools; if absent, that of the tool that would train the model here."""


class ModelPatch(msgspec.Struct, forbid_unknown_fields=True):
    """Body of PATCH model: given fields are changed; null unsets a reference."""

    network_arch: ArchName | UnsetType = UNSET
    name: Name | UnsetType = UNSET
    description: Prose | UnsetType = UNSET
    logo: Location | UnsetType = UNSET
    version: Name | UnsetType = UNSET
    encryption_key: Name | UnsetType = UNSET
    public: bool | UnsetType = UNSET
    read_only: bool | UnsetType = UNSET
    ngc_path: Location | UnsetType = UNSET
    additional_id_info: Prose | UnsetType | None = UNSET
    ptm: IdList | UnsetType = UNSET
    train_datasets: IdList | UnsetType = UNSET
    eval_dataset: Id | UnsetType | None = UNSET
    inference_dataset: Id | UnsetType | None = UNSET
    calibration_dataset: Id | UnsetType | None = UNSET
    dataset_type: TypeName | UnsetType = UNSET
    metric: Name | UnsetType = UNSET
    automl_enabled: bool | UnsetType = UNSET
    automl_algorithm: Name | UnsetType | None = UNSET
    automl_max_recommendations: Count | UnsetType = UNSET
    automl_delete_intermediate_ckpt: bool | UnsetType = UNSET
    automl_R: Count | UnsetType = UNSET
    automl_nu: Nu | UnsetType = UNSET
    epoch_multiplier: Count | UnsetType = UNSET
    automl_add_hyperparameters: NameList | UnsetType = UNSET
    automl_remove_hyperparameters: NameList | UnsetType = UNSET
    release: str | UnsetType = UNSET
    """Must equal the present one; POST …/release moves the model."""


class Model(msgspec.Struct):
    """A model as defined by the HTTP contract. Only its owner sees `encryption_key`."""

    id: Id
    ptm: list[Id]
    jobs: list[Job]
    logo: str
    name: str
    metric: str
    public: bool
    actions: list[str]
    version: str
    automl_R: int
    ngc_path: str
    automl_nu: int
    read_only: bool
    created_on: Timestamp
    description: str
    dataset_type: DatasetType
    eval_dataset: Id | None
    network_arch: ArchName
    last_modified: Timestamp
    automl_enabled: bool
    train_datasets: list[Id]
    automl_algorithm: str | None
    epoch_multiplier: int
    inference_dataset: Id | None
    additional_id_info: str | None
    calibration_dataset: Id | None
    automl_add_hyperparameters: str
    automl_max_recommendations: int
    automl_remove_hyperparameters: str
    automl_delete_intermediate_ckpt: bool
    encryption_key: str | UnsetType = UNSET
    release: str = BASE
    """Release of NVIDIA's tools that its checkpoints and specifications belong to."""


class PtmCreate(msgspec.Struct, forbid_unknown_fields=True):
    """Body of POST ptm: weights on the daemon's machine for an entry of the catalogue, or for a new one."""

    path: Location
    network_arch: ArchName
    ngc_path: Location = ""
    name: Name | None = None


class Ptm(msgspec.Struct):
    """A pretrained model: an entry of the catalogue, with the path of its weights if they are registered."""

    id: Id
    name: str
    network_arch: NetworkArch
    ngc_path: str
    path: str | None = None


SpecDocument = dict[str, Any]
