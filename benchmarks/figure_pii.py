"""Personal data: what is found of the labelled spans, how much of what is given is right, and how fast.

On presidio-synth-pii-en (Microsoft, MIT), on which contexts and layouts were tuned, and on texts in English and Chinese
from templates of our own (`pii_texts.py`), on which nothing was. Structured types alone: names and addresses, 87 % of
the spans of that set, need dictionaries, rules for columns or a model.

Usage: python benchmarks/figure_pii.py [--data DIR] [--quick] [--repetitions N] [--write docs/benchmarks.md]
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from child import Used, python
from figure import Figure, arguments

HERE = Path(__file__).parent
PUBLISHED = "presidio-synth-pii-en/synth_dataset_v2.jsonl.gz"
RECALL, PRECISION, MB_S = 0.95, 0.98, 5


def main() -> None:
    """Measure and tell."""
    given = arguments(__doc__, repetitions=3, data="presidio-synth-pii-en")
    figure = Figure("pii", "Personal data of structured types", given)
    size = "300" if given.quick else "3000"
    sets = {"English, made": ("en", size), "Chinese, made": ("zh", size)}
    file = given.data / PUBLISHED if given.data else None
    if file is not None and file.is_file():
        sets = {"presidio-synth-pii-en": (str(file), "1500"), **sets}
    else:
        figure.say()
        figure.say(f"presidio-synth-pii-en was not measured: DIR/{PUBLISHED} is not there (give --data DIR).")
    said: dict[str, list[dict[str, Any]]] = {name: [] for name in sets}

    def side(name: str) -> Used:
        used = python(HERE / "pii_score.py", *sets[name])
        said[name].append(json.loads(used.out))
        return used

    found = figure.turns({name: (lambda _, name=name: side(name)) for name in sets})
    commands = {
        n: f"python benchmarks/pii_score.py {'DIR/' + PUBLISHED if 'gz' in s else s} {c}" for n, (s, c) in sets.items()
    }
    figure.table(found, commands)
    for name, runs in said.items():
        first = runs[0]["types"]
        wanted, reached, told, right = (sum(v[i] for v in first.values()) for i in range(4))
        tuned = name.startswith("presidio")
        figure.judge(f"{name}: recall", [reached / wanted], "", limit=RECALL, at_least=True, sized=False)
        figure.judge(f"{name}: precision", [right / told], "", limit=PRECISION, at_least=True, sized=False)
        figure.judge(
            f"{name}: MB a CPU second", [r["mb_s"] for r in runs], "", limit=MB_S if tuned else None, at_least=True
        )
    for name, runs in said.items():
        for kind, (wanted, reached, told, right) in runs[0]["types"].items():
            precise = f"{right / told:.3f}" if told else "–"
            figure.judged.append(
                f"| {name}: {kind}: recall, precision | {reached / wanted:.3f}, {precise} of {wanted} | – | – |"
            )
    figure.close()


if __name__ == "__main__":
    main()
