"""What a request does, without HTTP: datasets, models, jobs, specs, pretrained models, users, devices, networks."""

from taod.services.services import Services

__all__ = ["Services"]
