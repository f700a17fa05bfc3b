"""Expressions over the columns of one row: what `filter`, `derive`, `expect` and `--where` understand.

A small SQL: it reads in one pass, becomes a Polars expression, and can say beforehand what is wrong with it. Nothing
is evaluated as code. Reading costs about 0.1 ms; a row costs what the same Polars expression costs.

    columns     age   "blood pressure"   年龄        (quote what is not letters, digits and _)
    literals    12   1.5e3   'text, '' for a quote'   true   false   null
    arithmetic  + - * / %   unary -   || joins text   (/ is always the true quotient)
    conditions  = == != <> < <= > >=   IN (..)   BETWEEN x AND y   LIKE 'a%_'   IS [NOT] NULL   AND OR NOT
    functions   lower upper trim length abs round coalesce if(condition, a, b) date('2024-01-31') timestamp('..')

Null follows SQL's three-valued logic: what is computed from a null is null, except that `false AND null` is false,
`true OR null` is true, and IS NULL, coalesce and if (where null counts as false) look at it. A row for which a
condition is null does not fulfil it. What has no answer (division by zero, an integer beyond 64 bits) is null.
LIKE and comparisons of text mind case; % takes the sign of its left side; round rounds halves away from zero.

Sources: ISO/IEC 9075-2 (SQL), clauses 6 and 8; Pratt, Top down operator precedence, POPL 1973.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache, reduce
from operator import add, and_, eq, ge, gt, le, lt, mul, ne, or_, sub
from typing import Annotated, TypeAlias

import polars as pl
from pydantic import AfterValidator

from tillage.core.errors import ConfigurationError, Problem, unknown_name
from tillage.core.grammar import COMPARE, LEVELS, Call, Column, Literal, Node, Value, located, quote, read, walk, write


@dataclass(frozen=True)
class Expression:
    """One parsed expression; make it with `parse`.

    >>> e = parse("age >= 18 and name like 'A%'")
    >>> e.columns
    ('age', 'name')
    >>> pl.DataFrame({"age": [20, 30, None], "name": ["Ann", "Bob", "Ann"]}).filter(e.polars())["age"].to_list()
    [20]
    """

    text: str
    _root: Node = field(repr=False, compare=False)

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns it reads, each once, in order of appearance."""
        return tuple(dict.fromkeys(node.name for node in walk(self._root) if isinstance(node, Column)))

    def polars(self) -> pl.Expr:
        """The Polars expression; right for every frame on which `check_types` finds nothing."""
        return _build(self._root)

    def check(self, columns: Iterable[str]) -> tuple[str, ...]:
        """One message for every column that is not among `columns`; empty when all are there.

        >>> print(parse("agee > 3").check(["age", "name"])[0])
        No column is called 'agee'. Did you mean 'age'?
          agee > 3
          ^
        """
        known, seen, messages = set(columns), set[str](), []
        for node in walk(self._root):
            if isinstance(node, Column) and node.name not in known and node.name not in seen:
                seen.add(node.name)
                message = unknown_name("column", node.name, known)
                if node.quoted:
                    message += f" (A text is written in single quotes: {quote(node.name)}.)"
                messages.append(located(self.text, node.at, message))
        return tuple(messages)

    def check_types(
        self, schema: Mapping[str, pl.DataType | type[pl.DataType]], condition: bool = False
    ) -> tuple[str, ...]:
        """One message for every place where the types do not go together; columns missing in `schema` are passed over.

        `condition`: the whole must be true or false, as in a filter.

        >>> print(parse("name > 5").check_types({"name": pl.String})[0])
        Column 'name' is text and 5 is a number; > needs two of a kind. Write '5' for the text.
          name > 5
               ^
        """
        kinds = {name: _kind_of(dtype) for name, dtype in schema.items()}
        found: list[tuple[int, str]] = []
        kind = _check(self._root, kinds, lambda at, message: found.append((at, message)))
        if condition and not _fits(kind, "condition"):
            found.append((self._root.at, f"A condition is needed, true or false for each row, and this is {_a(kind)}."))
        return tuple(located(self.text, at, message) for at, message in sorted(found))

    def canonical(self) -> str:
        """The same expression in one spelling: equal canonical texts mean equal results.

        >>> parse(" NOT(a==1)or b<>'x' ").canonical()
        "NOT a = 1 OR b != 'x'"
        """
        return write(self._root)


def parse(text: str) -> Expression:
    """Read an expression; raises ConfigurationError that points at the place of the mistake.

    >>> parse("1 + 2 * x").canonical()
    '1 + 2 * x'
    >>> parse("age >")
    Traceback (most recent call last):
        ...
    tillage.core.errors.ConfigurationError: The expression ends where a value is missing.
      age >
           ^
    """
    text = text.strip()
    expression = Expression(text, read(text))
    if messages := expression.check_types({}):
        raise ConfigurationError(Problem(message) for message in messages)
    return expression


def _valid(text: str) -> str:
    return parse(text).text


def _valid_condition(text: str) -> str:
    expression = parse(text)
    if messages := expression.check_types({}, condition=True):
        raise ConfigurationError(Problem(message) for message in messages)
    return expression.text


ExpressionText = Annotated[str, AfterValidator(_valid)]
"""A field of a step that holds an expression, checked when the step is made."""

ConditionText = Annotated[str, AfterValidator(_valid_condition)]
"""The same for an expression that must be true or false."""


# ---- kinds ----


_ANY = frozenset(("null", "unknown"))
_A = {
    "number": "a number",
    "text": "text",
    "condition": "true or false",
    "moment": "a date or time",
    "null": "null",
    "unknown": "of unknown type",
}


def _kind_of(dtype: pl.DataType | type[pl.DataType]) -> str:
    if dtype.is_numeric():
        return "number"
    if dtype in (pl.String, pl.Categorical, pl.Enum):
        return "text"
    if dtype == pl.Boolean:
        return "condition"
    if dtype == pl.Null:
        return "null"
    if dtype == pl.Date or (dtype == pl.Datetime and not getattr(dtype, "time_zone", None)):
        return "moment"
    return f"of type {dtype}"


def _a(kind: str) -> str:
    return _A.get(kind, kind)


def _fits(kind: str, wanted: str) -> bool:
    return kind == wanted or kind in _ANY or wanted in _ANY


_Report: TypeAlias = "Callable[[int, str], None]"


def _check(node: Node, kinds: Mapping[str, str], report: _Report) -> str:
    """The kind of the node's values; what does not go together is reported, once."""
    if isinstance(node, Column):
        return kinds.get(node.name, "unknown")
    if isinstance(node, Literal):
        return _literal_kind(node.value)
    assert isinstance(node, Call)
    found = [_check(arg, kinds, report) for arg in node.args]
    sides = list(zip(node.args, found, strict=True))
    if node.op in COMPARE or node.op in {"in", "between"}:
        for arg, kind in sides[1:]:
            _same(node, sides[0], (arg, kind), report)
        return "condition"
    if node.op in {"coalesce", "if"}:
        branches = sides[1:] if node.op == "if" else sides
        if node.op == "if":
            _want(node, sides[:1], "condition", report)
        known = [side for side in branches if side[1] not in _ANY]
        for side in known[1:]:
            _same(node, known[0], side, report)
        return known[0][1] if known else branches[0][1]
    if node.op == "null?":
        return "condition"
    if node.op == "||":
        for arg, kind in sides:
            if kind not in _ANY | {"text", "number", "condition", "moment"}:
                report(arg.at, f"{_say(arg, kind)}, which || cannot join.")
        return "text"
    wanted, made = _SIGNATURES[node.op]
    _want(node, sides, wanted, report)
    return made


_SIGNATURES = {
    **dict.fromkeys(("+", "-", "*", "/", "%", "neg", "abs", "round"), ("number", "number")),
    **dict.fromkeys(("and", "or", "not"), ("condition", "condition")),
    **dict.fromkeys(("lower", "upper", "trim"), ("text", "text")),
    "length": ("text", "number"),
    "like": ("text", "condition"),
}
"""What each operation takes and makes."""


def _literal_kind(value: Value) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "condition"
    if isinstance(value, int | float):
        return "number"
    return "text" if isinstance(value, str) else "moment"


def _want(node: Call, sides: Sequence[tuple[Node, str]], wanted: str, report: _Report) -> None:
    for arg, kind in sides:
        if not _fits(kind, wanted):
            name = "-" if node.op == "neg" else node.op.upper() if node.op in LEVELS or node.op == "like" else node.op
            hint = " Texts are joined by ||." if node.op == "+" and kind == "text" else ""
            needs = "conditions" if wanted == "condition" else f"{wanted}s" if wanted == "number" else wanted
            report(arg.at, f"{_say(arg, kind)}, and {name} needs {needs}.{hint}")


def _same(node: Call, left: tuple[Node, str], right: tuple[Node, str], report: _Report) -> None:
    if _fits(left[1], right[1]):
        return
    name = node.op.upper() if node.op in {"in", "between"} else node.op
    hint = ""
    for (literal, has), (_, wants) in ((left, right), (right, left)):
        if isinstance(literal, Literal) and has == "number" and wants == "text":
            hint = f" Write {quote(literal.numeral)} for the text."
        elif isinstance(literal, Literal) and has == "text" and wants == "number" and _numeral(str(literal.value)):
            hint = f" Write {literal.value} for the number."
        elif isinstance(literal, Literal) and has == "text" and wants == "moment":
            hint = f" Write date({write(literal)}) for the date."
        elif isinstance(literal, Literal) and has == "number" and wants == "condition":
            hint = " Write true or false."
        elif has == "text" and wants == "moment":
            hint = " A step before, `parse_dates`, makes dates and times of texts."
    first = _say(*left)
    second = _say(*right)
    second = second[0].lower() + second[1:] if second[0] in "CT" else second
    report(node.at, f"{first} and {second}; {name} needs two of a kind.{hint}")


def _say(node: Node, kind: str) -> str:
    if isinstance(node, Column):
        return f"Column '{node.name}' is {_a(kind)}"
    return f"{write(node) if isinstance(node, Literal) else 'This'} is {_a(kind)}"


def _numeral(text: str) -> bool:
    return re.fullmatch(r"-?\d+(\.\d+)?", text, re.ASCII) is not None


# ---- building ----

_ARITHMETIC = frozenset(("+", "-", "*", "%", "neg", "abs"))


def _build(node: Node) -> pl.Expr:
    if isinstance(node, Column):
        return pl.col(node.name)
    if isinstance(node, Literal):
        return _lit(node.value)
    assert isinstance(node, Call)
    constants = [arg.value for arg in node.args[1:] if isinstance(arg, Literal)]
    if node.op == "in" and len(constants) == len(node.args) - 1 and all(isinstance(c, str) for c in constants):
        return _build(node.args[0]).is_in(pl.lit(pl.Series(constants, dtype=pl.String)).implode())
    if node.op == "like":
        return _text(_build(node.args[0])).str.contains(_like_regex(*map(str, constants)))
    if node.op == "round":
        places = constants[0] if constants else 0
        assert isinstance(places, int)
        number = _build(node.args[0]) + pl.lit(0, dtype=pl.Int64)  # a column of nulls alone has no `round`
        return number.round(places, mode="half_away_from_zero")
    if node.op in _ARITHMETIC:
        like = _typed_like(node)
        wide = pl.dtype_of(like + pl.lit(0, dtype=pl.Int128))  # a float where one operand is: then integers go straight
        made = _BUILDERS[node.op](*(_build(arg).cast(wide, strict=False) for arg in node.args))
        return made.cast(pl.dtype_of(like), strict=False)
    return _BUILDERS[node.op](*(_build(arg) for arg in node.args))


def _lit(value: Value) -> pl.Expr:
    if isinstance(value, int) and not isinstance(value, bool):  # else Polars makes it an Int32 that wraps around
        narrow = -(1 << 63) <= value < 1 << 63
        return pl.lit(value, dtype=pl.Int64 if narrow else pl.Int128 if value < 1 << 127 else pl.UInt128)
    return pl.lit(value)


def _typed_like(node: Node) -> pl.Expr:
    """An expression, never evaluated, of the type that arithmetic on these operands has: 64 bits at least.

    Integers are computed in 128 bits and brought back to this type, so that an overflow is null and not a wrong number.
    """
    return reduce(add, _leaves(node).values(), pl.lit(0, dtype=pl.Int64))


def _leaves(node: Node) -> dict[str, pl.Expr]:
    if isinstance(node, Column):
        return {"column " + node.name: pl.col(node.name)}
    if isinstance(node, Literal):
        return {} if node.value is None else {"literal " + write(node): _lit(node.value)}
    assert isinstance(node, Call)
    if node.op == "/":
        return {"quotient": pl.lit(0.0)}
    if node.op == "length":
        return {}
    return {name: leaf for arg in node.args[node.op == "if" :] for name, leaf in _leaves(arg).items()}


def _text(value: pl.Expr) -> pl.Expr:
    return value.cast(pl.String)  # for columns of nulls, and categories


def _truth(value: pl.Expr) -> pl.Expr:
    return value.cast(pl.Boolean)  # for columns of nulls


def _balanced(join: Callable[[pl.Expr, pl.Expr], pl.Expr], parts: Sequence[pl.Expr]) -> pl.Expr:
    """The parts joined as a balanced tree, which stays shallow for thousands of them."""
    while len(parts) > 1:
        parts = [reduce(join, parts[i : i + 2]) for i in range(0, len(parts), 2)]
    return parts[0]


def _quotient(a: pl.Expr, b: pl.Expr) -> pl.Expr:
    divisor = b.cast(pl.Float64)
    # A column of divisors, also of one number: by one number Polars multiplies by the reciprocal where the column is
    # long enough, and the last bit of a value would depend on its chunk.
    return a.cast(pl.Float64) / (pl.int_range(pl.len()) * 0 + pl.when(divisor != 0).then(divisor))


def _remainder(a: pl.Expr, b: pl.Expr) -> pl.Expr:
    divisor = b.abs()  # of positive numbers alone, since Polars gives the remainder the sign of the divisor
    return a.abs() % pl.when(divisor != 0).then(divisor) * a.sign()


_BUILDERS: dict[str, Callable[..., pl.Expr]] = {
    "and": lambda *parts: _balanced(and_, [_truth(p) for p in parts]),
    "or": lambda *parts: _balanced(or_, [_truth(p) for p in parts]),
    "not": lambda a: ~_truth(a),
    "=": eq,
    "!=": ne,
    "<": lt,
    "<=": le,
    ">": gt,
    ">=": ge,
    "in": lambda a, *items: _balanced(or_, [a == item for item in items]),
    "between": lambda a, low, high: (a >= low) & (a <= high),
    "null?": lambda a: a.is_null(),
    "+": add,
    "-": sub,
    "*": mul,
    "/": _quotient,
    "%": _remainder,
    "neg": lambda a: pl.lit(0, dtype=pl.Int64) - a,
    "||": lambda *parts: pl.concat_str([_text(p) for p in parts]),
    "lower": lambda a: _text(a).str.to_lowercase(),
    "upper": lambda a: _text(a).str.to_uppercase(),
    "trim": lambda a: _text(a).str.strip_chars(" "),
    "length": lambda a: _text(a).str.len_chars().cast(pl.Int64),
    "abs": lambda a: a.abs(),
    "coalesce": lambda *parts: pl.coalesce(parts),
    "if": lambda test, a, b: pl.when(_truth(test)).then(a).otherwise(b),
}


@lru_cache(maxsize=256)
def _like_regex(pattern: str, escape: str = "") -> str:
    """LIKE as a regular expression of the engine that Polars uses, whose time is linear in the text."""
    out, literal = [], False
    for sign in pattern:
        if sign == escape and not literal:
            literal = True
            continue
        if sign in "%_" and not literal:
            out.append(".*" if sign == "%" else ".")
        else:
            out.append("\\" + sign if sign in r"\.+*?()|[]{}^$#&-~" else sign)
        literal = False
    return r"(?s)\A" + re.sub(r"(\.\*)+", ".*", "".join(out)) + r"\z"
