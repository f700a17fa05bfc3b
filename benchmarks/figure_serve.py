"""What a request costs the server: a model that costs nothing, bare and behind three Maps; the log is always kept.

CPU of the server process alone, over a bounded number of requests on 16 open connections and on one; a driver beside it
writes the requests, and its cost is in no figure. The bare model stands in turns with an application of Starlette
alone, and of FastAPI where that is installed (`plain_server.py`). Then 200 requests a second to models of a table, one
that is a linear model of ours and one that is an ONNX graph alone, and to the graph beside 500 clients that drip; swaps
between two versions under load; what a server holds that has the small graph alone, and how many requests two workers
answer beside one, the driver on the same processors. Every load ends by itself.

Usage: python benchmarks/figure_serve.py [--quick] [--repetitions N] [--write docs/benchmarks.md]
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from importlib.util import find_spec
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
  swapped: {learn: {trivial.Doubling: {turn: 0}}, from: rows, target: y}
  table: {learn: tabular_classifier, from: rows, input: [size, text], target: kind}
  graph: {learn: small_graph.Graph, from: rows, target: kind, split: {leak: false}}
"""
SMALL = """project: small
tables:
  rows: {collect: {files: a.csv}, key: id}
models:
  graph: {learn: small_graph.Graph, from: rows, target: kind, split: {leak: false}}
"""
Told = tuple[dict[str, float], Used]

RATE = 200
"""Requests a second of the paced load."""

DRIPPING = 500

FRAMEWORKS = ("starlette", "fastapi")
"""An application of each alone stands beside the bare model: what a request takes on the machine of the hour."""

LIMITS = {"bare, 16 connections": 0.2, "three Maps, 16 connections": 0.8}
"""Milliseconds of CPU a request."""

BODY = '{"rows":[{"id":7,"size":2.5,"text":"hello there"}]}'
NUMBERS = '{"rows":[{"id":7,"size":2.5,"text":"hello there","y":3}]}'
"""What the graph looks at is in it too."""


@contextmanager
def serving(folder: Path, workers: int = 1) -> Iterator[tuple[str, int]]:
    """A server on the project of a folder: its address and process."""
    path = os.pathsep.join(p for p in (str(ROOT / "src"), os.environ.get("PYTHONPATH")) if p)
    environment = {**os.environ, "PYTHONPATH": path, "TILLAGE_KEY": "ab" * 32, "TILLAGE_TOKEN": TOKEN}
    command = [sys.executable, *TILLAGE, "serve", "--port", "0", "--json", "--workers", str(workers)]
    with subprocess.Popen(command, cwd=folder, env=environment, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield json.loads(process.stdout.readline())["address"], process.pid
        finally:
            process.terminate()
        if process.wait(20):
            raise RuntimeError(f"the server ended with {process.returncode}")


@contextmanager
def plain(framework: str) -> Iterator[tuple[str, int]]:
    """The bare model behind an application of a framework alone: its address and process."""
    command = [sys.executable, str(BENCHMARKS / "plain_server.py"), framework]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            yield json.loads(process.stdout.readline())["address"], process.pid
        finally:
            process.terminate()


@contextmanager
def dripping(address: str, model: str) -> Iterator[None]:
    """Clients that drip on a server, from a process of their own."""
    command = [sys.executable, BENCHMARKS / "dripping.py", address, f"/v1/models/{model}", "--clients", str(DRIPPING)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            if str(DRIPPING) not in process.stdout.readline():
                raise RuntimeError("the clients that drip could not connect")
            yield
            if process.poll() is not None:
                raise RuntimeError("the clients that drip ended before the load did")
        finally:
            process.terminate()


def paced(address: str, model: str, seconds: float) -> dict[str, float]:
    """What a load at the fixed rate met."""
    options = ("--token", TOKEN, "--rate", str(RATE), "--seconds", str(seconds))
    told: dict[str, float] = json.loads(
        python(BENCHMARKS / "paced.py", address, f"/v1/models/{model}", NUMBERS, *options).out
    )
    return told


def swapped(address: str, swaps: int) -> tuple[int, dict[str, float]]:
    """How many of these swaps were made, and what the load beside them met."""
    options = ("--token", TOKEN, "--rate", str(RATE / 4), "--seconds", str(max(3, swaps / 5)))
    command = [sys.executable, str(BENCHMARKS / "paced.py"), address, "/v1/models/swapped", BODY, *options]
    done = 0
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as load:
        for swap in range(swaps):
            body = json.dumps({"version": 1 + swap % 2}).encode()
            headers = {"Authorization": f"Bearer {TOKEN}", "Content-Type": "application/json"}
            asked = urllib.request.Request(f"{address}/v1/models/swapped/rollback", data=body, headers=headers)
            with urllib.request.urlopen(asked, timeout=30) as answer:
                done += json.load(answer)["version"] == 1 + swap % 2
        out, _ = load.communicate(timeout=120)
    told: dict[str, float] = json.loads(out)
    return done, told


def loaded(server: tuple[str, int], model: str, body: str, requests: int, connections: int) -> Told:
    """How a server met so many requests, and what they cost it, with the peak of the driver."""
    address, process = server
    options = ("--token", TOKEN, "--pid", str(process), "--requests", str(requests), "--connections", str(connections))
    used = python(BENCHMARKS / "load.py", address, f"/v1/models/{model}", body, *options)
    told: dict[str, float] = json.loads(used.out)
    if told["failed"]:
        raise RuntimeError(f"{told['failed']} requests were not answered: {told}")
    return told, Used(told["cpu_ms"] * told["requests"] / 1000, used.peak, used.wall, used.out)


def small(folder: Path) -> Path:
    """A project of one small ONNX model, run."""
    folder.mkdir()
    shutil.copy(BENCHMARKS / "small_graph.py", folder)
    shutil.copy(folder.parent / "a.csv", folder)
    (folder / "tillage.yaml").write_text(SMALL)
    tillage("run", cwd=folder)
    return folder


def held(folder: Path, requests: int) -> float:
    """Megabytes that a server of one small ONNX model has held at most, after so many requests."""
    with serving(small(folder)) as server:
        loaded(server, "graph", NUMBERS, requests, 16)
        process = server[1]
        status = Path(f"/proc/{process}/status").read_text()
        return int(next(line for line in status.splitlines() if line.startswith("VmHWM")).split()[1]) * 1024 / 1e6


def main() -> None:
    """Measure and tell."""
    given = arguments(__doc__, repetitions=5)
    requests = 400 if given.quick else 6000
    figure = Figure("serve", f"One row a request: {requests:,} requests, predictions logged", given)
    sides: dict[str, list[dict[str, float]]] = {}
    with tempfile.TemporaryDirectory(prefix="tillage-figure-") as root:
        folder = Path(root)
        for learner in ("trivial.py", "small_graph.py"):
            shutil.copy(BENCHMARKS / learner, folder)
        lines = [f"{i},{i * 0.5},word number {i},{i},{'even' if i % 2 else 'odd'}" for i in range(200)]
        (folder / "a.csv").write_text("id,size,text,y,kind\n" + "\n".join(lines) + "\n")
        for turn in range(2):  # two versions of the model that is swapped
            (folder / "tillage.yaml").write_text(PLAN.replace("turn: 0", f"turn: {turn}"))
            tillage("run", cwd=folder)
        with serving(folder) as server, ExitStack() as started:
            address, _ = server
            others = {name: started.enter_context(plain(name)) for name in FRAMEWORKS if find_spec(name)}

            def drive(name: str, model: str, connections: int) -> Used:
                told, used = loaded(others.get(name, server), model, BODY, requests, connections)
                sides.setdefault(name, []).append(told)
                return used

            named = {
                **dict.fromkeys(others, ("bare", 16)),
                "bare, 16 connections": ("bare", 16),
                "three Maps, 16 connections": ("prepared", 16),
                "bare, 1 connection": ("bare", 1),
                "three Maps, 1 connection": ("prepared", 1),
            }
            found = figure.turns({name: lambda _, n=name, m=m, c=c: drive(n, m, c) for name, (m, c) in named.items()})
            started.close()
            seconds = 3 if given.quick else 60
            steady = [paced(address, model, seconds) for model in ("table", "graph")]
            short = 3 if given.quick else 10
            ratios = []
            for _ in range(given.repetitions):
                alone = paced(address, "graph", short)
                with dripping(address, "graph"):
                    beside = paced(address, "graph", short)
                ratios.append(beside["p99_ms"] / alone["p99_ms"])
                steady += [alone, beside]
            swaps = 10 if given.quick else 100
            done, swapping = swapped(address, swaps)
        several: dict[str, list[dict[str, float]]] = {"one worker": [], "two workers": []}
        with serving(small(folder / "one")) as one, serving(small(folder / "two"), workers=2) as two:
            servers = dict(zip(several, (one, two), strict=True))

            def ask(name: str) -> Used:
                told, used = loaded(servers[name], "graph", NUMBERS, requests, 16)
                several[name].append(told)
                return used

            found |= figure.turns({name: lambda _, n=name: ask(n) for name in several})
        named |= dict.fromkeys(several, ("graph", 16))
        memory = [held(folder / f"small{turn}", requests) for turn in range(min(given.repetitions, 3))]
    figure.table(
        found, {n: f"python benchmarks/load.py .../v1/models/{m} ... --connections {c}" for n, (m, c) in named.items()}
    )
    figure.say()
    figure.say("CPU is the server's, the peak the driver's. Workers are those of the small ONNX model, 16 connections.")
    spent = {name: [t["cpu_ms"] for t in told] for name, told in sides.items()}
    for name, told in sides.items():
        figure.judge(f"{name}: CPU a request", spent[name], " ms", limit=LIMITS.get(name))
        figure.judge(f"{name}: 99th percentile", [t["p99_ms"] for t in told], " ms", limit=None)
    for name in others:
        times = [ours / theirs for ours, theirs in zip(spent["bare, 16 connections"], spent[name], strict=True)]
        figure.judge(f"bare, 16 connections, to an application of {name} alone, without a log", times, "x", limit=None)
    for which, met in zip(("linear", "ONNX"), steady, strict=False):
        told = f"a table's {which} model, {RATE} requests a second for {seconds} s: 99th percentile"
        figure.judge(told, [met["p99_ms"]], " ms", limit=50)
    figure.judge(f"the ONNX model beside {DRIPPING} clients that drip, against alone", ratios, "x", limit=2)
    every = sum(int(t["requests"]) for t in steady)
    figure.hold("of these requests are answered", every - sum(int(t["failed"]) for t in steady), every)
    figure.hold("versions swapped under load", done, swaps)
    answered = int(swapping["requests"])
    figure.hold("requests answered meanwhile", answered - int(swapping["failed"]), answered)
    told = f"one small ONNX model, after {requests:,} requests: the most memory that the server held"
    figure.judge(told, memory, " MB", limit=200)
    for name, answers in several.items():
        figure.judge(f"{name}: requests a second", [t["a_second"] for t in answers], "", limit=None)
        figure.judge(f"{name}: CPU a request", [t["cpu_ms"] for t in answers], " ms", limit=None)
    gained = [b["a_second"] / a["a_second"] for a, b in zip(*several.values(), strict=True)]
    figure.judge("requests a second of two workers, against one", gained, "x", limit=None)
    figure.close()


if __name__ == "__main__":
    main()
