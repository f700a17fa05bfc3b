"""A stored file that is missing or damaged is made again by the next run, whatever it belonged to."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.flow.world import KEY, differences, digests
from tests.laws import reference
from tillage.core.errors import VerifyFailed
from tillage.face.rooms import project
from tillage.flow import chunking
from tillage.flow.mending import mark_lost, missing
from tillage.flow.run import Project
from tillage.store.gc import collect
from tillage.store.verify import verify

PLAN = """\
project: mending
tables:
  notes: {collect: {files: "data/*.csv"}, key: id, max_quarantine: 1}
  clean:
    from: notes
    steps:
      - normalize: {columns: [text]}
      - filter: "n >= 0"
      - drop_duplicates: {columns: [text]}
      - fill_missing: {columns: [x], with: mean}
    expect: [{column: id, not_null: true}]
    profile: true
  cities: {from: clean, steps: [{aggregate: {by: [city], columns: {rows: count(), total: sum(x)}}}]}
  ranked: {from: cities, steps: [{reference.Ranked: {column: rows, most: 2}}, {derive: {columns: {y: "rows + 1"}}}]}
models:
  bayes: {learn: naive_bayes, from: clean, input: text, target: city, split: {test: 0.3}}
"""


def write(root: Path, name: str, first: int, count: int) -> None:
    (root / "data").mkdir(exist_ok=True)
    cities = ("Ulm", "Rome", "Bonn")
    numbers = range(first, first + count)
    rows = [f"{i},{'ab'[i % 2]} {i % 17},{cities[i % 3]},{i % 5 or ''},{i % 4 - 1}" for i in numbers]
    (root / "data" / name).write_text("\n".join(["id,text,city,x,n", *rows, f"{first},bad"]) + "\n", encoding="utf-8")


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TILLAGE_KEY", KEY)
    monkeypatch.setattr("tillage.store.objects.SMALL", 0)
    monkeypatch.setattr(chunking, "LEAST_ROWS", 30)
    (tmp_path / "tillage.yaml").write_text(PLAN, encoding="utf-8")
    (tmp_path / "reference.py").write_bytes(Path(reference.__file__).read_bytes())
    write(tmp_path, "a.csv", 0, 50)
    with project(tmp_path) as p:
        p.run()
        write(tmp_path, "b.csv", 100, 40)
        p.run()
        collect(p.store, keep=1)
    return tmp_path


def whole(p: Project) -> bool:
    """Nothing is wrong but what older versions alone need: one that something is pinned to cannot be read again."""
    newest = {row[0] for row in p.store.catalog.rows("SELECT object FROM chunks WHERE ended IS NULL")}
    return {f.object for f in verify(p.store).findings}.isdisjoint(newest)


def test_each_missing_file_is_made_again_and_nothing_else_changes(root: Path) -> None:
    with project(root) as p:
        p.run()
        before = digests(p)
        query = "SELECT stage, part, min(object) AS object FROM chunks WHERE ended IS NULL GROUP BY stage, part"
        owners = {row["object"]: row["stage"] for row in p.store.catalog.rows(query)}
    assert {"notes", "clean/3-fill_missing", "cities", "bayes", "bayes/2"} <= set(owners.values())
    saved = root / "saved"
    shutil.copytree(root / ".tillage", saved)
    for name, owner in owners.items():
        shutil.rmtree(root / ".tillage")
        shutil.copytree(saved, root / ".tillage")
        (root / ".tillage/objects" / name).unlink()
        with project(root) as p:
            assert not whole(p)
            p.run()
            assert any("made again" in note for note in p.outcome.notes), owner
            collect(p.store, keep=1)
            assert whole(p), owner
            assert differences(before, digests(p)) == [], owner
            assert p.run().changed == []


def test_damage_is_met_when_the_file_is_read(root: Path) -> None:
    with project(root) as p:
        [chunk] = p.store.chunks("clean/1", "rows")[:1]
        before = digests(p)
    path = root / ".tillage/objects" / chunk.object
    path.write_bytes(path.read_bytes()[::-1])
    with project(root) as p:
        assert missing(p.store) == set()
        assert p.run().changed == [], "nothing was read"
        with pytest.raises(VerifyFailed, match="damaged") as caught:
            p.store.frame("clean/1")
        assert "tillage run" in caught.value.fix
        (root / "data" / "b.csv").unlink()
        outcome = p.run()
        assert any(note.startswith("clean: stored files") for note in outcome.notes)
        write(root, "b.csv", 100, 40)
        p.run()
        assert differences(before, digests(p)) == []
        collect(p.store, keep=1)
        assert whole(p)


def test_a_run_that_was_killed_while_mending_is_taken_up(root: Path) -> None:
    with project(root) as p:
        before = digests(p)
        lost = {c.object for c in p.store.chunks("clean/1", "rows")}
        for name in lost:
            (root / ".tillage/objects" / name).unlink()
        assert mark_lost(p.store, p.stages, lost) == ["clean"]
    with project(root) as p:
        p.run(["notes"])
    with project(root) as p:
        p.run()
        assert differences(before, digests(p)) == []


def test_a_lost_fit_on_a_lost_version_is_not_moved_in_silence(root: Path) -> None:
    with project(root) as p:
        before = digests(p)
    shutil.rmtree(root / ".tillage/objects")
    with project(root) as p:
        with pytest.raises(VerifyFailed, match="is pinned to version 1 of 'clean/2', which cannot be read") as caught:
            p.run()
        assert "--refit clean" in caught.value.fix
        p.run(refit=["clean"])
        p.run()
        collect(p.store, keep=1)
        assert whole(p)
        assert differences(before["tables"]["notes"], digests(p)["tables"]["notes"]) == []
        assert p.read("clean").height == before["tables"]["clean"]["rows"]
