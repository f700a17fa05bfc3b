"""A wordnet in miniature, by the rules of wndb(5WN), and what may be replaced in it."""

from __future__ import annotations

from pathlib import Path

import pytest

from tillage.augment.wordnet import Wordnet, chinese

NOUNS = """\
  1 This is a licence, and no data.
00000001 03 n 03 film 0 movie 0 picture 0 000 | a form of entertainment
00000002 03 n 02 film 1 membrane 0 000 | a thin skin
00000003 03 n 02 picture 1 image 0 000 | what hangs on a wall
00000004 03 n 02 works 0 plant 0 000 | a factory
00000005 03 n 01 work 0 000 | what one does
"""
ADJECTIVES = """\
00000001 00 a 02 good 0 fine(p) 0 001 ! 00000002 a 0101 | the right sort
00000002 00 a 01 bad 0 001 ! 00000001 a 0101 | the wrong sort
00000003 00 s 02 rapid 0 Quick_one 0 000 | swift
"""
SENSES = """\
bad%3:00:00:: 00000002 1 9
film%1:10:00:: 00000001 1 8
film%1:10:01:: 00000002 2 2
fine%3:00:00:: 00000001 1 4
good%3:00:00:: 00000001 1 20
image%1:10:00:: 00000003 1 3
membrane%1:10:00:: 00000002 1 5
movie%1:10:00:: 00000001 1 7
picture%1:10:00:: 00000003 1 6
picture%1:10:01:: 00000001 2 1
plant%1:10:00:: 00000004 1 5
rapid%5:00:00:: 00000003 1 2
work%1:10:00:: 00000005 1 5
works%1:10:00:: 00000004 1 5
"""


@pytest.fixture
def net(tmp_path: Path) -> Wordnet:
    for name, text in (("noun", NOUNS), ("verb", ""), ("adj", ADJECTIVES), ("adv", "")):
        (tmp_path / f"data.{name}").write_text(text, encoding="utf-8")
    (tmp_path / "index.sense").write_text(SENSES, encoding="utf-8")
    return Wordnet.read(tmp_path)


def test_words_are_replaced_by_what_mostly_means_the_same(net: Wordnet) -> None:
    assert net.synonyms() == {
        "film": ("movie",),  # not "picture", which mostly means another thing
        "movie": ("film",),
        "picture": ("image",),
        "image": ("picture",),
        "plant": ("works",),  # "works" itself may be a form of "work"
        "good": ("fine",),
        "fine": ("good",),
    }


def test_opposites_are_of_words_not_of_synsets(net: Wordnet) -> None:
    assert net.antonyms() == {"good": ("bad",), "bad": ("good",)}
    assert net.share("film", "n00000001") == 0.8
    assert net.chief("rapid") == "a00000003"


def test_chinese_words_share_most_of_their_senses() -> None:
    synsets = {"n1": ("酒店", "宾馆", "馆"), "n2": ("酒店", "宾馆"), "n3": ("旅店", "红的"), "n4": ("酒店",)}
    synonyms, antonyms = chinese(synsets, [("n2", "n3")])
    assert synonyms == {"酒店": ("宾馆",), "宾馆": ("酒店",)}
    assert antonyms == {"宾馆": ("旅店",), "酒店": ("旅店",)}
