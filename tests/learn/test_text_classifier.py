"""TF-IDF and the linear model against scikit-learn's own, and what the confidence means."""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl
import pytest
from scipy import sparse
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.svm import LinearSVC

from tillage.core.errors import BadData
from tillage.learn import TextClassifier, TextClassifierModel
from tillage.learn.terms import TermCounts, TermWeights, learn_terms, weighed_by_classes
from tillage.text.tokens import words

STEMS = {"card": "card lost stolen block", "loan": "loan rate term pay", "zh": "\u6211 \u7684 \u5361 \u4e22 \u4e86 pay"}


def table(count: int, seed: int, classes: int = 3) -> pl.DataFrame:
    random = np.random.default_rng(seed)
    names = random.choice(list(STEMS)[:classes], count)
    fill = ["the", "a", "my", "please", "how", "can", "i", "get"]
    texts = []
    for name in names:
        said = [*random.choice(STEMS[name].split(), random.integers(0, 3)), *random.choice(fill, 4)]
        random.shuffle(said)
        texts.append(" ".join(said))
    return pl.DataFrame({"_id": range(count), "text": texts, "y": names})


def oracle(train: pl.DataFrame, min_rows: int) -> tuple[Any, Any]:
    """The two vectorizers of scikit-learn, on the same words."""

    def split(text: str) -> list[str]:
        return list(pl.select(words(pl.lit(text))).item())

    def spaced(text: str) -> str:
        return " ".join(word for word in split(text) if not "\u4e00" <= word <= "\u9fff")

    of_words = TfidfVectorizer(
        tokenizer=split, token_pattern=None, lowercase=False, ngram_range=(1, 2), min_df=min_rows, sublinear_tf=True
    )
    of_characters = TfidfVectorizer(
        preprocessor=spaced, analyzer="char_wb", ngram_range=(2, 5), min_df=min_rows, sublinear_tf=True
    )
    return of_words.fit(train["text"]), of_characters.fit(train["text"])


def ratios(oracle: Any, train: pl.DataFrame) -> Any:
    """Of each term 1 + the mean over classes of |ln(share in the class / share elsewhere)|, a class and term a time."""
    has = oracle.transform(train["text"]).toarray() > 0
    total = np.zeros(has.shape[1])
    for name in sorted(set(train["y"])):
        of_it = (train["y"] == name).to_numpy()
        inside = [1 + has[of_it, at].sum() for at in range(has.shape[1])]
        outside = [1 + has[~of_it, at].sum() for at in range(has.shape[1])]
        for at in range(has.shape[1]):
            ratio = np.log((inside[at] / sum(inside)) / (outside[at] / sum(outside)))
            total[at] += abs(ratio) * of_it.mean()
    return 1 + total


def by_classes(oracles: tuple[Any, Any], train: pl.DataFrame) -> tuple[Any, Any]:
    """The same vectorizers, each idf times its ratio."""
    for one in oracles:
        one.idf_ = one.idf_ * ratios(one, train)
    return oracles


def weighed(oracles: tuple[Any, Any], rows: pl.DataFrame) -> Any:
    return sparse.hstack([oracles[0].transform(rows["text"]), oracles[1].transform(rows["text"])]).tocsr()


@pytest.mark.parametrize("min_rows", [1, 2, 5])
def test_weights_are_scikit_learns(min_rows: int) -> None:
    train, test = table(80, 1), table(40, 2)
    oracles = oracle(train, min_rows)
    learnt = learn_terms(train["text"], min_rows, 10**6)
    assert learnt["words"] == oracles[0].get_feature_names_out().tolist()
    assert learnt["characters"] == oracles[1].get_feature_names_out().tolist()
    np.testing.assert_allclose(learnt["word_idf"], oracles[0].idf_)
    np.testing.assert_allclose(learnt["character_idf"], oracles[1].idf_)
    found = TermWeights(learnt).matrix(test["text"])
    np.testing.assert_allclose(found.toarray(), weighed(oracles, test).toarray(), atol=1e-12)


def test_chinese_is_cut_within_characters_that_stand_together() -> None:
    texts = pl.Series(["\u623f\u95f4\u5f88\u597d\uff0cok", "\u623f\u95f4\u5f88\u597d\uff0c\u5f88ok"])
    learnt = learn_terms(texts, 1, 10**6)
    oracle = TfidfVectorizer(preprocessor=lambda text: text.replace("\uff0c", " ").replace("ok", " ok"), min_df=1)
    oracle.set_params(analyzer="char_wb", ngram_range=(2, 5))
    expected = set(oracle.fit(texts).get_feature_names_out()) - {" \u5f88", "\u5f88 ", " \u5f88 "}
    assert set(learnt["characters"]) == expected
    assert "\u623f\u95f4\u5f88\u597d" in expected


def test_a_term_weighs_more_the_less_even_its_classes_are() -> None:
    texts = pl.Series(["a b", "a b", "a b", "a c", "a d", "a d", "a d", "a c"])
    texts, target = pl.concat([texts, pl.Series(["a c", "a e"])]), np.array([*"xxxxxyyyyy"])
    target[4], target[8] = "y", "x"
    learnt = learn_terms(texts, 1, 10**6)
    found = weighed_by_classes(learnt, TermWeights(learnt).counts(TermCounts(texts)), target)
    gain = dict(zip(learnt["words"], found["word_idf"] / learnt["word_idf"], strict=True))
    assert gain["a"] == pytest.approx(1)  # in each text of either class
    assert gain["c"] == pytest.approx(1 + np.log(3 / 2))  # in two of x, one of y, and one more for each
    assert gain["b"] == gain["d"] == pytest.approx(1 + np.log(4))


def test_of_many_terms_the_commonest_stay() -> None:
    learnt = learn_terms(pl.Series(["b a", "a c", "c d b", "b"]), 1, 2)
    assert learnt["words"] == ["a", "b"]  # a and c are in two texts each: the first by name


@pytest.mark.parametrize("classes", [2, 3])
def test_decisions_are_scikit_learns(classes: int) -> None:
    train, test = table(150, 3, classes), table(200, 4, classes)
    model = TextClassifier(input="text", target="y").compute({"rows": train})
    oracles = by_classes(oracle(train, 2), train)
    solver = LinearSVC(C=0.5, tol=0.01, dual=True, random_state=0).fit(weighed(oracles, train), train["y"].to_numpy())
    found = model.apply(test)
    assert found["prediction"].to_list() == solver.predict(weighed(oracles, test)).tolist()
    expected = solver.decision_function(weighed(oracles, test)).reshape(test.height, -1)
    np.testing.assert_allclose(model.decision(test)[:, -expected.shape[1] :], expected, atol=1e-5)
    assert model.state["coefficients"].dtype == np.float32
    assert model.state["converged"]


def test_confidence_is_near_the_share_of_hits() -> None:
    model = TextClassifier(input="text", target="y").compute({"rows": table(1500, 5)})
    assert model.state["temperature"] != 1.0
    test = table(1500, 6)
    found = model.apply(test).with_columns(hit=pl.col("prediction") == test["y"])
    assert abs(found.select(pl.col("confidence").mean() - pl.col("hit").mean()).item()) < 0.05
    sure = found.filter(pl.col("confidence") > 0.9)
    assert sure.height > 100
    assert sure["hit"].mean() > 0.9


def test_rows_kept_back_teach_the_first_model_no_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    """Weights that had seen the labels of those rows would make the model look surer than it is."""
    seen: list[tuple[int, list[str]]] = []

    def told(learnt: dict[str, Any], counts: Any, target: Any) -> dict[str, Any]:
        seen.append((counts[0].shape[0], target.tolist()))
        return weighed_by_classes(learnt, counts, target)

    monkeypatch.setattr("tillage.learn.text_classifier.weighed_by_classes", told)
    rows = table(200, 5)
    TextClassifier(input="text", target="y").compute({"rows": rows})
    labels = rows["y"].to_list()
    assert seen == [(200, labels), (180, [label for n, label in enumerate(labels) if n % 10])]


def test_a_dozen_rows_without_a_mistake_are_not_beyond_doubt() -> None:
    """Twelve rows kept back, all told right: that is worth 13 of 14 (Platt), and no certainty."""
    rows = pl.DataFrame({"_id": range(120), "text": ["good hotel", "bad room"] * 60, "y": ["+", "-"] * 60})
    found = TextClassifier(input="text", target="y").compute({"rows": rows}).apply(rows)
    assert found["prediction"].to_list() == rows["y"].to_list()
    assert np.allclose(found["confidence"], 13 / 14, atol=0.02)


def test_few_rows_leave_the_temperature_at_one() -> None:
    assert TextClassifier(input="text", target="y").compute({"rows": table(60, 7)}).state["temperature"] == 1.0


def test_chinese_may_be_cut_into_words() -> None:
    """Words and pairs of words in the place of single characters; the n-grams of characters stay."""
    rows = pl.DataFrame(
        {"_id": range(4), "text": ["\u9152\u5e97 \u5f88\u597d", "\u670d\u52a1\u5458 good"] * 2, "y": ["a", "b"] * 2}
    )
    plain, cut = (TextClassifier(input="text", target="y", chinese=how) for how in ("characters", "words"))
    plain, cut = plain.compute({"rows": rows}), cut.compute({"rows": rows})
    assert {"\u9152", "\u5e97", "\u9152 \u5e97"} < set(plain.state["words"])
    assert {"\u9152\u5e97", "\u670d\u52a1\u5458", "\u670d\u52a1\u5458 good"} < set(cut.state["words"])
    assert not {"\u9152", "\u9152 \u5e97"} & set(cut.state["words"])
    assert plain.state["characters"] == cut.state["characters"]
    assert cut.apply(rows)["prediction"].to_list() == rows["y"].to_list()
    assert cut.state["chinese"] == "words"
    other = type(cut)(state={**cut.state, "chinese": "characters"})
    assert not np.allclose(other.decision(rows), cut.decision(rows)), "it answers by the words that it learnt"


def test_chinese_is_told_apart() -> None:
    rows = pl.DataFrame(
        {
            "_id": range(6),
            "text": ["房间很好", "服务很好", "很好，再来", "房间不好", "服务不好", "不好，不来"],
            "y": ["+", "+", "+", "-", "-", "-"],
        }
    )
    model = TextClassifier(input="text", target="y").compute({"rows": rows})
    assert "\u5f88 \u597d" in model.state["words"]
    found = model.apply(pl.DataFrame({"text": ["\u9910\u5385\u5f88\u597d", "\u9910\u5385\u4e0d\u597d"]}))
    assert found["prediction"].to_list() == ["+", "-"]


def test_rare_classes_weigh_more_when_balanced() -> None:
    rows = pl.concat([table(200, 8).filter(pl.col("y") == "card"), table(40, 9).filter(pl.col("y") == "loan").head(5)])
    rows = rows.with_columns(pl.Series("_id", range(rows.height)))
    vague = pl.DataFrame({"text": ["please can i get"]})

    def rare(weight: Any) -> float:
        learner = TextClassifier(input="text", target="y", class_weight=weight)
        return float(learner.compute({"rows": rows}).decision(vague)[0, 1])

    assert rare("balanced") > rare(None)


def test_texts_without_a_common_word_are_refused() -> None:
    rows = pl.DataFrame({"_id": [1, 2], "text": ["!", "?"], "y": ["a", "b"]})
    with pytest.raises(BadData, match="min_rows"):
        TextClassifier(input="text", target="y").compute({"rows": rows})


def test_lists_are_refused() -> None:
    rows = pl.DataFrame({"_id": [1, 2], "text": [["a"], ["b"]], "y": ["a", "b"]})
    with pytest.raises(BadData, match=r"'text' holds List"):
        TextClassifier(input="text", target="y").compute({"rows": rows})


def test_a_model_is_equal_to_its_copy_after_use() -> None:
    model = TextClassifier(input="text", target="y").compute({"rows": table(60, 7)})
    fresh = TextClassifierModel(state=model.state)
    model.apply(table(3, 1))
    assert model.fingerprint() == fresh.fingerprint()


def test_an_answer_takes_the_place_of_an_older_one() -> None:
    model = TextClassifier(input="text", target="y").compute({"rows": table(60, 7)})
    rows = table(5, 1)
    fresh = model.apply(rows)
    assert fresh.columns == [*rows.columns, "prediction", "confidence"]
    older = rows.select(pl.lit(0.0).alias("confidence"), pl.all())
    assert model.apply(older).select(fresh.columns).equals(fresh)
    assert model.apply(rows[:0]).schema == fresh.schema


def test_a_text_that_is_missing_counts_as_empty() -> None:
    model = TextClassifier(input="text", target="y").compute({"rows": table(60, 7)})
    found = model.apply(pl.DataFrame({"text": [None, ""]}, schema={"text": pl.String}))
    assert found["confidence"].n_unique() == 1
