"""Texts as vectors in a table: rows of their own, made once."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from pydantic import ValidationError
from tests.text import tiny_encoder

from tillage.core.errors import ConfigurationError
from tillage.face.rooms import project
from tillage.flow import score as scorer
from tillage.prepare import EmbedText
from tillage.text.encoder import Network

PLAN = """\
project: vectors
tables:
  notes: {{collect: {{files: "data/*.csv"}}, key: id}}
  embedded: {{from: notes, steps: [{{embed_text: {{column: text, model: {model}}}}}]}}
models:
  sort:
    {{learn: tabular_classifier, from: embedded, input: embedding, target: kind, model: linear, split: {{test: 0.3}}}}
"""


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return tiny_encoder.write(tmp_path / "model")


def lines(*numbers: int) -> str:
    kinds = ("small calm sea", "big loud sky")
    return "".join(f"{n},{kinds[n % 2]} {n % 7},{'quiet' if n % 2 == 0 else 'noisy'}\n" for n in numbers)


@pytest.fixture
def seen(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The texts that went through a network."""
    found: list[str] = []
    run = Network.run

    def watched(self: Network, texts: Any) -> Any:
        found.extend(texts)
        return run(self, texts)

    monkeypatch.setattr(Network, "run", watched)
    return found


def test_the_column(model: Path, rows: pl.DataFrame) -> None:
    step = EmbedText(column="text", model=str(model), embedding="v")
    found = step.apply(rows)
    assert found.schema["v"] == pl.Array(pl.Float32, 16)
    assert found["v"].is_null().to_list() == rows["text"].is_null().to_list()
    assert found.drop("v").equals(rows)
    assert found["v"][0].to_list() == found["v"][4].to_list() != found["v"][1].to_list()
    assert step.apply(rows.clear()).schema == found.schema
    assert step.apply(rows.with_columns(text=pl.lit(None)))["v"].null_count() == rows.height
    with pytest.raises(ConfigurationError, match="needs text"):
        EmbedText(column="n", model=str(model)).apply(rows)


def test_parameters_reach_the_vectors(model: Path, rows: pl.DataFrame) -> None:
    def vectors(**more: Any) -> Any:
        return EmbedText(column="text", model=str(model), **more).apply(rows)["embedding"].drop_nulls().to_numpy()

    plain = vectors()
    assert np.allclose(np.linalg.norm(vectors(normalize=True), axis=1), 1, atol=1e-6)
    for more in ({"pooling": "cls"}, {"prefix": "big "}, {"precision": "int8"}, {"max_tokens": 3}):
        assert not np.allclose(vectors(**more), plain, atol=1e-6), more


def test_the_fingerprint_follows_the_files(model: Path) -> None:
    step = EmbedText(column="text", model=str(model))
    before = step.fingerprint()
    assert EmbedText(column="text", model=str(model)).fingerprint() == before
    tiny_encoder.write(model, seed=1)
    assert step.fingerprint() != before


def test_a_run_embeds_what_is_new_alone_and_equals_a_rebuild(
    model: Path, tmp_path: Path, seen: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TILLAGE_KEY", "ab" * 32)
    root = tmp_path / "w"
    (root / "data").mkdir(parents=True)
    (root / "tillage.yaml").write_text(PLAN.format(model=model))
    (root / "data" / "a.csv").write_text("id,text,kind\n" + lines(*range(40)))
    with project(root) as p:
        p.run()
        assert len(seen) >= 40
        seen.clear()
        (root / "data" / "b.csv").write_text("id,text,kind\n" + lines(40, 41, 42))
        p.run(["embedded"])
        assert sorted(seen) == ["big loud sky 6", "small calm sea 0", "small calm sea 5"]
        updated = p.store.digest("embedded")
        seen.clear()
        p.run()
        assert seen == []
        assert p.summary()["models"]["sort"]["metrics"]["accuracy"] >= 0.7
        new, sort = pl.DataFrame({"id": [1, 2], "text": ["big loud sky 1", None]}), p.model("sort")
        embedded = EmbedText(column="text", model=str(model)).apply(new)
        scored = scorer.score(scorer.way(p, "embedded"), sort, new)
        assert scored.drop("error").equals(sort.apply(embedded).drop("embedding"))
    (root / ".tillage").rename(root / "old")
    with project(root) as p:
        p.run(["embedded"])
        assert p.store.digest("embedded") == updated


def test_a_model_that_is_not_there_is_a_mistake_in_the_plan(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "a.csv").write_text("id,text,kind\n1,a,b\n")
    (tmp_path / "tillage.yaml").write_text(PLAN.format(model="models/none"))
    with pytest.raises(ConfigurationError, match=r"tillage.yaml:4:\d+ .*models/none"):
        project(tmp_path)
    with pytest.raises(ValidationError, match="leads out"):
        EmbedText(column="text", model="../../etc")
