"""The data of the figures on text: JSONL of documents cut from the prose of installed packages, from a seed.

English is from the docstrings and comments of the standard library and installed packages, as one long run of
sentences; Chinese is put together from characters by a frequency that falls as 1/rank, since packages hold little of
it. Of the documents a tenth are copies of an earlier one, a tenth near copies (one to eight words or characters in a
hundred changed), 5 % junk, 3 % hold personal data, 15 % are Chinese. `cluster` says which document one was copied from.

Usage: python benchmarks/corpus.py FOLDER --documents 200000 --files 20 [--start N]
"""

from __future__ import annotations

import argparse
import ast
import random
import sysconfig
from collections.abc import Iterator
from functools import cache
from itertools import accumulate
from pathlib import Path

import polars as pl

COPIES, NEAR, JUNK, PERSONAL, CHINESE = 0.10, 0.10, 0.05, 0.03, 0.15
WORDS = (40, 360)
"""Least and most words of an English document; a Chinese one has twice as many characters."""
PROSE_BYTES = 3_000_000
PIECE = 12
"""Words that are taken together from the prose: about a sentence."""
NAMES = ("Anna Weber", "John Miller", "Li Wei", "Marie Dupont", "Omar Haddad", "王小明", "Sofia Rossi", "Tom Baker")


@cache
def prose() -> list[str]:
    """The words of docstrings, file by file in order of their paths, up to PROSE_BYTES."""
    words: list[str] = []
    size = 0
    roots = [Path(sysconfig.get_path("stdlib")), Path(sysconfig.get_path("purelib"))]
    for path in (p for root in roots for p in sorted(root.rglob("*.py"))):
        if size > PROSE_BYTES:
            break
        try:
            tree = ast.parse(path.read_text(encoding="utf-8"))
        except (SyntaxError, UnicodeDecodeError, ValueError):  # test data of the library that is wrong on purpose
            continue
        holders = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
        for node in ast.walk(tree):
            text = ast.get_docstring(node) if isinstance(node, holders) else None
            if text and len(text) > 80:
                size += len(text)
                words += text.split()
    return words


@cache
def _characters() -> tuple[list[str], list[float]]:
    """3,000 Han characters, and the running sum of their frequencies."""
    return [chr(0x4E00 + n * 6) for n in range(3000)], list(accumulate(1 / n for n in range(1, 3001)))


def _english(draw: random.Random) -> list[str]:
    """Sentences from anywhere, so that no two documents share most of their words by chance."""
    words = prose()
    starts = [draw.randrange(len(words) - PIECE) for _ in range(draw.randrange(*WORDS) // PIECE)]
    return [word for at in starts for word in words[at : at + PIECE]]


def _chinese(draw: random.Random) -> list[str]:
    characters, sums = _characters()
    out = draw.choices(characters, cum_weights=sums, k=draw.randrange(*WORDS) * 2)
    out[11::12] = ["，"] * len(out[11::12])
    return out


def _near(tokens: list[str], draw: random.Random) -> list[str]:
    out = list(tokens)
    for _ in range(max(1, len(out) * draw.randrange(1, 9) // 400)):
        out[draw.randrange(len(out))] = draw.choice(tokens)
    return out


def _junk(draw: random.Random) -> list[str]:
    kind = draw.randrange(3)
    if kind == 0:
        return ["".join(draw.choices("#@$%*~|<>{}[]=_\\", k=8)) for _ in range(30)] + [str(draw.getrandbits(32))]
    if kind == 1:
        return ["buy", "now", str(draw.randrange(10**6))] * draw.randrange(10, 60)
    return [str(draw.getrandbits(16)) for _ in range(draw.randrange(1, 40))]


def _personal(draw: random.Random) -> list[str]:
    name = draw.choice(NAMES)
    mail = f"{draw.choice('abcdefgh')}{draw.randrange(10**5)}@example.org"
    return ["contact", *name.split(), mail, f"+49 30 {draw.randrange(10**6, 10**7)}"]


def documents(count: int, start: int = 0, seed: int = 1) -> Iterator[tuple[int, str, int]]:
    """(id, text, cluster): number `start` and those after it; document n is the same whatever the start.

    A copy is of a document before it, made again from its number, so that nothing is remembered.
    """
    for n in range(start, start + count):
        tokens, cluster = _made(n, seed)
        yield n, ("" if _is_chinese(cluster, seed) else " ").join(tokens), cluster


def _is_chinese(n: int, seed: int) -> bool:
    return random.Random(f"{seed} {n} language").random() < CHINESE


def _made(n: int, seed: int) -> tuple[list[str], int]:
    draw = random.Random(f"{seed} {n}")
    kind = draw.random()
    if n and kind < COPIES + NEAR:
        tokens, cluster = _made(draw.randrange(n), seed)
        return (tokens if kind < COPIES else _near(tokens, draw)), cluster
    if kind < COPIES + NEAR + JUNK:
        return _junk(draw), n
    tokens = _chinese(draw) if _is_chinese(n, seed) else _english(draw)
    if draw.random() < PERSONAL / (1 - COPIES - NEAR - JUNK):
        at = draw.randrange(len(tokens))
        tokens[at:at] = _personal(draw)
    return tokens, n


def write(folder: Path, count: int, files: int, start: int = 0, seed: int = 1) -> None:
    """Write documents from `start` as `files` files of JSON lines: `id`, `text`, `cluster`."""
    folder.mkdir(parents=True, exist_ok=True)
    each = -(-count // files)
    for first in range(start, start + count, each):
        rows = list(documents(min(each, start + count - first), first, seed))
        frame = pl.DataFrame(rows, schema={"id": pl.Int64, "text": pl.String, "cluster": pl.Int64}, orient="row")
        frame.write_ndjson(folder / f"part-{first:09d}.jsonl")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--documents", type=int, default=200_000)
    parser.add_argument("--files", type=int, default=20)
    parser.add_argument("--start", type=int, default=0)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    write(given.folder, given.documents, given.files, given.start, given.seed)
