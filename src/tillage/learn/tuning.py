"""Tuning: parameters searched by trials on folds of the training rows, bad trials ended early, all of them recorded.

The rows that test a model take no part: a trial learns from some folds and is judged on another, groups kept whole and
time in order as the learner holds rows back anyway. The first trial is the parameters as they stand, so the search ends
no worse on the folds. A seed and a number of trials, never a clock, say where it goes: the same again, and the state of
the model tells every trial. Cost: that of the folds' models times the trials, less what pruning saves.
Sources: Akiba et al., Optuna, KDD 2019; Bergstra et al., Algorithms for hyper-parameter optimization, NeurIPS 2011.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

from pydantic import BaseModel, ConfigDict, Field

from tillage.core.errors import Unavailable

_STARTUP = 5
"""Trials before any is ended early."""


class Tune(BaseModel):
    """How long a search goes on.

    >>> Tune(trials=10).trials
    10
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    trials: int = Field(30, ge=2, le=10_000, description="sets of parameters that are tried")
    seed: int = Field(0, ge=0, lt=2**31, description="of the search")


@dataclass(frozen=True)
class Range:
    """Numbers between two, tried on a logarithmic scale."""

    low: float
    high: float
    whole: bool = False


Space: TypeAlias = "Mapping[str, Range | tuple[str, ...]]"
"""Parameter to its range, or to the values that it may have."""


def search(
    tune: Tune, space: Space, first: Mapping[str, Any], losses: Callable[[dict[str, Any]], Iterator[float]]
) -> tuple[dict[str, Any], dict[str, Any]]:
    """The best parameters, and what there is to tell: `chosen`, `loss`, `first` (that of the parameters as they stood),
    and `trials`, each with `parameters`, `loss` (the mean so far), `folds` and `pruned`.

    `losses`: the loss on each fold in turn. Raises Unavailable where Optuna is not installed.

    >>> found, told = search(Tune(trials=20), {"x": Range(0.1, 10)}, {"x": 9.0}, lambda p: iter([(p["x"] - 2) ** 2]))
    >>> abs(found["x"] - 2) < 1, len(told["trials"]), told["first"]
    (True, 20, 49.0)
    """
    optuna = _library()
    space = {name: _holding(values, first[name]) for name, values in space.items()}
    trials: list[dict[str, Any]] = []

    def tried(trial: Any) -> float:
        chosen = {name: _suggested(trial, name, values) for name, values in space.items()}
        found: list[float] = []
        record: dict[str, Any] = {"parameters": chosen, "loss": None, "folds": 0, "pruned": False}
        trials.append(record)
        for loss in losses(chosen):
            found.append(loss)
            record |= {"loss": sum(found) / len(found), "folds": len(found)}
            trial.report(record["loss"], len(found) - 1)
            if trial.should_prune():
                record["pruned"] = True
                raise optuna.TrialPruned
        return _worth(record)

    optuna.logging.disable_default_handler()
    study = optuna.create_study(
        sampler=optuna.samplers.TPESampler(seed=tune.seed),
        pruner=optuna.pruners.MedianPruner(n_startup_trials=_STARTUP),
    )
    study.enqueue_trial(dict(first))
    study.optimize(tried, n_trials=tune.trials)
    whole = [trial for trial in trials if not trial["pruned"]]
    best = min(whole, key=_worth)  # of equals the first
    told = {"chosen": best["parameters"], "loss": best["loss"], "first": trials[0]["loss"], "trials": trials}
    return dict(best["parameters"]), told


def _worth(trial: Mapping[str, Any]) -> float:
    """The loss that a trial is compared by: without a fold all are equal, and what is no number is the worst."""
    loss = 0.0 if trial["loss"] is None else float(trial["loss"])
    return math.inf if math.isnan(loss) else loss


def _holding(values: Range | tuple[str, ...], first: Any) -> Range | tuple[str, ...]:
    """The values to be tried, those as they stood among them."""
    if isinstance(values, tuple):
        return values if first in values else (first, *values)
    return Range(min(values.low, first), max(values.high, first), values.whole)


def _suggested(trial: Any, name: str, values: Range | tuple[str, ...]) -> Any:
    if isinstance(values, tuple):
        return trial.suggest_categorical(name, list(values))
    if values.whole:
        return trial.suggest_int(name, int(values.low), int(values.high), log=True)
    return trial.suggest_float(name, values.low, values.high, log=True)


def _library() -> Any:
    try:
        import optuna
    except ImportError as error:
        raise Unavailable(
            "'tune' searches with Optuna, which is not installed.", fix="Run: pip install 'tillage[tune]'"
        ) from error
    return optuna
