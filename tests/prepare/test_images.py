"""Pictures that leave: for what they look like, and for looking like another, against all pairs compared."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from itertools import combinations

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tillage.core.errors import ConfigurationError, Unavailable
from tillage.core.rows import ID
from tillage.flow.laws import check_step
from tillage.media import dhash, encode_image
from tillage.prepare import DropImageDuplicates, ImageQuality, KeepFirst
from tillage.prepare.near_hashes import banded, clusters


def frame(pictures: Sequence[bytes | None]) -> pl.DataFrame:
    rows = pl.DataFrame({"image": pictures}, schema={"image": pl.Binary})
    return rows.with_columns(_id=(pl.int_range(rows.height) + 1).cast(pl.UInt128))


def slow(hashes: list[int | None], distance: int) -> list[int | None]:
    """The first member of each hash's cluster, by comparing all pairs until nothing changes."""
    label: list[int | None] = [n if h is not None else None for n, h in enumerate(hashes)]
    moved = True
    while moved:
        moved = False
        for a, b in combinations([n for n, h in enumerate(hashes) if h is not None], 2):
            near = (hashes[a] ^ hashes[b]).bit_count() <= distance  # type: ignore[operator]
            if near and label[a] != label[b]:
                label[a] = label[b] = min(label[a], label[b])  # type: ignore[type-var]
                moved = True
    return label


_hashes = st.lists(
    st.one_of(st.none(), st.integers(0, 15), st.integers(0, 2**64 - 1), st.integers(0, 63).map(lambda n: 1 << n)),
    max_size=25,
)


@given(_hashes, st.integers(0, 12), st.integers(0, 2**32 - 1))
@settings(max_examples=150, deadline=None)
def test_clusters_are_those_of_all_pairs(hashes: list[int | None], distance: int, seed: int) -> None:
    base = np.random.default_rng(seed).integers(0, 2**63, 2)
    hashes = [None if h is None else (h ^ int(base[n % 2])) & (2**64 - 1) for n, h in enumerate(hashes)]
    found = clusters(pl.Series(hashes, dtype=pl.UInt64), distance).to_list()
    first = {c: found.index(c) for c in found}
    assert [None if c is None else first[c] for c in found] == slow(hashes, distance)


def test_bands_are_keys_of_their_own() -> None:
    rows = pl.DataFrame({ID: pl.Series([1, 2], dtype=pl.UInt128), "hash": pl.Series([0, 0], dtype=pl.UInt64)})
    keys = banded(rows, 4)
    assert keys["_key"].n_unique() == 4  # an equal value in another band is another key
    assert keys.height == 8


def test_pictures_that_look_alike_become_one() -> None:
    rng = np.random.default_rng(3)
    kinds = [rng.integers(0, 256, (8, 9, 1)).repeat(4, 0).repeat(4, 1).astype(np.uint8) for _ in range(5)]
    chosen = rng.integers(0, 5, 60)
    pictures: list[bytes | None] = [
        encode_image(np.clip(kinds[k] + rng.normal(0, 4, kinds[k].shape), 0, 255).astype(np.uint8)) for k in chosen
    ]
    rows = frame([*pictures, None, b"no picture", None]).with_columns(size=pl.lit(1))
    out = DropImageDuplicates(column="image", size=None, distance=5).compute({"rows": rows})
    first = {k: int(np.flatnonzero(chosen == k)[0]) + 1 for k in set(chosen.tolist())}
    wanted = [None if first[k] == n + 1 else first[k] for n, k in enumerate(chosen.tolist())]
    assert out["_into"].to_list() == [*wanted, None, None, None]
    assert out["_reason"].count() == 60 - len(first)
    last = rows.with_columns(day=-pl.int_range(pl.len()))
    kept = DropImageDuplicates(column="image", size=None, distance=5, keep=KeepFirst(first="day")).compute(
        {"rows": last}
    )
    stays = kept.filter(pl.col("_reason").is_null() & (pl.col(ID) <= 60))
    assert set(stays[ID]) == {int(np.flatnonzero(chosen == k)[-1]) + 1 for k in first}


def test_a_distance_is_kept_exactly() -> None:
    ramp = np.tile(np.arange(9, dtype=np.uint8) * 20, (8, 1))
    pictures = [ramp.copy() for _ in range(3)]
    for row in range(3):
        pictures[1][row] = pictures[1][row][::-1]  # 8 bits a row
    pictures[2][0, 4] = 0  # one bit
    data = [encode_image(p[:, :, None]) for p in pictures]
    assert (dhash(pictures[0][:, :, None]) ^ dhash(pictures[1][:, :, None])).bit_count() == 24
    assert (dhash(pictures[0][:, :, None]) ^ dhash(pictures[2][:, :, None])).bit_count() == 1
    for distance, merged in ((0, 0), (1, 1), (12, 1)):
        out = DropImageDuplicates(column="image", size=None, distance=distance).compute({"rows": frame(data)})
        assert out.filter(pl.col("_into").is_not_null()).height == merged


def test_limits_of_quality_give_their_reasons() -> None:
    rng = np.random.default_rng(1)
    grain = rng.integers(100, 140, (20, 20, 1)).astype(np.uint8)
    black, white = np.zeros_like(grain), np.full_like(grain, 255)
    half = np.where(np.arange(20)[:, None, None] % 2, 0, 255).astype(np.uint8).repeat(20, 1)
    flat = np.full_like(grain, 120)
    rows = frame([*(encode_image(p) for p in (grain, black, white, half, flat)), b"?", None])
    step = ImageQuality(
        column="image", size=None, min_sharpness=50, min_brightness=20, max_brightness=235, max_clipped=0.4
    )
    assert step.apply(rows)["_reason"].to_list() == [
        None, "blurred", "blurred", "clipped", "blurred", "unreadable_image", None,
    ]  # fmt: skip
    light = ImageQuality(column="image", size=None, min_brightness=20, max_brightness=235, sharpness=None, clipped="c")
    out = light.apply(rows)
    assert out["_reason"].to_list() == [None, "too_dark", "too_bright", None, None, "unreadable_image", None]
    assert set(out.columns) - set(rows.columns) == {"_reason", "brightness", "c"}
    assert out["c"].to_list() == [0, 1, 1, 1, 0, None, None]
    assert out["brightness"][0] == pytest.approx(grain.mean())
    with pytest.raises(ConfigurationError, match="holds String, and this step needs bytes"):
        light.apply(pl.DataFrame({"image": ["a.png"]}))


def drawn(bits: int) -> bytes:
    """Plain pixels (9 by 8) whose dHash is these bits."""
    steps = np.array([1 if bits >> (63 - n) & 1 else -1 for n in range(64)]).reshape(8, 8) * 10
    luma = np.concatenate([np.full((8, 1), 128), 128 + np.cumsum(steps, axis=1)], axis=1).astype(np.uint8)
    return luma[:, :, None].repeat(3, axis=2).tobytes()


@pytest.mark.parametrize("seed", range(6))
def test_chains_are_followed_as_they_grow_and_break(seed: int) -> None:
    base = 0x0F1E2D3C4B5A6978
    chain = [base]
    for n in range(9):  # 3 bits from one to the next, in other bands each time
        chain.append(chain[-1] ^ sum(1 << 16 * ((n + k) % 4) + n for k in range(3)))
    assert dhash(np.frombuffer(drawn(base), dtype=np.uint8).reshape(8, 9, 3)) == base
    rows = pl.DataFrame({"pixels": [drawn(bits) for bits in chain]}).with_columns(width=pl.lit(9), height=pl.lit(8))
    rows = rows.with_columns(_id=pl.Series([(n * 7) % 10 + 1 for n in range(10)], dtype=pl.UInt128))
    step = DropImageDuplicates(distance=3)
    assert step.compute({"rows": rows})["_into"].null_count() == 1
    assert DropImageDuplicates(distance=2).compute({"rows": rows})["_into"].null_count() == 10
    assert check_step(step, rows, seed=seed) == ()


def test_without_pillow_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "PIL", None)
    rows = frame([b"\x89PNG"])
    with pytest.raises(Unavailable) as caught:
        ImageQuality(column="image", size=None).apply(rows)
    assert "tillage[image]" in caught.value.fix
    plain = pl.DataFrame({"pixels": [bytes(27)], "width": [3], "height": [3]})
    assert ImageQuality().apply(plain)["brightness"].to_list() == [0]  # plain pixels need no library
