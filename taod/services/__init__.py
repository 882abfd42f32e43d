"""What a request does, without HTTP: data sets, models, jobs, specs, pretrained models, users, devices, networks."""

from taod.services.services import Services

__all__ = ["Services"]
