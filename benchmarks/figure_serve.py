"""What a request costs the server: a model that costs nothing, bare and behind three Maps; the log is always kept.

CPU of the server process alone, over a bounded number of requests on 16 open connections and on one; a driver beside it
writes the requests, and its cost is in no figure. The load ends by itself.

Usage: python benchmarks/figure_serve.py [--quick] [--repetitions N] [--write docs/benchmarks.md]
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from child import BENCHMARKS, ROOT, TILLAGE, Used, python, tillage
from figure import Figure, arguments

TOKEN = "figure-of-the-server"

PLAN = """project: served
tables:
  rows: {collect: {files: a.csv}, key: id}
  clean:
    from: rows
    steps:
      - normalize: {columns: [text]}
      - filter: {where: size >= 0}
      - derive: {columns: {area: size * size}}
models:
  bare: {learn: trivial.Doubling, from: rows, target: y}
  prepared: {learn: trivial.Doubling, from: clean, target: y}
"""

BODY = '{"rows":[{"id":7,"size":2.5,"text":"hello there"}]}'


@contextmanager
def serving(folder: Path) -> Iterator[tuple[str, int]]:
    """A server on the project of a folder: its address and process."""
    path = os.pathsep.join(p for p in (str(ROOT / "src"), os.environ.get("PYTHONPATH")) if p)
    environment = {**os.environ, "PYTHONPATH": path, "TILLAGE_KEY": "ab" * 32, "TILLAGE_TOKEN": TOKEN}
    command = [sys.executable, *TILLAGE, "serve", "--port", "0", "--json"]
    with subprocess.Popen(command, cwd=folder, env=environment, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        yield json.loads(process.stdout.readline())["address"], process.pid
        process.terminate()
        if process.wait(20):
            raise RuntimeError(f"the server ended with {process.returncode}")


def main() -> None:
    """Measure and tell."""
    given = arguments(__doc__, repetitions=5)
    requests = 400 if given.quick else 6000
    figure = Figure("serve", f"One row a request: {requests:,} requests, predictions logged", given)
    sides: dict[str, list[dict[str, float]]] = {}
    with tempfile.TemporaryDirectory(prefix="tillage-figure-") as root:
        folder = Path(root)
        shutil.copy(BENCHMARKS / "trivial.py", folder)
        lines = [f"{i},{i * 0.5},word number {i},{i}" for i in range(200)]
        (folder / "a.csv").write_text("id,size,text,y\n" + "\n".join(lines) + "\n")
        (folder / "tillage.yaml").write_text(PLAN)
        tillage("run", cwd=folder)
        with serving(folder) as (address, process):

            def drive(name: str, model: str, connections: int) -> Used:
                options = ("--token", TOKEN, "--pid", str(process), "--requests", str(requests))
                path = f"/v1/models/{model}"
                script = (BENCHMARKS / "load.py", address, path, BODY, *options, "--connections", str(connections))
                used = python(*script)
                told = json.loads(used.out)
                if told["failed"]:
                    raise RuntimeError(f"{told['failed']} requests were not answered: {told}")
                sides.setdefault(name, []).append(told)
                return Used(told["cpu_ms"] * told["requests"] / 1000, used.peak, used.wall, used.out)

            named = {
                "bare, 16 connections": ("bare", 16),
                "three Maps, 16 connections": ("prepared", 16),
                "bare, 1 connection": ("bare", 1),
                "three Maps, 1 connection": ("prepared", 1),
            }
            found = figure.turns({name: lambda _, n=name, m=m, c=c: drive(n, m, c) for name, (m, c) in named.items()})
    figure.table(
        found, {n: f"python benchmarks/load.py .../v1/models/{m} ... --connections {c}" for n, (m, c) in named.items()}
    )
    figure.say()
    figure.say("CPU is the server's, the peak the driver's.")
    for name, limit in zip(named, (0.2, 0.8, None, None), strict=True):
        figure.judge(f"{name}: CPU a request", [t["cpu_ms"] for t in sides[name]], " ms", limit=limit)
        figure.judge(f"{name}: 99th percentile", [t["p99_ms"] for t in sides[name]], " ms", limit=None)
    figure.close()


if __name__ == "__main__":
    main()
