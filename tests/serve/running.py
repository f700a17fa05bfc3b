"""A real server in a child process on loopback, its port chosen by the system, and a plain client."""

from __future__ import annotations

import http.client
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import polars as pl

from tillage.flow.prediction_table import read_predictions
from tillage.store import Store

ROOT = Path(__file__).parents[2]

LEARNER = """
from typing import ClassVar
import time
import numpy as np
import polars as pl
from tillage.core import BadData, Fitted, Whole
from tillage.learn.learner import Learner

class Doubling(Learner, Whole):
    task: ClassVar = "regression"
    factor: float = 2.0
    slow: float = 0.0
    fails_at: float | None = None
    mute_at: float | None = None
    ballast: int = 0
    least: int = 0

    def compute(self, inputs):
        if inputs["rows"].height < self.least:
            raise BadData("There are too few rows.")
        return Doubled(state={"target": self.target, "factor": self.factor, "slow": self.slow,
                              "fails_at": self.fails_at, "mute_at": self.mute_at,
                              "ballast": np.arange(self.ballast * 125_000.0)})

class Doubled(Fitted):
    def needs(self):
        return ("size",)

    def apply(self, rows):
        time.sleep(self.state["slow"])
        if self.state["fails_at"] is not None and (rows["size"] == self.state["fails_at"]).any():
            raise RuntimeError("secret of the inside")
        answer = pl.col("size") * self.state["factor"]
        return rows.with_columns(prediction=pl.when(pl.col("size") != (self.state["mute_at"] or 1e9)).then(answer))
"""

PLAN = """project: served
tables:
  rows: {collect: {files: a.csv}, key: id}
  clean:
    from: rows
    steps:
      - normalize: {columns: [text]}
      - filter: {where: size >= 0, reason: negative}
      - filter: {where: text is not null, reason: silent}
models:
  double: {learn: {own.Doubling: {PARAMETERS}}, from: clean, target: y, evaluate: {linear: false}}
services:
  desk: {model: double, from: rows}
"""


def lay(folder: Path, parameters: str = "factor: 2") -> Path:
    """A project with a model of its own that says of each row twice its size; run."""
    (folder / "own.py").write_text(LEARNER)
    lines = [f"{i},{i * 0.5},text {i},2026-01-{i % 28 + 1:02d},{i % 2 == 0},{i}" for i in range(60)]
    (folder / "a.csv").write_text("id,size,text,day,old,y\n" + "\n".join(lines) + "\n")
    change(folder, parameters)
    return folder


def change(folder: Path, parameters: str) -> None:
    """The model gets other parameters, and so a new version."""
    (folder / "tillage.yaml").write_text(PLAN.replace("PARAMETERS", parameters))
    tillage(folder, "run")


def environment() -> dict[str, str]:
    """That of a child: the project on its path."""
    return {**os.environ, "PYTHONPATH": str(ROOT / "src")}


def tillage(folder: Path, *words: str) -> str:
    """Run a command to its end; its standard output."""
    command = [sys.executable, "-m", "tillage.face.main", *words]
    done = subprocess.run(command, cwd=folder, env=environment(), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def stored(folder: Path) -> pl.DataFrame:
    """The prediction table as another process sees it."""
    store = Store(folder / ".tillage")
    try:
        return read_predictions(store)
    finally:
        store.close()


def until(true: Callable[[], bool], seconds: float = 40) -> None:
    """Wait until something is so: for so long at most, since a busy machine takes its time."""
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end
        time.sleep(0.02)


class Server:
    """A server that runs; as a context it is killed at the end."""

    def __init__(self, folder: Path, *options: str, before: str = "") -> None:
        """`before`: Python that the child runs first, to shorten a deadline."""
        script = f"{before}\nfrom tillage.face.main import main\nmain()"
        command = [sys.executable, "-c", script, "serve", "--port", "0", "--json", *options]
        self.folder = folder
        self.errors = tempfile.TemporaryFile("w+")  # noqa: SIM115
        self.process = subprocess.Popen(
            command, cwd=folder, env=environment(), stdout=subprocess.PIPE, stderr=self.errors, text=True
        )
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        assert line, self.said()
        self.told = json.loads(line)
        self.address = self.told["address"]
        self.host, self.port = urlsplit(self.address).hostname, urlsplit(self.address).port
        self.token = (folder / ".tillage" / "serve.token").read_text()

    def __enter__(self) -> Server:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.wait()
        assert self.process.stdout is not None
        self.process.stdout.close()
        self.errors.close()

    def said(self) -> str:
        """What it wrote on stderr so far."""
        self.errors.seek(0)
        return self.errors.read()

    def ask(
        self, method: str, path: str, body: Any = None, headers: dict[str, str | None] | None = None
    ) -> tuple[int, Any, dict[str, str]]:
        """Status, value and headers of an answer; a header given as None is left out."""
        data = body if isinstance(body, bytes | None) else json.dumps(body).encode()
        known: dict[str, str | None] = {"Authorization": f"Bearer {self.token}", **(headers or {})}
        connection = http.client.HTTPConnection(str(self.host), self.port, timeout=30)
        try:
            connection.putrequest(method, path, skip_host="Host" in known, skip_accept_encoding=True)
            for name, text in known.items():
                if text is not None:
                    connection.putheader(name, text)
            if data is not None and "Content-Length" not in known:
                connection.putheader("Content-Length", str(len(data)))
            connection.endheaders(data)
            answer = connection.getresponse()
            raw = answer.read()
            kind = answer.headers.get("content-type", "")
            value: Any = json.loads(raw) if kind == "application/json" and raw else raw
            return answer.status, value, {k.lower(): v for k, v in answer.headers.items()}
        finally:
            connection.close()

    def predict(self, *rows: dict[str, Any], name: str = "desk") -> Any:
        """The answer to rows."""
        status, value, _ = self.ask("POST", f"/v1/services/{name}", {"rows": list(rows)})
        assert status == 200, value
        return value

    def end(self, number: int = signal.SIGTERM, timeout: float = 15) -> int:
        """Send a signal; the exit code."""
        self.process.send_signal(number)
        return self.process.wait(timeout)
