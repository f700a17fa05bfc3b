"""Pictures told apart by a small network that learns from them: how well, at what cost, and what an answer takes.

Each side is `tillage run` from pictures in Parquet to a tested model in a fresh store, with another seed at each turn.
With `--data DIR` the 10,000 pictures of MNIST's test part are learnt, four fifths of them, and tested on the other; the
1,797 digits of scikit-learn always. Needs PyTorch. What was chosen (width, epochs, shift) was chosen on a tenth of the
four fifths of MNIST; the test part was not looked at before.

Usage: python benchmarks/figure_images.py [--data DIR] [--quick] [--repetitions N] [--write docs/benchmarks.md]
"""

from __future__ import annotations

import json
import tempfile
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from child import BENCHMARKS, Used, python, tillage
from figure import Figure, Side, arguments

SCRIPT = BENCHMARKS / "image_data.py"
EPOCHS = "20"


def main() -> None:
    """Measure and tell."""
    given = arguments(__doc__, repetitions=3, data="mnist-t10k")
    if find_spec("torch") is None:
        print("Not measured: torch must be installed beside Tillage.")
        return
    figure = Figure("images", "Pictures, told apart by a small network", given)
    epochs = "2" if given.quick else EPOCHS
    sets = ["digits", *(["mnist"] if given.data is not None else [])]
    said: dict[str, list[dict[str, Any]]] = {}
    with tempfile.TemporaryDirectory(prefix="tillage-figure-") as root:

        def side(name: str, workers: str = "1") -> Side:
            def run(turn: int) -> Used:
                folder = Path(root) / f"{name}-{workers}-{turn}"
                data = [str(given.data)] if given.data is not None else []
                python(SCRIPT, "write", name, folder, str(turn), epochs, *data)
                used = tillage("run", "--json", "--digest", "--workers", workers, cwd=folder)
                told = json.loads(used.out)["models"]["sort"]
                told["answer"] = json.loads(python(SCRIPT, "answer", folder).out)["milliseconds"]
                said.setdefault(f"{name} {workers}", []).append(told)
                return used

            return run

        sides = {name: side(name) for name in sets}
        sides["digits, two workers"] = side("digits", "2")
        found = figure.turns(sides)
    made = {name: f"python benchmarks/image_data.py write {name.split(',')[0]} DIR SEED {epochs}" for name in sides}
    workers = {name: 2 if "two" in name else 1 for name in sides}
    figure.table(found, {name: f"{made[name]}; tillage run --workers {workers[name]}" for name in sides})
    for name, limit in (("digits", 0.97), ("mnist", 0.985)):
        if name in sets:
            right = [one["metrics"]["accuracy"] for one in said[f"{name} 1"]]
            figure.judge(f"{name}: accuracy on the test part", right, "", limit=limit, at_least=True)
            figure.judge(
                f"{name}: CPU seconds, from files to a tested model", [u.cpu for u in found[name]], " s", limit=300
            )
            slow = [one["answer"] for one in said[f"{name} 1"]]
            figure.judge(f"{name}: one picture answered alone, median", slow, " ms", limit=5)
    pairs = list(zip(said["digits 1"], said["digits 2"], strict=True))
    same = sum(one["digest"] == two["digest"] for one, two in pairs)
    figure.hold("models whose digest is the same with one worker and with two", same, len(pairs))
    figure.close()


if __name__ == "__main__":
    main()
