"""Plans and files of somebody clumsy or hostile: each is told what is wrong, none meets a mistake of ours."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from tillage.face import failure, main

Ask = Callable[..., dict[str, Any]]

TABLES = """\
tables:
  a: {collect: {files: a.csv}, key: id}
"""
STEP = TABLES + "  b:\n    from: a\n    steps:\n      - "
MODEL = TABLES + "models:\n  m: "


@pytest.fixture
def field(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    lines = [f"{i},{i * 1.5},text number {i % 7},{'ab'[i % 2]}" for i in range(30)]
    (tmp_path / "a.csv").write_text("\n".join(["id,x,t,y", *lines]) + "\n")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    ("plan", "said"),
    [
        ('tables: {a: {collect: {files: "\\ud800.csv"}}}', "half of a character, \\ud800"),
        (STEP + "derive: {columns: {\"z\\0\": 'x'}}", "'columns.z\0' of Derive must be text that"),
        (STEP + "filter: {where: \"t = '\\udfff'\"}", "half of a character, \\udfff"),
        (STEP + "derive: {columns: {}}", "'columns' of Derive must be a mapping of at least 1, got a mapping."),
        ("x: 1:" + "59:" * 5000 + "1", "cannot be read as int"),
        ("x: 0" + "7" * 5000, "cannot be read as int"),
        (STEP + f"fill_missing: {{columns: [x], with: constant, value: {'9' * 50}}}", "which has no room for 9999"),
        (STEP + f"fill_missing: {{columns: [id], with: constant, value: {1 << 63}}}", "which has no room for 9223372"),
        (STEP + "normalize: {columns: [t, t]}", "'columns' of Normalize: it names 't' twice."),
        (STEP + "aggregate: {by: [y, y], columns: {n: count()}}", "'by' of Aggregate: it names 'y' twice."),
        (
            MODEL + "{learn: naive_bayes, from: a, input: [t, t], target: y}",
            "'input' of NaiveBayes: it names 't' twice.",
        ),
        (MODEL + "{learn: naive_bayes, from: a, input: y, target: y}", "'input' names 'y', the target"),
        (MODEL + "{learn: tabular_classifier, from: a, input: [x, y], target: y}", "'input' names 'y', the target"),
    ],
)
def test_a_plan_that_cannot_be_meant(field: Path, ask: Ask, plan: str, said: str) -> None:
    (field / "tillage.yaml").write_text(plan)
    told = ask("run")
    assert told["_code"] == 78, told
    problems = (
        told["problems"] if "problems" in told else told["error"]["problems"]
    )  # before anything is read, or after
    assert any(said in problem["message"] for problem in problems), told


def test_records_without_a_value_make_no_table_alone_and_rows_beside_others(field: Path, ask: Ask) -> None:
    (field / "tillage.yaml").write_text("tables:\n  a: {collect: {files: '*.jsonl'}}\n")
    (field / "1.jsonl").write_text("{}\n{}\n")
    told = ask("run")
    assert (told["_code"], told["error"]["message"]) == (78, "Table 'a': The records are all empty objects.")
    (field / "2.jsonl").write_text('{"a": 1}\n')
    assert ask("run")["tables"]["a"]["rows"] == 3
    (field / "2.jsonl").unlink()
    assert ask("run")["_code"] == 78
    assert ask("show", "a")["rows"] == 3, "the last version stays"


def test_a_column_whose_name_holds_a_nul(field: Path, ask: Ask) -> None:
    (field / "tillage.yaml").write_text("tables:\n  a: {collect: {files: a.jsonl}}\n")
    (field / "a.jsonl").write_text('{"a\\u0000b": 1}\n')
    told = ask("run")
    assert (told["_code"], told["error"]["problems"][0]["message"]) == (78, "The name 'a\\x00b' holds a NUL.")


def test_a_panic_of_a_library_is_told_like_any_mistake(monkeypatch: pytest.MonkeyPatch, ask: Ask) -> None:
    def panic(_: object) -> None:
        raise pl.exceptions.PanicException("no such luck")

    monkeypatch.setattr(main, "application", panic)
    told = ask("show")
    assert (told["_code"], told["error"]) == (1, "PanicException")


def test_a_name_that_this_system_cannot_write(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.getfilesystemencoding", lambda: "ascii")
    try:
        "数据".encode("ascii")
    except UnicodeEncodeError as error:
        told = failure.described(error)
    assert told["exit_code"] == failure.USAGE
    assert told["message"].startswith("The name '\\u6570\\u636e' cannot be written in the encoding")
    assert "PYTHONUTF8=1" in told["fix"]
