"""Objects, catalog, versions: everything kept is a table of chunks with removed ids."""

from tillage.store.tables import Store

__all__ = ["Store"]
