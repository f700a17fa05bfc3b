"""An erasure that was cut off while models in shards learn again is ended like any other: nothing of the rows is kept.

Which states hold what is known by a word of their own in each row that is forgotten.
"""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.flow.test_shards import ROWS, never, row, write
from tests.flow.world import KEY, differences, digests
from tests.promises.canary import TOKEN, scan
from tests.promises.test_forget_crash import Dying

from tillage.face.rooms import project
from tillage.flow.sharding import SHARD
from tillage.promises import forget
from tillage.store.verify import verify

KEYS = list(range(4, 16))


@pytest.fixture(scope="module")
def dying() -> Iterator[Dying]:
    made = Dying()
    yield made
    made.end()


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TILLAGE_KEY", KEY)
    marked = {n: row(n).replace(" ", f" {TOKEN} ", 1) if n in KEYS else row(n) for n in range(ROWS)}
    write(tmp_path / "w", marked)
    with project(tmp_path / "w") as p:
        p.run()
        states = [p.store.objects.get(c.object, c.checksum) for c in p.store.every_chunk("texts", SHARD)]
        assert sum(TOKEN.encode() in state for state in states) > 1
    return tmp_path / "w"


@pytest.mark.parametrize(
    "point",
    [
        "memo.commit:2",
        "purge.commit:1",
        *(pytest.param(p, marks=pytest.mark.nightly) for p in ("memo.commit:1", "forget.stage:5", "forget.ended:1")),
    ],
)
def test_killed_while_shards_learn_again(point: str, world: Path, dying: Dying) -> None:
    assert dying.forget(world, [str(k) for k in KEYS], failpoint=point) == {"signal": signal.SIGKILL}
    with project(world) as p:
        p.run()
        assert differences(digests(p), never(world, {n: row(n) for n in range(ROWS) if n not in KEYS})) == []
        found = verify(p.store)
        assert (found.findings, found.orphans) == ((), 0)
    assert scan(world / ".tillage") == []


def test_states_that_no_version_holds_yet_go_too(world: Path) -> None:
    """A run that was killed between two shards leaves states that only its memory of finished work names."""
    with project(world) as p:
        with p.store.catalog.transaction():  # as if the run had been killed before its version was made
            p.store.catalog.write("DELETE FROM chunks WHERE stage = 'texts'")
            p.store.catalog.write("DELETE FROM versions WHERE stage = 'texts'")
        assert scan(world / ".tillage") != []
        forget(p, "notes", key=[str(k) for k in KEYS])
        assert scan(world / ".tillage") == []
        p.run()
        assert p.store.every_chunk("texts", SHARD)
    assert scan(world / ".tillage") == []
