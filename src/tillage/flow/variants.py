"""Other values for the parameters of a step, found from the values that it has: what the law of fingerprints varies.

A few guesses a parameter, each tried against the step's own validation; a parameter with one valid value has none.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal, get_args, get_origin

from pydantic import BaseModel, ValidationError

from tillage.core.step import Fitted, Step


def variants(step: Step) -> dict[str, Step | None]:
    """Parameter to the step with another valid value of it; None where no guess was valid.

    >>> from tillage.core import Map
    >>> class Shift(Map):
    ...     by: int = 1
    ...     def apply(self, rows):
    ...         return rows
    >>> variants(Shift())
    {'by': Shift(by=2)}
    """
    if isinstance(step, Fitted):
        return {"state": type(step)(state={**step.state, "\0another": 1})}
    written = step.model_dump(mode="json", by_alias=True)
    out: dict[str, Step | None] = {}
    for name, field in type(step).model_fields.items():
        key = field.alias or name
        choices = [*_literals(field.annotation), *_others(written.get(key))]
        tried = (_made(step, {**written, key: value}) for value in choices)
        out[name] = next((other for other in tried if other is not None and other != step), None)
    return out


def undescribed(model: type[BaseModel]) -> list[str]:
    """The fields without a description, those of models inside included (`outer.inner`)."""
    out = []
    for name, field in model.model_fields.items():
        if not field.description and not (issubclass(model, Fitted) and name == "state"):
            out.append(name)
        for inner in _models(field.annotation):
            out += [f"{name}.{deeper}" for deeper in undescribed(inner)]
    return out


def _made(step: Step, values: dict[str, Any]) -> Step | None:
    try:
        return type(step).model_validate(values)
    except (ValidationError, ValueError):
        return None


def _literals(annotation: Any) -> list[Any]:
    if get_origin(annotation) is Literal:
        return list(get_args(annotation))
    return [value for inner in get_args(annotation) for value in _literals(inner)]


def _models(annotation: Any) -> list[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [model for inner in get_args(annotation) for model in _models(inner)]


def _others(value: Any) -> Iterator[Any]:
    """Guesses at another value of the same sort."""
    if isinstance(value, bool):
        yield not value
    elif isinstance(value, int | float):
        yield from (value + 1, value - 1, value / 2, value * 2, value + 0.1)
    elif isinstance(value, str):
        yield from (f"{value}2", "other", "x", "utf-8", ";", "")
    elif value is None:
        yield from (1, 0.5, "other", ["other"], True)
    elif isinstance(value, list):
        yield from (value[:-1], [*value, "other"], value[::-1])
        for place, item in enumerate(value):
            yield from ([*value[:place], other, *value[place + 1 :]] for other in _others(item))
    elif isinstance(value, dict):
        yield from ({k: v for k, v in value.items() if k != key} for key in value)
        for key, item in value.items():
            yield from ({**value, key: other} for other in _others(item))
        yield {"other": "text"}
