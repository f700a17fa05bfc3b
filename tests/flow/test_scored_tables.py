"""A table that a model scores: new rows cost themselves, a new model all of them, and the thread holds through it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.flow.world import COLLECTED, KEY, World, differences, digests, small_chunks, update_equals_rebuild
from tillage.core.errors import BadData, ConfigurationError, InputMissing
from tillage.face.rooms import project, registry
from tillage.flow.configuration import load, parse
from tillage.flow.run import Project
from tillage.flow.scored import Score
from tillage.flow.writing import to_yaml
from tillage.promises import forget, trace
from tillage.store.verify import verify

PLAN = """\
project: scored
tables:
  taught: {collect: {files: "taught/*.csv"}, key: id, subject: who}
  inbox: {collect: {files: "inbox/*.csv"}, key: id, subject: who}
  ready: {from: inbox, steps: [{normalize: {columns: [text]}}]}
  told:
    from: ready
    steps:
      - filter: {where: "text is not null", reason: silent}
    score: tone
    expect: [{column: confidence, min: 0, max: 1}]
models:
  tone: {learn: naive_bayes, from: taught, input: text, target: y, split: {leak: false}}
"""


class Shop:
    def __init__(self, root: Path, plan: str = PLAN) -> None:
        self.root = root
        (root / "tillage.yaml").write_text(plan)
        for folder in ("taught", "inbox"):
            (root / folder).mkdir()

    def teach(self, name: str, numbers: range, good: str = "sun", bad: str = "rain") -> None:
        lines = [f"{n},p{n},{(good, bad)[n % 2]} number {n},{('good', 'bad')[n % 2]}" for n in numbers]
        self._write(f"taught/{name}", "id,who,text,y", lines)

    def come(self, name: str, numbers: range, text: str = "") -> None:
        lines = [f"{n},p{n},{text or ('sun', 'rain')[n % 2]}" for n in numbers]
        self._write(f"inbox/{name}", "id,who,text", lines)

    def _write(self, name: str, head: str, lines: list[str]) -> None:
        (self.root / name).write_text("\n".join([head, *lines]) + "\n")


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Shop:
    monkeypatch.setenv("TILLAGE_KEY", KEY)
    made = Shop(tmp_path)
    made.teach("a.csv", range(40))
    made.come("a.csv", range(100, 120))
    return made


@pytest.fixture
def scored(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many rows the model was asked about, call by call."""
    asked: list[int] = []
    apply = Score.apply

    def counted(self: Score, rows: Any) -> Any:
        asked.append(rows.height)
        return apply(self, rows)

    monkeypatch.setattr(Score, "apply", counted)
    return asked


def alone(shop: Shop) -> Project:
    """With one thread, so that the order of what is done is known."""
    steps = registry().within(shop.root)
    return Project(load(shop.root / "tillage.yaml", steps), steps, workers=1)


def test_new_rows_cost_themselves_and_a_new_model_all_of_them(shop: Shop, scored: list[int]) -> None:
    with project(shop.root) as p:
        p.run()
        rows = p.read("told")
        assert set(rows.columns) == {"_id", "id", "who", "text", "prediction", "confidence"}
        assert set(rows.select("text", "prediction").rows()) == {("sun", "good"), ("rain", "bad")}
        assert sum(scored) == 20
        scored.clear()
        shop.come("b.csv", range(200, 203))
        outcome = p.run()
        assert (outcome.touched["told"], sum(scored)) == (6, 3), "three rows scored, three checked"
        assert "tone" not in outcome.changed
        assert p.read("told").height == 23
        assert p.run().changed == []
        scored.clear()
        (shop.root / "inbox/b.csv").unlink()
        p.run()
        assert (p.read("told").height, sum(scored)) == (20, 0), "what leaves costs no answer"
        shop.teach("b.csv", range(40, 80), good="rain", bad="sun")
        shop.teach("c.csv", range(80, 200), good="rain", bad="sun")
        p.run()
        assert sum(scored) == 20
        assert set(p.read("told").select("text", "prediction").rows()) == {("sun", "bad"), ("rain", "good")}
        assert not verify(p.store).findings


def test_the_reason_of_a_row_without_an_answer_is_in_the_ledger(shop: Shop) -> None:
    (shop.root / "inbox/b.csv").write_text("id,who,text\n300,p300,\n")
    with project(shop.root) as p:
        p.run()
        assert p.read("told").height == 20
        assert p.summary()["tables"]["told"]["dropped"] == {"silent": 1}


def test_what_was_answered_before_a_death_is_not_asked_again(
    shop: Shop, scored: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    small_chunks(monkeypatch)
    with alone(shop) as p:
        p.run(["tone", "ready"])
        apply = Score.apply

        def dies(self: Score, rows: Any) -> Any:
            if len(scored) == 3:
                raise KeyboardInterrupt
            return apply(self, rows)

        with monkeypatch.context() as patch:
            patch.setattr(Score, "apply", dies)
            with pytest.raises(KeyboardInterrupt):
                p.run()
    assert 0 < sum(scored) < 20
    with alone(shop) as p:
        p.run()
        assert p.read("told").height == 20
    assert sum(scored) == 20, "each row was asked about once"


def test_who_is_forgotten_leaves_what_was_scored_and_what_the_model_had_learnt(shop: Shop) -> None:
    shop.teach("z.csv", range(7000, 7002), good="zebulon", bad="zebulon")
    shop.come("z.csv", range(7001, 7003), "zebulon")
    with project(shop.root) as p:
        p.run()
        before = p.store.latest("told")
        assert before is not None
        forget(p, "taught", subject=["p7000", "p7001"])
        assert "zebulon" not in p.model("tone").state["vocabulary"]
        assert max(p.read("told")["id"].to_list()) == 7002, "a row of somebody else stays"
        assert 7001 not in p.read("told")["id"].to_list()
        with pytest.raises(InputMissing, match="was erased"):
            p.read("told", before.version)  # scored by a model that had learnt from them
        kept = p.read("told").sort("id")
        assert p.run().changed == []
        assert not verify(p.store).findings
    for path in (shop.root / "taught/z.csv", shop.root / "inbox/z.csv"):
        path.unlink()
    shop.come("z.csv", range(7002, 7003), "zebulon")
    with project(shop.root) as p:
        p.run()
        assert p.read("told").sort("id").drop("_id").equals(kept.drop("_id")), "as if they had never been there"


def test_an_erasure_after_which_the_model_cannot_be_learnt_takes_its_answers(shop: Shop) -> None:
    (shop.root / "taught/a.csv").write_text("id,who,text,y\n1,a,sun,good\n2,a,sun,good\n3,a,sun,good\n4,b,rain,bad\n")
    plan = PLAN.replace("split: {leak: false}", "split: {test: 0.01, leak: false}")
    (shop.root / "tillage.yaml").write_text(plan)
    with project(shop.root) as p:
        p.run()
        told, _ = forget(p, "taught", subject=["b"])
        assert "tone could not be trained" in told["notes"][0]
        with pytest.raises(InputMissing):
            p.read("told")
        assert not verify(p.store).findings
        with pytest.raises(BadData):
            p.run()


def test_a_run_without_a_scored_table_loads_nothing_of_scoring(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("id,n\n1,2\n")
    (tmp_path / "tillage.yaml").write_text("project: p\ntables: {notes: {collect: {files: '*.csv'}, key: id}}\n")
    script = "import sys, tillage.face.main as m; code = m.ended(['run'])"
    script += "; sys.exit(code or 'tillage.flow.score' in sys.modules)"
    subprocess.run([sys.executable, "-c", script], cwd=tmp_path, check=True)


def test_an_answer_is_traced_to_its_record_and_to_the_model(shop: Shop) -> None:
    with project(shop.root) as p:
        p.run()
        row = p.read("told").filter(id=100)["_id"][0]
        thread = trace(p, "told", row)
        assert any(node.startswith("record:inbox/a.csv") for node in thread.thread.items), list(thread.thread.items)
        assert any(node.startswith("tone@") for node in thread.thread.items), list(thread.thread.items)
        mine = p.read("taught").filter(id=3)["_id"][0]
        ahead = trace(p, "taught", mine)
        assert any(node.startswith("told@") for node in ahead.thread.items), list(ahead.thread.items)


WORLD = (
    COLLECTED
    + """\
  clean:
    from: notes
    steps:
      - derive: {columns: {label: "if(text like 'a%', 'yes', 'no')"}}
      - filter: "n >= 0"
  told: {from: lines, steps: [{select: {columns: [text, n]}}, {derive: {columns: {double: "n * 2"}}}], score: bayes}
  sure: {from: told, steps: [{filter: "confidence > 0.6"}, {rename: {columns: {prediction: said}}}]}
  counts: {from: sure, steps: [{aggregate: {by: [said], columns: {rows: count()}}}]}
models:
  bayes: {learn: naive_bayes, from: clean, input: text, target: label, split: {test: 0.3}}
  next: {learn: naive_bayes, from: sure, input: text, target: said, split: {test: 0.3}}
"""
)


@pytest.mark.parametrize("seed", range(3))
def test_update_equals_rebuild(seed: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    small_chunks(monkeypatch)
    world = World(tmp_path, seed, WORLD)
    for n in range(6):
        world.write_lines(f"k{n}.jsonl")
    update_equals_rebuild(world, 3)


def test_one_thread_and_two_give_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    small_chunks(monkeypatch)
    world = World(tmp_path, 0, WORLD)
    for n in range(6):
        world.write_lines(f"k{n}.jsonl")
    found = []
    for n, workers in enumerate((1, 2)):
        with world.open(f"store{n}", workers=workers) as p:
            p.run()
            found.append(digests(p))
    assert differences(found[0], found[1]) == []


# ---- the plan

HEAD = "project: p\ntables:\n  a: {collect: {files: a.csv}}\n"
MODEL = "models: {m: {learn: naive_bayes, from: a, input: t, target: y}}\n"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (f"{HEAD}  b: {{from: a, score: n}}\n{MODEL}", "4:23  No model is called 'n'. Known: m."),
        (f"{HEAD}  b: {{from: a, score: 7}}\n{MODEL}", "4:23  'score' of table 'b' must be text"),
        (
            f"{HEAD}  b: {{from: a, score: m}}\n{MODEL.replace('from: a', 'from: b')}",
            "4:23  Tables are made from each other, or refer to each other, and the model 'm', in a circle: b <- b.",
        ),
        (
            f"{HEAD}  b: {{from: a, score: m}}\n  c: {{from: b}}\n{MODEL.replace('from: a', 'from: a, test_from: c')}",
            "in a circle: b <- c <- b.",
        ),
    ],
)
def test_the_plan_is_checked(text: str, said: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError) as error:
        parse(text, tmp_path, registry())
    assert said in str(error.value)


def test_a_plan_is_written_as_it_was_read(tmp_path: Path) -> None:
    plan = parse(PLAN, tmp_path, registry())
    assert plan.tables["told"].score == "tone"
    assert parse(to_yaml(plan, registry()), tmp_path, registry()) == plan


@pytest.mark.parametrize(
    ("steps", "said"),
    [
        (
            "{rename: {columns: {text: texts}}}",
            "10:12  Table 'told' has no column 'text' before model 'tone', which",
        ),
        (
            "{derive: {columns: {prediction: id}}}",
            "10:12  Table 'told' has a column 'prediction', which model 'tone'",
        ),
    ],
)
def test_rows_that_the_model_cannot_take_are_told_before_anything_runs(steps: str, said: str, shop: Shop) -> None:
    plan = PLAN.replace("""- filter: {where: "text is not null", reason: silent}""", f"- {steps}")
    (shop.root / "tillage.yaml").write_text(plan)
    with project(shop.root) as p:
        with pytest.raises(ConfigurationError) as error:
            p.check(look=True)
        assert said in str(error.value)
        assert p.store.latest("taught") is None


@pytest.mark.parametrize(
    ("steps", "said"),
    [
        ("{rename: {columns: {text: words}}}", "Column 'text', which model 'tone' needs, is missing"),
        ("{derive: {columns: {confidence: id}}}", "which model 'tone' would write over"),
    ],
)
def test_rows_that_the_model_cannot_take_are_told(
    steps: str, said: str, shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = PLAN.replace("""- filter: {where: "text is not null", reason: silent}""", f"- {steps}")
    (shop.root / "tillage.yaml").write_text(plan)
    monkeypatch.setattr("tillage.flow.run.unscorable", lambda *_: ())  # where it cannot be known before
    with project(shop.root) as p, pytest.raises(ConfigurationError) as error:
        p.run()
    assert "Table 'told'" in str(error.value)
    assert said in str(error.value)
