"""The SQLite store: the only place with SQL."""

from store.store import Store

__all__ = ["Store"]
