"""Near duplicates through the runner: every edit of the files gives what a rebuild gives; the index keeps no more."""

from __future__ import annotations

import random
from pathlib import Path

import polars as pl
import pytest

from tests.flow.test_changes_of_shape import Folder
from tests.flow.world import KEY, small_chunks
from tests.promises.test_trace import records
from tillage.core.rows import ID
from tillage.flow.recall import Asked
from tillage.promises import trace
from tillage.store.index import KEY as BY
from tillage.store.index import Index

PLAN = """\
project: near
tables:
  notes: {collect: {files: "data/*.csv"}, key: id}
  clean: {from: notes, steps: [{drop_duplicates: {columns: [text], similarity: 0.6, keep: {first: n}}}]}
  upper: {from: clean, steps: [{aggregate: {by: [n], columns: {rows: count()}}}]}
"""
LENGTH = 14


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    small_chunks(monkeypatch)
    monkeypatch.setenv("TILLAGE_KEY", KEY)


def text(draw: random.Random) -> str:
    """A window of one of two rows of words: windows next to each other are alike, so clusters are chains."""
    at = draw.randrange(12) * 2
    if draw.random() < 0.5:
        return " ".join(f"w{n}" for n in range(at, at + LENGTH))
    return "".join(chr(0x4E00 + n) for n in range(at, at + LENGTH))


def rows(draw: random.Random, many: int) -> str:
    lines = [f"{draw.randrange(40)},{text(draw)},{draw.randrange(5)}" for _ in range(many)]
    return "\n".join(["id,text,n", *lines]) + "\n"


@pytest.mark.parametrize("seed", range(3))
def test_every_edit_gives_what_a_rebuild_gives(tmp_path: Path, seed: int) -> None:
    draw = random.Random(seed)
    folder = Folder(tmp_path / "f", PLAN)
    merged = []
    for n in range(7):
        if n > 3 and draw.random() < 0.3:
            next(iter(sorted((tmp_path / "f/data").iterdir()))).unlink()
        folder.write(f"data/{draw.randrange(4)}.csv", rows(draw, draw.randrange(1, 12)))
        folder.same_as_a_rebuild()
        with folder.open() as p:
            newest = p.store.latest("clean")
            assert newest is not None
            merged.append(newest.counts["rows"] < newest.counts["in"])
            entries = [p.store.read(c) for c in Index(p.store, "clean", "keys").chunks]
            shown = pl.concat([f.select(ID) for f in p.store.frames("notes")])[ID]
            kept = pl.concat(entries) if entries else pl.DataFrame(schema={ID: pl.UInt128, BY: pl.UInt128})
            assert set(kept[ID]) == set(shown)
            assert "text" not in kept.columns
            assert not kept.select(ID, BY).is_duplicated().any()
    assert any(merged)


@pytest.mark.parametrize("few", [True, False])
def test_one_row_and_many_follow_the_index_in_two_ways(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, few: bool
) -> None:
    """One row recalls what it is near to; many read the whole index, and follow chains by keys."""
    told: list[bool] = []

    class Watched(Asked):
        def keys_of(self, rows: pl.Series) -> pl.Series | None:
            found = super().keys_of(rows)
            told.append(found is not None)
            return found

    monkeypatch.setattr("tillage.flow.keyed.Asked", Watched)
    folder = Folder(tmp_path / "f", PLAN)
    words = [" ".join(f"w{n}" for n in range(at, at + LENGTH)) for at in range(0, 1200, 2)]
    before = "".join(f"{n},{t},5\n" for n, t in enumerate(words))
    folder.write("data/a.csv", "id,text,n\n" + before)
    folder.same_as_a_rebuild()
    told.clear()
    more = words[300:301] if few else words[:600:2]
    folder.write("data/b.csv", "id,text,n\n" + "".join(f"{n + 900},{t} x,{n % 9}\n" for n, t in enumerate(more)))
    folder.same_as_a_rebuild()
    assert told[0] is not few


def test_a_trace_finds_copies_at_the_far_end_of_a_chain(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tillage.promises.trace_steps.AHEAD", 0)
    folder = Folder(tmp_path / "f", PLAN)
    words = [" ".join(f"w{n}" for n in range(at, at + LENGTH)) for at in range(0, 20, 2)]
    folder.write("data/a.csv", "id,text,n\n" + "".join(f"{n},{t},{n}\n" for n, t in enumerate(words)))
    folder.run()
    with folder.open() as p:
        kept = pl.concat(list(p.store.frames("clean")))
        assert kept["n"].to_list() == [0]
        found = trace(p, "clean", kept[ID][0])
    assert records(found) == {f"data/a.csv record {n}" for n in range(len(words))}
