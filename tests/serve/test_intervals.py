"""Forecasts come with the ends of their intervals, in a scored file and in a server's answers."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import polars as pl
import pytest

import tillage
from tests.flow.world import KEY
from tests.serve.running import Server
from tillage.core.step import Fitted
from tillage.face.main import ended
from tillage.flow.results import load_fitted
from tillage.flow.score import Way, score

PLAN = """\
project: tides
tables:
  levels: {collect: {files: data.csv}, key: id}
models:
  tide: {learn: forecaster, from: levels, time: hour, target: level, horizon: 3, lags: [12, 24], trees: 20}
services:
  desk: {model: tide, from: levels}
"""
ENDS = ("prediction_low", "prediction_high")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    root = tmp_path_factory.mktemp("tides")
    random = np.random.default_rng(0)
    hours = np.arange(600)
    level = np.sin(hours * 2 * np.pi / 12) + random.normal(0, 0.1, 600)
    pl.DataFrame({"id": hours, "hour": hours, "level": level}).write_csv(root / "data.csv")
    (root / "tillage.yaml").write_text(PLAN)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TILLAGE_KEY", KEY)
        assert ended(["run", "--plan", str(root), "--json"]) == 0
        yield root


@pytest.fixture(scope="module")
def said(folder: Path) -> pl.DataFrame:
    """What the model itself says of the hours to come."""
    rows = pl.DataFrame({"id": [600, 601, 605], "hour": [600, 601, 605]})
    with tillage.project(folder) as project:
        made = load_fitted(project.store, "tide", project.registry).apply(rows)
    assert (made["prediction_low"] < made["prediction"]).all()
    return made


def test_a_scored_file_has_them(folder: Path, said: pl.DataFrame, tmp_path: Path) -> None:
    (folder / "asked.csv").write_text("id,hour\n600,600\n601,601\nx,7\n605,605\n")
    asking = ["--plan", str(folder), "--input", str(folder / "asked.csv")]
    for name in ("out.csv", "out.jsonl"):
        assert ended(["score", "tide", *asking, "--output", str(tmp_path / name)]) == 0
    found = pl.read_csv(tmp_path / "out.csv")
    assert found.columns == ["id", "hour", "prediction", *ENDS, "error"]
    lines = pl.DataFrame([json.loads(line) for line in (tmp_path / "out.jsonl").read_text().splitlines()])
    for frame in (found, lines):
        good = frame.filter(pl.col("error").is_null())
        for column in ("prediction", *ENDS):
            assert good[column].to_list() == pytest.approx(said[column].to_list(), rel=1e-12)
        assert frame.filter(pl.col("error").is_not_null()).select("prediction", *ENDS).row(0) == (None, None, None)


def test_a_server_says_them(folder: Path, said: pl.DataFrame) -> None:
    columns = ("prediction", *ENDS)
    tensor = {"name": "hour", "datatype": "INT64", "shape": [3], "data": [600, 601, 605]}
    ids = {**tensor, "name": "id"}
    with Server(folder) as server:
        answered = server.predict(*({"hour": hour} for hour in said["hour"]))["predictions"]
        both = server.ask("POST", "/v2/models/desk/infer", {"inputs": [ids, tensor]})[1]["outputs"]
        one = server.ask("POST", "/v2/models/desk/infer", {"inputs": [ids, tensor], "outputs": [{"name": ENDS[1]}]})[1]
        told = server.ask("GET", "/v2/models/desk")[1]["outputs"]
        schema = json.dumps(server.ask("GET", "/openapi.json")[1])
        wrong = server.ask("POST", "/v2/models/desk/infer", {"inputs": [tensor], "outputs": [{"name": "low"}]})
    for column in columns:
        assert [row[column] for row in answered] == said[column].to_list()
    tensors = {output["name"]: output for output in both}
    assert list(tensors) == [*columns, "inference_id"]
    assert [tensors[c]["data"] for c in columns] == [said[c].to_list() for c in columns]
    assert [output["name"] for output in one["outputs"]] == [ENDS[1]]
    assert [(o["name"], o["datatype"]) for o in told][:3] == [(c, "FP64") for c in columns]
    assert ENDS[0] in schema
    assert wrong[0] == 400
    assert "prediction_low, prediction_high" in wrong[1]["error"]


class Unsure(Fitted):
    """A model whose intervals may have no end."""

    adds: ClassVar[tuple[str, ...]] = ENDS

    def apply(self, rows: pl.DataFrame) -> pl.DataFrame:
        ends = {ENDS[0]: pl.Series([-np.inf, 1.0, np.nan]), ENDS[1]: pl.Series([np.inf, 3.0, None])}
        return rows.with_columns(pl.lit(2.0).alias("prediction"), **ends)


def test_no_end_is_no_number() -> None:
    way = Way("raw", {"x": pl.Float64()})
    found = score(way, Unsure(state={}), pl.DataFrame({"x": [1.0, 2.0, 3.0]}))
    assert found.columns == ["x", "prediction", *ENDS, "error"]
    assert found.select(ENDS).rows() == [(None, None), (1.0, 3.0), (None, None)]
    empty: Any = score(way, Unsure(state={}), pl.DataFrame({"x": []}, schema={"x": pl.Float64}))
    assert [c for c in empty.columns if c != "confidence"] == found.columns
