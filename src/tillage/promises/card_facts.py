"""What is known of a model, in one place: what it is, what it was made from, how it scored, what people say of it.

The facts are those of the store (versions, digests, checksums of files) and of the plan; nothing is run and nothing is
guessed. `model_card` and `bill_of_materials` put them into words that others read.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib import metadata
from typing import Any

from tillage.core.errors import InputMissing
from tillage.flow.plan import Card
from tillage.flow.run import Project
from tillage.promises.trace_graph import Node
from tillage.promises.tracing import trace

LIBRARIES = ("polars", "numpy", "scipy", "scikit-learn", "lightgbm")
"""What a model of ours is computed with."""


@dataclass(frozen=True)
class Data:
    """A version of a table behind a model."""

    name: str
    version: int
    rows: int
    digest: str
    licence: str
    steps: tuple[str, ...]
    files: tuple[tuple[str, str], ...]
    """Path and SHA-256 of each object that it was read from."""


@dataclass(frozen=True)
class CardFacts:
    """All of it."""

    project: str
    model: str
    version: int
    created: str
    digest: str
    learner: str
    parameters: dict[str, Any]
    target: str
    inputs: tuple[str, ...]
    report: dict[str, Any]
    data: tuple[Data, ...]
    """The tables from the sources on, the model's own last."""
    declared: Card
    libraries: tuple[tuple[str, str], ...]

    @property
    def task(self) -> str:
        """`classification` or `regression`."""
        return str(self.report["task"])


def card_facts(project: Project, name: str, tillage: str) -> CardFacts:
    """The facts of a model as it stands; `tillage`: the version that tells them. InputMissing before its first run."""
    at = project.store.latest(name)
    if at is None:
        raise InputMissing(f"Model '{name}' has not been trained yet.", fix="Run `tillage run`.")
    model = project.plan.models[name]
    fitted = project.model(name)
    found: dict[str, Data] = {}
    _behind(project, trace(project, name, direction="back"), model.card, found)
    return CardFacts(
        project=project.plan.project,
        model=name,
        version=at.version,
        created=str(at.created),
        digest=str(at.facts["digest"]),
        learner=type(model.learner).name(),
        parameters=model.learner.params(),
        target=str(model.learner.target),  # type: ignore[attr-defined]
        inputs=tuple(fitted.needs()),
        report=project.report(name),
        data=tuple(found.values()),
        declared=model.card,
        libraries=(("tillage", tillage), *((n, metadata.version(n)) for n in LIBRARIES)),
    )


def _behind(project: Project, node: Node, card: Card, found: dict[str, Data]) -> None:
    """The tables behind a node, sources first."""
    for behind in node.back:
        _behind(project, behind, card, found)
    name, _, version = node.id.rpartition("@")
    if node.kind != "table" or name in found:
        return
    at = int(version)
    found[name] = Data(
        name=name,
        version=at,
        rows=project.store.count(name, version=at),
        digest=project.store.digest(name, at),
        licence=card.licences.get(name, ""),
        steps=tuple(type(step).name() for step in project.plan.tables[name].steps),
        files=tuple((behind.label, str(behind.facts["sha256"])) for behind in node.back if "sha256" in behind.facts),
    )
