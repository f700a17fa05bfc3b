"""Texts as tokens, code points and counts; markup, joiners and repetition."""

from tillage.text.markup import strip_markup
from tillage.text.measures import measure
from tillage.text.repetition import repeated_lines
from tillage.text.tokens import character_ngrams, long_words, words
from tillage.text.unicode import drop_joiners

__all__ = ["character_ngrams", "drop_joiners", "long_words", "measure", "repeated_lines", "strip_markup", "words"]
