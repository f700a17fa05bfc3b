"""Near duplicates among 200,000 documents, from files to a table; 1 % appended; recall and precision.

Beside it plain Polars with rensa, which keeps nothing and checks no candidate: where rensa is not installed it is left
out, and said. Recall and precision are those of 6,000 documents of the same corpus, every pair compared.

Usage: python benchmarks/figure_near.py [--quick] [--repetitions N] [--data DIR] [--write docs/benchmarks.md]
"""

from __future__ import annotations

import json
import shutil
import tempfile
from importlib.util import find_spec
from pathlib import Path

from child import BENCHMARKS, Used, python, tillage
from figure import Figure, Side, arguments, ratios

PLAN = """\
project: near
tables:
  documents: {collect: {files: data/*.jsonl}, key: id}
  clean: {from: documents, steps: [{drop_duplicates: {columns: [text], similarity: 0.8}}]}
"""
ARTICLES = "minhash-articles-1000"
"""articles_1000.train.gz and articles_1000.truth of github.com/chrisjmccormick/MinHash (MIT)."""


class Near:
    """The sides, and what belongs to each turn of the first."""

    def __init__(self, root: Path, count: int) -> None:
        self.root, self.count = root, count
        self.idle: list[Used] = []
        self.append: list[Used] = []
        self.share: list[float] = []
        python(BENCHMARKS / "corpus.py", root / "data", "--documents", str(count))
        more = ["--documents", str(count // 100), "--files", "1", "--start", str(count)]
        python(BENCHMARKS / "corpus.py", root / "more", *more)
        (root / "tillage.yaml").write_text(PLAN)

    def full(self, _: int) -> Used:
        """Everything; then a run with nothing to do and one with 1 % more."""
        shutil.rmtree(self.root / ".tillage", ignore_errors=True)
        used = tillage("run", cwd=self.root)
        self.idle.append(tillage("run", cwd=self.root))
        (part,) = (self.root / "more").iterdir()
        here = self.root / "data" / part.name
        shutil.copy(part, here)
        self.append.append(tillage("run", cwd=self.root))
        here.unlink()
        start = self.idle[-1].cpu
        self.share.append(100 * (self.append[-1].cpu - start) / (used.cpu - start))
        return used

    def peer(self, _: int) -> Used:
        """Plain Polars and rensa."""
        return python(BENCHMARKS / "near_peer.py", "data", "0.8", "out.parquet", cwd=self.root)


def quality(figure: Figure, count: int, data: Path | None) -> None:
    """The table of recall and precision, and the ten pairs of the articles."""
    figure.say()
    figure.say(f"Of {count:,} documents, every pair compared:")
    figure.say()
    figure.say("| | similarity | pairs | recall | pairs put together | precision |")
    figure.say("|---|---|---|---|---|---|")
    reached, of, wrong = 0, 0, 0
    for line in python(BENCHMARKS / "near_quality.py", "corpus", str(count)).out.splitlines():
        row = json.loads(line)
        recall, precise = row["found"] / max(row["pairs"], 1), 1 - row["wrong"] / max(row["together"], 1)
        told = f"{row['pairs']:,} | {recall:.4f} | {row['together']:,} | {precise:.4f}"
        figure.say(f"| {row['what']} | {row['similarity']} | {told} |")
        reached, of, wrong = reached + (recall >= 0.99), of + 1, wrong + row["wrong"]
    figure.hold("recall of 0.99 or more", reached, of)
    figure.judge("pairs put together that should not be", [wrong], "", limit=0)
    if data is None:
        figure.say()
        figure.say(
            f"The 1,000 articles with ten listed pairs were left out: `--data DIR` names the folder of {ARTICLES}."
        )
        return
    row = json.loads(python(BENCHMARKS / "near_quality.py", "articles", data / ARTICLES).out)
    figure.hold("listed pairs of 1,000 articles found at similarity 0.5", row["found"], row["listed"])
    figure.judge("other pairs of these articles", [row["other"]], "", limit=0)


def main() -> None:
    """Measure and tell."""
    given = arguments(__doc__, repetitions=3, data=ARTICLES)
    count = 2_000 if given.quick else 200_000
    figure = Figure("near", f"Near duplicates among {count:,} documents", given)
    rensa = find_spec("rensa") is not None
    with tempfile.TemporaryDirectory(prefix="tillage-figure-") as root:
        near = Near(Path(root), count)
        sides: dict[str, Side] = {"Tillage": near.full}
        if rensa:
            sides["Polars and rensa"] = near.peer
        found = figure.turns(sides)
    more = {"Tillage, nothing to do": near.idle, "Tillage, 1 % appended": near.append}
    run = "python -m tillage.face.main run"
    commands = {"Tillage": run, "Polars and rensa": "python benchmarks/near_peer.py data 0.8 out.parquet"}
    figure.table({**found, **more}, {**commands, **dict.fromkeys(more, run)})
    quality(figure, 1_000 if given.quick else 6_000, given.data)

    if rensa:
        figure.judge(
            "CPU, Polars and rensa to Tillage",
            ratios(found["Polars and rensa"], found["Tillage"]),
            "x",
            limit=3,
            at_least=True,
        )
    else:
        figure.say()
        figure.say("rensa is not installed, so it is not compared: `pip install rensa`.")
    figure.judge("peak memory", [u.peak for u in found["Tillage"]], " MB", limit=None)
    figure.judge("1 % appended: share of the full run's CPU, start-up apart", near.share, " %", limit=3)
    figure.close()


if __name__ == "__main__":
    main()
