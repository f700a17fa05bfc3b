"""MinHash against the definition in plain Python, the curve of the bands against the formula and against draws."""

from __future__ import annotations

import random

import numpy as np
import polars as pl
import pytest

from tillage.text import Bands, buckets, choose_bands, jaccard, shingles, signatures
from tillage.text.minhash import PERMUTATIONS, RECALL
from tillage.text.runs import constants
from tillage.text.shingles import sets


def sets_of(similarity: float, size: int, seed: int) -> tuple[str, str]:
    """Two texts of `size` shingles each whose Jaccard similarity is as near to `similarity` as that allows."""
    draw = random.Random(seed)
    common = round(2 * size * similarity / (1 + similarity))
    first = [f"w{draw.getrandbits(40)}" for _ in range(size + 4)]
    second = first[: common + 4] + [f"v{draw.getrandbits(40)}" for _ in range(size - common)]
    return " ".join(first), " ".join(second)


def similar(one: str, other: str) -> float:
    """The Jaccard similarity of two texts."""
    hashes, starts = sets(pl.Series([one, other]))
    return jaccard(hashes[: starts[1]], hashes[starts[1] :])


def test_a_signature_is_the_least_of_each_permutation() -> None:
    texts = ["a b c d e f g", "", "发烧，脖子僵硬，头痛三天了", "x"]
    found = shingles(pl.Series(texts))
    signed = signatures(found, 20)
    assert signed.dtype == np.uint32
    assert signed.shape == (4, 20)
    factors = [int(f) >> 32 | 1 for f in constants(20, 0x65)]
    terms = [int(t) >> 32 for t in constants(20, 0x61)]
    for n, own in enumerate(zip(found.starts[:-1], found.starts[1:], strict=True)):
        words = [int(h) >> 32 for h in found.hashes[slice(*own)]]
        assert signed[n].tolist() == [
            min((w * f + t) % 2**32 for w in words) for f, t in zip(factors, terms, strict=True)
        ]


@pytest.mark.parametrize("similarity", [0.2, 0.5, 0.8])
def test_the_share_of_equal_rows_estimates_the_similarity(similarity: float) -> None:
    """200 pairs of 100 permutations: a standard deviation of 0.0035 at most if the rows are independent."""
    pairs = [sets_of(similarity, 90, seed) for seed in range(200)]
    signed = signatures(shingles(pl.Series([t for pair in pairs for t in pair])), 100)
    true = np.mean([similar(*pair) for pair in pairs])
    shares = (signed[0::2] == signed[1::2]).mean(axis=1)
    assert abs(shares.mean() - true) < 0.014
    assert shares.std() < 1.3 * np.sqrt(true * (1 - true) / 100)


@pytest.mark.parametrize("similarity", [0.5, 0.7, 0.8, 0.9])
@pytest.mark.parametrize("off", [-0.25, 0.0, 0.05])
def test_candidates_follow_the_curve(similarity: float, off: float) -> None:
    bands = choose_bands(similarity)
    pairs = [sets_of(similarity + off, 120, seed) for seed in range(1_500)]
    found = buckets(pl.Series([t for pair in pairs for t in pair]), bands)
    true = [similar(*pair) for pair in pairs[:20]]
    expected = float(np.mean([bands.probability(t) for t in true]))
    met = float((found[0::2] == found[1::2]).any(axis=1).mean())
    assert abs(met - expected) < 4 * np.sqrt(max(expected * (1.0 - expected), 0.002) / 1_500)


@pytest.mark.parametrize("similarity", [*np.arange(0.1, 1, 0.01), 0.999, 0.999999])
def test_bands_have_the_recall_and_no_more_than_needed(similarity: float) -> None:
    bands = choose_bands(similarity)
    assert bands.bands * bands.rows <= PERMUTATIONS
    assert bands.probability(similarity) >= RECALL
    assert bands.bands == 1 or Bands(bands.bands - 1, bands.rows).probability(similarity) < RECALL


def test_no_bands_for_next_to_nothing() -> None:
    assert choose_bands(1.0) == Bands(1, 4)
    with pytest.raises(ValueError, match="no 128 permutations"):
        choose_bands(0.01)


def test_strangers_do_not_meet() -> None:
    """Promotion of 32 bits to others once linked every text to every other."""
    draw = random.Random(5)
    texts = pl.Series([" ".join(f"{draw.getrandbits(30)}" for _ in range(100)) for _ in range(2_000)])
    found = buckets(texts, choose_bands(0.8))
    assert found.dtype == np.uint64
    assert len(np.unique(found)) == found.size
    assert int(found.max()) < 2**63
    assert int(found.max()) > 2**62


def test_jaccard_is_that_of_sets() -> None:
    draw = random.Random(6)
    for _ in range(300):
        a, b = ({draw.randrange(30) for _ in range(draw.randrange(1, 25))} for _ in range(2))
        arrays = [np.array(sorted(s), dtype=np.uint64) for s in (a, b)]
        assert jaccard(*arrays) == len(a & b) / len(a | b)


def test_no_texts() -> None:
    assert buckets(pl.Series([], dtype=pl.String), Bands(3, 2)).shape == (0, 3)
    assert signatures(shingles(pl.Series([], dtype=pl.String)), 5).shape == (0, 5)
