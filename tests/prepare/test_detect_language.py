"""DetectLanguage on real sentences; the letters against a slow count by name; the model only where it is installed."""

from __future__ import annotations

import importlib.util
import unicodedata

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from tillage.core import ConfigurationError
from tillage.core.errors import Unavailable
from tillage.flow.laws import check_step
from tillage.prepare import DetectLanguage
from tillage.text import language as told
from tillage.text.language import LANGUAGES, SCRIPTS, detect, needs_model

model = pytest.mark.skipif(importlib.util.find_spec("py3langid") is None, reason="tillage[language] is not installed")

SENTENCES = {
    "en": [
        "Good morning", "I have a fever", "The card did not arrive.", "Where is my order?", "Please help me",
        "My payment was declined", "What is the weather like?", "This is fine.", "She sells sea shells by the shore",
        "We met 北京 friends at the airport yesterday", "THANK YOU VERY MUCH",
    ],
    "zh": [
        "你好", "谢谢", "我发烧了", "天气怎么样?", "卡还没到", "轉帳失敗了", "這是繁體字", "iPhone很好用", "价格 99 元",
        "早上好", "Sky Digital是什么时候推出的？", "我在 IBM 工作了三年", "是",
    ],
    "ja": ["今日はいい天気ですね", "東京に行きました", "コーヒー", "日本銀行の総裁"],
    "ko": ["안녕하세요", "한국에 갑니다", "삼성 Galaxy 휴대폰"],
    "th": ["สวัสดีครับ"],
    "el": ["Καλημέρα σας"],
    "he": ["שלום עולם"],
    "und": ["", " ", "123", "12:30", "!!!", "😀", "×÷"],
}  # fmt: skip
EUROPEAN = {
    "de": ["Guten Morgen, wie geht es Ihnen?", "Ich habe meine Karte verloren"],
    "fr": ["Où est la gare, s'il vous plaît ?", "Je voudrais une carte"],
    "es": ["¿Dónde está la biblioteca?", "No puedo entrar en mi cuenta"],
    "ru": ["Привет, как дела?", "Где моя карта?"],
    "uk": ["Де моя картка? Я її чекаю", "Дякую, що допомогли мені"],
}
BY_SCRIPT = ("en", "zh", "ja", "ko", "th", "el", "he")


@pytest.mark.parametrize("language", SENTENCES)
def test_scripts_tell_without_a_model(language: str) -> None:
    rows = pl.DataFrame({"text": SENTENCES[language]})
    out = DetectLanguage(column="text", languages=BY_SCRIPT).apply(rows)
    assert out["language"].to_list() == [language] * rows.height


@model
@pytest.mark.parametrize("language", [*SENTENCES, *EUROPEAN])
def test_all_languages_together(language: str) -> None:
    rows = pl.DataFrame({"text": {**SENTENCES, **EUROPEAN}[language]})
    out = DetectLanguage(column="text").apply(rows)
    assert out["language"].to_list() == [language] * rows.height


@model
def test_the_laws_hold_with_the_model() -> None:
    every = [text for texts in [*SENTENCES.values(), *EUROPEAN.values()] for text in texts]
    frame = pl.DataFrame({"_id": pl.Series(range(len(every)), dtype=pl.UInt128), "text": every})
    assert check_step(DetectLanguage(column="text", confidence="sure"), frame) == ()


@model
def test_nothing_known_is_undetermined() -> None:
    out = detect(pl.Series(["xq", "ok"]), ("en", "de"))
    assert out.rows() == [("und", 0.0), ("und", 0.0)]


def test_a_missing_library_is_named_with_its_install_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    step = DetectLanguage(column="text")
    with pytest.raises(Unavailable, match=r"py3langid, which is not installed. Run: pip install 'tillage\[language\]'"):
        step.apply(pl.DataFrame({"text": ["你好"]}))  # known before any text is, whatever it says
    assert needs_model(step.languages)


NAMES = {
    "Han": ("CJK UNIFIED", "CJK COMPAT"), "Kana": ("HIRAGANA LETTER", "KATAKANA LETTER", "HALFWIDTH KATAKANA LETTER"),
    "Hangul": ("HANGUL",), "Latin": ("LATIN", "FULLWIDTH LATIN"), "Cyrillic": ("CYRILLIC",),
    "Arabic": ("ARABIC LETTER",), "Devanagari": ("DEVANAGARI LETTER",), "Greek": ("GREEK",),
    "Hebrew": ("HEBREW LETTER",), "Thai": ("THAI CHARACTER",),
}  # fmt: skip


def slow_script(sign: str) -> str | None:
    name = unicodedata.name(sign, "")
    found = [script for script, starts in NAMES.items() if name.startswith(starts)]
    return found[0] if found and sign.isalpha() else None


letters = st.sampled_from(list("aZéßřđ１a1 ，发烧頭のアーかハㄱ한각жЯіعپकनαΩשת๑กท×÷😀ſｱ"))


@settings(max_examples=300, deadline=None)
@given(st.lists(st.none() | st.text(letters, max_size=12), max_size=5))
def test_letters_are_those_of_a_slow_count(values: list[str | None]) -> None:
    got = told._letters(pl.Series(values, dtype=pl.String)).tolist()
    for value, counts in zip(values, got, strict=True):
        expected = [sum(slow_script(sign) == script for sign in value or "" if sign != "ー") for script in SCRIPTS]
        assert counts == expected


def test_confidence_is_the_share_of_letters() -> None:
    rows = pl.DataFrame({"text": ["abc", "abc发", "发烧abc", None, "1"]})
    step = DetectLanguage(column="text", languages=("en", "zh"), language="lang", confidence="sure")
    out = step.apply(rows)
    assert out.columns == ["text", "lang", "sure"]
    assert out["lang"].to_list() == ["en", "zh", "zh", None, "und"]
    assert out["sure"].to_list() == [1.0, 0.5, 0.667, None, 0.0]
    sure = step.model_copy(update={"min_confidence": 0.6}).apply(rows)
    assert sure["lang"].to_list() == ["en", "und", "zh", None, "und"]


def test_only_the_beginning_is_looked_at() -> None:
    rows = pl.DataFrame({"text": ["hello " + "发烧" * 50]})
    assert DetectLanguage(column="text", languages=("en", "zh"), most=6).apply(rows)["language"].to_list() == ["en"]
    assert DetectLanguage(column="text", languages=("en", "zh")).apply(rows)["language"].to_list() == ["zh"]


def test_a_script_of_none_of_the_languages() -> None:
    assert detect(pl.Series(["Привет", "hello"]), ("zh", "en"))["language"].to_list() == ["und", "en"]


def test_hostile_frames(rows: pl.DataFrame, empty: pl.DataFrame, nothing: pl.DataFrame) -> None:
    step = DetectLanguage.example()
    assert step.apply(empty).schema == step.apply(rows).schema
    assert step.apply(nothing)["language"].null_count() == nothing.height
    assert step.needs() == ("text",)
    with pytest.raises(ConfigurationError, match=r"'txt'. Did you mean 'text'"):
        DetectLanguage(column="txt").apply(rows)
    with pytest.raises(ConfigurationError, match="Column 'n' holds Int64, and this step needs text"):
        DetectLanguage(column="n", languages=("en",)).apply(rows)
    with pytest.raises(ValidationError, match=r"No language is called 'eng'\. Did you mean 'en'"):
        DetectLanguage(column="text", languages=("eng",))
    with pytest.raises(ValidationError):
        DetectLanguage(column="text", languages=())


def test_every_language_has_a_script() -> None:
    assert set(LANGUAGES.values()) | {"Han"} == set(SCRIPTS)
