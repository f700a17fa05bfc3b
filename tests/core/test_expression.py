"""Expressions against SQLite's answers on the same rows, and the messages for what is wrong."""

from __future__ import annotations

import datetime as dt
import random
import re
import sqlite3
from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, ValidationError

from tillage.core.errors import ConfigurationError
from tillage.core.expression import ConditionText, Expression, ExpressionText, parse
from tillage.core.grammar import MAX_DEPTH, MAX_LENGTH

_draw = random.Random(7)
INTEGERS = [None, 0, 1, -1, 2, -3, 7, 100]
QUARTERS = [None, 0.0, 0.25, -0.25, 1.5, -2.75, 8.0]
TEXTS = [None, "", "a", "A", "ab", "a%b", "a_b", "é", "疼痛", "it's", " x ", "\n"]
ROWS = [
    tuple(_draw.choice(pool) for pool in (INTEGERS, INTEGERS, QUARTERS, QUARTERS, TEXTS, TEXTS, [None, True, False]))
    for _ in range(40)
]
SCHEMA = {
    "i": pl.Int64,
    "j": pl.Int64,
    "f": pl.Float64,
    "g": pl.Float64,
    "s": pl.String,
    "年龄": pl.String,
    "b": pl.Boolean,
}
FRAME = pl.DataFrame(ROWS, schema=SCHEMA, orient="row")


@pytest.fixture(scope="module")
def sqlite() -> sqlite3.Connection:
    base = sqlite3.connect(":memory:")
    base.execute("PRAGMA case_sensitive_like = ON")
    base.execute("CREATE TABLE t (i INTEGER, j INTEGER, f REAL, g REAL, s TEXT, 年龄 TEXT, b INTEGER)")
    base.executemany("INSERT INTO t VALUES (?,?,?,?,?,?,?)", ROWS)
    return base


def ours(text: str) -> list[Any]:
    expression = parse(text)
    assert expression.check(FRAME.columns) == ()
    assert expression.check_types(FRAME.schema) == ()
    return [int(v) if isinstance(v, bool) else v for v in FRAME.with_columns(expression.polars().alias("r"))["r"]]


def theirs(base: sqlite3.Connection, text: str) -> list[Any]:
    return [row[0] for row in base.execute(f"SELECT {text} FROM t ORDER BY rowid")]


# Each strategy yields our text and SQLite's; they differ only where its dialect does.
Pair = tuple[str, str]
Pairs = st.SearchStrategy[Pair]


def same(*texts: str) -> Pairs:
    return st.sampled_from([(text, text) for text in texts])


def filled(template: str, *parts: Pairs, sqlite: str = "") -> Pairs:
    """The template with our texts, and the same (or `sqlite`) with theirs."""

    def fill(chosen: tuple[Pair, ...]) -> Pair:
        return template.format(*(c[0] for c in chosen)), (sqlite or template).format(*(c[1] for c in chosen))

    return st.tuples(*parts).map(fill)


def any_of(templates: list[str], *parts: Pairs) -> Pairs:
    return st.sampled_from(templates).flatmap(lambda template: filled(template, *parts))


def binary(of: Pairs, *ops: str) -> Pairs:
    return any_of([f"({{0}} {op} {{1}})" for op in ops], of, of)


COMPARISONS = ("=", "!=", "<>", "<", "<=", ">", ">=")
WHOLE_LEAF = same("i", "j", "3", "-7", "0", "null")
WHOLE = st.recursive(
    WHOLE_LEAF | same("length(s)", "length(年龄)", "length('é疼')"),
    lambda of: binary(of, "+", "-", "*", "%") | any_of(["(- {0})", "abs({0})"], of),
    max_leaves=5,
)
NUMBER = st.recursive(
    WHOLE | same("f", "g", "0.5", "1e2"),
    lambda of: st.one_of(
        binary(of, "+", "-", "*"),
        filled("coalesce({0}, {1})", of, of),
        filled("({0} / {1})", of, of, sqlite="(CAST({0} AS REAL) / {1})"),
    ),
    max_leaves=4,
)
TEXT = st.recursive(
    same("s", "年龄", "'a'", "''", "'it''s'", "' x '", "null"),
    lambda of: binary(of, "||") | any_of(["trim({0})", "coalesce({0}, 'n')"], of),
    max_leaves=4,
)
CONDITION = st.recursive(
    st.one_of(
        same("b", "true", "false", "null"),
        binary(NUMBER, *COMPARISONS),
        binary(TEXT, *COMPARISONS),
        any_of(["({0} IN ({1}, {2}))", "({0} NOT IN ({1}, {2}, {2}))"], WHOLE, WHOLE_LEAF, WHOLE),
        any_of(["({0} IN ('a', ''))", "({0} NOT IN ('a', 'ab'))", "({0} IN ('a', null))", "({0} IN ('a', s))"], TEXT),
        any_of(
            [f"({{0}} {n}LIKE '{p}')" for n in ("", "NOT ") for p in ("a%", "%", "_", "%b", "a_b", "", "疼_")], TEXT
        ),
        any_of(["({0} BETWEEN {1} AND {2})", "({0} NOT BETWEEN {1} AND {2})"], WHOLE, WHOLE, WHOLE),
        any_of(["({0} IS NULL)", "({0} IS NOT NULL)"], NUMBER | TEXT),
    ),
    lambda of: binary(of, "AND", "OR") | filled("(NOT {0})", of),
    max_leaves=6,
)
CHOICE = filled("if({0}, {1}, {2})", CONDITION, WHOLE, WHOLE, sqlite="iif({0}, {1}, {2})")
ANY = st.one_of(NUMBER, TEXT, CONDITION, CHOICE)


@given(ANY)
def test_answers_are_those_of_sqlite(sqlite: sqlite3.Connection, pair: Pair) -> None:
    assert ours(pair[0]) == theirs(sqlite, pair[1])


@given(ANY)
def test_the_canonical_text_means_the_same_and_is_its_own(pair: Pair) -> None:
    canonical = parse(pair[0]).canonical()
    assert parse(canonical).canonical() == canonical
    assert ours(canonical) == ours(pair[0])
    assert len(canonical) <= len(pair[0]) + pair[0].count("(") * 2  # brackets are dropped, not added


@pytest.mark.parametrize("seed", range(40))
def test_precedence_without_brackets_is_that_of_sqlite(sqlite: sqlite3.Connection, seed: int) -> None:
    draw = random.Random(seed)
    signs = [draw.choices("+-*%", k=2) for _ in range(10)]
    sums = [f"{draw.choice('ij')} {a} {draw.choice('ij')} {b} {draw.choice(['-2', '3'])}" for a, b in signs]
    text = f"{sums[0]} < {sums[1]}"
    for left, right in zip(sums[2::2], sums[3::2], strict=True):
        text += f"{draw.choice([' and ', ' OR ', ' And not ', ' or NOT '])}{left} {draw.choice('<>=')} {right}"
    text += draw.choice(["", " and i is not null", " or s like 'a%' and i in (1)", " and j not between 1 and 2 or b"])
    assert ours(text) == theirs(sqlite, text)


def value(text: str, **columns: Any) -> Any:
    frame = pl.DataFrame({name: [v] for name, v in columns.items()} or {"one": [1]})
    assert parse(text).check_types(frame.schema) == ()
    return frame.with_columns(parse(text).polars().alias("r"))["r"].item()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("7 / 2", 3.5),
        ("1 / 0", None),
        ("0.0 / 0", None),
        ("5 % 0", None),
        ("-7 % 3", -1),
        ("7 % -3", 1),
        ("-7.5 % 2", -1.5),
        ("2 + 3 * 4", 14),
        ("(2 + 3) * 4", 20),
        ("2 - 3 - 4", -5),
        ("- -3", 3),
        ("8 / 4 / 2", 1.0),
        ("'a' || 1 + 2", "a3"),
        ("'n' || null", None),
        ("'' || true", "true"),
        ("round(2.5)", 3.0),
        ("round(-0.125, 2)", -0.13),
        ("round(7, 1)", 7),
        ("length('疼痛')", 2),
        ("length('a') - 5", -4),
        ("LOWER('ÀB')", "àb"),
        ("if(null, 1, 2)", 2),
        ("coalesce(null, 3)", 3),
        ("not null", None),
        ("false and null", False),
        ("true or null", True),
        ("null = null", None),
        ("1 in (2, null)", None),
        ("1 in (1, null)", True),
        ("5 between 6 and null", False),
        ("5 between null and 4", False),
        ("5 between 1 and null", None),
        ("1 in (0.5, 1.0)", True),
        ("'a%' like 'a!%' escape '!'", True),
        ("'ab' like 'a!%' escape '!'", False),
        ("'a.b' like 'a_b'", True),
        ("'axb' like 'a.b'", False),
        ("'A' like 'a'", False),
        ("'a\nb' like 'a%b'", True),
        ("'[x]' like '[x]'", True),
        ("'tr.ue' like '%r.u%'", True),
        ("9223372036854775807", 2**63 - 1),
        ("-9223372036854775808", -(2**63)),
        ("9223372036854775807 + 1", None),
        ("4294967296 * 4294967296 * 4294967296 * 4294967296", None),
        ("- -9223372036854775808", None),
        ("1e3", 1000.0),
        (".5 + 1.", 1.5),
        ("date('2024-03-01') > date('2024-02-29')", True),
        ("timestamp('2024-03-01 10:30') = timestamp('2024-03-01T10:30:00')", True),
        ("date('2024-03-01') < timestamp('2024-03-01 00:00:01')", True),
    ],
)
def test_values_known_beforehand(text: str, expected: object) -> None:
    assert value(text) == expected
    assert value(parse(text).canonical()) == expected


def test_small_integers_are_computed_with_64_bits() -> None:
    frame = pl.DataFrame({"u": pl.Series([3, 200], dtype=pl.UInt8), "n": pl.Series([None, None], dtype=pl.Null)})
    made = frame.select(
        parse("u - 5").polars().alias("less"),
        parse("u * u").polars().alias("square"),
        parse("u + n").polars().alias("null"),
        parse("abs(n)").polars().alias("abs"),
        parse("upper(n)").polars().alias("upper"),
        parse("round(n) = u and n").polars().alias("all"),
    )
    assert made["less"].to_list() == [-2, 195]
    assert made["square"].to_list() == [9, 40_000]
    assert made.schema["less"] == made.schema["null"] == pl.Int64
    assert all(made[name].to_list() == [None, None] for name in ("null", "abs", "upper", "all"))


def test_integers_beside_a_float_are_floats_and_overflow_no_more() -> None:
    made = pl.DataFrame(
        {"n": [2**63 - 1, -3], "u": pl.Series([2**128 - 1, 4], dtype=pl.UInt128), "x": [0.5, -0.0]}
    ).select(parse("n * x").polars().alias("n"), parse("u * x").polars().alias("u"), parse("n + n").polars().alias("i"))
    assert made["n"].to_list() == [float(2**63 - 1) * 0.5, 0.0]
    assert made["u"].to_list() == [float(2**128 - 1) * 0.5, -0.0]
    assert made["i"].to_list() == [None, -6]


def test_moments_categories_and_wide_ids() -> None:
    assert value("d >= date('2024-01-01')", d=dt.date(2024, 1, 1)) is True
    assert value("year = 2024", year=2024) is True
    frame = pl.DataFrame(
        {"c": pl.Series(["x"], dtype=pl.Categorical), "_id": pl.Series([2**127 + 1], dtype=pl.UInt128)}
    )
    text = f"c = 'x' and c like '_' and _id = {2**127 + 1} and _id != {2**127}"
    assert frame.filter(parse(text).polars()).height == 1


def test_columns_are_named_plainly_or_in_quotes() -> None:
    expression = parse('"blood ""pressure""" > 年龄 and "and" = x_1 or 年龄 < 3 or "AND" is null')
    assert expression.columns == ('blood "pressure"', "年龄", "and", "x_1", "AND")
    assert expression.canonical().startswith('"blood ""pressure""" > 年龄 AND "and" = x_1')
    assert parse(' "plain" = 1 ').canonical() == "plain = 1"
    assert value('"select * from" = 1', **{"select * from": 1}) is True


MISTAKES = [
    ("", "ends where a value is missing", 0),
    ("age >", "ends where a value is missing", 5),
    ("年龄 > > 3", "> cannot stand here", 5),
    ("age = 'x", "quote ' is never closed", 6),
    ('"age', 'quote " is never closed', 0),
    ("a b", "b cannot stand here. Put an operator", 2),
    ("a = b = c", "cannot be chained", 6),
    ("1 < a <= 3", "cannot be chained", 6),
    ("（a = 1)", "Write ( instead", 0),
    ("a = ‘x’", "Write ' instead", 4),
    ("a; drop table t", "';' is not a sign", 1),
    ("lenght(a)", "Did you mean 'length'?", 0),
    ("1 + count(a)", "count is about many rows", 4),
    ("a in ()", "The list of IN is empty", 6),
    ("a in 3", "( is missing after IN", 5),
    ("a in (1, 2", ") is missing after the list of IN", 10),
    ("a is 3", "NULL is missing after IS", 5),
    ("a like b", "LIKE needs a text in single quotes", 7),
    ("a like 'x' escape ''", "exactly one character", 18),
    ("a between 1 or 2", "AND is missing", 12),
    ("a not 3", "NOT cannot stand here", 2),
    ("(a = 1", ") is missing", 6),
    ("a = 1)", "closes nothing", 5),
    ("12abc", "A number runs into a name", 2),
    ('""', "A column without a name", 0),
    ("if(a, 1)", "if takes 3 values, got 2", 0),
    ("round(a, 1.5)", "from 0 to 15", 9),
    ("date('2024-02-30')", "ISO 8601", 5),
    ("timestamp('2024-01-01T00:00:00+01:00')", "without a time zone", 10),
    ("1e999", "too large", 0),
    (f"a = {2**128}", "128 bits at most", 4),
    ("1 + 'a'", "'a' is text, and + needs numbers. Texts are joined by ||", 4),
    ("a and 5", "5 is a number, and AND needs conditions", 6),
    ("-'a'", "'a' is text, and - needs numbers", 1),
    ("lower(3)", "lower needs text", 6),
    ("1 = 'x'", "= needs two of a kind", 2),
    ("a in (1, 'x') or 'y' in (1)", "IN needs two of a kind", 21),
    ("if(a, 1, 'x')", "Write '1' for the text", 0),
    ("(" * (MAX_DEPTH + 1) + "a" + ")" * (MAX_DEPTH + 1), "nested more than 100 deep", None),
    ("-" * 150 + "a", "nested more than 100 deep", None),
    ("a" + " + 1" * 150, "nested more than 100 deep", None),
    ("a % (" * 20 + "b" + ") % c" * 20, "becomes too large", None),
    ("x" * (MAX_LENGTH + 1), "too long; the limit is 10,000", None),
]


@pytest.mark.parametrize(("text", "message", "at"), MISTAKES, ids=[m[0][:20] or "empty" for m in MISTAKES])
def test_mistakes_are_named_and_pointed_at(text: str, message: str, at: int | None) -> None:
    with pytest.raises(ConfigurationError, match=re.escape(message)) as caught:
        parse(text)
    if at is not None:
        line, caret = str(caught.value).split("\n")[-2:]
        assert line.strip() == text
        wide = sum(1 for c in text[:at] if ord(c) > 0x2E80)
        assert caret == " " * (2 + at + wide) + "^"


def test_the_caret_stands_in_the_right_line_of_a_long_text() -> None:
    with pytest.raises(ConfigurationError) as caught:
        parse("a > 1\n  and b > ?\n  and c")
    assert str(caught.value).split("\n")[1:] == ["    and b > ?", "            ^"]
    with pytest.raises(ConfigurationError) as caught:
        parse("a = 1 or " * 20 + "? or " + "b or " * 20)
    shown, caret = str(caught.value).split("\n")[1:]
    assert len(shown) < 120
    assert shown[caret.index("^")] == "?"


PIECES = [*"()+-*/%=<>,'\"", " not ", " in ", "a", "1", " is ", " null ", " like ", "if(", "'x'"]


@given(st.text(max_size=60) | st.lists(st.sampled_from(PIECES)).map("".join))
def test_any_text_is_read_or_refused_with_a_message(text: str) -> None:
    try:
        expression = parse(text)
    except ConfigurationError:
        return
    assert isinstance(expression.polars(), pl.Expr)
    assert parse(expression.canonical()).canonical() == expression.canonical()


def test_missing_columns_are_listed_with_the_nearest_name() -> None:
    messages = parse('agee > 3 and agee < 9 and "Bob" = name').check(["age", "name"])
    assert len(messages) == 2
    assert "No column is called 'agee'. Did you mean 'age'?" in messages[0]
    assert "A text is written in single quotes: 'Bob'" in messages[1]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("s > 5", "Column 's' is text and 5 is a number; > needs two of a kind. Write '5' for the text."),
        ("'5' < i", "'5' is text and column 'i' is a number; < needs two of a kind. Write 5 for the number."),
        ("i = 'x'", "= needs two of a kind."),
        ("d > '2024-01-01'", "Write date('2024-01-01') for the date."),
        ("date('2024-01-01') < s", "A step before, `parse_dates`, makes dates and times of texts."),
        ("b = 1", "Write true or false."),
        ("i in ('a', 'b')", "IN needs two of a kind"),
        ("i between 1 and 's'", "BETWEEN needs two of a kind"),
        ("s + 1", "Texts are joined by ||"),
        ("i like 'a'", "Column 'i' is a number, and LIKE needs text."),
        ("not s", "NOT needs conditions"),
        ("coalesce(i, s)", "coalesce needs two of a kind"),
        ("z > timestamp('2024-01-01')", "> needs two of a kind"),
        ("l || 'x'", "which || cannot join"),
        ("l = 3", "of type List(Int64)"),
    ],
)
def test_types_that_do_not_go_together_are_reported_before_the_run(text: str, message: str) -> None:
    schema = {"s": pl.String(), "i": pl.Int32(), "d": pl.Date(), "b": pl.Boolean(), "l": pl.List(pl.Int64)}
    found = parse(text).check_types({**schema, "z": pl.Datetime("us", "Asia/Shanghai")})
    assert len(found) >= 1
    assert message in found[0]
    assert found[0].endswith("^")
    assert parse(text).check_types({name: pl.Null() for name in schema}) == ()


def test_a_filter_wants_a_condition() -> None:
    assert parse("i + 1").check_types({"i": pl.Int64}, condition=True)[0].startswith("A condition is needed")
    assert parse("i").check_types({}, condition=True) == ()
    assert parse("i > 1 or null").check_types({"i": pl.Int64}, condition=True) == ()


def test_as_a_field_of_a_model() -> None:
    class Step(BaseModel):
        where: ConditionText
        value: ExpressionText = "1"

    assert Step(where=" age > 3\n", value="age * 2").where == "age > 3"
    with pytest.raises(ValidationError, match="ends where a value is missing"):
        Step(where="age >")
    with pytest.raises(ValidationError, match="A condition is needed"):
        Step(where="age + 1")
    with pytest.raises(ValidationError, match="valid string"):
        Step(where=True)


def test_thousands_of_terms_stay_shallow() -> None:
    frame = pl.DataFrame({"a": [5, 950]})
    for text in (" or ".join(f"a={k}" for k in range(900)), f"a in ({','.join(map(str, range(900)))})"):
        assert frame.filter(parse(text).polars())["a"].to_list() == [5]
    joined = frame.with_columns(parse("||".join(["a"] * 900)).polars().alias("t"))["t"]
    assert joined.str.len_chars().to_list() == [900, 2700]


def test_expressions_are_values() -> None:
    assert parse(" a > 1 ") == Expression("a > 1", parse("a > 1")._root)
    assert len({parse("a"), parse(" a"), parse("b")}) == 2
    with pytest.raises(AttributeError):
        parse("a").text = "b"  # type: ignore[misc]


def test_a_quotient_does_not_depend_on_its_chunk() -> None:
    """Each is the correctly rounded one, in a column of a thousand rows as in one of a single row."""
    values = [float(n) for n in range(1, 3001)]
    for text in ("n / 7", "n / 0.1", "(n + 1) / 3", "1 / n"):
        expression = parse(text).polars()
        whole = pl.DataFrame({"n": values}).select(x=expression)["x"].to_list()
        alone = [pl.DataFrame({"n": [n]}).select(x=expression)["x"].item() for n in values[::100]]
        assert whole[::100] == alone
        assert whole == [eval_python(text, n) for n in values]
    assert pl.DataFrame({"n": values[:3]}).with_columns(x=parse("1 / 3").polars())["x"].to_list() == [1 / 3] * 3
    assert pl.DataFrame({"n": values[:2]}).with_columns(x=parse("n / 0").polars())["x"].to_list() == [None, None]


def eval_python(text: str, n: float) -> float:
    """The four expressions in Python's own arithmetic, which rounds correctly."""
    return {"n / 7": n / 7, "n / 0.1": n / 0.1, "(n + 1) / 3": (n + 1) / 3, "1 / n": 1 / n}[text]
