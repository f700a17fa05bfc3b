"""A table that cannot be made holds back what stands on it, and nothing else."""

from __future__ import annotations

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


def test_all_of_them_are_told(there: Path, tell: Tell) -> None:
    told = "".join(map(str, tell("run")))
    for said in ("Table 'text': Column 'word'", "Table 'far', scale: ", "fine  v1"):
        assert said in told, told
