"""The language of a text: by its script where one language alone has that script, by letters in a row where many do.

Letters are counted by script from the code points (20 nanoseconds a character). Han is Chinese, unless kana say that it
is Japanese, so short Chinese texts are right without a model. Among languages of one script py3langid decides (Lui and
Baldwin 2012, "langid.py", ACL demonstrations; BSD, pure Python, 4.6 MB, its model is arrays and never unpickled): about
0.7 seconds to load, then 0.1 microseconds a byte of text.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from tillage.core.errors import Unavailable
from tillage.text.unicode import blocks

UNKNOWN = "und"
"""ISO 639-2 for a language that nobody could tell."""

SCRIPTS: dict[str, tuple[int, tuple[tuple[int, int], ...]]] = {
    "Han": (3, ((0x3400, 0x4DBF), (0x4E00, 0x9FFF), (0xF900, 0xFAFF), (0x20000, 0x323AF))),
    "Kana": (3, ((0x3041, 0x3096), (0x30A1, 0x30FA), (0x31F0, 0x31FF), (0xFF66, 0xFF9D))),
    "Hangul": (2, ((0x1100, 0x11FF), (0x3131, 0x318E), (0xAC00, 0xD7A3))),
    "Latin": (1, ((0x41, 0x5A), (0x61, 0x7A), (0xC0, 0x24F), (0x1E00, 0x1EFF), (0xFF21, 0xFF3A), (0xFF41, 0xFF5A))),
    "Cyrillic": (1, ((0x400, 0x52F),)),
    "Arabic": (1, ((0x620, 0x64A), (0x66E, 0x6D3), (0x6FA, 0x6FC), (0x750, 0x77F), (0xFB50, 0xFDFB), (0xFE70, 0xFEFC))),
    "Devanagari": (1, ((0x900, 0x963), (0x971, 0x97F))),
    "Greek": (1, ((0x370, 0x3FF), (0x1F00, 0x1FFF))),
    "Hebrew": (1, ((0x5D0, 0x5EA),)),
    "Thai": (1, ((0xE01, 0xE3A), (0xE40, 0xE4E))),
}
"""Script to the weight of a letter (a Han character says about as much as three letters do) and its code points."""

LANGUAGES: dict[str, str] = {
    "zh": "Han", "ja": "Kana", "ko": "Hangul", "el": "Greek", "he": "Hebrew", "th": "Thai",
    **dict.fromkeys(("ru", "uk", "bg"), "Cyrillic"),
    **dict.fromkeys(("ar", "fa", "ur"), "Arabic"),
    **dict.fromkeys(("hi", "mr", "ne"), "Devanagari"),
    **dict.fromkeys(
        ("en", "de", "fr", "es", "it", "pt", "nl", "sv", "da", "no", "fi", "pl", "cs", "hu", "ro", "tr", "vi", "id"),
        "Latin",
    ),
}  # fmt: skip
"""ISO 639-1 code of each language that can be told to the script it is looked for in."""

_KANA_SHARE = 8
"""Han and kana together are Japanese where kana are one in so many at least."""


def needs_model(languages: Sequence[str]) -> bool:
    """Whether two of the languages share a script, so that letters alone cannot tell them apart.

    >>> needs_model(("en", "zh")), needs_model(("en", "fr"))
    (False, True)
    """
    scripts = [LANGUAGES[language] for language in languages]
    return len(set(scripts)) < len(scripts)


def detect(texts: pl.Series, languages: Sequence[str]) -> pl.DataFrame:
    """`language` (String) and `confidence` (Float64, 0 to 1) of each text, of the languages given; null stays null.

    The script with the most letters (by weight, see SCRIPTS) decides which languages are asked. Where one is left, its
    confidence is the share of letters in that script; where more are, it is the model's probability among them. UNKNOWN
    (with 0) is a text without letters, one in a script of none of the languages, and one in which the model knows
    nothing.
    Raises Unavailable where a model is needed (`needs_model`) and py3langid is not installed.

    >>> detect(pl.Series(["Good morning", "早上好", "123", None]), ("en", "zh"))["language"].to_list()
    ['en', 'zh', 'und', None]
    """
    if needs_model(languages) and importlib.util.find_spec("py3langid") is None:
        raise Unavailable(
            "Languages of one script are told apart by py3langid, which is not installed.",
            fix="Run: pip install 'tillage[language]'; or name languages of different scripts only.",
        )
    letters = _letters(texts)
    han, kana = (list(SCRIPTS).index(name) for name in ("Han", "Kana"))
    japanese = (letters[:, kana] > 0) & (letters[:, kana] * _KANA_SHARE >= letters[:, han] + letters[:, kana])
    letters[:, kana] += np.where(japanese, letters[:, han], 0)
    letters[:, han] = np.where(japanese, 0, letters[:, han])
    weights = letters * np.array([weight for weight, _ in SCRIPTS.values()])
    total, main = weights.sum(axis=1), weights.argmax(axis=1)
    shares = weights.max(axis=1) / np.maximum(total, 1)

    found: list[str | None] = [UNKNOWN] * len(texts)
    confidence = np.zeros(len(texts))
    for at, script in enumerate(SCRIPTS):
        asked = [language for language in languages if LANGUAGES[language] == script]
        rows = np.flatnonzero((main == at) & (total > 0)) if asked else np.zeros(0, dtype=np.intp)
        if len(asked) > 1:
            values = texts.gather(rows).to_list()
            told = {text: _classify(text, tuple(asked)) for text in dict.fromkeys(values)}
            for row, text in zip(rows.tolist(), values, strict=True):
                found[row], confidence[row] = told[text]
        else:
            for row in rows.tolist():
                found[row] = asked[0]
            confidence[rows] = np.round(shares[rows], 3)
    out = pl.DataFrame({"language": pl.Series(found, dtype=pl.String), "confidence": confidence})
    return out.select(pl.when(texts.is_not_null()).then(pl.all()))


def _letters(texts: pl.Series) -> npt.NDArray[np.int64]:
    """Texts x scripts: how many letters."""
    table, size = _script_table(), len(SCRIPTS)
    parts = [np.zeros((0, size), dtype=np.int64)]
    for block in blocks(texts):
        script = table[block.codes]
        places = np.flatnonzero(script < size)
        text = np.searchsorted(block.starts, places, side="right") - 1
        count = len(block.starts) - 1
        parts.append(np.bincount(text * size + script[places], minlength=count * size).reshape(count, size))
    return np.concatenate(parts)


@lru_cache(maxsize=1)
def _script_table() -> npt.NDArray[np.uint8]:
    table = np.full(0x110000, 255, dtype=np.uint8)
    for at, (_, ranges) in enumerate(SCRIPTS.values()):
        for first, last in ranges:
            table[first : last + 1] = at
    table[[0xD7, 0xF7]] = 255  # the signs of multiplication and division stand among the letters
    return table


def _classify(text: str, languages: tuple[str, ...]) -> tuple[str, float]:
    """What the model says; a probability is rounded, since processors differ in the last digits."""
    language, probability = _identifier(languages).classify(text)
    if probability * len(languages) < 1.001:
        return UNKNOWN, 0.0  # all are equally likely: nothing in the text was known
    return str(language), round(float(probability), 3)


@lru_cache(maxsize=32)
def _identifier(languages: tuple[str, ...]) -> Any:
    """An identifier of these languages alone; the model is read once."""
    from py3langid.langid import LanguageIdentifier

    whole = _model()
    parts = (whole.nb_ptc, whole.nb_pc, whole.nb_classes, whole.tk_nextmove, whole.tk_output)
    one = LanguageIdentifier(*parts, norm_probs=True, tk_row=whole.tk_row)
    one.set_languages(languages)
    return one


@lru_cache(maxsize=1)
def _model() -> Any:
    from py3langid.langid import MODEL_FILE, LanguageIdentifier

    return LanguageIdentifier.from_model_file(MODEL_FILE)
