"""Text steps against what is plain to see: which words changed, how many, and into what."""

from __future__ import annotations

import re
from collections import Counter
from typing import get_args

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from tillage.augment import AddTypos, DeleteWords, ReplaceAntonyms, ReplaceSynonyms, SwapWords
from tillage.augment.add_typos import NEIGHBOURS
from tillage.augment.chance import Chance, normals, stream
from tillage.augment.dictionary import Language, Relation, read
from tillage.augment.pinyin import common_characters, sounds_like
from tillage.augment.synthetic import Augment
from tillage.augment.wordnet import GRAMMAR
from tillage.core.errors import ConfigurationError
from tillage.core.rows import ID, ORIGIN, PARENT

SENTENCE = "the quick brown fox jumps over the lazy dog and runs far away from here today"


def rows(*texts: str | None, first: int = 1) -> pl.DataFrame:
    frame = pl.DataFrame({"text": list(texts)}, schema={"text": pl.String})
    return frame.with_columns(_id=(pl.int_range(frame.height) + first).cast(pl.UInt128))


def made(step: Augment, frame: pl.DataFrame) -> list[str]:
    return step.apply(frame).filter(pl.col(PARENT).is_not_null())["text"].to_list()


def many(text: str = SENTENCE, count: int = 400) -> pl.DataFrame:
    return rows(*[text] * count)


# ---- chance


def test_splitmix_is_the_published_one() -> None:
    # The first outputs of SplitMix64 from the seed 1234567, as its author's C code (prng.di.unimi.it) gives them.
    assert stream(1234567, 3).tolist() == [6457827717110365317, 3203168211198807973, 9817491932198370423]


def test_draws_are_even_and_apart() -> None:
    chance = Chance(rows(*["x"] * 4000)[ID], "salt")
    one, other = chance.uniform(), chance.uniform(what=1)
    for drawn in (one, other, Chance(rows(*["x"] * 4000)[ID], "another").uniform()):
        counts = Counter((drawn * 10).astype(int).tolist())
        assert set(counts) == set(range(10))
        assert max(abs(n - 400) for n in counts.values()) < 100  # five standard deviations
    assert abs(float(((one - 0.5) * (other - 0.5)).mean())) < 0.006
    tail = normals(5, 200_000)
    assert abs(float((abs(tail) > 1.959964).mean()) - 0.05) < 0.003


# ---- what all have in common


STEPS: list[Augment] = [
    ReplaceSynonyms(columns=("text",), words={"quick": ("fast", "rapid"), "lazy": ("idle",)}, share=0.2, copies=3),
    DeleteWords(columns=("text",), copies=3),
    SwapWords(columns=("text",), copies=3),
    AddTypos(columns=("text",), copies=3),
]


@pytest.mark.parametrize("step", STEPS, ids=lambda step: step.name())
def test_a_copy_depends_on_seed_row_and_copy_alone(step: Augment) -> None:
    frame = many(count=30)
    whole = step.apply(frame).sort(ID)
    assert step.apply(frame.reverse()).sort(ID).equals(whole)
    again = pl.concat([step.apply(frame[n : n + 1]) for n in range(30)]).sort(ID)
    assert again.equals(whole)
    fewer = step.model_copy(update={"copies": 1})
    assert set(made(fewer, frame)) <= set(made(step, frame))
    assert made(step.model_copy(update={"seed": 1}), frame) != made(step, frame)
    for copies in whole.filter(pl.col(PARENT).is_not_null()).partition_by(PARENT):
        texts = copies["text"].to_list()
        assert SENTENCE not in texts
        assert len(texts) == len(set(texts)) <= 3


def test_children_of_children_have_the_first_row_as_origin() -> None:
    once = STEPS[1].apply(many(count=5))
    again = SwapWords(columns=("text",), compound=True).apply(once)
    grand = again.filter(~pl.col(ID).is_in(once[ID].implode()))
    assert grand.height == once.height
    assert set(grand[ORIGIN]) == set(range(1, 6))
    assert set(grand[PARENT]) == set(once[ID])
    alone = SwapWords(columns=("text",)).apply(once)
    assert alone.height == once.height + 5  # rows that were made up are not varied again, unless it is asked for


def test_where_says_which_rows_are_varied() -> None:
    step = DeleteWords(columns=("text",), where="n > 1")
    out = step.apply(many(count=4).with_columns(n=pl.int_range(4)))
    assert sorted(out.filter(pl.col(PARENT).is_not_null())["n"]) == [2, 3]
    with pytest.raises(ConfigurationError, match="No column is called 'n'"):
        step.apply(many(count=4))
    with pytest.raises(ConfigurationError, match="holds Int64, and this step needs text"):
        DeleteWords(columns=("n",)).apply(pl.DataFrame({"n": [1], "_id": [1]}))


# ---- one by one


@pytest.mark.parametrize(("share", "gone"), [(0.05, 1), (0.1, 2), (0.2, 3), (0.9, 14), (1, 15)])
def test_as_many_words_are_left_out_as_the_share_says(share: float, gone: int) -> None:
    words = SENTENCE.split()
    assert len(words) == 16
    for text in made(DeleteWords(columns=("text",), share=share), many(count=50)):
        left = text.split(" ")
        assert len(left) == 16 - gone
        assert all(left)  # no blank too many
        walk = iter(words)
        assert all(word in walk for word in left)  # in the old order


def test_deleting_keeps_a_word_and_leaves_marks_and_odd_blanks() -> None:
    assert made(DeleteWords(columns=("text",), share=1), rows("word", "  ", "", None)) == []
    texts = made(DeleteWords(columns=("text",), share=0.5), rows(*["\tone,  two"] * 40))
    assert set(texts) == {"\tone,  ", ",  two"}


def test_each_word_is_left_out_equally_often() -> None:
    texts = made(DeleteWords(columns=("text",), share=0.01), many("a b c d e", 1000))
    gone = Counter(next(iter(set("abcde") - set(text.split()))) for text in texts)
    assert max(abs(n - 200) for n in gone.values()) < 64  # five standard deviations


def test_swapped_words_are_the_same_words() -> None:
    for text in made(SwapWords(columns=("text",)), many(count=100)):
        assert sorted(text.split()) == sorted(SENTENCE.split())
        assert sum(a != b for a, b in zip(text.split(), SENTENCE.split(), strict=True)) == 2
    for text in made(SwapWords(columns=("text",), share=0.6), many("a b c d e f g h i j", 50)):
        assert sum(a != b for a, b in zip(text.split(), list("abcdefghij"), strict=True)) == 10 * 0.6


def test_synonyms_keep_case_article_and_names() -> None:
    own = {"car": ("auto", "machine"), "lazy": ("idle",), "card": ("pass",)}
    step = ReplaceSynonyms(columns=("text",), words=own, languages=(), share=1, copies=8)
    assert set(made(step, rows("a car"))) == {"a machine"}  # not "a auto"
    assert set(made(step, rows("the car"))) == {"the auto", "the machine"}
    assert made(step, rows("Lazy cat")) == ["Idle cat"]
    assert made(step, rows("the Lazy Card")) == []  # capitals in mid-sentence are names
    assert made(step, rows("(Lazy) LAZY lazybones")) == ["(Idle) LAZY lazybones"]
    assert made(step, rows("scar card's car-card")) != []


@given(st.text(max_size=40))
@settings(max_examples=60)
def test_synonyms_change_nothing_else(text: str) -> None:
    text = f"{text} movie {text}"
    step = ReplaceSynonyms(columns=("text",), words={"movie": ("film",)}, languages=(), chinese="characters", share=1)
    for new in made(step, rows(text)):
        assert re.sub(r"\bfilm\b", "movie", new) == re.sub(r"\bfilm\b", "movie", text)


def test_dictionaries_hold_plain_words_both_ways() -> None:
    english, chinese = read("synonyms", "en"), read("synonyms", "zh")
    assert english["movie"] == ("film",)
    assert "bad" in read("antonyms", "en")["good"]
    assert chinese["早餐"] == ("早饭",)
    assert read("antonyms", "zh")["疾病"] == ("康复",)
    for words in (english, chinese):
        assert len(words) > 15_000
        assert all(others and word not in others for word, others in words.items())
    assert not set(english) & {"be", "do", "not", "the", "he", "works", "drawn"}


def test_what_holds_a_sentence_together_is_neither_replaced_nor_put_there() -> None:
    """A wordnet knows "about" and "before" as adverbs alone, and a text nearly always means the prepositions."""
    relation: Relation
    language: Language
    for relation in get_args(Relation):
        for language in get_args(Language):
            entries = read(relation, language)
            assert not GRAMMAR & {*entries, *(o for others in entries.values() for o in others)}
    text = "a thing about someone who went away before us instead of within a day"
    assert made(ReplaceSynonyms(columns=("text",), share=1, copies=5), rows(text)) == []


def test_chinese_is_cut_into_words() -> None:
    step = ReplaceSynonyms(columns=("text",), share=1)
    (new,) = made(step, rows("这家酒店的早餐很好，wifi 好。"))
    assert new == "这家酒店的早饭很好，wifi 好。"


def test_antonyms_turn_the_label_or_make_nothing() -> None:
    frame = rows("a good day", "a good day", "a day", "good and bad").with_columns(
        y=pl.Series(["pos", "neutral", "pos", "neg"])
    )
    step = ReplaceAntonyms(columns=("text",), target="y", labels={"pos": "neg", "neg": "pos"})
    out = step.apply(frame).filter(pl.col(PARENT).is_not_null())
    assert out.sort(PARENT).select(PARENT, "text", "y").rows()[0] == (1, "a bad day", "neg")
    assert sorted(out[PARENT]) == [1, 4]
    assert out.filter(pl.col(PARENT) == 4)["text"][0] in {"bad and bad", "good and good"}
    plain = ReplaceAntonyms(columns=("text",)).apply(frame).filter(pl.col(PARENT).is_not_null())
    assert sorted(plain[PARENT]) == [1, 2, 4]
    with pytest.raises(ValidationError, match="go together"):
        ReplaceAntonyms(columns=("text",), target="y")
    with pytest.raises(ValidationError, match="without languages"):
        ReplaceSynonyms(columns=("text",), languages=())
    with pytest.raises(ValidationError, match="has none"):
        ReplaceSynonyms(columns=("text",), words={"a": ()})


@pytest.mark.parametrize(
    ("values", "labels", "turned"),
    [
        ([True, False, None], {"true": "false", "false": "true"}, [False, True]),
        ([1, 0, None], {"1": "0", "0": "1"}, [0, 1]),
        ([1.0, 0.5, None], {"1": "0", "0.5": "1.5"}, [0.0, 1.5]),
        ([None, None, None], {"1": "0"}, []),
    ],
)
def test_labels_of_every_type_are_turned(values: list[object], labels: dict[str, str], turned: list[object]) -> None:
    frame = rows("a good day", "a bad day", "a good day").with_columns(y=pl.Series(values))
    out = ReplaceAntonyms(columns=("text",), target="y", labels=labels).apply(frame)
    assert out.schema["y"] == frame.schema["y"]
    assert out.filter(pl.col(PARENT).is_not_null()).sort(PARENT)["y"].to_list() == turned
    assert out.head(3)["y"].to_list() == values


@pytest.mark.parametrize(
    ("values", "labels", "lost"),
    [
        ([True], {"True": "false"}, "True"),
        ([True], {"true": "no"}, "no"),
        ([1], {"1": "bad"}, "bad"),
        ([1], {"a": "1"}, "a"),
    ],
)
def test_a_label_that_its_column_cannot_hold_is_said(values: list[object], labels: dict[str, str], lost: str) -> None:
    frame = rows("a good day").with_columns(y=pl.Series(values))
    with pytest.raises(ConfigurationError, match=f"'y' holds .* '{lost}' of 'labels' is no value of it"):
        ReplaceAntonyms(columns=("text",), target="y", labels=labels).apply(frame)


def distance(a: str, b: str) -> int:
    """Edits with swaps of neighbours (Damerau 1964), the slow and obvious way."""
    table = [[max(i, j) if 0 in (i, j) else 0 for j in range(len(b) + 1)] for i in range(len(a) + 1)]
    for i in range(1, len(a) + 1):
        for j in range(1, len(b) + 1):
            table[i][j] = min(table[i - 1][j] + 1, table[i][j - 1] + 1, table[i - 1][j - 1] + (a[i - 1] != b[j - 1]))
            if i > 1 and j > 1 and a[i - 1] == b[j - 2] and a[i - 2] == b[j - 1]:
                table[i][j] = min(table[i][j], table[i - 2][j - 2] + 1)
    return table[-1][-1]


@pytest.mark.parametrize("slip", ["neighbour", "swap", "drop", "double"])
def test_a_slip_is_one_edit_after_the_first_letter(slip: str) -> None:
    word = "keyboard"
    seen = made(AddTypos.model_validate({"columns": ["text"], "slips": [slip]}), many(word, 300))
    assert len(set(seen)) >= 6
    for new in seen:
        assert new[0] == "k"
        assert distance(word, new) == 1
        assert len(new) - len(word) == {"neighbour": 0, "swap": 0, "drop": -1, "double": 1}[slip]
        if slip == "neighbour":
            ((old, typed),) = [(a, b) for a, b in zip(word, new, strict=True) if a != b]
            assert typed in NEIGHBOURS[old]
        elif slip == "double":
            assert re.search(r"(.)\1", new)


def test_slips_happen_equally_often_and_spare_short_words_and_numbers() -> None:
    seen = made(AddTypos(columns=("text",)), many("keyboard", 2000))
    sizes = Counter(len(new) - 8 for new in seen)
    assert abs(sizes[-1] - 500) < 100
    assert abs(sizes[1] - 500) < 100
    assert made(AddTypos(columns=("text",), share=1), rows("it is 1234 ok", "été", None)) == []


def test_keys_that_touch_touch_both_ways() -> None:
    assert set(NEIGHBOURS) == set("qwertyuiopasdfghjklzxcvbnm")
    assert all(key in NEIGHBOURS[near] for key, nears in NEIGHBOURS.items() for near in nears)


def test_chinese_slips_sound_alike() -> None:
    assert len(common_characters()) == 3755
    exact, near = sounds_like(near=False), sounds_like(near=True)
    assert "试" in exact["是"]
    assert "四" not in exact["是"]
    assert "四" in near["是"]
    assert "蓝" in near["男"]
    assert all(character in exact[other] for character, others in exact.items() for other in others)
    for new in made(AddTypos(columns=("text",), near=False, share=0.3), rows(*["房间很干净服务也不错"] * 50)):
        changed = [(a, b) for a, b in zip("房间很干净服务也不错", new, strict=True) if a != b]
        assert len(changed) == 3
        assert all(b in exact[a] for a, b in changed)
