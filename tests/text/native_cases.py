"""Random inputs on which each compiled function must say what its Python twin says: one case a function.

`python native_cases.py FILE SECONDS` runs the cases on the compiled functions of a file, such as one built with a
sanitizer, for so long; each round has its seed, which is told when a case fails.
"""

from __future__ import annotations

import importlib.util
import sys
import time
from collections.abc import Callable
from importlib import import_module
from types import ModuleType
from typing import TypeVar

import numpy as np
import polars as pl

Case = Callable[[np.random.Generator], None]
T = TypeVar("T")

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


def twin(module: ModuleType, function: Callable[[], T]) -> T:
    """What the function says when this module has no compiled functions."""
    kept = module.compiled
    module.compiled = None  # type: ignore[attr-defined]
    try:
        return function()
    finally:
        module.compiled = kept  # type: ignore[attr-defined]


def spoken(chance: np.random.Generator) -> pl.Series:
    """Texts of tokens from one byte to some hundred, Latin, Cyrillic and Han ones, with all kinds of space between."""
    letters = ("a", "z", "\u0416", "\u00df", "\u0e01", "\u3042", "\uff0c", "\ud55c", "\U0001f600", "\u4e00", "\u9fff")
    blanks: tuple[str, ...] = (" ", "  ", "\n", "\t", "\x0b\x0c\r", "\x1c", "\x85", "\xa0", "\u1680", "\u2000", "\u200a", "\u200b")
    blanks += ("\u2028", "\u2029", "\u202f", "\u205f", "\u3000", "")
    made = []
    for _ in range(int(chance.integers(0, 8))):
        some, gaps = chance.choice(letters, int(chance.integers(1, 4))), chance.choice(blanks, 2)
        sizes = chance.choice([1, 2, 3, 5, 7, 8, 9, 15, 16, 17, 63, 64, 65, 66, 200], int(chance.integers(0, 60)))
        made.append("".join("".join(chance.choice(some, size)) + str(chance.choice(gaps)) for size in sizes))
    return pl.Series("text", made, dtype=pl.String)


def tokens(chance: np.random.Generator) -> None:
    """`text.shingles.tokens`."""
    module = import_module("tillage.text.shingles")
    some = (spoken if chance.random() < 0.6 else texts)(chance).str.to_lowercase()
    for here, there in zip(module.tokens(some), twin(module, lambda: module.tokens(some)), strict=True):
        np.testing.assert_array_equal(here, there)


def shingles(chance: np.random.Generator) -> None:
    """`text.shingles.shingles`."""
    module = import_module("tillage.text.shingles")
    some = (spoken if chance.random() < 0.6 else texts)(chance)
    for here, there in zip(module.shingles(some), twin(module, lambda: module.shingles(some)), strict=True):
        np.testing.assert_array_equal(here, there)


def buckets(chance: np.random.Generator) -> None:
    """`text.minhash.buckets`."""
    from tillage.text import minhash

    some = (spoken if chance.random() < 0.6 else texts)(chance)
    bands = minhash.Bands(int(chance.integers(1, 12)), int(chance.integers(1, 5)))
    here = minhash.buckets(some, bands)
    cut = import_module("tillage.text.shingles")
    there = twin(cut, lambda: twin(minhash, lambda: minhash.buckets(some, bands)))
    np.testing.assert_array_equal(here, there)


def signatures(chance: np.random.Generator) -> None:
    """`text.minhash.signatures`."""
    from tillage.text import minhash
    from tillage.text.shingles import shingles as cut

    found, permutations = cut(texts(chance)), int(chance.integers(1, 40))
    here = minhash.signatures(found, permutations)
    np.testing.assert_array_equal(here, twin(minhash, lambda: minhash.signatures(found, permutations)))


def components(chance: np.random.Generator) -> None:
    """`text.links.components`; what is compared of a group that is one is not compared again."""
    from tillage.text import links

    many, highest = int(chance.integers(1, 30)), int(chance.integers(2, 30))
    made = [np.unique(chance.integers(0, highest, int(chance.integers(1, 25)), dtype=np.uint64)) for _ in range(many)]
    last = np.cumsum([len(one) for one in made])
    sets = links.Sets(np.concatenate(made), last - [len(one) for one in made], last)
    groups = [chance.choice(many, int(chance.integers(0, min(many, 9) + 1)), replace=False) for _ in range(many)]
    members, sizes = np.concatenate(groups).astype(np.int64), np.array([len(one) for one in groups])
    similarity = float(chance.choice([0.1, 0.25, 1 / 3, 0.5, 0.75, 0.8, 1.0]))
    here = links.components(sets, members, sizes, similarity)
    there = twin(links, lambda: links.components(sets, members, sizes, similarity))
    np.testing.assert_array_equal(here, there)


CASES: dict[str, Case] = {case.__name__: case for case in (signatures, tokens, shingles, buckets, components)}


def main(file: str, seconds: float) -> None:
    """Run the cases in turn, on the functions of this file."""
    spec = importlib.util.spec_from_file_location("tillage.text._native", file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    from tillage.text.native import compiled

    assert compiled is module
    seed, until = 0, time.monotonic() + seconds
    while time.monotonic() < until or not seed:
        for name, case in CASES.items():
            try:
                case(np.random.default_rng(seed))
            except BaseException:
                print(f"case {name}, seed {seed}", file=sys.stderr, flush=True)
                raise
        seed += 1
    print(seed)


if __name__ == "__main__":
    main(sys.argv[1], float(sys.argv[2]))
