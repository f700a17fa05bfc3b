"""A process killed at any point, or refused by the disk at any write, leaves every committed version whole.

The same life of a store (`crashing.py`) is lived unbroken, and cut off at each failpoint and at random moments; what
is begun again must end in the same state, and nothing on the way may be a version that the unbroken life never had.

Mutations caught: objects: `put` writes under the final name at once, and takes a file that is there for whole; tables:
`commit` outside a transaction; gc: files deleted before the catalog lets go of them, or a `reach`
removed.
"""

from __future__ import annotations

import errno
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from tests.store import crashing

from tillage.core.errors import TillageError
from tillage.store import failpoints, objects
from tillage.store.gc import PURGING, owned_objects
from tillage.store.tables import Store
from tillage.store.verify import verify

SCRIPT = Path(crashing.__file__)
ROOT = SCRIPT.parents[2]


@dataclass
class Life:
    """The unbroken life: each digest that a version ever had, the end, and how long the work took."""

    had: dict[str, set[str]] = field(default_factory=dict)
    end: dict[str, Any] = field(default_factory=dict)
    seconds: float = 0.0

    def saw(self, store: Store) -> None:
        for version, digest in crashing.digests(store).items():
            self.had.setdefault(version, set()).add(digest)


def unbroken(folder: Path, pieces: int) -> Life:
    life, store = Life(), Store(folder)
    crashing.live(store, pieces, life.saw)
    life.end = crashing.state(store)
    kinds = {name.startswith("small/") for name in store.objects.files()}
    assert kinds == {True, False}, "some objects must be files, some rows of the catalog"
    store.close()
    began = time.monotonic()
    again = Store(folder.parent / "timed")
    crashing.live(again, pieces)
    life.seconds = time.monotonic() - began
    assert crashing.state(again) == life.end, "the life itself must be the same each time"
    again.close()
    return life


@pytest.fixture(scope="module", autouse=True)
def key() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TILLAGE_KEY", "5a" * 32)
        patch.setattr(objects, "SMALL", crashing.SMALL)
        yield


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory, key: None) -> Life:
    return unbroken(tmp_path_factory.mktemp("unbroken") / "store", crashing.PIECES)


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory, key: None) -> Life:
    return unbroken(tmp_path_factory.mktemp("unbroken") / "store", 3)


def child(folder: Path, failpoint: str = "") -> subprocess.Popen[bytes]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "src"), "TILLAGE_FAILPOINT": failpoint}
    environment["POLARS_MAX_THREADS"] = "1"
    command = [sys.executable, str(SCRIPT), str(folder)]
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def intact(folder: Path, life: Life) -> None:
    """Right after the blow: nothing is damaged, and every version is one that the unbroken life had."""
    store = Store(folder)
    try:
        found = [f.message for f in verify(store).findings]
        allowed = store.catalog.meta(PURGING) is not None
        assert all(allowed and "purge was not ended" in m for m in found), found
        for version, digest in crashing.digests(store).items():
            assert digest in life.had[version], version
    finally:
        store.close()


def ends_the_same(folder: Path, life: Life, pieces: int) -> None:
    store = Store(folder)
    try:
        crashing.live(store, pieces)
        end = crashing.state(store)
        assert end == life.end
        assert end["findings"] == []
        assert end["orphans"] == 0
        assert set(store.objects.files()) == owned_objects(store)
        assert not list(folder.rglob("*.tmp"))
    finally:
        store.close()


ELSEWHERE = {"forget": "promises/test_forget_crash.py"}
"""Failpoints above the store, by the first part of their names, and the tests that kill at them."""

HERE = [point for point in failpoints.POINTS if point.partition(".")[0] not in ELSEWHERE]


def test_every_failpoint_is_killed_at_somewhere() -> None:
    assert len(HERE) >= 17
    for family, file in ELSEWHERE.items():
        assert any(point.startswith(f"{family}.") for point in failpoints.POINTS), f"{family} is excluded for nothing"
        assert (ROOT / "tests" / file).is_file()


@pytest.mark.parametrize("point", HERE)
def test_killed_at_each_failpoint(point: str, tmp_path: Path, large: Life) -> None:
    process = child(tmp_path / "store", point)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == -signal.SIGKILL, f"{point} is never reached: {errors.decode()}"
    intact(tmp_path / "store", large)
    ends_the_same(tmp_path / "store", large, crashing.PIECES)


@pytest.mark.parametrize("point", ["object.folder:9", "version.chunks:3", "version.commit:4", "gc.file:5"])
def test_killed_at_a_later_passage(point: str, tmp_path: Path, large: Life) -> None:
    process = child(tmp_path / "store", point)
    process.communicate(timeout=60)
    assert process.returncode == -signal.SIGKILL
    intact(tmp_path / "store", large)
    ends_the_same(tmp_path / "store", large, crashing.PIECES)


def test_the_life_of_a_process_of_its_own_is_the_same(tmp_path: Path, large: Life) -> None:
    process = child(tmp_path / "store")
    out, errors = process.communicate(timeout=60)
    assert process.returncode == 0, errors.decode()
    assert json.loads(out.splitlines()[-1]) == large.end


REFUSALS = [
    pytest.param(("object.open", "EACCES", 8), marks=pytest.mark.nightly),
    ("object.write", "ENOSPC", 8),
    ("object.fsync", "EIO", 8),
    pytest.param(("object.rename", "EROFS", 8), marks=pytest.mark.nightly),
    pytest.param(("object.folder", "EIO", 8), marks=pytest.mark.nightly),
    ("memo.commit", "ENOSPC", 1),
    ("version.chunks", "ENOSPC", 5),
    ("version.commit", "ENOSPC", 4),
    ("purge.commit", "EIO", 2),
    ("purge.vacuum", "ENOSPC", 2),
    ("gc.file", "EIO", 1),
]


@pytest.mark.parametrize("refusal", REFUSALS)
def test_each_write_refused_in_turn(
    refusal: tuple[str, str, int], tmp_path: Path, small: Life, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The n-th passage fails, for every n until a run passes untouched; each failure is one that says what it is."""
    (point, error, least), n = refusal, 0
    while True:
        n += 1
        folder = tmp_path / f"{n}"
        monkeypatch.setattr(failpoints, "_armed", f"{point}:{n}:{error}")
        failpoints._passed.clear()
        store = Store(folder)
        refused = ""
        try:
            crashing.live(store, 3)
        except (TillageError, OSError) as error_:
            refused = str(error_)
        store.close()
        monkeypatch.setattr(failpoints, "_armed", "")
        if failpoints._passed[point] < n:
            assert not refused
            break
        assert os.strerror(getattr(errno, error)) in refused, "the failure is swallowed, or says something else"
        intact(folder, small)
        ends_the_same(folder, small, 3)
    assert n > least, f"only {n - 1} passages of {point} were tried"


def test_a_refused_object_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(failpoints, "_armed", "object.write:1:ENOSPC")
    failpoints._passed.clear()
    store = Store(tmp_path / "store")
    with pytest.raises(TillageError, match=r"No space left on device.*Free space") as refused:
        store.objects.put("ab" * 16, b"x" * (objects.SMALL + 1), "state")
    assert refused.value.exit_code == 69
    assert store.objects.files() == {}
    store.close()


def killed_at_random(folder: Path, life: Life, draw: random.Random, kills: int) -> int:
    """Start the life again and again, each time cut off after a while; how often the blow hit a living process.

    A blow that comes too late halves the time of the next: how fast a life is, is up to the machine.
    """
    hit, longest = 0, life.seconds
    for _ in range(kills):
        process = child(folder)
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        time.sleep(draw.uniform(0, longest))
        process.kill()
        process.communicate(timeout=60)
        if process.returncode == -signal.SIGKILL:
            hit += 1
        else:
            longest /= 2
        intact(folder, life)
    ends_the_same(folder, life, crashing.PIECES)
    return hit


@pytest.mark.parametrize("seed", range(10))
def test_three_kills_at_random_moments(seed: int, tmp_path: Path, large: Life) -> None:
    assert killed_at_random(tmp_path / "store", large, random.Random(seed), 3) >= 1


@pytest.mark.nightly
@pytest.mark.parametrize("seed", range(100, 150))
def test_four_kills_at_random_moments(seed: int, tmp_path: Path, large: Life) -> None:
    assert killed_at_random(tmp_path / "store", large, random.Random(seed), 4) >= 1


LANES = 16


@pytest.mark.nightly
@pytest.mark.parametrize("lane", range(LANES))
def test_killed_at_every_passage_of_every_failpoint(lane: int, tmp_path: Path, large: Life) -> None:
    """Each lane takes every sixteenth passage, until the life is over before it comes."""
    n = lane + 1
    while True:
        folder = tmp_path / f"{n}"
        process = child(folder, f"any:{n}")
        process.communicate(timeout=60)
        if process.returncode == 0:
            break
        assert process.returncode == -signal.SIGKILL
        intact(folder, large)
        ends_the_same(folder, large, crashing.PIECES)
        n += LANES
    assert n > 150
