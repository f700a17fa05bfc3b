"""Values given by a user become a checked model; what pydantic finds wrong becomes sentences with places.

The bounds, types and meanings in the messages are those of the fields themselves: nothing is said twice.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any, TypeAlias, TypeVar, get_args

from annotated_types import Ge, Gt, Le, Lt
from pydantic import BaseModel, SecretStr, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

from tillage.core.errors import Problem
from tillage.flow.positions import Node, Place

M = TypeVar("M", bound=BaseModel)
Path_: TypeAlias = tuple[str | int, ...]

_KINDS = {
    "string_type": "text",
    "int_type": "a whole number",
    "int_parsing": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "float_parsing": "a number",
    "finite_number": "a finite number",
    "bool_type": "true or false",
    "bool_parsing": "true or false",
    "tuple_type": "a list",
    "list_type": "a list",
    "set_type": "a list",
    "frozen_set_type": "a list",
    "dict_type": "a mapping of names to values",
    "mapping_type": "a mapping of names to values",
    "model_type": "a mapping of names to values",
    "model_attributes_type": "a mapping of names to values",
    "none_required": "left out",
}
_BOUNDS = ("greater_than", "greater_than_equal", "less_than", "less_than_equal")
_SPELLINGS = (
    (re.compile(r"is(?=(e|ed|er|es|ing|ation)(_|$))"), "iz"),
    (re.compile(r"ys(?=(e|ed|er|es|ing)(_|$))"), "yz"),
    (re.compile(r"our(?=(s|ed|ing)?(_|$))"), "or"),
    (re.compile(r"tre(?=s?(_|$))"), "ter"),
)


def spelling(name: str) -> str:
    """The name in the one spelling under which British and American forms meet.

    >>> spelling("normalise"), spelling("summarised_by"), spelling("colour")
    ('normalize', 'summarized_by', 'color')
    """
    for pattern, american in _SPELLINGS:
        name = pattern.sub(american, name)
    return name


def fields_of(cls: type[BaseModel]) -> dict[str, FieldInfo]:
    """The fields of a model by the name under which a user gives them."""
    return {field.alias or name: field for name, field in cls.model_fields.items()}


def obvious_field(cls: type[BaseModel]) -> str | None:
    """The field that a bare value sets: the only required one, if there is exactly one."""
    required = [name for name, field in cls.model_fields.items() if field.is_required()]
    return required[0] if len(required) == 1 else None


def make(cls: type[M], node: Node, file: str, owner: str = "") -> M | list[Problem]:
    """The model that the mapping `node` describes, or everything that is wrong with it.

    `owner` names it in messages (the class name by default).
    """
    owner = owner or cls.__name__
    node, clashes = _american(cls, node, file)
    if clashes:
        return clashes
    try:
        made = cls.model_validate(node.plain(words_as_text=True))
    except ValidationError:
        try:
            cls.model_validate(node.plain())
        except ValidationError as error:
            return _Explanation(cls, node, file, owner).problems(error)
        return [_word(word, file) for word in node.words()]  # only the words were wrong
    wrong = [w for name, n in node.value.items() for w in n.words() if w.raw in _texts(made, name)]
    return _words(wrong, cls, node, file, owner) if wrong else made


def explain(error: ValidationError, cls: type[BaseModel]) -> list[Problem]:
    """The problems of a model that was called from Python: the same sentences, without places."""
    return _Explanation(cls, Node({}, (0, 0)), "", cls.__name__).problems(error)


def nearest(what: str, name: str, known: Mapping[str, Any] | tuple[str, ...] | list[str]) -> str:
    """`what`, and the nearest right name or all of them.

    >>> nearest("A table has no key 'form'.", "form", ["from", "key"])
    "A table has no key 'form'. Did you mean 'from'?"
    """
    near = get_close_matches(spelling(name.lower()), sorted(known), n=1)
    return f"{what} Did you mean '{near[0]}'?" if near else f"{what} Known: {', '.join(sorted(known)) or 'none'}."


def _american(cls: type[BaseModel], node: Node, file: str) -> tuple[Node, list[Problem]]:
    """The mapping with each key in the spelling of the field that it means."""
    fields = {spelling(name): name for name in fields_of(cls)}
    values: dict[str, Node] = {}
    keys = {}
    clashes = []
    for key, value in node.value.items():
        name = key if key in cls.model_fields else fields.get(spelling(key), key)
        if name in values:
            clashes.append(Problem(f"'{key}' and another spelling of it stand here both.", file, *node.keys[key]))
        values[name], keys[name] = value, node.keys.get(key, node.place)
    return Node(values, node.place, keys=keys), clashes


def _words(wrong: list[Node], cls: type[M], node: Node, file: str, owner: str) -> list[Problem]:
    """One problem for each `yes` or `no` that was taken as a text; it names the parameter where that wants text."""
    named: dict[Place, Problem] = {}
    try:
        cls.model_validate(node.plain())
    except ValidationError as error:
        named = {(p.line, p.column): p for p in _Explanation(cls, node, file, owner).problems(error)}
    return [named.get(word.place) or _word(word, file) for word in wrong]


def _word(node: Node, file: str) -> Problem:
    read = "true" if node.value else "false"
    return Problem(f'YAML reads {node.raw} as {read}. Write "{node.raw}" for the text, or {read}.', file, *node.place)


def _is_long_enough(details: ErrorDetails) -> bool:
    """Whether a list is "too short" only because its entries, which are reported themselves, are wrong."""
    value = details["input"]
    return isinstance(value, list | tuple) and len(value) >= details["ctx"]["min_length"]


def _texts(made: BaseModel, name: str) -> set[str]:
    """Every text inside the field `name` of a model."""

    def walk(value: Any) -> Iterator[str]:
        if isinstance(value, str):
            yield value
        elif isinstance(value, dict):
            for key, inner in value.items():
                yield from walk(key)
                yield from walk(inner)
        elif isinstance(value, list | tuple | set | frozenset):
            for inner in value:
                yield from walk(inner)
        elif isinstance(value, BaseModel):
            for inner in value.__dict__.values():
                yield from walk(inner)

    attribute = next((n for n, field in type(made).model_fields.items() if field.alias == name), name)
    return set(walk(getattr(made, attribute, None)))


def _path(cls: type[BaseModel], details: ErrorDetails) -> Path_:
    """The place of an error in the value, without the labels that pydantic adds for the members of a union."""
    path: list[str | int] = []
    models: list[type[BaseModel]] = [cls]
    annotation: Any = None
    for part in details["loc"]:
        holders = [fields_of(m)[part] for m in models if isinstance(part, str) and part in fields_of(m)]
        if holders:
            annotation = holders[0].annotation
            models = [inner for field in holders for inner in _models(field.annotation)]
            path.append(part)
        elif (
            isinstance(part, int)
            or (details["type"] == "extra_forbidden" and part == details["loc"][-1])
            or ("dict" in str(annotation) and "[" not in str(part))
        ):
            path.append(part)
    return tuple(path)


def _models(annotation: Any) -> list[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [model for inner in get_args(annotation) for model in _models(inner)]


def _holder(cls: type[BaseModel], path: Path_) -> tuple[dict[str, FieldInfo], FieldInfo | None]:
    """(the fields of the model that holds the value at `path`, the value's own field)."""
    fields, own = fields_of(cls), None
    for part in path:
        if isinstance(part, str) and part in fields:
            own = fields[part]
            inner = {n: f for model in _models(own.annotation) for n, f in fields_of(model).items()}
            if part != path[-1] or (inner and isinstance(path[-1], int)):
                fields = inner
        else:
            own = None if isinstance(part, str) else own
    return fields, own


@dataclass(frozen=True)
class _Explanation:
    """What pydantic found wrong with a model, in sentences with places."""

    cls: type[BaseModel]
    root: Node
    file: str
    owner: str

    def problems(self, error: ValidationError) -> list[Problem]:
        """One for each value, whatever the number of ways in which it is wrong."""
        by_value: dict[Path_, list[ErrorDetails]] = {}
        for details in error.errors(include_url=False):
            if details["type"] == "too_short" and _is_long_enough(details):
                continue
            by_value.setdefault(_path(self.cls, details), []).append(details)
        return [self.problem(path, found) for path, found in by_value.items()]

    def problem(self, path: Path_, found: list[ErrorDetails]) -> Problem:
        fields, field = _holder(self.cls, path)
        node, kind, last = self.root.find(path), found[0]["type"], str(path[-1]) if path else ""
        parent = self.root.find(path[:-1])
        label = f"'{_written(path)}' of {self.owner}" if path else self.owner
        if kind == "extra_forbidden":
            message = nearest(
                f"{self.owner[0].upper() + self.owner[1:]} has no '{_written(path)}'.", last, list(fields)
            )
            return Problem(message, self.file, *parent.keys.get(last, parent.place))
        if kind == "missing":
            meaning = f": {field.description}" if field is not None and field.description else ""
            return Problem(f"{label} is missing{meaning}.", self.file, *parent.place)
        message = self.fault(label, node, found, field)
        return Problem(message, self.file, *node.place)

    def fault(self, label: str, node: Node, found: list[ErrorDetails], field: FieldInfo | None) -> str:
        """What is wrong with a value that is there."""
        own = [one["msg"] for one in found if one["type"] in ("value_error", "assertion_error")]
        if own:  # who says so was content with its type
            said = own[0].split(", ", 1)[-1].rstrip(".")
            return f"{label}: {said}{'' if said.endswith(('?', '!')) else '.'}"
        if all(one["type"] == "string_type" for one in found) and (misread := node.misread()):
            return f"{label} must be text, but {misread}"
        wanted = " or ".join(dict.fromkeys(_wanted(one, field) for one in found))
        given = "" if _secret(field) else f", got {_given(node, found[0])}"
        return f"{label} must be {wanted}{given}.{_hint(found, field)}"


def _written(path: Path_) -> str:
    """`checks[0].column` of ("checks", 0, "column")."""
    return "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path).lstrip(".")


def _given(node: Node, details: ErrorDetails) -> str:
    """The value as it was written, or as Python shows it when it did not come from a file."""
    if node.place != (0, 0):
        return node.written()
    text = repr(details["input"])
    return text if len(text) <= 60 else text[:57] + "..."


def _secret(field: FieldInfo | None) -> bool:
    if field is None:
        return False
    annotation = field.annotation
    return annotation is SecretStr or SecretStr in get_args(annotation)


def _wanted(details: ErrorDetails, field: FieldInfo | None) -> str:
    kind, context = details["type"], details.get("ctx", {})
    if kind in _BOUNDS:
        return _range(*_limits(details, field))
    if kind in ("literal_error", "enum"):
        return f"one of {context['expected']}"
    if kind in _KINDS:
        return _KINDS[kind]
    if kind == "too_short" and not _secret(field):
        return f"a {'mapping' if isinstance(details['input'], dict) else 'list'} of at least {context['min_length']}"
    if kind == "too_long":
        return f"a list of at most {context['max_length']}"
    if kind in ("string_too_short", "too_short"):
        return (
            "text, not empty" if context["min_length"] == 1 else f"text of at least {context['min_length']} characters"
        )
    if kind == "string_pattern_mismatch":
        return f"text that matches {context['pattern']}"
    return f"something else ({details['msg']})"


def _limits(details: ErrorDetails, field: FieldInfo | None) -> tuple[Any, bool, Any, bool]:
    """(lowest, whether it is excluded, highest, whether it is excluded); None: no limit on that side."""
    context = details.get("ctx", {})
    low, low_out = (context["gt"], True) if "gt" in context else (context.get("ge"), False)
    high, high_out = (context["lt"], True) if "lt" in context else (context.get("le"), False)
    for bound in field.metadata if field is not None else ():
        if isinstance(bound, Ge | Gt) and low is None:
            low, low_out = (bound.gt, True) if isinstance(bound, Gt) else (bound.ge, False)
        if isinstance(bound, Le | Lt) and high is None:
            high, high_out = (bound.lt, True) if isinstance(bound, Lt) else (bound.le, False)
    return low, low_out, high, high_out


def _range(low: Any, low_out: bool, high: Any, high_out: bool) -> str:
    if low is not None and high is not None and not low_out and not high_out:
        return f"between {_short(low)} and {_short(high)}"
    parts = [] if low is None else [f"above {_short(low)}" if low_out else f"at least {_short(low)}"]
    parts += [] if high is None else [f"below {_short(high)}" if high_out else f"at most {_short(high)}"]
    return " and ".join(parts)


def _short(number: Any) -> str:
    return str(int(number)) if isinstance(number, float) and number.is_integer() else str(number)


def _hint(found: list[ErrorDetails], field: FieldInfo | None) -> str:
    """A guess at what was meant, where there is a good one."""
    details = found[0]
    value, kind = details["input"], details["type"]
    if kind in _BOUNDS and isinstance(value, int | float):
        low, _, high, _ = _limits(details, field)
        share = low == 0 and high == 1  # 8 and 80 are meant as tenths and per cent
        for guess in (value / 10, value / 100) if share else ():
            if 0 < guess < 1:
                return f" Did you mean {guess:g}?"
    if kind in ("literal_error", "enum") and isinstance(value, str):
        near = get_close_matches(spelling(value.lower()), re.findall(r"'([^']*)'", details["ctx"]["expected"]), n=1)
        return f" Did you mean '{near[0]}'?" if near else ""
    if len(found) == 1 and kind in ("tuple_type", "list_type") and isinstance(value, str):
        return f" Did you mean [{value}]?"
    return ""
