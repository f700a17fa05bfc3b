"""The bad record of a row that was read already: it has no bytes of its own, so its values stand for them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from tillage.core.step import BadRecord


def bad_row(
    record: int, stage: str, reason: str, message: str, column: str, row: Mapping[str, Any] | None = None
) -> BadRecord:
    """A row that cannot be kept: its number in its object, why, and its values as JSON where they are known.

    >>> bad_row(3, "key", "missing_key", "The key is empty.", "id", {"id": None, "n": 2}).raw
    b'{"id": null, "n": 2}'
    """
    raw = b"" if row is None else json.dumps(row, ensure_ascii=False, default=str).encode()
    return BadRecord(
        record=record,
        byte_start=0,
        byte_end=0,
        stage=stage,
        reason=reason,
        column=column,
        message=message,
        raw=raw,
    )
