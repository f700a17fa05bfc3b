"""F1 of the main text of web pages on the article extraction benchmark, scored as that benchmark defines it.

Usage: python benchmarks/web_quality.py DIR|made PAGES [all]

DIR holds `html.zip` (pages, gzip each) and `ground-truth.json.gz`; `made` stands for pages made here. PAGES: how many,
0 for all; `all`: all visible text in the place of the main text. A text is the multiset of its shingles of four words
(runs of letters and digits). True and false positives and false negatives are counted on multisets and divided by their
sum, so that a long page weighs no more; precision and recall are means over the pages that have them, and F1 is made of
these two. Source: github.com/scrapinghub/article-extraction-benchmark.
"""

from __future__ import annotations

import gzip
import json
import re
import sys
import time
import zipfile
from collections import Counter
from html import unescape
from pathlib import Path
from random import Random
from statistics import mean

from tillage.collect.content import Unreadable
from tillage.collect.extract import decoded_page, main_text

WORDS = 4


def main() -> None:
    """Print the scores as JSON."""
    where, wanted, whole = sys.argv[1], int(sys.argv[2]), sys.argv[3:] == ["all"]
    pages, truth = _made(wanted or 40) if where == "made" else _given(Path(where), wanted)
    main_text(b"<p>start</p>")  # the process that extracts is up
    found, failed, start = {}, 0, time.perf_counter()
    for name, page in pages.items():
        try:
            found[name] = _visible(page) if whole else main_text(page).text
        except Unreadable:
            found[name], failed = "", failed + 1
    seconds = time.perf_counter() - start
    precision, recall, f1 = scores([(truth[n], found[n]) for n in pages])
    told = {"pages": len(pages), "failed": failed, "pages_s": len(pages) / seconds}
    print(json.dumps({**told, "precision": precision, "recall": recall, "f1": f1}))


def _visible(page: bytes) -> str:
    """The text between all tags but those of scripts and styles."""
    bare = re.sub(r"(?is)<(script|style|noscript)\b.*?</\1\s*>|<!--.*?-->", " ", decoded_page(page))
    return unescape(re.sub(r"(?s)<[^>]*>", " ", bare))


def _made(count: int) -> tuple[dict[str, bytes], dict[str, str]]:
    """Pages with a menu, an advert and a footer around paragraphs of made words."""
    draw = Random(7)
    words = [f"{a}{b}{c}" for a in "bdfgkl" for b in "aeiou" for c in ("n", "ra", "st", "mo", "li")]
    pages, truth = {}, {}
    for n in range(count):
        said = [" ".join(draw.choices(words, k=draw.randint(20, 60))).capitalize() + "." for _ in range(6)]
        menu = "".join(f"<li><a href='/{w}'>{w}</a></li>" for w in draw.sample(words, 30))
        body = "".join(f"<p>{s}</p>" for s in said)
        pages[f"{n}"] = (
            f"<html><head><title>{n}</title></head><body><nav><ul>{menu}</ul></nav><article>{body}</article>"
            f"<aside><ul>{menu}</ul></aside><footer>All rights reserved</footer></body></html>"
        ).encode()
        truth[f"{n}"] = " ".join(said)
    return pages, truth


def _given(folder: Path, wanted: int) -> tuple[dict[str, bytes], dict[str, str]]:
    truth = json.loads(gzip.decompress((folder / "ground-truth.json.gz").read_bytes()))
    names = sorted(truth)[: wanted or None]
    pages = _pages(folder / "html.zip", set(names))
    return {n: pages[n] for n in names}, {n: truth[n].get("articleBody", "") for n in names}


def _pages(file: Path, names: set[str]) -> dict[str, bytes]:
    out = {}
    with zipfile.ZipFile(file) as archive:
        for entry in archive.namelist():
            name = Path(entry).name.removesuffix(".html.gz")
            if name in names:
                out[name] = gzip.decompress(archive.read(entry))
    return out


def scores(texts: list[tuple[str, str]]) -> tuple[float, float, float]:
    """Precision, recall and F1 of (true text, text found).

    >>> scores([("one two three four", "one two three four"), ("a b c d e", "a b c d x")])
    (0.75, 0.75, 0.75)
    """
    counts = [_counted(_shingles(true), _shingles(found)) for true, found in texts]
    precision = mean(tp / (tp + fp) for tp, fp, _ in counts if tp + fp)
    recall = mean(tp / (tp + fn) for tp, _, fn in counts if tp + fn)
    return precision, recall, 2 * precision * recall / (precision + recall) if precision + recall else 0.0


def _shingles(text: str) -> Counter[tuple[str, ...]]:
    words = re.findall(r"\w+", text)
    return Counter(tuple(words[i : i + WORDS]) for i in range(max(1, len(words) - WORDS + 1)) if words)


def _counted(true: Counter[tuple[str, ...]], found: Counter[tuple[str, ...]]) -> tuple[int, int, int]:
    """True and false positives, and false negatives; dividing them by their sum changes neither quotient of a page."""
    both = (true & found).total()
    return both, found.total() - both, true.total() - both


if __name__ == "__main__":
    main()
