"""Marked texts without a network: by the book on small sums, Chinese too, the same on each machine, in a plan."""

from __future__ import annotations

import itertools
import json
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.learn.test_entity_recognizer import marked
from tests.learn.test_every_learner import fit

from tillage.core.errors import BadData, UnknownName
from tillage.core.state import decode, digest, encode
from tillage.face.main import ended
from tillage.face.rooms import project
from tillage.learn import StructuredPerceptron, StructuredPerceptronModel
from tillage.learn.structured_perceptron import _best, _Points, _shares, features_of, units_of
from tillage.measure.spans import span_counts, span_f1
from tillage.text.entity_tags import tag_names
from tillage.text.spans import Span, keys_of, spans_of, written


def learner(**more: Any) -> StructuredPerceptron:
    return StructuredPerceptron.model_validate({"input": "text", **more})


def f1(model: Any, rows: pl.DataFrame) -> float:
    return span_f1(span_counts(keys_of(rows["spans"]), keys_of(model.apply(rows)["prediction"])))


# ---- by the book

TAGS = tag_names(["A", "B"])
SEQUENCES = [
    s
    for s in itertools.product(range(5), repeat=4)
    if all(not TAGS[b].startswith("I") or TAGS[a][1:] == TAGS[b][1:] for a, b in itertools.pairwise((0, *s)))
]


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10_000), st.sampled_from([1.0, 3.0, 40.0]))
def test_best_and_shares_are_those_over_all_sequences(seed: int, size: float) -> None:
    draw = np.random.default_rng(seed)
    scores, following = np.rint(draw.normal(0, 3 * size, (4, 5))), np.rint(draw.normal(0, size, (5, 5)))
    sums = np.array(
        [
            sum(scores[at, tag] for at, tag in enumerate(s)) + sum(following[a, b] for a, b in itertools.pairwise(s))
            for s in SEQUENCES
        ]
    )
    from tillage.learn.structured_perceptron import _barred

    found = _best(scores, following + _barred(5))
    assert sums[SEQUENCES.index(tuple(found))] == sums.max()
    weight = np.exp((sums - sums.max()) / 2.0)
    wanted = np.zeros((4, 5))
    for one, sequence in zip(weight, SEQUENCES, strict=True):
        wanted[np.arange(4), sequence] += one
    assert np.abs(_shares(scores, following, 2.0) - wanted / weight.sum()).max() < 1e-9


def test_shares_stay_numbers_however_far_scores_are() -> None:
    draw = np.random.default_rng(5)
    for _ in range(50):
        scores, following = draw.normal(0, 1e5, (30, 7)), draw.normal(0, 1e5, (7, 7))
        shares = _shares(scores, following, 0.5)
        assert np.isfinite(shares).all()
        assert np.abs(shares.sum(axis=1) - 1).max() < 1e-9


def test_the_mean_is_that_of_the_weights_after_each_text() -> None:
    """The lazy mean beside one that keeps all weights."""
    draw = np.random.default_rng(2)
    points = _Points(6, 3)
    kept = []
    for _ in range(25):
        places = draw.integers(0, 6, (4, 2))
        points.learn(places, [0, 1, 2, 0])
        kept.append((points._weights.copy(), points._following.copy()))
    weights, following = points.mean()
    assert np.abs(weights - np.mean([w for w, _ in kept], axis=0)).max() < 1e-5
    assert np.abs(following - np.mean([f for _, f in kept], axis=0)).max() < 1e-5


def test_a_mistake_moves_a_point_and_none_moves_nothing() -> None:
    points = _Points(2, 3)
    points.learn(np.array([[0], [1]]), [0, 1])  # all is 0: said is O, O
    assert points._weights[:2].tolist() == [[0, 0, 0], [-1, 1, 0]]
    assert points._following[0].tolist() == [-1, 1, 0]
    before = points._weights.copy()
    points.learn(np.array([[0], [1]]), [0, 1])
    assert np.array_equal(points._weights, before)


def test_units_and_features() -> None:
    text = "O'Neil_2, 张三\n3.5€ \U0001f600"
    wanted = ["O", "'", "Neil_2", ",", "张", "三", "3", ".", "5", "€", "\U0001f600"]
    assert [text[a:b] for a, b in units_of(text)] == wanted
    features = list(features_of(text, units_of(text)))
    assert all(len(set(names)) == len(names) for names in features)
    assert "s Xxd" not in features[2]
    assert {"w neil_2", "w-1 '", "w1 ,", "joined"} <= set(features[2])
    assert {"w 张", "apart", "w1 三"} <= set(features[4])


# ---- learning


def test_it_learns_names_by_what_stands_beside_them_in_chinese_too() -> None:
    model = fit(learner(), marked())
    assert f1(model, marked(80, seed=1)) > 0.97
    found = spans_of(model.apply(pl.DataFrame({"text": ["a big 3 of\nloud 3, \u5927\u53d1\u70e7"]}))["prediction"])
    assert found == [[Span(6, 7, "AGE"), Span(16, 17, "SUM"), Span(20, 22, "ILLNESS")]]


SURNAMES, GIVEN = "张王李赵陈刘杨黄周吴", "伟芳娜敏静磊军洋勇艳杰涛明超"
PATTERNS = [
    "请联系{}办理。",
    "{}说他明天到上海。",
    "昨天我和{}一起去了北京",
    "病人{}，男，五十岁",
    "天气很好",
    "由{}签字后生效",
]


def chinese(count: int, seed: int) -> pl.DataFrame:
    """Sentences with names of two or three characters that no other sentence has."""
    draw = np.random.default_rng(seed)
    rows = []
    for n in range(count):
        name = str(draw.choice(list(SURNAMES))) + "".join(draw.choice(list(GIVEN), draw.integers(1, 3)).tolist())
        pattern = PATTERNS[int(draw.integers(len(PATTERNS)))]
        at = pattern.find("{}")
        spans = [Span(at, at + len(name), "PER")] if at >= 0 else []
        rows.append({"_id": n, "text": pattern.format(name), "spans": written(spans)})
    return pl.DataFrame(rows, schema={"_id": pl.UInt128, "text": pl.String, "spans": pl.String})


def test_chinese_names_are_found_by_character() -> None:
    model = fit(learner(), chinese(150, 0))
    assert f1(model, chinese(60, 1)) > 0.95
    told = json.loads(model.apply(pl.DataFrame({"text": ["请联系李芳芳办理。"]}))["prediction"][0])
    assert [(s["start"], s["end"]) for s in told] == [(3, 6)]


def test_the_same_again_whatever_the_order_and_as_data() -> None:
    rows = marked(60)
    model = fit(learner(), rows)
    assert digest(fit(learner(), rows.reverse()).state) == digest(model.state)
    assert digest(fit(learner(seed=1), rows).state) != digest(model.state)
    none = rows.head(5).with_columns(pl.lit(None, dtype=pl.String).alias("spans"), pl.col("_id") + 1)
    assert digest(fit(learner(), pl.concat([none, rows])).state) == digest(model.state)
    again = StructuredPerceptronModel(state=decode(encode(model.state)))
    whole = model.apply(rows)
    assert again.apply(rows).equals(whole)
    assert pl.concat([model.apply(rows[n : n + 1]) for n in range(rows.height)]).equals(whole)
    assert model.apply(rows.clear()).schema == whole.schema
    strange = pl.DataFrame({"text": [None, "", " ", "\U0001f600" * 500]}, schema={"text": pl.String})
    assert model.apply(strange)["prediction"].to_list()[:3] == ["[]"] * 3


def test_the_confidence_comes_true() -> None:
    """Where a sign says no more than that six in ten are names, about six in ten are what it is sure of."""
    draw = np.random.default_rng(0)
    rows = pl.DataFrame(
        [
            {"_id": n, "text": f"of x{n % 7} so", "spans": '[[3, 5, "A"]]' if draw.random() < 0.6 else "[]"}
            for n in range(600)
        ],
        schema={"_id": pl.UInt128, "text": pl.String, "spans": pl.String},
    )
    model = fit(learner(validation=0.3), rows)
    sure = model.apply(rows)["confidence"].mean()
    assert isinstance(sure, float)
    assert 0.5 <= sure < 0.75
    clear = fit(learner(validation=0.3), marked())
    assert clear.state["temperature"] < model.state["temperature"]
    assert clear.apply(marked(30, seed=1))["confidence"].mean() > 0.9  # type: ignore[operator]


def test_shards_answer_together_though_one_lacks_a_label() -> None:
    rows = marked(300)
    first = rows["_id"].min()
    once = rows.with_columns(
        pl.when(pl.col("_id") == first).then(pl.lit('[[0, 1, "RARE"]]')).otherwise("spans").alias("spans")
    )
    model: Any = fit(learner(shards=2), once)
    assert "RARE" in model.state["classes"]
    assert sorted("RARE" in member.state["classes"] for member in model.members) == [False, True]
    assert f1(model, marked(80, seed=1)) > 0.95


def test_what_cannot_be_learnt_is_refused_or_warned_of() -> None:
    rows = marked(20)
    for nothing in (rows.clear(), rows.with_columns(spans=pl.lit("[]"))):
        with pytest.raises(BadData, match="No row has a span in the target column 'spans'"):
            fit(learner(), nothing)
    with pytest.raises(BadData, match="No row has a text in text"):
        fit(learner(), rows.with_columns(text=pl.lit(" ")))
    with pytest.raises(UnknownName, match="'text'"):
        fit(learner(), rows.drop("text"))
    cut = rows.with_columns(text=pl.lit("big things of"), spans=pl.lit('[[0, 8, "A"]]'))
    assert "20 of 20 spans of the training rows begin or end within a word" in fit(learner(), cut).state["warnings"][0]


PLAN = """\
project: names
tables:
  notes: {collect: {files: "data/*.jsonl"}, key: id}
models:
  names: {learn: structured_perceptron, from: notes, input: text, shards: 2, split: {test: 0.25, leak: false}}
"""


def test_in_a_plan_an_update_equals_a_rebuild(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TILLAGE_KEY", "ab" * 32)
    (tmp_path / "data").mkdir()
    (tmp_path / "tillage.yaml").write_text(PLAN)
    lines = [
        json.dumps({"id": n, "text": text, "spans": json.loads(spans)}) + "\n"
        for n, (text, spans) in enumerate(marked(240).sort("_id").select("text", "spans").iter_rows())
    ]
    for n in range(2):
        (tmp_path / "data" / f"{n}.jsonl").write_text("".join(lines[n::2]))
    assert ended(["run", "--plan", str(tmp_path)]) == 0
    with project(tmp_path) as p:
        report = p.report("names")
        assert report["metrics"]["f1"] > 0.9 > report["baseline"]["f1"]
        assert report["linear"]["note"] == "the model is itself linear"
    (tmp_path / "data" / "1.jsonl").write_text("".join(lines[1::2][:-1]))
    assert ended(["run", "--plan", str(tmp_path), "--processes", "2"]) == 0
    with project(tmp_path) as p:
        updated = digest(p.model("names").state)
    (tmp_path / ".tillage").rename(tmp_path / "old")
    with project(tmp_path) as p:
        p.run()
        assert digest(p.model("names").state) == updated
