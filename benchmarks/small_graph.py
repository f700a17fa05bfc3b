"""A small ONNX model that a server answers with: a linear classifier, run by ONNX Runtime; a learner of one's own."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import Any, ClassVar, Literal

import numpy as np
import polars as pl

from tillage.core import Fitted, Whole
from tillage.learn import LinearDiscriminant
from tillage.learn.learner import Learner
from tillage.onnx.session import onnx_session

COLUMNS = ("size", "y")


class Graph(Learner, Whole):
    """Learns a linear model of two numbers, and keeps it as ONNX alone."""

    task: ClassVar[Literal["classification", "regression"]] = "classification"

    def compute(self, inputs: Mapping[str, pl.DataFrame]) -> Any:
        """The graph."""
        learner = LinearDiscriminant(input=COLUMNS, target=self.target)
        made = learner.finish(learner.update(learner.start(), inputs["rows"]))
        classes = list(made.state["classes"])
        return Run(state={"target": self.target, "classes": classes, "graph": np.frombuffer(made.onnx(), np.uint8)})


class Run(Fitted):
    """What the graph says of each row."""

    def needs(self) -> tuple[str, ...]:
        """What it looks at."""
        return COLUMNS

    @cached_property
    def _session(self) -> Any:
        return onnx_session(self.state["graph"].tobytes())

    def apply(self, rows: pl.DataFrame) -> pl.DataFrame:
        """The rows with `prediction` and `confidence`."""
        given = {c: rows[c].cast(pl.Float64).to_numpy().reshape(-1, 1) for c in COLUMNS}
        said, sure = self._session.run(["prediction", "confidence"], given)
        return rows.hstack([pl.Series("prediction", said.tolist(), pl.String), pl.Series("confidence", sure)])
