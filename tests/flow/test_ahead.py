"""Work done ahead: on the thread that reads where there is one worker, else on others; never in the way."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from tests.flow.world import KEY, digests, small_chunks
from tillage.face.rooms import registry
from tillage.flow.configuration import load
from tillage.flow.maps import map_rows
from tillage.flow.run import Project

PLAN = """\
project: ahead
tables:
  notes: {collect: {files: "data/*.csv"}, key: id}
  clean: {from: notes, steps: [{normalize: {columns: [text]}}, {filter: {where: n > 2}}]}
"""


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    small_chunks(monkeypatch)
    monkeypatch.setenv("TILLAGE_KEY", KEY)
    (tmp_path / "data").mkdir()
    (tmp_path / "tillage.yaml").write_text(PLAN)
    (tmp_path / "data" / "a.csv").write_text("id,text,n\n" + "".join(f"{n},word  {n},{n % 9}\n" for n in range(200)))
    return tmp_path


def run(root: Path, store: str, workers: int) -> Any:
    plan = load(root, registry()).model_copy(update={"store": root / store})
    with Project(plan, registry(), workers=workers) as project:
        project.run()
        return digests(project)


@pytest.mark.parametrize("workers", [1, 2])
def test_one_worker_is_one_thread(root: Path, monkeypatch: pytest.MonkeyPatch, workers: int) -> None:
    threads: list[str] = []

    def watched(*given: Any) -> Any:
        threads.append(threading.current_thread().name)
        return map_rows(*given)

    monkeypatch.setattr("tillage.flow.ahead.map_rows", watched)
    run(root, "store", workers)
    own = [name == threading.current_thread().name for name in threads]
    assert own
    assert all(own) if workers == 1 else not any(own)


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize("error", [OSError, pl.exceptions.PanicException])
def test_what_fails_ahead_is_left_to_its_stage(
    root: Path, monkeypatch: pytest.MonkeyPatch, workers: int, error: type[BaseException]
) -> None:
    whole = run(root, "whole", workers)
    asked = 0

    def failing(*_: Any) -> Any:
        nonlocal asked
        asked += 1
        raise error("not now")

    monkeypatch.setattr("tillage.flow.ahead.map_rows", failing)
    assert run(root, "failed", workers) == whole
    assert 0 < asked <= 2 * workers  # once is enough; what was under way is waited for
