"""Who was in the training rows cannot be told of the forgotten any more: two attacks, before and after.

The models overfit on purpose: labels are drawn, so that a label is predicted only where it was learnt by heart. Attacks
see what a service answers, `prediction` and `confidence`. They must succeed before (or they prove nothing), and after
`tillage forget` tell forgotten rows from never seen ones no better than never seen ones from each other.
What they find absent is no proof of absence; what the retrained model's digest shows (`test_forget.py`) is stronger.
Sources: Yeom et al., Privacy Risk in Machine Learning, CSF 2018 (a threshold on the loss); Shokri et al., Membership
Inference Attacks, IEEE S&P 2017 (shadow models); Carlini et al., Membership Inference From First Principles, IEEE S&P
2022 (the likelihood ratio of a row's own shadows).
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from tests.flow.world import KEY

from tillage.core.step import Fitted
from tillage.face.rooms import project

PLAN = """\
project: membership
tables:
  notes: {collect: {files: "data/*.csv"}, key: id}
models:
  texts:
    from: notes
    learn: {text_classifier: {input: text, target: label, regularisation: 100, min_rows: 1}}
    split: {test: 0.001}
  shards:
    from: notes
    learn:
      tabular_classifier: {input: text, target: label, model: linear, regularisation: 10000, shards: 2, slices: 2}
    split: {test: 0.001}
"""
MODELS = ("texts", "shards")
KEPT, FORGOTTEN, NEVER = 160, 90, 270
SHADOWS = 10
LOOKS = 6
Numbers = np.ndarray[Any, np.dtype[np.float64]]
Attack = Callable[[Fitted, pl.DataFrame], Numbers]
"""How sure an attacker is, row by row, that the model has learnt it: greater is surer."""


def population(count: int, first: int, seed: int) -> pl.DataFrame:
    """Rows of twelve words out of 300, each with a label that has nothing to do with them."""
    random = np.random.default_rng(seed)
    texts = [" ".join(f"w{w:03d}" for w in random.integers(300, size=12)) for _ in range(count)]
    labels = random.choice(["no", "yes"], count)
    rows = pl.DataFrame({"id": range(first, first + count), "text": texts, "label": labels})
    return rows.with_columns(pl.col("id").cast(pl.UInt128).alias("_id"))


KEPT_ROWS = population(KEPT, 0, 1)
FORGOTTEN_ROWS, NEVER_ROWS = population(FORGOTTEN, 1000, 2), population(NEVER, 2000, 3)


def right(model: Fitted, rows: pl.DataFrame) -> Numbers:
    """The share that the model gives to the right label, as far as its answer tells."""
    said = model.apply(rows.select("text", "label"))
    share = np.where(said["prediction"] == said["label"], said["confidence"], 1 - said["confidence"])
    return np.clip(share, 1e-9, 1 - 1e-9)


def negative_loss(model: Fitted, rows: pl.DataFrame) -> Numbers:
    """Yeom et al.: rows of small loss were learnt."""
    return np.asarray(np.log(right(model, rows)))


def logit(model: Fitted, rows: pl.DataFrame) -> Numbers:
    share = right(model, rows)
    return np.asarray(np.log(share / (1 - share)))


class LikelihoodRatio:
    """Carlini et al.: how a row fares in shadow models that learnt it, against those that did not.

    The attacker knows the learner and has rows like the model's; each row in question is in half of the shadows.
    """

    def __init__(self, learner: Any) -> None:
        pool = pl.concat([FORGOTTEN_ROWS, NEVER_ROWS])
        random = np.random.default_rng(5)
        drawn = np.argsort(random.random((SHADOWS, pool.height)), axis=0) < SHADOWS // 2
        said = np.empty((SHADOWS, pool.height))
        for n in range(SHADOWS):
            seen = pl.concat([population(KEPT // 2, 10_000 * (n + 1), 100 + n), pool.filter(pl.Series(drawn[n]))])
            said[n] = logit(learner.compute({"rows": seen}), pool)
        inside, outside = (np.where(d, said, np.nan) for d in (drawn, ~drawn))
        self._row = {row: place for place, row in enumerate(pool["id"])}
        self._means = np.nanmean(inside, axis=0), np.nanmean(outside, axis=0)
        self._spreads = tuple(float(np.sqrt(np.nanmean(np.nanvar(x, axis=0)))) + 1e-9 for x in (inside, outside))

    def __call__(self, model: Fitted, rows: pl.DataFrame) -> Numbers:
        at = [self._row[row] for row in rows["id"]]
        seen = logit(model, rows)
        inside, outside = (
            -(((seen - mean[at]) / spread) ** 2) / 2 - np.log(spread)
            for mean, spread in zip(self._means, self._spreads, strict=True)
        )
        return np.asarray(inside - outside)


def auc(members: Numbers, others: Numbers) -> float:
    """The chance that a row of the first is thought surer than one of the second (ties: a half)."""
    above = members[:, None] > others[None, :]
    same = members[:, None] == others[None, :]
    return float((above + same / 2).mean())


def advantage(members: Numbers, others: Numbers, threshold: float) -> float:
    """Yeom et al.: true positives less false ones, when all above the threshold are called members."""
    return float((members >= threshold).mean() - (others >= threshold).mean())


def chance(measure: Callable[[Numbers, Numbers], float], never: Numbers) -> tuple[float, float]:
    """What the measure says of as many rows never seen as were forgotten: the middle 95 % of 2000 bootstrap draws.

    95 % for the six looks together: each is given a sixth of what is left (Bonferroni).
    """
    random = np.random.default_rng(6)
    drawn = [measure(random.choice(never, FORGOTTEN), random.choice(never, NEVER)) for _ in range(2000)]
    low, high = np.quantile(drawn, [0.025 / LOOKS, 1 - 0.025 / LOOKS])
    return float(low), float(high)


@dataclass(frozen=True)
class Scene:
    """The models before and after, and the attacks on each."""

    before: Mapping[str, Fitted]
    after: Mapping[str, Fitted]
    ratio: Mapping[str, LikelihoodRatio]


def tillage(root: Path, *words: str) -> None:
    env = {**os.environ, "TILLAGE_KEY": KEY, "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-m", "tillage.face.main", *words]
    done = subprocess.run(command, cwd=root, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    root = tmp_path_factory.mktemp("membership")
    (root / "data").mkdir()
    (root / "tillage.yaml").write_text(PLAN)
    pl.concat([KEPT_ROWS, FORGOTTEN_ROWS]).drop("_id").write_csv(root / "data" / "a.csv")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TILLAGE_KEY", KEY)
        tillage(root, "run")
        with project(root) as p:
            before = {name: p.model(name) for name in MODELS}
            learners = {name: p.plan.models[name].learner for name in MODELS}
            assert p.read("notes").height == KEPT + FORGOTTEN
        tillage(root, "forget", "notes", "--where", "id >= 1000", "--yes")
        tillage(root, "run")
        with project(root) as p:
            after = {name: p.model(name) for name in MODELS}
            assert p.read("notes").height == KEPT
        yield Scene(before, after, {name: LikelihoodRatio(learners[name]) for name in MODELS})


@pytest.mark.parametrize("attack", ["threshold on the loss", "shadow models"])
@pytest.mark.parametrize("name", MODELS)
def test_the_forgotten_are_like_the_never_seen(name: str, attack: str, scene: Scene) -> None:
    sure: Attack = scene.ratio[name] if attack == "shadow models" else negative_loss
    told = []
    for model in (scene.before[name], scene.after[name]):
        forgotten, never = sure(model, FORGOTTEN_ROWS), sure(model, NEVER_ROWS)
        told.append((auc(forgotten, never), *chance(auc, never)))
    (before, _, most), (after, low, high) = told
    print(f"{name}, {attack}: {before:.3f} before, {after:.3f} after, chance is {low:.3f} to {high:.3f}")
    assert before > most + 0.1, "an attack that does not work before proves nothing afterwards"
    assert low <= after <= high


@pytest.mark.parametrize("name", MODELS)
def test_the_advantage_of_a_threshold_is_gone(name: str, scene: Scene) -> None:
    """The threshold: nine in ten of the rows that the attacker knows were learnt lie above it."""
    told = []
    for model in (scene.before[name], scene.after[name]):
        threshold = float(np.quantile(negative_loss(model, KEPT_ROWS), 0.1))
        forgotten, never = negative_loss(model, FORGOTTEN_ROWS), negative_loss(model, NEVER_ROWS)
        over = partial(advantage, threshold=threshold)
        told.append((over(forgotten, never), *chance(over, never)))
    (before, _, most), (after, low, high) = told
    print(f"{name}: advantage {before:.3f} before, {after:.3f} after, chance is {low:.3f} to {high:.3f}")
    assert before > most + 0.1
    assert low <= after <= high


@pytest.mark.parametrize("name", MODELS)
def test_those_who_stay_are_still_known(name: str, scene: Scene) -> None:
    """The models after still overfit, so the attack would have found the forgotten if they had been learnt."""
    now = scene.after[name]
    assert auc(negative_loss(now, KEPT_ROWS), negative_loss(now, NEVER_ROWS)) > 0.75
