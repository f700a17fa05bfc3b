"""Near leaks against every pair compared by sets of shingles cut by hand, after every change and from scratch."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.prepare.test_near_duplicates import SURE, TEXTS, likeness

from tillage.core.rows import ID
from tillage.face.rooms import project
from tillage.flow.laws import check_step
from tillage.prepare import DropLeaks, near
from tillage.prepare.normalize import normalize_text
from tillage.store.index import Overlay

Row = dict[str, Any]
SCHEMA = {"_id": pl.UInt128, "text": pl.String, "n": pl.Int64, "split": pl.String}


def frame(rows: list[Row]) -> pl.DataFrame:
    return pl.DataFrame(rows, schema=SCHEMA)


def normal(text: str | None) -> str | None:
    found: str | None = normalize_text(pl.Series([text], dtype=pl.String), lower=True).item()
    return found


def brute(rows: list[Row], similarity: float) -> dict[int, str | None]:
    """Each training row beside each test row."""
    out: dict[int, str | None] = {}
    for row in rows:
        out[row["_id"]] = None
        for other in rows:
            if row["split"] == "test" or other["split"] != "test" or row["n"] != other["n"]:
                continue
            a, b = normal(row["text"]), normal(other["text"])
            if a == b or (a is not None and b is not None and likeness(a, b) >= similarity):
                out[row["_id"]] = "leak"
    return out


@pytest.fixture
def sure(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every pair that is alike becomes a candidate, so that brute force can be met exactly."""
    monkeypatch.setattr(near, "choose_bands", lambda similarity: SURE)


row_values = st.fixed_dictionaries(
    {
        "text": st.sampled_from(TEXTS),
        "n": st.sampled_from([1, 1, 1, 2, None]),
        "split": st.sampled_from(["test", "train", "train", None]),
    }
)
row_ids = st.sampled_from([1, 2, 3, 4, 5, 6, 7, 2**64 + 1, 2**127, 2**127 + 1, 2**128 - 1])
batches = st.lists(
    st.tuples(st.dictionaries(row_ids, row_values, max_size=9), st.sets(row_ids, max_size=5)), max_size=5
)


@pytest.mark.usefixtures("sure")
@pytest.mark.parametrize("similarity", [0.4, 0.6])
def test_changes_add_up_to_brute_force(similarity: float) -> None:
    step = DropLeaks(columns=("text", "n"), similarity=similarity)

    @settings(max_examples=50, deadline=None)
    @given(batches=batches)
    def law(batches: list[Any]) -> None:
        table: dict[int, Row] = {}
        index: Overlay = Overlay(step.entries(frame([])))
        known: dict[int, str | None] = {}
        for upserts, removals in batches:
            gone = [table.pop(i) for i in sorted({*upserts, *removals}) if i in table]
            came = [{"_id": i, **values} for i, values in upserts.items()]
            table |= {row["_id"]: row for row in came}
            added, removed = step.entries(frame(came)), step.entries(frame(gone))
            changed = step.change(index, added, removed)
            index = Overlay(pl.concat([index.entries.join(removed.select(ID).unique(), on=ID, how="anti"), added]))
            after = dict(changed.select("_id", "_reason").rows())
            assert len(after) == changed.height
            assert set(upserts) <= set(after) <= set(table)
            assert all(known[i] != after[i] for i in set(after) - set(upserts))  # none that fares as before
            known = {i: d for i, d in known.items() if i in table} | after
            rows = list(table.values())
            assert known == brute(rows, similarity)
            out = step.compute({"rows": frame(rows)})
            assert dict(out.select("_id", "_reason").rows()) == known

    law()


def test_a_row_between_two_others_binds_neither() -> None:
    texts = ["a b c d e f g h", "b c d e f g h i", "c d e f g h i j"]
    sides = ["test", "x", "x"]
    rows = frame([{"_id": i, "text": texts[i], "n": 1, "split": sides[i]} for i in range(3)])
    out = DropLeaks(columns=("text", "n"), similarity=0.6).compute({"rows": rows})
    assert out["_reason"].to_list() == [None, "leak", None]


@pytest.mark.usefixtures("sure")
def test_a_row_that_two_strangers_are_near_to_stays_out_when_one_goes() -> None:
    """The second shares nothing with what went, and is met only by way of the row between them."""
    texts = {1: "k l m n o p q r s t u v", 2: "k l m n o p q r", 3: "o p q r s t u v"}
    rows = frame([{"_id": i, "text": t, "n": 1, "split": "test" if i > 1 else "x"} for i, t in texts.items()])
    step = DropLeaks(columns=("text", "n"), similarity=0.4)
    assert step.compute({"rows": rows[:2]})["_reason"].to_list() == ["leak", None]
    entries = step.entries(rows)
    none = entries.clear()
    index = Overlay(entries)
    assert step.change(index, none, step.entries(rows[1:2])).height == 0
    both = step.entries(rows[1:])
    assert step.change(index, none, both).select("_id", "_reason").rows() == [(1, None)]


def test_a_table_without_texts_has_equal_rows_only() -> None:
    given_rows = [(1, "test"), (1, ""), (2, "")]
    rows = frame([{"_id": i, "text": None, "n": n, "split": s} for i, (n, s) in enumerate(given_rows)])
    out = DropLeaks(columns=("n",), similarity=0.5).compute({"rows": rows})
    assert out["_reason"].to_list() == [None, "leak", None]


def test_the_laws_of_a_whole() -> None:
    step = DropLeaks(columns=("text",), similarity=0.5)
    rows = frame([{"_id": i, "text": t, "n": 1, "split": ["test", "x"][i % 2]} for i, t in enumerate(TEXTS * 2)])
    assert check_step(step, rows, seed=3) == ()


PLAN = """\
project: leaks
tables:
  notes: {collect: {files: "*.csv"}, key: id}
models:
  near: {learn: naive_bayes, from: notes, input: text, target: y, split: {test: 0.5, leak: {similarity: 0.6}}}
  equal: {learn: naive_bayes, from: notes, input: text, target: y, split: {test: 0.5}}
"""


def test_a_plan_asks_for_near_leaks(tmp_path: Path) -> None:
    same = [f"{i},the red fox jumps over the lazy dog near house {i},{'ab'[i % 2]}" for i in range(30)]
    own = [f"{100 + i},{' '.join(f'w{i}x{k}' for k in range(9))},{'ab'[i % 2]}" for i in range(30)]
    (tmp_path / "a.csv").write_text("\n".join(["id,text,y", *same, *own]) + "\n")
    (tmp_path / "tillage.yaml").write_text(PLAN)
    opened = project(tmp_path)
    opened.run()
    told = opened.summary()["models"]
    assert told["equal"]["left"] == {}
    assert 5 < told["near"]["left"]["leak"] <= 25
    assert told["near"]["left"]["leak"] + told["near"]["train"] + told["near"]["test"] == 60
