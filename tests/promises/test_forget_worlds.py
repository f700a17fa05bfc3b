"""Random keys forgotten in random worlds: everything has the digests of a world without those records.

Mutations caught: a Draft of the source that keeps the ledger's rows; tombstones that are not asked when a file is read;
a Group's old output counted as new.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.flow.world import World, differences, digests, small_chunks

from tillage.promises import estimate, forget
from tillage.store.verify import verify

SEEDS = [0, 1, *(pytest.param(seed, marks=pytest.mark.nightly) for seed in range(2, 12))]


@pytest.mark.parametrize("seed", SEEDS)
def test_forgotten_equals_never_there(seed: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    small_chunks(monkeypatch)
    world = World(tmp_path / "w", seed)
    victims: set[str] = set()
    with world.open() as p:
        p.run()
        for n in range(2):
            edits = [world.edit() for _ in range(2)]
            p.run()
            keys = world.random.sample(p.read("notes")["id"].cast(str).to_list(), 3)
            before = estimate(p, "notes", key=keys)
            told, _ = forget(p, "notes", key=keys)
            assert {**told, "dry_run": True, "notes": [], "refitted": 0} == {**before, "notes": [], "refitted": 0}
            victims |= set(keys)
            assert not verify(p.store).findings, (seed, n)
            assert p.run().changed == [], (seed, n)
            edits.append(world.edit())
            p.run()
            without(world, victims)
            with world.open(f"fresh{n}") as fresh:
                fresh.run()
                assert differences(digests(p), digests(fresh)) == [], (seed, n, edits)
            p.run()


def without(world: World, victims: set[str]) -> None:
    """Take the records out of the files, which the project must not notice."""
    for path in (world.root / "data").iterdir():
        rows = world.read_rows(path)
        kept = [row for row in rows if row[0] not in victims]
        if kept != rows:
            world.write_rows(path, kept)
