"""Normalize against plain Python (unicodedata), value by value."""

from __future__ import annotations

import unicodedata
from types import SimpleNamespace

import polars as pl
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from tests.text.random_texts import twin

from tillage.core import ConfigurationError
from tillage.prepare import Normalize, normalize
from tillage.prepare.normalize import normalize_text
from tillage.prepare.rewriting import Form

INVISIBLE = {
    0xAD, 0x180E, 0xFEFF, 0x200B, 0x200E, 0x200F,
    *range(0x202A, 0x202F), *range(0x2060, 0x2065), *range(0x2066, 0x206A),
}  # fmt: skip
JOINER = "\u200c\u200d"


def plain(
    value: str | None, form: Form = "NFKC", *, full_width: bool = False, zero_width: bool = True, control: bool = True,
    spaces: bool = True, lines: bool = False, lower: bool = False,
) -> str | None:  # fmt: skip
    if value is None:
        return None
    if zero_width:
        value = "".join(c for c in value if ord(c) not in INVISIBLE)
    if control:
        value = "".join(c for c in value if unicodedata.category(c) != "Cc" or c.isspace())
    if full_width and form == "NFC":
        wide = ("\uff10-\uff19", "\uff21-\uff3a", "\uff41-\uff5a")
        value = "".join(chr(ord(c) - 0xFEE0) if any(w[0] <= c <= w[2] for w in wide) else c for c in value)
    value = unicodedata.normalize(form, value)
    if lower:
        value = unicodedata.normalize(form, value.lower())
    if zero_width:
        value = slow_joiners(value, form)
    if lines:
        pieces = (value + "|").splitlines()
        value = "\n".join(pieces)[:-1]
    if not spaces:
        return value
    if not lines:
        return " ".join(value.split())
    kept: list[str] = []
    for line in (" ".join(line.split()) for line in value.split("\n")):
        if line or (kept and kept[-1]):
            kept.append(line)
    return "\n".join(kept).rstrip("\n")


def slow_joiners(value: str, form: Form) -> str:
    """One joiner after the other, by the names of its neighbours."""
    while True:
        out = ""
        for at, sign in enumerate(value):
            if sign in JOINER:
                if at and value[at - 1] in JOINER:
                    continue
                rest = value[at:].lstrip(JOINER)
                if not spelling(sign, value[at - 1 : at] if at else "", rest[:1]):
                    continue
            out += sign
        out = unicodedata.normalize(form, out)
        if out == value:
            return out
        value = out


def spelling(sign: str, before: str, after: str) -> bool:
    picture = bool(before) and (before == "\ufe0f" or is_picture(before))
    if sign == "\u200d" and picture and is_picture(after):
        return True
    conjunct = speaks(before) and any(first <= ord(before) <= last for first, last in INDIC)
    return conjunct or (is_cursive(before) and is_cursive(after))


INDIC = (
    (0x900, 0xDFF), (0xF00, 0x109F), (0x1780, 0x17FF), (0x1A20, 0x1AAF), (0x1B00, 0x1BFF), (0xA8E0, 0xA8FF),
    (0xA980, 0xAAFF), (0x11000, 0x11FFF),
)  # fmt: skip
CURSIVE = (
    (0x600, 0x6FF), (0x700, 0x77F), (0x7C0, 0x7FF), (0x840, 0x8FF), (0x1800, 0x18AF), (0xFB50, 0xFDFF),
    (0xFE70, 0xFEFC),
)  # fmt: skip
PICTURES = (
    (0x2190, 0x21FF), (0x2300, 0x23FF), (0x25A0, 0x27BF), (0x2900, 0x297F), (0x2B00, 0x2BFF), (0x1F000, 0x1FAFF),
)  # fmt: skip


def speaks(sign: str) -> bool:
    return bool(sign) and unicodedata.category(sign)[0] in "LM"


def is_cursive(sign: str) -> bool:
    return speaks(sign) and any(first <= ord(sign) <= last for first, last in CURSIVE)


def is_picture(sign: str) -> bool:
    return bool(sign) and any(first <= ord(sign) <= last for first, last in PICTURES)


# Letters that this Python's Unicode knows: the engine's tables are newer.
known = st.characters(exclude_categories=("Cs", "Cn"))
tricky = st.sampled_from(
    list("aB 　\t\n\n\r\u00a0\u200b\u200c\u200d\u200d\ufeff\x00\x1c\x85\u2028ﬁＡ１，´e\u0301Åİ℻ßΣ각한\u1100\u1161发烧")
    + list("\u0645\u06cc\u062e\u0915\u094d\u0937\u0ba4\ufefb👩💻❤\ufe0f🄰")
)
texts = st.none() | st.text(tricky | known, max_size=12) | st.text(st.sampled_from("ab  cD"), max_size=8)
switches = st.fixed_dictionaries(
    {name: st.booleans() for name in ("full_width", "zero_width", "control", "spaces", "lines", "lower")}
)
forms = st.sampled_from(["NFC", "NFKC"])


@settings(max_examples=500, deadline=None)
@given(values=st.lists(texts, max_size=8), form=forms, given=switches)
@example(values=["a\r\n \n\n b\x0c"], form="NFC", given={"lines": True})
def test_equals_plain_python(values: list[str | None], form: Form, given: dict[str, bool]) -> None:
    series = pl.Series("t", values, dtype=pl.String)
    got = normalize_text(series, form, **given)
    assert got.to_list() == [plain(v, form, **given) for v in values]
    assert twin(normalize, lambda: normalize_text(series, form, **given)).equals(got, null_equal=True)
    assert series.to_list() == values  # the input is as it was


@settings(max_examples=300, deadline=None)
@given(values=st.lists(texts, max_size=5), form=forms, given=switches)
@example(values=["q\u0301\u200d\u093c\u200d"], form="NFC", given={})  # marks change places once a joiner is gone
def test_twice_is_once(values: list[str | None], form: Form, given: dict[str, bool]) -> None:
    once = normalize_text(pl.Series("t", values, dtype=pl.String), form, **given)
    assert normalize_text(once, form, **given).to_list() == once.to_list()


@pytest.mark.parametrize("form", ["NFC", "NFKC"])
def test_every_code_point_alone(form: Form) -> None:
    alike = [
        (0x3400, 0x4DB0),
        (0x4E10, 0x9FF0),
        (0xAC80, 0xD790),
        (0x17000, 0x18CFF),
        (0x20010, 0x2F7FF),
        (0x30000, 0x323A0),
    ]
    skipped = {c for first, last in alike for c in range(first, last)}  # Han, Hangul, Tangut: the ends of each are kept
    every = [
        chr(c) for c in range(0x110000) if c not in skipped and unicodedata.category(chr(c)) not in ("Cn", "Co", "Cs")
    ]
    assert len(every) > 30_000
    texts = pl.Series([f"x {c}{c} y\u0301" for c in every])
    for lower in (False, True):
        once = normalize_text(texts, form, lower=lower)
        assert normalize_text(once, form, lower=lower).equals(once)
    assert normalize_text(texts, form).to_list() == [plain(t, form) for t in texts]


def test_every_invisible_character_goes() -> None:
    one_each = pl.Series([f"a{chr(c)}b" for c in sorted(INVISIBLE | {0x200C, 0x200D})])
    assert normalize_text(one_each).to_list() == ["ab"] * len(one_each)
    kept = normalize_text(one_each, zero_width=False)
    assert kept.to_list() == one_each.to_list()


def test_every_control_character_goes_or_is_a_space() -> None:
    controls = [chr(c) for c in [*range(0x20), *range(0x7F, 0xA0)]]
    got = normalize_text(pl.Series([f"a{c}b" for c in controls])).to_list()
    assert got == ["a b" if c.isspace() else "ab" for c in controls]
    kept = normalize_text(pl.Series(["a\x00b"]), control=False)
    assert kept.to_list() == ["a\x00b"]


@pytest.mark.parametrize(
    "text",
    ["می‌خواهم", "क्‍ष", "ന്‍", "👩‍💻", "❤️‍🔥", "👨‍👩‍👧‍👦", "👩🏽‍🚀"],
    ids=["Persian", "Hindi", "Malayalam", "woman technologist", "heart on fire", "family", "astronaut"],
)
def test_joiners_that_are_spelling_stay(text: str) -> None:
    assert any(j in text for j in JOINER)
    assert normalize_text(pl.Series([text])).to_list() == [text]


@pytest.mark.parametrize("noise", ["a‍b", "发‌烧", "‍👩", "👩‌💻", "1‍👩", "ا‌", "؟‌ا"])
def test_joiners_that_are_noise_go(noise: str) -> None:
    bare = "".join(c for c in noise if c not in JOINER)
    assert normalize_text(pl.Series([noise])).to_list() == [bare]


def test_chinese_punctuation_stays_wide_with_nfc() -> None:
    texts = pl.Series(["ＧＤＰ为１２３．５，好！"])
    assert normalize_text(texts, "NFC", full_width=True).to_list() == ["GDP为123．5，好！"]
    assert normalize_text(texts).to_list() == ["GDP为123.5,好!"]


def test_lines_are_kept() -> None:
    texts = pl.Series(["  one  \r\n two\u2028\n\n\n three \x0b", "\n", "a b"])
    assert normalize_text(texts, lines=True).to_list() == ["one\ntwo\n\nthree", "", "a b"]
    assert normalize_text(texts).to_list() == ["one two three", "", "a b"]


def test_rows_that_need_nothing_are_not_rewritten(monkeypatch: pytest.MonkeyPatch) -> None:
    def never(*_: str) -> str:
        raise AssertionError("rewritten")

    looks = SimpleNamespace(is_normalized=unicodedata.is_normalized, normalize=never)
    monkeypatch.setattr(normalize, "unicodedata", looks)
    monkeypatch.setattr(normalize, "strip_markup", never)
    monkeypatch.setattr(normalize, "drop_joiners", never)
    texts = pl.Series(["plain", "é 发烧，好", None, "a  b"])
    assert normalize_text(texts, "NFC", html=True).to_list() == ["plain", "é 发烧，好", None, "a b"]


def test_markup_goes_before_the_rest() -> None:
    page = "<style>p {}</style><p>Fish&nbsp;&amp;\u200b <b>ch</b>ips</p><!-- no -->"
    rows = pl.DataFrame({"text": [page, None, "3 < 4 & 5", "plain"]})
    assert Normalize(html=True).apply(rows)["text"].to_list() == ["Fish & chips", None, "3 < 4 & 5", "plain"]
    assert Normalize().apply(rows)["text"][0] == page.replace("\u200b", "")


def test_lower_case_is_in_normal_form_too() -> None:
    # J with caron is two characters and j with caron is one, so lowering alone would leave two.
    assert normalize_text(pl.Series(["J\u030c", "\u1e9e"]), lower=True).to_list() == ["\u01f0", "ß"]


def test_all_text_columns_by_default(rows: pl.DataFrame) -> None:
    out = Normalize().apply(rows)
    assert out["text"].to_list() == ["a", "B b", None, "发烧,脖子僵硬", "a", ""]
    assert out.drop("text").equals(rows.drop("text"))
    assert rows["text"][1] == "Ｂ  b"


def test_only_the_columns_named() -> None:
    rows = pl.DataFrame({"a": ["Ａ"], "b": ["Ａ"]})
    assert Normalize(columns=("b",)).apply(rows).row(0) == ("Ａ", "A")


def test_hostile_frames(empty: pl.DataFrame, nothing: pl.DataFrame) -> None:
    assert Normalize().apply(empty).schema == empty.schema
    assert Normalize(columns=("text",)).apply(nothing).equals(nothing)


def test_complaints_name_every_column(rows: pl.DataFrame) -> None:
    with pytest.raises(ConfigurationError, match=r"'txt'. Did you mean 'text'\?\n.*'cty'. Did you mean 'city'"):
        Normalize(columns=("txt", "cty")).apply(rows)
    with pytest.raises(ConfigurationError, match="Column 'n' holds Int64, and this step needs text"):
        Normalize(columns=("n",)).apply(rows)
    assert Normalize(columns=("text",)).needs() == ("text",)


def test_names_that_repeat_are_rewritten_like_any_text() -> None:
    """A column of few different texts takes a shorter way, whose result is the same."""
    names = ["Ｓｈｏｐ  1", " café ", "Shop 2", None, "", "e\u0301t\u0301e", "ﬁne\u200b print"]
    column = pl.Series("t", (names * 100)[:690])
    for options in ({}, {"lower": True}, {"form": "NFC"}, {"spaces": False}, {"html": True}):
        long_way = pl.concat([normalize_text(column[at : at + 1], **options) for at in range(len(column))])
        assert normalize_text(column, **options).to_list() == long_way.to_list()
        assert normalize_text(column, **options).to_list() == long_way.to_list(), "and again, from memory"
