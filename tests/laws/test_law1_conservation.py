"""Law 1: every row that enters a table is kept, dropped, merged, consumed or quarantined, and nothing else happens.

Counted by id from files and store, beside what the summary says; the mended records of a quarantine are as good as
records that always were.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from tests.flow.world import World, differences, digests, small_chunks
from tests.laws.accounting import account, agrees, files_say
from tests.laws.worlds import PINNED, KindsWorld
from tillage.collect import Files
from tillage.core import BadRecord, Batch
from tillage.flow.run import Outcome, Project
from tillage.store.verify import verify

EDITS = 4


def checked(p: Project, outcome: Outcome, world: World) -> dict[str, Any]:
    """The summary, once it agrees with the account of every table."""
    told = p.summary(outcome)["tables"]
    assert set(told) == set(p.plan.tables)
    for name, table in p.plan.tables.items():
        if table.source is None:
            assert agrees(told[name], account(p, name)) == [], name
            assert told[name]["quarantined"] == {}
        else:
            csv = name == "notes"
            said = files_say(world.root, "data/*.csv" if csv else "lines/*.jsonl", 5 if csv else None)
            assert told[name]["in"] == said["in"]
            assert sum(told[name]["quarantined"].values()) == said["bad"]
            assert told[name]["dropped"].get("superseded", 0) == said["superseded"]
            assert p.store.count(f"{name}/source" if f"{name}/source" in p.stages else name) == told[name]["rows"]
        t = told[name]
        left = sum(t["dropped"].values()) + sum(t["quarantined"].values()) + t["merged"] + t["consumed"]
        assert t["in"] == t["kept"] + left
        assert t["rows"] == t["kept"] + t["created"]
    return dict(told)


@pytest.mark.parametrize("seed", [21, 22, pytest.param(23, marks=pytest.mark.nightly)])
def test_each_row_is_accounted_for(seed: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    small_chunks(monkeypatch)
    world = World(tmp_path / "w", seed)
    every_fate = [["70", "ant twin", "Ulm", "", "1"], ["70", "ant late", "Ulm", "", "1"], ["71", "ant late"]]
    every_fate += [["72", "ant late", "Rome", "", "2"], ["73", "cat", "Rome", "", "-1"]]
    world.write_rows(world.root / "data" / "a.csv", every_fate)
    seen: set[str] = set()
    with world.open() as p:
        for _ in range(EDITS + 1):
            told = checked(p, p.run(), world)
            for t in told.values():
                seen |= {k for k in ("merged", "consumed", "created") if t[k]} | set(t["dropped"])
                seen |= {"quarantined"} if t["quarantined"] else set()
            world.edit()
    assert {"merged", "consumed", "created", "superseded", "filtered", "quarantined"} <= seen


@pytest.mark.parametrize("seed", [31, 32, pytest.param(34, marks=pytest.mark.nightly)])
def test_children_joins_and_ranks_are_accounted_for(seed: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    small_chunks(monkeypatch)
    world = KindsWorld(tmp_path / "w", seed)
    with world.open() as p:
        for n in range(EDITS):
            outcome = p.run()
            told = checked(p, outcome, world)
            assert told["words"]["created"] > 0
            assert told["words"]["merged"] > 0
            assert told["beside"]["created"] == told["beside"]["rows"] > 0
            assert told["ranked"]["dropped"].keys() == {"beyond"}
            assert not verify(p.store).findings
            with world.open(f"rebuild{n}") as fresh:
                fresh.run()
                kept, anew = digests(p, outcome), digests(fresh)
                for name in PINNED:  # its fit stays where it was, so its values differ, its counts do not
                    kept["tables"][name].pop("digest"), anew["tables"][name].pop("digest")
                assert differences(kept, anew) == []
            world.edit()


def test_children_leave_with_their_parent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    small_chunks(monkeypatch)
    world = KindsWorld(tmp_path / "w", 1)
    for path in world.files():
        path.unlink()
    base = world.root / "data" / "base.csv"
    world.write_rows(base, [["1", "one two three", "Ulm", "", "1"], ["2", "four", "Ulm", "", "1"]])
    with world.open() as p:
        p.run(["words"])
        parent = int(p.read("notes").filter(pl.col("id") == 1)["_id"][0])
        made = p.store.frame("words").filter(pl.col("_parent") == parent)
        assert sorted(made["text"]) == ["three", "two"]
        world.write_rows(base, [["2", "four", "Ulm", "", "1"]])
        told = p.summary(p.run(["words"]))["tables"]["words"]
        assert (told["in"], told["rows"], told["created"]) == (1, 1, 0)
        assert p.read("words")["text"].to_list() == ["four"]
        world.write_rows(base, [["1", "one two", "Ulm", "", "1"], ["2", "four", "Ulm", "", "1"]])
        told = p.summary(p.run(["words"]))["tables"]["words"]
        assert (told["in"], told["rows"], told["created"]) == (2, 3, 1)
        assert set(p.store.frame("words").filter(pl.col("_parent") == parent)["_id"]) < set(made["_id"])


def unlucky(read: Any) -> Any:
    """A reader with a bug: it sets aside every record whose id is a multiple of three."""

    def wrong(self: Files, root: Path, path: str, schema: Any) -> Iterator[Batch]:
        for batch in read(self, root, path, schema):
            bad = (batch.rows["id"] % 3 == 0) if "id" in batch.rows.columns else pl.Series([False] * batch.rows.height)
            aside = [
                BadRecord(record=r, byte_start=0, byte_end=1, stage="cast", reason="a_bug", message="", raw=b"raw")
                for r in batch.records.filter(bad)
            ]
            yield Batch(batch.rows.filter(~bad), batch.records.filter(~bad), [*batch.bad, *aside])

    return wrong


@pytest.mark.parametrize("seed", [41, 42])
def test_mended_and_replayed_is_as_if_good_at_first(seed: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    small_chunks(monkeypatch)
    world = World(tmp_path / "w", seed)
    with world.open() as p:
        with pytest.MonkeyPatch.context() as bug:
            bug.setattr(Files, "read", unlucky(Files.read))
            told = p.summary(p.run())["tables"]["notes"]
            assert told["quarantined"]["a_bug"] > 5
            world.edit()
            p.run()
        assert p.run().changed == []  # the bug is mended, but nothing tells the run so
        outcome = p.run(replay=["notes"])
        checked(p, outcome, world)
        assert "a_bug" not in p.summary()["tables"]["notes"]["quarantined"]
        with world.open("fresh") as fresh:
            fresh.run()
            assert differences(digests(p, outcome), digests(fresh)) == []
        assert not verify(p.store).findings
        again = p.run(replay=["notes"])
        assert p.summary(again, digest=True)["tables"]["notes"]["digest"] == digests(p)["tables"]["notes"]["digest"]


def test_a_child_outlives_a_parent_that_was_merged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A parent that leaves after its children were made takes none of them along, neither at once nor later."""
    small_chunks(monkeypatch)
    world = KindsWorld(tmp_path / "w", 1)
    for path in world.files():
        path.unlink()
    rows = [[str(i), f"same rest{i}", "Ulm", "", "1"] for i in range(12)]
    with world.open() as p:
        for count in range(1, 13, 2):  # sooner or later the keeper is one that came later, and an older parent goes
            world.write_rows(world.root / "data" / "base.csv", rows[:count])
            told = p.summary(p.run(["words"]))["tables"]["words"]
            assert agrees(told, account(p, "words")) == []
            assert sorted(p.read("words")["text"]) == sorted(["same", *(f"rest{i}" for i in range(count))])
