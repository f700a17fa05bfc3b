"""A row that was made up never tests, and never trains where the row behind it tests: whatever is done to a plan."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest

from tests.flow.world import World, differences, digests, small_chunks, update_equals_rebuild
from tests.laws.accounting import account, agrees
from tillage.augment import AddTypos
from tillage.collect import Files
from tillage.core.errors import ConfigurationError
from tillage.core.rows import ID, ORIGIN, PARENT
from tillage.face.rooms import registry
from tillage.flow.configuration import load
from tillage.flow.run import Project
from tillage.flow.score import score, way
from tillage.flow.stages import SIDE, compile_plan
from tillage.prepare import Split
from tillage.promises import forget, trace
from tillage.store.verify import verify

PLAN = """\
project: world
tables:
  notes: {collect: {files: "data/*.csv"}, key: id, max_quarantine: 1, subject: id}
  more:
    from: notes
    steps:
      - derive: {columns: {label: "if(text like 'a%', 'yes', 'no')", town: "text || ' town'"}}
      - add_typos: {columns: [text], share: 0.5, copies: 3, slips: [neighbour, swap, drop, double]}
      - delete_words: {columns: [text], compound: true, share: 0.5}
      - filter: "n >= 0"
      - drop_duplicates: {columns: [text, city]}
      - balance_classes: {target: label}
  again:
    from: more
    steps:
      - swap_words: {columns: [text, town], compound: true, share: 0.5}
      - add_typos: {columns: [town], share: 1, compound: true, slips: [double]}
      - normalize: {columns: [text]}
models:
  alone: {learn: naive_bayes, from: again, input: text, target: label, split: {test: 0.4, leak: false}}
  grouped: {learn: naive_bayes, from: again, input: text, target: label, split: {test: 0.4, group: id, leak: false}}
  moved: {learn: naive_bayes, from: again, input: text, target: label, split: {test: 0.4, group: town, leak: false}}
  checked: {learn: naive_bayes, from: again, input: text, target: label, split: {test: 0.4}}
"""
MODELS = ("alone", "grouped", "moved", "checked")


def seen(project: Project, model: str) -> pl.DataFrame:
    """The rows that a model learns from and is tested on."""
    return project.store.frame(project.stages[model].inputs["rows"])


def leaks(rows: pl.DataFrame) -> int:
    """Synthetic rows that test, or that train while their origin tests."""
    test, train = rows.filter(pl.col(SIDE) == "test"), rows.filter(pl.col(SIDE) == "train")
    return int(test[ORIGIN].count() + train[ORIGIN].is_in(test[ID].implode()).sum())


@pytest.mark.parametrize("seed", [0, 3])
def test_children_never_leak_and_updates_are_rebuilds(
    seed: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    small_chunks(monkeypatch)
    world = World(tmp_path / "w", seed, PLAN)
    with world.open() as kept:
        kept.run()
        for n in range(2):
            outcome = kept.run()
            for table in ("more", "again"):
                assert agrees(kept.summary(outcome)["tables"][table], account(kept, table)) == []
            for model in MODELS:
                rows = seen(kept, model)
                made = rows.filter(pl.col(ORIGIN).is_not_null())
                assert made.height > 3, model
                assert leaks(rows) == 0, model
                if model != "checked":  # a real row never leaves, on whichever side it stands
                    assert rows[ORIGIN].null_count() == kept.store.frame("again")[ORIGIN].null_count(), model
            moved = [kept.summary()["models"][m]["left"].get("leak", 0) for m in MODELS]
            assert min(moved) > 0  # there was something to keep apart
            with world.open(f"rebuild{n}") as fresh:
                fresh.run()
                if n == 0:  # later on the pin of the balance is another
                    assert differences(digests(kept, outcome), digests(fresh)) == []
            assert not verify(kept.store).findings
            for _ in range(2):
                world.edit()


def test_an_update_makes_the_children_that_a_rebuild_makes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    small_chunks(monkeypatch)
    lean = PLAN.replace("      - balance_classes: {target: label}\n", "").splitlines()
    world = World(tmp_path / "w", 5, "\n".join(lean[:-4] + lean[-2:-1]))
    update_equals_rebuild(world, 2)


def test_who_is_forgotten_takes_the_rows_made_of_them_along(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    small_chunks(monkeypatch)
    world = World(tmp_path / "w", 1, PLAN)
    with world.open() as p:
        p.run()
        rows = p.store.frame("again")
        someone = rows.filter(pl.col(ORIGIN).is_not_null())[ORIGIN][0]
        who = p.read("notes").filter(pl.col(ID) == someone)["id"][0]
        family = rows.filter((pl.col(ID) == someone) | (pl.col(ORIGIN) == someone))
        assert family.height > 1
        forget(p, "notes", subject=[str(who)])
        for table in ("notes", "more", "again"):
            left = p.store.frame(table)
            assert not left[ID].is_in(family[ID].implode()).any()
            assert ORIGIN not in left.columns or not (left[ORIGIN] == someone).any()


def test_a_row_that_is_scored_passes_the_steps_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    small_chunks(monkeypatch)
    world = World(tmp_path / "w", 2, PLAN)
    with world.open() as p:
        p.run()
        taken = way(p, "again")
        assert [m.name() for m in taken.maps] == ["derive", "filter", "normalize"]
        told = {"add_typos of more", "delete_words of more", "drop_duplicates of more", "balanced_classes of more"}
        assert set(taken.passed_over) == told | {"swap_words of again", "add_typos of again"}
        raw = pl.DataFrame({"id": [1], "text": ["apple"], "city": ["Ulm"], "x": [0.5], "n": [1]})
        answer = score(taken, p.model("alone"), raw)
        assert answer["prediction"].to_list() in (["yes"], ["no"])
        assert [m.name() for m in p.maps("again")] == ["derive", "filter", "normalize"]


def plan(steps: str, after: str = "") -> str:
    return f'tables:\n  notes: {{collect: {{files: "*.csv"}}}}\n  more: {{from: notes, steps: [{steps}]}}\n{after}'


@pytest.mark.parametrize(
    ("steps", "after", "said"),
    [
        ("{add_typos: {columns: [text]}}, {aggregate: {by: [city], columns: {n: count()}}}", "", "aggregate"),
        ("{add_typos: {columns: [text]}}", "  s: {from: more, steps: [{aggregate: {by: [c], columns: {n: count()}}}]}",
         "add_typos"),
        ("{add_typos: {columns: [text]}}, {add_typos: {columns: [text]}}", "", "twice"),
    ],
)  # fmt: skip
def test_what_would_lose_sight_of_them_is_refused(steps: str, after: str, said: str, tmp_path: Path) -> None:
    (tmp_path / "tillage.yaml").write_text(plan(steps, after), encoding="utf-8")
    with pytest.raises(ConfigurationError, match=said):
        compile_plan(load(tmp_path / "tillage.yaml", registry()), registry())


def test_a_split_in_a_table_lets_go_of_them_too() -> None:
    rows = pl.DataFrame({"text": [f"some words {i}" for i in range(200)]})
    rows = rows.with_columns(_id=(pl.int_range(200) + 1).cast(pl.UInt128))
    made = AddTypos(columns=("text",), copies=2, slips=("double",)).apply(rows)
    out = Split(test=0.3).apply(made)
    side = dict(out.filter(pl.col(PARENT).is_null()).select(ID, "split").rows())
    for origin, where, reason in out.filter(pl.col(PARENT).is_not_null()).select(ORIGIN, "split", "_reason").rows():
        assert where == side[origin]
        assert reason == ("leak" if where == "test" else None)
    assert 0 < out["_reason"].count() < 200
    assert Files(path="*.csv").synthetic is False


def test_a_row_that_was_made_up_is_traced_to_its_record(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    small_chunks(monkeypatch)
    world = World(tmp_path / "w", 2, PLAN)
    with world.open() as p:
        p.run(["again"])
        rows = p.store.frame("again").filter(pl.col(ORIGIN).is_not_null())
        for child, origin in (rows.select(ID, ORIGIN).row(n) for n in (0, -1)):
            found, waiting = set(), [trace(p, "again", child)]
            while waiting:
                node = waiting.pop()
                found.add(node.label)
                waiting += [edge.node if hasattr(edge, "node") else edge for edge in node.back]
            real = trace(p, "notes", origin)
            assert {n.label for n in real.back} <= found
