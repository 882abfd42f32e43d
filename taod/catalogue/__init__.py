"""The catalogue of networks: parameters, command lines, artifacts. It depends on no service and changes nothing."""

from __future__ import annotations

from taod.catalogue.network import Catalogue, Network

__all__ = ["Catalogue", "Network"]
