"""The list of all controllers."""

from __future__ import annotations

from litestar import Controller

from taod.api.datasets import DatasetController
from taod.api.derived import DerivedController
from taod.api.events import EventController
from taod.api.files import AllFilesController, DatasetFilesController, ModelFilesController
from taod.api.jobs import AllJobsController, DatasetJobsController, ModelJobsController
from taod.api.models import ModelController, PtmController
from taod.api.queue import QueueController
from taod.api.reviews import ReviewController
from taod.api.specs import DatasetSpecsController, ModelSpecsController
from taod.api.sweeps import SweepController
from taod.api.system import MetricsController, SystemController

CONTROLLERS: list[type[Controller]] = [
    SystemController,
    DatasetController,
    ReviewController,
    DatasetJobsController,
    DatasetFilesController,
    DatasetSpecsController,
    ModelController,
    ModelJobsController,
    ModelFilesController,
    ModelSpecsController,
    SweepController,
    PtmController,
    AllJobsController,
    AllFilesController,
    DerivedController,
    QueueController,
    EventController,
    MetricsController,
]
