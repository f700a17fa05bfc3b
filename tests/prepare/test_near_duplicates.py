"""Near duplicates against brute force over sets of shingles cut by hand, after every change and from scratch."""

from __future__ import annotations

import random
import re
from collections.abc import Iterator
from itertools import combinations
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from tillage.core import ConfigurationError
from tillage.core.rows import ID
from tillage.flow.laws import check_step
from tillage.prepare import DropDuplicates, KeepFirst, near
from tillage.store.index import Overlay
from tillage.text import Bands, jaccard, links
from tillage.text.native import compiled

Row = dict[str, Any]
Decisions = dict[int, tuple[str | None, int | None]]
SCHEMA = {"_id": pl.UInt128, "text": pl.String, "day": pl.String}
SPACES = "\t\n\v\f\r \x85\xa0\u1680\u2028\u2029\u202f\u205f\u3000" + "".join(map(chr, range(0x2000, 0x200B)))
TOKEN = re.compile(f"[\u4e00-\u9fff]|[^{re.escape(SPACES)}\u4e00-\u9fff]+")
SURE = Bands(40, 1)
"""Bands of one row each: of pairs of similarity 0.4 they miss one in a billion."""


def grams(text: str) -> frozenset[tuple[str, ...]]:
    found = TOKEN.findall(text.lower())
    return frozenset(tuple(found[i : i + 5]) for i in range(max(len(found) - 4, 1)))


def likeness(a: str, b: str) -> float:
    one, other = grams(a), grams(b)
    return len(one & other) / len(one | other)


def brute(rows: list[Row], similarity: float, by_day: bool = False) -> Decisions:
    """Every pair compared, components by repeated relabelling, the keeper the first of each."""
    label = {r["_id"]: r["_id"] for r in rows}
    for a, b in combinations(rows, 2):
        nulls = (a["text"] is None) + (b["text"] is None)
        if nulls == 2 or (nulls == 0 and likeness(a["text"], b["text"]) >= similarity):
            old, new = label[a["_id"]], label[b["_id"]]
            label = {i: new if at == old else at for i, at in label.items()}
    out: Decisions = {}
    for at in set(label.values()):
        group = [r for r in rows if label[r["_id"]] == at]
        group.sort(key=lambda r: (by_day and r["day"] is None, (by_day and r["day"]) or "", r["_id"]))
        out |= {r["_id"]: ("merged", group[0]["_id"]) for r in group[1:]} | {group[0]["_id"]: (None, None)}
    return out


def frame(rows: list[Row]) -> pl.DataFrame:
    return pl.DataFrame(rows, schema=SCHEMA)


def decisions(marked: pl.DataFrame) -> Decisions:
    return {row[0]: (row[1], row[2]) for row in marked.select("_id", "_reason", "_into").rows()}


@pytest.fixture
def sure(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every pair that is alike becomes a candidate, so that brute force can be met exactly."""
    monkeypatch.setattr(near, "choose_bands", lambda similarity: SURE)


TEXTS = [
    "a b c d e f g h",
    "A b c d  e f g",
    "b c d e f g h i",
    "c d e f g h i j",
    "d e f g h i j k",
    "x c d e f g h y",
    "发烧，脖子僵硬，头痛三天了",
    "发烧，脖子僵硬，头痛三天",
    "脖子僵硬，头痛三天了吗",
    "a b",
    "a\u3000B",
    "",
    " \n",
    None,
]
row_values = st.fixed_dictionaries(
    {"text": st.sampled_from(TEXTS), "day": st.sampled_from(["2024-01-05", "2023", None])}
)
row_ids = st.sampled_from([1, 2, 3, 4, 5, 6, 7, 2**64 + 1, 2**127, 2**127 + 1, 2**128 - 1])
batches = st.lists(
    st.tuples(st.dictionaries(row_ids, row_values, max_size=9), st.sets(row_ids, max_size=5)), max_size=5
)


@pytest.mark.usefixtures("sure")
@pytest.mark.parametrize(("similarity", "by_day"), [(0.4, False), (0.6, True)])
def test_changes_add_up_to_brute_force(similarity: float, by_day: bool) -> None:
    keep: Any = KeepFirst(first="day") if by_day else "smallest_id"
    step = DropDuplicates(columns=("text",), similarity=similarity, keep=keep)

    @settings(max_examples=30, deadline=None)
    @given(batches=batches)
    def law(batches: list[Any]) -> None:
        table: dict[int, Row] = {}
        index, known = Overlay(step.entries(frame([]))), Decisions()
        for upserts, removals in batches:
            gone = [table.pop(i) for i in sorted({*upserts, *removals}) if i in table]
            came = [{"_id": i, **values} for i, values in upserts.items()]
            table |= {row["_id"]: row for row in came}
            added, removed = step.entries(frame(came)), step.entries(frame(gone))
            index.came = frame(came)
            light = added.drop("text") if len(table) % 2 else added  # whose texts are read again
            changed = step.change(index, light, removed)
            kept = index.entries.join(removed.select(ID).unique(), on=ID, how="anti")
            index = Overlay(pl.concat([kept, added]))
            assert changed.columns == ["_id", "_reason", "_into"]
            assert changed["_id"].is_unique().all()
            after = decisions(changed)
            assert set(upserts) <= set(after) <= set(table)
            assert all(known[i] != after[i] for i in set(after) - set(upserts))  # none that fares as before
            known = {i: d for i, d in known.items() if i in table} | after
            rows = list(table.values())
            assert known == brute(rows, similarity, by_day)
            assert decisions(step.compute({"rows": frame(rows)})) == known

    law()


def chain(length: int, step: int = 2) -> list[str]:
    """Texts each like the next only."""
    return [" ".join(f"w{n}" for n in range(i * step, i * step + 20)) for i in range(length)]


@pytest.mark.usefixtures("sure")
def test_a_chain_is_one_and_falls_apart_where_a_link_goes() -> None:
    texts = chain(9)
    assert 0.7 < likeness(texts[0], texts[1]) < 0.9
    assert likeness(texts[0], texts[2]) < 0.7
    step = DropDuplicates(columns=("text",), similarity=0.7)
    rows = frame([{"_id": i, "text": t} for i, t in enumerate(texts)])
    index = Overlay(step.entries(rows))
    none = rows.clear()
    assert decisions(step.change(Overlay(), step.entries(rows), step.entries(none))) == {
        0: (None, None),
        **dict.fromkeys(range(1, 9), ("merged", 0)),
    }
    gone = step.change(index, step.entries(none), step.entries(rows[4:5]))
    assert decisions(gone) == {5: (None, None), 6: ("merged", 5), 7: ("merged", 5), 8: ("merged", 5)}
    without = step.entries(pl.concat([rows[:4], rows[5:]]))
    back = step.change(Overlay(without), step.entries(rows[4:5]), step.entries(none))
    assert decisions(back) == dict.fromkeys(range(4, 9), ("merged", 0))


@pytest.mark.usefixtures("sure")
def test_a_new_keeper_at_the_end_of_a_chain_is_told_to_the_other_end() -> None:
    """Far more links away than one look at the index shows."""
    step = DropDuplicates(columns=("text",), similarity=0.7)
    rows = frame([{"_id": i, "text": t} for i, t in enumerate(chain(40))])
    last = rows[39:].with_columns(_id=pl.lit(0, dtype=pl.UInt128))
    index = Overlay(step.entries(rows[1:39]))
    changed = step.change(index, step.entries(last), step.entries(rows.clear()))
    assert decisions(changed) == {0: (None, None), **dict.fromkeys(range(1, 39), ("merged", 0))}


@pytest.mark.usefixtures("sure")
def test_a_copy_of_the_link_keeps_the_chain_whole() -> None:
    step = DropDuplicates(columns=("text",), similarity=0.7)
    texts = chain(3)
    rows = frame([{"_id": i, "text": t} for i, t in enumerate([*texts, texts[1].upper()])])
    changed = step.change(Overlay(step.entries(rows)), step.entries(rows.clear()), step.entries(rows[1:2]))
    assert decisions(changed) == {}


def corpus(seed: int, chinese: bool, pairs: int, least: float) -> Iterator[tuple[str, str]]:
    """Pairs of texts, the second with some tokens of the first changed, about as many as `least` allows."""
    draw = random.Random(seed)
    for n in range(pairs):
        size = draw.randrange(30, 160)
        words = [chr(w + 0x4E00) if chinese else f"{n}w{w}" for w in range(3_000)]
        first = draw.choices(words, k=size)
        second = list(first)
        for _ in range(draw.randrange(1, max(2, round(size * (1 - least) / 6)))):
            second[draw.randrange(size)] = draw.choice(words)
        joint = "" if chinese else " "
        yield joint.join(first), joint.join(second)


@pytest.mark.parametrize("similarity", [0.5, 0.7, 0.8, 0.9])
@pytest.mark.parametrize("chinese", [False, True])
def test_planted_pairs_are_found_and_no_others(similarity: float, chinese: bool) -> None:
    pairs = list(corpus(7, chinese, 400, similarity))
    alike = {2 * n + 1: 2 * n for n, (a, b) in enumerate(pairs) if likeness(a, b) >= similarity}
    rows = frame([{"_id": i, "text": t} for i, t in enumerate(t for pair in pairs for t in pair)])
    step = DropDuplicates(columns=("text",), similarity=similarity)
    marked = step.compute({"rows": rows}).filter(pl.col("_into").is_not_null())
    found = dict(marked.select("_id", "_into").rows())
    assert 150 < len(alike) < 400
    assert len(found.keys() & alike.keys()) >= 0.99 * len(alike)
    assert found.items() <= alike.items()


class Counting:
    """The compiled functions, their comparisons counted."""

    def __init__(self, compared: list[int]) -> None:
        self.compared = compared

    def components(self, *given: Any) -> int:
        assert compiled is not None
        self.compared.append(compiled.components(*given))
        return self.compared[-1]


@pytest.mark.parametrize("twins", [True, pytest.param(False, marks=pytest.mark.skipif(compiled is None, reason="C"))])
@pytest.mark.parametrize("similarity", [0.5, 0.8])
def test_twenty_thousand_equal_texts_and_as_many_alike_cost_one_comparison_each(
    similarity: float, twins: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    compared: list[int] = []

    def counted(a: Any, b: Any) -> float:
        compared.append(1)
        return jaccard(a, b)

    monkeypatch.setattr(links, "jaccard", counted)
    monkeypatch.setattr(links, "compiled", None if twins else Counting(compared))
    common = " ".join(f"word{n}" for n in range(60))
    texts = [common] * 20_000 + [f"{common} number {n}" for n in range(2_000)]
    rows = pl.DataFrame({"_id": pl.Series(range(len(texts)), dtype=pl.UInt128), "text": texts})
    step = DropDuplicates(columns=("text",), similarity=similarity)
    marked = step.compute({"rows": rows})
    assert marked["_into"].to_list() == [None] + [0] * (len(texts) - 1)
    assert 2_000 <= sum(compared) <= 2_200


def test_many_strangers_in_one_bucket_are_all_compared() -> None:
    """A pair that only the last comparison links is not left out."""
    seen = []

    def alike(a: int, b: int) -> bool:
        seen.append((a, b))
        return {a, b} == {3, 4}

    roots = links.connect(np.arange(5), np.array([5]), alike)
    assert roots == {0: 0, 1: 1, 2: 2, 3: 3, 4: 3}
    assert sorted(seen) == list(combinations(range(5), 2))


def test_the_laws_hold_for_near_duplicates() -> None:
    draw = random.Random(3)
    base = chain(6, 1)
    texts = [draw.choice([*base, *TEXTS]) for _ in range(30)]
    rows = pl.DataFrame(
        {
            "_id": pl.Series([(i * 2654435761) % 2**32 * 2**96 + i for i in range(30)], dtype=pl.UInt128),
            "text": texts,
            "day": [draw.choice(["2024", "2023", None]) for _ in range(30)],
        }
    )
    for step in (
        DropDuplicates(columns=("text",), similarity=0.8),
        DropDuplicates(columns=("text", "day"), similarity=0.7, keep=KeepFirst(first="day")),
    ):
        assert [str(b) for b in check_step(step, rows)] == []
        assert [str(b) for b in check_step(step, rows.clear())] == []


def test_order_of_rows_and_input_are_left_alone(rows: pl.DataFrame) -> None:
    step = DropDuplicates(columns=("text",), similarity=0.8)
    out = step.compute({"rows": rows})
    assert out.select(rows.columns).equals(rows)
    assert decisions(step.compute({"rows": rows[::-1]})) == decisions(out)
    assert out["_into"].to_list() == [None, None, None, None, 11, None]


def test_hostile_frames(rows: pl.DataFrame, empty: pl.DataFrame, nothing: pl.DataFrame) -> None:
    step = DropDuplicates(columns=("text", "city"), similarity=0.8)
    assert step.compute({"rows": empty}).schema == step.compute({"rows": rows}).schema
    assert step.compute({"rows": nothing})["_into"].to_list() == [None] + [11] * 5
    with pytest.raises(ConfigurationError, match="Column 'n' holds Int64, and this step needs text"):
        DropDuplicates(columns=("text", "n"), similarity=0.8).compute({"rows": rows})
    with pytest.raises(ConfigurationError, match=r"'txt'. Did you mean 'text'"):
        DropDuplicates(columns=("txt",), similarity=0.8).compute({"rows": rows})


@pytest.mark.parametrize("similarity", [0, 0.09, 2, 8])
def test_what_no_similarity_can_be(similarity: float) -> None:
    with pytest.raises(ValidationError):
        DropDuplicates(columns=("text",), similarity=similarity)


def test_texts_must_be_named() -> None:
    with pytest.raises(ValidationError, match=r"name them, as in columns: \[text\]"):
        DropDuplicates(similarity=0.8)


def test_an_entry_of_a_bucket_holds_no_text() -> None:
    """So a text is kept once, and goes with its row."""
    rows = frame([{"_id": 1, "text": "A b c d e f g"}, {"_id": 2, "text": None}])
    entries = DropDuplicates(columns=("text",), similarity=0.8).entries(rows)
    assert entries.filter(pl.col("_id") == 1)["text"].to_list() == ["a b c d e f g"] + [""] * 9
    assert entries.filter(pl.col("_id") == 2).height == 1
