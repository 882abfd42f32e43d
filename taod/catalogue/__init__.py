"""The catalogue: what each network is, takes and leaves behind. It stands on its own and acts on nothing."""

from __future__ import annotations

from taod.catalogue.network import Catalogue, Network

__all__ = ["Catalogue", "Network"]
