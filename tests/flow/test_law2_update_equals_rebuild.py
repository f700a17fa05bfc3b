"""Law 2: after any inserts, updates and deletes at the source, tables and exact models are those of a rebuild.

Law 1 (conservation) is checked by every summary on the way, and the store is verified after each run.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.flow.world import World, small_chunks, update_equals_rebuild

SEEDS = range(12)
EDITS = 6


@pytest.mark.parametrize("seed", SEEDS)
def test_update_equals_rebuild(seed: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    small_chunks(monkeypatch)
    world = World(tmp_path / "w", seed)
    update_equals_rebuild(world, EDITS)
