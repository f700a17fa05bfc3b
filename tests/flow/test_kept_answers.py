"""Kept answers: what was answered before is not answered again, and no answer differs from one that was not kept."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import Field

from tillage.core import Fitted, Map, leave
from tillage.flow import score as scoring
from tillage.flow.kept_answers import KeptAnswers
from tillage.flow.run import STORE_LOCK
from tillage.flow.score import Way, score
from tillage.store import failpoints, gc
from tillage.store.frames import is_frame, unpacked
from tillage.store.locks import hold
from tillage.store.tables import Store

SCHEMA: dict[str, pl.DataType] = {"text": pl.String(), "n": pl.Int64(), "x": pl.Float64(), "y": pl.String()}
NAMES = {"text": pl.String, "n": pl.String, "x": pl.Float64}


class Length(Fitted):
    """Says how long a text is; asks for nothing twice, which `asked` shows."""

    state: dict[str, Any] = Field(default_factory=lambda: {"target": "y", "classes": ["0", "1"]})

    def needs(self) -> tuple[str, ...]:
        return ("text", "n")

    def apply(self, rows: pl.DataFrame) -> pl.DataFrame:
        ASKED.extend(rows["text"].to_list())
        told = pl.format("{} {}", pl.col("text").str.len_chars(), pl.col("n").fill_null(-1))
        return rows.with_columns(told.alias("prediction"), confidence=1 / (1 + pl.col("text").str.len_chars()))


class Ends(Fitted):
    """A regression that tells more."""

    state: dict[str, Any] = Field(default_factory=lambda: {"target": "y"})

    @property
    def adds(self) -> tuple[str, ...]:
        return ("low", "high")

    def apply(self, rows: pl.DataFrame) -> pl.DataFrame:
        n = pl.col("x")
        return rows.with_columns((n * 2).alias("prediction"), n.alias("low"), pl.lit(float("inf")).alias("high"))


class Which(Fitted):
    """Says which column has the values."""

    state: dict[str, Any] = Field(default_factory=dict)

    def apply(self, rows: pl.DataFrame) -> pl.DataFrame:
        return rows.with_columns(pl.lit("x" if "x" in rows.columns else "z").alias("prediction"))


class Short(Map):
    """Turns long texts away."""

    most: int = 3

    def needs(self) -> tuple[str, ...]:
        return ("text",)

    def apply(self, rows: pl.DataFrame) -> pl.DataFrame:
        return leave(rows, "long", pl.col("text").str.len_chars() > self.most)


ASKED: list[str] = []
WAY = Way("raw", SCHEMA, (Short(),))


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Store]:
    scoring._positions()  # kept for slices of every length
    monkeypatch.setattr(scoring, "SLICE", 4)
    made = Store(tmp_path / "store")
    ASKED.clear()
    yield made
    made.close()


def frame(rows: list[tuple[Any, ...]]) -> pl.DataFrame:
    return pl.DataFrame(rows, schema=NAMES, orient="row")


def words(text: str) -> pl.DataFrame:
    """A row for each word, told apart by it."""
    return frame([(word, "1", 0.5) for word in text.split()])


def answered(store: Store, rows: pl.DataFrame, model: Fitted | None = None, taken: Way = WAY, digest: str = "d") -> int:
    """How many rows were answered anew; the answers are those of nothing kept, to the type."""
    model = Length() if model is None else model
    kept = KeptAnswers(store, taken, model, digest)
    made = score(taken, model, rows, kept)
    ASKED.clear()
    assert made.schema == score(taken, model, rows).schema
    assert made.equals(score(taken, model, rows))
    ASKED.clear()
    return kept.anew


TEN = "a b c d e f g h i j"


@pytest.mark.parametrize(
    ("then", "anew"),
    [
        (TEN, 0),
        (f"{TEN} k l m", 3),  # the third slice is begun, and a fourth
        ("a b c d e f g h", 0),
        ("a b c d e X g h i j", 1),
        ("a b c d X f g h i j", 4),  # the first row of its slice
        ("a d b c e f g h i j", 0),
        ("X a b c d e f g h i j", 11),
        ("a a b a", 0),
    ],
)
def test_what_is_new_is_answered(store: Store, then: str, anew: int) -> None:
    assert answered(store, words(TEN)) == 10
    assert answered(store, words(then)) == anew
    assert answered(store, words(then)) == 0
    assert answered(store, words(TEN)) == 0, "what another file changed is not lost"


def test_only_new_rows_reach_the_model(store: Store) -> None:
    score(WAY, Length(), words(TEN), KeptAnswers(store, WAY, Length(), "d"))
    assert TEN.split() == ASKED
    ASKED.clear()
    score(WAY, Length(), words(f"{TEN} k l m"), KeptAnswers(store, WAY, Length(), "d"))
    assert ASKED == ["k", "l", "m"]


def test_the_same_rows_in_another_file(store: Store) -> None:
    """Columns that nobody looks at, their order, and numbers that are written otherwise change nothing."""
    assert answered(store, words("a b c d e")) == 5
    assert answered(store, words("a b c d e").with_columns(other=pl.int_range(5))) == 0
    other = words("a b c d e").select("x", "text", n=pl.lit(1))
    assert answered(store, other) == 0


def test_slices_that_begin_alike(store: Store) -> None:
    assert answered(store, words("a b c d a e f g")) == 8
    assert answered(store, words("a X c d a Y f g")) == 2


def test_rows_of_which_none_stays_have_no_confidence(store: Store) -> None:
    """As when nothing is kept, though the part that they are found in has one."""
    assert answered(store, words("longer a")) == 2
    assert answered(store, words("longer")) == 0


def test_the_same_values_in_another_column(store: Store) -> None:
    taken = Way("raw", {"x": pl.Float64(), "z": pl.Float64()})
    assert answered(store, pl.DataFrame({"x": [1.0, 2.0]}), Which(), taken) == 2
    assert answered(store, pl.DataFrame({"z": [1.0, 2.0]}), Which(), taken) == 2
    assert answered(store, pl.DataFrame({"z": [1.0]}), Which(), taken) == 0


def test_another_model_another_map_another_shape(store: Store) -> None:
    rows = words("a b c d e")
    assert answered(store, rows) == 5
    assert answered(store, rows, digest="e") == 5
    assert answered(store, rows, taken=Way("raw", SCHEMA, (Short(most=2),))) == 5
    assert answered(store, rows, Ends()) == 5
    assert answered(store, rows.drop("x")) == 5
    assert answered(store, rows) == 0


def test_a_value_that_cannot_be_read_is_not_a_value_that_is_not_there(store: Store) -> None:
    """Why it cannot be read shows it, and so is not kept."""
    good, bad, other = (frame([("b", "2", 1.0), ("a", n, 1.0)]) for n in (None, "secret", "hidden"))
    assert answered(store, good) == 2
    assert answered(store, bad) == 1
    assert answered(store, bad) == 0
    assert answered(store, other) == 0, "told by itself, each time"
    kept = [unpacked(data, name) for name, data in _objects(store) if is_frame(name)]
    assert len(kept) > 1
    assert {c for part in kept for c in part.columns} == {"_row", "prediction", "confidence", "error"}
    assert not any(word in repr(part.rows()) for part in kept for word in ("secret", "hidden"))


def _objects(store: Store) -> list[tuple[str, bytes]]:
    stored = [(str(name), bytes(data)) for name, data in store.catalog.rows("SELECT name, data FROM small")]
    return [*stored, *((n, (store.objects.root / n).read_bytes()) for n in store.objects.names() if "small/" not in n)]


ROWS = st.lists(
    st.tuples(
        st.sampled_from(["", "a", "b", "cc", "long one", None]),
        st.sampled_from(["1", "2", "x", "", None]),
        st.sampled_from([0.0, -0.0, 1.5, None]),
    ),
    max_size=11,
)


@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(files=st.lists(ROWS, min_size=2, max_size=3), model=st.sampled_from([Length(), Ends()]))
def test_kept_or_not_the_answers_are_the_same(store: Store, files: list[Any], model: Fitted) -> None:
    """Whatever was scored before; the store fills up from one example to the next."""
    for rows in (*files, [*files[0], *files[1]]):
        answered(store, frame(rows), model)
        assert answered(store, frame(rows), model) == 0


def test_what_is_gone_or_damaged_is_answered_again(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tillage.store.objects.SMALL", 0)
    assert answered(store, words(TEN)) == 10
    store.objects.forget()
    first, second, _ = sorted(store.objects.names())
    (store.objects.root / first).unlink()
    (store.objects.root / second).write_bytes(b"damaged")
    assert answered(store, words(TEN)) in (6, 8), "two slices of three, one of them perhaps the short one"
    store.objects.forget()
    assert answered(store, words(TEN)) == 0


def test_gc_takes_them_away(store: Store) -> None:
    answered(store, words(TEN))
    assert store.objects.names()
    gc.collect(store)
    assert store.objects.names() == set()
    assert store.catalog.rows("SELECT * FROM memo") == []
    assert answered(store, words(TEN)) == 10


def test_nothing_is_kept_while_somebody_holds_the_store(store: Store) -> None:
    """An erasure, say; it is not waited for, and does not wait."""
    kept = KeptAnswers(store, WAY, Length(), "d")
    with hold(store.root / "locks", [STORE_LOCK]):
        score(WAY, Length(), words(TEN), kept)
    assert (kept.anew, kept.unkept, store.objects.names()) == (10, "", set())
    with hold(store.root / "locks", [STORE_LOCK], shared=True):
        assert answered(store, words(TEN)) == 10
    assert answered(store, words(TEN)) == 0


def test_a_full_disk_is_told_and_stops_nothing(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tillage.store.objects.SMALL", 0)
    monkeypatch.setattr(failpoints, "_armed", "object.write:1:ENOSPC")
    monkeypatch.setattr(failpoints, "_passed", type(failpoints._passed)())
    kept = KeptAnswers(store, WAY, Length(), "d")
    made = score(WAY, Length(), words(TEN), kept)
    assert made.equals(score(WAY, Length(), words(TEN)))
    assert "No space left" in kept.unkept
    assert store.objects.names() == set()


def test_another_project_has_other_digests(store: Store, tmp_path: Path) -> None:
    """Without the project's key nobody can see in a part whether somebody was in a file."""
    other = Store(tmp_path / "other")
    for at in (store, other):
        answered(at, words("a b"))
    mine, theirs = ([unpacked(data, name)["_row"] for name, data in _objects(at)] for at in (store, other))
    assert len(mine) == len(theirs) == 1
    assert not set(mine[0]) & set(theirs[0])
    other.close()
