"""Mondrian by brute force: every class counted by hand, the cuts those of a slow twin, boxes that do not overlap."""

from __future__ import annotations

import datetime as dt
import random
import re
from collections import Counter, defaultdict
from itertools import combinations
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from tests.laws.frames import reference
from tests.privacy.test_anonymize import COLUMNS, classes, far, frame, people

from tillage.core import ConfigurationError
from tillage.flow.laws import check_step
from tillage.privacy import AnonymityReport, Anonymize, Hierarchy


def mondrian(**more: Any) -> Anonymize:
    return Anonymize(**{"columns": COLUMNS, "k": 2, "method": "mondrian", **more})


def bad(ills: list[Any], every: list[Any], k: int, diverse: int, t: float) -> bool:
    return len(ills) < k or len(set(ills) - {None}) < diverse or far(ills, every) > t + 1e-9


@settings(max_examples=150, deadline=None)
@given(
    rows=people,
    k=st.integers(2, 4),
    diverse=st.integers(1, 3),
    t=st.sampled_from([1.0, 0.5, 0.2]),
)
def test_nobody_stands_out(rows: list[tuple[Any, ...]], k: int, diverse: int, t: float) -> None:
    out = mondrian(k=k, sensitive=("ill",), l=diverse, t=t).compute({"rows": frame(rows)})
    every = [row[-1] for row in rows]
    stay = out.filter(pl.col("_reason").is_null()).select("age", "zip", "job", "ill").rows()
    assert len(stay) in {0, len(rows)}
    assert (not stay) == bad(every, every, k, diverse, 1)
    for ills in classes(stay).values():
        assert not bad(ills, every, k, diverse, t)
    assert out["_id"].to_list() == list(range(len(rows)))
    assert out["ill"].to_list() == every
    for row, told in zip(rows, stay, strict=bool(stay)):
        assert covered(row, told)


def covered(row: tuple[Any, ...], told: tuple[Any, ...]) -> bool:
    """Whether the labels of a row are true of it."""
    age = [int(end) for end in re.findall(r"\d+", told[0])]
    zone = told[1] is row[1] is None or told[1] == "*" or str(row[1]).startswith(str(told[1]).rstrip("*"))
    above = {"nurse": "care", "doctor": "care", "joiner": "wood", "mason": "stone", "pilot": "other", None: None}
    jobs = {row[2], above[row[2]], "craft" if above[row[2]] in {"wood", "stone"} else None, "*"}
    return age[0] <= row[0] <= age[-1] and zone and told[2] in jobs


points = st.lists(st.tuples(st.integers(0, 20), st.integers(0, 9), st.sampled_from("abc")), max_size=40)


def table(rows: list[tuple[int, int, str]]) -> pl.DataFrame:
    schema = {"x": pl.Int64, "y": pl.Int64, "s": pl.String}
    return pl.DataFrame(rows, schema=schema, orient="row").with_columns(_id=pl.int_range(pl.len()).cast(pl.UInt128))


def twin(rows: list[Any], spans: tuple[int, ...], k: int, diverse: int) -> list[Any]:
    """LeFevre's algorithm, said slowly: the widest column first, of the good cuts the one nearest to the median."""
    wide = [(max(r[c] for r in rows) - min(r[c] for r in rows)) / (spans[c] or 1) for c in (0, 1)]
    for c in sorted((0, 1), key=lambda c: -wide[c]):
        cuts = []
        for value in sorted({r[c] for r in rows})[:-1]:
            left, right = [r for r in rows if r[c] <= value], [r for r in rows if r[c] > value]
            if all(len(part) >= k and len({r[2] for r in part}) >= diverse for part in (left, right)):
                cuts.append((abs(len(left) - len(right)), value, left, right))
        if cuts:
            _, _, left, right = min(cuts, key=lambda cut: cut[:2])
            return [*twin(left, spans, k, diverse), *twin(right, spans, k, diverse)]
    return [rows]


@settings(max_examples=150, deadline=None)
@given(rows=points, k=st.integers(2, 4), diverse=st.integers(1, 2))
def test_the_cuts_are_those_of_a_slow_twin(rows: list[tuple[int, int, str]], k: int, diverse: int) -> None:
    step = Anonymize(columns={"x": {}, "y": {}}, k=k, sensitive=("s",), l=diverse, method="mondrian")
    out = step.compute({"rows": table(rows)})
    if len(rows) < k or len({r[2] for r in rows}) < diverse:
        assert set(out["_reason"]) <= {"not_anonymous"}
        return
    spans = tuple(max(column) - min(column) for column in ([r[0] for r in rows], [r[1] for r in rows]))
    wanted: Counter[Any] = Counter()
    boxes = []
    for group in twin(rows, spans, k, diverse):
        ends = [(min(r[c] for r in group), max(r[c] for r in group)) for c in (0, 1)]
        boxes.append(ends)
        told = tuple(str(a) if a == b else f"[{a}, {b}]" for a, b in ends)
        wanted.update((*told, r[2]) for r in group)
    assert Counter(out.select("x", "y", "s").rows()) == wanted
    for one, other in combinations(boxes, 2):
        assert any(a[1] < b[0] or b[1] < a[0] for a, b in zip(one, other, strict=True)), "strict: boxes do not overlap"


def test_the_example_of_the_paper() -> None:
    """LeFevre et al. (2006), the patients: two women, and the men cut at their median age."""
    patients = [
        (25, "M", 53711),
        (25, "F", 53712),
        (26, "M", 53711),
        (27, "M", 53710),
        (27, "F", 53712),
        (28, "M", 53711),
    ]
    rows = pl.DataFrame(patients, schema=["age", "sex", "zip"], orient="row")
    step = Anonymize(columns={"sex": {}, "age": {}, "zip": {}}, k=2, method="mondrian")
    young, women, old = (
        ("[25, 26]", "M", "53711"),
        ("[25, 27]", "F", "53712"),
        ("[27, 28]", "M", "[53710, 53711]"),
    )
    out = step.compute({"rows": rows.with_columns(_id=pl.int_range(6).cast(pl.UInt128))})
    assert out.select("age", "sex", "zip").rows() == [young, women, young, old, women, old]


def test_the_rare_stay_together() -> None:
    """Values that nothing orders are cut with the frequent ones first."""
    countries = ["us"] * 20 + ["a", "b", "v", "z"] * 2
    rows = pl.DataFrame({"land": countries}).with_columns(_id=pl.int_range(28).cast(pl.UInt128))
    out = Anonymize(columns={"land": {}}, k=5, method="mondrian").compute({"rows": rows})
    assert Counter(out["land"]) == {"us": 20, "*": 8}


def test_what_is_no_number_and_what_is_a_date() -> None:
    rows = pl.DataFrame(
        {
            "x": [None, float("nan"), 1.5, 2.0, 2.5, 3.0],
            "day": [dt.date(2024, 1, d) for d in (1, 2, 3, 8, 9, 9)],
        }
    ).with_columns(_id=pl.int_range(6).cast(pl.UInt128))
    step = Anonymize(columns={"x": {}}, k=2, method="mondrian")
    told = step.compute({"rows": rows})["x"].to_list()
    assert told == ["*", "*", "[1.5, 2.0]", "[1.5, 2.0]", "[2.5, 3.0]", "[2.5, 3.0]"], "no number apart"
    told = Anonymize(columns={"x": {}}, k=3, method="mondrian").compute({"rows": rows})["x"].to_list()
    assert told == ["*"] * 3 + ["[2.0, 3.0]"] * 3
    for hierarchy in ({}, {"dates": ["month"]}):
        days = Anonymize(columns={"day": hierarchy}, k=2, method="mondrian").compute({"rows": rows})["day"].to_list()
        assert days == ["[2024-01-01, 2024-01-03]"] * 3 + ["[2024-01-08, 2024-01-09]"] * 3


def people_of(count: int) -> pl.DataFrame:
    """A table such as a census has: skewed ages, a few large and many small places, jobs that go with age."""
    drawn = random.Random(3)
    rows = []
    for _ in range(count):
        age = min(90, 17 + int(drawn.expovariate(1 / 20)))
        zone = f"{drawn.choice('111112')}{drawn.choice('1234')}{drawn.choice('123456')}"
        job = drawn.choice(["nurse", "doctor"] if age > 40 else ["joiner", "mason", "mason", "pilot"])
        rows.append((age, zone, job, drawn.choice(["flu", "cold", "gout"])))
    return frame(rows)


def test_it_loses_less_than_one_level_for_all() -> None:
    rows = people_of(1500)
    report = AnonymityReport(columns=COLUMNS, sensitive=("ill",))
    found = {}
    for method in ("full_domain", "mondrian"):
        step = Anonymize(columns=COLUMNS, k=5, sensitive=("ill",), l=2, method=method)
        out = step.compute({"rows": rows})
        stay = out.filter(pl.col("_reason").is_null())
        told = report.finish(report.update(report.start(), stay))
        assert told["k"] >= 5
        assert told["l"]["ill"] >= 2
        found[method] = (told["ncp"]["mean"], told["discernibility"], out.height - stay.height)
    ours, theirs = found["mondrian"], found["full_domain"]
    assert ours[2] == 0
    assert ours[0] < 0.6 * theirs[0]
    assert ours[1] < 0.5 * theirs[1]


def test_the_penalty_by_hand() -> None:
    """Widths over the widest, leaves over all leaves, levels of prefixes; a value costs nothing, `*` everything."""
    ages = pl.Series(["[20, 30)", "[30, 38]", "40", None, "*", "nan"])
    assert COLUMNS["age"].penalties(ages).to_list() == [0.5, 0.4, 0.0, 0.0, 1.0, 0.0]
    jobs = pl.Series(["nurse", "care", "wood", "craft", "other", "*", "pilot"])
    assert COLUMNS["job"].penalties(jobs).to_list() == [0.0, 0.5, 0.0, 0.5, 1.0, 1.0, 0.0]
    assert COLUMNS["zip"].penalties(pl.Series(["111", "11*", "1**", "*"])).to_list() == [0, 1 / 3, 2 / 3, 1]
    assert Hierarchy().penalties(pl.Series(["f", "*", None])).to_list() == [0, 1, 0]
    dates = Hierarchy(dates=("month", "quarter", "year", "decade"))
    days = pl.Series(["2024-02", "2024-Q1", "2024", "2020s", "[2024-02-01, 2024-02-29]", "2024-02-07", "other", "*"])
    whole = (dt.date(2029, 12, 31) - dt.date(2020, 1, 1)).days
    told = [round(penalty * whole, 6) for penalty in dates.penalties(days)]
    assert told == [28, 90, 365, whole, 28, 0, whole, whole]


def test_a_range_is_of_the_level_that_is_as_wide() -> None:
    told = COLUMNS["age"].levels(pl.Series(["[20, 25]", "[20, 26]", "[20, 41]", "[20, 40)", "20", "*"])).to_list()
    assert told == [1, 2, 3, 2, 0, 3]
    assert Hierarchy().levels(pl.Series(["[1, 2]", "1"])).to_list() == [1, 0]
    dates = Hierarchy(dates=("month", "year"))
    told = dates.levels(
        pl.Series(["[2024-01-05, 2024-02-03]", "[2024-01-05, 2024-07-01]", "[2020-01-05, 2024-07-01]"])
    ).to_list()
    assert told == [1, 2, 3]


@settings(max_examples=40, deadline=None)
@given(rows=people, cut=st.integers(0, 30))
def test_the_report_measures_what_was_made(rows: list[tuple[Any, ...]], cut: int) -> None:
    out = mondrian().compute({"rows": frame(rows)}).filter(pl.col("_reason").is_null())
    step = AnonymityReport(columns=COLUMNS)
    first, second = (step.update(step.start(), part) for part in (out[:cut], out[cut:]))
    told = step.finish(step.merge(second, first))
    if not out.height:
        assert told["ncp"] == {}
        return
    span = max(r[0] for r in rows) - min(r[0] for r in rows)
    ends = [[int(e) for e in re.findall(r"\d+", label)] for label in out["age"]]
    assert told["ncp"]["age"] == pytest.approx(sum(e[-1] - e[0] for e in ends) / (span or 1) / len(ends))
    sizes = Counter(out.select("age", "zip", "job").rows())
    assert told["discernibility"] == sum(n * n for n in sizes.values())
    assert told["k"] == min(sizes.values())


def test_the_laws_hold() -> None:
    columns = {**Anonymize.example().columns, "x": Hierarchy()}
    step = Anonymize(columns=columns, k=2, sensitive=("id",), l=2, t=0.9, method="mondrian")
    assert check_step(step, reference()) == ()


def test_many_columns_are_no_matter() -> None:
    """Where the ways to choose levels are too many to be searched."""
    columns = {f"c{n}": COLUMNS["age"] for n in range(12)}
    drawn = random.Random(1)
    rows = pl.DataFrame({c: [drawn.randint(0, 9) for _ in range(60)] for c in columns})
    out = Anonymize(columns=columns, k=5, method="mondrian").compute(
        {"rows": rows.with_columns(_id=pl.int_range(60).cast(pl.UInt128))}
    )
    found: dict[Any, int] = defaultdict(int)
    for row in out.select(list(columns)).rows():
        found[row] += 1
    assert min(found.values()) >= 5
    assert len(found) > 1


def test_errors_say_what_to_do() -> None:
    with pytest.raises(ValidationError, match="lets no row go"):
        mondrian(suppress=0.2)
    with pytest.raises(ValidationError, match="'method: mondrian'"):
        Anonymize(columns={f"c{n}": COLUMNS["age"] for n in range(12)})
    with pytest.raises(ConfigurationError, match="ranges need numbers"):
        Anonymize(columns={"zip": Hierarchy(ranges=(5,))}, method="mondrian").compute(
            {"rows": frame([(1, "1", None, None)])}
        )
    with pytest.raises(ConfigurationError, match="needs dates"):
        Anonymize(columns={"age": Hierarchy(dates=("year",))}, method="mondrian").compute(
            {"rows": frame([(1, "1", None, None)])}
        )


def day_by_day(first: dt.date | dt.datetime) -> pl.DataFrame:
    days = pl.Series("at", [first + dt.timedelta(days=n) for n in range(12)])
    return pl.DataFrame({"at": days}).with_columns(_id=pl.int_range(12).cast(pl.UInt128))


@pytest.mark.parametrize("zone", [None, "UTC"])
@pytest.mark.parametrize("way", [{}, {"dates": ["month", "year"]}])
@pytest.mark.parametrize("timed", [True, False])
def test_times_are_cut_as_days_are_and_their_loss_is_told(zone: str | None, way: dict[str, Any], timed: bool) -> None:
    rows = day_by_day(dt.datetime(2024, 1, 1, 5, 30, tzinfo=dt.UTC) if timed else dt.date(2024, 1, 1))
    if timed:
        rows = rows.with_columns(pl.col("at").dt.replace_time_zone(zone))
    columns = {"at": Hierarchy.model_validate(way)}
    out = Anonymize(columns=columns, k=3, method="mondrian").compute({"rows": rows})
    assert out["at"].n_unique() == 4
    step = AnonymityReport(columns=columns)
    told = step.finish(step.update(step.start(), out))
    assert told["k"] == 3
    assert told["ncp"]["at"] == pytest.approx(2 / 11)
    assert told["loss"]["at"] == pytest.approx(1 / 3 if way else 1)


def test_hours_of_a_day_are_a_loss_too() -> None:
    labels = ["[2024-01-01 06:00:00.000000, 2024-01-01 12:00:00.000000]", "2024-01-01 18:00:00.000000", "2024-01-02"]
    for hierarchy in (Hierarchy(), Hierarchy(dates=("month",))):
        assert hierarchy.penalties(pl.Series(labels)).to_list() == pytest.approx([6 / 18, 0, 0])


@pytest.mark.parametrize("values", [[b"\xff"] * 4, [dt.timedelta(1)] * 4])
@pytest.mark.parametrize("how", [{"prefix": (1,)}, {"dates": ("month",)}, {}])
@pytest.mark.parametrize("method", ["full_domain", "mondrian"])
def test_what_has_no_text_is_told(values: list[Any], how: dict[str, Any], method: str) -> None:
    rows = pl.DataFrame({"c": values}).with_columns(_id=pl.int_range(4).cast(pl.UInt128))
    step = Anonymize.model_validate({"columns": {"c": how}, "k": 2, "method": method})
    with pytest.raises(ConfigurationError, match=r"Column 'c' holds (Binary|Duration)"):
        step.compute({"rows": rows})
