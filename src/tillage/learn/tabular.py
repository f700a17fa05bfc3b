"""Models of tables: linear, boosted trees, random forest, support vector machine, multilayer perceptron.

Whichever it is, columns are read the same way (`columns.py`), nothing has to be prepared, and the state is arrays.
`auto` asks linear and boosted trees the same rows held back and takes the better; that costs about as much as the
model itself. What each family is and costs stands at the head of its file.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar, Literal, Self

import numpy as np
import polars as pl
from pydantic import Field, model_validator

from tillage.core.errors import BadData
from tillage.core.rows import column
from tillage.core.state import State
from tillage.learn.boosting import Boosting, require_columns
from tillage.learn.calibration import calibrated, learn_calibration
from tillage.learn.choosing import FEWEST, FOLDS, LINEAR, Answers, Early, Held, better
from tillage.learn.column_learner import ColumnLearner, FamilyModel
from tillage.learn.columns import features, learn_columns, measured, require_moderate
from tillage.learn.ensemble import ClassifierModel, RegressorModel, ShardedLearner
from tillage.learn.examples import Table, folds_of, groups_of
from tillage.learn.families import DENSE, Family, Solver, examples_of
from tillage.learn.forest import Forest
from tillage.learn.learner import Numbers, as_text, labelled, require_two, softmax
from tillage.learn.linear import Logistic, Ridge
from tillage.learn.network import Network
from tillage.learn.onnx_columns import refused
from tillage.learn.support_vectors import SupportVectors
from tillage.learn.thresholds import Thresholds, chosen, learn_thresholds, trivial
from tillage.learn.tree_columns import TreeColumns
from tillage.learn.tuning import Range, Tune, search

_CLASSES = 30
"""Classes above which `auto` stays linear: boosting grows a tree a class in every round."""

_BOOSTED, _FOREST = 100, 200
"""Trees where nothing says how many: of boosting with too few rows to find out, and of a forest."""


class TabularLearner(ColumnLearner, ShardedLearner):
    """What the two learners of tables share: which model, and how it is made."""

    model: Literal["auto", "linear", "boosted_trees", "random_forest", "svm", "mlp"] = Field(
        "auto",
        description="auto: linear or boosted_trees, the better on rows held back; above 30 classes linear",
    )
    trees: int | None = Field(
        None, ge=1, le=10_000, description="of boosted_trees: rounds, by rows held back unless given; of a forest (200)"
    )
    learning_rate: float = Field(0.08, gt=0, le=1, description="of boosted_trees: how much of each tree is added")
    leaves: int = Field(15, ge=2, le=4096, description="of boosted_trees: most leaves of a tree")
    monotone: dict[str, Literal[-1, 1]] = Field(
        default_factory=dict,
        description="of boosted_trees: columns of numbers with which the prediction may only rise (1) or fall (-1)",
    )
    layers: tuple[int, ...] = Field((64,), min_length=1, description="of mlp: units of each hidden layer")
    group: str | None = Field(
        None, min_length=1, description="column whose equal values are held back together; a plan's split sets it"
    )
    tune: Tune | None = Field(None, description="search the model's parameters by trials on rows held back")
    seed: int = Field(0, ge=0, lt=2**31, description="of whatever the model draws")

    @model_validator(mode="after")
    def _for_this_model(self) -> Self:
        if self.tune is not None and self.model in ("mlp", "random_forest"):
            raise ValueError(f"nothing of '{self.model}' is searched: leave 'tune' out, or choose another 'model'")
        if self.monotone and self.model != "boosted_trees":
            raise ValueError("only boosted trees can be 'monotone': add 'model: boosted_trees'")
        if any(not 1 <= units <= 4096 for units in self.layers):
            raise ValueError("each of 'layers' must have 1 to 4096 units")
        return self

    def _held(self, table: Table, every: bool) -> Held:
        folds = folds_of(table.rows, table.target, table.classes, self._groups(table), FOLDS)
        return Held(folds, every)

    def _groups(self, table: Table) -> pl.Series | None:
        return None if self.group is None else groups_of(table.rows, self.group)

    def _boosting(self, table: Table) -> Boosting:
        kinds = TreeColumns(table.tree_columns).names()
        require_columns(self.monotone, kinds)
        return Boosting(self.learning_rate, self.leaves, self.seed, kinds, self.monotone)

    def _family(self, table: Table, linear: Solver, vectors: SupportVectors) -> Family:
        """The family that learns: the one that was asked for, or the one that is chosen."""
        name = self.model
        few, many = len(table) < FEWEST, table.classes > _CLASSES
        if name == "auto" and (few or many or not TreeColumns(table.tree_columns).names()):
            name = "linear"
        if name in ("auto", "boosted_trees"):
            return self._boosted(table, Family("linear", linear))
        solvers: dict[str, Solver] = {
            "linear": linear,
            "random_forest": Forest(self.trees or _FOREST, self.seed),
            "svm": vectors,
            "mlp": Network(self.layers, self.seed),
        }
        return Family(name, solvers[name])

    def _boosted(self, table: Table, linear: Family) -> Family:
        boosting = self._boosting(table)
        rounds = self.trees or (_BOOSTED if len(table) < FEWEST else 0)
        if rounds and self.model != "auto":
            return Family("boosted_trees", boosting, rounds)
        held = self._held(table, every=False)
        if rounds:
            trees = held.answers(table.dense, Family("boosted_trees", boosting, rounds))
        else:
            trees, rounds = held.boosted(table.dense, boosting)
        grown = Family("boosted_trees", boosting, rounds)
        if self.model != "auto":
            return grown
        plain = held.answers(table.sparse, linear, most=LINEAR)
        return grown if better(plain, trees, table, self._groups(table)) == "boosted_trees" else linear

    def _tuned(self, table: Table) -> tuple[Self, dict[str, Any]]:
        """The learner with the parameters that did best, and what there is to tell of the search."""
        if self.tune is None:
            return self, {}
        space = {name: values for name, values in self._space().items() if name in type(self).model_fields}
        if self.model == "auto":
            few, many = len(table) < FEWEST, table.classes > _CLASSES
            plain = few or many or not TreeColumns(table.tree_columns).names()
            space |= {"model": ("linear",) if plain else ("linear", "boosted_trees")}
        held = self._held(table, every=False)
        first = {name: getattr(self, name) for name in space}
        first |= {"model": "linear"} if "model" in first else {}

        def losses(chosen: dict[str, Any]) -> Iterator[float]:
            one = self.model_copy(update=chosen)
            if one.model == "boosted_trees" and one.trees is None:
                return held.losses(table.dense, Early(one._boosting(table)))
            family = one._family(table, *one._solvers())
            return held.losses(examples_of(table, family.name), family)

        chosen, told = search(self.tune, space, first, losses)
        return self.model_copy(update=chosen), {"tuned": told}

    def _space(self) -> dict[str, Range | tuple[str, ...]]:
        """What is searched, by model."""
        linear: dict[str, Range | tuple[str, ...]] = {"regularisation": Range(1e-3, 1e2)}
        trees: dict[str, Range | tuple[str, ...]] = {
            "learning_rate": Range(0.02, 0.3),
            "leaves": Range(4, 64, whole=True),
        }
        by_model = {"linear": linear, "svm": linear, "boosted_trees": trees, "auto": {**linear, **trees}}
        return by_model.get(self.model, {})

    @abstractmethod
    def _solvers(self) -> tuple[Solver, SupportVectors]:
        """The linear model and the support vector machine of these parameters."""

    def _state(self, family: Family, table: Table, names: list[str], learnt: dict[str, Any]) -> dict[str, Any]:
        columns = table.tree_columns if family.name in DENSE else table.learnt
        return {"model": family.name, "columns": columns, **learnt, "input": names, "target": self.target}


class TabularClassifier(TabularLearner):
    """Classify rows of numbers, categories, dates and prose.

    The linear model resumes: from the coefficients of the features that it had, the others at zero. A support vector
    machine's shares are always calibrated, since it has none of its own.

    >>> rows = pl.DataFrame({"_id": range(4), "size": [1.0, 2.0, 8.0, 9.0], "y": ["s", "s", "l", "l"]})
    >>> model = TabularClassifier(target="y").compute({"rows": rows})
    >>> model.apply(pl.DataFrame({"size": [7.5, None]}))["prediction"][0]
    'l'
    """

    task: ClassVar[Literal["classification", "regression"]] = "classification"
    resumes: ClassVar[bool] = True

    regularisation: float = Field(
        1.0, gt=0, le=1e6, description="C of linear and svm: greater fits the training rows more closely"
    )
    class_weight: Literal["balanced"] | None = Field(None, description="balanced: rare classes weigh more")
    calibrate: Literal["sigmoid", "isotonic"] | None = Field(
        None, description="how the confidence is put right, by rows held back: sigmoid (Platt), or isotonic"
    )
    thresholds: Thresholds | None = Field(
        None, description="by group, the share from which a class is predicted, so that groups are treated alike"
    )

    @model_validator(mode="after")
    def _thresholds_of_one_model(self) -> Self:
        if self.thresholds is not None and self.in_shards():
            raise ValueError("'thresholds' are of one model: leave 'shards' and 'slices' out")
        if self.thresholds is not None and self.thresholds.group == self.target:
            raise ValueError(f"'group' of 'thresholds' is the target, '{self.target}': name another column")
        return self

    def needs(self) -> tuple[str, ...]:
        more = () if self.thresholds is None else (self.thresholds.group,)
        return tuple(dict.fromkeys((*super().needs(), *more)))

    def learn(self, rows: pl.DataFrame, before: State | None) -> State:
        """The state; raises BadData when there are fewer than two classes, or no column to learn from."""
        rows, labels = labelled(rows, self.target)
        classes = labels.unique().sort().to_list()
        require_two(classes, self.target)
        names = self.inputs(rows)
        target = labels.replace_strict(classes, range(len(classes)), return_dtype=pl.Int64).to_numpy()
        table = Table(rows, learn_columns(rows, names), target, len(classes), self.class_weight is not None)
        tuned, told = self._tuned(table)
        family = tuned._family(table, *tuned._solvers())
        start = None
        if family.name == "linear" and before is not None and before["classes"] == classes:
            start = _carried(before, table.learnt) if before["model"] == "linear" else None
        state = self._state(family, table, names, family.learn(examples_of(table, family.name), start))
        method = self.calibrate or ("sigmoid" if family.name == "svm" else None)
        if method is not None or self.thresholds is not None:
            answers = self._held(table, every=True).answers(examples_of(table, family.name), family)
            state |= _curves(answers, table, method) if method is not None else {}
            state |= _by_group(answers, table, self.thresholds, classes, state.get("calibration"))
        return {**state, **told, "classes": classes}

    def _solvers(self) -> tuple[Solver, SupportVectors]:
        return Logistic(self.regularisation, self.seed), SupportVectors(self.regularisation)

    def fitted(self, state: State) -> TabularClassifierModel:
        return TabularClassifierModel(state=state)


class TabularClassifierModel(FamilyModel, ClassifierModel):
    """Adds `prediction` and `confidence` to rows by a TabularClassifier's state.

    >>> rows = pl.DataFrame({"_id": range(4), "size": [1, 2, 8, 9], "k": ["a", "b", "c", "d"], "y": [0, 0, 1, 1]})
    >>> TabularClassifier(target="y").compute({"rows": rows}).needs()
    ('size',)
    """

    def scores(self, seen: pl.DataFrame) -> Numbers:
        scores = super().scores(seen)
        if "calibration" not in self.state:
            return scores
        return np.asarray(np.log(np.maximum(calibrated(self.state["calibration"], softmax(scores)), 1e-300)))

    def reads(self) -> tuple[str, ...]:
        own = super().reads()
        return (
            own if "thresholds" not in self.state else tuple(dict.fromkeys((*own, self.state["thresholds"]["group"])))
        )

    def best(self, rows: pl.DataFrame, shares: Numbers) -> Numbers:
        """The class of the greatest share, or by the thresholds of the rows' groups."""
        if "thresholds" not in self.state:
            return super().best(rows, shares)
        return chosen(self.state["thresholds"], shares, rows)

    @property
    def unadjusted(self) -> Self | None:
        """The same model without thresholds by group; None where it has none."""
        if "thresholds" not in self.state:
            return None
        return type(self)(state={name: value for name, value in self.state.items() if name != "thresholds"})

    def onnx(self, facts: Mapping[str, str] | None = None) -> bytes:
        if "thresholds" in self.state:
            raise refused("its thresholds by group are not part of a graph")
        return super().onnx(facts)


class TabularRegressor(TabularLearner):
    """Predict a number from numbers, categories, dates and prose.

    >>> rows = pl.DataFrame({"_id": range(3), "x": [0.0, 1.0, 2.0], "y": [1.0, 3.0, 5.0]})
    >>> model = TabularRegressor(target="y", alpha=1e-9).compute({"rows": rows})
    >>> round(model.apply(pl.DataFrame({"x": [3.0]}))["prediction"][0], 6)
    7.0
    """

    task: ClassVar[Literal["classification", "regression"]] = "regression"

    alpha: float = Field(1.0, gt=0, le=1e9, description="of linear: strength of the penalty on squared coefficients")
    regularisation: float = Field(
        1.0, gt=0, le=1e6, description="C of svm: greater fits the training rows more closely"
    )

    def learn(self, rows: pl.DataFrame, before: State | None) -> State:
        """The state; raises BadData when fewer than two rows have a number as target, one beyond 1e38, or no column is
        left."""
        rows, numbers = measured(rows, self.target)
        require_moderate(numbers, self.target)
        if rows.height < 2:
            raise BadData(
                f"{rows.height} rows have a number in the target column '{self.target}': two are the least.",
                fix="Look at the filters before the model, and at the column's name and type.",
            )
        names = self.inputs(rows)
        table = Table(rows, learn_columns(rows, names), numbers.to_numpy(), 0, balanced=False)
        tuned, told = self._tuned(table)
        family = tuned._family(table, *tuned._solvers())
        return {**self._state(family, table, names, family.learn(examples_of(table, family.name))), **told}

    def _space(self) -> dict[str, Range | tuple[str, ...]]:
        found = super()._space()
        if self.model not in ("auto", "linear"):
            return found
        trees = {name: values for name, values in found.items() if name != "regularisation"}  # that is of `svm` alone
        return {**trees, "alpha": Range(1e-3, 1e4)}

    def _solvers(self) -> tuple[Solver, SupportVectors]:
        return Ridge(self.alpha, self.seed), SupportVectors(self.regularisation)

    def fitted(self, state: State) -> TabularRegressorModel:
        return TabularRegressorModel(state=state)


class TabularRegressorModel(FamilyModel, RegressorModel):
    """Adds `prediction` (Float64) to rows by a TabularRegressor's state.

    >>> rows = pl.DataFrame({"_id": range(3), "x": [0.0, 1.0, 2.0], "y": [1.0, 1.0, 1.0]})
    >>> TabularRegressor(target="y").compute({"rows": rows}).apply(rows)["prediction"].to_list()
    [1.0, 1.0, 1.0]
    """


def _curves(answers: Answers, table: Table, method: str) -> dict[str, Any]:
    """The calibration as part of the state; none where no row could be held back."""
    if not answers.asked.any():
        return {}
    target = table.target[answers.asked]
    return {"calibration": learn_calibration(answers.said[answers.asked], target, method)}


def _by_group(
    answers: Answers, table: Table, wanted: Thresholds | None, classes: list[str], curves: Mapping[str, Any] | None
) -> dict[str, Any]:
    """The thresholds as part of the state, by what models said of rows that they had not seen."""
    if wanted is None:
        return {}
    said = answers.said[answers.asked]
    shares = calibrated(curves, said) if curves else said
    groups = as_text(column(table.rows, wanted.group)).filter(pl.Series(answers.asked))
    place = classes.index(wanted.favourable) if wanted.favourable in classes else 0
    found = learn_thresholds(wanted, classes, shares[:, place], table.target[answers.asked], groups)
    warnings = trivial(wanted, found)
    return {"thresholds": found, **({"warnings": warnings} if warnings else {})}


def _carried(before: State, learnt: Sequence[Mapping[str, Any]]) -> tuple[Numbers, Numbers]:
    """Coefficients of a state, a row a class, at the places of its features among those learnt now; intercepts."""
    now, was = features(learnt), features(before["columns"])
    at = {name: place for place, name in enumerate(was)}
    known = [place for place, name in enumerate(now) if name in at]
    carried = np.zeros((before["coefficients"].shape[1], len(now)))
    carried[:, known] = before["coefficients"].T[:, [at[now[place]] for place in known]]
    return carried, before["intercepts"]
