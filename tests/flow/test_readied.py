"""Entries made while a chunk is in memory: a first run reads no chunk back, and without room it decides alike."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType

import polars as pl
import pytest

from tests.flow.test_changes_of_shape import Folder
from tests.flow.world import KEY, small_chunks
from tillage.flow import keyed, readied
from tillage.flow.readied import Entered
from tillage.flow.stages import Stage

PLAN = """\
project: near
tables:
  notes: {collect: {files: "data/*.csv"}, key: id}
  clean:
    from: notes
    steps:
      - normalize: {columns: [text]}
      - drop_duplicates: {columns: [text]}
      - drop_duplicates: {columns: [text], similarity: 0.6}
  plain: {from: notes, steps: [{drop_duplicates: {columns: [n]}}]}
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Folder:
    small_chunks(monkeypatch)
    monkeypatch.setenv("TILLAGE_KEY", KEY)
    folder = Folder(tmp_path / "f", PLAN)
    lines = [f"{n},{' '.join(f'w{m}' for m in range(n % 9, n % 9 + 14))},{n % 5}" for n in range(60)]
    folder.write("data/a.csv", "\n".join(["id,text,n", *lines]) + "\n")
    return folder


def making(monkeypatch: pytest.MonkeyPatch, where: ModuleType) -> list[str]:
    """The stages whose entries are made from here on: ahead (`readied`), or of a chunk that is read back (`keyed`)."""
    told: list[str] = []
    real = readied.entered

    def watched(stage: Stage, rows: pl.DataFrame) -> Entered:
        told.append(stage.name)
        return real(stage, rows)

    monkeypatch.setattr(where, "entered", watched)
    return told


def test_no_chunk_is_read_back_for_entries(folder: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    told = making(monkeypatch, keyed)
    there = folder.run()
    assert told == []
    monkeypatch.setattr(readied, "MOST_BYTES", 0)
    assert folder.run("without") == there
    assert set(told) == {"clean/2", "clean", "plain"}


def test_stages_that_a_run_leaves_alone_get_none(folder: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch, folder.open() as p:
        made = making(patch, readied)
        p.run(["plain"])
    assert set(made) == {"plain"}
    told = making(monkeypatch, keyed)
    folder.same_as_a_rebuild()
    assert "clean/2" in told
