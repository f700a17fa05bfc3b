"""The compiled functions say what their twins say, are built where they can be, and read no byte that is not theirs."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
import tomllib
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from tests.text.native_cases import CASES
from tillage.text.measures import tokens
from tillage.text.native import compiled, handed
from tillage.text.repetition import ngram_limits, ngrams_over
from tillage.text.unicode import blocks

ROOT = Path(__file__).parents[2]
COMPILER = shutil.which("cc")
ROUNDS = 300


def test_they_are_built_where_there_is_a_compiler() -> None:
    wanted = COMPILER is not None and not os.environ.get("TILLAGE_TWINS")
    assert compiled is not None or not wanted, "make test builds them; by hand: pip install --editable ."


def test_each_has_a_case() -> None:
    assert compiled is None or {name for name in vars(compiled) if not name.startswith("_")} == set(CASES)


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
def test_columns_of_texts_are_read_and_others_refused() -> None:
    assert compiled is not None
    table, wanted = np.zeros(0x110000, dtype=np.uint8), np.zeros(0x110, dtype=np.uint8)
    out = np.ones((2, 8), dtype=np.int64)
    texts = pl.Series(["one\none", None])
    compiled.said_again(texts.__arrow_c_stream__(), table, wanted, out)
    assert out.tolist() == [[2, 1, 6, 3, 1, 0, 7, 0], [0] * 8]
    with pytest.raises(ValueError, match="PyCapsule"):
        compiled.said_again(texts, table, wanted, out)
    for other in (pl.Series([1, 2]), pl.Series([b"a", b"b"]), pl.Series([["a"], ["b"]])):
        with pytest.raises(ValueError, match="holds no column of texts"):
            compiled.said_again(other.__arrow_c_stream__(), table, wanted, out)
    used = texts.__arrow_c_stream__()
    compiled.said_again(used, table, wanted, out)
    for wrong in (table[1:], wanted):
        with pytest.raises(ValueError, match="table has"):
            compiled.said_again(texts.__arrow_c_stream__(), wrong, wanted, out)
    with pytest.raises(ValueError, match="wanted has"):
        compiled.said_again(texts.__arrow_c_stream__(), table, wanted[1:], out)
    with pytest.raises(ValueError, match="out has 64 bytes, not 16 items of 8"):
        compiled.said_again(texts.__arrow_c_stream__(), table, wanted, out[:1])


@pytest.mark.skipif(compiled is None, reason="there is no compiler here")
def test_texts_that_do_not_fit_are_refused() -> None:
    assert compiled is not None
    data, starts, plain = np.frombuffer(b"1::2", dtype=np.uint8), np.array([0, 4]), np.full(8192, 255, dtype=np.uint8)
    odd, out = np.ones(1, dtype=np.uint8), np.ones((1, 3), dtype=np.int64)
    assert compiled.shapes(data, starts, plain, odd, out) == 1
    assert compiled.shapes(data, starts, plain, odd, out[:0]) == 1, "what had no room is counted"
    for wrong, said in (
        ((data, np.array([0, 5]), plain, odd, out), "starts do not ascend from 0 to 4"),
        ((data, starts, plain[1:], odd, out), "plain has 8191 bytes"),
        ((data, starts, np.zeros(8192, dtype=np.uint8), odd, out), "plain lacks Han signs"),
        ((data, starts, plain, odd[:0], out), "odd has 0 bytes"),
        ((data, starts, plain, odd, np.ones(4, dtype=np.int64)), "out has 32 bytes"),
    ):
        with pytest.raises(ValueError, match=said):
            compiled.shapes(*wrong)
    some = pl.Series(["a", "longer than what a view holds"])
    for column, size, why in ((some, 29, "fill"), (some, 31, "fill"), (pl.Series([1]), 8, "no column of texts")):
        with pytest.raises(ValueError, match=why):
            compiled.joined(column.__arrow_c_stream__(), b"", np.ones(size, dtype=np.uint8))
    with pytest.raises(ValueError, match="PyCapsule"):
        compiled.joined(some, b"", odd)


@pytest.mark.skipif(compiled is None or sys.platform != "linux", reason="memory is told by Linux")
def test_a_column_that_is_dropped_is_freed() -> None:
    assert compiled is not None
    size = 4 << 20
    data, kinds, place = bytes(size), np.full(1, 2, dtype=np.uint8), np.zeros(1, dtype=np.uint32)

    def held() -> int:
        return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGESIZE")

    told = []
    for _ in range(60):
        column = handed("x", compiled.json_texts(data, kinds, place, np.array([size], dtype=np.uint32)))
        assert column.str.len_bytes().to_list() == [size]
        compiled.json_texts(data, kinds, place, np.array([size], dtype=np.uint32))  # nobody takes it
        told.append(held())
    assert told[-1] - told[9] < 40 * size


@pytest.mark.skipif(compiled is None, reason="there is no compiler here")
def test_places_outside_the_data_are_refused() -> None:
    assert compiled is not None
    one, kind, none = np.zeros(1, dtype=np.int64), np.full(1, 4, dtype=np.uint8), np.zeros(1, dtype=np.uint32)
    cells = (np.empty(0, dtype=np.uint8), np.empty(0, dtype=np.uint32), np.empty(0, dtype=np.uint32), kind)
    for starts, ends in ((one - 1, one), (one, one + 3), (one + 2, one + 1)):
        with pytest.raises(ValueError, match="the records do not stand within the data"):
            compiled.json_records(b"{}", starts, ends, 9, b"", one, *cells)
    with pytest.raises(ValueError, match="kinds has 0 bytes"):
        compiled.json_records(b"{}", one, one, 9, b"a", np.array([0, 1]), *cells)
    for place, size in ((3, 0), (0, 3), (2**32 - 1, 1)):
        with pytest.raises(ValueError, match="the values do not stand within the data"):
            compiled.json_texts(b"12", kind, none + np.uint32(place), none + np.uint32(size))
    with pytest.raises(ValueError, match="the values do not stand"):
        compiled.json_integers(b"12", kind + np.uint8(4), none, none, one)
    with pytest.raises(ValueError, match="a whole number is too long"):
        compiled.json_integers(b"1" * 20, kind, none, none + np.uint32(20), one)
    with pytest.raises(ValueError, match="an escape is none"):
        compiled.json_texts(b"\\", kind - np.uint8(1), none, none + np.uint32(1))


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
    starts = np.array([0, 0])
    assert compiled.sets(tokens, bounds, five, five, starts, np.ones(6, dtype=np.uint64)) == 1
    assert starts.tolist() == [0, 1]
    with pytest.raises(ValueError, match="out has no room for all shingles"):
        compiled.sets(tokens, bounds, five, five, starts, np.ones(5, dtype=np.uint64))
    with pytest.raises(ValueError, match="starts has 8 bytes, not 2 items of 8"):
        compiled.sets(tokens, bounds, five, five, starts[:1], np.ones(6, dtype=np.uint64))
    compiled.buckets(tokens, bounds, five, five, four, four, two, two, two)
    with pytest.raises(ValueError, match="factors has 8 bytes, not 4 items of 4"):
        compiled.buckets(tokens, bounds, five, five, four[:2], four, two, two, two)
    with pytest.raises(ValueError, match="out has 24 bytes, not 2 items of 8"):
        compiled.buckets(tokens, bounds, five, five, four, four, two, two, out)
    texts, far = pl.Series(["a", "w" * 65]), np.ones(2, dtype=np.uint8)
    compiled.text_buckets(texts.__arrow_c_stream__(), five, five, four, four, two, two, far, np.ones(4, np.uint64))
    assert far.tolist() == [0, 1]
    for short, many, told in ((far, 3, "out has 24 bytes"), (far[:1], 4, "far has 1 bytes, not 2 items of 1")):
        with pytest.raises(ValueError, match=told):
            compiled.text_buckets(
                texts.__arrow_c_stream__(), five, five, four, four, two, two, short, np.ones(many, np.uint64)
            )
    with pytest.raises(ValueError, match="holds no column of texts"):
        compiled.text_buckets(pl.Series([1]).__arrow_c_stream__(), five, five, four, four, two, two, far, out)


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


@pytest.mark.skipif(compiled is None, reason="there is no compiler here")
@pytest.mark.parametrize("n", [2, 3])
def test_shares_of_ngrams_are_exact(n: int) -> None:
    """At every limit that a share can equal; words cross the windows of 64 bytes in which texts are read."""
    words = ["ab", "sentences", "of", "every-length", "w" * 70, "\u53d1\u70e7", "caf\u00e9"]
    chance = np.random.default_rng(n)
    for size in (6, 12, 18, 24):
        text = pl.Series([" ".join(chance.choice(words, size))])
        block, one = next(blocks(text)), np.ones(1, dtype=np.bool_)
        signs = len(text[0].replace(" ", ""))
        for part in range(signs + 1):
            limits = {n: part / signs}
            here = ngrams_over(text, limits, limits, one)
            assert here == ngram_limits(block, tokens(block), limits, limits, one), (text[0], part)


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
        **os.environ, "TILLAGE_TWINS": "", "LD_PRELOAD": library, "ASAN_OPTIONS": "detect_leaks=0", "PYTHONPATH": path,
        "PYTHONMALLOC": "malloc",
    }  # fmt: skip
    command = [sys.executable, "-m", "tests.text.native_cases", str(built), str(seconds)]
    done = subprocess.run(command, env=environment, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-4000:]
    assert int(done.stdout) > 0


@pytest.mark.skipif(COMPILER is None, reason="there is no compiler here")
def test_they_stay_within_their_arrays(tmp_path: Path) -> None:
    under_the_sanitizer(tmp_path, 5)


@pytest.mark.nightly
@pytest.mark.skipif(COMPILER is None, reason="there is no compiler here")
def test_they_stay_within_their_arrays_for_long(tmp_path: Path) -> None:
    under_the_sanitizer(tmp_path, 300)
