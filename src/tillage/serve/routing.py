"""Which model answers a request: the service's own, or for a share of requests the one that is tried beside it.

A share by chance, or by the value of a column, so that whoever asks again is answered by the same model. A shadow
answers all requests as well, and nobody is told but the log. Cost: a hash a request; a shadow costs what a model costs.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from hashlib import blake2b
from typing import Any

from tillage.core.errors import InputMissing, TillageError, UsageError
from tillage.flow.plan import Canary, Service
from tillage.flow.run import Project
from tillage.flow.score import way
from tillage.serve.bodies import Columns
from tillage.serve.memory import Budget
from tillage.serve.service import Served

CANARY, SHADOW = "canary", "shadow"


class Routed:
    """A service with the models that stand beside its own."""

    def __init__(self, project: Project, service: Service, own: Served) -> None:
        """UsageError for a model beside it that predicts something else, or for other rows."""
        self.own, self.share = own, service.canary
        self.canary = self._beside(project, service, service.canary.model, CANARY) if service.canary else None
        self.shadow = self._beside(project, service, service.shadow, SHADOW) if service.shadow else None
        if service.canary and service.canary.by and service.canary.by not in own.now.schema:
            raise UsageError(
                f"'by' of the canary of service '{service.name}': requests have no column '{service.canary.by}'.",
                fix=f"They have: {', '.join(own.now.schema)}.",
            )

    def _beside(self, project: Project, service: Service, model: str, route: str) -> Served:
        alone = service.model_copy(update={"model": model, "canary": None, "shadow": None})
        made = Served(project, alone, route, self.own.budget)
        own = self.own.now
        if made.now.schema != own.schema or made.now.task != own.task:
            raise UsageError(
                f"The {route} of service '{service.name}', '{model}', predicts another column than '{own.model_name}'.",
                fix="Name a model with the same target.",
            )
        return made

    @property
    def arms(self) -> list[Served]:
        """Every model that is loaded for the service, its own first."""
        return [self.own, *(s for s in (self.canary, self.shadow) if s is not None)]

    @property
    def needed(self) -> dict[str, str]:
        """The columns that a row must bring, whoever answers it."""
        own = self.own.now.needed
        return own if self.canary is None else {**self.canary.now.needed, **own}

    def choose(self, columns: Columns) -> Served:
        """Who answers a request: by the value of `by` in its first row, or by chance."""
        if self.canary is None or self.share is None:
            return self.own
        return self.canary if drawn(self.own.name, self.share, columns) < self.share.share else self.own


def drawn(service: str, canary: Canary, columns: Columns) -> float:
    """A number in [0, 1): fixed by the value of the column, if there is one; else by chance.

    >>> canary = Canary(model="other", share=0.1, by="person")
    >>> drawn("desk", canary, {"person": ["ann"]}) == drawn("desk", canary, {"person": ["ann", "bob"]})
    True
    """
    value: Any = columns[canary.by][0] if canary.by else None
    if value is None:
        return secrets.randbits(53) / (1 << 53)
    digest = blake2b(f"{service}\0{value}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little") / (1 << 64)


def services_of(project: Project, note: Callable[[str], None], budget: Budget | None = None) -> dict[str, Routed]:
    """Every service of the plan, and every model under its own name, with rows as its only source collects them.

    `note` is told of models that cannot be served so; a service that cannot raises.
    """
    out = {}
    for name, service in project.plan.services.items():
        try:
            out[name] = Routed(project, service, Served(project, service, budget=budget))
        except TillageError as error:
            error.at(f"service '{name}'")
            raise
    for name, model in project.plan.models.items():
        try:
            start = way(project, model.table).start
            service = Service(name=name, model=name, table=start)
            out[name] = Routed(project, service, Served(project, service, budget=budget))
        except TillageError as error:
            note(f"Model '{name}' is not served under its own name: {error}")
    if not project.plan.models:
        raise InputMissing("There is nothing to serve: the plan has no model.", fix="Add one under 'models'.")
    if not out:
        raise InputMissing("There is nothing to serve.", fix="Do what is said of each model above.")
    return out
