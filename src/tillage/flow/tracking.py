"""The curve of a training in TensorBoard, MLflow or Weights & Biases, as far as a plan asks for it (`track`).

All three write into the store's own folder, `.tillage/tracking/`, and nothing leaves the machine: MLflow into a file of
SQLite with its telemetry off, Weights & Biases offline, without what it would collect of machine, code and packages.
They are told numbers by step and the names of project and model: no row, no parameter. What is tracked changes no model
and no digest. Cost: some milliseconds an epoch; Weights & Biases takes a second to begin.
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

    def close(self) -> None:
        """The training has ended."""


@contextmanager
def tracked(tool: str | None, store: Path, project: str, model: str) -> Iterator[None]:
    """Let a tool be told of every training inside; where it is None, nobody. Raises Unavailable without its library.

    Steps are told as `step/loss` and `step/rate`, epochs as `epoch/loss` and, where rows are held back, `epoch/judged`.
    A model in shards is several trainings: each is a run of its own.
    """
    if tool is None:
        yield
        return
    tracker = _Tracker(tool, store / FOLDER / tool, project, model)
    with listening(tracker.record):
        try:
            yield
        finally:
            tracker.close()


class _Tracker:
    """The runs of one model, one after another."""

    def __init__(self, tool: str, folder: Path, project: str, model: str) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        tools: dict[str, Callable[[Path, str, str], Run]] = {
            "tensorboard": _TensorBoard,
            "mlflow": _Mlflow,
            "wandb": _Wandb,
        }
        self._begin = tools[tool]
        self._about = (folder, project, model)
        self._run: Run | None = self._begin(*self._about)  # at once: a library that is missing is told of before hours
        self._last = 0

    def record(self, step: int, values: Mapping[str, float]) -> None:
        run = self._run
        if step < self._last or run is None:  # another training begins
            self.close()
            run = self._run = self._begin(*self._about)
        self._last = step
        kind = "epoch" if "epoch" in values else "step"
        told = {f"{kind}/{name}": float(value) for name, value in values.items() if name != "epoch"}
        run.tell(step, {name: value for name, value in told.items() if isfinite(value)})

    def close(self) -> None:
        if self._run is not None:
            self._run.close()
        self._run = None


class _TensorBoard:
    """A file of events, in a folder that is named by the model and the time."""

    def __init__(self, folder: Path, project: str, model: str) -> None:
        try:
            from tensorboard.compat.proto.event_pb2 import Event
            from tensorboard.compat.proto.summary_pb2 import Summary
            from tensorboard.summary.writer.event_file_writer import EventFileWriter
        except ImportError as error:
            raise _missing("TensorBoard", "tensorboard") from error
        self._event, self._summary = Event, Summary
        self._writer = EventFileWriter(str(folder / f"{model}-{time.time_ns() // 1000}"))

    def tell(self, step: int, values: Mapping[str, float]) -> None:
        told = [self._summary.Value(tag=name, simple_value=value) for name, value in values.items()]
        self._writer.add_event(self._event(wall_time=time.time(), step=step, summary=self._summary(value=told)))

    def close(self) -> None:
        self._writer.close()


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

    def close(self) -> None:
        self._send()
        self._client.set_terminated(self._run)

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

    def close(self) -> None:
        self._run.finish()


def _missing(name: str, extra: str) -> Unavailable:
    return Unavailable(
        f"{name} is not installed, and the plan says `track: {extra}`.", fix=f"Run: pip install 'tillage[{extra}]'"
    )
