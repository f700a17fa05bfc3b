"""The whole line of texts: normalise, filter, exact and near duplicates, redact, write; JSONL to Parquet.

200,000 documents made from the prose of installed packages (`corpus.py`): ours with one worker and with two, plain
Polars with rensa, and the floor (read, hash, compress and write the same bytes), with what each promise adds to it;
10,000 documents: ours, datatrove (also with cheaper words than its own) and Data-Juicer. Rules of repeated n-grams are
off everywhere, since plain Polars has none; what else differs stands at the head of each peer's script. Peers run in
environments of their own below `--peers DIR` (`DIR/rensa`, `DIR/datatrove`, `DIR/datajuicer`), which `--make-peers`
makes with pip; one that is missing is said.

Usage: python benchmarks/figure_text.py [--peers DIR [--make-peers]] [--quick] [--repetitions N] [--write FILE]
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
import venv
from pathlib import Path

from child import BENCHMARKS, TILLAGE, Used, python, run
from figure import Figure, Side, parser_of, ratios, settled

PEERS = {
    "rensa": ("polars", "rensa"),
    "datatrove": ("datatrove[io,processing]", "orjson", "tldextract", "spacy"),
    "datajuicer": ("py-data-juicer", "aiohttp", "matplotlib"),
}
"""Environment to the packages that it needs."""

PLAN = """\
project: texts
tables:
  documents: {collect: {files: data/*.jsonl}, key: id}
  clean:
    from: documents
    steps:
      - normalize: {columns: [text]}
      - filter_quality:
          column: text
          chinese_stop_words: [一, 丆, 丌, 丒]
          max_top_ngram: null
          max_repeated_ngram: null
      - drop_duplicates: {columns: [text]}
      - drop_duplicates: {columns: [text], similarity: 0.8}
      - redact: {columns: [text]}
"""
"""The made Chinese has no function words, so its four most frequent characters stand for them."""

ENTRIES = 480
"""Bytes of the index of near duplicates a document: ten entries of three hashes each."""

FLOOR = ("none", "parse", "parse,ids", "parse,ids,source", "parse,ids,source,digest", "parse,ids,source,digest,durable")
RUN = "python -m tillage.face.main run"


class Folder:
    """So many documents, a plan beside them, and the sides that work on them."""

    def __init__(self, root: Path, documents: int, peers: Path | None) -> None:
        self.root, self.peers = root, peers
        root.mkdir(parents=True)
        (root / "tillage.yaml").write_text(PLAN, encoding="utf-8")
        files = str(max(2, documents // 10_000))
        if documents:
            python(BENCHMARKS / "corpus.py", root / "data", "--documents", str(documents), "--files", files)
            more = ("--documents", str(max(1, documents // 100)), "--start", str(documents), "--files", "1")
            python(BENCHMARKS / "corpus.py", root / "more", *more)

    def ours(self, *options: str) -> Side:
        """A first run, the store empty; with one worker, Polars has one thread too."""

        def side(_: int) -> Used:
            shutil.rmtree(self.root / ".tillage", ignore_errors=True)
            one = ("env", "POLARS_MAX_THREADS=1") if options else ()
            return run([*one, sys.executable, *TILLAGE, "run", *options], self.root)

        return side

    def appended(self) -> Side:
        """A file with one document more for each hundred; the first run before it does not count."""

        def side(turn: int) -> Used:
            self.ours()(turn)
            added = [Path(shutil.copy(path, self.root / "data")) for path in (self.root / "more").iterdir()]
            try:
                return run([sys.executable, *TILLAGE, "run"], self.root)
            finally:
                for path in added:
                    path.unlink()

        return side

    def floor(self, promises: str) -> Side:
        """The floor, with some promises."""

        def side(_: int) -> Used:
            shutil.rmtree(self.root / "floor", ignore_errors=True)
            one = ("env", "POLARS_MAX_THREADS=1")
            script = (str(BENCHMARKS / "floor_text.py"), "data", "floor", "--promises", promises)
            return run([*one, sys.executable, *script], self.root)

        return side

    def peer(self, name: str, script: str, *more: str, last: str = "") -> Side | None:
        """A peer in its environment; None where it has none."""
        interpreter = self.peers / name / "bin" / "python" if self.peers else None
        if interpreter is None or not interpreter.exists():
            return None

        def side(_: int) -> Used:
            work = self.root / f"work-{name}"
            shutil.rmtree(work, ignore_errors=True)
            work.mkdir()
            out = work / "out.parquet" if more else work
            command = [str(interpreter.absolute()), str(BENCHMARKS / script), "data", *more, str(out)]
            return run([*command, last] if last else command, self.root)

        return side


def make(peers: Path) -> None:
    """The environments that are not there yet."""
    for name, packages in PEERS.items():
        if not (peers / name).exists():
            venv.create(peers / name, with_pip=True)
            run([str((peers / name / "bin" / "pip").absolute()), "install", "--quiet", *packages])


def shares(some: list[Used], whole: list[Used], start: float) -> list[float]:
    """What some cost, in hundredths of the whole, start-up taken from both."""
    return [100 * (a.cpu - start) / (b.cpu - start) for a, b in zip(some, whole, strict=True)]


def main() -> None:
    """Measure and tell."""
    parser = parser_of(__doc__, repetitions=3)
    parser.add_argument("--peers", type=Path, metavar="DIR", help="folder of the peers' environments")
    parser.add_argument("--make-peers", action="store_true", help="make those that are missing, by pip")
    given = settled(parser, repetitions=3)
    if given.make_peers and given.peers is None:
        parser.error("--make-peers needs --peers DIR")
    if given.make_peers:
        make(given.peers)
    large, small = (2_000, 500) if given.quick else (200_000, 10_000)
    figure = Figure("text", f"{large:,} documents from JSONL to clean Parquet", given)
    with tempfile.TemporaryDirectory(prefix="tillage-figure-") as root:
        whole = Folder(Path(root) / "large", large, given.peers)
        part = Folder(Path(root) / "small", small, given.peers)
        tell(figure, given, whole, part, small)


def tell(figure: Figure, given: argparse.Namespace, whole: Folder, part: Folder, small: int) -> None:
    """Run all sides and judge them."""
    sides: dict[str, Side] = {"Tillage": whole.ours(), "Tillage, one worker": whole.ours("--workers", "1")}
    sides["Tillage, 1 % more documents"] = whole.appended()
    sides |= {f"floor: {promises}": whole.floor(promises) for promises in FLOOR}
    commands = {"Tillage": RUN, "Tillage, one worker": f"POLARS_MAX_THREADS=1 {RUN} --workers 1"}
    commands["Tillage, 1 % more documents"] = RUN
    commands |= {f"floor: {p}": f"python benchmarks/floor_text.py data floor --promises {p}" for p in FLOOR}
    missing = []
    polars = whole.peer("rensa", "text_polars_rensa.py", "0.8")
    if polars is not None:
        sides["Polars and rensa"] = polars
        commands["Polars and rensa"] = "python benchmarks/text_polars_rensa.py data 0.8 out.parquet"
    else:
        missing.append("rensa")
    found = figure.turns(sides)
    few: dict[str, Side] = {f"Tillage, {small:,}": part.ours()}
    commands[f"Tillage, {small:,}"] = RUN
    for name, script in (("datatrove", "text_datatrove.py"), ("datajuicer", "text_datajuicer.py")):
        side = part.peer(name, script)
        if side is None:
            missing.append(name)
            continue
        few[f"{name}, {small:,}"] = side
        commands[f"{name}, {small:,}"] = f"python benchmarks/{script} data work"
    plain = part.peer("datatrove", "text_datatrove.py", last="plain")
    if plain is not None:
        few[f"datatrove, plain words, {small:,}"] = plain
        commands[f"datatrove, plain words, {small:,}"] = "python benchmarks/text_datatrove.py data work plain"
    if few:
        found |= figure.turns(few)
    start = python(*TILLAGE, "--help")
    figure.table(found, commands)
    figure.say()
    figure.say(f"Start-up of ours (`--help`), which each run includes: {start.cpu:.2f} s.")
    if missing:
        figure.say()
        names = ", ".join(missing)
        figure.say(f"Not compared, for want of an environment: {names} (`--peers DIR --make-peers`).")
    judge(figure, given, found, small, start)
    figure.close()


def judge(figure: Figure, given: argparse.Namespace, found: dict[str, list[Used]], small: int, start: Used) -> None:
    """Beside what is asked for."""
    ours, more = found["Tillage"], found["Tillage, 1 % more documents"]
    figure.judge("CPU to the floor", ratios(ours, found["floor: none"]), "x", limit=4)
    figure.judge("CPU to the floor with all promises", ratios(ours, found[f"floor: {FLOOR[-1]}"]), "x", limit=None)
    if "Polars and rensa" in found:
        above = ratios(found["Polars and rensa"], ours)
        figure.judge("CPU, Polars and rensa to Tillage", above, "x", limit=3, at_least=True)
    for name in ("datatrove", "datatrove, plain words", "datajuicer"):
        side = f"{name}, {small:,}"
        if side in found:
            above = ratios(found[side], found[f"Tillage, {small:,}"])
            what = f"CPU at {small:,}, {name} to Tillage, start-up included"
            figure.judge(what, above, "x", limit=None if "plain" in name else 30, at_least=True)
    figure.judge("1 % more documents: share of a first run's CPU", shares(more, ours, 0), " %", limit=3)
    apart = shares(more, ours, start.cpu)
    figure.judge("1 % more documents: share of a first run's CPU, start-up apart", apart, " %", limit=None)
    figure.judge("peak memory", [u.peak for u in ours], " MB", limit=None)
    index = (2_000 if given.quick else 200_000) * ENTRIES / (1 << 20)
    beyond = [u.peak - index for u in ours]
    figure.judge(f"peak memory beyond {index:.0f} MB of signatures", beyond, " MB", limit=600)
    walls = [a.wall / b.wall for a, b in zip(found["Tillage, one worker"], ours, strict=True)]
    figure.judge("time, one worker to two", walls, "x", limit=1.7, at_least=True)
    before = found["floor: none"]
    for promises in FLOOR[1:]:
        now = found[f"floor: {promises}"]
        costs = [a.cpu - b.cpu for a, b in zip(now, before, strict=True)]
        figure.judge(f"what `{promises.split(',')[-1]}` adds to the floor", costs, " s", limit=None)
        before = now


if __name__ == "__main__":
    main()
