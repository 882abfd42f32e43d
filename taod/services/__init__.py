"""Services: the operations behind the HTTP routes, without HTTP."""

from taod.services.services import Services

__all__ = ["Services"]
