"""Counts and repetition against slow, obvious twins that read one text character by character."""

from __future__ import annotations

import unicodedata
from collections import Counter

import polars as pl
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tillage.text import unicode as reading
from tillage.text.measures import BULLETS, COUNTS, ENDINGS, measure, tokens
from tillage.text.repetition import LINES, ngram_limits, repeated_lines
from tillage.text.unicode import blocks

# Letters that this Python's Unicode knows, tags apart.
known = st.characters(exclude_categories=("Cs", "Cn"))
tricky = st.sampled_from(list("aB1 \t\n\n\r.#-*!，。…发烧頭\U00020000\u3000\u00a0\u2028\x85é😀\u200d\u200bあ한•'"))
phrases = st.lists(
    st.sampled_from(["a", "bb", "the cat", "发烧", "头痛", "…", "...", "\n", "\n\n", " \n", "#", "• x", "3.14", " "]),
    max_size=40,
).map("".join)
texts = st.none() | st.text(tricky | known, max_size=30) | phrases
HUGE = "word 发烧\n" * 40 + "x" * 100 + "…" * 7


def is_han(sign: str) -> bool:
    name = unicodedata.name(sign, "")
    return name.startswith(("CJK UNIFIED IDEOGRAPH", "CJK COMPATIBILITY IDEOGRAPH")) or (
        ord(sign) in range(0x3400, 0x4DC0) or ord(sign) in range(0x4E00, 0xA000) or 0x20000 <= ord(sign) < 0x323B0
        or 0xF900 <= ord(sign) < 0xFB00
    )  # fmt: skip


def is_wordy(sign: str) -> bool:
    outside = sign.isspace() or unicodedata.category(sign)[0] in "PZ" or unicodedata.category(sign) in ("Cc", "Cf")
    return not outside


def runs(text: str) -> list[str]:
    """Words and lone punctuation."""
    spaced = "".join(f" {sign} " if is_han(sign) else sign for sign in text)
    return spaced.split()


def words(text: str) -> list[str]:
    return [run for run in runs(text) if any(map(is_wordy, run))]


def plain_counts(value: str | None) -> tuple[int, ...]:
    text = value or ""
    lines = [line.strip() for line in text.split("\n") if line.strip()]
    found = words(text)
    return (
        len(text),
        sum(not sign.isspace() for sign in text),
        len(found),
        sum(map(is_han, text)),
        sum(any(map(str.isalpha, word)) for word in found),
        sum(sum(map(is_wordy, word)) for word in found if not is_han(word[0])),
        text.count("#"),
        text.count("...") + text.count("…"),
        len(lines),
        sum(line[0] in BULLETS for line in lines),
        sum(line.endswith(("...", "…")) for line in lines),
        sum(line[-1] in ENDINGS for line in lines),
        sum(len(line) <= 30 for line in lines),
    )


@settings(max_examples=400, deadline=None)
@given(st.lists(texts, max_size=6))
@example([HUGE, "", None, "\n", HUGE])
@example(["....... .. ... .", "a....", "."])
def test_counts_are_those_of_a_slow_reader(values: list[str | None]) -> None:
    got = measure(pl.Series("t", values, dtype=pl.String))
    assert got.columns == list(COUNTS)
    assert set(got.dtypes) == {pl.Int64}
    assert got.rows() == [plain_counts(value) for value in values]


def test_every_code_point_is_counted_as_the_slow_reader_does() -> None:
    every = [chr(c) for c in range(0x323B0) if not 0xD800 <= c < 0xE000]
    got = measure(pl.Series([f"a{c}b {c}" for c in every])).rows()
    assert [c for c, row in zip(every, got, strict=True) if row != plain_counts(f"a{c}b {c}")] == []


def test_blocks_do_not_matter(monkeypatch: pytest.MonkeyPatch) -> None:
    values = pl.Series(["one\ntwo\n", "发烧 头痛", None, "", "x" * 50, HUGE, "last"])
    whole = measure(values)
    monkeypatch.setattr(reading, "BLOCK", 7)
    assert len(list(blocks(values))) > 4
    assert measure(values).equals(whole)


def plain_lines(value: str | None) -> tuple[float, ...]:
    lines = [line.strip() for line in (value or "").split("\n")]
    paragraphs: list[list[str]] = [[]]
    for line in lines:
        if line:
            paragraphs[-1].append(line)
        else:
            paragraphs.append([])
    out: list[float] = []
    for pieces in ([line for line in lines if line], ["\n".join(p) for p in paragraphs if p]):
        again = [p for at, p in enumerate(pieces) if p in pieces[:at]]
        out += [len(again) / len(pieces), len("".join(again)) / len("".join(pieces))] if "".join(pieces) else [0, 0]
    return tuple(out)


paged = st.lists(st.sampled_from(["a", "b ", " a", "cc\t", "", "", "发烧"]), max_size=9).map("\n".join)


@settings(max_examples=300, deadline=None)
@given(st.lists(paged | texts, max_size=6))
@example(["a\nb\n\na\nb", None, "a\n\na\n \nb"])
def test_repeated_lines_are_those_of_a_slow_reader(values: list[str | None]) -> None:
    got = repeated_lines(pl.Series("t", values, dtype=pl.String))
    assert got.columns == list(LINES)
    # paragraphs are measured through their characters, line feeds included, in both
    assert got.rows() == [pytest.approx(plain_lines(value), abs=1e-12) for value in values]


def solid(words: list[str]) -> int:
    return len("".join(words))


def plain_top(text: str, n: int) -> float:
    found = words(text)
    grams = Counter(tuple(found[at : at + n]) for at in range(len(found) - n + 1))
    most = max((solid(list(g)) * times for g, times in grams.items() if times > 1), default=0)
    return most / max(solid(found), 1)


def plain_repeated(text: str, n: int) -> float:
    found = words(text)
    seen: set[tuple[str, ...]] = set()
    covered: set[int] = set()
    for at in range(len(found) - n + 1):
        gram = tuple(found[at : at + n])
        if gram in seen:
            covered |= set(range(at, at + n))
        seen.add(gram)
    return solid([found[at] for at in covered]) / max(solid(found), 1)


said = st.lists(st.sampled_from(["a", "bb", "c,", "发", "烧", "…", "the\tend"]), max_size=30).map(" ".join)
limits = st.dictionaries(st.integers(2, 6), st.sampled_from([0.0, 0.1, 0.16, 0.2, 0.35, 0.5, 0.8, 1.0]), max_size=4)


@settings(max_examples=400, deadline=None)
@given(values=st.lists(said | phrases | texts, max_size=6), top=limits, repeated=limits)
@example(values=[HUGE], top={2: 0.2, 4: 0.16}, repeated={5: 0.15, 10: 0.1})
def test_ngrams_are_those_of_a_slow_reader(
    values: list[str | None], top: dict[int, float], repeated: dict[int, float]
) -> None:
    series = pl.Series("t", values, dtype=pl.String)
    for block in blocks(series):
        got_top, got_repeated = ngram_limits(block, tokens(block), top, repeated)
        assert got_top.tolist() == [any(plain_top(v or "", n) > top[n] for n in top) for v in values]
        assert got_repeated.tolist() == [
            any(plain_repeated(v or "", n) > repeated[n] for n in repeated) for v in values
        ]


def test_a_share_counted_by_hand() -> None:
    # The pair "so it" comes four times: 16 of the 33 characters of the words, the comma among them.
    text = "so it goes and so it went and so it is, so it"
    block = next(blocks(pl.Series([text])))
    assert ngram_limits(block, tokens(block), {2: 16 / 33 - 1e-9}, {})[0].tolist() == [True]
    assert ngram_limits(block, tokens(block), {2: 16 / 33 + 1e-9}, {})[0].tolist() == [False]
