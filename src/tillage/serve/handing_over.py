"""When a prediction is handed over to a person: below a confidence that is chosen on held-out rows for a precision.

The rows that test the model, which it never saw, are parted in two by a hash of their ids. On one half the least
confidence is chosen at which the precision of what is answered is high enough, by the lower end of its 95 % interval
(Wilson, JASA 22, 1927), so that few rows cannot make it look good; the other half tells what that reaches. Cost: the
model answers its test rows once when it is loaded, SLICE of them at most.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl

from tillage.core.answers import CONFIDENCE, PREDICTION
from tillage.core.errors import UsageError
from tillage.core.keys import fraction
from tillage.core.rows import ID
from tillage.core.step import Fitted
from tillage.flow.run import Project
from tillage.flow.score import SLICE
from tillage.flow.stages import SIDE
from tillage.measure import wilson
from tillage.store.tables import Version
from tillage.text.spans import keys_of


@dataclass(frozen=True)
class HandOver:
    """From which confidence a service answers by itself, and what that is worth."""

    precision: float
    """The share of right answers that is asked for."""
    least: float | None
    """The confidence; None where no confidence reaches that precision, and a person answers all."""
    chosen_on: int
    """Rows on which it was chosen."""
    seen_on: int
    """Rows on which the next two were seen; none of them is among the others."""
    answered: float
    """The share of them that is answered without a person."""
    reached: tuple[float, float] | None
    """The precision of these, as a 95 % interval; None where none is."""

    def of(self, confidence: float | None) -> bool:
        """Whether a prediction of this confidence goes to a person."""
        return confidence is None or self.least is None or confidence < self.least

    def told(self) -> dict[str, Any]:
        """As `GET /v1/services` tells it."""
        rounded = [round(v, 4) for v in self.reached] if self.reached is not None else None
        return {
            "precision": self.precision,
            "least_confidence": self.least,
            "chosen_on": self.chosen_on,
            "seen_on": self.seen_on,
            "answered": round(self.answered, 4),
            "reached": rounded,
        }


def least_confidence(confidences: np.ndarray, right: np.ndarray, precision: float) -> float | None:
    """The least confidence from which on answers are right often enough; None when there is none.

    >>> sure = np.linspace(0, 1, 1001)
    >>> round(least_confidence(sure, sure >= 0.4, 0.9), 3)
    0.35
    """
    order = np.argsort(-confidences, kind="stable")
    sorted_, hits = confidences[order], np.cumsum(right[order])
    for at in range(len(order) - 1, -1, -1):
        last_of_its_kind = at == len(order) - 1 or sorted_[at + 1] < sorted_[at]
        if last_of_its_kind and wilson(int(hits[at]), at + 1)[0] >= precision:
            return float(sorted_[at])
    return None


def handing_over(project: Project, at: Version, model: Fitted, precision: float) -> HandOver:
    """The rule for a version of a model; UsageError where it gives no confidence, or nothing tests it."""
    rows = _held_out(project, at, model)
    shown = model.apply(rows.drop(SIDE)) if rows.height else rows
    own = CONFIDENCE in rows.columns and "classes" not in model.state  # a column of the rows that is called so
    if rows.height and (own or CONFIDENCE not in shown.columns):
        raise UsageError(
            f"'{at.stage}' tells no confidence, so nothing can be handed over by it.",
            fix="Take 'hand_over' out of the service, or serve a classifier.",
        )
    if shown.height < 2:
        raise UsageError(
            f"No row tests '{at.stage}', so no confidence can be chosen.", fix="Give it a split with a test share."
        )
    sure = shown[CONFIDENCE].fill_null(-1.0).to_numpy()
    task = str(getattr(project.plan.models[at.stage].learner, "task", "classification"))
    truth, said = (_known(s, task) for s in (rows[str(model.state["target"])], shown[PREDICTION]))
    right = (said == truth).fill_null(value=False).to_numpy()
    first = (fraction(shown[ID], "hand over") < 0.5).to_numpy()
    least = least_confidence(sure[first], right[first], precision)
    answered = ~first & (sure >= (np.inf if least is None else least))
    taken, seen = int(answered.sum()), int((~first).sum())
    reached = wilson(int(right[answered].sum()), taken) if taken else None
    return HandOver(precision, least, int(first.sum()), seen, taken / seen if seen else 0.0, reached)


def _known(values: pl.Series, task: str) -> pl.Series:
    """Values as texts that are equal where they mean the same: spans whatever their confidence is."""
    if task == "token_classification":
        return keys_of(values).list.sort().list.join("\n")
    return values.cast(pl.String)


def _held_out(project: Project, at: Version, model: Fitted) -> pl.DataFrame:
    """The rows that tested this version."""
    found: list[pl.DataFrame] = []
    target = str(model.state["target"])
    for stage, number in at.inputs.items():
        for frame in project.store.frames(stage, version=number):
            if SIDE in frame.columns:
                found.append(frame.filter((pl.col(SIDE) == "test") & pl.col(target).is_not_null()))  # noqa: PERF401
    every = pl.concat(found, how="diagonal_relaxed") if found else pl.DataFrame()
    return every.sort(ID).head(SLICE) if every.height else every
