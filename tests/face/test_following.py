"""`run --follow`: each change makes a turn, none is lost, and it ends when told, with what it was doing done."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.serve.running import environment

from tillage.core.errors import UsageError
from tillage.face import following
from tillage.face.following import seconds_of
from tillage.face.rooms import project
from tillage.face.running import bring_up
from tillage.face.screen import Screen

PLAN = """project: growing
tables:
  notes: {collect: {files: {path: "data/*.csv", types: {n: int64}}}, key: id, max_quarantine: 0.2}
  even: {from: notes, steps: [{filter: "n >= 0"}]}
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "data").mkdir()
    (tmp_path / "tillage.yaml").write_text(PLAN)
    grow(tmp_path, 0)
    return tmp_path


def grow(folder: Path, n: int, value: str = "7") -> None:
    """A new file, whole at once."""
    draft = folder / f"draft{n}"
    draft.write_text(f"id,n\n{n},{value}\n")
    draft.replace(folder / "data" / f"{n:03d}.csv")


class Follower:
    def __init__(self, folder: Path, *options: str) -> None:
        command = [sys.executable, "-m", "tillage.face.main", "run", "--follow", "--every", "0.05", "--json", *options]
        self.process = subprocess.Popen(
            command, cwd=folder, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )

    def __enter__(self) -> Follower:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.communicate()

    def turn(self) -> dict[str, Any]:
        assert self.process.stdout is not None
        value: dict[str, Any] = json.loads(self.process.stdout.readline())
        return value


def test_it_runs_as_files_come_and_ends_on_sigterm(folder: Path) -> None:
    with Follower(folder) as follower:
        first = follower.turn()
        assert (first["turn"], first["changed"]) == (1, ["notes", "even"])
        grow(folder, 1)
        assert follower.turn()["changed"] == ["notes", "even"]
        grow(folder, 1, "8")  # an edit
        assert follower.turn()["rows"] > 0
        grow(folder, 2, "\n".join(["x", *(f"{n},x" for n in range(3, 20))]))  # more bad records than the plan allows
        told = follower.turn()
        assert told["error"]["exit_code"] == 65
        grow(folder, 2, "9")  # mended, and it goes on
        assert follower.turn()["changed"] == ["notes", "even"]
        follower.process.send_signal(signal.SIGTERM)
        out, said = follower.process.communicate(timeout=20)
        assert (follower.process.returncode, out) == (0, ""), said
        assert "Ended after 5 turns" in said
    with project(folder) as p:
        assert sorted(p.read("even").select("id", "n").rows()) == [(0, 7), (1, 8), (2, 9)]


def test_a_stream_is_scored_as_it_comes(folder: Path) -> None:
    """New rows are answered by the model of the plan, and no others again."""
    plan = """project: growing
tables:
  taught: {collect: {files: taught.csv}, key: id}
  notes: {collect: {files: "data/*.csv"}, key: id}
  told: {from: notes, score: sign}
models:
  sign: {learn: ridge, from: taught, input: n, target: y, split: {leak: false}}
"""
    (folder / "tillage.yaml").write_text(plan)
    (folder / "taught.csv").write_text("id,n,y\n" + "".join(f"{i},{i},{i * 2.0}\n" for i in range(60)))
    with Follower(folder) as follower:
        assert "told" in follower.turn()["changed"]
        for n in (1, 2):
            grow(folder, n, str(n * 10))
            turn = follower.turn()
            assert (turn["changed"], turn["rows"]) == (["notes", "told"], 2), "one row read, one answered"
        follower.process.send_signal(signal.SIGTERM)
        follower.process.communicate(timeout=20)
        assert follower.process.returncode == 0
    with project(folder) as p:
        answers = {row["id"]: row["prediction"] for row in p.read("told").iter_rows(named=True)}
    assert answers == pytest.approx({0: 14.0, 1: 20.0, 2: 40.0}, abs=1.5)


def test_a_change_that_comes_while_a_turn_runs_is_not_lost(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    turns: list[int] = []
    with project(folder) as p:

        def turn() -> Any:
            done = bring_up(p, wait=True)
            turns.append(len(turns))
            if len(turns) == 1:
                grow(folder, 5)  # after the run had looked, before the follower looks again
            if len(turns) == 2:
                os.kill(os.getpid(), signal.SIGTERM)
            return done

        handler = signal.getsignal(signal.SIGTERM)
        assert following.follow(p, Screen(True), turn, seconds=60, every=0.05) == 0
        assert signal.getsignal(signal.SIGTERM) is handler
        assert len(turns) == 2
        assert sorted(p.read("notes")["id"].to_list()) == [0, 5]


def test_it_ends_after_the_span_and_idles_without_turns(folder: Path) -> None:
    began = time.monotonic()
    with Follower(folder, "--for", "2s") as follower:
        out, _ = follower.process.communicate(timeout=30)
    assert time.monotonic() - began > 1.5
    assert [json.loads(line)["turn"] for line in out.splitlines()] == [1]


def test_a_source_that_goes_and_comes_back_is_told_and_taken(folder: Path) -> None:
    until: Callable[[], Any]
    with Follower(folder) as follower:
        until = follower.turn
        assert until()["turn"] == 1
        (folder / "data" / "000.csv").rename(folder / "away")
        gone = until()
        assert "error" in gone or gone["changed"]
        (folder / "away").rename(folder / "data" / "000.csv")
        while "error" in until():  # it may have been looked at while it went, and once more when it was gone
            pass
        follower.process.send_signal(signal.SIGINT)
        assert follower.process.wait(20) == 0


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--for", "5s"], "--for says how long"),
        (["--follow", "--report", "x"], "writes no page"),
        (["--follow", "--refit", "y"], "at every turn"),
    ],
)
def test_options_that_do_not_go_together(options: list[str], said: str, folder: Path) -> None:
    command = [sys.executable, "-m", "tillage.face.main", "run", *options]
    done = subprocess.run(command, cwd=folder, env=environment(), capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert said in done.stderr


def test_a_span_is_said_with_its_unit() -> None:
    for span in ("soon", "0s", "1w", ""):
        with pytest.raises(UsageError, match="no span of time"):
            seconds_of(span)
