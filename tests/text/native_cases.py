"""Random inputs on which each compiled function must say what its Python twin says: one case a function.

`python native_cases.py FILE SECONDS` runs the cases on the compiled functions of a file, such as one built with a
sanitizer, for so long; each round has its seed, which is told when a case fails.
"""

from __future__ import annotations

import importlib.util
import sys
import time
from collections.abc import Callable
from types import ModuleType
from typing import TypeVar

import numpy as np
import polars as pl

Case = Callable[[np.random.Generator], None]
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


def signatures(chance: np.random.Generator) -> None:
    """`text.minhash.signatures`."""
    from tillage.text import minhash
    from tillage.text.shingles import shingles

    found, permutations = shingles(texts(chance)), int(chance.integers(1, 40))
    here = minhash.signatures(found, permutations)
    np.testing.assert_array_equal(here, twin(minhash, lambda: minhash.signatures(found, permutations)))


def text_counts(chance: np.random.Generator) -> None:
    """`text.measures.measure`."""
    from tillage.text import measures

    found = pieces(chance, texts(chance))
    assert measures.measure(found).equals(twin(measures, lambda: measures.measure(found)))


def listed_words(chance: np.random.Generator) -> None:
    """The stop words of `prepare.filter_quality`, of which fewer than are asked for are told exactly."""
    from tillage.prepare import filter_quality as step

    every = [
        "the",
        "be",
        "of",
        "is",
        "sk",
        "k",
        "to",
        "a" * 9,
        "\u7684",
        "\u53d1\u70e7",
        "\u4e00",
        "\u00e9",
        "i'm",
        "of",
    ]
    listed = tuple(str(word) for word in chance.choice(every, int(chance.integers(0, 9))))
    found = texts(chance).fill_null("")
    if len(found):
        more = [
            f"{text[:20]} {' '.join(chance.choice(every, 3))}{end}"
            for text, end in zip(found, ".K\u017f \u212a", strict=False)
        ]
        found = pieces(chance, pl.concat([found, pl.Series("text", more, dtype=pl.String)]))
    asked, least = chance.random(len(found)) < 0.8, int(chance.integers(1, 5))
    here = step._stop_words(found, asked, listed, least)
    slow = twin(step, lambda: step._stop_words(found, asked, listed, least))
    np.testing.assert_array_equal(np.minimum(here, least)[asked], np.minimum(slow, least)[asked])


def said_again(chance: np.random.Generator) -> None:
    """`text.repetition.repeated_lines`."""
    from tillage.text import repetition

    found = pieces(chance, again(chance, "\n"))
    assert repetition.repeated_lines(found).equals(twin(repetition, lambda: repetition.repeated_lines(found)))


def ngrams_over(chance: np.random.Generator) -> None:
    """`text.repetition.ngram_limits`."""
    from tillage.text.measures import tokens
    from tillage.text.repetition import ngram_limits, ngrams_over
    from tillage.text.unicode import blocks

    found = pieces(chance, again(chance, " ").fill_null(""))
    sizes = chance.choice(np.arange(2, 12), int(chance.integers(0, 5)), replace=False).tolist()
    limits = {int(n): float(chance.choice([0, 0.05, 0.1, 0.16, 0.2, 0.35, 0.5, 1])) for n in sizes}
    top, repeated = dict(list(limits.items())[::2]), dict(list(limits.items())[1::2])
    among = chance.random(len(found)) < 0.8
    here, at = ngrams_over(found, top, repeated, among), 0
    for block in blocks(found):
        until = at + len(block.starts) - 1
        for got, told in zip(here, ngram_limits(block, tokens(block), top, repeated, among[at:until]), strict=True):
            np.testing.assert_array_equal(got[at:until], told)
        at = until
    assert at == len(found)


def rewritten_texts(chance: np.random.Generator) -> None:
    """`prepare.normalize.normalize_text`, with all its switches."""
    from tillage.prepare import normalize

    pool = [
        "a",
        "B",
        "Z",
        " ",
        "  ",
        "\n",
        "\r\n",
        "\r",
        "\r\u200b\n",
        "\x0b",
        "\x85",
        "\u2028",
        "\u3000",
        "\uff21",
        "\uff5a",
    ]
    pool += [
        "\uff0c",
        "\u2026",
        "\u4e00",
        "\x00",
        "\u00ad",
        "\u00a0",
        "\u2003",
        "\U0001f600",
        "\ud7ff",
        "\ue000",
        "\uffee",
    ]
    rare = [
        "e\u0301",
        "\u0301",
        "\u200d",
        "\u0130",
        "\u03a3",
        "\ufb01",
        "\u1100\u1161",
        "\u0915\u200d",
        "\u0378",
        "\u24b6",
    ]
    found = texts(chance).to_list()
    for _ in range(int(chance.integers(0, 80))):
        every = pool + rare * int(chance.random() < 0.2)
        found.append(
            "".join(
                chance.choice(every, int(chance.choice([1, 2, 5, 12, 30, 600, 1500], p=[0.2] * 4 + [0.1, 0.05, 0.05])))
            )
        )
    found += [None, " one", "two ", "x" * 511 + "  ", "y" * 512 + "  y", "UPPER"]
    column = pieces(chance, pl.Series("text", found, dtype=pl.String))
    names = ("full_width", "zero_width", "control", "spaces", "lines", "lower", "html")
    switch = np.random.default_rng(int(chance.integers(0, 14)))  # few, since each makes a table
    on = dict(zip(names, (switch.random(len(names)) < 0.5).tolist(), strict=True))
    form: normalize.Form = "NFC" if switch.random() < 0.5 else "NFKC"
    here = normalize.normalize_text(column, form, **on)
    slow = twin(normalize, lambda: normalize.normalize_text(column, form, **on))
    assert here.to_list() == slow.to_list(), (form, on)
    assert column.to_list() == found


CASES: dict[str, Case] = {
    case.__name__: case for case in (signatures, text_counts, listed_words, said_again, ngrams_over, rewritten_texts)
}


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
