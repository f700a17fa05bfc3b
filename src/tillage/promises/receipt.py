"""Receipts of erasures as others check them: whole, signed, one of a chain; without the project.

A receipt certifies the process: absence cannot be proved from a model's weights (Thudi et al., USENIX Security 2022),
and it says so.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from hashlib import sha256
from typing import Any

from tillage.core.errors import VerifyFailed
from tillage.flow.receipt import SCHEMA, canonical
from tillage.flow.receipt import public_key as key_of
from tillage.store.catalog import load
from tillage.store.tables import Store
from tillage.store.verify import Finding

_FIELDS = {
    "schema": str,
    "number": int,
    "project": str,
    "time": str,
    "epoch": int,
    "table": str,
    "counts": dict,
    "rows": list,
    "salt": str,
    "tables": dict,
    "models": dict,
    "versions_erased": dict,
    "refitted": list,
    "tombstones": int,
    "undecided": int,
    "notes": list,
    "not_promised": list,
    "previous": str,
    "public_key": str,
    "signature": str,
}


def receipts(store: Store) -> list[dict[str, Any]]:
    """Every receipt that the store has issued, oldest first.

    >>> import tempfile, pathlib
    >>> store = Store(pathlib.Path(tempfile.mkdtemp()))
    >>> receipts(store)
    []
    >>> store.close()
    """
    rows = store.catalog.rows("SELECT signed FROM receipts WHERE signed != '' ORDER BY number")
    return [load(row["signed"]) for row in rows]


def faulty_receipts(store: Store) -> tuple[Finding, ...]:
    """What is wrong with the receipts that a store has issued: one that was changed, or that a later one misses.

    >>> import tempfile, pathlib
    >>> store = Store(pathlib.Path(tempfile.mkdtemp()))
    >>> faulty_receipts(store)
    ()
    >>> store.close()
    """
    found = []
    issued = store.catalog.rows("SELECT number, signed FROM receipts WHERE signed != '' ORDER BY number")
    own, before = key_of(store.keys) if issued else "", ""
    for number, signed in issued:
        try:
            value = verify_receipt(signed, own)
            if (value["number"], value["previous"]) != (number, before):
                raise _invalid("it does not follow the one before it, which was changed or taken out")
        except VerifyFailed as error:
            found.append(Finding("", 0, f"receipt {number}", error.message))
        before = sha256(canonical(load(signed))).hexdigest()
    return tuple(found)


def verify_receipt(data: bytes | str, public_key: str | None = None) -> dict[str, Any]:
    """The receipt, when it is one and no field of it was changed; VerifyFailed otherwise.

    `public_key`: the project's, from a place that is trusted; without it the receipt is held against the key that it
    names itself, which shows that it is whole, not whose it is.

    >>> verify_receipt("{}")
    Traceback (most recent call last):
    tillage.core.errors.VerifyFailed: This is no receipt: 'schema' is missing. ...
    """
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    value = _read(data)
    named = value["public_key"].lower()
    if public_key is not None and public_key.strip().lower() != named:
        raise _invalid("it was signed with another key than the one given")
    unsigned = {name: field for name, field in value.items() if name != "signature"}
    try:
        key = Ed25519PublicKey.from_public_bytes(bytes.fromhex(named))
        signature = bytes.fromhex(value["signature"])
        if signature.hex() != value["signature"]:  # capitals and blanks: the next receipt names another SHA-256
            raise ValueError
        key.verify(signature, canonical(unsigned))
    except (InvalidSignature, ValueError):
        raise _invalid("its signature does not fit what it says") from None
    return value


def row_committed(receipt: Mapping[str, Any], row: int) -> bool:
    """Whether a receipt says that the row of this row_id was erased.

    >>> salt = "00" * 16
    >>> made = sha256(bytes.fromhex(salt) + (7).to_bytes(16, "little")).hexdigest()
    >>> row_committed({"salt": salt, "rows": [made]}, 7), row_committed({"salt": salt, "rows": [made]}, 8)
    (True, False)
    """
    return sha256(bytes.fromhex(receipt["salt"]) + row.to_bytes(16, "little")).hexdigest() in receipt["rows"]


def _read(data: bytes | str) -> dict[str, Any]:
    try:
        text = data.decode() if isinstance(data, bytes) else data
        value = json.loads(text, object_pairs_hook=_no_key_twice, parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        raise _invalid(f"it cannot be read ({error})") from None
    if not isinstance(value, dict):
        raise _invalid("it is not a JSON object")
    for name, kind in _FIELDS.items():
        if name not in value:
            raise _invalid(f"'{name}' is missing")
        if not isinstance(value[name], kind) or isinstance(value[name], bool):
            raise _invalid(f"'{name}' is not what it should be")
        if name == "schema" and value[name] != SCHEMA:
            raise _invalid(f"its schema is not {SCHEMA}")
    if more := sorted(set(value) - set(_FIELDS)):
        raise _invalid(f"nothing is called '{more[0]}' in a receipt")
    return value


def _no_key_twice(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    if len({name for name, _ in pairs}) < len(pairs):
        raise ValueError("a name stands twice")
    return dict(pairs)


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is no JSON")


def _invalid(why: str) -> VerifyFailed:
    return VerifyFailed(
        f"This is no receipt: {why}." if "missing" in why or "called" in why else f"The receipt is not valid: {why}.",
        fix="Ask for it again where it was issued.",
    )
