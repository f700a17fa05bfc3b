"""The ids that answers bear, and keyed digests of what was asked: nobody reads them without the project's secret."""

from __future__ import annotations

import hmac
import json
from collections.abc import Mapping, Sequence
from hashlib import blake2b, sha256
from secrets import token_bytes
from typing import Any

from tillage.core.keys import Keyring

_quoted = json.encoder.encode_basestring_ascii

DRAWN = 512
"""Requests for whose ids chance is drawn at once."""

_HEX = frozenset("0123456789abcdef")


class Ids:
    """Ids of predictions: 32 hexadecimal digits, 16 of chance, 8 that only the project can make, 8 of the row.

    So an id that was never given is told from one that was, without a look at any table.

    >>> made = Ids(Keyring("00" * 32))
    >>> name = made.new(2)[1]
    >>> len(name), made.given(name), made.given("0" * 32)
    (32, True, False)
    """

    def __init__(self, keys: Keyring) -> None:
        self._key = hmac.digest(keys.subkey("pseudonym"), b"\0predictions", sha256)
        # Each is copied for each digest, which costs half of taking the key in again.
        self._id = blake2b(digest_size=4, key=self._key, person=b"id")
        self._chance: list[bytes] = []
        self._input = blake2b(digest_size=16, key=self._key, person=b"input")

    def new(self, rows: int) -> list[str]:
        """The ids of a request's rows."""
        chance = self._drawn()
        stem = chance.hex() + self._seal(chance)
        return [f"{stem}{row:08x}" for row in range(rows)]

    def _drawn(self) -> bytes:
        """Eight bytes of chance, out of many that were drawn at once: to ask the system lets another thread in."""
        while True:
            try:
                return self._chance.pop()
            except IndexError:
                many = token_bytes(8 * DRAWN)
                self._chance += [many[at : at + 8] for at in range(0, len(many), 8)]

    def _seal(self, chance: bytes) -> str:
        made = self._id.copy()
        made.update(chance)
        return made.hexdigest()

    def given(self, name: str) -> bool:
        """Whether an id is one that this project gave."""
        if len(name) != 32 or not _HEX.issuperset(name):
            return False
        return hmac.compare_digest(self._seal(bytes.fromhex(name[:16])), name[16:24])

    def digest(self, columns: Mapping[str, Sequence[Any]], at: int) -> str:
        """The digest of one row's input: keyed, 128 bits, of a JSON list of its texts."""
        made = self._input.copy()
        texts = ["null" if (v := c[at]) is None else _quoted(str(v)) for c in columns.values()]
        made.update(f"[{', '.join(texts)}]".encode())
        return made.hexdigest()

    def subject(self, text: str) -> int:
        """The mark of a subject, whose value stands nowhere: keyed, 128 bits.

        >>> made = Ids(Keyring("00" * 32))
        >>> made.subject("4711") == made.subject("4711"), made.subject("4711") == made.subject("4712")
        (True, False)
        """
        return int.from_bytes(
            blake2b(text.encode(), digest_size=16, key=self._key, person=b"subject").digest(), "little"
        )
