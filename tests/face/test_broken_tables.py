"""A table that cannot be made holds back what stands on it, and nothing else."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.face.conftest import Tell

Ask = Callable[..., dict[str, Any]]

PLAN = """\
project: broken
tables:
  raw: {collect: {files: a.csv}, key: id}
  text: {from: raw, steps: [{scale: {columns: [word]}}]}
  beyond: {from: text, steps: [{filter: {where: n > 1}}]}
  far: {from: raw, steps: [{scale: {columns: [x]}}]}
  fine: {from: raw, steps: [{filter: {where: n > 1}}]}
"""


@pytest.fixture
def there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "tillage.yaml").write_text(PLAN)
    (tmp_path / "a.csv").write_text("id,word,n,x\n1,a,1,-1.7e308\n2,b,2,1.7e308\n3,c,3,0.5\n")
    return tmp_path


def test_what_does_not_stand_on_it_is_made(there: Path, ask: Ask) -> None:
    value = ask("run")
    assert value["_code"] == value["error"]["exit_code"] == 78
    assert "Table 'text': Column 'word' holds String" in value["error"]["message"]
    assert [note for note in value["notes"] if note.startswith("Table 'far', scale: ")]
    assert {name for name, table in value["tables"].items() if table["version"]} == {"raw", "fine"}
    (there / "tillage.yaml").write_text(
        PLAN.replace("[word]", "[n]").replace("scale: {columns: [x]}", "drop: {columns: [x]}")
    )
    assert ask("run")["_code"] == 0
    assert ask("show", "beyond")["version"] == 1


ABSENT = {
    "raw": ("{files: 'b*.csv'}", 66, "No file matches 'b*.csv'"),
    "more": ("{files: nowhere.csv}", 66, "'nowhere.csv'"),
    "orders": ("{sql: {address: 'postgresql://me@127.0.0.1:9/postgres', table: orders}}", 69, "cannot be reached"),
}
"""Sources that are not there: table to source, exit code, what is said."""


@pytest.mark.parametrize("absent", [["raw"], ["more"], ["orders"], ["orders", "raw"]])
def test_a_source_that_cannot_be_read_holds_back_what_stands_on_it(there: Path, ask: Ask, absent: list[str]) -> None:
    plan = "project: absent\ntables:\n"
    for name, (source, *_) in ABSENT.items():
        plan += f"  {name}: {{collect: {source if name in absent else '{files: a.csv}'}, key: id}}\n"
    plan += "".join(f"  of_{name}: {{from: {name}, steps: [{{filter: n > 1}}]}}\n" for name in ABSENT)
    plan += "  both: {from: [raw, of_more]}\n  beyond: {from: both, steps: [{select: {columns: [n]}}]}\n"
    (there / "tillage.yaml").write_text(plan)
    value = ask("run")
    first = next(name for name in ABSENT if name in absent)
    assert value["_code"] == value["error"]["exit_code"] == ABSENT[first][1]
    for name, said in zip(absent, [value["error"]["message"], *value.get("notes", ())][::-1], strict=True):
        assert said.startswith(f"Table '{name}': ")
        assert ABSENT[name][2] in said
    gone = {n for name in absent for n in (name, f"of_{name}")}
    gone |= {"both", "beyond"} if {"raw", "more"} & set(absent) else set()
    every = {*ABSENT, *(f"of_{name}" for name in ABSENT), "both", "beyond"}
    assert {name for name, table in value["tables"].items() if table["version"]} == every - gone
    (there / "tillage.yaml").write_text(re.sub(r"collect: .*, key", "collect: {files: a.csv}, key", plan))
    assert ask("run")["_code"] == 0


def test_a_source_that_is_gone_leaves_its_table_as_it_was(there: Path, ask: Ask) -> None:
    (there / "tillage.yaml").write_text(
        "project: gone\ntables:\n  raw: {collect: {files: a.csv}, key: id}\n"
        "  more: {collect: {files: b.csv}, key: id}\n  fine: {from: more, steps: [{filter: n > 1}]}\n"
    )
    (there / "b.csv").write_text("id,n\n1,2\n")
    assert ask("run")["_code"] == 0
    (there / "a.csv").unlink()
    (there / "b.csv").write_text("id,n\n1,2\n2,3\n")
    value = ask("run")
    assert (value["_code"], value["tables"]["raw"]["version"], value["tables"]["raw"]["rows"]) == (66, 1, 3)
    assert (value["tables"]["fine"]["version"], value["tables"]["fine"]["rows"]) == (2, 2)


def test_all_of_them_are_told(there: Path, tell: Tell) -> None:
    told = "".join(map(str, tell("run")))
    for said in ("Table 'text': Column 'word'", "Table 'far', scale: ", "fine  v1"):
        assert said in told, told
