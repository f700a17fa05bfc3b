"""Copies handed out: files outside the store that hold something of a model or its rows, by whoever made them.

An erasure cannot reach such a file, so it has to know of it: the catalog keeps, by path, what was written there last.
A list of one entry a path, written anew with each; a thousand paths are 150 kB.
"""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tillage.store.catalog import Catalog, dump, load

_HANDED_OUT = "handed_out"


def record(catalog: Catalog, model: str, version: int, form: str, path: Path) -> bool:
    """Note that a copy of this form (`onnx`, `card`, `label`) is about to be written to `path`; false where the store
    may not be written.

    Asked for before the file is there: an entry without a file does no harm, a file without an entry would.

    >>> import tempfile
    >>> catalog = Catalog(Path(tempfile.mkdtemp()) / "catalog.db")
    >>> record(catalog, "price", 2, "onnx", Path("/tmp/price.onnx"))
    True
    >>> [(c["model"], c["version"], c["form"]) for c in handed_out(catalog)]
    [('price', 2, 'onnx')]
    """
    if catalog.read_only:
        return False
    name = str(path.absolute())
    with catalog.transaction():
        kept = [copy for copy in handed_out(catalog) if copy["path"] != name]
        made = {"path": name, "model": model, "version": version, "form": form}
        kept.append({**made, "created": datetime.now(UTC).isoformat(timespec="seconds")})
        catalog.set_meta(_HANDED_OUT, dump(kept))
    return True


def handed_out(catalog: Catalog) -> list[dict[str, Any]]:
    """Every copy on record, the oldest first: `path`, `model`, `version`, `form`, `created` (UTC)."""
    found: list[dict[str, Any]] = load(catalog.meta(_HANDED_OUT) or "[]")
    return found
