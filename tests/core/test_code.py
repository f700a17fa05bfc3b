"""A fingerprint must follow every file of the project that a step stands on, and no other."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

from tillage.core import code
from tillage.core.code import source_digest


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    (tmp_path / "steps_under_test").mkdir()
    (tmp_path / "steps_under_test" / "__init__.py").write_text("")
    (tmp_path / "steps_under_test" / "mine.py").write_text("from . import near\nimport far_under_test\n")
    (tmp_path / "steps_under_test" / "near.py").write_text("from steps_under_test.deep import value\n")
    (tmp_path / "steps_under_test" / "deep.py").write_text("value = 1\n")
    (tmp_path / "far_under_test.py").write_text("value = 1\n")
    (tmp_path / "stranger.py").write_text("value = 1\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    yield tmp_path
    for name in [n for n in sys.modules if n.startswith(("steps_under_test", "far_under_test"))]:
        del sys.modules[name]


def digest() -> str:
    source_digest.cache_clear()
    return source_digest("steps_under_test.mine")


@pytest.mark.parametrize(
    "name", ["steps_under_test/mine.py", "steps_under_test/near.py", "steps_under_test/deep.py", "far_under_test.py"]
)
def test_an_edit_of_any_imported_project_file_shows(folder: Path, name: str) -> None:
    importlib.import_module("steps_under_test.mine")
    before = digest()
    path = folder / name
    path.write_text(path.read_text() + "# edited\n")
    assert digest() != before


def test_an_edit_elsewhere_does_not_show(folder: Path) -> None:
    importlib.import_module("steps_under_test.mine")
    before = digest()
    (folder / "stranger.py").write_text("value = 2\n")
    assert digest() == before


def test_our_steps_stand_on_their_room() -> None:
    import tillage.prepare  # noqa: F401

    source_digest.cache_clear()
    assert source_digest("tillage.prepare.normalize") == source_digest("tillage.prepare.filter")
    assert source_digest("tillage.prepare.normalize") != source_digest("tillage.core.rows")


@pytest.mark.parametrize("file", ["prepare/a.py", "prepare/words/list.gz", "text/tokens.py", "core/expression.py"])
def test_an_edit_of_what_computes_for_a_step_shows(file: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def digest() -> str:
        code.source_digest.cache_clear()
        code._room_digest.cache_clear()
        return source_digest("a_step_of_ours")

    for name in ("prepare/a.py", "prepare/words/list.gz", "text/tokens.py", "core/expression.py", "learn/other.py"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("1")
    for room in ("measure", "media", "onnx"):
        (tmp_path / room).mkdir()
    module = ModuleType("a_step_of_ours")
    module.__file__ = str(tmp_path / "prepare" / "a.py")
    monkeypatch.setitem(sys.modules, "a_step_of_ours", module)
    monkeypatch.setattr(code, "OURS", tmp_path.resolve())
    try:
        before = digest()
        (tmp_path / "learn" / "other.py").write_text("2")
        assert digest() == before
        (tmp_path / file).write_text("2")
        assert digest() != before
    finally:
        code.source_digest.cache_clear()
        code._room_digest.cache_clear()
