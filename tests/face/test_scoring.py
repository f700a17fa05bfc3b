"""`score`: a file goes in and a file comes out, record for record."""

from __future__ import annotations

import csv
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pytest

import tillage
from tillage.core.errors import UsageError
from tillage.face.scoring import guarded
from tillage.flow import score as scoring
from tillage.serve.routing import services_of

Ask = Callable[..., dict[str, Any]]
Tell = Callable[..., tuple[int, str, str]]
SOURCE = Path(tillage.__file__).parents[1]


def read(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_each_record_has_its_line(garden: Path, ask: Ask) -> None:
    (garden / "新.csv").write_text(
        "备注,text,id\n=1+1,lice sit on beans,5\n甲,short\n乙,skip me,6\n"
        "-2,the drip hose leaks,x7\n@x,the  soil is DRY,8\n"
    )
    value = ask("score", "topic", "--input", "新.csv", "--output", "out.csv")
    assert (value["_code"], value["rows"], value["predicted"], value["bad"]) == (0, 5, 2, {"short_row": 1})
    assert value["passed_over"] == ["drop_duplicates of clean"]
    assert (value["from"], value["model"], value["version"]) == ("notes", "topic", 1)
    rows = read(garden / "out.csv")
    assert list(rows[0]) == ["备注", "text", "id", "prediction", "confidence", "error"]
    assert [r["备注"] for r in rows] == ["'=1+1", "", "乙", "'-2", "'@x"]
    assert [r["prediction"] for r in rows] == ["pests", "", "", "", "watering"]
    assert rows[1]["error"].startswith("short_row: ")
    assert rows[2]["error"] == "skipped"
    assert rows[3]["error"] == "'x7' in column 'id' is not a whole number"
    assert rows[4]["text"] == "the  soil is DRY", "the columns of the file stay as they came"
    assert sorted(p.name for p in garden.iterdir() if p.name.startswith(".")) == [".tillage"]


def test_json_values_are_given_back_as_they_came(garden: Path, ask: Ask) -> None:
    came = [
        '{"text": "lice", "id": 5, "x": 1}',
        "",
        '{"text": "dry", "id": 6, "x": "1"}',
        "{bad",
        '{"text": "t", "x": [1.5, "a"], "id": 7}',
    ]
    (garden / "in.jsonl").write_text("\n".join([*came, '{"text": "u\u2028v\x85", "id": 8, "x": true}']) + "\n")
    value = ask("score", "topic", "--input", "in.jsonl", "--output", "out.jsonl")
    assert (value["_code"], value["rows"]) == (0, 5)
    rows = [json.loads(line) for line in (garden / "out.jsonl").read_text("utf-8").split("\n")[:-1]]
    assert [row["x"] for row in rows] == [1, "1", None, [1.5, "a"], True]
    assert [row["id"] for row in rows] == [5, 6, None, 7, 8]
    assert rows[2]["error"].startswith("bad_json")
    assert all(row["prediction"] for row in rows if not row["error"])


def test_the_guard_can_be_switched_off_and_is_for_csv_alone(garden: Path, ask: Ask) -> None:
    (garden / "in.jsonl").write_text('{"text": "=lice", "id": 5}\n')
    for name, extra, shown in (("a.csv", [], "'=lice"), ("b.csv", ["--no-guard"], "=lice")):
        assert ask("score", "topic", "--input", "in.jsonl", "--output", name, *extra)["_code"] == 0
        assert read(garden / name)[0]["text"] == shown
    ask("score", "topic", "--input", "in.jsonl", "--output", "c.jsonl")
    assert json.loads((garden / "c.jsonl").read_text())["text"] == "=lice"
    ask("score", "topic", "--input", "in.jsonl", "--output", "d.parquet")
    assert pl.read_parquet(garden / "d.parquet")["text"].to_list() == ["=lice"]
    ask("score", "topic", "--input", "in.jsonl", "--output", "e.txt", "--format", "jsonl")
    assert json.loads((garden / "e.txt").read_text())["text"] == "=lice"


def test_names_of_columns_are_guarded_too() -> None:
    frame = pl.DataFrame({"=cmd": ["\tx", "\rx", "+x", "x=", None], "n": [-1, 2, 3, 4, 5]})
    assert guarded(frame).to_dict(as_series=False) == {
        "'=cmd": ["'\tx", "'\rx", "'+x", "x=", None],
        "n": [-1, 2, 3, 4, 5],
    }


def test_text_stays_the_text_that_was_written(garden: Path, ask: Ask) -> None:
    """A column that the table holds as text is not read as numbers, though the file alone would be."""
    (garden / "in.csv").write_text("text,id\n2.50,1\n3,2\n")
    ask("score", "topic", "--input", "in.csv", "--output", "out.jsonl")
    assert [json.loads(line)["text"] for line in (garden / "out.jsonl").read_text().splitlines()] == ["2.50", "3"]


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("topc", "--input", "in.csv", "--output", "o.csv"), 2, "Did you mean 'topic'?"),
        (("topic", "--input", "in.csv", "--output", "o.xlsx"), 2, "o.xlsx"),
        (("topic", "--input", "in.csv", "--output", "in.csv"), 2, "replace the input"),
        (("topic", "--input", "no.csv", "--output", "o.csv"), 66, "no.csv"),
        (("topic", "--input", "in.csv", "--output", "no/o.csv"), 66, "no folder"),
        (("topic", "--input", "other.csv", "--output", "o.csv"), 65, "the nearest name is 'txt'"),
        (("topic", "--input", "in.csv", "--output", "o.csv", "--from", "counts"), 2, "No row comes from 'counts'"),
        (("topic", "--input", "empty.csv", "--output", "o.csv"), 65, "empty"),
    ],
)
def test_what_cannot_be_scored(garden: Path, ask: Ask, words: tuple[str, ...], code: int, said: str) -> None:
    (garden / "in.csv").write_text("text,id\nx,1\n")
    (garden / "other.csv").write_text("txt,id\nx,1\n")
    (garden / "empty.csv").write_text("")
    value = ask("score", *words)
    assert value["_code"] == code
    assert said in value["message"]
    assert not (garden / "o.csv").exists()


def test_a_failure_leaves_the_former_output(garden: Path, ask: Ask, monkeypatch: pytest.MonkeyPatch) -> None:
    (garden / "in.csv").write_text("text,id\nx,1\n")
    (garden / "o.csv").write_text("before")

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(pl.DataFrame, "write_csv", full)
    assert ask("score", "topic", "--input", "in.csv", "--output", "o.csv")["_code"] == 69
    assert (garden / "o.csv").read_text() == "before"


def many_rows(n: int) -> str:
    """A CSV of rows of which some are bad, turned away or unreadable."""
    texts = ("lice sit on leaf", "the drip hose leaks at", "skip me", "dry soil of bed")
    lines = [f"{texts[i % 4]}{'' if i % 4 == 2 else f' {i}'},{'x' if i % 9 == 4 else i}" for i in range(n)]
    return "text,id\n" + "\n".join("short" if i % 10 == 7 else line for i, line in enumerate(lines)) + "\n"


KILLED = """\
import sys
from tillage.face.main import ended
from tillage.flow import kept_answers, score
score.SLICE, kept_answers.SAVE_SECONDS = 20, 0
sys.exit(ended(sys.argv[1:]))
"""


@pytest.mark.parametrize("form", ["csv", "jsonl", "parquet"])
def test_a_killed_scoring_goes_on_where_it_was(
    garden: Path, tmp_path: Path, ask: Ask, form: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And writes what an unbroken one would have, byte for byte."""
    shutil.copytree(garden, tmp_path / "unbroken")
    (garden / "in.csv").write_text(many_rows(100))
    (garden / f"out.{form}").write_text("before")
    words = ("score", "topic", "--input", "in.csv", "--output", f"out.{form}")
    died = subprocess.run(
        [sys.executable, "-c", KILLED, *words],
        env={**os.environ, "PYTHONPATH": str(SOURCE), "TILLAGE_FAILPOINT": "memo.commit:3"},
        check=False,
    )
    assert died.returncode == -signal.SIGKILL
    assert (garden / f"out.{form}").read_text() == "before"
    scoring._positions()  # kept for slices of every length
    monkeypatch.setattr(scoring, "SLICE", 20)
    value = ask(*words)
    assert (value["_code"], value["rows"], value["anew"]) == (0, 100, 90 - 40)
    whole = garden / f"whole.{form}"
    unbroken = ask(*words[:4], "--output", whole, "--plan", tmp_path / "unbroken")
    assert unbroken["anew"] == 90
    assert (garden / f"out.{form}").read_bytes() == whole.read_bytes()
    assert sorted(p.name for p in garden.iterdir() if p.name.startswith(".")) == [".tillage"]


def test_a_file_that_grew_is_answered_where_it_is_new(garden: Path, ask: Ask, tell: Tell) -> None:
    words = ("score", "topic", "--input", "in.csv", "--output")
    (garden / "in.csv").write_text(many_rows(50))
    assert ask(*words, "out.csv")["anew"] == 45
    (garden / "in.csv").write_text(many_rows(60))
    code, out, _ = tell(*words, "out.csv")
    assert code == 0
    assert "Answered 8 of 54 rows anew" in out, "of nine new rows one is like another of its slice"
    assert tell(*words, "again.jsonl")[1].count("Answered 0 of 54 rows anew") == 1, "whatever is written"
    assert ask("gc")["_code"] == 0
    assert ask(*words, "whole.csv")["anew"] == 54
    assert (garden / "whole.csv").read_bytes() == (garden / "out.csv").read_bytes()
    assert "anew" not in tell("score", "topic", "--input", "in.csv", "--output", "out.csv", "--from", "clean")[1]


PLAN = """\
tables:
  a: {collect: {files: a.csv}}
  b: {collect: {files: b.csv}}
  both: {from: [a, b], steps: [{normalize: {columns: [text], lower: true}}]}
  days: {from: both, steps: [{aggregate: {by: [text, y], columns: {n: count()}}}]}
models:
  plain: {learn: naive_bayes, from: both, input: text, target: y, split: {leak: false}}
  grouped: {learn: naive_bayes, from: days, input: text, target: y, split: {leak: false}}
services:
  daily: {from: a, model: grouped}
"""


def test_several_ways_and_groups(tmp_path: Path, ask: Ask, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in "ab":
        lines = [f"{word} {name}{i},{word}" for i in range(40) for word in ("red", "blue")]
        (tmp_path / f"{name}.csv").write_text("text,y\n" + "\n".join(lines) + "\n")
    (tmp_path / "tillage.yaml").write_text(PLAN)
    assert ask("run")["_code"] == 0
    (tmp_path / "in.csv").write_text("text\nRED thing\n")
    files = ("--input", "in.csv", "--output", "out.csv")
    unclear = ask("score", "plain", *files)
    assert unclear["_code"] == 2
    assert "several tables: a, b" in unclear["message"]
    assert ask("score", "plain", *files, "--from", "a")["predicted"] == 1
    assert read(tmp_path / "out.csv")[0]["prediction"] == "red"
    assert read(tmp_path / "out.csv")[0]["text"] == "RED thing"
    refused = ask("score", "grouped", *files, "--from", "a")
    assert refused["_code"] == 2
    assert "aggregate of days makes rows out of many" in refused["message"]
    assert ask("score", "grouped", *files, "--from", "days")["predicted"] == 1
    with (
        tillage.project(tmp_path) as p,
        pytest.raises(UsageError, match=r"service 'daily': .* aggregate of days") as served,
    ):
        services_of(p, print)
    fix = "Score rows that are like those of 'days': --from days (of a service, from: days)."
    assert (refused["fix"], served.value.fix) == (fix, fix)


RANK = """\
import polars as pl
from tillage.core import Whole

class Rank(Whole):
    def compute(self, inputs):
        return inputs["rows"].with_columns(rank=pl.col("text").rank("dense"))
"""


def test_a_step_that_adds_columns_from_all_rows_is_refused(garden: Path, ask: Ask) -> None:
    (garden / "ranks.py").write_text(RANK)
    (garden / "tillage.yaml").write_text(
        "tables:\n  notes: {collect: {files: data/*.csv}, key: id}\n  ranked: {from: notes, steps: [ranks.Rank]}\n"
        "models:\n  m: {learn: naive_bayes, from: ranked, input: text, target: topic, split: {leak: false}}\n"
    )
    assert ask("run")["_code"] == 0
    (garden / "in.csv").write_text("text\nx\n")
    value = ask("score", "m", "--input", "in.csv", "--output", "o.csv")
    assert value["_code"] == 2
    assert "rank of ranked makes rows out of many" in value["message"]


def test_an_untrained_model(garden: Path, ask: Ask) -> None:
    plan = (garden / "tillage.yaml").read_text()
    later = "  later: {learn: naive_bayes, from: clean, input: text, target: topic}\n"
    (garden / "tillage.yaml").write_text(plan + later)
    (garden / "in.csv").write_text("text\nx\n")
    value = ask("score", "later", "--input", "in.csv", "--output", "o.csv")
    assert value["_code"] == 66
    assert "tillage run" in value["fix"]
