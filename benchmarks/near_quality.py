"""Recall and precision of near duplicates, against the true Jaccard similarity of every pair that shares a shingle.

Prints one JSON object a line. A pair counts as found when both are in one cluster; wrong is a pair in one cluster that
no chain of truly similar pairs connects. Truth is by regular expression and Python's sets, and shares no code.

Usage: python benchmarks/near_quality.py corpus DOCUMENTS | articles FOLDER
"""

from __future__ import annotations

import gzip
import json
import re
import sys
from collections import Counter, defaultdict
from itertools import combinations
from pathlib import Path

import polars as pl

from corpus import documents
from tillage.prepare import DropDuplicates

TOKEN = re.compile(r"[\u4e00-\u9fff]|[^\s\u4e00-\u9fff]+")
SIMILARITIES = (0.5, 0.7, 0.8, 0.9)


def shingles(text: str) -> frozenset[tuple[str, ...]]:
    """By the definition."""
    found = TOKEN.findall(text.lower())
    return frozenset(tuple(found[i : i + 5]) for i in range(max(len(found) - 4, 1)))


def true_pairs(texts: list[str]) -> dict[tuple[int, int], float]:
    """The similarity of every pair of texts that share a shingle."""
    sets = [shingles(t) for t in texts]
    holders = defaultdict(list)
    for n, own in enumerate(sets):
        for shingle in own:
            holders[shingle].append(n)
    common = Counter(pair for own in holders.values() for pair in combinations(own, 2))
    return {(a, b): both / (len(sets[a]) + len(sets[b]) - both) for (a, b), both in common.items()}


def clusters(count: int, pairs: list[tuple[int, int]]) -> list[int]:
    """The label of each of `count` texts, by links."""
    label = list(range(count))

    def root(n: int) -> int:
        while label[n] != n:
            label[n] = n = label[label[n]]
        return n

    for a, b in pairs:
        label[root(a)] = root(b)
    return [root(n) for n in range(count)]


def found(texts: list[str], similarity: float) -> list[int]:
    """The label of each text, by the step."""
    rows = pl.DataFrame({"_id": pl.Series(range(len(texts)), dtype=pl.UInt128), "text": texts})
    marked = DropDuplicates(columns=("text",), similarity=similarity).compute({"rows": rows})
    return [int(i) for i in marked.select(pl.coalesce("_into", "_id")).to_series()]


def judged(what: str, texts: list[str], pairs: dict[tuple[int, int], float], similarity: float) -> dict[str, object]:
    """Pairs that there are, that were found, and that should not have been."""
    alike = [pair for pair, true in pairs.items() if true >= similarity]
    label, truth = found(texts, similarity), clusters(len(texts), alike)
    members = defaultdict(list)
    for n, own in enumerate(label):
        members[own].append(n)
    together = [pair for own in members.values() for pair in combinations(own, 2)]
    return {
        "what": what,
        "similarity": similarity,
        "pairs": len(alike),
        "found": sum(label[a] == label[b] for a, b in alike),
        "wrong": sum(truth[a] != truth[b] for a, b in together),
        "together": len(together),
    }


def corpus(count: int) -> None:
    """The corpus of the figures, English and Chinese apart."""
    every = list(documents(count))
    for what, han in (("English", False), ("Chinese", True)):
        texts = [t for _, t, _ in every if any("\u4e00" <= c <= "\u9fff" for c in t[:200]) == han]
        pairs = true_pairs(texts)
        for similarity in SIMILARITIES:
            print(json.dumps(judged(what, texts, pairs, similarity)))


def articles(folder: Path) -> None:
    """1,000 articles with ten listed pairs (`articles_1000.train.gz`, `articles_1000.truth`; McCormick 2015, MIT)."""
    with gzip.open(folder / "articles_1000.train.gz", "rt", encoding="utf-8") as file:
        named = dict(line.rstrip("\n").split(" ", 1) for line in file)
    names = list(named)
    listed = {frozenset(line.split()) for line in (folder / "articles_1000.truth").read_text().splitlines() if line}
    label = found(list(named.values()), 0.5)
    merged = {frozenset((names[n], names[into])) for n, into in enumerate(label) if n != into}
    print(
        json.dumps(
            {"what": "articles", "listed": len(listed), "found": len(merged & listed), "other": len(merged - listed)}
        )
    )


if __name__ == "__main__":
    if sys.argv[1] == "corpus":
        corpus(int(sys.argv[2]))
    else:
        articles(Path(sys.argv[2]))
