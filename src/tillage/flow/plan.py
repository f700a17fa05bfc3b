"""What a plan is, once it has been read: tables, models and services, in the words that a user meets.

YAML (`flow.configuration`) and Python (`flow.pipeline`) both end here, so they cannot differ.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict

from tillage.core.step import Fold, Map, Source, Step

NAME = r"^[a-z0-9][a-z0-9_-]{0,63}$"
"""What a table, model, service or project may be called."""


class Part(BaseModel):
    """Base of the parts of a plan."""

    model_config = ConfigDict(frozen=True, extra="forbid", arbitrary_types_allowed=True, defer_build=True)


class Table(Part):
    """One table: read by a source, or made from other tables by steps."""

    name: str
    source: Source | None = None
    key: tuple[str, ...] = ()
    subject: str | None = None
    inputs: tuple[tuple[str, str], ...] = ()
    """(port, table); the port of a plain `from: NAME` is `rows`."""
    steps: tuple[Step, ...] = ()
    score: str = ""
    """The model that answers each row, after the steps; empty: none."""
    expect: Fold | None = None
    profile: Fold | None = None
    reports: tuple[Fold, ...] = ()
    """Other numbers about the table, which follow it at every run; one of each kind."""
    fit_on: dict[str, int] = {}
    """Step name to the version on which that fitted step is pinned: of the table in `from`, as `tillage show` prints
    it; of this table itself where it collects, or is made from several."""
    max_quarantine: float = 0.01
    """Share of bad records above which a run stops (when there are at least 10)."""


class Split(Part):
    """Which rows test a model: a share by hash of group or row_id."""

    test: float = 0.2
    group: str | None = None
    seed: int = 0
    leak: float | None = 1.0
    """Similarity at which a training row is too near a test row; None keeps them."""
    like: str | None = None
    """The model whose test rows these are, so that the two can be compared; it has this test, group and seed."""


class Evaluation(Part):
    """What is asked of a model beyond its score on the test part."""

    slices: tuple[str, ...] = ()
    """Columns by whose values the score is told apart."""
    linear: bool = True
    """Whether a linear model of the same rows stands beside it."""
    explain: bool = True
    """Whether it is measured which columns the model goes by."""
    folds: int | None = None
    """Parts of the training rows, each held out in turn; None: no cross-validation."""
    time: str | None = None
    """Column by which the folds follow each other: each is predicted from those before it."""
    robustness: bool = False
    """Whether the score is measured on test rows that are spoilt by typos, noise and missing columns."""
    sensitive: tuple[str, ...] = ()
    """Columns whose groups are to be treated alike."""
    favourable: str | None = None
    """The class that people want: what `sensitive` is measured by."""


class Card(Part):
    """What only people know of a model: it goes into its card, and changes nothing that is computed."""

    intended_use: str = ""
    out_of_scope: str = ""
    limitations: str = ""
    licence: str = ""
    """Of the model: an SPDX identifier, such as Apache-2.0."""
    authors: tuple[str, ...] = ()
    language: tuple[str, ...] = ()
    """ISO 639-1 codes of the languages that it is for."""
    licences: dict[str, str] = {}
    """Table to the licence of its data."""


class Model(Part):
    """One model: a learner on a table, and how it is tested."""

    name: str
    learner: Step
    table: str
    split: Split = Split()
    test_table: str | None = None
    """A table of its own that tests the model, instead of a share of the first."""
    fit_on: int | None = None
    """The version of `table` on which it is pinned, as `tillage show` prints it."""
    evaluation: Evaluation = Evaluation()
    card: Card = Card()
    track: Literal["tensorboard", "mlflow", "wandb"] | None = None
    """The tool that is told of the training, step by step; it changes nothing that is computed."""


class Canary(Part):
    """A model that answers a share of the requests of a service."""

    model: str
    share: float = 0.1
    by: str = ""
    """The column whose value decides; empty: chance does."""


class Service(Part):
    """One service: a model and the table whose Maps a request passes."""

    name: str
    model: str
    table: str
    keep: tuple[str, ...] = ()
    """Columns of requests that the log of answers keeps; the others are digested."""
    redact: Map | None = None
    """What kept values pass before they are written: personal data in them is replaced."""
    canary: Canary | None = None
    hand_over: float | None = None
    """The precision that answers must have which are not handed over to a person; None: nobody is asked."""
    shadow: str = ""
    """A model that answers every request too, for the log alone."""


class Plan(Part):
    """Everything that one `tillage.yaml` says.

    >>> plan = Plan(project="empty", root=Path("."), store=Path(".tillage"))
    >>> plan.tables, plan.models
    ({}, {})
    """

    project: str
    root: Path
    """The folder that paths in the plan are relative to."""
    store: Path
    tables: dict[str, Table] = {}
    models: dict[str, Model] = {}
    services: dict[str, Service] = {}
    file: str = ""
