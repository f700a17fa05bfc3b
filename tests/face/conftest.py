"""A small trained project for the tests of the command line, made once and copied for each that needs it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tillage.face.main import ended
from tillage.face.new import sample

PLAN = """\
project: garden
tables:
  notes: {collect: {files: data/*.csv}, key: id}
  clean:
    from: notes
    steps:
      - normalize: {columns: [text]}
      - filter: {where: text != 'skip me', reason: skipped}
      - drop_duplicates: {columns: [text]}
    expect:
      - {column: topic, not_null: true}
  counts:
    from: clean
    steps:
      - aggregate: {by: [topic], columns: {n: count()}}
models:
  topic: {learn: naive_bayes, from: clean, input: text, target: topic, split: {leak: false}}
"""

Tell = Callable[..., tuple[int, str, str]]


@pytest.fixture
def tell(capsys: pytest.CaptureFixture[str]) -> Tell:
    """Run a command in this process: (exit code, standard output, standard error)."""

    def run(*words: object) -> tuple[int, str, str]:
        capsys.readouterr()
        code = ended([str(word) for word in words])
        out, err = capsys.readouterr()
        return code, out, err

    return run


@pytest.fixture
def ask(tell: Tell) -> Callable[..., dict[str, Any]]:
    """Run a command with --json: the one object that it prints, with the exit code as `_code`."""

    def run(*words: object) -> dict[str, Any]:
        code, out, _ = tell(*words, "--json")
        assert out.count("\n") == 1, f"not exactly one line: {out!r}"
        value: dict[str, Any] = json.loads(out)
        return {**value, "_code": code}

    return run


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("garden")
    (folder / "data").mkdir()
    lines = sample().splitlines()
    more = ["900,skip me,pests", f"901,{lines[1].split(',')[1]},pests"]
    (folder / "data" / "notes.csv").write_text("\n".join([*lines, *more]) + "\n")
    (folder / "tillage.yaml").write_text(PLAN)
    assert ended(["run", "--plan", str(folder), "--json"]) == 0
    return folder


@pytest.fixture
def garden(trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the trained project, as the current folder."""
    folder = tmp_path / "garden"
    shutil.copytree(trained, folder)
    monkeypatch.chdir(folder)
    return folder
