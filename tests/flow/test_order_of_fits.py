"""A Fit sees each row once, in the order that was recorded; compaction, which moves rows between chunks, keeps it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.flow.world import KEY
from tests.laws import reference
from tillage.face.rooms import registry
from tillage.flow import chunking
from tillage.flow.configuration import load
from tillage.flow.results import load_fitted
from tillage.flow.run import Project

PLAN = """\
project: order
tables:
  notes: {collect: {files: "data/*.csv"}, key: id}
  clean: {from: notes, steps: [{normalize: {columns: [text]}}], expect: [{column: id, not_null: true}]}
  level: {from: clean, steps: [{drop_duplicates: {columns: [text]}}, reference.Drift: {column: n}]}
  apart: {collect: {files: "data/*.csv"}, key: id}
"""


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TILLAGE_KEY", KEY)
    monkeypatch.setattr(chunking, "LEAST_ROWS", 8)
    (tmp_path / "data").mkdir()
    (tmp_path / "tillage.yaml").write_text(PLAN, encoding="utf-8")
    (tmp_path / "reference.py").write_bytes(Path(reference.__file__).read_bytes())
    return tmp_path


def state(p: Project) -> Any:
    [fit] = [s.name for s in p.stages.values() if s.kind == "result" and not s.follows]
    return load_fitted(p.store, fit, p.registry).state


def test_a_replay_after_compaction_takes_rows_in_the_recorded_order(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def write(name: str, *rows: tuple[int, float]) -> None:
        lines = [f"{i},text {i},{n}" for i, n in rows]
        (root / "data" / name).write_text("\n".join(["id,text,n", *lines]) + "\n", encoding="utf-8")

    def both() -> list[Any]:
        """What was learnt in a store that is compacted at every run, and in one that never is."""
        found = []
        for name, slack in (("often", 0), ("never", 1000)):
            monkeypatch.setattr("tillage.flow.compact.SLACK", slack)
            plan = load(root / "tillage.yaml", registry().within(root)).model_copy(update={"store": root / name})
            with Project(plan, registry().within(root)) as p:
                p.run(refit=["level"] if p.store.latest("level") else [])
                moved = {s for s in p.store.stages() if any(v.why == "compaction" for v in p.store.versions(s))}
                assert "apart" in moved or n == 0 or name == "never"
                found.append(state(p))
        return found

    for n in range(9):
        write(f"{n}.csv", (n, 3.0 * n), (100 + n, 7.0 * n))
        often, never = both()
        assert often == never
    write("4.csv", (4, 12.0))  # a row leaves: everything is replayed
    often, never = both()
    assert often == never
