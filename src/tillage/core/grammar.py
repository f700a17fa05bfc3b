"""The grammar of expressions: text to tree, and tree to text in one spelling.

One pass over the text by precedence climbing, about 0.1 ms for a line; bounded in length, nesting and size.
Sources: ISO/IEC 9075-2 (SQL), clauses 6 and 8; Pratt, Top down operator precedence, POPL 1973.
"""

from __future__ import annotations

import datetime as dt
import math
import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NoReturn, TypeAlias

from tillage.core.errors import ConfigurationError, unknown_name

MAX_LENGTH = 10_000
"""Characters in one expression."""
MAX_DEPTH = 100
"""Levels of nesting."""
MAX_SIZE = 10_000
"""Operations in the Polars expression, where some operands are used several times."""

Value: TypeAlias = "int | float | str | bool | dt.date | dt.datetime | None"


@dataclass(frozen=True)
class Node:
    """A part of an expression. `at`: its offset in the text, for messages."""

    at: int

    @property
    def depth(self) -> int:
        """Levels of calls below and with this one, at least 1."""
        return 1

    @property
    def size(self) -> int:
        """Operations in its Polars expression."""
        return 1


@dataclass(frozen=True)
class Literal(Node):
    """A constant. `numeral`: a number as it was written."""

    value: Value
    numeral: str = ""


@dataclass(frozen=True)
class Column(Node):
    """A column of the row. `quoted`: it stood in double quotes."""

    name: str
    quoted: bool = False


@dataclass(frozen=True)
class Call(Node):
    """An operator or function and its operands; `op` is the operator's sign, `neg`, `null?`, or a function's name."""

    op: str
    args: tuple[Node, ...]
    level: int = 1
    weight: int = 1

    @property
    def depth(self) -> int:
        return self.level

    @property
    def size(self) -> int:
        return self.weight


def walk(node: Node) -> Iterator[Node]:
    """The node and all below it, in the order of the text, but for an operator before its operands."""
    yield node
    if isinstance(node, Call):
        for arg in node.args:
            yield from walk(arg)


_TOKEN = re.compile(
    r"""\s*(?:
      (?P<number>(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d+)?)
    | (?P<name>[^\W\d]\w*)
    | (?P<quoted>"(?:[^"]|"")*")
    | (?P<text>'(?:[^']|'')*')
    | (?P<sign><=|>=|<>|!=|==|\|\||[-+*/%=<>(),])
    | (?P<end>\Z)
    )""",
    re.VERBOSE,
)
WORDS = frozenset(["and", "or", "not", "in", "is", "null", "like", "between", "true", "false", "escape"])
_FUNCTIONS: dict[str, tuple[int, int]] = {
    **dict.fromkeys(("lower", "upper", "trim", "length", "abs", "date", "timestamp"), (1, 1)),
    "round": (1, 2),
    "coalesce": (1, 100),
    "if": (3, 3),
}
"""Name to the least and the greatest number of arguments."""

_AGGREGATES = frozenset(("count", "sum", "avg", "mean", "median", "min", "max"))

LEVELS = {"or": 1, "and": 2, "not": 3, "||": 5, "+": 6, "-": 6, "*": 7, "/": 7, "%": 7, "neg": 8}
"""How tightly an operator binds."""
_COMPARISON = 4
_SAME = {"==": "=", "<>": "!="}
COMPARE = frozenset(("=", "!=", "<", "<=", ">", ">="))
_CHAINS = frozenset(("and", "or", "||"))
_USES = {"%": 2, "/": 2, "between": 2}
"""How often the Polars expression repeats an operand, at most; 1 where nothing is said."""


@dataclass(frozen=True)
class _Token:
    kind: str
    text: str
    at: int


def read(text: str) -> Node:
    """The tree of an expression; raises ConfigurationError that points at the place of the mistake.

    >>> write(read("a+1>=b"))
    'a + 1 >= b'
    """
    if len(text) > MAX_LENGTH:
        raise ConfigurationError(
            f"An expression of {len(text):,} characters is too long; the limit is {MAX_LENGTH:,}.",
            fix="Split it over several steps.",
        )
    root = _Parser(text).whole()
    if root.size > MAX_SIZE:
        fail(text, root.at, "This expression becomes too large.", "Split it over several steps.")
    return root


class _Parser:
    def __init__(self, text: str) -> None:
        self._text = text
        self._tokens = self._split(text)
        self._next = 0
        self._nesting = 0

    def whole(self) -> Node:
        node = self._expression(0)
        if (token := self._peek()).kind != "end":
            self._unexpected(token)
        return node

    def _split(self, text: str) -> list[_Token]:
        tokens: list[_Token] = []
        at = 0
        while True:
            found = _TOKEN.match(text, at)
            if not found or found.lastgroup is None:
                self._strange(at + len(text[at:]) - len(text[at:].lstrip()))
            kind, start, at = found.lastgroup, found.start(found.lastgroup), found.end()
            word = found.group(kind)
            if kind == "name" and word.lower() in WORDS:
                kind, word = "word", word.lower()
            before = tokens[-1] if tokens else None
            if kind == "name" and before and before.kind == "number" and before.at + len(before.text) == start:
                joined = before.text + word
                self._fail(start, "A number runs into a name.", f'Put a space between, or quote the name: "{joined}".')
            tokens.append(_Token(kind, word, start))
            if kind == "end":
                return tokens

    def _strange(self, at: int) -> NoReturn:
        sign = self._text[at]
        if sign in "'\"":
            self._fail(at, f"The quote {sign} is never closed.", f"Close it; a {sign} inside is written {sign}{sign}.")
        plain = unicodedata.normalize("NFKC", sign)
        plain = {"“": '"', "”": '"', "‘": "'", "’": "'"}.get(sign, plain)
        if plain != sign and plain.isprintable():
            self._fail(at, f"'{sign}' is not a sign of this language.", f"Write {plain} instead.")
        self._fail(at, f"{sign!r} is not a sign of this language.", 'Quote a column name with double quotes: "a-b".')

    def _peek(self) -> _Token:
        return self._tokens[self._next]

    def _take(self, *texts: str) -> _Token | None:
        """The next token if it is one of these signs or words."""
        token = self._tokens[self._next]
        if token.kind in {"sign", "word"} and token.text in texts:
            self._next += 1
            return token
        return None

    def _expect(self, text: str, after: str) -> None:
        if not self._take(text):
            token = self._peek()
            self._fail(token.at, f"{text.upper()} is missing after {after}.", f"Put {text.upper()} here.")

    def _fail(self, at: int, message: str, fix: str = "") -> NoReturn:
        fail(self._text, at, message, fix)

    def _too_deep(self, at: int) -> NoReturn:
        self._fail(at, f"The expression is nested more than {MAX_DEPTH} deep.", "Split it over several steps.")

    def _unexpected(self, token: _Token) -> NoReturn:
        if token.kind == "end":
            self._fail(token.at, "The expression ends where a value is missing.")
        if token.text == ")":
            self._fail(token.at, "This ) closes nothing, or a value is missing before it.")
        if token.kind in {"word", "sign"}:
            hint = f'Quote it if it is a column: "{token.text}".' if token.kind == "word" else ""
            self._fail(token.at, f"{token.text.upper()} cannot stand here.", hint)
        self._fail(token.at, f"{token.text} cannot stand here.", "Put an operator before it, such as = or AND.")

    def _call(self, at: int, op: str, *args: Node) -> Node:
        depth = 1 + max((a.depth for a in args), default=0)
        if depth > MAX_DEPTH:
            self._too_deep(at)
        size = 1 + _USES.get(op, 1) * sum(a.size for a in args)
        if op == "in":  # the left side is compared with each value of the list
            size += (len(args) - 2) * args[0].size
        return Call(at, op, args, depth, min(size, 10 * MAX_SIZE))  # capped, because it may double with every level

    def _expression(self, level: int) -> Node:
        """Everything that binds more tightly than `level`."""
        self._nesting += 1
        if self._nesting > MAX_DEPTH:
            self._too_deep(self._peek().at)
        node = self._prefix()
        while True:
            token = self._peek()
            if token.kind not in {"sign", "word"}:
                break
            if (binding := LEVELS.get(token.text, 0)) and token.text not in {"not", "neg"}:
                if binding <= level:
                    break
                self._next += 1
                node = self._join(token, node, binding)
            elif level < _COMPARISON and (compared := self._comparison(node)):
                node = compared
                following = self._peek()
                if following.text in COMPARE | _SAME.keys() and following.kind == "sign":
                    self._fail(
                        following.at, "Comparisons cannot be chained.", "Write a < b AND b < c, or use brackets."
                    )
            else:
                break
        self._nesting -= 1
        return node

    def _join(self, token: _Token, left: Node, level: int) -> Node:
        if token.text not in _CHAINS:
            return self._call(token.at, token.text, left, self._expression(level))
        parts = [left, self._expression(level)]
        while self._take(token.text):
            parts.append(self._expression(level))
        flat: list[Node] = []  # a long chain is flat and not deep, for these are associative
        for part in parts:
            flat += part.args if isinstance(part, Call) and part.op == token.text else [part]
        return self._call(token.at, token.text, *flat)

    def _comparison(self, left: Node) -> Node | None:
        if token := self._take(*COMPARE, *_SAME):
            return self._call(token.at, _SAME.get(token.text, token.text), left, self._expression(_COMPARISON))
        if token := self._take("is"):
            negated = self._take("not")
            self._expect("null", "IS NOT" if negated else "IS")
            return self._negate(negated, self._call(token.at, "null?", left))
        start = self._next
        negated = self._take("not")
        if token := self._take("in"):
            self._expect("(", "IN")
            if self._peek().text == ")":
                self._fail(self._peek().at, "The list of IN is empty.", "Put at least one value there.")
            node = self._call(token.at, "in", left, *self._arguments("IN"))
        elif token := self._take("between"):
            low = self._expression(_COMPARISON)
            self._expect("and", "BETWEEN .. ")
            node = self._call(token.at, "between", left, low, self._expression(_COMPARISON))
        elif token := self._take("like"):
            args = [left, self._text_literal("LIKE", "'A%'")]
            if self._take("escape"):
                args.append(escape := self._text_literal("ESCAPE", "'!'"))
                if len(str(escape.value)) != 1:
                    self._fail(escape.at, "ESCAPE needs exactly one character.")
            node = self._call(token.at, "like", *args)
        elif negated:
            self._unexpected(negated)
        else:
            self._next = start
            return None
        return self._negate(negated, node)

    def _negate(self, negated: _Token | None, node: Node) -> Node:
        return self._call(negated.at, "not", node) if negated else node

    def _text_literal(self, after: str, example: str) -> Literal:
        token = self._peek()
        if token.kind != "text":
            self._fail(token.at, f"{after} needs a text in single quotes.", f"For example: {after} {example}.")
        self._next += 1
        return Literal(token.at, _unquote(token.text))

    def _arguments(self, of: str) -> list[Node]:
        """What stands between brackets, the first of which is taken already."""
        args = [self._expression(0)]
        while self._take(","):
            args.append(self._expression(0))
        self._expect(")", f"the list of {of}")
        return args

    def _prefix(self) -> Node:
        token = self._peek()
        self._next += 1
        if token.kind == "number":
            return self._number(token, token.text)
        if token.kind == "text":
            return Literal(token.at, _unquote(token.text))
        if token.kind == "quoted":
            if token.text == '""':
                self._fail(token.at, "A column without a name cannot be asked for.", "The empty text is written ''.")
            return Column(token.at, _unquote(token.text), quoted=True)
        if token.kind == "name":
            return self._function(token) if self._take("(") else Column(token.at, token.text)
        if token.kind == "word" and token.text in {"true", "false", "null"}:
            return Literal(token.at, {"true": True, "false": False, "null": None}[token.text])
        if token.text == "not" and token.kind == "word":
            return self._call(token.at, "not", self._expression(LEVELS["not"] - 1))
        if token.kind == "sign" and token.text == "(":
            node = self._expression(0)
            self._expect(")", "what the ( at the left opened")
            return node
        if token.kind == "sign" and token.text in "+-":
            following = self._peek()
            if token.text == "-" and following.kind == "number":  # so that -2**63 can be written
                self._next += 1
                return self._number(token, "-" + following.text)
            operand = self._expression(LEVELS["neg"] - 1)
            return operand if token.text == "+" else self._call(token.at, "neg", operand)
        return self._unexpected(token)

    def _number(self, token: _Token, numeral: str) -> Literal:
        if numeral.lstrip("-").isascii() and numeral.lstrip("-").isdigit():
            value: int | float = int(numeral) if len(numeral) < 50 else 1 << 200
            if not -(1 << 127) <= value < 1 << 128:
                self._fail(token.at, "An integer has 128 bits at most.", "Write a decimal number, such as 1e40.")
        elif not math.isfinite(value := float(numeral)):
            self._fail(token.at, "This number is too large.", "The largest is about 1.8e308.")
        return Literal(token.at, value, numeral)

    def _function(self, token: _Token) -> Node:
        name = token.text.lower()
        if name in _AGGREGATES:
            self._fail(
                token.at, f"{name} is about many rows, and an expression is about one.", "Use an aggregate step."
            )
        if name not in _FUNCTIONS:
            self._fail(token.at, unknown_name("function", token.text, _FUNCTIONS))
        args = self._arguments(name)
        least, most = _FUNCTIONS[name]
        if not least <= len(args) <= most:
            wanted = str(least) if least == most else f"{least} to {most}"
            self._fail(token.at, f"{name} takes {wanted} values, got {len(args)}.")
        if name in {"date", "timestamp"}:
            return self._moment(token, name, args[0])
        if name == "round" and len(args) == 2:
            places = args[1]
            if not isinstance(places, Literal) or type(places.value) is not int or not 0 <= places.value <= 15:
                self._fail(places.at, "The second value of round is a number of decimals from 0 to 15.")
        return self._call(token.at, name, *args)

    def _moment(self, token: _Token, name: str, arg: Node) -> Literal:
        example = "date('2024-01-31')" if name == "date" else "timestamp('2024-01-31 09:30:00')"
        try:
            if not isinstance(arg, Literal) or not isinstance(arg.value, str):
                raise ValueError("no text")
            value = dt.date.fromisoformat(arg.value) if name == "date" else dt.datetime.fromisoformat(arg.value)
            if isinstance(value, dt.datetime) and value.tzinfo:
                raise ValueError("a time zone")
        except ValueError:
            self._fail(arg.at, f"{name} needs a text in ISO 8601, without a time zone.", f"For example: {example}.")
        return Literal(token.at, value)


def _unquote(text: str) -> str:
    return text[1:-1].replace(text[0] * 2, text[0])


def quote(text: str, sign: str = "'") -> str:
    """The text in quotes, each quote inside doubled."""
    return sign + text.replace(sign, sign * 2) + sign


def located(text: str, at: int, message: str) -> str:
    """The message, the line of the text that holds offset `at`, and a caret under it."""
    start = text.rfind("\n", 0, at) + 1
    end = text.find("\n", at)
    line, at = text[start : end if end >= 0 else len(text)], at - start
    cut = max(0, at - 60)
    before, after = _visible(line[cut:at]), _visible(line[at : at + 40])
    lead = "…" if cut else ""
    width = sum(2 if unicodedata.east_asian_width(c) in "WF" else not unicodedata.combining(c) for c in lead + before)
    return f"{message}\n  {lead}{before}{after}{'…' if at + 40 < len(line) else ''}\n  {' ' * width}^"


def _visible(text: str) -> str:
    return "".join(c if c.isprintable() else " " for c in text)


def fail(text: str, at: int, message: str, fix: str = "") -> NoReturn:
    """Raise the ConfigurationError that points at offset `at` of `text`."""
    raise ConfigurationError(located(text, at, f"{message} {fix}".strip()))


def write(node: Node, level: int = 0) -> str:
    """The one spelling of a tree; in brackets where it binds no more tightly than `level`."""
    if isinstance(node, Column):
        plain = re.fullmatch(r"[^\W\d]\w*", node.name) and node.name.lower() not in WORDS
        return node.name if plain else quote(node.name, '"')
    if isinstance(node, Literal):
        return _write_literal(node.value)
    assert isinstance(node, Call)
    text, own = _write_call(node)
    return f"({text})" if own <= level else text


def _write_literal(value: Value) -> str:
    if value is None or isinstance(value, bool):
        return "null" if value is None else str(value).lower()
    if isinstance(value, str):
        return quote(value)
    if isinstance(value, dt.datetime):
        return f"timestamp('{value.isoformat(' ')}')"
    return f"date('{value.isoformat()}')" if isinstance(value, dt.date) else repr(value)


def _write_call(node: Call) -> tuple[str, int]:
    """The text and how tightly it binds."""
    op, args = node.op, node.args
    if op == "not":
        inner = args[0]
        if isinstance(inner, Call) and inner.op in {"in", "like", "between", "null?"}:
            return _write_test(inner, "NOT "), _COMPARISON
        return f"NOT {write(inner, 2)}", 3
    if op == "neg":
        inner_text = write(args[0], 7)
        return ("-" if not re.match(r"[-\d.]", inner_text) else "- ") + inner_text, 8
    if op in {"in", "like", "between", "null?"}:
        return _write_test(node, ""), _COMPARISON
    if op in COMPARE:
        return f"{write(args[0], _COMPARISON)} {op} {write(args[1], _COMPARISON)}", _COMPARISON
    if op in LEVELS:
        own = LEVELS[op]
        first = write(args[0], own - 1)
        return f" {op.upper()} ".join([first, *(write(a, own) for a in args[1:])]), own
    return f"{op}({', '.join(write(a) for a in args)})", 9


def _write_test(node: Call, negation: str) -> str:
    first, rest = write(node.args[0], _COMPARISON), node.args[1:]
    if node.op == "null?":
        return f"{first} IS {negation}NULL"
    if node.op == "in":
        return f"{first} {negation}IN ({', '.join(write(a) for a in rest)})"
    texts = [write(a, _COMPARISON) for a in rest]
    if node.op == "between":
        return f"{first} {negation}BETWEEN {texts[0]} AND {texts[1]}"
    return f"{first} {negation}LIKE {' ESCAPE '.join(texts)}"
