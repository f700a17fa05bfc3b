"""Maps whose result hangs on the project's secret: pseudonyms, which nobody may work out without the key.

The key is no parameter. A plan, a fingerprint, a catalog and a printed step never show it; whoever runs a plan hands
the project's subkey `pseudonym` to the step just before it is applied (`flow.run`). Steps stay values: `with_key`
returns another step, and two steps with equal parameters are equal whatever key they hold.
"""

from __future__ import annotations

from typing import Self

from pydantic import PrivateAttr

from tillage.core.errors import Denied
from tillage.core.step import Map

SUBKEY = "pseudonym"
"""The one purpose (`core.keys.SUBKEYS`) whose key a step can be given."""


class KeyedMap(Map):
    """A Map that may ask for the project's subkey `pseudonym`, 32 bytes."""

    _key: bytes = PrivateAttr(default=b"")

    def with_key(self, key: bytes) -> Self:
        """The same step, holding the key; raises Denied unless it is 32 bytes."""
        if len(key) != 32:
            raise Denied(f"The key of {self.name()} must be 32 bytes, and this one has {len(key)}.")
        held = self.model_copy()
        held._key = key
        return held

    def held_key(self) -> bytes:
        """The key; raises Denied where the step was given none, so that no pseudonym is made that anyone could make."""
        if not self._key:
            raise Denied(
                f"{self.name()} needs the project's key.",
                fix="Run it in a project, or hand it a key: step.with_key(keyring.subkey('pseudonym')).",
            )
        return self._key

    def __eq__(self, other: object) -> bool:
        return type(other) is type(self) and other.params() == self.params()

    def __hash__(self) -> int:
        return hash(self.fingerprint())
