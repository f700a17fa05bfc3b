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
    blanks = (" ", "  ", "\n", "\t", "\x0b\x0c\r", "\x1c", "\x85", "\xa0", "\u1680", "\u2000", "\u200a", "\u200b")
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


def joined(chance: np.random.Generator) -> None:
    """`text.runs.joined`, of a column in one piece, in several and in the midst of a longer one."""
    from tillage.text import runs

    some = pl.concat([texts(chance), texts(chance)], rechunk=bool(chance.random() < 0.5))
    first = int(chance.integers(0, len(some) + 1))
    mark = str(chance.choice(["", "-", "\n", "\u00e9\u00e9"]))
    for column in (some, some[first:], some[:first], some.cast(pl.Categorical)):
        here, there = runs.joined(column, mark), twin(runs, lambda of=column: runs.joined(of, mark))  # type: ignore[misc]
        np.testing.assert_array_equal(here, there)


WRITTEN = """
    li.wei@example.cn a+b@mail.example.co.uk x_1@xn--fiqs8s.xn--fiqz9s https://example.org/a?b=c#d ftp://f.example.n
    http://10.1.2.3:8080/x www.example.com WWW.a.b/ 106.31.73.20 6e40:4041:c617:e898:c11:40d2:c669:2eb4 ::7 7::
    2001:db8::8a2e:370:7334 1:2:3:4:5:6:1.2.3.4 12:30:05 a::b1 00:1A:2b:3c:4D:5e AA-BB-CC-DD-EE-FF 138-1234-5678
    13812345678 +86138-1234-5678 0086-13912345678 010-62345678 (0755)2345678 (0755)-2345678转12 +1-984-182-0190
    (579)888-3058 1.905.674.3793 345-899-3560x4587 001-518-640-0854 400-810-8888 8008108888 (+1)2345678 99-668472
    4111111111111111 4111-1111-1111-1111 3519833257665853 6212345678901232 6212-3456-7890-1232 9558820200011234566
    GB29NWBK60161331926819 de89-3704-0044-0532-0130-00 1A1zP1eP5QGefi2DMPTfTL5SLmv7DivfNa
    bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t4 0x52908400098527886E0F7030069857D2E4169EE7 11010519491231002X
    110105491231002 91350100M000100Y43 460-89-9847 460899847 E12345678 京A12345 沪B·D1234 粤BD12345 川A1234警
    2/8/1935 1935-8-2 12.03.1980 1980年3月12日 DAbcdefghijkmnopqrstuvwxyz TheseAreLettersWithoutABlank
"""
"""Personal data as they are written, each without a blank."""

SPACED = (
    "4111 1111 1111 1111", "3782 822463 10005", "6212 3456 7890 1232", "GB29 NWBK 6016 1331 9268 19", "023 01 0866",
    "+44 20 7946 0018", "+46 (0)8 928 571 38", "138 1234 5678", "(0755) 2345678", "12 March 1980", "5th of May, 1990",
    "Dec. 3rd, 1971", "September 30 2001", "1980 年 3 月 12 日", "1 (202) 555-0143 ext. 12", "00 44 20 7946 0018",
    "沪B D1234", "12 345 67 89", "0086 138-1234-5678", "Müller born in 1980",
)  # fmt: skip

ABOUT = (
    "", "", "", " ", "phone ", "call me: ", "电话", "手机：", "card ", "SSN: ", "passport ", "born ", "生日", "出生",
    "身份证", "wallet ", "银行卡号 ", "order no. ", "version ", "[PHONE]", ", ",
    "，", "-", ".", "1", "a", "+", "(", "/", ":", "@",
    "年",
)  # fmt: skip

ODD = "0123456789 .-()+/:@,xXabfzAF年\u200b\uff11\uff21\u0663\u2013\u00b7\u2022\u1680\u4eac\x00"


def personal(chance: np.random.Generator) -> pl.Series:
    """Texts of personal data and of what nearly is: with a sign too many, too few or another one."""
    made: list[str | None] = [*texts(chance).head(2)]
    for _ in range(int(chance.integers(1, 6))):
        parts = []
        for _ in range(int(chance.integers(1, 5))):
            value = str(chance.choice(WRITTEN.split() if chance.random() < 0.7 else SPACED))
            while chance.random() < 0.4:
                i, sign = int(chance.integers(0, len(value) + 1)), str(chance.choice(list(ODD)))
                value = value[:i] + str(chance.choice([sign, sign, ""])) + value[i + int(chance.integers(0, 2)) :]
            if chance.random() < 0.2:
                value = "".join(str(chance.integers(0, 10)) if c.isdigit() else c for c in value)
            parts += [str(chance.choice(ABOUT)), value]
        made.append("".join([*parts, str(chance.choice(ABOUT))]))
    return pl.Series("text", made, dtype=pl.String)


def shapes(chance: np.random.Generator) -> None:
    """`privacy.recognise`: each finding of each form is at a place of its shape, and all is found as by the gates."""
    from tillage.privacy import recognise
    from tillage.privacy.shapes import shapes as look
    from tillage.text.folding import NOT_PLAIN, fold
    from tillage.text.native import compiled

    some = personal(chance)
    assert compiled is not None
    raw, odd = look(compiled, some)
    assert odd.tolist() == some.str.contains(NOT_PLAIN).fill_null(value=False).arg_true().to_list()
    folded = [fold(text or "") for text in some]
    found, _ = look(compiled, pl.Series(folded, dtype=pl.String))
    assert raw[~np.isin(raw[:, 0], odd)].tolist() == found[~np.isin(found[:, 0], odd)].tolist()
    told: dict[tuple[int, int], int] = {}
    for row, start, bits in found.tolist():
        told[row, start] = told.get((row, start), 0) | bits
    assert list(told) == sorted(told)
    for row, text in enumerate(folded):
        for form in recognise.FORMS:
            for match in form.pattern.finditer(text[:400]):
                for at in range(match.start(), match.start() + 4):
                    if recognise.candidate_at(form, text, at):
                        assert told.get((row, at), 0) & form.shape, (form.type, text, at)
    types = recognise.TYPES if chance.random() < 0.6 else recognise.TYPES[int(chance.integers(0, 15)) :][:2]
    words = () if chance.random() < 0.6 else (("name", ("born", "M\u00fcller", "\u7535\u8bdd", "ab")),)
    recogniser = recognise.Recogniser(types, words)
    here = recogniser.find_all(some)
    assert here == twin(recognise, lambda: recogniser.find_all(some))
    assert here == {at: spans for at, text in enumerate(some) if (spans := recogniser.find(text or ""))}


CASES: dict[str, Case] = {case.__name__: case for case in (signatures, tokens, shingles, buckets, joined, shapes)}


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
