"""Records that could not be read, kept encrypted until they are mended or expire.

AES-256-GCM under the subkey `quarantine`; the place of the record is authenticated with it, so a raw record cannot be
passed off as another's: the object by its number, which it keeps when it is renamed. Thirty days.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import polars as pl
import polars_hash as plh

from tillage.core.errors import Denied
from tillage.core.keys import Keyring
from tillage.core.rows import ID
from tillage.core.step import BadRecord
from tillage.store.tables import Store

PART = "quarantine"
DAYS = 30

SCHEMA: dict[str, Any] = {
    ID: pl.UInt128,
    "_object": pl.UInt32,
    "record": pl.Int64,
    "byte_start": pl.Int64,
    "byte_end": pl.Int64,
    "stage": pl.String,
    "reason": pl.String,
    "column": pl.String,
    "message": pl.String,
    "raw": pl.Binary,
    "expires": pl.Datetime("us", "UTC"),
}


def sealed(bad: Sequence[BadRecord], table: str, path: str, ordinal: int, keys: Keyring) -> pl.DataFrame:
    """The records of one object as rows of the part `quarantine`."""
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    if not bad:
        return pl.DataFrame(schema=SCHEMA)
    cipher = AESGCM(keys.subkey("quarantine"))
    expires = datetime.now(UTC) + timedelta(days=DAYS)
    rows = []
    for b in bad:
        nonce = os.urandom(12)
        raw = nonce + cipher.encrypt(nonce, b.raw, _place(table, ordinal, b.record))
        rows.append(
            (
                0,
                ordinal,
                b.record,
                b.byte_start,
                b.byte_end,
                b.stage,
                b.reason,
                b.column,
                _safe(b.message),
                raw,
                expires,
            )
        )
    frame = pl.DataFrame(rows, schema=SCHEMA, orient="row")
    place = frame.select(plh.hash_rows(pl.lit(path), pl.col("record"), pl.int_range(pl.len())).alias("k"))
    hashed = place.select(plh.col("k").nchash.xxh3_128().alias("k"))["k"]
    return frame.with_columns(keys.key_ids(f"{table}/{PART}", hashed))


def opened(row: dict[str, object], table: str, keys: Keyring) -> bytes | None:
    """The raw record of a row of the part; None when it has expired."""
    from cryptography.exceptions import InvalidTag
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    expires = row["expires"]
    if isinstance(expires, datetime) and expires < datetime.now(UTC):
        return None
    data = row["raw"]
    if not isinstance(data, bytes):
        return None
    ordinal, record = (int(str(row[name])) for name in ("_object", "record"))
    try:
        return AESGCM(keys.subkey("quarantine")).decrypt(data[:12], data[12:], _place(table, ordinal, record))
    except InvalidTag:
        raise Denied(
            f"The quarantined record {record} of an object of '{table}' does not open with this project's key.",
            fix="Set TILLAGE_KEY to the key under which it was read.",
        ) from None


def records(store: Store, stage: str, version: int, most: int) -> list[dict[str, Any]]:
    """The records of a source that a version has set aside, the first `most`: which, where and why, not what they hold.

    `record` counts from 0 and `bytes` is [start, end) in the object, decompressed; both None for an object as a whole.
    """
    told = ["_object", "record", "byte_start", "byte_end", "reason", "column", "message", "expires"]
    frame = store.frame(stage, PART, version, told)
    if not frame.height:
        return []
    objects = {
        int(row[0]): str(row[1])
        for row in store.catalog.rows(
            "SELECT ordinal, path FROM sources WHERE stage = ? AND added <= ? AND (ended IS NULL OR ended > ?)",
            stage,
            version,
            version,
        )
    }
    names = frame["_object"].replace_strict(objects, default="", return_dtype=pl.String)
    first = frame.with_columns(names.alias("path")).sort("path", "record").head(most)
    return [
        {
            "object": row["path"],
            "record": None if row["record"] < 0 else row["record"],
            "bytes": None if row["record"] < 0 else [row["byte_start"], row["byte_end"]],
            "reason": row["reason"],
            "column": row["column"],
            "message": row["message"],
            "expires": row["expires"].isoformat(),
        }
        for row in first.iter_rows(named=True)
    ]


def _place(table: str, ordinal: int, record: int) -> bytes:
    return f"{table}\n{ordinal}\n{record}".encode()


def _safe(message: str) -> str:
    return message.encode("utf-8", "backslashreplace").decode()[:500]
