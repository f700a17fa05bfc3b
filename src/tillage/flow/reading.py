"""What every part of a plan is read with: texts, names, references and steps, each with its place when it is wrong.

A reading goes on after a problem, so that everything is said at once.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import TypeVar

from pydantic import BaseModel

from tillage.core.errors import ConfigurationError, Problem
from tillage.core.step import Step
from tillage.flow.parameters import make, nearest, obvious_field
from tillage.flow.plan import NAME
from tillage.flow.positions import Node, Place
from tillage.flow.registry import Registry, Role

B = TypeVar("B", bound=BaseModel)

_ELSEWHERE = {
    "source": "it reads data, so it belongs under 'collect'",
    "learner": "it learns a model, so it belongs under 'models', as 'learn'",
    "fitted": "it is what another step returns",
    "expect": "its checks belong under the table's 'expect'",
    "profile": "write 'profile: true' in the table",
    "evaluation": "it judges models, which are evaluated without being asked",
    "report": "it gives numbers and not rows, so it belongs under the table's 'reports'",
}


class Reading:
    """One reading: the problems found so far, and what later parts need of earlier ones."""

    def __init__(self, registry: Registry, file: str, problems: list[Problem]) -> None:
        self.registry, self.file, self.problems = registry, file, problems

    def wrong(self, message: str, place: Place) -> None:
        self.problems.append(Problem(message, self.file, *place))

    def fields(self, node: Node, what: str, known: Iterable[str] | None) -> dict[str, Node]:
        """The entries of a mapping; a key that is not among `known` is reported and left out."""
        if not isinstance(node.value, dict):
            if node.value is not None:
                self.wrong(f"{capital(what)} must be a mapping of names to values, got {node.written()}.", node.place)
            return {}
        if known is None:
            return dict(node.value)
        for key in node.value.keys() - set(known):
            message = nearest(f"{what[0].upper() + what[1:]} has no '{key}'.", key, list(known))
            self.wrong(message, node.keys[key])
        return {key: node.value[key] for key in node.value if key in set(known)}

    def text(self, node: Node, what: str) -> str | None:
        """A text that is not empty."""
        if isinstance(node.value, str) and node.value:
            return node.value
        if misread := node.misread():
            self.wrong(f"{what} must be text, but {misread}", node.place)
        else:
            self.wrong(f"{what} must be text, got {node.written()}.", node.place)
        return None

    def names(self, node: Node, what: str) -> tuple[str, ...]:
        """Texts, as `texts` reads them, each of which stands once."""
        found = self.texts(node, what)
        items = node.value if isinstance(node.value, tuple) else ()
        said = [item.value for item in items]
        for at, item in enumerate(items):
            if isinstance(item.value, str) and item.value in said[:at]:
                self.wrong(f"{capital(what)} names '{item.value}' twice: name it once.", item.place)
        return found

    def texts(self, node: Node, what: str) -> tuple[str, ...]:
        """A text or a list of texts, not empty."""
        if not isinstance(node.value, tuple):
            one = self.text(node, what)
            return () if one is None else (one,)
        if not node.value:
            self.wrong(f"{what} must not be an empty list.", node.place)
        found = [self.text(item, what) for item in node.value]
        return tuple(text for text in found if text is not None)

    def form(self, cls: type[B], given: dict[str, Node], at: Node, what: str) -> B:
        """The plain settings among `given`, checked; the defaults where they are wrong."""
        chosen = {key: node for key, node in given.items() if key in cls.model_fields}
        made = make(cls, Node(chosen, at.place, keys=at.keys), self.file, what)
        if isinstance(made, list):
            self.problems += made
            return cls.model_construct()
        return made

    def name(self, node: Node, what: str) -> str | None:
        name = self.text(node, f"the name of the {what}")
        if name is not None and not re.fullmatch(NAME, name):
            meant = as_name(name)
            hint = f" Did you mean '{meant}'?" if meant else ""
            rule = "lower-case letters, digits, - and _, at most 64, a letter or digit first"
            self.wrong(f"'{name[:80]}' cannot be the name of a {what}: {rule}.{hint}", node.place)
        return name

    def reference(self, node: Node, what: str, known: dict[str, Node], where: str) -> str | None:
        name = self.text(node, where)
        if name is not None and name not in known:
            self.wrong(nearest(f"No {what} is called '{name}'.", name, list(known)), node.place)
            return None
        return name

    def named_step(self, node: Node, where: str, one: str) -> tuple[str | None, Node, Place]:
        """(name, its parameters or the bare value, place) of `NAME` or `NAME: ...`."""
        if isinstance(node.value, dict) and len(node.value) == 1:
            ((name, value),) = node.value.items()
            return name, value, node.keys[name]
        if isinstance(node.value, dict) and node.value:
            name = next(iter(node.value))
            rest = ", ".join(f"'{key}'" for key in list(node.value)[1:])
            message = f"{capital(where)} must name {one}; if {rest} belongs to '{name}', indent it below '{name}:'."
            self.wrong(message, node.keys[list(node.value)[1]])
            return None, node, node.place
        name = self.text(node, where) if not isinstance(node.value, dict | tuple) else None
        if isinstance(node.value, dict | tuple):
            self.wrong(f"{capital(where)} must be NAME or NAME: {{...}}, got {node.written()}.", node.place)
        return name, Node(None, node.place), node.place

    def step(self, name: str, value: Node, place: Place, roles: tuple[Role, ...], noun: str) -> Step | None:
        """The step of this name and role with these parameters."""
        cls = self.find(name, place, roles, noun)
        return None if cls is None else self.build(cls, value, place)

    def find(self, name: str, place: Place, roles: tuple[Role, ...], noun: str) -> type[Step] | None:
        try:
            cls = self.registry.find(name)
        except ConfigurationError as error:
            known = self.registry.names(*roles)
            message = error.message if "." in name else nearest(f"No {noun} is called '{name}'.", name, known)
            self.wrong(message, place)
            return None
        role = self.registry.role(cls)
        own = not self.registry.exports(cls.name())
        if role in roles or ("step" in roles and role == "learner" and own):
            return cls
        why = _ELSEWHERE.get(role, "it belongs under the 'steps' of a table")
        self.wrong(f"'{name}' is not a {noun}: {why}.", place)
        return None

    def build(self, cls: type[Step], value: Node, place: Place) -> Step | None:
        if not isinstance(value.value, dict):
            if value.value is None:
                value = Node({}, place)
            elif (only := obvious_field(cls)) is not None:
                value = Node({only: value}, place, keys={only: value.place})
            else:
                fields = list(cls.model_fields)
                example = f"such as {{{fields[0]}: ...}}" if fields else "of which there are none"
                self.wrong(f"{cls.__name__} needs its parameters by name, {example}.", value.place)
                return None
        made = make(cls, value, self.file)
        if isinstance(made, list):
            self.problems += made
            return None
        return made

    def own_spelling(self, name: str) -> str:
        try:
            return self.registry.name_of(self.registry.find(name))
        except ConfigurationError:
            return name


def as_name(text: str) -> str:
    """The nearest text that may be a name; empty when nothing is left of it."""
    return re.sub(r"[^a-z0-9_-]+", "_", text.lower()).strip("_-")[:64]


def capital(text: str) -> str:
    return text[0].upper() + text[1:]
