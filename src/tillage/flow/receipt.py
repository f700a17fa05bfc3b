"""Receipts of erasures: what was done, signed, each naming the one before, so that none can be taken out unnoticed.

Ed25519 (RFC 8032) over the canonical JSON of every field but the signature; the key is derived from the project's
secret by HKDF. Whoever ends an erasure signs it in the transaction that ends it, be it a run that came upon it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from hashlib import sha256
from typing import Any

from tillage.core.errors import InputMissing
from tillage.core.keys import Keyring
from tillage.store.catalog import load
from tillage.store.tables import Store

SCHEMA = "tillage.receipt/1"

NOT_PROMISED = (
    "Absence from the weights of a model cannot be proved; what is certified is that it was trained again without "
    "the rows.",
    "Backups and copies of the store or of the source that were made before.",
    "Reports, exports and predictions that were handed out before.",
    "The source itself: the records stay there until its owner removes them; they are not read again.",
)


def public_key(keys: Keyring) -> str:
    """The project's public key for receipts: 64 hexadecimal digits.

    >>> len(public_key(Keyring("00" * 32)))
    64
    """
    return _named(_private(keys))


def _named(key: Any) -> str:
    return str(key.public_key().public_bytes_raw().hex())


def signed(store: Store, number: int, told: Mapping[str, Any]) -> dict[str, Any]:
    """The receipt of an erasure that is all told."""
    key = _private(store.keys)
    value = _receipt(store, number, told, _named(key))
    return {**value, "signature": key.sign(canonical(value)).hex()}


def newest(store: Store) -> dict[str, Any]:
    """The last receipt that a store has issued; raises InputMissing before the first.

    >>> import tempfile, pathlib
    >>> store = Store(pathlib.Path(tempfile.mkdtemp()))
    >>> newest(store)
    Traceback (most recent call last):
    tillage.core.errors.InputMissing: This store has issued no receipt: nothing was forgotten in it.
    >>> store.close()
    """
    row = store.catalog.row("SELECT signed FROM receipts WHERE signed != '' ORDER BY number DESC LIMIT 1")
    if row is None:
        raise InputMissing("This store has issued no receipt: nothing was forgotten in it.")
    value: dict[str, Any] = load(row["signed"])
    return value


def canonical(value: Mapping[str, Any]) -> bytes:
    """The bytes that are signed: keys sorted, no spaces, UTF-8.

    >>> canonical({"b": 1, "a": "ä"}).decode()
    '{"a":"ä","b":1}'
    """
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return text.encode("utf-8", "surrogatepass")


def _receipt(store: Store, number: int, told: Mapping[str, Any], public: str) -> dict[str, Any]:
    before = store.catalog.row("SELECT signed FROM receipts WHERE number = ?", number - 1)
    previous = sha256(canonical(load(before["signed"]))).hexdigest() if before and before["signed"] else ""
    return {
        "schema": SCHEMA,
        "number": number,
        "project": told["project"],
        "time": told["time"],
        "epoch": told["epoch"],
        "table": told["table"],
        "counts": told["counts"],
        "rows": told["rows"],
        "salt": told["salt"],
        "tables": {n: [old, told["tables_after"].get(n)] for n, old in told["tables_before"].items()},
        "models": {n: [old, told["models_after"].get(n)] for n, old in told["models_before"].items()},
        "versions_erased": told["erased_versions"],
        "refitted": told["refitted"],
        "tombstones": told["tombstones"],
        "undecided": told["undecided"],
        "notes": told["notes"],
        "not_promised": list(NOT_PROMISED),
        "previous": previous,
        "public_key": public,
    }


def _private(keys: Keyring) -> Any:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.hashes import SHA256
    from cryptography.hazmat.primitives.kdf.hkdf import HKDF

    secret = HKDF(algorithm=SHA256(), length=32, salt=None, info=b"ed25519").derive(keys.subkey("receipt"))
    return Ed25519PrivateKey.from_private_bytes(secret)
