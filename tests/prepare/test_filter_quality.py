"""FilterQuality against a slow, obvious twin that judges one text at a time, and rule by rule on texts by hand."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import polars as pl
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from tests.text.random_texts import twin
from tests.text.slow_reader import is_han, plain_counts, plain_lines, plain_repeated, plain_top, texts

from tillage.core import ConfigurationError
from tillage.prepare import FilterQuality, filter_quality
from tillage.prepare.filter_quality import CHINESE_STOP_WORDS, GOPHER_STOP_WORDS
from tillage.text import repetition
from tillage.text import unicode as reading
from tillage.text.measures import COUNTS
from tillage.text.repetition import LINES

OFF: dict[str, Any] = {
    name: None for name, field in FilterQuality.model_fields.items() if name.startswith(("min_", "max_")) and field
}


def ratio(part: float, whole: float) -> float:
    if whole:
        return part / whole
    return float("inf") if part else float("nan")


def different(text: str, listed: tuple[str, ...]) -> int:
    lower, found = text.lower(), 0
    for word in set(listed):
        ends = all(map(is_han, word))
        places = [at for at in range(len(lower)) if lower.startswith(word.lower(), at)]
        found += any(
            ends or not (lower[max(at - 1, 0) : at].isalpha() or lower[at + len(word) : at + len(word) + 1].isalpha())
            for at in places
        )
    return found


def broken(value: str | None, step: FilterQuality) -> Iterator[tuple[str, bool]]:
    """Each rule in order; comparisons with null are left to the caller, and not a number breaks nothing."""
    text = value or ""
    n = dict(zip(COUNTS, plain_counts(text), strict=True))
    words, han, lines = n["words"], n["han"], n["lines"]
    chinese = han * 2 >= words and han > 0
    p = {name: float("nan") if got is None else got for name, got in step if isinstance(got, int | float | None)}
    yield "min_words", not chinese and words < p["min_words"]
    yield "max_words", not chinese and words > p["max_words"]
    yield "min_han", chinese and words < p["min_han"]
    yield "max_han", chinese and words > p["max_han"]
    yield "min_mean_word_length", not chinese and ratio(n["word_characters"], words - han) < p["min_mean_word_length"]
    yield "max_mean_word_length", not chinese and ratio(n["word_characters"], words - han) > p["max_mean_word_length"]
    yield "max_hash_ratio", ratio(n["hashes"], words) > p["max_hash_ratio"]
    yield "max_ellipsis_ratio", ratio(n["ellipses"], words) > p["max_ellipsis_ratio"]
    yield "min_alphabetic_words", ratio(n["alphabetic_words"], words) < p["min_alphabetic_words"]
    yield "max_bullet_lines", ratio(n["bullet_lines"], lines) > p["max_bullet_lines"]
    yield "max_ellipsis_lines", ratio(n["ellipsis_lines"], lines) > p["max_ellipsis_lines"]
    yield "min_ended_lines", ratio(n["ended_lines"], lines) < p["min_ended_lines"]
    yield "max_short_lines", ratio(n["short_lines"], lines) > p["max_short_lines"]
    yield "banned", any(phrase.lower() in text.lower() for phrase in step.banned)
    listed = step.chinese_stop_words if chinese else step.stop_words
    yield "min_stop_words", different(text, listed) < p["min_stop_words"]
    for name, share in zip(LINES, plain_lines(text), strict=True):
        yield f"max_{name}", share > p[f"max_{name}"]
    top, repeated = step.max_top_ngram or {}, step.max_repeated_ngram or {}
    yield "max_top_ngram", any(plain_top(text, k) > top[k] for k in top)
    yield "max_repeated_ngram", any(plain_repeated(text, k) > repeated[k] for k in repeated)


def plain(value: str | None, step: FilterQuality) -> str | None:
    return next((name for name, is_broken in broken(value, step) if is_broken), None)


sayings = [
    "the end of it",
    "be that",
    "to have and",
    "我的",
    "在这里",
    "了 ",
    "\n",
    "\n\n",
    "...",
    "# ",
    "• ",
    " ",
    "12 ",
    ". ",
]
prose = st.lists(st.sampled_from(sayings), max_size=30).map("".join)
shares = st.sampled_from([None, 0.0, 0.1, 0.25, 0.3, 0.5, 0.7, 1.0])
amounts = st.sampled_from([None, 0, 1, 2, 3, 5, 10])
ngrams = st.none() | st.dictionaries(st.integers(2, 6), st.sampled_from([0.1, 0.2, 0.35, 0.5]), max_size=3)
parameters = st.fixed_dictionaries(
    {},
    optional={
        **{n: amounts for n in OFF if n.endswith(("_words", "_han", "_length")) and "alphabetic" not in n},
        **{
            n: shares for n in OFF if n.endswith(("_lines", "_ratio", "_characters", "_paragraphs", "alphabetic_words"))
        },
        "max_top_ngram": ngrams,
        "max_repeated_ngram": ngrams,
        "banned": st.sampled_from([(), ("END",), ("x{", "我")]),
        "stop_words": st.sampled_from([GOPHER_STOP_WORDS, (), ("it", "E")]),
    },
)


@settings(max_examples=400, deadline=None)
@given(values=st.lists(prose | texts, max_size=6), given=parameters, off=st.booleans())
@example(values=["the cat and the dog"] * 3, given={"min_words": 5, "min_stop_words": 2}, off=True)
@example(values=["THE cat And"], given={"min_stop_words": 2}, off=True)
@example(values=["a 1 2 3 4 5 6 b c d"], given={"min_alphabetic_words": 0.4}, off=True)
def test_equals_a_slow_judge(values: list[str | None], given: dict[str, Any], off: bool) -> None:
    step = FilterQuality(**{"column": "t", **(OFF if off else {"min_words": 3, "min_han": 3}), **given})
    rows = pl.DataFrame({"_id": range(len(values)), "t": pl.Series(values, dtype=pl.String)})
    out = step.apply(rows)
    assert out["_reason"].to_list() == [plain(value, step) for value in values]
    assert out.drop("_reason").equals(rows)
    assert twin(repetition, lambda: twin(filter_quality, lambda: step.apply(rows))).equals(out, null_equal=True)


ENGLISH = (
    "The river had risen in the night, and the people of the lower town came to look at it in the morning. Nobody "
    "could say how long the old bridge would stand. Some of them remembered the winter when it had been carried away, "
    "and that was enough to make them move their things to the church upon the hill."
)
CHINESE = (
    "河水在夜里涨了起来，下城的居民早晨都来看。没有人说得出那座老桥还能撑多久。有些人还记得它被冲走的那个冬天，"
    "这就足以让他们把家里的东西都搬到山上的教堂里去。孩子们不懂得大人为什么着急，只觉得搬家是一件好玩的事情。"
)


def reason(text: str, **given: Any) -> str | None:
    rows = pl.DataFrame({"_id": [1], "text": [text]})
    found: list[str | None] = FilterQuality(column="text", **given).apply(rows)["_reason"].to_list()
    return found[0]


@pytest.mark.parametrize("text", [ENGLISH, CHINESE, CHINESE + "iPhone 很贵", f"{ENGLISH}\n\n{CHINESE}"])
def test_prose_stays(text: str) -> None:
    assert reason(text) is None


LIST = "\n".join(f"- {sentence}" for sentence in ENGLISH.split(". "))
BY_HAND = {
    "min_words": "Too short.",
    "max_words": f"{ENGLISH} " * 2000,
    "min_han": "太短了。",
    "max_han": CHINESE * 2000,
    "min_mean_word_length": "I am to go if he is at an inn or on it " * 6,
    "max_mean_word_length": "internationalisation notwithstanding " * 30,
    "max_hash_ratio": "#tag the " * 60,
    "max_ellipsis_ratio": "words... have… " * 60,
    "min_alphabetic_words": f"{ENGLISH} " + "12.50 99 100 2024 " * 10,
    "max_bullet_lines": LIST,
    "max_ellipsis_lines": ENGLISH.replace(". ", "...\n"),
    "min_stop_words": "Lorem ipsum dolor sit amet consectetur adipiscing elit " * 8,
    "max_repeated_lines": f"{ENGLISH}\n" + "Read more here\n" * 2,
    "max_repeated_line_characters": f"one\ntwo\nthree\nfour\n{ENGLISH}\n{ENGLISH}",
    "max_repeated_paragraphs": f"{ENGLISH}\n\n" + "Read\nmore\n\n" * 2,
    "max_repeated_paragraph_characters": f"{ENGLISH}\n\n{ENGLISH}\n\none\n\ntwo",
    "max_top_ngram": f"{ENGLISH} " + "buy it now " * 30,
    "max_repeated_ngram": f"{ENGLISH} {ENGLISH}",
    "banned": ENGLISH + " Lorem Ipsum",
    "min_ended_lines": ENGLISH.replace(". ", "\n")[:-1],
    "max_short_lines": ENGLISH.replace(" ", "\n"),
}
GIVEN: dict[str, dict[str, Any]] = {
    "banned": {"banned": ("lorem ipsum",)},
    "min_ended_lines": {"min_ended_lines": 0.12},
    "max_short_lines": {"max_short_lines": 0.67},
    "max_repeated_paragraphs": {"max_repeated_lines": None},
    "max_repeated_paragraph_characters": {"max_repeated_lines": None, "max_repeated_line_characters": None},
}


@pytest.mark.parametrize("rule", BY_HAND)
def test_each_rule_by_hand(rule: str) -> None:
    given = GIVEN.get(rule, {})
    assert reason(BY_HAND[rule], **given) == rule
    off = () if rule == "banned" else None
    assert reason(BY_HAND[rule], **{**given, rule: off}) != rule


def test_every_rule_is_seen_by_hand() -> None:
    assert set(BY_HAND) == set(OFF) | {"banned"}


def test_a_reason_that_was_there_stays() -> None:
    rows = pl.DataFrame({"_id": [1, 2, 3], "text": ["short", ENGLISH, "short"], "_reason": ["before", "early", None]})
    assert FilterQuality(column="text").apply(rows)["_reason"].to_list() == ["before", "early", "min_words"]


def test_blocks_do_not_matter(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = pl.DataFrame({"_id": range(len(BY_HAND) + 1), "text": [*BY_HAND.values(), None]})
    whole = FilterQuality(column="text").apply(rows)
    monkeypatch.setattr(reading, "BLOCK", 100)
    assert FilterQuality(column="text").apply(rows).equals(whole)


def test_hostile_frames(rows: pl.DataFrame, empty: pl.DataFrame, nothing: pl.DataFrame) -> None:
    step = FilterQuality(column="text")
    assert step.apply(empty).schema == step.apply(rows).schema
    assert set(step.apply(nothing)["_reason"]) == {"min_words"}
    assert step.needs() == ("text",)
    with pytest.raises(ConfigurationError, match=r"'txt'. Did you mean 'text'"):
        FilterQuality(column="txt").apply(rows)
    with pytest.raises(ConfigurationError, match="Column 'n' holds Int64, and this step needs text"):
        FilterQuality(column="n").apply(rows)


@pytest.mark.parametrize("wrong", [{"max_top_ngram": {1: 0.2}}, {"max_bullet_lines": 1.5}, {"min_words": -1}])
def test_bounds(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        FilterQuality(column="text", **wrong)


def test_the_defaults_are_those_published() -> None:
    step = FilterQuality(column="text")
    assert (step.min_words, step.max_words, step.min_mean_word_length, step.max_mean_word_length) == (
        50,
        100_000,
        3,
        10,
    )
    assert (step.max_hash_ratio, step.max_ellipsis_ratio, step.min_alphabetic_words) == (0.1, 0.1, 0.8)
    assert (step.max_bullet_lines, step.max_ellipsis_lines, step.min_stop_words) == (0.9, 0.3, 2)
    assert step.stop_words == ("the", "be", "to", "of", "and", "that", "have", "with")
    assert (step.max_repeated_lines, step.max_repeated_paragraphs) == (0.3, 0.3)
    assert (step.max_repeated_line_characters, step.max_repeated_paragraph_characters) == (0.2, 0.2)
    assert step.max_top_ngram == {2: 0.20, 3: 0.18, 4: 0.16}
    assert step.max_repeated_ngram == {5: 0.15, 6: 0.14, 7: 0.13, 8: 0.12, 9: 0.11, 10: 0.10}
    assert all(len(word) == 1 for word in CHINESE_STOP_WORDS)
