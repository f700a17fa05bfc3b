"""`try` and its first look: what each column is taken for, and a plan that can be gone on with."""

from __future__ import annotations

import gzip
import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from tillage.core import UsageError
from tillage.face.first_look import decide
from tillage.face.rooms import registry
from tillage.flow.configuration import load

Ask = Callable[..., dict[str, Any]]
Tell = Callable[..., tuple[int, str, str]]

draw = random.Random(0)
N = 200
COLOURS = ["red", "blue", "green"]
WORDS = [f"word{i}" for i in range(60)]
FRAME = pl.DataFrame(
    {
        "id": range(1, N + 1),
        "uuid": [f"{i * 7919:08x}" for i in range(N)],
        "size": [draw.gauss(0, 1) for _ in range(N)],
        "count": [draw.randint(0, 1000) for _ in range(N)],
        "colour": [COLOURS[i % 3] for i in range(N)],
        "colour_code": [i % 3 for i in range(N)],
        "shop": [draw.choice("abcdefg") for _ in range(N)],
        "same": ["x"] * N,
        "nothing": pl.Series([None] * N, dtype=pl.String),
        "said": [" ".join(draw.choices(WORDS, k=6)) for _ in range(N)],
        "day": [f"2024-01-{1 + i % 28:02d}" for i in range(N)],
        "flag": [draw.random() < 0.5 for _ in range(N)],
        "sometimes": [None if i % 2 else "x" for i in range(N)],
    }
).with_columns(pl.col("day").str.to_date(), double=pl.col("size") * 2)


def roles(target: str) -> dict[str, str]:
    return {one.name: one.role for one in decide(FRAME, target).looks}


def test_each_column_is_taken_for_what_it_is() -> None:
    assert roles("colour") == {
        "id": "id",
        "uuid": "id",
        "size": "number",
        "count": "number",
        "colour": "target",
        "colour_code": "giveaway",
        "shop": "category",
        "same": "constant",
        "nothing": "empty",
        "said": "prose",
        "day": "time",
        "flag": "number",
        "sometimes": "category",
        "double": "number",
    }


def test_classes_and_numbers_are_told_apart() -> None:
    assert decide(FRAME, "colour").learner == "tabular_classifier"
    assert decide(FRAME, "colour_code").task == "classification"
    assert decide(FRAME, "flag").task == "classification"
    assert (decide(FRAME, "size").task, decide(FRAME, "size").learner) == ("regression", "tabular_regressor")
    assert roles("size")["double"] == "giveaway"
    assert decide(FRAME, "count").task == "regression"


def test_numbers_with_strays_are_no_classes() -> None:
    values = [str(n % 60) if n % 20 else "fault" for n in range(300)]
    frame = pl.DataFrame({"x": range(300), "n": [n % 7 for n in range(300)], "y": values})
    with pytest.raises(UsageError, match=r"holds numbers, and in 15 of 300 rows something else \('fault'\)"):
        decide(frame, "y")
    assert decide(frame.with_columns(y=pl.format("c{}", pl.col("x") % 60)), "y").task == "classification"
    assert decide(frame.with_columns(y=pl.format("0{}", pl.col("x") % 60)), "y").task == "classification"


def test_a_mark_for_a_missing_number_is_no_class() -> None:
    values = [str(n % 60) if n % 20 else ("NA", "?", "n/a")[n % 3] for n in range(300)]
    frame = pl.DataFrame({"x": [str(n % 50) if n % 9 else "?" for n in range(300)], "y": values})
    made = decide(frame, "y")
    assert (made.task, made.numbers) == ("regression", ("x", "y"))
    assert {one.name: one.role for one in made.looks} == {"x": "number", "y": "target"}
    assert {one.name: one.missing for one in made.looks} == {"x": 34, "y": 15}


def test_an_identifier_may_repeat_a_little_and_a_part_of_the_answer_is_left_out() -> None:
    count = 400
    frame = pl.DataFrame(
        {
            "id": [n if n % 12 else 7 for n in range(count)],
            "grid": [n % 90 for n in range(count)],
            "heat": [int(n % 16 == 0) for n in range(count)],
            "load": [n % 13 for n in range(count)],
            "fails": [int(n % 16 == 0 or n % 50 == 0) for n in range(count)],
        }
    )
    found = {one.name: one for one in decide(frame, "fails").looks}
    assert {name: one.role for name, one in found.items()} == {
        "id": "id", "grid": "number", "heat": "giveaway", "load": "number", "fails": "target",
    }  # fmt: skip
    assert "is never 1 unless 'fails' is 1 (25 rows)" in found["heat"].why


def test_prose_alone_or_dominating_is_learnt_from_as_text() -> None:
    prose = FRAME.select("id", "colour", "said")
    assert (decide(prose, "colour").learner, decide(prose, "colour").input) == ("text_classifier", ("said",))
    assert decide(FRAME.select("colour", "said", "shop"), "colour").learner == "text_classifier"
    assert decide(FRAME.select("colour", "shop", "size"), "colour").learner == "tabular_classifier"


def test_chinese_prose_is_prose() -> None:
    frame = pl.DataFrame(
        {"评论": [f"这家酒店的房间很{'大小好坏'[i % 4]}第{i}次入住" for i in range(100)], "标签": ["好", "坏"] * 50}
    )
    assert decide(frame, "标签").input == ("评论",)


@pytest.mark.parametrize("zone", ["", "Z", "+08:00"])
def test_texts_that_are_times_are_no_prose(zone: str) -> None:
    frame = pl.DataFrame(
        {"at": [f"2024-01-{1 + i % 28:02d} 10:{i // 28:02d}:00{zone}" for i in range(100)], "y": ["a", "b"] * 50}
    )
    assert {one.name: one.role for one in decide(frame, "y").looks} == {"at": "time", "y": "target"}


def test_a_column_that_is_nearly_always_the_majority_gives_nothing_away() -> None:
    rare = pl.DataFrame({"y": ["no"] * 995 + ["yes"] * 5, "x": [0] * 500 + [1] * 500, "z": list(range(1000))})
    assert {one.name: one.role for one in decide(rare, "y").looks}["x"] == "number"


def test_a_good_column_is_not_taken_away() -> None:
    """Right nine times in ten is a feature, not the answer."""
    y = ["a", "b"] * 100
    x = [("b" if v == "a" else "a") if i % 10 == 0 else v for i, v in enumerate(y)]
    assert {one.name: one.role for one in decide(pl.DataFrame({"x": x, "y": y}), "y").looks}["x"] == "category"


def test_whole_numbers_without_repetition_are_not_always_ids() -> None:
    frame = pl.DataFrame({"price": [i * i + 7 for i in range(50)], "row": range(50), "y": ["a", "b"] * 25})
    found = {one.name: one.role for one in decide(frame, "y").looks}
    assert (found["price"], found["row"]) == ("number", "id")


@pytest.mark.parametrize(
    ("target", "said"),
    [
        ("colur", "Did you mean 'colour'?"),
        ("same", "only the value 'x'"),
        ("nothing", "no value"),
        ("uuid", "seen once"),
    ],
)
def test_targets_that_cannot_be_learnt(target: str, said: str) -> None:
    with pytest.raises(UsageError, match=said.replace("?", r"\?")):
        decide(FRAME, target)


def test_nothing_left_to_learn_from() -> None:
    with pytest.raises(UsageError, match="'same' has the single value"):
        decide(FRAME.select("colour", "same", "id"), "colour")


# ---- the command


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_table_is_tried(here: Path, tell: Tell, ask: Ask) -> None:
    FRAME.write_csv(here / "things.csv")
    code, out, _ = tell("try", "things.csv", "--target", "colour")
    assert code == 0
    assert "left out: 'colour_code' tells 'colour' almost without fail" in out
    assert "baseline" in out
    assert "accuracy" in out
    plan = load(here / "tillage.yaml", registry())
    assert plan.tables["things"].key == ("id",)
    text = (here / "tillage.yaml").read_text()
    assert "# colour_code: tells 'colour' almost without fail" in text
    before = (here / "tillage.yaml").stat()
    value = ask("try", "things.csv", "--target", "colour")
    assert value["schema"] == "tillage.try/1"
    after = (here / "tillage.yaml").stat()
    assert (after.st_ino, after.st_mtime_ns) == (before.st_ino, before.st_mtime_ns), "not written again"
    assert value["run"]["tables"]["things"]["touched"] == 0, "an equal plan is used again"
    assert set(value["dropped"]) == {"id", "uuid", "colour_code", "same", "nothing"}
    model = value["run"]["models"]["model"]
    assert set(model["metrics"]) == set(model["baseline"])
    assert ask("show", "model")["_code"] == 0


def test_numbers_are_tried(here: Path, ask: Ask) -> None:
    FRAME.select("size", "shop", "count", "flag").write_parquet(here / "things.parquet")
    value = ask("try", "things.parquet", "--target", "size")
    assert (value["_code"], value["learner"]) == (0, "tabular_regressor")
    assert "mae" in value["run"]["models"]["model"]["metrics"]


def test_gaps_that_are_marked_and_times_are_tried(here: Path, ask: Ask, tell: Tell) -> None:
    lines = ["seen,load,out"]
    for n in range(300):
        out = ("NA", "-Inf")[n % 2] if n % 25 == 0 else f"{n % 24 * 2 + n / 50:.2f}"
        lines.append(f"2024-{1 + n // 28:02d}-{1 + n % 28:02d} {n % 24:02d}:00,{n % 24},{out}")
    (here / "gauge.csv").write_text("\n".join(lines) + "\n")
    value = ask("try", "gauge.csv", "--target", "out")
    assert value["_code"] == 0
    assert value["task"] == "regression"
    text = (here / "tillage.yaml").read_text()
    assert 'parse_numbers: {columns: {out: ""}, failing: "null"}' in text
    assert "evaluate: {folds: 5, time: seen}" in text
    model = value["run"]["models"]["model"]
    assert model["train"] + model["test"] == 288
    told = ask("show", "model")["cross_validation"]
    assert (told["time"], len(told["folds"])) == ("seen", 5)


def test_text_is_tried_whatever_its_names(here: Path, ask: Ask, tell: Tell) -> None:
    lines = [{"yes": f"{w} weather in {p} today", "no: #'\"": w} for w in ("good", "bad") for p in WORDS]
    (here / "天 气#1 [a].jsonl").write_text("\n".join(json.dumps(line) for line in lines))
    value = ask("try", "天 气#1 [a].jsonl", "--target", "no: #'\"")
    assert (value["_code"], value["learner"], value["input"]) == (0, "text_classifier", ["yes"])
    assert value["run"]["models"]["model"]["metrics"]["accuracy"] > 0.9
    assert ask("run")["_code"] == 0


def test_a_packed_file_in_another_folder(here: Path, ask: Ask) -> None:
    FRAME.select("size", "shop", "colour").write_csv(here / "t.csv")
    (here / "t.csv.gz").write_bytes(gzip.compress((here / "t.csv").read_bytes()))
    value = ask("try", "t.csv.gz", "--target", "colour", "--directory", here / "out" / "deep")
    assert value["_code"] == 0
    assert (here / "out/deep/tillage.yaml").exists()
    assert not (here / "tillage.yaml").exists()
    assert ask("run", "--plan", here / "out/deep")["_code"] == 0


def test_a_plan_that_is_there_is_never_replaced(here: Path, ask: Ask, tell: Tell) -> None:
    FRAME.select("size", "shop", "colour", "flag").write_csv(here / "t.csv")
    (here / "tillage.yaml").write_text("project: mine\n")
    first = ask("try", "t.csv", "--target", "colour")
    assert first["plan"] == "t.tillage.yaml"
    assert (here / "tillage.yaml").read_text() == "project: mine\n"
    assert (here / ".tillage-t/catalog.db").exists()
    assert not (here / ".tillage").exists()
    assert ask("show", "--plan", "t.tillage.yaml")["models"]["model"]["version"] == 1
    third = ask("try", "t.csv", "--target", "flag")
    assert third["_code"] == 2
    assert "--directory" in third["fix"]


def test_mistakes_leave_nothing_behind(here: Path, ask: Ask) -> None:
    FRAME.select("shop", "colour").write_csv(here / "t.csv")
    value = ask("try", "t.csv", "--target", "colur")
    assert value["_code"] == 2
    assert "Did you mean 'colour'?" in value["message"]
    assert ask("try", "none.csv", "--target", "colour")["_code"] == 66
    assert [p.name for p in here.iterdir()] == ["t.csv"]
