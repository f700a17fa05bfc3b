"""Rules against a count of every set by hand."""

from __future__ import annotations

from itertools import combinations
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tillage.core.errors import BadData, UnknownName
from tillage.face.rooms import registry
from tillage.flow.configuration import load
from tillage.flow.run import Project
from tillage.learn import AssociationRules, association_rules

ROWS = st.lists(st.tuples(st.integers(0, 8), st.sampled_from("abcdef")), max_size=40)


def slow(rows: list[tuple[int, str]], step: AssociationRules) -> dict[tuple[str, str], tuple[int, float, float, float]]:
    baskets: dict[int, set[str]] = {}
    for basket, item in rows:
        baskets.setdefault(basket, set()).add(item)
    total, every = len(baskets), sorted({item for _, item in rows})

    def having(items: set[str]) -> int:
        return sum(items <= held for held in baskets.values())

    found = {}
    for size in range(2, step.items + 1):
        for items in combinations(every, size):
            n = having(set(items))
            if n >= step.min_baskets and n / total >= step.support - 1e-12:
                for then in items:
                    rest = [i for i in items if i != then]
                    sure = n / having(set(rest))
                    lift = sure / (having({then}) / total)
                    if sure >= step.confidence and lift >= step.lift:
                        found["; ".join(rest), then] = (n, n / total, sure, lift)
    return found


@settings(max_examples=80, deadline=None)
@given(
    ROWS,
    st.sampled_from([0.1, 0.25, 0.5]),
    st.sampled_from([0.0, 0.5, 1.0]),
    st.sampled_from([0.0, 1.0, 1.2]),
    st.tuples(st.integers(2, 5), st.integers(1, 3)),
)
def test_the_rules_are_those_of_a_slow_count(
    rows: list[tuple[int, str]], support: float, confidence: float, lift: float, least: tuple[int, int]
) -> None:
    limits = {"support": support, "confidence": confidence, "lift": lift, "min_baskets": least[1]}
    step = AssociationRules(basket="b", item="i", items=least[0], **limits)
    frame = pl.DataFrame(rows, schema={"b": pl.Int64, "i": pl.String}, orient="row")
    out = step.apply({"rows": frame.with_columns(pl.lit(7, dtype=pl.UInt128).alias("_key"))})
    found = {
        (r["if_items"], r["then_item"]): (r["baskets"], r["support"], r["confidence"], r["lift"])
        for r in out.to_dicts()
    }
    assert found == slow(rows, step)
    assert out["lift"].is_sorted(descending=True)


def test_too_many_sets_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(association_rules, "_MANY", 5)
    rows = pl.DataFrame({"_key": [1] * 4, "b": [1] * 4, "i": list("abcd")})
    with pytest.raises(BadData, match="Raise 'support'"):
        AssociationRules(basket="b", item="i", min_baskets=1).apply({"rows": rows})
    with pytest.raises(UnknownName, match="'b'"):
        AssociationRules(basket="b", item="i").key(rows.drop("b"), "rows")


PLAN = """\
project: shop
tables:
  lines: {collect: {files: data/*.csv}}
  rules: {from: lines, steps: [{association_rules: {basket: bill, item: what, support: 0.3, min_baskets: 1}}]}
  groups: {from: lines, steps: [{kmeans: {columns: [price], clusters: 2}}, {score_anomalies: {columns: [price]}}],
    reports: [{cluster_report: {columns: [price]}}]}
"""


def rows_of(project: Any, table: str) -> list[dict[str, Any]]:
    rows = project.store.frame(table)
    return rows.select(c for c in rows.columns if not c.startswith("_")).to_dicts()  # type: ignore[no-any-return]


def test_a_rule_of_few_baskets_is_chance() -> None:
    """By country, a share of 1 % may be one basket: its items are each other's sure companions, and say nothing."""
    rows = pl.DataFrame({"_key": [1] * 10, "b": [1, 1, 2, 2, 3, 3, 4, 4, 5, 5], "i": ["tea", "milk"] * 5})
    step = AssociationRules(basket="b", item="i")
    assert step.apply({"rows": rows})["baskets"].to_list() == [5, 5]
    assert step.apply({"rows": rows.head(8)}).is_empty()


def test_in_a_plan(tmp_path: Path) -> None:
    lines = ["bill,what,price", "1,tea,1", "1,milk,2", "2,tea,90", "2,milk,2", "3,tea,1", "4,jam,91"]
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "a.csv").write_text("\n".join(lines))
    (tmp_path / "tillage.yaml").write_text(PLAN)
    with Project(load(tmp_path / "tillage.yaml", registry()), registry()) as project:
        project.run()
        rules, groups = rows_of(project, "rules"), rows_of(project, "groups")
        assert {(r["if_items"], r["then_item"], r["lift"]) for r in rules} == {
            ("milk", "tea", 4 / 3),
            ("tea", "milk", 4 / 3),
        }
        assert {r["price"] for r in groups if r["cluster"] == 1} == {90, 91}
        report = project.reports("groups")["cluster_report"]
        assert report["clusters"]["1"]["rows"] == 2
        assert report["silhouette"] > 0.9
        (tmp_path / "data" / "b.csv").write_text("bill,what,price\n5,jam,1\n5,tea,2\n6,jam,3\n6,tea,1\n")
        project.run()
        assert {r["if_items"] for r in rows_of(project, "rules")} == {"milk", "tea"}
