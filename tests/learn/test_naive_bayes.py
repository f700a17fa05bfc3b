"""Naive Bayes against scikit-learn's, and the laws of a Fold whose counts are exact."""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.naive_bayes import MultinomialNB

from tillage.core.errors import BadData
from tillage.core.state import digest
from tillage.learn import NaiveBayes
from tillage.text.tokens import words

LEARNER = NaiveBayes(input="text", target="y")

ROW = st.tuples(st.none() | st.text("ab \u4f60", max_size=6), st.none() | st.sampled_from(["x", "y", "z"]))
ROWS = st.lists(ROW, max_size=12)


def frame(rows: list[tuple[str | None, str | None]]) -> pl.DataFrame:
    return pl.DataFrame(
        {"_id": range(len(rows)), "text": [r[0] for r in rows], "y": [r[1] for r in rows]},
        schema={"_id": pl.UInt128, "text": pl.String, "y": pl.String},
    )


def state(rows: Any, learner: NaiveBayes = LEARNER) -> Any:
    return learner.update(learner.start(), frame(rows))


def draw(count: int, seed: int) -> list[tuple[str | None, str | None]]:
    random = np.random.default_rng(seed)
    topics = {"x": "red rose wine", "y": "blue sky sea rose", "z": "\u4f60 \u597d sky"}
    names = random.choice(list(topics), count)
    return [(" ".join(random.choice(topics[n].split(), random.integers(0, 6))), str(n)) for n in names]


@pytest.mark.parametrize("alpha", [1.0, 0.1, 7.5])
def test_it_is_scikit_learns(alpha: float) -> None:
    learner = NaiveBayes(input="text", target="y", alpha=alpha)
    train, test = draw(200, 1), [*draw(50, 2), ("never seen", None), (None, None)]
    model = learner.finish(state(train, learner))
    found = model.apply(frame(test))

    def tokens(rows: list[tuple[str | None, str | None]]) -> list[list[str]]:
        return frame(rows).select(words(pl.col("text").fill_null("")))["text"].to_list()

    count = CountVectorizer(analyzer=lambda text: text)
    oracle = MultinomialNB(alpha=alpha).fit(count.fit_transform(tokens(train)), [y for _, y in train])
    shares = oracle.predict_proba(count.transform(tokens(test)))
    assert found["prediction"].to_list() == oracle.classes_[shares.argmax(axis=1)].tolist()
    np.testing.assert_allclose(found["confidence"], shares.max(axis=1), rtol=1e-10)


def test_a_count_by_hand() -> None:
    """Manning, Raghavan, Schuetze, example 13.1: the document is of class China, at odds of 0.0003 to 0.0001."""
    train = [
        *[("Chinese Beijing Chinese", "c"), ("Chinese Chinese Shanghai", "c"), ("Chinese Macao", "c")],
        ("Tokyo Japan Chinese", "j"),
    ]
    found = LEARNER.finish(state(train)).apply(frame([("Chinese Chinese Chinese Tokyo Japan", None)]))
    china, japan = 3 / 4 * (3 / 7) ** 3 / 14**2, 1 / 4 * (2 / 9) ** 5
    assert found["prediction"].to_list() == ["c"]
    assert found["confidence"][0] == pytest.approx(china / (china + japan))


@settings(max_examples=40)
@given(ROWS, ROWS, ROWS)
def test_states_merge_exactly(a: Any, b: Any, c: Any) -> None:
    merge = LEARNER.merge
    first, second, third = state(a), state(b), state(c)
    before = [digest(first), digest(second)]
    assert digest(merge(first, second)) == digest(merge(second, first)) == digest(state(a + b))
    assert digest(merge(merge(first, second), third)) == digest(merge(first, merge(second, third)))
    assert digest(merge(LEARNER.start(), first)) == digest(first)
    assert digest(LEARNER.update(first, frame(b))) == digest(state(a + b))
    assert [digest(first), digest(second)] == before


@settings(max_examples=40)
@given(ROWS)
def test_the_counts_are_those_of_a_slow_count(rows: Any) -> None:
    found = state(rows)
    counts: dict[tuple[str, str], int] = {}
    for text, label in rows:
        for word in frame([(text or "", label)]).select(words(pl.col("text"))).item().to_list() if label else []:
            counts[word, label] = counts.get((word, label), 0) + 1
    words_, classes = found["vocabulary"], found["classes"]
    triples = zip(found["term"], found["class"], found["count"], strict=True)
    assert {(words_[t], classes[k]): n for t, k, n in triples} == counts
    assert words_ == sorted({word for word, _ in counts})
    labels = [label for _, label in rows if label]
    assert dict(zip(classes, found["rows"].tolist(), strict=True)) == {k: labels.count(k) for k in sorted(set(labels))}


def test_what_was_never_folded_leaves_no_trace() -> None:
    kept, gone = draw(30, 3), [("secret word", "w")]
    assert digest(LEARNER.merge(state(kept), LEARNER.start())) != digest(LEARNER.merge(state(kept), state(gone)))
    rest = LEARNER.merge(state(kept[:20]), state(kept[20:]))  # the chunk that held it, folded again without
    assert digest(rest) == digest(state(kept))
    assert "secret" not in rest["vocabulary"]
    assert "w" not in rest["classes"]


def test_texts_without_words_leave_the_prior() -> None:
    found = LEARNER.finish(state([(None, "x"), ("!", "x"), ("", "z")])).apply(frame([("what", None)]))
    assert found.select("prediction", "confidence").row(0) == ("x", pytest.approx(2 / 3))


def test_columns_are_read_together_without_joining_words() -> None:
    rows = pl.DataFrame({"_id": [1, 2], "a": ["re", "be"], "b": ["d", None], "y": [0, 1]})
    learner = NaiveBayes(input=("a", "b"), target="y")
    assert learner.update(learner.start(), rows)["vocabulary"] == ["be", "d", "re"]
    assert learner.needs() == ("a", "b", "y")


@pytest.mark.parametrize(
    ("rows", "said"), [([], "No row has a value"), ([("a", None)], "No row"), ([("a", "x")], "single class 'x'")]
)
def test_too_few_classes_are_refused(rows: Any, said: str) -> None:
    with pytest.raises(BadData, match=said):
        LEARNER.finish(state(rows))
