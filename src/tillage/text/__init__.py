"""Texts as tokens."""

from tillage.text.tokens import character_ngrams, long_words, words

__all__ = ["character_ngrams", "long_words", "words"]
