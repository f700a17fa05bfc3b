"""What is replaced and what is left, in hand-made rows; doing it twice changes nothing."""

from __future__ import annotations

import re
from pathlib import Path

import polars as pl
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from tests.privacy.test_recognise import TEXT

from tillage.core.errors import ConfigurationError, Denied
from tillage.face.rooms import project
from tillage.flow.laws import check_step
from tillage.privacy import FindPii, PiiReport, Recogniser, Redact
from tillage.privacy.pseudonyms import letters

KEY = bytes(range(32))


def texts(*values: str | None) -> pl.DataFrame:
    ids = pl.int_range(len(values), dtype=pl.UInt64, eager=True).cast(pl.UInt128)
    return pl.DataFrame({"_id": ids, "t": pl.Series(values, dtype=pl.String)})


def redacted(step: Redact, *values: str | None) -> list[str | None]:
    return step.apply(texts(*values))["t"].to_list()


def test_spans_of_the_text_that_came_are_replaced_and_nothing_else() -> None:
    said = redacted(Redact(), "ﬁne：ＬＩ＠example.cn，電話 138\u200b12345678 ½", None, "", "nothing", "a@b.cn,c@d.cn")
    assert said == ["ﬁne：[EMAIL]，電話 [PHONE] ½", None, "", "nothing", "[EMAIL],[EMAIL]"]


def test_only_the_types_and_columns_named() -> None:
    rows = texts("a@b.cn 13812345678").with_columns(u=pl.col("t"), n=pl.lit(13812345678))
    out = Redact(columns=("u",), types=("phone",)).apply(rows)
    assert out.select("t", "u", "n").row(0) == ("a@b.cn 13812345678", "a@b.cn [PHONE]", 13812345678)
    with pytest.raises(ConfigurationError, match=r"Column 'n' holds Int64, .*Put `cast` before"):
        Redact(columns=("n",)).apply(rows)
    with pytest.raises(ConfigurationError, match="No column is called 'tt'"):
        Redact(columns=("tt",)).apply(rows)


def test_words_and_whole_cells() -> None:
    step = Redact(words={"name": ("张三", "Ann Lee")}, cells={"who": "person"})
    rows = texts("张三丰 met Ann Lee", "", None).with_columns(who=pl.Series(["Bob", "", None]))
    assert step.apply(rows)["t"].to_list() == ["[NAME]丰 met [NAME]", "", None]
    assert step.apply(rows)["who"].to_list() == ["[PERSON]", "", None]


def test_tokens_are_keyed_and_see_through_spelling() -> None:
    step = Redact(replacement="<{type}:{token}>").with_key(KEY)
    a, b, c = (
        re.findall(":([a-p]{16})>", str(t)) for t in redacted(step, "138 1234 5678", "13812345678", "13812345679")
    )
    assert a == b != c
    assert a == [letters(KEY, "phone", "13812345678")]
    assert redacted(step.with_key(bytes(32)), "13812345678") != redacted(step, "13812345678")
    with pytest.raises(Denied, match="needs the project's key"):
        redacted(Redact(replacement="<{token}>"), "13812345678")
    assert redacted(Redact(replacement="<{token}>"), "nothing") == ["nothing"]


@pytest.mark.parametrize(
    "bad", ["x", "PII", "a@b.cn", "[1]", "[www]", "{name}", "{type}", "[{type!r}]", "{", "-", "--", "[{type:>9}]"]
)
def test_a_replacement_that_could_be_taken_for_data_or_text_is_refused(bad: str) -> None:
    with pytest.raises(ValidationError):
        Redact(replacement=bad)


STEPS = (
    Redact(),
    Redact(replacement=""),
    Redact(replacement="***"),
    Redact(replacement="<{type} {token}>").with_key(KEY),
    Redact(words={"thing": ("THING", "card", "电话", "[")}, replacement="[{type}]"),
)


@settings(max_examples=60, deadline=None)
@given(TEXT, st.sampled_from(STEPS))
@example("[PHONE] 12 345 678", STEPS[0])
@example("call 12 345 678 13812345678", STEPS[0])
@example("138a@b.cn12345678", STEPS[1])
@example("THING [THING] card", STEPS[4])
def test_twice_is_once_and_nothing_is_left(text: str, step: Redact) -> None:
    (once,) = redacted(step, text)
    assert redacted(step, once) == [once]
    if not step.replacement:
        assert Recogniser().find(once or "") == ()


def test_what_comes_together_by_a_replacement_is_found_too() -> None:
    assert redacted(Redact(words={"mark": ("##",)}, replacement=""), "是1381234##5678。") == ["是。"]


def test_laws_on_rows_full_of_it() -> None:
    rows = texts(
        "13812345678 a@b.cn", "call 12 345 678", "[PHONE]", None, "", "１３８１２３４５６７８", "11010519491231002X"
    )
    for step in (*STEPS, FindPii(leave=True), PiiReport(), FindPii(words={"x": ("a",)})):
        assert [str(b) for b in check_step(step, rows)] == []


def test_find_pii_tells_types_and_may_turn_rows_away() -> None:
    rows = texts("a@b.cn 13812345678", "fine", None).with_columns(n=pl.Series([1, 13812345678, None]))
    assert FindPii().apply(rows)["pii"].to_list() == ["email, phone", "phone", None]
    assert FindPii(column="x", columns=("t",)).apply(rows)["x"].to_list() == ["email, phone", None, None]
    assert FindPii(leave=True).apply(rows)["_reason"].to_list() == ["pii", "pii", None]


def test_the_report_counts_rows_and_findings_and_holds_no_value() -> None:
    step = PiiReport(cells={"who": "person"})
    rows = texts("a@b.cn, c@d.cn 13812345678", "e@f.cn", None, "fine").with_columns(who=pl.Series(["A", None, "", "B"]))
    state = step.merge(step.update(step.start(), rows[:1]), step.update(step.start(), rows[1:]))
    assert step.finish(state) == {
        "rows": 4,
        "columns": {
            "t": {
                "email": {"rows": 2, "found": 3, "share": 0.5},
                "phone": {"rows": 1, "found": 1, "share": 0.25},
            },
            "who": {"person": {"rows": 2, "found": 2, "share": 0.5}},
        },
    }
    assert "@" not in str(state)


def test_numbers_that_look_like_personal_data_are_told_and_others_are_not() -> None:
    phones = [13812345678, None, 13912345678]
    rows = pl.DataFrame({"_id": [1, 2, 3], "phone": phones, "id": [1, 2, 3], "x": [0.5, None, 7.0], "note": ["a"] * 3})
    for frame in (rows, rows.with_columns(pl.col("phone").cast(pl.Float64))):
        (said,) = Redact().remarks(frame)
        assert said.startswith("Column 'phone' holds numbers that look like personal data (phone)")
        assert "13812345678" not in said
    assert Redact().remarks(rows.drop("phone")) == Redact().remarks(rows.clear()) == ()
    assert Redact(types=("email",)).remarks(rows) == ()
    assert (Redact().may_remark(), Redact(columns=("note",)).may_remark()) == (True, False)


def test_a_run_tells_of_numbers_that_redact_leaves(tmp_path: Path) -> None:
    (tmp_path / "tillage.yaml").write_text(
        "project: p\ntables:\n  raw: {collect: {files: a.csv}, key: id}\n"
        "  safe: {from: raw, steps: [{rename: {columns: {tel: phone}}}, redact, {drop: [x]}]}\n"
    )
    (tmp_path / "a.csv").write_text("id,tel,x,note\n1,13812345678,0.5,a\n2,13912345678,,b\n")
    with project(tmp_path) as opened:
        (said,) = opened.run().notes
        assert said.startswith("safe: Column 'phone' holds numbers that look like personal data (phone)")
        assert opened.run().notes == []
    plan = (tmp_path / "tillage.yaml").read_text()
    for step in ("{drop: [phone]}", "{pseudonymize: {columns: [phone]}}"):
        (tmp_path / "tillage.yaml").write_text(plan.replace("{drop: [x]}", step))
        with project(tmp_path) as opened:
            assert opened.run().notes == []
    (tmp_path / "tillage.yaml").write_text(plan)
    (tmp_path / "a.csv").write_text("id,tel,x,note\n1,,0.5,a\n")
    with project(tmp_path) as opened:
        assert [note for note in opened.run().notes if note.startswith("safe:")] == []
