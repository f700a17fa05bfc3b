"""A run may be killed anywhere and a disk may be full at any write: the next run ends where an unbroken one would.

The store is then whole, and `gc` leaves nothing without an owner. Runs die in processes of their own (`dying.py`).
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any

import pytest

from tests.flow.world import KEY, World, differences, digests, small_chunks
from tillage.core import Locked
from tillage.flow.run import Project
from tillage.store.failpoints import POINTS
from tillage.store.gc import collect
from tillage.store.locks import hold
from tillage.store.verify import verify

PLAN = """\
project: dying
tables:
  notes: {collect: {files: "data/*.csv"}, key: id, max_quarantine: 1}
  clean:
    from: notes
    steps:
      - normalize: {columns: [text]}
      - filter: "n >= 0"
      - drop_duplicates: {columns: [text]}
      - derive: {columns: {label: "if(text like 'a%', 'yes', 'no')"}}
    expect: [{column: id, not_null: true}]
  cities: {from: clean, steps: [{aggregate: {by: [city], columns: {rows: count(), mean: mean(x)}}}]}
models:
  bayes: {learn: naive_bayes, from: clean, input: text, target: label, split: {test: 0.3}}
"""
ELSEWHERE = ("gc.", "purge.", "forget.")
"""Failpoints that no run passes; `tests/store/test_crash.py` kills at them."""

HERE = [point for point in POINTS if not point.startswith(ELSEWHERE)]


DYING = Path(__file__).with_name("dying.py")


class Deaths:
    """The server of runs that die."""

    def __init__(self, script: Path = DYING) -> None:
        root = Path(__file__).parents[2]
        env = {**os.environ, "TILLAGE_KEY": KEY, "PYTHONPATH": os.pathsep.join([str(root), *sys.path])}
        self.process = subprocess.Popen(
            [sys.executable, str(script)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=env, text=True,
        )  # fmt: skip

    def run(self, folder: Path, **order: Any) -> dict[str, Any]:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(json.dumps({"folder": str(folder), **order}) + "\n")
        self.process.stdin.flush()
        told: dict[str, Any] = json.loads(self.process.stdout.readline())
        return told

    def end(self) -> None:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.close()
        self.process.wait(timeout=20)
        self.process.stdout.close()


class Scene:
    """A world that was run once and then edited, so that a run reads, updates, removes and compacts; and its end."""

    def __init__(self, root: Path, deaths: Deaths) -> None:
        self.root, self.deaths, self.number = root, deaths, 0
        world = World(root / "w", 4, PLAN)
        with world.open() as p:
            p.run()
            for _ in range(2):
                world.edit()
                world.add_file()
                p.run()
        for _ in range(4):
            world.edit()
        world.add_file()
        unbroken = self.copy()
        told = deaths.run(unbroken.root, list=True)
        self.passed = Counter(told["passed"])
        self.cpu_s = float(told["cpu_s"])
        with unbroken.open() as p:
            assert p.run().changed == []
            self.expected = ends(p)

    def copy(self) -> World:
        self.number += 1
        world = World.__new__(World)
        world.root = self.root / str(self.number)
        shutil.copytree(self.root / "w", world.root)
        return world


def ends(p: Project) -> Any:
    """What must not depend on how often a run was begun; looks do: each is one."""
    return json.loads(json.dumps(digests(p)))


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    deaths = Deaths()
    with pytest.MonkeyPatch.context() as patch:
        small_chunks(patch)
        patch.setattr("tillage.store.objects.SMALL", 1200)  # so that there are files beside what the catalog holds
        yield Scene(tmp_path_factory.mktemp("dying"), deaths)
    deaths.end()


def recovers(scene: Scene, world: World) -> None:
    """After the next run everything is as if nothing had happened."""
    with world.open() as p:
        assert not verify(p.store).findings, "a killed run leaves every committed version whole"
        p.run()
        collect(p.store)
        assert differences(scene.expected, ends(p)) == []
        cleaned = verify(p.store)
        assert (cleaned.findings, cleaned.orphans) == ((), 0)
        assert p.run().changed == []
    shutil.rmtree(world.root)


def test_a_run_passes_every_failpoint_that_is_not_elsewhere(scene: Scene) -> None:
    assert set(scene.passed) == set(HERE)
    assert len(HERE) == 11
    assert scene.cpu_s > 0.02


@pytest.mark.parametrize("point", HERE)
def test_killed_at_each_failpoint(point: str, scene: Scene) -> None:
    passages = scene.passed[point]
    for count in sorted({1, (passages + 1) // 2} if passages > 3 else {passages}):
        world = scene.copy()
        told = scene.deaths.run(world.root, failpoint=f"{point}:{count}")
        assert told == {"signal": signal.SIGKILL}, (point, count)
        recovers(scene, world)


@pytest.mark.parametrize("seed", [1, pytest.param(2, marks=pytest.mark.nightly)])
def test_killed_at_random_moments(seed: int, scene: Scene) -> None:
    random = Random(seed)
    deaths = 0
    for _ in range(30 if seed == 1 else 200):
        world = scene.copy()
        told = scene.deaths.run(world.root, cpu_s=scene.cpu_s * random.uniform(0.02, 0.98))
        assert told.get("signal") == signal.SIGPROF or told["code"] == 0  # it may be done before its time is up
        deaths += "signal" in told
        recovers(scene, world)
    assert deaths > 15


@pytest.mark.parametrize("where", ["object.write", "object.fsync", "object.rename"])
def test_a_full_disk_ends_the_run_with_69_and_the_next_one_goes_on(where: str, scene: Scene) -> None:
    passages = scene.passed[where]
    world = scene.copy()
    for count in (1, passages // 3, passages // 2):
        told = scene.deaths.run(world.root, failpoint=f"{where}:{max(count, 1)}:ENOSPC")
        assert told == {"code": 69}, count
    recovers(scene, world)


def test_killed_again_and_again(scene: Scene) -> None:
    """A run that dies each time a little later gets further all the same: finished work is found again."""
    world = scene.copy()
    for count in (3, 6, 9):
        assert "signal" in scene.deaths.run(world.root, failpoint=f"object.folder:{count}"), count
    recovers(scene, world)


def test_of_two_runs_on_one_target_the_second_is_refused(scene: Scene) -> None:
    world = scene.copy()
    with world.open() as first, world.open() as second:
        started, go_on = threading.Event(), threading.Event()

        def pause(_: Any) -> None:
            started.set()
            assert go_on.wait(30)

        first.listen = pause
        runner = threading.Thread(target=first.run)
        runner.start()
        assert started.wait(30)
        try:
            with pytest.raises(Locked, match="is being worked on by process") as refused:
                second.run()
            assert refused.value.exit_code == 75
            readable = second.read("notes").height
        finally:
            go_on.set()
            runner.join()
        assert readable > 0  # readers are never blocked
        second.run()
        assert differences(scene.expected, ends(second)) == []


def test_a_run_on_another_target_is_not_held_up_and_a_waiting_one_waits(scene: Scene) -> None:
    world = scene.copy()
    with world.open() as p:
        with hold(p.store.root / "locks", ["bayes"]):
            p.run(["cities"])
            with pytest.raises(Locked):
                p.run(["bayes"])
        release = threading.Event()

        def held() -> None:
            with hold(p.store.root / "locks", ["bayes"]):
                release.set()
                release.wait(0.1)

        holder = threading.Thread(target=held)
        holder.start()
        assert release.wait(10)
        p.run(["bayes"], wait=True)
        holder.join()
        assert differences(scene.expected, ends(p)) == []
