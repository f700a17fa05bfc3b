"""Texts as tokens, and as patterns should see them."""

from tillage.text.folding import fold, places
from tillage.text.tokens import character_ngrams, long_words, words

__all__ = ["character_ngrams", "fold", "long_words", "places", "words"]
