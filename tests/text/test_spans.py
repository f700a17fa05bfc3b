"""Spans in their forms, and texts laid out in units and windows."""

from __future__ import annotations

import json
from typing import Any

import polars as pl
import pytest

from tests.text import tiny_encoder
from tillage.core.errors import BadData
from tillage.text.encoder import Tokens
from tillage.text.pretrained import Pretrained
from tillage.text.spans import Span, keys_of, spans_of, structured, written


def test_all_forms_say_the_same() -> None:
    plain = [{"start": 3, "end": 5, "label": "A"}, {"start": 0, "end": 2, "label": "B", "value": "xy"}]
    wanted = [[Span(0, 2, "B"), Span(3, 5, "A")]]
    struct = pl.Series([[{"start": 3, "end": 5, "label": "A"}, {"start": 0, "end": 2, "label": "B"}]])
    assert struct.dtype.base_type() == pl.List
    for values in (pl.Series([json.dumps(plain)]), struct, pl.Series(['[[3, 5, "A"], [0, 2, "B"]]'])):
        assert spans_of(values) == wanted
    assert spans_of(pl.Series([None, "[]"], dtype=pl.String)) == [None, []]
    assert spans_of(pl.Series([None], dtype=pl.Null)) == [None]


@pytest.mark.parametrize(
    "value",
    ["no", "{}", "7", '[{"start": 0}]', '[[0, "5", "A"]]', "[[0, 5, 7]]", '[[0, 5, ""]]', "[[0, 5]]", "[" * 100_000],
)
def test_what_is_no_list_of_spans_is_said(value: str) -> None:
    with pytest.raises(BadData, match=r"'y' holds no list of spans in 1 of 2 rows, first in row 2"):
        spans_of(pl.Series("y", ["[]", value]))


def test_a_column_of_numbers_holds_none() -> None:
    with pytest.raises(BadData, match="Int64, which are no spans"):
        spans_of(pl.Series("y", [1]))


def test_written_spans_are_read_and_compared_whatever_their_confidence() -> None:
    spans = [Span(0, 2, "B"), Span(3, 5, "\u4eba")]
    text = written(spans, [0.5, 1 / 3])
    assert spans_of(pl.Series([text])) == [spans]
    assert keys_of(pl.Series([text, written(spans)])).to_list() == [["0 2 B", "3 5 \u4eba"]] * 2
    assert structured(pl.Series([text]))[0].to_list()[1] == {
        "start": 3,
        "end": 5,
        "label": "\u4eba",
        "confidence": 0.3333,
    }


def units(text: str, tokens: Tokens) -> list[str]:
    return [text[a:b] for a, b in tokens.windows([text])[0].units]


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> str:
    return Pretrained(tiny_encoder.write(tmp_path_factory.mktemp("model"))).tokenizer()


def test_units_are_words_and_chinese_characters(tokenizer: str) -> None:
    text = "  A smalls, CALMLY \u53d1\u70e7big\u5927 x\u0301\u00e4 3.5\n"
    wanted = ["A", "smalls", ",", "CALMLY", "\u53d1", "\u70e7", "big", "\u5927", "x\u0301\u00e4", "3", ".", "5"]
    assert units(text, Tokens(tokenizer, 40)) == wanted
    assert units("", Tokens(tokenizer, 40)) == units(" \n", Tokens(tokenizer, 40)) == []


def test_a_long_text_is_read_to_its_end_each_unit_once(tokenizer: str) -> None:
    text = " ".join(f"small {n}" for n in range(10)) * 5
    [whole] = Tokens(tokenizer, 200).windows([text])
    [cut] = Tokens(tokenizer, 16, overlap=4).windows([text])
    assert len(whole.windows) == 1
    assert len(cut.windows) > 5
    assert cut.units == whole.units
    for (window, at), (start, end) in zip(cut.seen, cut.units, strict=True):
        place = cut.windows[window].places[at]
        assert place[0] == start
        assert place[1] <= end
    # of two windows that show a word, the one in which more stands around it
    inner = [min(at, len(cut.windows[w].places) - 1 - at) for w, at in cut.seen[3:-3]]
    assert min(inner) >= 2


def test_pieces_that_count_blanks_in_and_hold_several_characters() -> None:
    """As byte-level tokenizers do: a blank belongs to the token behind it, a character may be several tokens."""
    from tokenizers import Tokenizer, models, pre_tokenizers

    letters = pre_tokenizers.ByteLevel.alphabet()
    made = Tokenizer(models.BPE({c: n for n, c in enumerate(sorted(letters))}, []))
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokens: Any = Tokens(str(made.to_str()), 100)
    [cut] = tokens.windows(["a\U0001f600b"])
    assert [at for _, at in cut.seen] == [0, 1, 5]  # of the four tokens of one character the first
    assert units("Ann went to \u5317\u4eac\U0001f600 now", tokens) == [
        "Ann", "went", "to", "\u5317", "\u4eac", "\U0001f600", "now",
    ]  # fmt: skip


def test_a_blank_behind_a_token_is_not_of_it() -> None:
    from tokenizers import Tokenizer, models, pre_tokenizers

    made = Tokenizer(models.WordLevel({"Ann ": 0, "went": 1, "?": 2}, "?"))
    made.pre_tokenizer = pre_tokenizers.Split(" ", "merged_with_previous")
    assert units("Ann went", Tokens(str(made.to_str()), 9)) == ["Ann", "went"]
