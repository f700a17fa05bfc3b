"""Law 6, one worker or many, and law 7, the same again: nothing around a run may show in its digests."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.flow.world import KEY, World, differences, digests, small_chunks
from tests.laws.worlds import KindsWorld
from tillage.face.rooms import in_processes

ROOT = Path(__file__).parents[2]

PLAIN = {"PYTHONHASHSEED": "0", "TZ": "UTC", "LC_ALL": "C.UTF-8"}
SURROUNDINGS: dict[str, dict[str, Any]] = {
    "hash seed": {"env": {"PYTHONHASHSEED": "1"}},
    "time zone": {"env": {"TZ": "Asia/Kathmandu"}},
    "locale": {"env": {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}},
    "listing": {"shuffle": 5},
    "moved": {"moved": True},
    "workers": {"workers": 4},
    "all at once": {
        "env": {"PYTHONHASHSEED": "12", "TZ": "America/St_Johns", "LC_ALL": "C", "PYTHONUTF8": "0"},
        "shuffle": 6,
        "moved": True,
        "workers": 3,
    },
}


@pytest.mark.parametrize(("kind", "seed"), [(World, 81), (KindsWorld, 82)])
def test_law_6_workers_do_not_show(
    kind: type[World], seed: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    small_chunks(monkeypatch)
    monkeypatch.setenv("PYTHONPATH", str(ROOT / "src"))
    world = kind(tmp_path / "w", seed)
    found: list[list[Any]] = []
    projects = [world.open(f"threads{n}", workers=n) for n in (1, 2, 4)]
    for n in (1, 2):
        store = f"processes{n}"
        projects.append(world.open(store, engine=in_processes(world.open(store).plan, n)))
    for _ in range(2):
        found.append([digests(p, p.run()) for p in projects])
        world.edit()
    for p in projects:
        p.close()
    for one, *others in found:
        for other in others:
            assert differences(one, other) == []
    assert found[0] != found[1]


def run_in(folder: Path, store: str, env: dict[str, str], workers: int = 1, shuffle: int = 0) -> Any:
    around = {k: v for k, v in os.environ.items() if k not in {"TILLAGE_KEY", "PYTHONUTF8", "LANG", "LC_CTYPE"}}
    around |= {**PLAIN, **env, "TILLAGE_KEY": KEY, "PYTHONPATH": os.pathsep.join([str(ROOT), *sys.path])}
    command = [sys.executable, str(Path(__file__).with_name("same.py")), str(folder), store, str(workers), str(shuffle)]
    done = subprocess.run(command, env=around, cwd=folder.parent, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr.decode("utf-8", "replace")
    return json.loads(done.stdout)


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Any]:
    """A world, and what a run of it in plain surroundings gives."""
    world = World(tmp_path_factory.mktemp("plain") / "w", 83)
    return world.root, run_in(world.root, ".tillage", {})


@pytest.mark.parametrize(
    "what", [w if w == "all at once" else pytest.param(w, marks=pytest.mark.nightly) for w in SURROUNDINGS]
)
def test_law_7_surroundings_do_not_show(what: str, plain: tuple[Path, Any], tmp_path: Path) -> None:
    root, expected = plain
    around = dict(SURROUNDINGS[what])
    if around.pop("moved", False):
        shutil.copytree(root, tmp_path / "else where\u20ac", ignore=shutil.ignore_patterns(".*"))
        root = tmp_path / "else where\u20ac"
    store = ".other-" + what.replace(" ", "-")
    assert differences(expected, run_in(root, store, around.pop("env", {}), **around)) == []


def test_law_7_chunks_do_not_show(plain: tuple[Path, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """And neither does another way to cut the rows: the process before had the sizes of every day."""
    small_chunks(monkeypatch)
    root, expected = plain
    with World.open(_at(root), ".small") as p:
        assert differences(expected, json.loads(json.dumps(digests(p, p.run())))) == []


def test_another_key_gives_other_ids_and_so_other_digests(
    plain: tuple[Path, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The digests are of something: the law would hold of a constant, too."""
    monkeypatch.setenv("TILLAGE_KEY", "cd" * 32)
    root, expected = plain
    with World.open(_at(root), ".key") as p:
        p.run(["clean"])
        assert p.store.digest("clean") != expected["tables"]["clean"]["digest"]


def _at(root: Path) -> World:
    world = World.__new__(World)
    world.root = root
    return world
