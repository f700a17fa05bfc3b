"""Work on chunks in processes of their own: for Maps that keep the interpreter busy, which threads cannot share.

A process is told paths and names as JSON, a line an order, and answers in JSON; rows pass through the store, as
checked objects. What one cannot do, dead or refused, is done by the caller, so that an error is the same wherever it
arises. A process costs half a CPU second to start and reads its chunk back from the store; plain expressions run
faster on threads.
"""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable, Sequence
from contextlib import suppress
from queue import LifoQueue
from typing import IO, Any

from tillage.core.errors import TillageError
from tillage.flow.engine import Engine, T
from tillage.flow.plan import Plan
from tillage.flow.registry import Registry
from tillage.flow.writing import to_yaml

READY = "ready"


class Processes(Engine):
    """The local engine with Maps in `workers` processes, started when the first is needed."""

    apart = True

    def __init__(self, workers: int, plan: Plan, registry: Registry, command: Sequence[str]) -> None:
        """`command`: starts a process that reads orders on its standard input, as `face.worker` does."""
        super().__init__(workers)
        self._command = list(command)
        self._told = {"plan": to_yaml(plan, registry), "root": str(plan.root), "store": str(plan.store)}
        self._started: list[_Process] = []
        self._free: LifoQueue[_Process | None] = LifoQueue()
        for _ in range(workers):
            self._free.put(None)

    def do(self, work: Callable[[T], dict[str, Any]], task: T) -> dict[str, Any]:
        """The result of a task, from another process if it can be had there."""
        order = task.order
        if order is None:
            return work(task)
        process = self._free.get()
        try:
            if process is None or not process.alive():
                process = self._start()
            answer = process.ask(order)
        finally:
            self._free.put(process)
        return answer if answer is not None else work(task)

    def close(self) -> None:
        """End the processes that were started."""
        for process in self._started:
            process.end()
        self._started = []

    def _start(self) -> _Process:
        process = _Process(self._command, self._told, self.workers)
        self._started.append(process)
        return process


class _Process:
    """One process, and the pipes to it."""

    def __init__(self, command: Sequence[str], told: dict[str, str], workers: int) -> None:
        around = {**os.environ, "POLARS_MAX_THREADS": str(max(1, (os.cpu_count() or 1) // workers))}
        self._process = subprocess.Popen(  # noqa: S603 - our own command, and no shell
            list(command), stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=around
        )
        if self._exchange(told) != READY:
            self.end()
            raise TillageError(
                f"A process for the work on chunks could not be started (exit {self._process.returncode}).",
                fix="See its message above, or run without --processes.",
            )

    def alive(self) -> bool:
        return self._process.poll() is None

    def ask(self, order: dict[str, Any]) -> dict[str, Any] | None:
        """The answer; None when there is none, because the work failed or the process died."""
        answer = self._exchange(order)
        return answer["result"] if isinstance(answer, dict) and "result" in answer else None

    def _exchange(self, said: Any) -> Any:
        to, back = self._pipes()
        try:
            to.write(json.dumps(said).encode() + b"\n")
            to.flush()
            line = back.readline()
        except OSError:  # it is gone
            return None
        return json.loads(line) if line.endswith(b"\n") else None

    def _pipes(self) -> tuple[IO[bytes], IO[bytes]]:
        if self._process.stdin is None or self._process.stdout is None:
            raise TypeError("a process was started without pipes")
        return self._process.stdin, self._process.stdout

    def end(self) -> None:
        """Let it end, as it does when nothing more can come; make it when it does not."""
        to, back = self._pipes()
        with suppress(OSError):
            to.close()
        try:
            self._process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        back.close()


__all__ = ["READY", "Processes"]
