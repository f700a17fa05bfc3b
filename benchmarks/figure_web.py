"""The main text of web pages: F1 on the article extraction benchmark, and pages a second.

The benchmark: 181 pages of news with the text that people marked (Zyte, MIT licence), scored as it defines it. Beside
the extractor stands the whole visible text, which is what one has without it.

Usage: python benchmarks/figure_web.py [--data DIR] [--quick] [--repetitions N] [--write docs/benchmarks.md]
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from child import Used, python
from figure import Figure, arguments

HERE = Path(__file__).parent
SET = "article-extraction-benchmark"
F1 = 0.93


def main() -> None:
    """Measure and tell."""
    given = arguments(__doc__, repetitions=3, data=SET)
    figure = Figure("web", "The main text of web pages", given)
    folder = given.data / SET if given.data else None
    where = str(folder) if folder is not None and (folder / "html.zip").is_file() else "made"
    if where == "made":
        figure.say()
        figure.say(f"{SET} was not measured: DIR/{SET}/html.zip is not there (give --data DIR); pages of our own were.")
    pages = "40" if given.quick or where == "made" else "0"
    said: dict[str, list[dict[str, Any]]] = {"main text": [], "all visible text": []}

    def side(name: str) -> Used:
        used = python(HERE / "web_quality.py", where, pages, *(["all"] if name.startswith("all") else []))
        said[name].append(json.loads(used.out))
        return used

    found = figure.turns({name: (lambda _, name=name: side(name)) for name in said})
    shown = "made" if where == "made" else f"DIR/{SET}"
    command = f"python benchmarks/web_quality.py {shown} {pages}"
    figure.table(found, {"main text": command, "all visible text": f"{command} all"})
    text, visible = said["main text"], said["all visible text"]
    figure.judge(
        f"F1 of the main text, {text[0]['pages']} pages",
        [r["f1"] for r in text],
        "",
        limit=F1,
        at_least=True,
        sized=False,
    )
    figure.judge("its precision", [r["precision"] for r in text], "", limit=None)
    figure.judge("its recall", [r["recall"] for r in text], "", limit=None)
    figure.judge("F1 of all visible text", [r["f1"] for r in visible], "", limit=None)
    figure.judge("pages a second, one process", [r["pages_s"] for r in text], "", limit=None)
    figure.close()


if __name__ == "__main__":
    main()
