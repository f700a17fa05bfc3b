"""Random inputs on which each compiled function must say what its Python twin says: one case a function.

`python -m tests.text.native_cases FILE SECONDS` runs the cases on the compiled functions of a file, such as one built
with a sanitizer, for so long; each round has its seed, which is told when a case fails.
"""

from __future__ import annotations

import ast
import importlib.util
import sys
import time
from collections.abc import Callable
from importlib import import_module
from pathlib import Path

import numpy as np
import polars as pl

from tests.text import json_cases, personal_cases
from tests.text.random_texts import again, pieces, texts, twin

Case = Callable[[np.random.Generator], None]


def spoken(chance: np.random.Generator) -> pl.Series:
    """Texts of tokens from one byte to some hundred, Latin, Cyrillic and Han ones, with all kinds of space between."""
    letters = ("a", "z", "\u0416", "\u00df", "\u0e01", "\u3042", "\uff0c", "\ud55c", "\U0001f600", "\u4e00", "\u9fff")
    blanks: tuple[str, ...] = (
        " ",
        "  ",
        "\n",
        "\t",
        "\x0b\x0c\r",
        "\x1c",
        "\x85",
        "\xa0",
        "\u1680",
        "\u2000",
        "\u200a",
        "\u200b",
    )
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


def sets(chance: np.random.Generator) -> None:
    """`text.shingles.sets`; texts of few words have shingles that come again."""
    module = import_module("tillage.text.shingles")
    words = [" ".join(chance.choice(["a", "bc", "\u4e00"], int(size))) for size in chance.integers(0, 300, 4)]
    some = pl.concat([(spoken if chance.random() < 0.6 else texts)(chance), pl.Series("text", words)])
    for here, there in zip(module.sets(some), twin(module, lambda: module.sets(some)), strict=True):
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


def text_buckets(chance: np.random.Generator) -> None:
    """`text.minhash.buckets` of texts of which few have a long token, some are none, and one may be long."""
    from tillage.text import minhash

    words = chance.choice(["a", "of", "seven", "sixteen letters", "\u53d1\u70e7", "\u0416" * 5, ""], 40)
    made: list[str | None] = [" ".join(words[: int(n)]) for n in chance.integers(0, 40, int(chance.integers(1, 30)))]
    for n in chance.integers(0, len(made), 3).tolist():
        made[n] = [None, f"{made[n]} {'w' * int(chance.integers(60, 70))} end", "b " * int(chance.integers(0, 5000))][
            n % 3
        ]
    some = pieces(chance, pl.Series("text", made, dtype=pl.String))
    bands = minhash.Bands(int(chance.integers(1, 12)), int(chance.integers(1, 5)))
    cut = import_module("tillage.text.shingles")
    here = minhash.buckets(some, bands)
    np.testing.assert_array_equal(here, twin(cut, lambda: twin(minhash, lambda: minhash.buckets(some, bands))))


def signatures(chance: np.random.Generator) -> None:
    """`text.minhash.signatures`."""
    from tillage.text import minhash
    from tillage.text.shingles import shingles as cut

    found, permutations = cut(texts(chance)), int(chance.integers(1, 40))
    here = minhash.signatures(found, permutations)
    np.testing.assert_array_equal(here, twin(minhash, lambda: minhash.signatures(found, permutations)))


def text_counts(chance: np.random.Generator) -> None:
    """`text.measures.measure`."""
    from tillage.text import measures

    # Long runs, of which one character alone makes a word.
    runs = [
        f"{'-' * before}{sign}{'-' * behind} {sign}"
        for sign in "a1-\u4e00"
        for before, behind in chance.integers(0, 150, (2, 2))
    ]
    found = pieces(chance, pl.concat([texts(chance), pl.Series("text", runs)]))
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
    from tillage.prepare.rewriting import Form

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
    found += [None, " one", "two ", "end\x7f", "x" * 511 + "  ", "y" * 512 + "  y", "UPPER"]
    column = pieces(chance, pl.Series("text", found, dtype=pl.String))
    names = ("full_width", "zero_width", "control", "spaces", "lines", "lower", "html")
    switch = np.random.default_rng(int(chance.integers(0, 14)))  # few, since each makes a table
    on = dict(zip(names, (switch.random(len(names)) < 0.5).tolist(), strict=True))
    form: Form = "NFC" if switch.random() < 0.5 else "NFKC"
    here = normalize.normalize_text(column, form, **on)
    slow = twin(normalize, lambda: normalize.normalize_text(column, form, **on))
    assert here.to_list() == slow.to_list(), (form, on)
    assert column.to_list() == found


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


def declared() -> list[str]:
    """The names of the compiled functions."""
    tree = ast.parse((Path(__file__).parents[2] / "src/tillage/text/_native.pyi").read_text())
    return [node.name for node in tree.body if isinstance(node, ast.FunctionDef)]


_EVERY = {**vars(json_cases), **vars(personal_cases), **globals()}
CASES: dict[str, Case] = {name: _EVERY[name] for name in declared()}


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
