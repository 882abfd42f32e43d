"""The list of all controllers."""

from __future__ import annotations

from litestar import Controller

from taod.api.routes.datasets import DatasetController, DerivedController
from taod.api.routes.events import EventController
from taod.api.routes.files import AllFilesController, DatasetFilesController, ModelFilesController
from taod.api.routes.jobs import AllJobsController, DatasetJobsController, ModelJobsController
from taod.api.routes.models import ModelController, PtmController
from taod.api.routes.notifications import NotificationController
from taod.api.routes.queue import QueueController
from taod.api.routes.reviews import ReviewController
from taod.api.routes.specs import DatasetSpecsController, ModelSpecsController
from taod.api.routes.sweeps import SweepController
from taod.api.routes.system import MetricsController, SystemController
from taod.api.routes.tools import ToolController

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
    ToolController,
    NotificationController,
    EventController,
    MetricsController,
]
