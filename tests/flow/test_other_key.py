"""A store is opened with the key that its row_ids were made with, or not at all."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.flow.world import KEY
from tillage.core.errors import Denied
from tillage.face.rooms import project

PLAN = "project: p\ntables:\n  t: {collect: {files: a.csv}, key: id}\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "tillage.yaml").write_text(PLAN)
    (tmp_path / "a.csv").write_text("id,x\n1,2\n")
    return tmp_path


def test_another_key_would_give_rows_a_second_id(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TILLAGE_KEY", KEY)
    with project(folder) as p:
        p.run()
    monkeypatch.setenv("TILLAGE_KEY", "cd" * 32)
    with pytest.raises(Denied, match="not the one that this store was made with"):
        project(folder)
    monkeypatch.delenv("TILLAGE_KEY")
    with pytest.raises(Denied, match="is gone"):
        project(folder)
    assert not (folder / ".tillage" / "key").exists(), "no key is made that could only be wrong"
    monkeypatch.setenv("TILLAGE_KEY", KEY.upper())
    with project(folder) as p:
        assert p.run().changed == []


def test_a_key_file_that_was_replaced_is_noticed(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TILLAGE_KEY", raising=False)
    with project(folder) as p:
        p.run()
    key = folder / ".tillage" / "key"
    kept = key.read_text()
    key.write_text("ef" * 32)
    with pytest.raises(Denied, match=str(key)):
        project(folder)
    key.write_text(kept)
    with project(folder) as p:
        assert p.run().changed == []
