"""Texts as tokens, shingles and MinHash signatures."""

from tillage.text.minhash import Bands, buckets, choose_bands, jaccard, signatures
from tillage.text.shingles import Shingles, shingles
from tillage.text.tokens import character_ngrams, long_words, words

__all__ = [
    "Bands",
    "Shingles",
    "buckets",
    "character_ngrams",
    "choose_bands",
    "jaccard",
    "long_words",
    "shingles",
    "signatures",
    "words",
]
