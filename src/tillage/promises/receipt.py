"""Receipts of erasures: what was done, signed, each naming the one before, so that none can be taken out unnoticed.

Ed25519 (RFC 8032) over the canonical JSON of every field but the signature; the key is derived from the project's
secret by HKDF. Whoever has the public key can check a receipt without the project. A receipt certifies the process:
absence cannot be proved from a model's weights (Thudi et al., USENIX Security 2022), and it says so.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from hashlib import sha256
from typing import Any

from tillage.core.errors import VerifyFailed
from tillage.core.keys import Keyring
from tillage.flow.run import Project
from tillage.store.catalog import dump, load
from tillage.store.tables import Store

SCHEMA = "tillage.receipt/1"

NOT_PROMISED = (
    "Absence from the weights of a model cannot be proved; what is certified is that it was trained again without "
    "the rows.",
    "Backups and copies of the store or of the source that were made before.",
    "Reports, exports and predictions that were handed out before.",
    "The source itself: the records stay there until its owner removes them; they are not read again.",
)

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


def public_key(keys: Keyring) -> str:
    """The project's public key for receipts: 64 hexadecimal digits.

    >>> len(public_key(Keyring("00" * 32)))
    64
    """
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    return str(_private(keys).public_key().public_bytes(Encoding.Raw, PublicFormat.Raw).hex())


def issue(project: Project) -> list[dict[str, Any]]:
    """Sign the erasures that have no receipt yet, oldest first; the new receipts."""
    store = project.store
    made = []
    for row in store.catalog.rows("SELECT number, erased FROM receipts WHERE signed = '' ORDER BY number"):
        told: dict[str, Any] = load(row["erased"])
        value = _receipt(project, int(row["number"]), told)
        value["signature"] = _private(store.keys).sign(canonical(value)).hex()
        store.catalog.write("UPDATE receipts SET signed = ? WHERE number = ?", dump(value), row["number"])
        made.append(value)
    return made


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


def _receipt(project: Project, number: int, told: Mapping[str, Any]) -> dict[str, Any]:
    before = project.store.catalog.row("SELECT signed FROM receipts WHERE number = ?", number - 1)
    previous = sha256(canonical(load(before["signed"]))).hexdigest() if before and before["signed"] else ""
    return {
        "schema": SCHEMA,
        "number": number,
        "project": project.plan.project,
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
        "public_key": public_key(project.store.keys),
    }


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
        key.verify(bytes.fromhex(value["signature"]), canonical(unsigned))
    except (InvalidSignature, ValueError):
        raise _invalid("its signature does not fit what it says") from None
    return value


def canonical(value: Mapping[str, Any]) -> bytes:
    """The bytes that are signed: keys sorted, no spaces, UTF-8.

    >>> canonical({"b": 1, "a": "ä"}).decode()
    '{"a":"ä","b":1}'
    """
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return text.encode("utf-8", "surrogatepass")


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


def _private(keys: Keyring) -> Any:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.hashes import SHA256
    from cryptography.hazmat.primitives.kdf.hkdf import HKDF

    secret = HKDF(algorithm=SHA256(), length=32, salt=None, info=b"ed25519").derive(keys.subkey("receipt"))
    return Ed25519PrivateKey.from_private_bytes(secret)
