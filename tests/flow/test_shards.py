"""Models in shards: what changed costs its shards, what is forgotten leaves no trace in any, a killed run goes on.

Mutations caught, all in `flow/sharding.py`: the sums of the rows left out of a state's key; old states not ended;
finished states not remembered.
"""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any

import pytest

from tests.flow.test_crash import Deaths
from tests.flow.world import KEY, differences, digests
from tillage.core.errors import ConfigurationError
from tillage.core.keys import fraction
from tillage.face.rooms import project
from tillage.flow.run import Project
from tillage.flow.sharding import SHARD
from tillage.promises import estimate, forget
from tillage.store.gc import collect
from tillage.store.verify import verify

PLAN = """\
project: shards
tables:
  notes: {collect: {files: "data/*.csv"}, key: id}
models:
  texts:
    from: notes
    learn: {text_classifier: {input: text, target: kind, shards: 5, slices: 4}}
    split: {test: 0.2}
  kinds:
    from: notes
    learn: {tabular_classifier: {target: kind, input: [n, town], model: linear, shards: 3, slices: 4}}
    split: {test: 0.2}
  numbers: {from: notes, learn: {tabular_regressor: {target: n, shards: 4}}, split: {test: 0.2}}
"""
MODELS = ("texts", "kinds", "numbers")
ROWS = 240


def row(n: int, turn: int = 0) -> str:
    r = Random(n * 10 + turn)
    kind = r.choice(("red", "blue"))
    words = {"red": "rose wine fire", "blue": "sky sea ice"}[kind].split()
    return (
        f"{n},{r.choice(words)} {r.choice(words)} w{n % 17},{kind},{r.choice(('ulm', 'rome', kind))},{r.randint(0, 99)}"
    )


def write(root: Path, rows: dict[int, str]) -> None:
    (root / "data").mkdir(parents=True, exist_ok=True)
    (root / "tillage.yaml").write_text(PLAN)
    lines = ["id,text,kind,town,n", *rows.values()]
    (root / "data" / "a.csv").write_text("\n".join(lines) + "\n")


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TILLAGE_KEY", KEY)
    write(tmp_path / "w", {n: row(n) for n in range(ROWS)})
    return tmp_path / "w"


def never(world: Path, rows: dict[int, str]) -> dict[str, Any]:
    """The digests of a project that has seen these rows alone."""
    root = world.parent / "never"
    write(root, rows)
    with project(root) as p:
        p.run()
        return digests(p)


def told(p: Project) -> dict[str, dict[str, int]]:
    return {name: p.report(name)["shards"] for name in MODELS}


def shards_of(p: Project, model: str, key: int) -> tuple[int, int] | None:
    """The shard and the slice of a row, unless it is on the test side."""
    stage = p.stages[model]
    rows = p.store.frame(stage.inputs["rows"])
    mine = rows.filter(rows["id"] == key)
    if not mine.height or mine["tillage:side"][0] != "train":
        return None
    step: Any = stage.step
    shard, cut = (fraction(mine["_id"], salt)[0] for salt in ("shard", "slice"))
    return int(shard * step.shards), int(cut * (step.slices if step.resumes else 1))


def training(p: Project, model: str) -> dict[tuple[int, int], int]:
    """How many training rows each slice of each shard has, counted one by one."""
    out: dict[tuple[int, int], int] = {}
    for key in p.read("notes")["id"].to_list():
        place = shards_of(p, model, key)
        if place is not None:
            out[place] = out.get(place, 0) + 1
    return out


def test_a_row_forgotten_costs_its_shard_from_its_slice_on(world: Path) -> None:
    rows = {n: row(n) for n in range(ROWS)}
    with project(world) as p:
        first = p.run()
        assert {name: (t["shards"], t["slices"], t["learnt"]) for name, t in told(p).items()} == {
            "texts": (5, 1, 5),
            "kinds": (3, 4, 3),
            "numbers": (4, 1, 4),
        }
        for name in MODELS:
            slices = told(p)[name]["slices"]
            cost = sum(n * (slices - k) for (_, k), n in training(p, name).items())
            assert told(p)[name]["rows"] == cost
            assert first.touched[name] >= cost
        assert any("cannot resume" in w for w in p.report("texts")["warnings"])
        assert not any("resume" in w for w in p.report("kinds")["warnings"])
        seen = set()
        for key in (3, 50, 51):
            place = {name: shards_of(p, name, key) for name in MODELS}
            was = told(p)
            dear = estimate(p, "notes", key=[str(key)])["cost"]["rows"]
            assert dear < (1 / 5 + 1 / 3 + 1 / 4) * len(rows) + 2 * len(rows) + 1, "tables, and a shard of each model"
            forget(p, "notes", key=[str(key)])
            del rows[key]
            for name, at in place.items():
                if at is None:
                    continue
                shard, cut = at
                counted = training(p, name)
                last = told(p)[name]["slices"]
                cost = sum(n * (last - max(k, cut)) for (s, k), n in counted.items() if s == shard)
                assert (told(p)[name]["learnt"], told(p)[name]["rows"]) == (1, cost), (name, key)
                assert cost < was[name]["shards"] * max(counted.values()) * last
                seen.add((name, cut))
            assert p.run().changed == []
        assert {name for name, _ in seen} == set(MODELS)
        assert differences(digests(p), never(world, rows)) == []
        found = verify(p.store)
        assert (found.findings, found.orphans) == ((), 0)


def test_an_update_costs_the_shards_that_it_touches_and_equals_a_rebuild(world: Path) -> None:
    rows = {n: row(n) for n in range(ROWS)}
    with project(world) as p:
        p.run()
        for change in ({7: row(7, 1)}, {ROWS: row(ROWS)}, {7: row(7)}):
            rows |= change
            write(world, rows)
            p.run()
            key = next(iter(change))
            for name in MODELS:
                place = shards_of(p, name, key)
                if place is not None:
                    assert told(p)[name]["learnt"] <= 1
        write(world, {n: r for n, r in rows.items() if n % 30})
        p.run()
        assert differences(digests(p), never(world, {n: r for n, r in rows.items() if n % 30})) == []
        collect(p.store, keep=1)
        found = verify(p.store)
        assert (found.findings, found.orphans) == ((), 0)
        kept = {name: len(p.store.every_chunk(name, SHARD)) for name in MODELS}
        assert kept == {"texts": 5, "kinds": 12, "numbers": 4}, "old states go with their versions"


def test_columns_that_a_learner_was_not_told_to_use_cost_nothing(world: Path) -> None:
    rows = {n: row(n) for n in range(ROWS)}
    with project(world) as p:
        p.run()
        write(world, {n: r.rpartition(",")[0] + ",5" if n == 9 else r for n, r in rows.items()})
        place = {name: shards_of(p, name, 9) for name in MODELS}
        assert place["texts"] is not None
        p.run()
        assert told(p)["texts"]["learnt"] == 0
        assert place["kinds"] is None or told(p)["kinds"]["learnt"] == 1


def test_another_parameter_learns_anew_and_back_again_recalls(world: Path) -> None:
    with project(world) as p:
        p.run()
        before = p.store.latest("texts")
    plan = (world / "tillage.yaml").read_text()
    (world / "tillage.yaml").write_text(plan.replace("target: kind, shards: 5", "target: kind, min_rows: 3, shards: 5"))
    with project(world) as p:
        p.run()
        assert told(p)["texts"]["learnt"] == 5
    (world / "tillage.yaml").write_text(plan)
    with project(world) as p:
        p.run()
        after = p.store.latest("texts")
        assert before is not None
        assert after is not None
        assert told(p)["texts"]["learnt"] == 0
        assert after.facts["digest"] == before.facts["digest"]


def test_a_state_that_is_lost_is_learnt_again_alone(world: Path) -> None:
    with project(world) as p:
        p.run()
        before = digests(p)
        lost = p.store.chunks("texts", SHARD)[2].object
        with p.store.catalog.transaction():
            p.store.catalog.write("DELETE FROM small WHERE name = ?", lost)
            p.store.objects.delete(lost)
    with project(world) as p:
        p.run()
        assert told(p)["texts"]["learnt"] == 1
        assert differences(digests(p), before) == []
        assert not verify(p.store).findings


def test_workers_do_not_show(world: Path, tmp_path: Path) -> None:
    found: list[dict[str, Any]] = []
    for workers in (1, 3):
        root = tmp_path / str(workers)
        write(root, {n: row(n) for n in range(ROWS)})
        with project(root) as opened, Project(opened.plan, opened.registry, workers=workers) as p:
            p.run()
            found.append(digests(p))
    assert differences(found[0], found[1]) == []


def test_an_exact_learner_refuses_shards(world: Path) -> None:
    plan = "  naive: {from: notes, learn: {naive_bayes: {input: text, target: kind, shards: 4}}}\n"
    (world / "tillage.yaml").write_text(PLAN + plan)
    with pytest.raises(ConfigurationError, match=r"tillage.yaml:14.*forgets a row exactly.*leave 'shards' out"):
        project(world)


def test_a_shard_that_cannot_learn_is_told(world: Path) -> None:
    (world / "tillage.yaml").write_text(PLAN.replace("shards: 5", "shards: 150"))
    with project(world) as p:
        p.run(["texts"])
        silent = [w for w in p.report("texts")["warnings"] if "takes no part" in w]
        assert 0 < len(silent) < 150
        assert p.report("texts")["shards"]["shards"] == 150


# -- killed ---------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def deaths() -> Iterator[Deaths]:
    made = Deaths()
    yield made
    made.end()


@pytest.mark.parametrize(("point", "last"), [("memo.commit", 20), ("memo.commit", 7), ("version.commit", 1)])
def test_a_killed_run_goes_on_with_the_shard_that_it_was_at(
    point: str, last: int, world: Path, tmp_path: Path, deaths: Deaths
) -> None:
    """`last`: how many passages before the end of an unbroken run it dies."""
    rows = {n: row(n) for n in range(ROWS)}
    expected = never(world, rows)
    write(tmp_path / "listed", rows)
    passed = deaths.run(tmp_path / "listed", list=True)["passed"].count(point)
    assert deaths.run(world, failpoint=f"{point}:{passed - last + 1}").get("signal") == signal.SIGKILL
    with project(world) as p, project(world.parent / "never") as unbroken:
        p.run()
        again, once = (sum(t["rows"] for t in told(q).values()) for q in (p, unbroken))
        assert again < once, "what was finished is not done again"
        assert differences(digests(p), expected) == []
        collect(p.store)
        assert not verify(p.store).findings
        assert p.run().changed == []
