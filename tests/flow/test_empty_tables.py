"""A table without a row has its columns all the same."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest

from tests.flow.world import KEY, differences, digests
from tillage.core.errors import ConfigurationError
from tillage.face.rooms import project, registry
from tillage.flow.configuration import load
from tillage.flow.run import Project

PLAN = """\
project: empty
tables:
  notes: {collect: {files: {path: "data/*.json", types: {n: int64, text: text, x: float64}}}}
  few: {from: notes, steps: [{normalize: {columns: [text]}}, {filter: "n > 1"}]}
  sums: {from: few, steps: [{aggregate: {by: [text], columns: {total: sum(x)}}}]}
"""


@pytest.mark.parametrize("nothing", ["[]", "[ ]\n"])
def test_an_empty_json_table_has_the_declared_columns(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, nothing: str
) -> None:
    monkeypatch.setenv("TILLAGE_KEY", KEY)
    (tmp_path / "tillage.yaml").write_text(PLAN, encoding="utf-8")
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "a.json").write_text(nothing, encoding="utf-8")
    with project(tmp_path) as p:
        p.check(look=True)
        p.run()
        assert p.store.latest("notes").columns == {"n": "Int64", "text": "String", "x": "Float64"}  # type: ignore[union-attr]
        assert p.read("notes").columns == p.read("few").columns == ["_id", "n", "text", "x"]
        assert p.read("sums").columns == ["_id", "text", "total"]
        (tmp_path / "data" / "b.json").write_text('[{"n": 2, "text": "A", "x": 1}]', encoding="utf-8")
        with pytest.raises(ConfigurationError, match="No column is called 'y'"):
            other(tmp_path, "x: float64", "y: float64").run()
        p.run()
        assert p.read("sums").select("text", "total").rows() == [("A", 1.0)]
        with Project(p.plan.model_copy(update={"store": tmp_path / "new"}), p.registry) as fresh:
            fresh.run()
            assert differences(digests(p), digests(fresh)) == []
        (tmp_path / "data" / "b.json").unlink()
        p.run()
        types = {"n": pl.Int64, "text": pl.String, "x": pl.Float64}
        assert p.read("notes").drop("_id").equals(pl.DataFrame(schema=types))
        assert p.read("few").drop("_id").schema == pl.Schema(types)


CHECKS = (
    "{column: nope, not_null: true}", "{column: nope, unique: true}", "{where: nope > 1}",
    "{column: day, fresh: {within: 2d, of: nope}}", "{column: nope, fresh: {within: 2d, as_of: 2024-01-05}}",
    "{column: x, drift: {reference: nope > 1}}", "{column: x, batch: {by: nope}}", "{column: nope, references: raw.id}",
)  # fmt: skip


@pytest.mark.parametrize("check", CHECKS)
def test_a_check_of_a_column_that_an_empty_table_does_not_have_is_refused(tmp_path: Path, check: str) -> None:
    plan = f"project: p\ntables:\n  raw: {{collect: {{files: a.csv}}}}\n  few: {{from: raw, expect: [{check}]}}\n"
    (tmp_path / "tillage.yaml").write_text(plan, "utf-8")
    (tmp_path / "a.csv").write_text("id,day,x\n", "utf-8")
    with project(tmp_path) as p, pytest.raises(ConfigurationError, match=r"Table 'few', expect: .*'nope'"):
        p.run()
    (tmp_path / "tillage.yaml").write_text(plan.replace("nope", "day"), "utf-8")
    with project(tmp_path) as p:
        p.run()


def test_a_step_that_learns_from_a_column_that_an_empty_table_does_not_have_is_refused(tmp_path: Path) -> None:
    (tmp_path / "tillage.yaml").write_text(
        "project: p\ntables:\n  raw: {collect: {files: a.csv}}\n  few: {from: raw, steps: [{scale: {columns: [y]}}]}\n"
    )
    (tmp_path / "a.csv").write_text("id,x\n", "utf-8")
    with project(tmp_path) as p, pytest.raises(ConfigurationError, match=r"Table 'few', scale: .*'y'"):
        p.run()


def other(root: Path, old: str, new: str) -> Project:
    (root / "other.yaml").write_text("store: other\n" + PLAN.replace(old, new), "utf-8")
    return Project(load(root / "other.yaml", registry()), registry().within(root))
