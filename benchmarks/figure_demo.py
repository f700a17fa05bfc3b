"""How well the example of `make demo` does: its plan run from nothing in a copy, its score read from the run's summary.

The score is on the publisher's own test part. Run again, it must touch nothing.

Usage: python benchmarks/figure_demo.py [--quick] [--repetitions N] [--write docs/benchmarks.md]
"""

from __future__ import annotations

import json
import shutil
import tempfile
from pathlib import Path
from typing import Any

from child import ROOT, Used, tillage
from figure import Figure, arguments

ACCURACY = 0.88


def main() -> None:
    """Measure and tell."""
    given = arguments(__doc__, repetitions=1)
    figure = Figure("demo", "examples/customer-service: 77 intents", given)
    again: list[Used] = []
    said: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory(prefix="tillage-figure-") as root:
        folder = Path(root) / "customer-service"
        shutil.copytree(ROOT / "examples" / "customer-service", folder, ignore=shutil.ignore_patterns(".tillage"))

        def whole(_: int) -> Used:
            shutil.rmtree(folder / ".tillage", ignore_errors=True)
            used = tillage("run", "--json", cwd=folder)
            again.append(tillage("run", "--json", cwd=folder))
            said.append(json.loads(used.out))
            return used

        found = {**figure.turns({"from raw files to a score": whole}), "run again": again}
    figure.table(found, dict.fromkeys(found, "python -m tillage.face.main run --json"))
    models = [run["models"]["intent"] for run in said]
    reached, baseline = ([m[name]["accuracy"] for m in models] for name in ("metrics", "baseline"))
    figure.judge("accuracy on the test part", reached, "", limit=ACCURACY, at_least=True, sized=False)
    figure.judge("accuracy of the baseline, the most frequent class", baseline, "", limit=None)
    for end, value in zip(("lower", "upper"), models[0]["interval"]["accuracy"], strict=True):
        figure.judge(f"{end} end of the 95 % interval", [value], "", limit=None)
    touched = [sum(t["touched"] for t in json.loads(used.out)["tables"].values()) for used in again]
    figure.judge("run again: rows read", touched, "", limit=0, sized=False)
    figure.close()


if __name__ == "__main__":
    main()
