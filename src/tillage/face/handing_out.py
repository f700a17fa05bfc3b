"""Files that leave the project: each is put on record before it is written, so that `forget` can name it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tillage.flow.run import Project


def recorded(project: Project, model: str, form: str, path: Path) -> bool:
    """Put on record that something of a model's newest version goes to `path`; false where the store is read-only."""
    from tillage.store.handed_out import record

    latest = project.store.latest(model)
    return latest is None or record(project.store.catalog, model, latest.version, form, path)
