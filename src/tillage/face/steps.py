"""`steps`: what a plan can be made with; names, bounds and meanings are those of the steps' own fields."""

from __future__ import annotations

import inspect
from pathlib import Path
from types import UnionType
from typing import TYPE_CHECKING, Annotated, Any, Literal, Union, get_args, get_origin

import typer

from tillage.face.options import AsJson
from tillage.face.screen import Screen

if TYPE_CHECKING:
    from pydantic.fields import FieldInfo

    from tillage.core.step import Step

_ROLES = {
    "source": "under `collect` of a table",
    "step": "under `steps` of a table",
    "expect": "`expect` of a table",
    "profile": "`profile` of a table",
    "report": "under `reports` of a table",
    "learner": "under `learn` of a model",
}
"""The roles that a plan can name, in the order of a line from data to model."""

_BOUNDS = (("ge", "at least {}"), ("gt", "above {}"), ("le", "at most {}"), ("lt", "below {}"))
_LENGTHS = (("min_length", "at least {} long"), ("max_length", "at most {} long"))


def steps(
    name: Annotated[str | None, typer.Argument(help="A step, or module.Class of a file of your own.")] = None,
    as_json: AsJson = False,
) -> None:
    """List what a plan can be made with, or the parameters of one step."""
    screen = Screen(as_json)
    if name is None:
        _list(screen)
    else:
        _one(screen, name)


def _list(screen: Screen) -> None:
    from tillage.face.rooms import registry

    known = registry()
    found: list[dict[str, Any]] = []
    for role, place in _ROLES.items():
        for name in known.names(role):  # type: ignore[arg-type]
            cls = known.find(name)
            if known.role(cls) == role:
                found.append({"name": name, "role": role, "kind": kind(cls), "place": place, "meaning": meaning(cls)})
    for role, place in _ROLES.items():
        mine = [s for s in found if s["role"] == role]
        if mine:
            screen.line(f"{place}:", style="bold")
            screen.table(["", "", ""], [[f"  {s['name']}", s["kind"], s["meaning"]] for s in mine])
    screen.line("`tillage steps NAME` shows parameters.")
    screen.result({"schema": "tillage.steps/1", "steps": found})


def _one(screen: Screen, name: str) -> None:
    from tillage.core.errors import UnknownName, UsageError
    from tillage.face.rooms import registry

    known = registry().within(Path.cwd())
    try:
        cls = known.find(name)
    except UnknownName as error:
        raise UsageError(error.message) from None
    parameters = [_parameter(field, info) for field, info in cls.model_fields.items()]
    role = known.role(cls)
    screen.line(f"{known.name_of(cls)}  ({kind(cls)}; {_ROLES.get(role, 'not named in plans')})", style="bold")
    screen.line(_description(cls))
    if parameters:
        screen.line()
        rows = [[p["name"], p["type"], _default(p), p["bounds"], p["meaning"]] for p in parameters]
        screen.table(["parameter", "type", "default", "bounds", "meaning"], rows)
    screen.result(
        {
            "schema": "tillage.steps/1",
            "name": known.name_of(cls),
            "role": role,
            "kind": kind(cls),
            "place": _ROLES.get(role, ""),
            "meaning": meaning(cls),
            "description": _description(cls),
            "ports": list(cls.ports),
            "parameters": parameters,
            "json_schema": cls.model_json_schema(),
        }
    )


def kind(cls: type[Step]) -> str:
    """Which of the kinds of step a class is, in lower case."""
    from tillage.core import step

    kinds = (step.Source, step.Map, step.Fold, step.Fit, step.Group, step.Whole)
    return next((k.__name__.lower() for k in kinds if issubclass(cls, k)), "step")


def meaning(cls: type[Step]) -> str:
    """The first sentence of what a step says of itself."""
    return _description(cls).split("\n\n")[0].replace("\n", " ")


def _description(cls: type[Step]) -> str:
    """The docstring up to its example."""
    return inspect.cleandoc(cls.__doc__ or "").split(">>>")[0].strip()


def _parameter(name: str, info: FieldInfo) -> dict[str, Any]:
    default: Any = None if info.is_required() else info.get_default(call_default_factory=True)
    if hasattr(default, "model_dump"):
        default = default.model_dump(mode="json")
    return {
        "name": info.alias or name,
        "type": _type(info),
        "required": info.is_required(),
        "default": list(default) if isinstance(default, tuple) else default,
        "bounds": _bounds(info),
        "meaning": info.description or "",
    }


def _type(info: FieldInfo) -> str:
    """The type as Python writes it, without the names of modules and what pydantic hangs on it.

    >>> from tillage.prepare import Derive
    >>> _type(Derive.model_fields["columns"])
    'dict[str, str]'
    """
    return _written(info.annotation)


def _written(kind: Any) -> str:
    origin, inner = get_origin(kind), get_args(kind)
    if kind is type(None):
        return "None"
    if kind is ...:
        return "..."
    if origin is Annotated:
        return _written(inner[0])
    if origin in (Union, UnionType):
        return " | ".join(dict.fromkeys(_written(one) for one in inner))
    if origin is Literal:
        return f"Literal[{', '.join(map(repr, inner))}]"
    if origin is not None and inner:
        return f"{_written(origin)}[{', '.join(_written(one) for one in inner)}]"
    return kind.__name__ if isinstance(kind, type) else str(kind)


def _bounds(info: FieldInfo) -> str:
    said = []
    for limit in info.metadata:
        for attribute, form in (*_BOUNDS, *_LENGTHS):
            value = getattr(limit, attribute, None)
            if value is not None and not callable(value):
                said.append(form.format(value))
    return ", ".join(said)


def _default(parameter: dict[str, Any]) -> str:
    if parameter["required"]:
        return "(needed)"
    value = parameter["default"]
    return "none" if value is None or value in ([], {}) else str(value)
