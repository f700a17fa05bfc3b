"""Random texts, and what a function of ours says of them without the compiled functions."""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType
from typing import TypeVar

import numpy as np
import polars as pl

Said = TypeVar("Said")

SIGNS = (
    "abcdefghijklmnopqrstuvwxyzABCXYZ0123456789     \n\n\t\r.,;:!?-_#@/()<>&%+'\"{}[]\\",
    "\u00a0\u0085\u00e9\u00df\u0130\u0131\u017f\u212a\u00b2\u00b5\u03c3\u03c2\u05d0\u0663\u0967\u200b\u200d\u00ad",
    "\u4e00\u9fff\u4dff\ua000\u53d1\u70e7\u7684\u3400\uf900\u3001\u3002\uff0c\uff10\uff21\u3000\u2028\u2003\u1680",
    "\U0001f600\U0001f1e9\ufe0f\U00020000\U000323af\U000323b0\U0010ffff\x00\x1c\x1f\x7f\u2026\u2022",
)
"""What texts are made of: plain ones, those of other scripts, Han and its neighbours, and the far end of Unicode."""


def texts(chance: np.random.Generator) -> pl.Series:
    """Some texts, empty ones and nulls among them, from a few signs to some thousand, words said again."""
    made: list[str | None] = []
    for _ in range(int(chance.integers(0, 12))):
        pool = "".join(SIGNS[: int(chance.integers(1, len(SIGNS) + 1))])
        size = int(chance.choice([0, 1, 3, 9, 40, 300, 3000], p=[0.1, 0.1, 0.15, 0.2, 0.25, 0.15, 0.05]))
        text = "".join(chance.choice(list(pool), size))
        if chance.random() < 0.2:
            text = " ".join([text[:80]] * int(chance.integers(1, 9)))
        if chance.random() < 0.1:
            text += "w" * int(chance.integers(1, 200))
        made.append(None if chance.random() < 0.05 else text)
    return pl.Series("text", made, dtype=pl.String)


def again(chance: np.random.Generator, between: str) -> pl.Series:
    """Texts of few pieces, which come again, and others."""
    made = texts(chance).to_list()
    for _ in range(int(chance.integers(0, 9))):
        every = ["".join(SIGNS)[k : k + int(chance.integers(0, 9))] for k in chance.integers(0, 130, 6).tolist()]
        every += ["", " ", "one", "two ", "\u3000\u53d1", f"x{between}{between}y", "longer than eight bytes"]
        few = chance.choice(every, int(chance.integers(1, 8)))
        made.append(between.join(chance.choice(few, int(chance.choice([2, 5, 20, 200])))))
    return pl.Series("text", made, dtype=pl.String)


def pieces(chance: np.random.Generator, found: pl.Series) -> pl.Series:
    """The same texts, in some pieces of memory, some of them cut out of larger ones."""
    if not len(found) or chance.random() < 0.5:
        return found
    at = int(chance.integers(0, len(found) + 1))
    whole = pl.concat([found[:1], found])[1:] if chance.random() < 0.5 else found
    return pl.concat([whole[:at], whole[at:]], rechunk=False)


def twin(module: ModuleType, function: Callable[[], Said]) -> Said:
    """What the function says when this module has no compiled functions."""
    kept = module.compiled
    module.compiled = None  # type: ignore[attr-defined]
    try:
        return function()
    finally:
        module.compiled = kept  # type: ignore[attr-defined]
