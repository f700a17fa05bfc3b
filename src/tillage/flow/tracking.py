"""The curve of a training in TensorBoard, MLflow or Weights & Biases, as far as a plan asks for it (`track`).

All three write into the store's own folder, `.tillage/tracking/`, and nothing leaves the machine: MLflow into a file of
SQLite with its telemetry off, Weights & Biases offline, without what it would collect of machine, code and packages.
They are told numbers by step and the names of project and model: no row, no parameter. What is tracked changes no model
and no digest; a tool that fails is warned of, and told nothing more. Cost: some milliseconds an epoch; Weights & Biases
takes a second to begin.
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from math import isfinite
from pathlib import Path
from typing import Any, Protocol

from tillage.core.errors import Unavailable
from tillage.core.training_records import listening

FOLDER = "tracking"
"""Below the store."""

_AT_ONCE = 500
"""Figures that MLflow is told of together."""


class Run(Protocol):
    """One training, as a tool keeps it."""

    def tell(self, step: int, values: Mapping[str, float]) -> None:
        """Figures of a step."""

    def close(self, failed: bool) -> None:
        """The training has ended, maybe by an error."""


@contextmanager
def tracked(tool: str | None, store: Path, project: str, model: str) -> Iterator[list[str]]:
    """Let a tool be told of every training inside; where it is None, nobody. Raises Unavailable without its library.

    Steps are told as `step/loss` and `step/rate`, epochs as `epoch/loss` and, where rows are held back, `epoch/judged`.
    A model in shards is several trainings: each is a run of its own. Gives the warnings that there are at the end: a
    tool that fails is told nothing more, and the training goes on.
    """
    warnings: list[str] = []
    if tool is None:
        yield warnings
        return
    tracker = _Tracker(tool, store / FOLDER / tool, project, model, warnings)
    with listening(tracker.record):
        try:
            yield warnings
        except BaseException:
            tracker.close(failed=True)
            raise
        tracker.close()


class _Tracker:
    """The runs of one model, one after another."""

    def __init__(self, tool: str, folder: Path, project: str, model: str, warnings: list[str]) -> None:
        tools: dict[str, Callable[[Path, str, str], Run]] = {
            "tensorboard": _TensorBoard,
            "mlflow": _Mlflow,
            "wandb": _Wandb,
        }
        self._tool, self._begin, self._warnings = tool, tools[tool], warnings
        self._about = (folder, project, model)
        self._run: Run | None = None
        self._last = 0
        with self._going_on():  # at once: a library that is missing is told of before hours
            self._start()

    def record(self, step: int, values: Mapping[str, float]) -> None:
        if self._warnings:
            return
        with self._going_on():
            if step < self._last or self._run is None:  # another training begins
                self._end(failed=False)
                self._start()
            self._last = step
            kind = "epoch" if "epoch" in values else "step"
            told = {f"{kind}/{name}": float(value) for name, value in values.items() if name != "epoch"}
            if self._run is not None:
                self._run.tell(step, {name: value for name, value in told.items() if isfinite(value)})

    def close(self, failed: bool = False) -> None:
        with self._going_on():
            self._end(failed)

    def _start(self) -> None:
        self._about[0].mkdir(parents=True, exist_ok=True)
        self._run = self._begin(*self._about)

    def _end(self, failed: bool) -> None:
        run, self._run = self._run, None
        if run is not None:
            run.close(failed)

    @contextmanager
    def _going_on(self) -> Iterator[None]:
        """Whatever the tool raises becomes a warning: hours of training are worth more than their curve."""
        try:
            yield
        except Unavailable:
            raise
        except Exception as error:  # three libraries, their databases and files: whatever they like
            self._run = None
            why = (str(error).splitlines() or [""])[0][:200]
            self._warnings.append(
                f"The training was not tracked to its end by {self._tool}, which failed "
                f"({type(error).__name__}: {why}). "
                f"The model is whole. Look at {self._about[0]}."
            )


class _TensorBoard:
    """A file of events, in a folder that is named by the model and the time.

    It is written here, since the library's own writer names it after the machine and the process.
    """

    def __init__(self, folder: Path, project: str, model: str) -> None:
        try:
            from tensorboard.compat.proto.event_pb2 import Event
            from tensorboard.compat.proto.summary_pb2 import Summary
            from tensorboard.summary.writer.record_writer import RecordWriter
        except ImportError as error:
            raise _missing("TensorBoard", "tensorboard") from error
        self._event, self._summary = Event, Summary
        place = folder / f"{model}-{time.time_ns() // 1000}"
        place.mkdir()
        self._file = place / "events.out.tfevents"
        self._records = RecordWriter(self._file.open("wb"))
        self._write(Event(wall_time=time.time(), file_version="brain.Event:2"))

    def tell(self, step: int, values: Mapping[str, float]) -> None:
        told = [self._summary.Value(tag=name, simple_value=value) for name, value in values.items()]
        self._write(self._event(wall_time=time.time(), step=step, summary=self._summary(value=told)))

    def close(self, failed: bool) -> None:
        self._records.close()
        if not self._file.is_file():  # it was written to all the same, and nobody will find it
            raise FileNotFoundError("the file was removed while the model learnt")

    def _write(self, event: Any) -> None:
        self._records.write(event.SerializeToString())
        self._records.flush()


class _Mlflow:
    """A run of the experiment that is called as the project, in `mlflow.db`."""

    def __init__(self, folder: Path, project: str, model: str) -> None:
        os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"  # read when the library is imported
        try:
            import alembic  # noqa: F401 - what the database of MLflow is made by
            from mlflow.entities import Metric
            from mlflow.tracking import MlflowClient
        except ImportError as error:
            raise _missing("MLflow", "mlflow") from error
        logging.getLogger("mlflow.store.db.utils").setLevel(logging.WARNING)  # it tells of each table that it makes
        self._metric, self._waiting = Metric, list[Any]()
        self._client = MlflowClient(tracking_uri=f"sqlite:///{(folder / 'mlflow.db').absolute()}")
        found = self._client.get_experiment_by_name(project)
        place = (folder / "artifacts").absolute().as_uri()
        experiment = found.experiment_id if found else self._client.create_experiment(project, artifact_location=place)
        self._run = self._client.create_run(experiment, run_name=model).info.run_id

    def tell(self, step: int, values: Mapping[str, float]) -> None:
        now = time.time_ns() // 1_000_000
        self._waiting += [self._metric(name, value, now, step) for name, value in values.items()]
        if len(self._waiting) >= _AT_ONCE:
            self._send()

    def close(self, failed: bool) -> None:
        self._send()
        self._client.set_terminated(self._run, "FAILED" if failed else "FINISHED")

    def _send(self) -> None:
        self._client.log_batch(self._run, metrics=self._waiting)
        self._waiting = []


class _Wandb:
    """A run that is offline: `wandb sync` sends it, if somebody wants that."""

    def __init__(self, folder: Path, project: str, model: str) -> None:
        os.environ["WANDB_ERROR_REPORTING"] = "false"  # read when the library is imported, as is where it keeps its own
        os.environ.setdefault("WANDB_CACHE_DIR", str(folder / "cache"))
        try:
            import wandb
        except ImportError as error:
            raise _missing("Weights & Biases", "wandb") from error
        self._run = wandb.init(
            project=project,
            name=model,
            dir=str(folder),
            mode="offline",
            reinit="create_new",
            settings=wandb.Settings(
                host="-",
                username="-",
                console="off",
                silent=True,
                save_code=False,
                disable_code=True,
                disable_git=True,
                x_disable_meta=True,
                x_disable_stats=True,
                x_disable_machine_info=True,
                x_save_requirements=False,
            ),
        )

    def tell(self, step: int, values: Mapping[str, float]) -> None:
        self._run.log(dict(values), step=step)

    def close(self, failed: bool) -> None:
        self._run.finish(exit_code=int(failed))


def _missing(name: str, extra: str) -> Unavailable:
    return Unavailable(
        f"{name} is not installed, and the plan says `track: {extra}`.", fix=f"Run: pip install 'tillage[{extra}]'"
    )
