"""Erasures that are cut off: the server of `tests/flow/dying.py`, with a forget in the place of the run."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from tests.flow import dying

import tillage.face.rooms
from tillage.flow import compact, erasure
from tillage.promises import forget
from tillage.store import failpoints, gc, objects, purge, tables

MODULES = (failpoints, objects, tables, compact, erasure, purge, gc)


def live(order: dict[str, Any], report: int) -> None:
    """Forget some keys, and perhaps die of it."""
    dying.shrink()
    failpoints._armed = str(order.get("failpoint") or "nowhere")
    seen: list[str] = []
    if order.get("list"):
        for module in MODULES:
            setattr(module, "reach", seen.append)  # noqa: B010
    with tillage.face.rooms.project(Path(order["folder"])) as p:
        forget(p, "notes", key=order["keys"])
    os.write(report, json.dumps({"passed": seen}).encode())


if __name__ == "__main__":
    dying.live = live
    dying.serve()
