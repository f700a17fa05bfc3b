"""An erasure that was cut off anywhere is ended by the next run, or the next erasure, as if nothing had happened.

Erasures die in processes of their own (`dying.py`). Beside a run an erasure waits; two serialise.
"""

from __future__ import annotations

import json
import shutil
import signal
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.flow.test_crash import PLAN, Deaths
from tests.flow.world import World, differences, digests, small_chunks

from tillage.core import InputMissing, Locked
from tillage.flow.erasure import unfinished
from tillage.flow.run import STORE_LOCK
from tillage.promises import forget, receipts, verify_receipt
from tillage.store.failpoints import POINTS
from tillage.store.gc import PURGING
from tillage.store.locks import hold
from tillage.store.verify import verify

HERE = [point for point in POINTS if point.startswith(("forget.", "purge.", "version."))] + ["object.rename"]
NOTHING_YET = ("forget.begin", "forget.decided")
"""Points before the decision: the person is still there, and nothing is half done."""


class Dying(Deaths):
    """The server of erasures that die."""

    def __init__(self) -> None:
        super().__init__(Path(__file__).with_name("dying.py"))

    def forget(self, root: Path, keys: list[str], **order: Any) -> dict[str, Any]:
        return self.run(root, keys=keys, **order)


class Scene:
    """A world that was run, and what it is once some keys are forgotten."""

    def __init__(self, root: Path) -> None:
        self.root, self.number = root, 0
        self.dying = Dying()
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
        return self.dying.forget(world.root, self.keys, **order)


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    with pytest.MonkeyPatch.context() as patch:
        small_chunks(patch)
        made = Scene(tmp_path_factory.mktemp("forgetting"))
        yield made
    made.dying.end()


def test_an_erasure_passes_every_point(scene: Scene) -> None:
    assert set(HERE) <= set(scene.passed)
    assert len(HERE) == 13


@pytest.mark.parametrize(
    ("point", "by"),
    [(point, "run") for point in HERE]
    + [pytest.param(p, "forget", marks=[] if p == "purge.commit" else pytest.mark.nightly) for p in HERE],
)
def test_killed_at_each_point(point: str, by: str, scene: Scene) -> None:
    world = scene.copy()
    passages = scene.passed[point]
    count = 1 if by == "run" else (passages + 1) // 2
    assert scene.forget(world, failpoint=f"{point}:{count}") == {"signal": signal.SIGKILL}
    decided = point not in NOTHING_YET
    with world.open() as p:
        if by == "run":
            p.run()
        if not decided:
            assert p.read("notes")["id"].cast(str).is_in(scene.keys).sum() == len(scene.keys)
            forget(p, "notes", key=scene.keys)
        elif by == "forget":
            with pytest.raises(InputMissing, match="forgotten before"):
                forget(p, "notes", key=scene.keys)
        assert differences(scene.expected, json.loads(json.dumps(digests(p)))) == []
        assert not unfinished(p.store)
        assert p.store.catalog.meta(PURGING) is None
        found = verify(p.store)
        assert (found.findings, found.orphans) == ((), 0)
        assert p.run().changed == []
    shutil.rmtree(world.root)


def test_a_receipt_comes_of_an_erasure_that_a_run_ended(scene: Scene) -> None:
    world = scene.copy()
    scene.forget(world, failpoint="forget.purged")
    with world.open() as p:
        p.run()
        assert [r["number"] for r in receipts(p.store)] == [1], "signed by the run that ended it"
        other = str(p.read("notes")["id"][0])
        _, receipt = forget(p, "notes", key=[other])
        first, second = receipts(p.store)
        assert second == receipt
        assert (first["number"], second["number"]) == (1, 2)
        assert len(first["rows"]) == len(scene.keys)
        for each in (first, second):
            verify_receipt(json.dumps(each))


def test_beside_a_run_it_waits_and_two_serialise(scene: Scene) -> None:
    world = scene.copy()
    with world.open() as p, world.open() as q:
        keys = [str(k) for k in p.read("notes")["id"].to_list()[4:6]]
        go_on = threading.Event()
        done: list[int] = []

        def erase(which: int) -> None:
            forget((p, q)[which], "notes", key=[keys[which]])
            done.append(which)

        with hold(p.store.root / "locks", [STORE_LOCK], shared=True):  # as a run does
            with pytest.raises(Locked, match="is being worked on") as refused:
                forget(p, "notes", key=keys, wait=False)
            assert refused.value.exit_code == 75
            both = [threading.Thread(target=erase, args=(n,)) for n in (0, 1)]
            for each in both:
                each.start()
            assert not go_on.wait(0.2)
            assert done == []
        for each in both:
            each.join(60)
        assert sorted(done) == [0, 1]
        assert not p.read("notes")["id"].cast(str).is_in(keys).any()
        assert [r["number"] for r in receipts(p.store)] == [1, 2]
        assert not verify(p.store).findings


def test_the_question_is_written_nowhere(scene: Scene) -> None:
    """Not even where a lock names its holder."""
    world = scene.copy()
    words = ["tillage", "forget", "notes", "--where", "text = 'whispered'"]
    with pytest.MonkeyPatch.context() as patch, world.open() as p:
        patch.setattr(sys, "argv", words)
        with hold(p.store.root / "locks", [STORE_LOCK]):
            assert b"forget" in (p.store.root / "locks" / "store.lock").read_bytes()
            assert b"whispered" not in (p.store.root / "locks" / "store.lock").read_bytes()
