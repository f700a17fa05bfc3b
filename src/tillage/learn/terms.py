"""Terms of texts as sparse counts, and their weights: TF-IDF, and where classes are known, how well a term tells them.

Two kinds of term: words with pairs of neighbouring words, and character n-grams within words, of Chinese within Han
characters that stand together. The n-grams depend on the word alone, so they are cut once for each distinct word of a
batch and reach the texts by a product of two sparse matrices. A row's numbers never depend on the rows beside it: every
sum runs along one row, in column order.
Sources: Salton and Buckley, Term-weighting approaches in automatic text retrieval, 1988 (sublinear tf, smoothed idf);
Wang and Manning, Baselines and bigrams, ACL 2012 (log-count ratios of naive Bayes as weights of a linear model).
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import Any

import numpy as np
import polars as pl

from tillage.learn.learner import Numbers
from tillage.text.pieces import Chinese, han_in_words
from tillage.text.tokens import character_ngrams, long_runs, long_words

SHORTEST, LONGEST = 2, 5
"""Characters of an n-gram, the blank at either end of a word included."""


class Vocabulary:
    """Terms and their columns.

    >>> Vocabulary(["a", "b"]).counts(pl.DataFrame({"row": [0, 0, 1], "term": ["b", "b", "x"]}), 2).toarray().tolist()
    [[0, 2], [0, 0]]
    """

    def __init__(self, terms: Sequence[str]) -> None:
        """`terms`: distinct; their order is that of the columns."""
        self.size = len(terms)
        self._columns = pl.DataFrame({"term": pl.Series(terms, dtype=pl.String)}).with_row_index("column")

    def counts(self, found: pl.DataFrame, height: int) -> Any:
        """How often each row of `found` (`row`, `term`) has each term: CSR (height, size) of Int64, indices sorted."""
        from scipy import sparse

        known = found.join(self._columns, on="term", how="inner")
        at = (known["row"].to_numpy().astype(np.int32), known["column"].to_numpy().astype(np.int32))
        matrix = sparse.coo_array((np.ones(known.height, np.int64), at), shape=(height, self.size)).tocsr()
        matrix.sum_duplicates()
        return matrix


def words_and_pairs(found: pl.DataFrame) -> pl.DataFrame:
    """The words of `text.tokens.long_words`, and each pair of neighbours in one text, as `row`, `term`.

    >>> words_and_pairs(pl.DataFrame({"row": [0, 0, 1], "word": ["a", "b", "c"]}))["term"].to_list()
    ['a', 'b', 'c', 'a b']
    """
    follows = pl.col("row") == pl.col("row").shift(-1)
    pairs = found.select("row", pl.concat_str(pl.col("word"), pl.col("word").shift(-1), separator=" ").alias("term"))
    return pl.concat([found.rename({"word": "term"}), pairs.filter(found.select(follows.fill_null(False)).to_series())])


class TermCounts:
    """A batch of texts, cut into words once, and counted against any number of vocabularies."""

    def __init__(self, texts: pl.Series, chinese: Chinese = "characters") -> None:
        """`chinese`: what a word of Chinese is: a character, or what jieba says (raises Unavailable without it)."""
        self._height = len(texts)
        self._runs = long_runs(texts)
        self._word_terms = words_and_pairs(long_words(texts) if chinese == "characters" else han_in_words(self._runs))
        self._distinct = self._runs["word"].unique()
        self._ngrams = character_ngrams(self._distinct, SHORTEST, LONGEST)

    @cached_property
    def _uses(self) -> Any:
        """How often each text has each distinct word or run, the same for every vocabulary."""
        return Vocabulary(self._distinct.to_list()).counts(self._runs.rename({"word": "term"}), self._height)

    def terms(self) -> tuple[pl.Series, pl.Series]:
        """All distinct terms of the batch, sorted: of words, of characters."""
        return self._word_terms["term"].unique().sort(), self._ngrams["term"].unique().sort()

    def of_words(self, vocabulary: Vocabulary) -> Any:
        """CSR (texts, terms) of counts."""
        return vocabulary.counts(self._word_terms, self._height)

    def of_characters(self, vocabulary: Vocabulary) -> Any:
        """CSR (texts, terms) of counts."""
        product = self._uses @ vocabulary.counts(self._ngrams, len(self._distinct))
        product.sort_indices()
        return product


def learn_terms(texts: pl.Series, min_rows: int, max_terms: int, chinese: Chinese = "characters") -> dict[str, Any]:
    """The vocabulary as state: `words`, `characters` (sorted), and their `word_idf`, `character_idf` (float64).

    A term stays when at least `min_rows` texts have it; of each kind, the `max_terms` found in most texts stay.

    >>> learn_terms(pl.Series(["a b", "a c"]), 2, 10)["words"]
    ['a']
    """
    batch = TermCounts(texts, chinese)
    words, characters = batch.terms()
    kept_words = _select(words, batch.of_words(Vocabulary(words.to_list())), min_rows, max_terms)
    kept_characters = _select(characters, batch.of_characters(Vocabulary(characters.to_list())), min_rows, max_terms)
    return {
        "words": kept_words[0],
        "word_idf": _idf(kept_words[1], len(texts)),
        "characters": kept_characters[0],
        "character_idf": _idf(kept_characters[1], len(texts)),
    }


def weighed_by_classes(learnt: dict[str, Any], counts: Sequence[Any], target: Numbers) -> dict[str, Any]:
    """What `learn_terms` gave, each idf times 1 + the mean of |ln(share of the term in a class / share elsewhere)|.

    `counts`: CSR (texts, terms) of words and of characters. `target`: the class of each text. The mean is over classes
    by their rows; a share is of all terms' texts in the class, one added to each. A term as common in all classes keeps
    its idf; the 1 keeps what naive Bayes, which takes terms as independent, would leave out.

    >>> learnt = learn_terms(pl.Series(["good a", "good a", "bad a", "bad a"]), 2, 10)
    >>> counts = TermWeights(learnt).counts(TermCounts(pl.Series(["good a", "good a", "bad a", "bad a"])))
    >>> found = weighed_by_classes(learnt, counts, np.array([1, 1, 0, 0]))
    >>> [(w, round(float(x), 2)) for w, x in zip(found["words"], found["word_idf"] / learnt["word_idf"])]
    [('a', 1.0), ('bad', 2.1), ('bad a', 2.1), ('good', 2.1), ('good a', 2.1)]
    """
    words, characters = (1 + _mean_ratio(part, target) for part in counts)
    return {
        **learnt,
        "word_idf": learnt["word_idf"] * words,
        "character_idf": learnt["character_idf"] * characters,
    }


class TermWeights:
    """TF-IDF of a learnt vocabulary: 1 + ln(count), times idf, each kind of term scaled to unit length."""

    def __init__(self, learnt: dict[str, Any]) -> None:
        """`learnt`: what `learn_terms` gave."""
        self._words, self._characters = Vocabulary(learnt["words"]), Vocabulary(learnt["characters"])
        self._word_idf, self._character_idf = learnt["word_idf"], learnt["character_idf"]

    def matrix(self, texts: pl.Series) -> Any:
        """CSR (texts, words + characters) of float64."""
        return self.of(TermCounts(texts))

    def of(self, batch: TermCounts) -> Any:
        """The same of texts that are cut already."""
        return self.weigh(self.counts(batch))

    def counts(self, batch: TermCounts) -> tuple[Any, Any]:
        """CSR (texts, terms) of how often each text has each word, and each character n-gram."""
        return batch.of_words(self._words), batch.of_characters(self._characters)

    def weigh(self, counts: Sequence[Any]) -> Any:
        """The matrix of such counts."""
        from scipy import sparse

        words, characters = counts
        parts = [_weigh(words, self._word_idf), _weigh(characters, self._character_idf)]
        return sparse.hstack(parts, format="csr")


def _select(terms: pl.Series, counts: Any, min_rows: int, max_terms: int) -> tuple[list[str], Numbers]:
    rows = np.bincount(counts.indices, minlength=len(terms))
    table = pl.DataFrame({"term": terms, "rows": rows}).filter(pl.col("rows") >= min_rows)
    kept = table.sort(["rows", "term"], descending=[True, False]).head(max_terms).sort("term")
    return kept["term"].to_list(), kept["rows"].to_numpy()


def _idf(rows: Numbers, texts: int) -> Numbers:
    return np.asarray(np.log((1 + texts) / (1 + rows.astype(np.float64))) + 1)


def _mean_ratio(counts: Any, target: Numbers) -> Numbers:
    """Of each term, the mean over classes of |ln(share in the class / share elsewhere)|."""
    size = counts.shape[1]
    places = np.repeat(np.unique(target, return_inverse=True)[1], np.diff(counts.indptr))
    every = np.bincount(counts.indices, minlength=size) + 2.0
    total = np.zeros(size)
    for place, rows in enumerate(np.unique(target, return_counts=True)[1]):
        inside = np.bincount(counts.indices[places == place], minlength=size) + 1.0
        outside = every - inside
        ratio = np.log(inside / inside.sum()) - np.log(outside / outside.sum())
        total += np.abs(ratio) * (rows / len(target))
    return np.asarray(total)


def _weigh(counts: Any, idf: Numbers) -> Any:
    weights = counts.astype(np.float64)
    weights.data = (1 + np.log(weights.data)) * idf[weights.indices]
    lengths = np.sqrt(weights.power(2) @ np.ones(len(idf)))
    weights.data /= np.repeat(lengths, np.diff(weights.indptr))
    return weights
