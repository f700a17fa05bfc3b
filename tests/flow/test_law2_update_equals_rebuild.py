"""Law 2: after any inserts, updates and deletes at the source, tables and exact models are those of a rebuild.

Law 1 (conservation) is checked by every summary on the way, and the store is verified after each run.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.flow.world import World, differences, digests, small_chunks
from tillage.store.verify import verify

SEEDS = range(12)
EDITS = 6


@pytest.mark.parametrize("seed", SEEDS)
def test_update_equals_rebuild(seed: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    small_chunks(monkeypatch)
    world = World(tmp_path / "w", seed)
    with world.open() as kept:
        kept.run()
        for n in range(EDITS):
            edits = [world.edit() for _ in range(world.random.randint(1, 3))]
            outcome = kept.run()
            with world.open(f"rebuild{n}") as fresh:
                fresh.run()
                assert differences(digests(kept, outcome), digests(fresh)) == [], (seed, n, edits)
            assert not verify(kept.store).findings, (seed, n, edits)
            again = kept.run()
            assert again.changed == [], (seed, n, edits)
            assert set(again.touched.values()) <= {0}
