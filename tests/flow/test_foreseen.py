"""A column that a model asks for and its table does not have is told of before anything runs, where it can be known."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.flow.world import KEY
from tillage.core.errors import BadData, ConfigurationError
from tillage.face.rooms import project
from tillage.flow.planner import intents

PLAN = """\
project: columns
tables:
  notes: {collect: {files: "data/*.csv"}, key: id}
  clean:
    from: notes
    steps:
      - normalize: {columns: [text]}
      - rename: {columns: {kind: topic}}
      - drop_duplicates: {columns: [text]}
    expect: [{column: id, not_null: true}]
  sums: {from: clean, steps: [{aggregate: {by: [topic], columns: {n: count()}}}]}
models:
  triage:
    learn: naive_bayes
    from: clean
    input: text
    target: topic
    split: {test: 0.4, group: who}
"""


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TILLAGE_KEY", KEY)
    (tmp_path / "tillage.yaml").write_text(PLAN, encoding="utf-8")
    write(tmp_path, "a.csv", "id,text,kind,who", 0)
    return tmp_path


def write(root: Path, name: str, head: str, first: int) -> None:
    (root / "data").mkdir(exist_ok=True)
    labels = ["xy"[i % 2] if head.endswith("label") else "" for i in range(20)]
    rows = [f"{first + i},text {first + i},{'ab'[i % 2]},w{i},{labels[i]}".rstrip(",") for i in range(20)]
    (root / "data" / name).write_text("\n".join([head, *rows]) + "\n", encoding="utf-8")


def changed(root: Path, old: str, new: str) -> None:
    (root / "tillage.yaml").write_text(PLAN.replace(old, new), encoding="utf-8")


WRONG = [
    ("input: text", "input: txt", "'txt' for its 'input'. Did you mean 'text'?", (16, 12)),
    ("target: topic", "target: zzz", "'zzz' for its 'target'. Known: id, text, topic, who.", (17, 13)),
    ("group: who", "group: whom", "'whom' for its 'group'. Did you mean 'who'?", (18, 31)),
    ("from: clean\n    input", "from: sums\n    input", "'text' for its 'input'. Known: n, topic.", (16, 12)),
    (
        "    learn: naive_bayes\n",
        "    learn: {naive_bayes: {target: tpic}}\n",
        "'tpic' for its 'target'. Did",
        (14, 35),
    ),
]


@pytest.mark.parametrize(("old", "new", "said", "place"), WRONG)
@pytest.mark.parametrize("ran", [True, False])
def test_a_missing_column_is_found_by_check_with_its_place(
    root: Path, old: str, new: str, said: str, place: tuple[int, int], ran: bool
) -> None:
    if ran:
        with project(root) as p:
            p.run()
    text = PLAN.replace(old, new)
    (root / "tillage.yaml").write_text(text.replace("    target: topic\n", "") if "learn: {" in new else text, "utf-8")
    with project(root) as p:
        with pytest.raises(ConfigurationError) as caught:
            p.check(look=True)
        mine = [x for x in caught.value.problems if said in x.message]
        assert [(x.line, x.column) for x in mine] == [place]
        assert mine[0].message.startswith(
            f"Model 'triage': table '{'sums' if 'sums' in new else 'clean'}' has no column"
        )
        with pytest.raises(ConfigurationError, match="Model 'triage': table '"):
            p.run()
        if ran:
            assert len(p.store.versions("notes")) == 1, "nothing ran"
        else:
            assert p.store.latest("clean") is not None, "tables do not wait for the model"


@pytest.mark.parametrize("learner", ["tabular_classifier", "tabular_regressor"])
def test_a_model_with_nothing_to_learn_from_is_refused(tmp_path: Path, learner: str) -> None:
    (tmp_path / "a.csv").write_text("id,who,y\n" + "".join(f"{n},p{n % 9},{n % 7}\n" for n in range(60)))
    plan = (
        "project: p\n"
        "tables:\n"
        "  raw: {collect: {files: a.csv}, key: id, subject: who}\n"
        "models:\n"
        f"  m: {{learn: {learner}, from: raw, target: y}}\n"
    )
    (tmp_path / "tillage.yaml").write_text(plan)
    with project(tmp_path) as p:
        with pytest.raises(ConfigurationError, match="no column to learn 'y' from") as caught:
            p.check(look=True)
        assert [(x.line, x.column) for x in caught.value.problems] == [(5, 22 + len(learner))]
        with pytest.raises(ConfigurationError, match="no column to learn 'y' from"):
            p.run()
    (tmp_path / "tillage.yaml").write_text(plan.replace("target: y", "target: y, input: who, split: {leak: false}"))
    with project(tmp_path) as p:
        p.check(look=True)
        p.run()


TOLD = [
    ('{files: "data/*.csv"}, key: id', '{files: {path: "data/*.csv", types: {kid: text}}}, key: id',
     "'types' of table 'notes': No column is called 'kid'. Did you mean 'kind'?", (3, 57)),
    ("key: id", "key: [id, wo]", "'key' of table 'notes': No column is called 'wo'. Did you mean 'who'?", (3, 53)),
    ("key: id", "key: id, subject: hwo", "'subject' of table 'notes': no row has a column 'hwo': nobody would be found "
     "by it. Did you mean 'who'?", (3, 61)),
]  # fmt: skip
"""What a source is told of columns that it does not have."""


@pytest.mark.parametrize(("old", "new", "said", "place"), TOLD, ids=["types", "key", "subject"])
@pytest.mark.parametrize("ran", [True, False])
def test_a_column_that_a_source_does_not_have(
    root: Path, old: str, new: str, said: str, place: tuple[int, int], ran: bool
) -> None:
    if ran:
        with project(root) as p:
            p.run()
    changed(root, old, new)
    with project(root) as p:
        for ask in (lambda: p.check(look=True), p.run):
            with pytest.raises(ConfigurationError) as caught:
                ask()
            assert [(x.message, x.line, x.column) for x in caught.value.problems] == [(said, *place)]
        if "subject" not in new:
            with pytest.raises(ConfigurationError) as caught:
                intents(p)
            assert [(x.message, x.line, x.column) for x in caught.value.problems] == [(said, *place)]
        assert (p.store.latest("notes") is not None) == ran


def test_a_subject_may_stand_in_what_a_table_is_made_from(root: Path) -> None:
    changed(root, "      - drop_dup", "      - select: {columns: [id, text, topic]}\n      - drop_dup")
    text = (
        (root / "tillage.yaml").read_text("utf-8").replace("    from: notes\n", "    from: notes\n    subject: who\n")
    )
    (root / "tillage.yaml").write_text(text.replace("group: who", "seed: 1"), "utf-8")
    with project(root) as p:
        p.check(look=True)
        p.run()
        assert p.run().changed == []


def test_what_a_changed_source_may_bring_is_not_refused(root: Path) -> None:
    with project(root) as p:
        p.run()
    changed(root, "target: topic", "target: label")
    (root / "data" / "a.csv").unlink()
    write(root, "b.csv", "id,text,kind,who,label", 100)
    with project(root) as p:
        p.check(look=True)
        p.check()
        p.run()
        assert p.model("triage").state["classes"] == ["x", "y"]


def test_a_right_plan_passes_before_and_after_its_first_run(root: Path) -> None:
    with project(root) as p:
        p.check(look=True)
        p.check()
        assert p.store.stages() == []
        p.run()
        p.check()
        write(root, "b.csv", "id,text,kind,who", 100)
        p.check()
        p.run()
        assert p.run().changed == []


def test_what_a_learner_refuses_names_its_model_and_table(root: Path) -> None:
    changed(root, "target: topic", "target: one")
    text = (root / "tillage.yaml").read_text("utf-8")
    text = text.replace("      - drop_dup", "      - derive: {columns: {one: \"'same'\"}}\n      - drop_dup")
    (root / "tillage.yaml").write_text(text, "utf-8")
    with project(root) as p, pytest.raises(BadData, match=r"^Model 'triage' \(table 'clean'\): Column 'one' has the s"):
        p.run()
