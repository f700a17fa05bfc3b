"""Maps in processes of their own: the same rows, the same errors, whatever becomes of a process."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.flow.world import KEY
from tillage.core.errors import TillageError
from tillage.face.opening import open_project
from tillage.flow.processes import Processes
from tillage.flow.run import Project

SOURCE = Path(__file__).parents[2] / "src"

STEP = """\
import os
from pathlib import Path

import polars as pl
from tillage.core import Map


class Told(Map):
    '''Says in which process it ran, on standard output too, where answers must not be disturbed.'''

    def apply(self, rows):
        print("from a step")
        Path("ran").mkdir(exist_ok=True)
        (Path("ran") / str(os.getpid())).touch()
        if (rows["n"] < 0).any() and Path("strict").exists():
            raise ValueError("a number below zero")
        if os.environ.get("DIES") == str(os.getppid()):
            os.abort()
        return rows.with_columns(pl.col("n") + 1)
"""

PLAN = """\
project: apart
tables:
  numbers: {collect: {files: data/*.csv}, key: id}
  told: {from: numbers, steps: [{steps.Told: {}}]}
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.setenv("TILLAGE_KEY", KEY)
    monkeypatch.setenv("PYTHONPATH", str(SOURCE))
    monkeypatch.setattr("tillage.flow.chunking.LEAST_ROWS", 50)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "steps.py").write_text(STEP)
    (tmp_path / "tillage.yaml").write_text(PLAN)
    (tmp_path / "data").mkdir()
    lines = [f"{n},{n}" for n in range(400)]
    (tmp_path / "data/a.csv").write_text("\n".join(["id,n", *lines]) + "\n")
    yield tmp_path
    assert children(os.getpid()) == []


def children(of: int) -> list[int]:
    """Processes for work on chunks that another one started."""
    found = []
    for entry in Path("/proc").iterdir():
        try:
            parent = (entry / "stat").read_text().rpartition(")")[2].split()[1]
            if int(parent) == of and b"tillage.face.worker" in (entry / "cmdline").read_bytes():
                found.append(int(entry.name))
        except (OSError, IndexError, ValueError):
            continue
    return found


def alive(process: int) -> bool:
    stat = Path(f"/proc/{process}/stat")
    return stat.exists() and stat.read_text().rpartition(")")[2].split()[0] != "Z"


def read(project: Project) -> list[int]:
    return sorted(project.read("told")["n"].to_list())


def ran(folder: Path) -> set[int]:
    return {int(p.name) for p in (folder / "ran").iterdir()}


@pytest.mark.parametrize("count", [1, 2])
def test_the_work_is_done_elsewhere_and_is_the_same(folder: Path, count: int) -> None:
    with open_project(None, processes=count) as project:
        assert project.run().touched == {"numbers": 400, "told": 400}
        assert read(project) == list(range(1, 401))
        assert os.getpid() not in ran(folder)
        assert 1 <= len(ran(folder)) <= count
        digest = project.store.digest("told")
    with open_project(None) as project:
        assert project.run().changed == []
        assert project.store.digest("told") == digest


def test_an_error_is_that_of_this_process(folder: Path) -> None:
    (folder / "data/a.csv").write_text("id,n\n1,-1\n")
    (folder / "strict").touch()
    with open_project(None, processes=1) as project, pytest.raises(ValueError, match="a number below zero"):
        project.run()
    (folder / "strict").unlink()
    with open_project(None, processes=1) as project:
        project.run()
        assert read(project) == [0]


def test_a_process_that_dies_costs_time_alone(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DIES", str(os.getpid()))
    with open_project(None, processes=2) as project:
        project.run()
        assert read(project) == list(range(1, 401))
        assert os.getpid() in ran(folder)


def test_one_that_cannot_start_says_so(folder: Path) -> None:
    with open_project(None) as project:
        project.engine = Processes(1, project.plan, project.registry, [sys.executable, "-c", "raise SystemExit(3)"])
        with pytest.raises(TillageError, match=r"could not be started \(exit 3\).*without --processes"):
            project.run()


def test_none_outlives_who_started_it(folder: Path) -> None:
    """Killed without a chance to say goodbye, it takes its processes along: their input ends."""
    (folder / "steps.py").write_text(STEP.replace('print("from a step")', "import time; time.sleep(0.2)"))
    command = [sys.executable, "-m", "tillage.face.main", "run", "--processes", "2"]
    environment = {**os.environ, "PYTHONPATH": str(SOURCE)}
    process = subprocess.Popen(command, cwd=folder, env=environment, stdout=subprocess.DEVNULL)
    until = time.monotonic() + 60
    while not (folder / "ran").exists() and time.monotonic() < until:
        time.sleep(0.02)
    own = children(process.pid)
    assert own
    process.send_signal(signal.SIGKILL)
    process.wait()
    while any(map(alive, own)) and time.monotonic() < until:
        time.sleep(0.02)
    assert not any(map(alive, own))
    with open_project(None, processes=1) as project:
        project.run()
        assert read(project) == list(range(1, 401))


STACK = """\
project: stacked
tables:
  numbers: {collect: {files: data/*.csv}, key: id}
  more: {collect: {files: more/*.csv}, key: id}
  both: {from: [numbers, more], steps: [{derive: {columns: {twice: n * 2}}}]}
"""


def test_tables_stacked_take_one_shape(folder: Path) -> None:
    """Each input passes through its own Maps, and all chunks have the columns and types of both."""
    (folder / "tillage.yaml").write_text(STACK)
    (folder / "more").mkdir()
    (folder / "more/b.csv").write_text("id,n,m\n1,5,x\n2,7,y\n")
    found = []
    for store, count in ((".tillage", 0), (".apart", 1)):
        (folder / "tillage.yaml").write_text(f"{STACK}store: {store}\n")
        with open_project(None, processes=count) as project:
            project.run()
            found.append(
                (project.store.digest("both"), sorted(project.read("both").select("n", "m", "twice").rows(), key=repr))
            )
    assert found[0] == found[1]
    assert len(found[0][1]) == 402
