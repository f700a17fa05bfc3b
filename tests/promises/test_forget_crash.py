"""An erasure that was cut off anywhere is ended by the next run, or the next erasure, as if nothing had happened.

Erasures die in processes of their own (`dying.py`). Beside a run an erasure waits; two serialise.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.flow.test_crash import PLAN
from tests.flow.world import KEY, World, differences, digests, small_chunks

from tillage.flow.erasure import unfinished
from tillage.promises import forget
from tillage.store.failpoints import POINTS
from tillage.store.gc import PURGING
from tillage.store.verify import verify

HERE = [point for point in POINTS if point.startswith(("forget.", "purge.", "version."))] + ["object.rename"]
NOTHING_YET = ("forget.begin", "forget.decided")
"""Points before the decision: the person is still there, and nothing is half done."""


class Scene:
    """A world that was run, and what it is once some keys are forgotten."""

    def __init__(self, root: Path) -> None:
        self.root, self.number = root, 0
        tree = Path(__file__).parents[2]
        env = {**os.environ, "TILLAGE_KEY": KEY, "PYTHONPATH": os.pathsep.join([str(tree), *sys.path])}
        self.process = subprocess.Popen(
            [sys.executable, str(Path(__file__).with_name("dying.py"))],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=env, text=True,
        )  # fmt: skip
        world = World(root / "w", 4, PLAN)
        with world.open() as p:
            p.run()
            world.edit()
            world.add_file()
            p.run()
            self.keys = [str(k) for k in p.read("notes")["id"].to_list()[:4]]
        unbroken = self.copy()
        self.passed = Counter(self.forget(unbroken, list=True)["passed"])
        with unbroken.open() as p:
            self.expected = json.loads(json.dumps(digests(p)))
            assert p.run().changed == []

    def copy(self) -> World:
        self.number += 1
        world = World.__new__(World)
        world.root = self.root / str(self.number)
        shutil.copytree(self.root / "w", world.root)
        return world

    def forget(self, world: World, **order: Any) -> dict[str, Any]:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(json.dumps({"folder": str(world.root), "keys": self.keys, **order}) + "\n")
        self.process.stdin.flush()
        told: dict[str, Any] = json.loads(self.process.stdout.readline())
        return told

    def end(self) -> None:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.close()
        self.process.wait(timeout=20)
        self.process.stdout.close()


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    with pytest.MonkeyPatch.context() as patch:
        small_chunks(patch)
        made = Scene(tmp_path_factory.mktemp("forgetting"))
        yield made
    made.end()


def test_an_erasure_passes_every_point(scene: Scene) -> None:
    assert set(HERE) <= set(scene.passed)
    assert len(HERE) == 13


@pytest.mark.parametrize("point", HERE)
@pytest.mark.parametrize("by", ["run", "forget"])
def test_killed_at_each_point(point: str, by: str, scene: Scene) -> None:
    world = scene.copy()
    passages = scene.passed[point]
    count = 1 if by == "run" else (passages + 1) // 2
    assert scene.forget(world, failpoint=f"{point}:{count}") == {"signal": signal.SIGKILL}
    with world.open() as p:
        assert unfinished(p.store) or point in (*NOTHING_YET, "forget.ended", "purge.vacuum") or point.startswith("obj")
        if by == "run":
            p.run()
        if by == "forget" or point in NOTHING_YET or p.read("notes")["id"].cast(str).is_in(scene.keys).any():
            more = [] if point not in NOTHING_YET and not p.read("notes")["id"].cast(str).is_in(scene.keys).any() else 0
            if more == 0 or by == "forget":
                try:
                    forget(p, "notes", key=scene.keys)
                except FileNotFoundError:
                    assert point not in NOTHING_YET
        assert differences(scene.expected, json.loads(json.dumps(digests(p)))) == []
        assert not unfinished(p.store)
        assert p.store.catalog.meta(PURGING) is None
        found = verify(p.store)
        assert (found.findings, found.orphans) == ((), 0)
        assert p.run().changed == []
    shutil.rmtree(world.root)
