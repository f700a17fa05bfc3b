"""The stretches of a cursor that were read, as the names of their objects tell them.

Each, as `orders/000002 {"after": 5, "to": 9}`, is what came since the one before it. Once rows of one are forgotten,
its bounds are told by a salted SHA-256 alone: who can look into the database finds the value there, from the greatest
down, and nobody reads it off the catalog. A bound that is found no more counts as none, so that rows come again rather
than not at all.
"""

from __future__ import annotations

import json
import re
import secrets
from collections.abc import Collection, Sequence
from hashlib import sha256
from typing import Any

from tillage.flow.following import Held

_WINDOW = re.compile(r"/\d{6,} (\{.*\})$")
STARTS = (("after", ">"), ("from", ">="))
"""The words for where a stretch begins, and what they mean."""


def window(path: str) -> dict[str, Any]:
    """The bounds of the cursor that an object's name ends with.

    >>> window('orders/000002 {"after": 5, "to": 9}'), window("orders")
    ({'after': 5, 'to': 9}, {'to': None})
    """
    match = _WINDOW.search(path)
    if match is None:
        return {"to": None}
    bounds: dict[str, Any] = json.loads(match[1])
    return bounds


def number(path: str, label: str) -> int:
    """The number of a stretch in the name of its object.

    >>> number('orders/000002 {"after": 5, "to": 9}', "orders")
    2
    """
    return int(path.removeprefix(f"{label}/").split(" ")[0])


def named(label: str, at: int, bounds: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    """Name and stamp of a stretch."""
    told = json.dumps(bounds, ensure_ascii=False)
    return f"{label}/{at:06d} {told}", {"window": told}


def is_mask(bound: Any) -> bool:
    """Whether a bound is told by its digest."""
    return isinstance(bound, dict)


def mask(value: Any, salt: str = "") -> dict[str, str]:
    """What stands for a value once nobody may read it.

    >>> is_what(mask([2, "ab"]), (2, "ab")), is_what(mask(5), 6), is_what([2, "ab"], (2, "ab"))
    (True, False, True)
    """
    salt = salt or secrets.token_hex(16)
    return {"salt": salt, "digest": sha256(f"{salt}\n{_said(value)}".encode()).hexdigest()}


def is_what(kept: Any, value: Any) -> bool:
    """Whether what is on record, a value or its mask, is this value."""
    return mask(value, kept["salt"]) == kept if is_mask(kept) else _said(kept) == _said(value)


def masked(held: Sequence[Held], touched: Collection[str], label: str) -> list[Held]:
    """The objects with masks for the bounds of those that are `touched`, wherever these bounds stand."""
    bounds = [v for h in held if h.path in touched for v in window(h.path).values() if v is not None]
    masks = {_said(v): mask(v) for v in bounds if not is_mask(v)}
    out = []
    for h in held:
        before = window(h.path)
        now = {word: masks.get(_said(bound), bound) for word, bound in before.items()}
        if now == before and not (h.path in touched and "ties" in h.state):
            out.append(h)
            continue
        path, stamp = named(label, number(h.path, label), now)
        ties = h.state.get("ties", [])
        out.append(Held(path, stamp, {**h.state, "path": path, "ties": ties if is_mask(ties) else mask(ties)}))
    return out


def _said(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, sort_keys=True, default=str)
