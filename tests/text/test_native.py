"""The compiled functions say what their twins say, are built where they can be, and read no byte that is not theirs."""

from __future__ import annotations

import ast
import os
import shutil
import subprocess
import sys
import sysconfig
import tomllib
from pathlib import Path

import numpy as np
import pytest

from tests.text.native_cases import CASES
from tillage.text.native import compiled

ROOT = Path(__file__).parents[2]
COMPILER = shutil.which("cc")
ROUNDS = 300


def test_they_are_built_where_there_is_a_compiler() -> None:
    assert compiled is not None or COMPILER is None, "make test builds them; by hand: pip install --editable ."


def test_each_has_a_case() -> None:
    tree = ast.parse((ROOT / "src/tillage/text/_native.pyi").read_text())
    declared = {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}
    assert declared == set(CASES)
    if compiled is not None:
        assert {name for name in vars(compiled) if not name.startswith("_")} == declared


@pytest.mark.skipif(compiled is None, reason="there is no compiler here")
@pytest.mark.parametrize("name", CASES)
def test_they_say_what_their_twins_say(name: str) -> None:
    for seed in range(ROUNDS):
        CASES[name](np.random.default_rng(seed))


@pytest.mark.skipif(compiled is None, reason="there is no compiler here")
def test_lengths_that_do_not_fit_are_refused() -> None:
    assert compiled is not None
    one, two = np.ones(1, dtype=np.uint32), np.ones(2, dtype=np.uint32)
    hashes, starts = np.ones(3, dtype=np.uint64), np.array([0, 3])
    with pytest.raises(ValueError, match="terms has 8 bytes, not 1 items of 4"):
        compiled.signatures(hashes, starts, one, two, one)
    with pytest.raises(ValueError, match="out has 8 bytes"):
        compiled.signatures(hashes, starts, one, one, two)
    for wrong in ([0, 4], [-1, 3], [2, 1]):
        with pytest.raises(ValueError, match="starts do not ascend from 0 to 3"):
            compiled.signatures(hashes, np.array(wrong), one, one, one)


@pytest.mark.skipif(compiled is None, reason="there is no compiler here")
def test_tokens_that_have_no_room_are_refused() -> None:
    assert compiled is not None
    text, starts = np.frombuffer(b"one two" + bytes(8), dtype=np.uint8), np.array([0, 7])
    hashes, bounds, far = np.zeros(2, dtype=np.uint64), np.zeros(2, dtype=np.int64), np.zeros((1, 3), dtype=np.int64)
    assert compiled.tokens(text, starts, hashes, bounds, far) == 0
    with pytest.raises(ValueError, match="starts do not ascend from 0 to 6"):
        compiled.tokens(text[:-1], starts, hashes, bounds, far)
    with pytest.raises(ValueError, match="starts do not ascend from 0 to -1"):
        compiled.tokens(text[:7], starts * 0, hashes, bounds, far)
    with pytest.raises(ValueError, match="no room for all tokens"):
        compiled.tokens(text, starts, hashes[:1], bounds, far)
    with pytest.raises(ValueError, match="bounds has 8 bytes"):
        compiled.tokens(text, starts, hashes, bounds[:1], far)
    long = np.frombuffer(b"w" * 65 + bytes(8), dtype=np.uint8)
    assert compiled.tokens(long, np.array([0, 65]), hashes, bounds, far) == 1
    with pytest.raises(ValueError, match="no room for all tokens"):
        compiled.tokens(long, np.array([0, 65]), hashes, bounds, far[:0])


@pytest.mark.skipif(compiled is None, reason="there is no compiler here")
def test_shingles_and_buckets_of_other_lengths_are_refused() -> None:
    assert compiled is not None
    tokens, bounds, five = np.ones(7, dtype=np.uint64), np.array([0, 7]), np.ones(5, dtype=np.uint64)
    out, two, four = np.ones(3, dtype=np.uint64), np.ones(2, dtype=np.uint64), np.ones(4, dtype=np.uint32)
    compiled.shingles(tokens, bounds, five, five, np.array([0, 3]), out)
    for wrong in ([0, 4], [0, 2], [1, 3]):
        with pytest.raises(ValueError, match="starts"):
            compiled.shingles(tokens, bounds, five, five, np.array(wrong), out)
    with pytest.raises(ValueError, match="places has 16 bytes, not 5 items of 8"):
        compiled.shingles(tokens, bounds, two, five, np.array([0, 3]), out)
    compiled.buckets(tokens, bounds, five, five, four, four, two, two, two)
    with pytest.raises(ValueError, match="factors has 8 bytes, not 4 items of 4"):
        compiled.buckets(tokens, bounds, five, five, four[:2], four, two, two, two)
    with pytest.raises(ValueError, match="out has 24 bytes, not 2 items of 8"):
        compiled.buckets(tokens, bounds, five, five, four, four, two, two, out)


@pytest.mark.skipif(compiled is None, reason="there is no compiler here")
@pytest.mark.parametrize("wrong", [{"members": [0, 2]}, {"members": [-1, 0]}, {"sizes": [3]}, {"sizes": [-1, 1]}])
def test_groups_of_what_is_not_there_are_refused(wrong: dict[str, list[int]]) -> None:
    assert compiled is not None
    first, last, hashes = np.array([0, 1]), np.array([1, 2]), np.ones(2, dtype=np.uint64)
    given = {"members": [0, 1], "sizes": [2]}
    for groups in (given, {**given, **wrong}):
        members, sizes = np.array(groups["members"]), np.array(groups["sizes"])
        if groups == given:
            assert compiled.components(hashes, first, last, members, sizes, 0.5, np.arange(2)) == 1
            for labels in ([0, 0], [1, 0]):
                with pytest.raises(ValueError, match="labels are no numbers"):
                    compiled.components(hashes, first, last, members, sizes, 0.5, np.array(labels))
            for until in ([1, 3], [0, 2]):
                with pytest.raises(ValueError, match="that are not there"):
                    compiled.components(hashes, first, np.array(until), members, sizes, 0.5, np.arange(2))
        else:
            with pytest.raises(ValueError, match="that are not there"):
                compiled.components(hashes, first, last, members, sizes, 0.5, np.arange(2))


def sanitized(folder: Path) -> tuple[Path, str]:
    """The functions built with the sanitizers of addresses and of undefined behaviour, and what must be preloaded."""
    extension = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["ext-modules"][0]
    (limited,) = extension["define-macros"]
    built = folder / "_native.abi3.so"
    options = ["-shared", "-fPIC", "-g", "-O1", "-fsanitize=address,undefined", "-fno-sanitize-recover=all"]
    options += [f"-D{limited[0]}={limited[1]}", f"-I{sysconfig.get_path('include')}"]
    sources = [str(ROOT / source) for source in extension["sources"]]
    subprocess.run(["cc", *options, *sources, "-o", str(built)], check=True)
    library = subprocess.run(["cc", "-print-file-name=libasan.so"], check=True, capture_output=True, text=True).stdout
    return built, library.strip()


def under_the_sanitizer(folder: Path, seconds: float) -> None:
    built, library = sanitized(folder)
    path = os.pathsep.join(p for p in (str(ROOT / "src"), os.environ.get("PYTHONPATH")) if p)
    environment = {
        **os.environ, "LD_PRELOAD": library, "ASAN_OPTIONS": "detect_leaks=0", "PYTHONPATH": path,
        "PYTHONMALLOC": "malloc",
    }  # fmt: skip
    command = [sys.executable, str(ROOT / "tests/text/native_cases.py"), str(built), str(seconds)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-4000:]
    assert int(done.stdout) > 0


@pytest.mark.skipif(COMPILER is None, reason="there is no compiler here")
def test_they_stay_within_their_arrays(tmp_path: Path) -> None:
    under_the_sanitizer(tmp_path, 5)


@pytest.mark.nightly
@pytest.mark.skipif(COMPILER is None, reason="there is no compiler here")
def test_they_stay_within_their_arrays_for_long(tmp_path: Path) -> None:
    under_the_sanitizer(tmp_path, 300)
