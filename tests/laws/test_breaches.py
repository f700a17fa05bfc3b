"""Every law catches a step that breaks it, and only steps that break it: a law that cannot fail proves nothing."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import polars as pl
import pytest
from pydantic import ConfigDict, Field

from tests.laws.frames import reference
from tests.laws.reference import Drift, Joined, Ranked, Words
from tillage.collect import Files, Sql
from tillage.core import ID, INTO, PARENT, REASON, Batch, Fold, Found, Keyed, Map, State, leave
from tillage.core.step import Source
from tillage.flow.following import Held, Looked
from tillage.flow.laws import LAWS, check_step
from tillage.govern import Profile
from tillage.learn import LogisticRegression, TabularClassifier, TextClassifier
from tillage.prepare import Aggregate, Derive, DropDuplicates, FillMissing


class Same(Map):
    def apply(self, rows: pl.DataFrame) -> pl.DataFrame:
        return rows


class Mute(Same):
    depth: int = 1


class Loose(Same):
    model_config = ConfigDict(frozen=False)

    depth: int = Field(1, description="x")


class Forgetful(Same):
    """Its parameter does not come back from JSON."""

    depth: int = Field(1, description="x", exclude=True)

    @classmethod
    def example(cls) -> Forgetful:
        return cls(depth=2)


class Blind(Same):
    """A parameter that its fingerprint does not see."""

    depth: int = Field(1, description="x")

    def params(self) -> dict[str, Any]:
        return {}


class Counting(Map):
    def apply(self, rows: pl.DataFrame) -> pl.DataFrame:
        return rows.with_row_index("place")


class Smoothed(Map):
    def apply(self, rows: pl.DataFrame) -> pl.DataFrame:
        return rows.with_columns(pl.col("n").shift(1, fill_value=0))


TURN = iter(range(10**9))


class Moody(Map):
    def apply(self, rows: pl.DataFrame) -> pl.DataFrame:
        return rows.with_columns(turn=pl.lit(next(TURN)))


class Rough(Map):
    """It writes into the rows that it was given."""

    def apply(self, rows: pl.DataFrame) -> pl.DataFrame:
        rows.insert_column(1, pl.Series("n2", rows["n"] * 2)) if "n2" not in rows.columns else None
        return rows.drop("n2")


class Dropping(Map):
    def apply(self, rows: pl.DataFrame) -> pl.DataFrame:
        return rows.filter(pl.col("n") > 0)


class Inventing(Map):
    def apply(self, rows: pl.DataFrame) -> pl.DataFrame:
        return pl.concat([rows, rows.with_columns(pl.col(ID) + 1)])


class Orphans(Words):
    def apply(self, rows: pl.DataFrame) -> pl.DataFrame:
        return super().apply(rows).with_columns(pl.lit(7, dtype=pl.UInt128).alias(PARENT))


class Sorting(Map):
    def apply(self, rows: pl.DataFrame) -> pl.DataFrame:
        return rows.sort(ID)


class Unreasoned(Map):
    def apply(self, rows: pl.DataFrame) -> pl.DataFrame:
        return leave(rows, "", pl.col("n") > 0)


class Usurping(Map):
    def apply(self, rows: pl.DataFrame) -> pl.DataFrame:
        return rows.with_columns(_mine=1)


class Summing(Fold):
    """Sums of floats as they come."""

    def start(self) -> State:
        return {"sum": 0.0}

    def update(self, state: State, rows: pl.DataFrame) -> State:
        return self.merge(state, {"sum": sum(v for v in rows["x"].to_list() if v and abs(v) < 1e9)})

    def merge(self, a: State, b: State) -> State:
        return {"sum": a["sum"] + b["sum"] + 0.1 * bool(a["sum"] and b["sum"])}

    def finish(self, state: State) -> dict[str, Any]:
        return dict(state)


class Last(Summing):
    """The order shows."""

    def merge(self, a: State, b: State) -> State:
        return a if b["sum"] == 0 else b


class Greedy(Profile):
    def update(self, state: State, rows: pl.DataFrame) -> State:
        state["rows"] = state["rows"] + 0
        after = super().update(state, rows)
        state["rows"] = after["rows"]
        return after


class Unsaved(FillMissing):
    """Two results of one state."""

    def finish(self, state: State) -> Any:
        return {"turn": next(TURN)}


class Worn(Fold):
    """A state that does not survive the store."""

    def start(self) -> State:
        return {"n": (0,)}

    def update(self, state: State, rows: pl.DataFrame) -> State:
        return {"n": (state["n"][0] + rows.height + 1000 * isinstance(state["n"], list),)}

    def merge(self, a: State, b: State) -> State:
        return {"n": (a["n"][0] + b["n"][0],)}

    def finish(self, state: State) -> dict[str, Any]:
        return {"n": state["n"][0]}


class Batched(Drift):
    """One step a batch instead of one a row."""

    def update(self, state: State, rows: pl.DataFrame) -> State:
        level = state["level"] + self.rate * ((rows["n"].max() or 0) - state["level"])
        return {"level": level, "rows": state["rows"] + rows.height}


class Spoiling(Drift):
    def update(self, state: State, rows: pl.DataFrame) -> State:
        state["rows"] += rows.height
        return dict(state)


class Undecided(Drift):
    def finish(self, state: State) -> Any:
        return {"turn": next(TURN)}


class Crossing(Aggregate):
    """Keys know of each other."""

    def apply(self, rows: Mapping[str, pl.DataFrame]) -> pl.DataFrame:
        return super().apply(rows).with_columns(share=pl.col("rows") / pl.col("rows").sum())


class Averaging(Aggregate):
    def merge(self, partials: pl.DataFrame) -> pl.DataFrame:
        return super().merge(partials).with_columns(pl.col("known") // 2)


class Uncounted(Aggregate):
    def merge(self, partials: pl.DataFrame) -> pl.DataFrame:
        return super().merge(partials).with_columns(pl.lit(1, dtype=pl.Int64).alias("_n"))


class FirstCome(Joined):
    def apply(self, rows: Mapping[str, pl.DataFrame]) -> pl.DataFrame:
        return super().apply(rows).unique("_key", keep="first", maintain_order=True)


class Keyless(Aggregate):
    def apply(self, rows: Mapping[str, pl.DataFrame]) -> pl.DataFrame:
        return super().apply(rows).drop("_key")


class Strange(Aggregate):
    def apply(self, rows: Mapping[str, pl.DataFrame]) -> pl.DataFrame:
        return super().apply(rows).with_columns(pl.col("_key") // 2)


class Placed(Ranked):
    """Ties go to whoever came first."""

    def compute(self, inputs: Mapping[str, pl.DataFrame]) -> pl.DataFrame:
        return inputs["rows"].with_columns(rank=pl.col("n").rank("ordinal"))


class Dangling(Ranked):
    """Merged into a row that left too."""

    def compute(self, inputs: Mapping[str, pl.DataFrame]) -> pl.DataFrame:
        rows = inputs["rows"]
        return rows.with_columns(pl.lit("merged").alias(REASON), pl.col(ID).min().alias(INTO))


class Stale(DropDuplicates):
    """It never looks at what was there."""

    def change(self, state: Keyed, added: pl.DataFrame, removed: pl.DataFrame) -> pl.DataFrame:
        return self._decide(added)


class Neighbourly(DropDuplicates):
    def entries(self, rows: pl.DataFrame) -> pl.DataFrame:
        return super().entries(rows).with_columns(order=pl.int_range(pl.len()))


class Hasty(LogisticRegression):
    """It learns from the first chunk that comes."""

    def compute_in_passes(self, rows: Callable[[], Iterator[pl.DataFrame]]) -> Any:
        return super().compute_in_passes(lambda: islice(rows(), 1))


class Rotating(TextClassifier):
    """Rows are dealt to the shards in turn, so that one that leaves moves the others."""

    def parted(self, rows: pl.DataFrame) -> list[list[pl.DataFrame]]:
        return [[rows.sort(ID).gather_every(self.shards, n)] for n in range(self.shards)]


class Gossiping(TabularClassifier):
    """It knows how many shards have learnt before it."""

    def train(self, rows: pl.DataFrame, before: State | None) -> State:
        return {**super().train(rows, before), "turn": next(TURN)}


class Wandering(Files):
    """Types by the order in which it looked."""

    def observe(self, root: Path, path: str) -> State:
        return {**super().observe(root, path), "turn": next(TURN)}


class Doubling(Files):
    def read(self, root: Path, path: str, schema: Mapping[str, str]) -> Iterator[Batch]:
        for batch in super().read(root, path, schema):
            yield batch
            yield batch


class Unsorted(Files):
    def scan(self, root: Path) -> list[Found]:
        return super().scan(root)[::-1]


class Restless(Sql):
    def follow(self, root: Path, held: Sequence[Held]) -> Looked:
        seen = super().follow(root, held)
        return Looked([found.model_copy(update={"path": f"{found.path}{len(held)}"}) for found in seen.found])


class Broken(NamedTuple):
    """A step and the law that it breaks."""

    law: str
    step: Any


BROKEN = [
    Broken("Step: described", Mute()),
    Broken("Step: frozen", Loose()),
    Broken("Step: round trip", Forgetful.example()),
    Broken("Step: fingerprint", Blind()),
    Broken("Map: chunking", Counting()),
    Broken("Map: chunking", Smoothed()),
    Broken("Map: alone", Smoothed()),
    Broken("Map: pure", Moody()),
    Broken("Map: input untouched", Rough()),
    Broken("Map: ids", Dropping()),
    Broken("Map: ids", Inventing()),
    Broken("Map: ids", Orphans()),
    Broken("Map: ids", Sorting()),
    Broken("Map: marks", Unreasoned()),
    Broken("Map: marks", Usurping()),
    Broken("Fold: merge", Summing()),
    Broken("Fold: order", Last()),
    Broken("Fold: state", Greedy()),
    Broken("Fold: state", Worn()),
    Broken("Fold: finish", Unsaved(columns=("n",))),
    Broken("Fit: resumed", Batched()),
    Broken("Fit: state", Spoiling()),
    Broken("Fit: finish", Undecided()),
    Broken("Group: keys apart", Crossing.example()),
    Broken("Group: order", FirstCome()),
    Broken("Group: rows", Keyless.example()),
    Broken("Group: rows", Strange.example()),
    Broken("Algebraic: parts", Averaging.example()),
    Broken("Algebraic: parts", Uncounted.example()),
    Broken("Whole: order", Placed()),
    Broken("Whole: rows", Dangling()),
    Broken("Whole: entries", Neighbourly.example()),
    Broken("Whole: change", Stale.example()),
    Broken("MultiPass: cuts", Hasty(input=("n", "x"), target="city")),
    Broken("Sharded: apart", Rotating(input="text", target="city", min_rows=1)),
    Broken("Sharded: apart", Gossiping(input=("text", "day"), target="city")),
    Broken("Source: again", Wandering(path="*.csv")),
    Broken("Source: again", Unsorted(path="*.csv")),
    Broken("Source: records", Doubling(path="*.csv")),
    Broken("Following: again", Restless(address="sqlite:orders.db", table="orders")),
]


@pytest.mark.parametrize("broken", BROKEN, ids=lambda b: type(b.step).__name__)
def test_a_broken_step_is_caught_by_its_law(broken: Broken, tmp_path: Path) -> None:
    given: Any = reference()
    if isinstance(broken.step, Source):
        for name in ("a.csv", "b.csv"):
            (tmp_path / name).write_text("id,x\n1,a\n2,b\n")
        with closing(sqlite3.connect(tmp_path / "orders.db")) as orders:
            orders.execute("CREATE TABLE orders (id INTEGER PRIMARY KEY)")
        given = tmp_path
    assert broken.law in {b.law for b in check_step(broken.step, given)}


def test_every_law_has_a_step_that_breaks_it() -> None:
    assert {law.name for laws in LAWS.values() for law in laws} == {b.law for b in BROKEN}


def test_the_steps_that_were_broken_are_whole_without_the_break(tmp_path: Path) -> None:
    for step in (Same(), Words(), Drift(), Joined(), Ranked(), Aggregate.example(), DropDuplicates.example()):
        assert check_step(step, reference()) == ()


def test_a_refusal_is_told() -> None:
    breaches = check_step(Derive(columns={"y": "nowhere + 1"}), reference())
    assert {b.law for b in breaches} >= {"Map: chunking", "Map: ids"}
    assert "nowhere" in str(breaches[0])
