"""Law 4: the records on a row's thread are enough to make it again, and all that a row can change is in its reach."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any

import pytest

from tests.flow.world import PLAN, World, digests, small_chunks
from tests.laws.worlds import PLAN as KINDS
from tests.laws.worlds import KindsWorld
from tillage.flow.run import Project
from tillage.promises import Node, trace

TYPES = '{files: {path: "data/*.csv", types: {id: int64, text: text, city: text, x: float64, n: int64}}}'
"""Declared, because types are learnt from all rows: they are no part of one row's thread."""

LINES = '{files: {path: "lines/*.jsonl", types: {text: text, n: int64}}}'


def declared(plan: str) -> str:
    typed = plan.replace('{files: "data/*.csv"}', TYPES).replace('{files: "lines/*.jsonl"}', LINES)
    assert typed != plan
    return typed


def every(node: Node) -> Iterator[Node]:
    yield node
    for other in (*node.back, *node.forward):
        yield from every(other)


def records(node: Node) -> set[tuple[str, int]]:
    """(file, record) of everything on the thread."""
    return {(n.facts["object"], n.facts["record"]) for n in every(node) if n.kind == "record"}


def reaches(p: Project, node: Node) -> set[str]:
    """Tables and models in the forward set of a row."""
    stages = {n.label.split(" ")[0] for f in node.forward for n in every(f)}
    return {p.stages[s].target for s in stages} | {node.label.split(" ")[0]}


def copy_of(world: World, kind: type[World], root: Path, plan: str, wanted: set[tuple[str, int]]) -> World:
    """A world whose files hold these records alone."""
    copy = kind(root, 0, plan)
    for path in [*root.glob("data/*"), *root.glob("lines/*")]:
        path.unlink()
    for name in {path for path, _ in wanted}:
        lines = (world.root / name).read_text(encoding="utf-8").splitlines()
        head = 1 if name.endswith(".csv") else 0
        kept = [line for n, line in enumerate(lines[head:]) if (name, n + FIRST_RECORD) in wanted]
        (root / name).write_text("\n".join([*lines[:head], *kept]) + "\n", encoding="utf-8")
    if not any((root / "data").iterdir()):
        (root / "data" / "none.csv").write_text("id,text,city,x,n\n", encoding="utf-8")
    if not any((root / "lines").iterdir()):  # JSON lines without a record have no columns, so one stands there for all
        (root / "lines" / "none.jsonl").write_text('{"text": "nobody", "n": 0}\n', encoding="utf-8")
    return copy


FIRST_RECORD = 0


def plain(p: Project, table: str) -> list[dict[str, Any]]:
    return p.read(table).to_dicts()


def is_among(row: dict[str, Any], rows: list[dict[str, Any]], by_content: bool) -> bool:
    """Rows without a key are told apart by how often their content occurs, and on a thread it may occur less."""
    drop = {"_id"} if by_content else set()
    wanted = {k: v for k, v in row.items() if k not in drop}
    return any({k: v for k, v in other.items() if k not in drop} == wanted for other in rows)


@pytest.mark.parametrize(
    ("kind", "plan", "tables"),
    [
        (World, PLAN, ("clean", "both", "cities", "big")),
        (KindsWorld, KINDS, ("words", "cities", "beside")),
    ],
)
def test_the_records_behind_a_row_make_it_again(
    kind: type[World], plan: str, tables: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    small_chunks(monkeypatch)
    seed = 61 if kind is World else 62
    world = kind(tmp_path / "w", seed, declared(plan))
    random = Random(seed)
    made = behind = 0
    with world.open() as p:
        p.run(tables)
        world.edit()
        p.run(tables)
        in_all = len(p.read("notes"))
        for table in tables:
            for n, row in enumerate(random.sample(rows := plain(p, table), min(3, len(rows)))):
                wanted = records(trace(p, table, row["_id"], limit=None))
                assert wanted
                copy = copy_of(world, kind, tmp_path / f"{table}{n}", declared(plan), wanted)
                with copy.open() as small:
                    small.run([table])
                    by_content = any(name.startswith("lines") for name, _ in wanted)
                    assert is_among(row, plain(small, table), by_content), (table, row, sorted(wanted))
                made, behind = made + 1, behind + len(wanted)
    print(f"{kind.__name__}: {made} rows made again from {behind / made:.1f} records each, of {in_all}")
    assert made == 3 * len(tables) or "big" in tables
    assert made >= 8


@pytest.mark.parametrize(
    ("kind", "plan", "seed"),
    [(World, PLAN, 71), (KindsWorld, KINDS, 72), pytest.param(World, PLAN, 73, marks=pytest.mark.nightly)],
)
def test_what_a_deleted_row_changes_lies_in_its_forward_set(
    kind: type[World], plan: str, seed: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    small_chunks(monkeypatch)
    world = kind(tmp_path / "w", seed, declared(plan))
    random = Random(seed)
    changed_in_all = reached_in_all = 0
    with world.open() as p:
        p.run()
        for _ in range(6):
            before = everything(p)
            path = random.choice([f for f in world.files() if world.read_rows(f)] or [world.root / "data" / "base.csv"])
            rows = world.read_rows(path)
            gone = rows.pop(random.randrange(len(rows)))
            ids = p.read("notes").filter(p.read("notes")["id"] == int(gone[0]))["_id"] if len(gone) == 5 else None
            reached = (
                reaches(p, trace(p, "notes", int(ids[0]), limit=None)) if ids is not None and len(ids) else {"notes"}
            )
            world.write_rows(path, rows)
            p.run()
            after = everything(p)
            changed = {name for name in before if before[name] != after[name]}
            assert changed <= reached, (gone, changed - reached)
            changed_in_all, reached_in_all = changed_in_all + len(changed), reached_in_all + len(reached)
    print(f"{kind.__name__} {seed}: {changed_in_all} digests changed of {reached_in_all} in the forward sets")
    assert changed_in_all > 6


def everything(p: Project) -> dict[str, str]:
    """The digest of every table and model."""
    value = digests(p)
    return {name: entry["digest"] for part in value.values() for name, entry in part.items()}


def test_a_thread_is_plain_json(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    small_chunks(monkeypatch)
    world = World(tmp_path / "w", 61)
    with world.open() as p:
        p.run(["cities"])
        thread = trace(p, "cities", int(p.read("cities")["_id"][0]))
        assert json.loads(json.dumps(thread.to_dict())) == thread.to_dict()
