"""Texts as tokens, code points and counts, and as patterns should see them; markup, joiners and repetition."""

from tillage.text.folding import fold, places
from tillage.text.markup import strip_markup
from tillage.text.measures import measure
from tillage.text.repetition import repeated_lines
from tillage.text.tokens import character_ngrams, long_words, words
from tillage.text.unicode import drop_joiners

__all__ = [
    "character_ngrams",
    "drop_joiners",
    "fold",
    "long_words",
    "measure",
    "places",
    "repeated_lines",
    "strip_markup",
    "words",
]
