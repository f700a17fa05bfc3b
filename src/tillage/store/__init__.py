"""Objects, catalog, versions: everything kept is a table of chunks with removed ids."""

from tillage.store.tables import Chunk, Draft, NewChunk, Store, Version

__all__ = ["Chunk", "Draft", "NewChunk", "Store", "Version"]
