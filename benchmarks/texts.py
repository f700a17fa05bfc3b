"""CPU of the text steps, in milliseconds a megabyte of UTF-8: English docstrings of this Python, and Chinese.

The Chinese is put together from a list of clauses by a seed, or read from `--data FOLDER`: every `*.jsonl` file there
with a string field `text` or `question`, those with `.en.` in their name as English. With data, the share of texts is
told, too, that leave `filter_quality`, and the share whose language `detect_language` tells rightly.

Usage: POLARS_MAX_THREADS=1 python benchmarks/texts.py [--data FOLDER] [--turns N]
"""

from __future__ import annotations

import argparse
import ast
import importlib.util
import json
import random
import sysconfig
import time
from collections.abc import Callable
from pathlib import Path

import polars as pl

from tillage.core import Map
from tillage.prepare import DetectLanguage, FilterQuality, Normalize
from tillage.text import measure

CLAUSES = (
    "河水在夜里涨了起来", "没有人说得出那座桥还能撑多久", "孩子们只觉得搬家是件好玩的事",
    "他把信放在桌子上就走了", "这家店的面条比别处的便宜", "医生说休息几天就会好",
    "火车晚点了四十分钟", "我们在公园里等到天黑", "价格为１２０元（含税）",
    "老师让大家把书翻到第三十页", "iPhone 的电池不太耐用", "会议改在星期五下午举行",
    "她从来没有见过这么大的雪",
)  # fmt: skip


def english() -> list[str]:
    """The docstrings of the standard library, shuffled by a seed."""
    found: list[str] = []
    for path in sorted(Path(sysconfig.get_path("stdlib")).rglob("*.py")):
        if {"site-packages", "test", "tests", "lib2to3"} & set(path.parts):
            continue
        nodes = ast.walk(ast.parse(path.read_bytes()))
        documented = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
        found.extend(ast.get_docstring(node) or "" for node in nodes if isinstance(node, documented))
    random.Random(0).shuffle(found)
    return [text for text in found if text]


def chinese(texts: int = 6000) -> list[str]:
    """Paragraphs of clauses."""
    draw = random.Random(0)
    return ["，".join(draw.choices(CLAUSES, k=draw.randint(3, 40))) + "。" for _ in range(texts)]


def read(folder: Path) -> dict[str, list[str]]:
    """The texts of the folder by language."""
    found: dict[str, list[str]] = {"en": [], "zh": []}
    for path in sorted(folder.glob("*.jsonl")):
        for line in path.read_text(encoding="utf-8").splitlines():
            record = json.loads(line)
            text = record.get("text") or record.get("question")
            if isinstance(text, str):
                found["en" if ".en." in path.name else "zh"].append(text)
    return found


def milliseconds(work: Callable[[], object], turns: int) -> float:
    """The least CPU of some turns, after one that warms up."""
    work()
    least = float("inf")
    for _ in range(turns):
        begun = time.process_time()
        work()
        least = min(least, time.process_time() - begun)
    return 1000 * least


def main() -> None:
    """Measure and tell."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, metavar="FOLDER", help="*.jsonl with a field text or question")
    parser.add_argument("--turns", type=int, default=3, metavar="N", help="turns, the least counts (default 3)")
    given = parser.parse_args()
    corpora = read(given.data) if given.data else {"en": english(), "zh": chinese()}
    open_rules = FilterQuality(
        column="text", min_words=0, min_han=0, min_stop_words=0, min_mean_word_length=None, max_mean_word_length=None
    )
    steps: dict[str, Map] = {
        "normalize, NFKC": Normalize(),
        "normalize, NFC, lines kept": Normalize(form="NFC", lines=True),
        "normalize, html": Normalize(html=True),
        "filter_quality": FilterQuality(column="text"),
        "filter_quality, any length": open_rules,
        "detect_language, en and zh": DetectLanguage(column="text", languages=("en", "zh")),
    }
    if importlib.util.find_spec("py3langid"):
        steps["detect_language, all"] = DetectLanguage(column="text")
    for language, texts in corpora.items():
        rows = pl.DataFrame({"text": texts})
        size = rows["text"].str.len_bytes().sum() / 1e6
        print(f"{language}: {rows.height} texts, {size:.2f} MB")
        works: dict[str, Callable[[], object]] = {"measure": lambda rows=rows: measure(rows["text"])}  # type: ignore[misc]
        works |= {name: lambda step=step, rows=rows: step.apply(rows) for name, step in steps.items()}  # type: ignore[misc]
        for name, work in works.items():
            spent = milliseconds(work, given.turns) / size
            print(f"  {name:28} {spent:7.1f} ms/MB {1000 / spent:7.0f} MB/s")
        if given.data:
            left = open_rules.apply(rows)["_reason"].drop_nulls()
            print(f"  leave any length: {len(left)}: {dict(left.value_counts(sort=True).iter_rows())}")
            for name, step in steps.items():
                if name.startswith("detect"):
                    right = (step.apply(rows)["language"] == language).sum()
                    print(f"  {name}: {right} of {rows.height} right")


if __name__ == "__main__":
    main()
