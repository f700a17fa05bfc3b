"""States of a Fold are kept merged by neighbours: a row that changes or leaves costs its neighbours, not the table."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.flow.world import KEY, digests
from tillage.core.state import State
from tillage.face.rooms import project
from tillage.flow import chunking
from tillage.flow.results import NEIGHBOURS, PARTIAL
from tillage.flow.run import Project
from tillage.govern import Profile
from tillage.promises.forgetting import forget

PLAN = """\
project: neighbours
tables:
  notes: {collect: {files: "data/*.csv"}, key: id, profile: true}
"""
ROWS, CHUNK = 960, 8
CHUNKS = ROWS // CHUNK


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TILLAGE_KEY", KEY)
    monkeypatch.setattr(chunking, "LEAST_ROWS", CHUNK)
    (tmp_path / "data").mkdir()
    (tmp_path / "tillage.yaml").write_text(PLAN)
    write(tmp_path, 0)
    return tmp_path


@pytest.fixture
def merges(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many states were merged: one number, which a test sets back."""
    count = [0]
    merge: Callable[[Profile, State, State], State] = Profile.merge

    def counted(step: Profile, one: State, other: State) -> State:
        count[0] += 1
        return merge(step, one, other)

    monkeypatch.setattr(Profile, "merge", counted)
    return count


def write(root: Path, changed: int) -> None:
    lines = [f"{n},{n % 7},{'new' if n < changed else 'name'}{n}" for n in range(ROWS)]
    (root / "data" / "a.csv").write_text("\n".join(["id,k,name", *lines]) + "\n")


def partials(p: Project, *, living: bool = True) -> list[str]:
    [stage] = [name for name, stage in p.stages.items() if stage.kind == "result"]
    chunks = p.store.chunks(stage, PARTIAL) if living else p.store.every_chunk(stage, PARTIAL)
    return [chunk.object for chunk in chunks]


def test_what_changes_costs_its_neighbours(root: Path, merges: list[int]) -> None:
    with project(root) as p:
        p.run()
        assert merges[0] >= CHUNKS
        before = partials(p)
        assert CHUNKS / NEIGHBOURS / 3 < len(before) < CHUNKS / 2
        merges[0] = 0
        write(root, 1)
        p.run()
        assert 0 < merges[0] < CHUNKS / 2
        assert len({*before} - {*partials(p)}) in (1, 2)
        merges[0] = 0
        with (root / "data" / "b.csv").open("w") as file:
            file.write("id,k,name\n" + "".join(f"{n},1,x\n" for n in range(ROWS, ROWS + CHUNK)))
        p.run()
        assert merges[0] <= 2 + CHUNK  # what only came is merged with the total
        (root / "fresh.yaml").write_text(f"store: other\n{PLAN}")
        with project(root / "fresh.yaml") as fresh:
            fresh.run()
            assert digests(p) == digests(fresh)


def test_a_forgotten_row_leaves_no_state_of_its_neighbours_behind(root: Path, merges: list[int]) -> None:
    with project(root) as p:
        p.run()
        before = partials(p)
        merges[0] = 0
        forget(p, "notes", key=["400"])
        assert 0 < merges[0] < CHUNKS / 2
        assert sorted(partials(p)) == sorted(partials(p, living=False))
        gone = {*before} - {*partials(p)}
        assert len(gone) in (1, 2)
        assert not gone & p.store.objects.names()
        assert not p.run().touched["notes"]
