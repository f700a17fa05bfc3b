"""An erasure that meets a damaged file ends all the same: no run could mend it, since each ends the erasure first."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from tests.flow.world import differences, digests, small_chunks
from tests.promises.canary import PERSON, TOKEN, scan

from tillage.core.errors import VerifyFailed
from tillage.face.rooms import project
from tillage.flow.run import Project
from tillage.promises import forget
from tillage.store.verify import verify

PLAN = """\
project: damaged
tables:
  people: {collect: {files: "*.csv"}, key: id, subject: who, max_quarantine: 1}
  clean:
    from: people
    steps: [{fill_missing: {columns: [city], with: most_frequent}}, {drop_duplicates: {columns: [n]}}]
    expect: [{column: id, not_null: true}]
  sums: {from: people, steps: [{aggregate: {by: [city], columns: {rows: count(), last: max(who)}}}]}
models:
  m: {learn: naive_bayes, from: clean, input: city, target: kind, split: {test: 0.3, leak: false}}
"""


def live(root: Path, *, seen: bool) -> None:
    root.mkdir()
    (root / "tillage.yaml").write_text(PLAN)
    lines = [f"{n},u{n % 5},{'' if n % 4 == 0 else f'c{n % 3}'},{n % 20},{'ab'[n % 2]}" for n in range(40)]
    mine = [f"{900 + n},{PERSON},{TOKEN}city,{n},a" for n in range(3)] * seen
    head = "id,who,city,n,kind"
    for name, rows in (("a.csv", [*lines[:20], *mine, "7,short"]), ("b.csv", [*lines[20:], *lines[:1]])):
        (root / name).write_text("\n".join([head, *rows]) + "\n")
    with project(root) as p:
        p.run()
        (root / "b.csv").write_text((root / "b.csv").read_text() + "50,u9,c1,9,b\n")
        p.run()


def overwritten(p: Project, name: str, data: bytes) -> bytes:
    """Put other bytes into an object; those that were there."""
    p.store.objects.forget()
    if name.startswith("small/"):
        before = bytes(p.store.catalog.rows("SELECT data FROM small WHERE name = ?", name)[0][0])
        p.store.catalog.write("UPDATE small SET data = ? WHERE name = ?", data, name)
        return before
    path = p.store.objects.root / name
    before = path.read_bytes()
    path.write_bytes(data)
    return before


def test_whatever_is_damaged_an_erasure_ends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    small_chunks(monkeypatch)
    live(tmp_path / "with", seen=True)
    live(tmp_path / "never", seen=False)
    with project(tmp_path / "with") as p, project(tmp_path / "never") as never:
        expected = [digests(never)]
        never.run(refit=["clean"])  # whose pin is lost with a version that only it needs
        expected.append(digests(never))
        places: dict[tuple[str, str, bool], str] = {}
        for stage in p.store.stages():
            for part in p.store.parts(stage):
                for chunk in p.store.every_chunk(stage, part):
                    places.setdefault((stage, part, chunk.ended is None), chunk.object)
        pieces = [str(r[0]) for r in p.store.catalog.rows("SELECT object FROM pieces")]
        places |= {("locator", name, True): name for name in pieces[:2]}
    assert len(places) > 20
    stopped = []
    for number, name in enumerate(sorted(set(places.values()))[::3]):
        root = tmp_path / str(number)
        shutil.copytree(tmp_path / "with", root)
        with project(root) as p:
            before = overwritten(p, name, b"x")
            try:
                forget(p, "people", subject=[PERSON])
            except VerifyFailed as error:  # met before anything was decided
                stopped.append((error.object or str(error), name))
                continue
            if name in p.store.objects.names():  # nobody had to read it: it says nothing of them
                assert overwritten(p, name, before) in (b"x", before)
            assert scan(p.store.root) == [], name
            assert p.run().changed in ([], ["m"]), name
            assert any(differences(digests(p), one) == [] for one in expected), name
            assert verify(p.store).findings == (), name
    assert [(met, name) for met, name in stopped if met != name] == []
    assert len(stopped) < len(places) // 6
