"""Which version of its model a service is held at: an entry of the catalog, so that it outlives the server.

A service follows the newest version unless somebody rolled it back; then it stays there until it is let go. Whoever
does it, by the command line or by a request, leaves a line in the audit log.
"""

from __future__ import annotations

import json
import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tillage.store.catalog import dump, load
from tillage.store.tables import Store

PINS = "serving"
"""The entry of the catalog: service to version."""

AUDIT = "serve.audit.jsonl"
"""Below the store: a line for each act of an administrator."""


def pinned(store: Store, service: str) -> int | None:
    """The version at which a service is held; None when it follows the newest.

    >>> import tempfile
    >>> store = Store(Path(tempfile.mkdtemp()))
    >>> pin(store, "desk", 3)
    >>> pinned(store, "desk"), pinned(store, "other")
    (3, None)
    >>> store.close()
    """
    kept = store.catalog.meta(PINS)
    version = load(kept).get(service) if kept is not None else None
    return int(version) if version is not None else None


def pin(store: Store, service: str, version: int | None) -> None:
    """Hold a service at a version, or (None) let it follow the newest again.

    >>> import tempfile
    >>> store = Store(Path(tempfile.mkdtemp()))
    >>> pin(store, "desk", 3), pin(store, "desk", None)
    (None, None)
    >>> print(pinned(store, "desk"))
    None
    >>> store.close()
    """
    with store.catalog.transaction():
        pins: dict[str, int] = load(store.catalog.meta(PINS) or "{}")
        pins.pop(service, None)
        if version is not None:
            pins[service] = version
        store.catalog.set_meta(PINS, dump(pins))


def audit(root: Path, who: str, act: str, **told: Any) -> None:
    """Append what an administrator did to the audit log of a store, durably.

    >>> import tempfile
    >>> root = Path(tempfile.mkdtemp())
    >>> audit(root, "command line", "rollback", service="desk", version=3)
    >>> sorted(json.loads((root / AUDIT).read_text()))
    ['act', 'service', 'time', 'version', 'who']
    """
    value = {"time": datetime.now(UTC).isoformat(timespec="seconds"), "who": who, "act": act, **told}
    file = os.open(root / AUDIT, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW, 0o600)
    try:
        os.write(file, (json.dumps(value, ensure_ascii=False) + "\n").encode())
        os.fsync(file)
    finally:
        os.close(file)
