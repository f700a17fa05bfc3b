"""Texts as tokens, code points, counts, shingles and signatures; as patterns should see them; markup and repetition."""

from tillage.text.edits import distance, near_pairs
from tillage.text.folding import fold, places
from tillage.text.markup import strip_markup
from tillage.text.measures import measure
from tillage.text.minhash import Bands, buckets, choose_bands, jaccard, signatures
from tillage.text.repetition import repeated_lines
from tillage.text.shingles import Shingles, shingles
from tillage.text.tokens import character_ngrams, long_runs, long_words, words
from tillage.text.unicode import drop_joiners

__all__ = [
    "Bands",
    "Shingles",
    "buckets",
    "character_ngrams",
    "choose_bands",
    "distance",
    "drop_joiners",
    "fold",
    "jaccard",
    "long_runs",
    "long_words",
    "measure",
    "near_pairs",
    "places",
    "repeated_lines",
    "shingles",
    "signatures",
    "strip_markup",
    "words",
]
