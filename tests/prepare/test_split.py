"""Split: sides that stay for ever, against the hash written out by hand."""

from __future__ import annotations

from hashlib import sha256

import polars as pl
import pytest
import xxhash
from pydantic import ValidationError

from tillage.core import ConfigurationError
from tillage.prepare import Split


def side(unit: str, test: float, seed: int, salt: str) -> str:
    key = int.from_bytes(sha256(f"{seed}:{salt}".encode()).digest()[:8], "little")
    return "test" if (xxhash.xxh3_64_intdigest(unit.encode(), seed=key) >> 11) / 2**53 < test else "train"


def ids(n: int) -> pl.Series:
    return pl.int_range(n, eager=True).cast(pl.UInt128).alias("_id")


@pytest.mark.parametrize(("seed", "salt"), [(0, ""), (3, "triage"), (-1, "7:x")])
def test_against_the_hash_by_hand(seed: int, salt: str) -> None:
    rows = pl.DataFrame({"_id": ids(200), "g": [f"病人{i % 40}" if i % 7 else None for i in range(200)]})
    out = Split(test=0.3, group="g", seed=seed, salt=salt).apply(rows)
    units = [str(i) if g is None else g for i, g in zip(rows["_id"], rows["g"], strict=True)]
    assert out["split"].to_list() == [side(u, 0.3, seed, salt) for u in units]
    alone = Split(test=0.3, seed=seed, salt=salt, column="part").apply(rows)
    assert alone["part"].to_list() == [side(str(i), 0.3, seed, salt) for i in range(200)]


def test_share_groups_and_bounds() -> None:
    rows = pl.DataFrame({"_id": ids(20_000), "g": [i // 4 for i in range(20_000)]})
    out = Split(test=0.2, group="g").apply(rows)
    share = (out["split"] == "test").mean()
    assert isinstance(share, float)
    assert abs(share - 0.2) < 0.03  # 5,000 groups: five standard deviations
    assert out.group_by("g").agg(pl.col("split").n_unique())["split"].max() == 1
    assert set(Split(test=0).apply(rows)["split"]) == {"train"}
    assert set(Split(test=1).apply(rows)["split"]) == {"test"}


def test_seed_and_salt_cannot_be_confused() -> None:
    rows = pl.DataFrame({"_id": ids(500)})
    sides = [
        tuple(Split(test=0.5, seed=seed, salt=salt).apply(rows)["split"])
        for seed, salt in [(0, ""), (1, ""), (0, "a"), (1, "a"), (11, "1a"), (111, "a"), (0, ":")]
    ]
    assert len(set(sides)) == len(sides)


def test_a_change_of_type_moves_nobody() -> None:
    whole = pl.DataFrame({"_id": ids(100), "g": [*range(99), 2**62]})
    base = Split(test=0.5, group="g").apply(whole)["split"]
    floats = whole.with_columns(pl.col("g").cast(pl.Float64))
    assert Split(test=0.5, group="g").apply(floats)["split"][:99].to_list() == base[:99].to_list()
    assert Split(test=0.5, group="g").apply(whole.cast({"g": pl.String}))["split"].to_list() == base.to_list()
    odd = pl.DataFrame({"_id": ids(4), "g": [float("nan"), float("inf"), 1e300, None]})
    assert Split(test=1, group="g").apply(odd)["split"].to_list() == ["test"] * 4


def test_hostile_frames(rows: pl.DataFrame, empty: pl.DataFrame, nothing: pl.DataFrame) -> None:
    assert Split.example().apply(empty).schema == Split.example().apply(rows).schema
    assert Split(group="city").apply(nothing)["split"].to_list() == Split().apply(rows)["split"].to_list()
    with pytest.raises(ConfigurationError, match="'patint'"):
        Split(group="patint").apply(rows)
    with pytest.raises(ValidationError):
        Split(test=1.5)
    with pytest.raises(ValidationError):
        Split(column="_id")


def test_a_group_without_a_text_is_told() -> None:
    rows = pl.DataFrame({"_id": ids(2), "g": [b"a", b"\xff"]})
    with pytest.raises(ConfigurationError, match="Column 'g' holds Binary"):
        Split(group="g").apply(rows)
