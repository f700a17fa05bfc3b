"""How well parts of texts are marked: precision, recall and F1 of exact spans beside the baseline's, and by label.

A span is right where its label and both ends are; `confusion` tells of those whose ends alone are right. Intervals are
by bootstrap over texts, or over whole groups, since spans of one text are not independent.
Source: Tjong Kim Sang and De Meulder, CoNLL 2003 (`conlleval`); Efron and Tibshirani, An Introduction to the Bootstrap,
1993. Cost: 10 microseconds a span, and a thousand rounds over counts by text.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import polars as pl
from pydantic import Field

from tillage.core.rows import ID, column
from tillage.core.step import Whole
from tillage.evaluate import yardstick
from tillage.evaluate.slices import SLICE, Numbers, slices_of
from tillage.evaluate.slices import warnings_of as slice_warnings
from tillage.evaluate.tested import few, named, tested
from tillage.measure.paired import compared
from tillage.measure.spans import SPAN_METRICS, span_counts, span_f1, span_intervals, span_precision, span_recall
from tillage.text.spans import Span, keys_of, spans_of

NO_SPAN = "(no span)"
"""Stands in the confusion for what was missed, and for what was made up."""

_FEW_OF_LABEL = 5
_MISTAKES = 20
_BINS = 10


class TokenClassificationReport(Whole):
    """Scores of spans, from rows that bear target, `prediction` and `baseline`, each a column of spans.

    What models say may come as a frame of its own, `said`, row by row beside `rows`; with `linear`, what a linear model
    marks, its scores stand beside, compared in pairs. A text whose target is null was
    looked at by nobody: it is left out, and counted. Where nothing was predicted, no span was.

    >>> rows = pl.DataFrame({"_id": [1], "y": ['[[0, 3, "A"], [7, 9, "B"]]'], "prediction": ['[[0, 3, "A"]]'],
    ...     "baseline": ["[]"]})
    >>> report = TokenClassificationReport(target="y").compute({"rows": rows})
    >>> report["metrics"]["precision"], report["metrics"]["recall"], report["baseline"]["f1"]
    (1.0, 0.5, 0.0)
    """

    target: str = Field(min_length=1, description="column with the true spans")
    group: str | None = Field(None, min_length=1, description="column whose equal values belong together")
    slices: tuple[str, ...] = Field((), description="columns by whose values the score is told apart")
    seed: int = Field(0, ge=0, lt=2**31, description="of the bootstrap")

    def needs(self) -> tuple[str, ...]:
        return (self.target, "prediction", "baseline", *((self.group,) if self.group else ()), *self.slices)

    def compute(self, inputs: Mapping[str, pl.DataFrame]) -> dict[str, Any]:
        """`metrics`, `baseline`, `interval`, `rows`, `unlabelled`, `spans`, `per_class` (a label each), `confusion`,
        `calibration` (of spans), `errors`, `slices`, `warnings`: plain values. Raises BadData when no row has a target,
        or a column holds no spans."""
        rows = inputs["rows"]
        said = inputs.get("said", rows)
        kept = [_text(said, "prediction"), _text(said, "baseline")]
        if yardstick.LINEAR in said.columns:
            kept.append(_text(said, yardstick.LINEAR))
        kept += [column(rows, name).rename(f"{SLICE}{name}") for name in self.slices]
        frame = tested(rows, _text(rows, self.target), self.group, kept)
        keys = {name: keys_of(frame[name]) for name in ("target", "prediction", "baseline")}
        counts = span_counts(keys["target"], keys["prediction"])
        naive = span_counts(keys["target"], keys["baseline"])
        metrics = {name: metric(counts) for name, metric in SPAN_METRICS.items()}
        baseline = {name: metric(naive) for name, metric in SPAN_METRICS.items()}
        interval = span_intervals(counts, frame["group"] if self.group else None, seed=self.seed)
        truth = [some or [] for some in spans_of(frame["target"])]
        guess = [some or [] for some in spans_of(frame["prediction"])]
        by_label = _by_label(truth, guess)
        sliced = self._slices(frame, counts)
        linear = self._linear(frame, keys)
        warnings = _warnings(frame, metrics, baseline, interval, by_label)
        if linear:
            warnings += yardstick.warnings_of(linear["compared"], metrics, linear["metrics"])
        return {
            "metrics": metrics,
            "baseline": baseline,
            "interval": interval,
            "rows": frame.height,
            "unlabelled": rows.height - frame.height,
            "spans": int(counts[:, 2].sum()),
            "per_class": by_label,
            "confusion": _confusion(truth, guess),
            "calibration": _calibration(frame["prediction"], keys["target"]),
            "errors": list(_mistakes(frame, truth, guess))[:_MISTAKES],
            "slices": sliced,
            **({"linear": linear} if linear else {}),
            "warnings": [*warnings, *slice_warnings(sliced)],
        }

    def _linear(self, frame: pl.DataFrame, keys: Mapping[str, pl.Series]) -> dict[str, Any]:
        """The linear model's scores on the same texts, and whether the model's differ; empty where there is none."""
        if yardstick.LINEAR not in frame.columns:
            return {}
        other = keys_of(frame[yardstick.LINEAR])
        counts = span_counts(keys["target"], other)
        groups = frame["group"] if self.group else None
        return {
            "metrics": {name: metric(counts) for name, metric in SPAN_METRICS.items()},
            "compared": compared("f1", keys["target"], keys["prediction"], other, groups, self.seed),
        }

    def _slices(self, frame: pl.DataFrame, counts: Numbers) -> dict[str, Any]:
        """A text counts as right where all of its spans are, and no more were found."""
        wrong = ((counts[:, 0] != counts[:, 1]) | (counts[:, 0] != counts[:, 2])).astype("float64")
        return slices_of(
            frame, "accuracy", wrong, lambda inside: {"f1": span_f1(counts[inside])}, grouped=bool(self.group)
        )


def _text(rows: pl.DataFrame, name: str) -> pl.Series:
    """A column of spans as JSON text."""
    values = column(rows, name)
    if values.dtype in (pl.String, pl.Null):
        return values.cast(pl.String)
    found = [None if some is None else json.dumps(some) for some in spans_of(values)]
    return pl.Series(name, found, dtype=pl.String)


def _by_label(truth: Sequence[Sequence[Span]], guess: Sequence[Sequence[Span]]) -> list[dict[str, Any]]:
    counts: dict[str, list[int]] = {}
    for there, said in zip(truth, guess, strict=True):
        true, told = set(there), set(said)
        for place, some in enumerate((true & told, told, true)):
            for span in some:
                counts.setdefault(span.label, [0, 0, 0])[place] += 1
    found = []
    for label, numbers in sorted(counts.items()):
        one = np.array([numbers])
        scores = {"precision": span_precision(one), "recall": span_recall(one), "f1": span_f1(one)}
        found.append({"class": label, **scores, "support": numbers[2], "found": numbers[1]})
    return found


def _confusion(truth: Sequence[Sequence[Span]], guess: Sequence[Sequence[Span]]) -> dict[str, Any]:
    """Labels of the spans whose ends agree; what has no fellow stands beside NO_SPAN."""
    pairs: dict[tuple[str, str], int] = {}
    for there, said in zip(truth, guess, strict=True):
        true, told = ({(s.start, s.end): s.label for s in some} for some in (there, said))
        for place in sorted({*true, *told}):
            pair = true.get(place, NO_SPAN), told.get(place, NO_SPAN)
            pairs[pair] = pairs.get(pair, 0) + 1
    classes = [*sorted({label for pair in pairs for label in pair} - {NO_SPAN}), NO_SPAN]
    return {"classes": classes, "counts": [[pairs.get((a, b), 0) for b in classes] for a in classes]}


def _calibration(prediction: pl.Series, target: pl.Series) -> list[dict[str, Any]]:
    """Tenths of the confidence that hold spans: their bounds, spans, mean confidence and share of right ones."""
    sure: list[float] = []
    right: list[bool] = []
    for text, there in zip(prediction.to_list(), target.to_list(), strict=True):
        for span in json.loads(text or "[]"):
            if isinstance(span, dict) and "confidence" in span:
                sure.append(float(span["confidence"]))
                right.append(f"{span['start']} {span['end']} {span['label']}" in there)
    tenth = np.clip(np.floor(np.array(sure) * _BINS), 0, _BINS - 1).astype(np.int64)
    found = []
    for n in np.unique(tenth).tolist():
        inside = tenth == n
        found.append(
            {
                "from": n / _BINS,
                "to": (n + 1) / _BINS,
                "rows": int(inside.sum()),
                "confidence": float(np.array(sure)[inside].mean()),
                "accuracy": float(np.array(right)[inside].mean()),
            }
        )
    return found


def _mistakes(
    frame: pl.DataFrame, truth: Sequence[Sequence[Span]], guess: Sequence[Sequence[Span]]
) -> Iterator[dict[str, Any]]:
    """Spans that were missed, made up or called otherwise, by row: their places, never their words."""
    for row_id, there, said in zip(frame[ID].to_list(), truth, guess, strict=True):
        true, told = ({(s.start, s.end): s.label for s in some} for some in (there, said))
        for start, end in sorted({*true, *told}):
            label, call = true.get((start, end)), told.get((start, end))
            if label != call:
                yield {"id": f"{row_id:032x}", "place": f"{start} to {end}", "target": label, "prediction": call}


def _warnings(
    frame: pl.DataFrame,
    metrics: Mapping[str, float],
    baseline: Mapping[str, float],
    interval: Mapping[str, Sequence[float]],
    by_label: Sequence[Mapping[str, Any]],
) -> list[str]:
    found = few(frame)
    if not any(label["support"] for label in by_label):
        return [*found, "No test row has a span: nothing can be found."]
    rare = [label["class"] for label in by_label if 0 < label["support"] < _FEW_OF_LABEL]
    if rare:
        found.append(f"Fewer than {_FEW_OF_LABEL} spans in the test rows: {named(rare)}. Their figures say little.")
    unseen = [label["class"] for label in by_label if label["support"] and not label["found"]]
    if unseen:
        found.append(f"Never found: {named(unseen)}.")
    if interval["f1"][0] <= baseline["f1"]:
        found.append(
            f"The f1 of {metrics['f1']:.4g} is not better than the {baseline['f1']:.4g} of looking up what was marked "
            f"in training, beyond its interval ({interval['f1'][0]:.4g} to {interval['f1'][1]:.4g})."
        )
    return found
