"""Random inputs on which each compiled function must say what its Python twin says: one case a function.

`python native_cases.py FILE SECONDS` runs the cases on the compiled functions of a file, such as one built with a
sanitizer, for so long; each round has its seed, which is told when a case fails.
"""

from __future__ import annotations

import ast
import contextlib
import importlib.util
import json
import sys
import time
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
import polars as pl
import pytest

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
    found += [None, " one", "two ", "x" * 511 + "  ", "y" * 512 + "  y", "UPPER"]
    column = pieces(chance, pl.Series("text", found, dtype=pl.String))
    names = ("full_width", "zero_width", "control", "spaces", "lines", "lower", "html")
    switch = np.random.default_rng(int(chance.integers(0, 14)))  # few, since each makes a table
    on = dict(zip(names, (switch.random(len(names)) < 0.5).tolist(), strict=True))
    form: Form = "NFC" if switch.random() < 0.5 else "NFKC"
    here = normalize.normalize_text(column, form, **on)
    slow = twin(normalize, lambda: normalize.normalize_text(column, form, **on))
    assert here.to_list() == slow.to_list(), (form, on)
    assert column.to_list() == found


ODD_LINES = (
    "", " ", "{}", "[1]", "not json", "{", '{"a"', '{"a":', '{"a":1', '{"a":1,', '{"a":1,}', '{"a":1}{}', "\ufeff{}",
    '{"a":1,"a":1}', '{"a":01}', '{"a":-}', '{"a":1.}', '{"a":.5}', '{"a":1e}', '{"a":1e5}', '{"a":-0}', '{"a":-0.0}',
    '{"a":1e400}', '{"a":1e-400}', '{"a":NaN}', '{"a":-Infinity}', '{"a":tru}', '{"a":True}', '{"a":nul}', "{'a':1}",
    '{"a":"\\ud800"}', '{"a":"\\udc00"}', '{"a":"\\udc00\\udc00"}', '{"a":"\\ud83d\\ude00"}',
    '{"a":"\\ud83d\\u0041"}', '{"a":"\\ud83d"}',
    '{"a":"\\u0000"}', '{"a":"\\u00e9\\u53d1\\/\\b\\f"}', '{"a":"\\x"}', '{"a":"\\u12"}',
    '{"a":"\\', '{"a":"\\u00', '{"a":"\t"}',
    '{"\\u0061":1}', '{"a b":null}', '{"a":[1,{"b":2}],"b":{}}',
    '{"a":999999999999999999}', '{"a":-999999999999999999}',
    '{"a":9223372036854775807}', '{"a":9999999999999999999}', '{"a":' + "1" * 350 + ".5}",
    '{"a":9223372036854775808}', '{"a":18446744073709551616}', '{"a":' + "9" * 5000 + "}",
    '{"a":' + "1" * 250 + ".5}", '{"a":' + "[" * 150 + "]" * 150 + "}", '{"a":"' + "[" * 150 + '"}',
    '{"a":"' + "x" * 70 + '"}',
)  # fmt: skip
"""Lines on which readers of JSON differ."""


def json_lines(chance: np.random.Generator) -> bytes:
    """Lines of objects with some of a few keys, odd lines among them, a byte spoiled here and there."""
    kinds = ["text", "whole", "fraction", "truth", "nothing"]
    columns = {name: str(chance.choice(kinds)) for name in chance.permutation(["a", "b", "id", "text", "\u53d1"])}
    steady, escaped = chance.random() < 0.6, bool(chance.random() < 0.3)
    between = ((",", ":"), (", ", ": "), (" ,\t", " : "))[int(chance.integers(3))]
    lines: list[str] = []
    for _ in range(int(chance.integers(1, 30))):
        record: dict[str, object] = {}
        for name, usual in columns.items():
            if not steady and chance.random() < 0.2:
                continue
            kind = usual if steady or chance.random() < 0.9 else str(chance.choice(kinds))
            size = int(chance.choice([0, 2, 12, 13, 40, 200], p=[0.1, 0.3, 0.2, 0.1, 0.2, 0.1]))
            record[name] = {
                "text": "".join(chance.choice(list("".join(SIGNS)), size)),
                "whole": int(chance.integers(-(10 ** int(chance.integers(1, 19))), 10 ** int(chance.integers(1, 19)))),
                "fraction": float(chance.normal() * 10.0 ** int(chance.integers(-30, 30))),
                "truth": bool(chance.random() < 0.5),
                "nothing": None,
            }[kind if chance.random() < 0.95 else "nothing"]
        lines.append(json.dumps(record, ensure_ascii=escaped, separators=between))
        if chance.random() < 0.1:
            lines.append(str(chance.choice(ODD_LINES)))
    data = bytearray(str(chance.choice(["\n", "\r\n", "\n\n"])).join(lines).encode())
    for _ in range(int(chance.choice([0, 1, 5], p=[0.6, 0.3, 0.1]))):
        at = int(chance.integers(len(data))) if data else 0
        data[at : at + int(chance.integers(2))] = bytes(
            chance.choice(list(b'"\\{}[]:,0e.-u\x00\x1f\xff\xe5\n '), 1).tolist()
        )
    return bytes(data)


def json_records(chance: np.random.Generator) -> None:
    """`collect.jsonl.JsonReader` with the scan, without it, and with the careful parser alone."""
    from tillage.collect import encoding, json_columns, jsonl, records
    from tillage.collect.content import Content
    from tillage.collect.piece import Limits
    from tillage.core.errors import ConfigurationError

    data, most = json_lines(chance), int(chance.choice([3, 300]))
    limits = Limits(max_field=60 if chance.random() < 0.3 else 1_000_000, max_columns=most)
    array = bool(chance.random() < 0.2)
    data = b"[" + data.replace(b"\n", b",\n") + b"]" if array else data

    def read() -> object:
        content = Content.of(data)
        if not data.strip():
            return None
        try:
            return [
                (p.frame.schema, p.frame.rows(), p.raw, p.numbers.tolist(), [b.model_dump() for b in p.bad])
                for p in jsonl.JsonReader(content, "x", encoding.detect(content), limits, array).pieces()
            ]
        except ConfigurationError as error:
            return str(error)

    def carefully() -> object:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(jsonl, "plain_rows", lambda *_: None)
            return twin(json_columns, read)

    here = read()
    assert here == carefully(), data
    assert here == twin(json_columns, lambda: twin(records, read)), data


def json_cells(
    chance: np.random.Generator, kinds: list[int], spoilt: float
) -> tuple[npt.NDArray[np.uint8], list[str], list[int], list[int]]:
    """Values of these kinds one after another: the bytes, each as it is written, and where each stands, or does not."""
    signs = list("".join(SIGNS))
    told: list[str] = []
    for kind in kinds:
        text = "".join(chance.choice(signs, int(chance.choice([0, 1, 12, 13, 90]))))
        number = str(int(chance.integers(-(10**18) + 1, 10**18)))
        written = json.dumps(text, ensure_ascii=bool(chance.random() < 0.5))[1:-1]
        bare = "".join(sign for sign in text if sign not in '"\\' and sign >= " ")
        told.append({2: bare, 3: written, 4: number, 5: number + ".5", 6: "true", 7: "false"}.get(kind, ""))
    sizes = [len(one.encode()) for one in told]
    places = [sum(sizes[:i]) for i in range(len(sizes))]
    if sizes and chance.random() < spoilt:
        sizes[int(chance.integers(len(sizes)))] += int(chance.choice([-1, -2, 1, 13, 1000, 2**32 - 2000]))
        sizes = [max(0, size) for size in sizes]
    return np.array(list("".join(told).encode()), dtype=np.uint8), told, places, sizes


def json_texts(chance: np.random.Generator) -> None:
    """Cells as texts, against the json module; places beyond the data and broken escapes are refused."""
    from tillage.text.native import compiled, handed

    assert compiled is not None
    kinds = chance.integers(0, 8, int(chance.integers(0, 20)))
    data, told, places, sizes = json_cells(chance, kinds.tolist(), 0.3)
    right = [
        None if kind < 2 else json.loads(f'"{one}"') if kind == 3 else one
        for kind, one in zip(kinds, told, strict=True)
    ]
    given = kinds.astype(np.uint8), np.array(places, dtype=np.uint32), np.array(sizes, dtype=np.uint32)
    if sizes == [len(one.encode()) for one in told]:
        column = handed("x", compiled.json_texts(data, *given))
        assert column.name == "x"
        assert column.to_list() == right
        assert pl.concat([column, column]).sort().to_list() == pl.Series(right * 2, dtype=pl.String).sort().to_list()
    else:
        with contextlib.suppress(ValueError):
            compiled.json_texts(data, *given)
    cut = "x" * int(chance.integers(9)) + "\\ud83d\\ude00"[: int(chance.integers(1, 12))]
    alone = np.array(list(cut.encode()), dtype=np.uint8)
    with pytest.raises(ValueError, match="an escape is none"):
        compiled.json_texts(alone, np.array([3], "u1"), np.array([0], "u4"), np.array([len(cut)], "u4"))


def json_integers(chance: np.random.Generator) -> None:
    """Cells as whole numbers, against int()."""
    from tillage.text.native import compiled

    assert compiled is not None
    kinds = chance.choice([0, 1, 2, 4, 4, 4], int(chance.integers(0, 20)))
    data, told, places, sizes = json_cells(chance, kinds.tolist(), 0.3)
    given = kinds.astype(np.uint8), np.array(places, dtype=np.uint32), np.array(sizes, dtype=np.uint32)
    out = np.ones(len(kinds), dtype=np.int64)
    if sizes == [len(one.encode()) for one in told]:
        compiled.json_integers(data, *given, out)
        assert out.tolist() == [int(one) if kind == 4 else 0 for kind, one in zip(kinds, told, strict=True)]
    else:
        with contextlib.suppress(ValueError):
            compiled.json_integers(data, *given, out)


def line_cuts(chance: np.random.Generator) -> None:
    """`collect.records.line_cuts`."""
    from tillage.collect import records

    pool = [b"\n\r", b"a\n", b"ab \n\r", b"abcdefghijk\n"][int(chance.integers(4))]
    data = bytes(chance.choice(list(pool), int(chance.choice([0, 1, 2, 5, 50, 900]))).tolist())
    final = bool(chance.random() < 0.5)
    starts, ends, consumed = records.line_cuts(data, final)
    wanted: Any = twin(records, lambda: records.line_cuts(data, final))
    assert (starts.tolist(), ends.tolist(), consumed) == (wanted[0].tolist(), wanted[1].tolist(), wanted[2]), data


def utf8_until(chance: np.random.Generator) -> None:
    """What Python's decoder says, whole and in blocks."""
    from tillage.collect import encoding
    from tillage.text.native import compiled

    assert compiled is not None
    pool = "".join(SIGNS[: int(chance.integers(1, len(SIGNS) + 1))])
    data = bytearray("".join(chance.choice(list(pool), int(chance.choice([0, 1, 9, 60])))).encode())
    for _ in range(int(chance.choice([0, 1, 3]))):
        at = int(chance.integers(len(data))) if data else 0
        spoilt = list(b"\x00\x7f\x80\x9f\xa0\xbf\xc0\xc1\xc2\xdf\xe0\xed\xef\xf0\xf4\xf5\xff")
        data[at : at + int(chance.integers(2))] = bytes(chance.choice(spoilt, int(chance.integers(1, 4))).tolist())
    if chance.random() < 0.3:
        del data[-int(chance.integers(1, 4)) :]
    whole, until = bytes(data), len(data)
    try:
        whole.decode()
    except UnicodeDecodeError as error:
        until = error.start
    assert compiled.utf8_until(np.array(list(whole), dtype=np.uint8)) == until, whole
    cuts = sorted(chance.integers(0, len(whole) + 1, 2).tolist())
    blocks = [whole[a:b] for a, b in zip([0, *cuts], [*cuts, len(whole)], strict=True)]

    def looked() -> bool:
        look = encoding._Utf8()
        return all(look.fits(block) for block in blocks) and look.whole()

    assert looked() == (until == len(whole)), blocks
    assert twin(encoding, looked) == (until == len(whole)), blocks


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
    "沪B D1234", "12 345 67 89", "0086 138-1234-5678", "Müller born in 1980", "+46 () 8 928 571 38",
    "身份证110105491231002", "passport E12345678", "34052419800101001x", f"{'a' * 64}@b.cn", f"{'a' * 65}@b.cn",
    "1111111111111111111114oLvT2",
    "SSN 460899847", "call 99 668472", "call 5403926876 ext 12", "born 12.03.1980", "born Dec. 3rd, 1971",
    "出生1980 年3月12日",
    "born 5th of May, 1990", "born 30th March 2001", "credit card 3519833257665853", "tel 400-810-8888",
    "call 4008108888",
    "phone 5403926876Ext. 7", "phone: 5403926876x12", "tel 6685472", "call (1234) 56 78 90 12",
    "银行卡号 9558820200011234566", "11111111111111111111g4hiWR", "DEYXukfUqvoaHjCzzRHSATnGdvUzsCDNrh",
    "ltc1qw508d6qejxtdg4y5r3zarvary0c5xw7kgmn4n9", "token 0x52908400098527886E0F7030069857D2E4169EE7",
)  # fmt: skip


ABOUT = (
    "", "", "", " ", "phone ", "call me: ", "电话", "手机：", "card ", "SSN: ", "passport ", "born ", "生日", "出生",
    "身份证", "wallet ", "银行卡号 ", "order no. ", "version ", "[PHONE]", ", ",
    "，", "-", ".", "1", "a", "+", "(", "/", ":", "@",
    "年",
)  # fmt: skip


ODD = "0123456789 .-()+/:@,xXabfzAF年\u200b\uff11\uff21\u0663\u2013\u00b7\u2022\u1680\u4eac\u4dff\x00"


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
        before = "x" * int(chance.integers(990, 1024)) + " " if chance.random() < 0.2 else ""  # the end of a block
        made.append("".join([before, *parts, str(chance.choice(ABOUT))]))
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
            for match in form.pattern.finditer(text[:2000]):
                for at in range(match.start(), match.start() + 4):
                    if recognise.candidate_at(form, text, at):
                        assert told.get((row, at), 0) & form.shape, (form.type, text, at)
    types = recognise.TYPES if chance.random() < 0.6 else recognise.TYPES[int(chance.integers(0, 15)) :][:2]
    words = () if chance.random() < 0.6 else (("name", ("born", "M\u00fcller", "\u7535\u8bdd", "ab")),)
    recogniser = recognise.Recogniser(types, words)
    here = recogniser.find_all(some)
    assert here == twin(recognise, lambda: recogniser.find_all(some))
    assert here == {at: spans for at, text in enumerate(some) if (spans := recogniser.find(text or ""))}


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


CASES: dict[str, Case] = {name: globals()[name] for name in declared()}


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
