"""Marked texts: tags and back, what answers is what was trained, in a plan, in eight bits, long, Chinese, in shards."""

from __future__ import annotations

import importlib.util
import itertools
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import polars as pl
import pytest
from tests.flow.test_tracking import of_tensorboard
from tests.learn.test_every_learner import fit
from tests.text import tiny_encoder

from tillage.core.errors import BadData, ConfigurationError, GateFailed, Unavailable, UnknownName, UsageError
from tillage.core.state import decode, digest, encode
from tillage.face.main import ended
from tillage.face.rooms import project
from tillage.flow.tracking import FOLDER
from tillage.learn import EntityRecognizer, EntityRecognizerModel
from tillage.measure.spans import span_counts, span_f1
from tillage.prepare import RecognizeEntities
from tillage.text.entity_tags import decoded, tag_names, tagged
from tillage.text.pretrained import Pretrained
from tillage.text.spans import Span, keys_of, spans_of, written
from tillage.text.transformer import Shape

DEEP = pytest.mark.skipif(
    importlib.util.find_spec("torch") is None, reason="needs PyTorch, which the lock of deep learning brings"
)

# ---- tags


def test_tags_and_back() -> None:
    draw = np.random.default_rng(0)
    labels = ["A", "B", "C"]
    for _ in range(50):
        units = [(3 * n, 3 * n + 2) for n in range(draw.integers(1, 12))]
        spans, at = [], 0
        while at < len(units):
            size = int(draw.integers(1, 4))
            if draw.random() < 0.5 and at + size <= len(units):
                spans.append(Span(units[at][0], units[at + size - 1][1], str(draw.choice(labels))))
            at += size
        told = tagged(units, spans, labels)
        assert (told.lost, told.moved) == (0, 0)
        shares = np.full((len(units), 7), 0.01)
        shares[np.arange(len(units)), told.tags] = 0.9
        assert decoded(shares, units, labels).spans == spans


def test_the_best_sequence_is_that_of_all_that_are_allowed() -> None:
    """Viterbi beside the looking at every sequence."""
    draw = np.random.default_rng(1)
    names = tag_names(["A", "B"])
    for _ in range(30):
        shares = draw.dirichlet(np.full(5, 0.4), 4)
        best = max(
            (s for s in itertools.product(range(5), repeat=4) if _allowed([names[n] for n in s])),
            key=lambda s: sum(np.log(max(shares[at, tag], 1e-12)) for at, tag in enumerate(s)),
        )
        units = [(n, n + 1) for n in range(4)]
        found = decoded(shares, units, ["A", "B"])
        assert tagged(units, found.spans, ["A", "B"]).tags == list(best)
        assert found.least == min(shares[at, tag] for at, tag in enumerate(best))


def _allowed(tags: list[str]) -> bool:
    return all(
        not tag.startswith("I") or before[1:] == tag[1:] for before, tag in zip(["O", *tags], tags, strict=False)
    )


def test_a_span_is_as_sure_as_its_least_sure_word() -> None:
    shares = np.array([[0.2, 0.8, 0], [0.4, 0, 0.6], [0.1, 0.2, 0.7], [0.5, 0.25, 0.25]])
    found = decoded(shares, [(n, n + 1) for n in range(4)], ["A"])
    assert (found.spans, found.sure, found.least) == ([Span(0, 3, "A")], [0.6], 0.5)


def test_what_tags_cannot_say_is_counted() -> None:
    units = [(0, 4), (5, 8), (9, 12)]
    spans = [Span(5, 12, "A"), Span(5, 8, "A"), Span(12, 20, "A"), Span(-3, 4, "A"), Span(4, 5, "A"), Span(1, 3, "A")]
    told = tagged(units, spans, ["A"])
    assert told.tags == [1, 1, 2]
    assert (told.lost, told.moved) == (4, 1)


# ---- learning

FILLER = ["small", "of", "a", "b", "thing", "\u5c0f", "calm", ","]


def marked(count: int = 300, seed: int = 0) -> pl.DataFrame:
    """Texts with numbers that are an AGE behind `big` and a SUM behind `loud`, WATER in two words, and a fever."""
    draw = np.random.default_rng(seed)
    rows = []
    for n in range(count):
        text, spans = "", []
        for _ in range(int(draw.integers(2, 6))):
            kind = int(draw.integers(0, 5))
            before, name, label = [
                ("big ", str(draw.integers(0, 10)), "AGE"),
                ("loud ", str(draw.integers(0, 10)), "SUM"),
                ("", str(draw.choice(["red sea", "blue sea"])), "WATER"),
                ("\u5927", "\u53d1\u70e7", "ILLNESS"),
                ("", str(draw.choice(FILLER)), None),
            ][kind]
            text += before
            if label is not None:
                spans.append(Span(len(text), len(text) + len(name), label))
            text += name + " "
        rows.append({"_id": n * 7919 + 2**70, "text": text, "spans": written(spans)})
    return pl.DataFrame(rows, schema={"_id": pl.UInt128, "text": pl.String, "spans": pl.String}).sample(
        fraction=1, shuffle=True, seed=seed
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_encoder.write(tmp_path_factory.mktemp("model"))


def learner(folder: Path, **more: Any) -> EntityRecognizer:
    given: dict[str, Any] = {"epochs": 15, "learning_rate": 1e-2, "head_rate": 2.0, "dropout": 0.0, "max_tokens": 32}
    given |= {"precision": "float32", "model": str(folder), **more}
    return EntityRecognizer.model_validate({"input": "text", **given})


@pytest.fixture(scope="module")
def model(folder: Path) -> Any:
    return fit(learner(folder), marked())


def f1(model: Any, rows: pl.DataFrame) -> float:
    return span_f1(span_counts(keys_of(rows["spans"]), keys_of(model.apply(rows)["prediction"])))


@DEEP
def test_it_learns_names_by_what_stands_beside_them(model: Any) -> None:
    assert f1(model, marked(80, seed=1)) > 0.9
    found = spans_of(model.apply(pl.DataFrame({"text": ["a big 3 of\nloud 3, \u5927\u53d1\u70e7"]}))["prediction"])
    assert found == [[Span(6, 7, "AGE"), Span(16, 17, "SUM"), Span(20, 22, "ILLNESS")]]


@DEEP
def test_the_same_again_whatever_the_order_and_form(folder: Path) -> None:
    rows, few = marked(40), learner(folder, epochs=1)
    first = digest(fit(few, rows).state)
    assert digest(fit(few, rows.reverse()).state) == first
    lists = rows.with_columns(pl.col("spans").str.json_decode(_structs()))
    assert digest(fit(few, lists).state) == first
    none = rows.head(5).with_columns(pl.lit(None, dtype=pl.String).alias("spans"), pl.col("_id") + 1)
    assert digest(fit(few, pl.concat([none, rows])).state) == first
    assert digest(fit(learner(folder, epochs=1, seed=1), rows).state) != first


def _structs() -> pl.DataType:
    return pl.List(pl.Struct({"start": pl.Int64, "end": pl.Int64, "label": pl.String}))


@DEEP
def test_each_row_on_its_own(model: Any) -> None:
    rows = marked(30, seed=2).drop("spans")
    whole = model.apply(rows)
    assert whole.drop("prediction", "confidence").equals(rows)
    assert pl.concat([model.apply(rows[n : n + 1]) for n in range(rows.height)]).equals(whole)
    assert whole["confidence"].is_between(0, 1).all()
    sure = [span["confidence"] for text in whole["prediction"] for span in json.loads(text)]
    assert all(0 < one <= 1 for one in sure)
    assert model.apply(rows.clear()).schema == whole.schema


@DEEP
def test_a_text_of_nothing_has_no_span(model: Any) -> None:
    found = model.apply(pl.DataFrame({"text": [None, "", " \n", "\U0001f600"]}, schema={"text": pl.String}))
    assert found["prediction"].to_list()[:3] == ["[]"] * 3
    assert found["confidence"].to_list()[:3] == [1.0] * 3


@DEEP
def test_a_long_text_is_read_to_its_end(model: Any, folder: Path) -> None:
    """Far beyond the 40 places of the encoder: as many are found at the end as at the beginning."""
    parts = marked(60, seed=3)
    text = "".join(parts["text"])
    starts = np.cumsum([0, *map(len, parts["text"])]).tolist()
    wanted = [
        Span(at + s.start, at + s.end, s.label)
        for at, some in zip(starts, spans_of(parts["spans"]), strict=False)
        for s in some or ()
    ]
    rows = pl.DataFrame({"text": [text], "spans": [written(wanted)]})
    assert f1(model, rows) > 0.75
    found = spans_of(model.apply(rows)["prediction"])[0] or []
    assert len([s for s in found if s.start > len(text) / 2]) == pytest.approx(len(found) / 2, rel=0.2)
    assert f1(fit(learner(folder, epochs=60), rows), rows) > 0.9  # and is learnt from


@DEEP
def test_what_answers_is_what_was_trained(folder: Path) -> None:
    """The network in PyTorch, padded, the graph for batches, and the graph of one text."""
    from tillage.learn.deep.text_network import learnt, padded, text_network
    from tillage.learn.deep.trainer import torch
    from tillage.text.encoder import Network, Tokens
    from tillage.text.pretrained import Pretrained
    from tillage.text.transformer import Shape, write_graph

    found = Pretrained(folder)
    weights = {n: np.asarray(v) for n, v in Shape(found.config()).weights(found.weights()).items()}
    tokens = Tokens(found.tokenizer(), 30)
    cut = tokens.cut(["a big 3", "red sea of small things , calm"])
    network = text_network(Shape(found.config()), weights, cut, 5, "none", 0.5, 2, 0)
    network.train(False)
    with torch().no_grad():
        wanted = network(*padded(cut)).numpy()
    made = learnt(network)
    head = (made.pop("head.weight").T, made.pop("head.bias"))
    alone = Network(write_graph(found.config(), made, pooling="none", head=head), tokens)
    for at, ids in enumerate(cut):
        assert np.abs(alone.of(ids) - wanted[at, : len(ids)]).max() < 1e-4


@DEEP
def test_lora_learns_and_leaves_no_trace_of_itself(folder: Path) -> None:
    """Beside each matrix of the layers it learns two thin ones, which are a part of it in the end; all else stays."""
    few = {"train_weights": "lora", "rank": 2, "learning_rate": 2e-2, "epochs": 12}
    model = fit(learner(folder, **few), marked(150))
    assert f1(model, marked(80, seed=1)) > 0.65
    found = Pretrained(folder)
    before, after = Shape(found.config()).weights(found.weights()), model.state["weights"]
    assert set(after) == set(before)
    moved = {name: after[name] - np.asarray(before[name]) for name in before}
    matrices = {name for name in before if name.endswith("weight") and "layer." in name and "Norm" not in name}
    assert {name for name, by in moved.items() if by.any()} == matrices
    assert {int(np.linalg.matrix_rank(moved[name], tol=1e-4)) for name in matrices} == {2}
    assert digest(fit(learner(folder, **few | {"epochs": 1}), marked(40)).state) == digest(
        fit(learner(folder, **few | {"epochs": 1}), marked(40).reverse()).state
    )


@DEEP
def test_the_graph_for_batches_names_its_tags(model: Any) -> None:
    graph = model.onnx({"tillage.model": "m"})
    session = onnxruntime.InferenceSession(graph, providers=["CPUExecutionProvider"])
    told = session.get_modelmeta().custom_metadata_map
    assert json.loads(told["tags"]) == tag_names(["AGE", "ILLNESS", "SUM", "WATER"])
    assert told["tillage.model"] == "m"
    [window] = model._tagger.network._tokens.windows(["a big 3"])[0].windows
    padded = np.array([[*window.ids, 0, 0]])
    mask = np.array([[*[1] * len(window.ids), 0, 0]])
    logits = session.run(["logits"], {"input_ids": padded, "attention_mask": mask})[0][0]
    assert np.abs(logits[: len(window.ids)] - model._tagger.network.of(window.ids)).max() < 1e-4


@DEEP
def test_answers_need_no_pytorch(model: Any, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = marked(10, seed=1)
    wanted = model.apply(rows)
    monkeypatch.setitem(sys.modules, "torch", None)
    assert EntityRecognizerModel(state=decode(encode(model.state))).apply(rows).equals(wanted)
    with pytest.raises(Unavailable, match=r"tillage\[deep\]"):
        fit(learner(folder), marked())


@DEEP
def test_shards_answer_together_though_one_lacks_a_label(folder: Path) -> None:
    rows = marked(300)
    once = rows.with_columns(
        pl.when(pl.col("_id") == rows["_id"].min()).then(pl.lit('[[0, 1, "RARE"]]')).otherwise("spans").alias("spans")
    )
    model: Any = fit(learner(folder, shards=2), once)
    assert "RARE" in model.state["classes"]
    assert sorted("RARE" in member.state["classes"] for member in model.members) == [False, True]
    assert f1(model, marked(80, seed=1)) > 0.6
    with pytest.raises(UsageError, match="several shards"):
        model.onnx()


@DEEP
def test_rows_held_back_stop_it_and_judge_what_is_small(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole: Any = fit(learner(folder, validation=0.3, epochs=40, patience=1), marked())
    judged = [point["judged"] for point in whole.state["curve"]]
    assert judged.index(min(judged)) >= len(judged) - 2
    small: Any = fit(learner(folder, validation=0.3, compress={"at_most_loss": 0.2}), marked())
    told = small.state["compression"]
    assert told["f1"][0] > 0.8
    assert told["f1"][0] - told["f1"][1] <= 0.2
    assert f1(small, marked(60, seed=1)) > 0.7
    monkeypatch.setattr(
        "tillage.learn.encoder_learner.quantized", lambda w: {name: np.zeros_like(value) for name, value in w.items()}
    )
    with pytest.raises(GateFailed, match=r"the f1 falls from 0\.\d+ to 0\.\d+ on \d+ rows held back"):
        fit(learner(folder, validation=0.3, compress={}), marked())


@DEEP
def test_what_cannot_be_learnt_is_refused_or_warned_of(folder: Path) -> None:
    rows = marked(20)
    for nothing in (rows.clear(), rows.with_columns(spans=pl.lit("[]")), rows.with_columns(spans=pl.lit(None))):
        with pytest.raises(BadData, match="No row has a span in the target column 'spans'"):
            fit(learner(folder), nothing)
    with pytest.raises(BadData, match="'spans' holds no list of spans in 20 of 20 rows"):
        fit(learner(folder), rows.with_columns(spans=pl.col("text")))
    with pytest.raises(BadData, match="No row has a text in text"):
        fit(learner(folder), rows.with_columns(text=pl.lit(" ")))
    with pytest.raises(UnknownName, match="'spans'"):
        fit(learner(folder), rows.drop("spans"))
    odd = rows.with_columns(
        text=pl.lit("big things of"), spans=pl.lit('[[0, 10, "A"], [4, 10, "B"], [4, 9, "B"], [60, 61, "B"]]')
    )
    warnings = fit(learner(folder, epochs=1), odd).state["warnings"]
    assert "60 of 80 spans of the training rows overlap a longer one" in warnings[0]
    cut = rows.with_columns(text=pl.lit("big things of"), spans=pl.lit('[[0, 8, "A"]]'))
    assert (
        "20 of 20 spans of the training rows begin or end within a word"
        in fit(learner(folder, epochs=1), cut).state["warnings"][0]
    )


# ---- in a plan

PLAN = """\
project: names
tables:
  notes: {{collect: {{files: "data/*.jsonl"}}, key: id}}
models:
  names:
    learn: entity_recognizer
    from: notes
    input: text
    model: {model}
    epochs: 15
    learning_rate: 1e-2
    head_rate: 2.0
    dropout: 0.0
    precision: float32
    split: {{test: 0.25, leak: false}}
{more}services:
  desk: {{model: names, from: notes}}
"""


def world(root: Path, folder: Path, more: str = "") -> None:
    (root / "data").mkdir()
    (root / "tillage.yaml").write_text(PLAN.format(model=folder, more=more))
    rows = marked(160).sort("_id")
    lines = [
        json.dumps({"id": n, "text": text, "spans": json.loads(spans)}) + "\n"
        for n, (text, spans) in enumerate(rows.select("text", "spans").iter_rows())
    ]
    for n in range(2):
        (root / "data" / f"{n}.jsonl").write_text("".join(lines[n::2]))


@DEEP
def test_in_a_plan_it_is_scored_beside_what_looks_names_up(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("TILLAGE_KEY", "ab" * 32)
    monkeypatch.chdir(tmp_path)
    world(tmp_path, folder, "    evaluate: {folds: 2}\n")
    assert ended(["run", "--processes", "2"]) == 0
    with project(tmp_path) as p:
        report, model = p.report("names"), p.model("names")
        first = digest(model.state)
    assert report["metrics"]["f1"] > 0.75 > report["baseline"]["f1"] > 0.3
    low, high = report["interval"]["f1"]
    assert low <= report["metrics"]["f1"] <= high
    assert {one["class"] for one in report["per_class"]} == {"AGE", "SUM", "WATER", "ILLNESS"}
    assert report["cross_validation"]["mean"]["f1"] > report["cross_validation"]["baseline"]["f1"]
    assert report["linear"]["rows"] == report["train"]
    assert report["linear"]["metrics"]["f1"] > report["baseline"]["f1"]
    assert report["linear"]["compared"]["metric"] == "f1"
    assert ended(["show", "names"]) == 0
    assert "ILLNESS" in capsys.readouterr().out
    page = (tmp_path / ".tillage" / "report.html").read_text()
    assert "By class, the worst first" in page
    (tmp_path / "in.jsonl").write_text('{"text": "a big 3"}\n{"text": "\u5927\u53d1\u70e7"}\n')
    for name in ("out.jsonl", "out.csv", "out.parquet"):
        assert ended(["score", "names", "--input", "in.jsonl", "--output", name]) == 0
    lines = [json.loads(line)["prediction"] for line in (tmp_path / "out.jsonl").read_text().splitlines()]
    assert [(s["start"], s["end"], s["label"]) for line in lines for s in line] == [(6, 7, "AGE"), (1, 3, "ILLNESS")]
    assert pl.read_parquet("out.parquet")["prediction"].to_list() == lines
    assert spans_of(pl.read_csv("out.csv")["prediction"]) == spans_of(pl.read_parquet("out.parquet")["prediction"])
    assert ended(["card", "names", "--output", "card"]) == 0
    assert "pipeline_tag: token-classification" in (tmp_path / "card" / "README.md").read_text()
    assert ended(["export", "names", "--onnx", "names.onnx"]) == 0
    assert (tmp_path / "names.tokenizer.json").exists()
    assert ended(["export", "names"]) == 2
    assert ended(["export", "names", "--folder", "exported"]) == 0
    step = RecognizeEntities(column="text", model=str(tmp_path / "exported"))
    rows = marked(20, seed=4)
    assert step.apply(rows)["entities"].equals(model.apply(rows)["prediction"].alias("entities"))
    (tmp_path / ".tillage").rename(tmp_path / "old")
    assert ended(["run"]) == 0
    with project(tmp_path) as p:
        assert digest(p.model("names").state) == first


CLEAN = """\
  clean:
    from: notes
    steps:
      - recognize_entities: {column: text, model: exported}
      - find_pii: {columns: [text], spans: {text: {column: entities, labels: {ILLNESS: illness}}}}
      - redact: {columns: [text], spans: {text: {column: entities, labels: {AGE: age, ILLNESS: illness}}}}
models:
"""


@DEEP
def test_its_curve_is_tracked_without_a_word_of_the_texts(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("tensorboard")
    monkeypatch.setenv("TILLAGE_KEY", "ab" * 32)
    made = []
    for name, more in (("plain", ""), ("tracked", "    track: tensorboard\n")):
        (tmp_path / name).mkdir()
        world(tmp_path / name, folder, more)
        plan = tmp_path / name / "tillage.yaml"
        plan.write_text(plan.read_text().replace("epochs: 15", "epochs: 2"))
        with project(tmp_path / name) as p:
            p.run()
            made.append(p.model("names").state)
    assert digest(made[0]) == digest(made[1])
    place = tmp_path / "tracked" / ".tillage" / FOLDER / "tensorboard"
    [told] = of_tensorboard(place)
    assert [value for _, value in told["epoch/loss"]] == pytest.approx([point["loss"] for point in made[1]["curve"]])
    assert len(told["step/loss"]) == told["epoch/loss"][-1][0] > len(told["epoch/loss"]) == 2
    held = b"".join(file.read_bytes() for file in place.rglob("*") if file.is_file())
    assert held
    assert not any(word.encode() in held for word in ("ILLNESS", "WATER", "red sea", "\u53d1\u70e7", "text", "spans"))
    assert not (tmp_path / "plain" / ".tillage" / FOLDER).exists()


@DEEP
def test_what_was_learnt_takes_names_out_of_a_table(
    model: Any, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TILLAGE_KEY", "ab" * 32)
    monkeypatch.chdir(tmp_path)
    world(tmp_path, folder)
    (tmp_path / "exported").mkdir()
    for name, data in model.folder().items():
        (tmp_path / "exported" / name).write_bytes(data)
    plan = tmp_path / "tillage.yaml"
    plan.write_text(plan.read_text().replace("models:\n", CLEAN))
    (tmp_path / "data" / "2.jsonl").write_text('{"id": 999, "text": "a big 3, \u5927\u53d1\u70e7", "spans": []}\n')
    assert ended(["run", "clean"]) == 0
    with project(tmp_path) as p:
        rows = p.read("clean")
    assert rows.filter(pl.col("id") == 999).select("text", "pii").row(0) == ("a big [AGE], \u5927[ILLNESS]", "illness")
    assert rows["entities"].null_count() == rows.height
    assert not rows["text"].str.contains("\u53d1\u70e7").any()


@DEEP
def test_an_update_in_shards_equals_a_rebuild(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TILLAGE_KEY", "ab" * 32)
    world(tmp_path, folder, "    shards: 2\n")
    plan = tmp_path / "tillage.yaml"
    plan.write_text(plan.read_text().replace("epochs: 15", "epochs: 2"))
    with project(tmp_path) as p:
        p.run()
        path = tmp_path / "data" / "1.jsonl"
        path.write_text("".join(f"{line}\n" for line in path.read_text().splitlines()[:-1]))
        p.run()
        updated = digest(p.model("names").state)
    (tmp_path / ".tillage").rename(tmp_path / "old")
    with project(tmp_path) as p:
        p.run()
        assert digest(p.model("names").state) == updated


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (
            "    max_tokens: 2\n",
            "tillage.yaml:16:17  'max_tokens' of EntityRecognizer must be between 8 and 8192, got 2",
        ),
        (
            "    evaluate: {robustness: true}\n",
            "tillage.yaml:16:16  'robustness' of 'evaluate' of model 'names' is not",
        ),
        ("    evaluate:\n      sensitive: [id]\n      favourable: A\n", "tillage.yaml:17:7  'sensitive' of 'evaluate'"),
        ("    target: ''\n", "tillage.yaml:16:13  'target' of EntityRecognizer"),
    ],
)
def test_what_is_wrong_in_the_plan_is_said_where_it_stands(folder: Path, tmp_path: Path, more: str, said: str) -> None:
    world(tmp_path, folder, more)
    with pytest.raises(ConfigurationError) as error, project(tmp_path):
        pass
    assert said in str(error.value)
