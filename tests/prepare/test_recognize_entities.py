"""Entities by a pretrained tagger: what transformers say of the same folder, schemes of tags, long texts, errors."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from tests.text import tiny_encoder

from tillage.core.errors import BadData, ConfigurationError
from tillage.prepare import RecognizeEntities
from tillage.text.encoder import Tokens
from tillage.text.pretrained import Pretrained, read_safetensors, safetensors
from tillage.text.spans import spans_of
from tillage.text.tagger import pretrained_tagger, tagger_files
from tillage.text.transformer import Shape, quantized

TAGS = ["O", "B-A", "I-A", "B-B", "I-B"]
TEXTS = ["a small, calm sea", "big loud things of 3 red \u53d1\u70e7", "blue " * 100, ""]


@pytest.mark.parametrize("family", ["bert", "roberta", "distilbert"])
def test_shares_are_those_of_transformers(tmp_path: Path, family: str, monkeypatch: pytest.MonkeyPatch) -> None:
    transformers = pytest.importorskip("transformers")
    import torch

    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    folder = Pretrained(tiny_encoder.write_tagger(tmp_path, TAGS, family))
    made = transformers.AutoModelForTokenClassification.from_pretrained(tmp_path)
    made.train(False)
    tagger, tokens = pretrained_tagger(folder), Tokens(folder.tokenizer(), 30)
    for text in TEXTS[:2]:
        [ids] = tokens.cut([text])
        with torch.no_grad():
            wanted = made(input_ids=torch.tensor([ids])).logits[0].numpy()
        assert np.abs(tagger.network.of(ids) - wanted).max() < 1e-4


@pytest.mark.parametrize("family", ["bert", "roberta", "distilbert"])
def test_a_folder_that_is_written_is_the_one_that_was_read(tmp_path: Path, family: str) -> None:
    found = Pretrained(tiny_encoder.write_tagger(tmp_path / "a", TAGS, family))
    given, shape = found.weights(), Shape(found.config())
    head = [given["classifier.weight"].T, given["classifier.bias"]]
    (tmp_path / "b").mkdir()
    for name, data in tagger_files(found.config(), shape.weights(given), head, TAGS).items():
        (tmp_path / "b" / name).write_bytes(data)
    again = Pretrained(tmp_path / "b")
    assert again.config()["id2label"] == found.config()["id2label"]
    written = again.weights()
    assert set(written) == set(given)
    assert all(np.array_equal(written[name], given[name]) for name in given)
    small = tagger_files(found.config(), quantized(shape.weights(given)), head, TAGS)["model.safetensors"]
    (tmp_path / "c").write_bytes(small)
    near = read_safetensors(tmp_path / "c")
    assert all(np.abs(near[name] - given[name]).max() < 0.02 for name in given)


def test_safetensors_are_read_by_the_library(tmp_path: Path) -> None:
    library: Any = pytest.importorskip("safetensors.numpy")
    arrays = {"b": np.arange(6, dtype=np.float32).reshape(2, 3), "a": np.zeros(1, np.float32)}
    found = library.load(safetensors(arrays))
    assert all(np.array_equal(found[name], arrays[name]) for name in arrays)


def test_spans_are_told_by_place_and_null_stays_null(tmp_path: Path) -> None:
    folder = tiny_encoder.write_tagger(tmp_path, TAGS, seed=3)
    step = RecognizeEntities(column="t", model=str(folder), max_tokens=16)
    rows = pl.DataFrame({"t": [*TEXTS, None]})
    found = step.apply(rows)["entities"]
    assert found[-1] is None
    assert found[3] == "[]"
    spans = spans_of(found)
    assert all(spans[:3])
    for text, some in zip(TEXTS, spans, strict=False):
        for span in some or ():
            assert span.label in ("A", "B")
            assert text[span.start : span.end].strip() == text[span.start : span.end] != ""
    assert max(span.end for span in spans[2] or ()) > 400  # far beyond the 40 tokens that the encoder was made for
    alone = pl.concat([step.apply(rows[n : n + 1]) for n in range(rows.height)])
    assert alone["entities"].equals(found)
    int8 = RecognizeEntities(column="t", model=str(folder), max_tokens=16, precision="int8").apply(rows)
    assert int8["entities"].null_count() == 1


def test_other_schemes_mark_the_same_spans(tmp_path: Path) -> None:
    """Single words as S or U, ends as E or L: the shares of what begins and of what goes on are added."""
    from tillage.text.tagger import Tagger, told

    class Says:
        """A network that gives each token the tag of its number."""

        def of(self, ids: list[int]) -> Any:
            return np.eye(len(tags), dtype=np.float32)[[at % len(tags) for at in range(-1, len(ids) - 1)]] * 20

    tags = ["B-A", "M-A", "E-A", "S-B", "O"]
    tokens = Tokens(tiny_encoder.tokenizer(), 30)
    [found] = told(tokens, [Tagger(Says(), tags)], ["red sea sky of thing"])  # type: ignore[arg-type]
    assert [tuple(span) for span in found.spans] == [(0, 11, "A"), (12, 14, "B")]


def test_what_does_not_tag_is_refused(tmp_path: Path) -> None:
    rows = pl.DataFrame({"t": ["a"]})
    plain = tiny_encoder.write(tmp_path / "plain")
    with pytest.raises(BadData, match=r"does not tag tokens.*--folder"):
        RecognizeEntities(column="t", model=str(plain)).apply(rows)
    other = tiny_encoder.write_tagger(tmp_path / "other", ["LABEL_0", "LABEL_1"])
    with pytest.raises(BadData, match="tag 'LABEL_0' is none that marks a span"):
        RecognizeEntities(column="t", model=str(other)).apply(rows)
    good = str(tiny_encoder.write_tagger(tmp_path / "good", TAGS))
    with pytest.raises(ConfigurationError, match="'t' holds Int64"):
        RecognizeEntities(column="t", model=good).apply(pl.DataFrame({"t": [1]}))


def test_other_weights_are_another_step(tmp_path: Path) -> None:
    folder = tiny_encoder.write_tagger(tmp_path, TAGS)
    step = RecognizeEntities(column="t", model=str(folder))
    before = step.fingerprint()
    made = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(
        json.dumps(made | {"id2label": dict(enumerate(["O", "B-C", "I-C", "B-D", "I-D"]))})
    )
    assert step.fingerprint() != before
