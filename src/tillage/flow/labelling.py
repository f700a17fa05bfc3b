"""Which rows are worth a person's look: labels that are probably wrong, and rows without one that would teach most.

A label is doubted by models that had not learnt from the row (cross-validation, then `measure.label_errors`). A row
without a label is worth one where the model is torn between two classes, or a linear model of the same rows says
something else. Cost: the training five times, a linear model, and a prediction of the rows without a label.
Sources: Northcutt et al., JAIR 70, 2021; Settles, Active learning literature survey, 2009 (margin, committee).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl

from tillage.core.errors import UsageError
from tillage.core.rows import ID, ORIGIN, drop_columns, only, split_left
from tillage.flow.cross_validation import held_out
from tillage.flow.evaluation import linear_model
from tillage.flow.explanation import drawn
from tillage.flow.judged import Judged, told
from tillage.flow.registry import Registry
from tillage.flow.stages import SIDE
from tillage.measure.label_errors import suspected

TOLD = ("why", "given", "suggested", "doubt")
_WHY, _GIVEN, _SUGGESTED, _DOUBT = _OURS = tuple(f"_{name}" for name in TOLD)
"""What is told of a row stands beside its own columns, which may be called `why` as well."""
_LEARN, _LOOK = 10_000, 50_000
"""Rows that the linear model learns from, and rows without a label that are looked at, at most."""


@dataclass(frozen=True)
class ToLabel:
    """Rows to look at, the first first, and for each of them what is told of it."""

    rows: pl.DataFrame
    """`_id` and the columns of the table."""
    told: pl.DataFrame
    """`why`, `given`, `suggested` and `doubt` (0 to 1) of the same rows, in the same order."""
    classes: list[str]
    suspected: int
    """Labels that are doubted, of `looked` training rows."""
    looked: int
    unlabelled: int
    """Rows without a label that were looked at."""


def to_label(judged: Judged, registry: Registry, most: int) -> ToLabel:
    """The rows to look at, at most so many: doubted labels and rows without one by turns, each kind the surest first.

    Raises UsageError for a model of numbers, and for one that tells no shares of classes.
    """
    name = judged.model.name
    if judged.task != "classification":
        learns = "numbers" if judged.task == "regression" else "to mark parts of texts"
        raise UsageError(f"'{name}' learns {learns}; labels are classes.", fix="Name a model of classes.")
    if not hasattr(judged.fitted, "apply_with_shares"):
        raise UsageError(
            f"'{name}' does not tell the shares of classes, which doubts are made of.",
            fix="Learn with text_classifier or tabular_classifier.",
        )
    doubted, looked = _doubted(judged, registry)
    torn, unlabelled = _torn(judged, registry)
    both = [
        frame.with_columns(pl.int_range(pl.len()).alias("_place"), pl.lit(kind).alias("_kind"))
        for kind, frame in enumerate((doubted, torn))
        if frame.height
    ]
    if not both:
        texts = dict.fromkeys(_OURS[:-1], pl.String)
        rows = pl.DataFrame(schema={ID: pl.UInt128, **texts, _DOUBT: pl.Float64})
    else:
        rows = pl.concat(both, how="diagonal_relaxed").sort("_place", "_kind").drop("_place", "_kind").head(most)
    classes = [str(c) for c in judged.fitted.state["classes"]]
    told_of = rows.select(pl.col(ours).alias(name) for ours, name in zip(_OURS, TOLD, strict=True))
    return ToLabel(rows.drop(_OURS), told_of, classes, doubted.height, looked, unlabelled)


def _doubted(judged: Judged, registry: Registry) -> tuple[pl.DataFrame, int]:
    """Training rows whose label is suspected, and of how many."""
    parts = [held for held in held_out(judged, registry) if "shares" in held.said.columns]
    if not parts:
        return pl.DataFrame(), 0
    classes = sorted({field.name for part in parts for field in part.said.schema["shares"].fields})  # type: ignore[attr-defined]
    shares = np.vstack([_matrix(part.said["shares"].struct.unnest(), classes) for part in parts])
    rows = pl.concat([part.rows for part in parts], how="diagonal_relaxed")
    label = _texts(rows[judged.target])
    known = label.is_in(classes).to_numpy()
    rows, label, shares = rows.filter(pl.Series(known)), label.filter(pl.Series(known)), shares[known]
    at = label.replace_strict(classes, range(len(classes)), return_dtype=pl.Int64).to_numpy()
    found = suspected(shares, at)
    chosen = rows[found.places.tolist()]
    told_of = {
        _WHY: [f"the label is doubted: {classes[s]} {shares[p, s]:.2f}, {classes[at[p]]} {shares[p, at[p]]:.2f}"
              for p, s in zip(found.places, found.suggested, strict=True)],
        _GIVEN: label[found.places.tolist()],
        _SUGGESTED: [classes[s] for s in found.suggested],
        _DOUBT: found.margin,
    }  # fmt: skip
    return chosen.with_columns(pl.Series(name, values) for name, values in told_of.items()), rows.height


def _torn(judged: Judged, registry: Registry) -> tuple[pl.DataFrame, int]:
    """Rows without a label, those first of which least is known, and how many there are."""
    bare, sample = [], pl.DataFrame()
    for rows in judged.rows():
        known = drop_columns(rows, "_object", "_record", "_key", "_parent")
        real = known.filter(pl.col(ORIGIN).is_null()) if ORIGIN in known.columns else known
        bare.append(drop_columns(real.filter(pl.col(judged.target).is_null()), ORIGIN))
        training = known.filter((pl.col(SIDE) == "train") & pl.col(judged.target).is_not_null())
        sample = drawn(pl.concat([sample, training], how="diagonal_relaxed") if sample.height else training, _LEARN)
    rows = drawn(pl.concat(bare, how="diagonal_relaxed"), _LOOK) if bare else pl.DataFrame()
    if not rows.height:
        return pl.DataFrame(), 0
    # a row that the model turns away is none to be asked for
    said, _ = split_left(told(judged.fitted, rows, judged.task))
    if not said.height:
        return pl.DataFrame(), 0
    rows = only(rows, said[ID])
    shares = said["shares"].struct.unnest()
    ordered = np.sort(shares.to_numpy(), axis=1)
    torn = 1 - (ordered[:, -1] - ordered[:, -2])
    linear, _ = linear_model(judged, judged.training(sample), registry)
    other = told(linear, rows, judged.task)["prediction"] if linear is not None else said["prediction"]
    unlike = (other != said["prediction"]).to_numpy()
    names = np.array(shares.columns)
    second = names[np.argsort(shares.to_numpy(), axis=1, kind="stable")[:, -2]].tolist()
    why = [
        f"no label: {a} {s:.2f}, {b} next{f'; a linear model says {o}' if u else ''}"
        for a, s, b, o, u in zip(said["prediction"], said["confidence"], second, other, unlike, strict=True)
    ]
    doubt = np.where(unlike, 0.5 + torn / 2, torn / 2)
    found = rows.with_columns(
        pl.Series(_WHY, why),
        pl.lit(None, pl.String).alias(_GIVEN),
        said["prediction"].alias(_SUGGESTED),
        pl.Series(_DOUBT, doubt),
    )
    return found.sort([_DOUBT, ID], descending=[True, False]), rows.height


def _matrix(shares: pl.DataFrame, classes: list[str]) -> Any:
    return np.column_stack([shares[c].to_numpy() if c in shares.columns else np.zeros(len(shares)) for c in classes])


def _texts(values: pl.Series) -> pl.Series:
    return (values.fill_nan(None) if values.dtype.is_float() else values).cast(pl.String)
