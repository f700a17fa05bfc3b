"""Classes evened out: counted before and after."""

from __future__ import annotations

from collections import Counter

import polars as pl
import pytest

from tillage.augment import AddNoise, BalanceClasses, BalancedClasses
from tillage.core.errors import ConfigurationError
from tillage.core.rows import ID, PARENT

SIZES = {"rare": 400, "middle": 1000, "common": 3000}


def rows() -> pl.DataFrame:
    values = [name for name, n in SIZES.items() for _ in range(n)] + [None] * 50
    return pl.DataFrame({"y": values}).with_columns(_id=(pl.int_range(pl.len()) + 1).cast(pl.UInt128))


def fitted(step: BalanceClasses, frame: pl.DataFrame) -> BalancedClasses:
    return step.finish(step.update(step.start(), frame))


def left(out: pl.DataFrame) -> dict[str | bool | None, int]:
    return Counter(out.filter(pl.col("_reason").is_null())["y"] if "_reason" in out.columns else out["y"])


@pytest.mark.parametrize(("to", "wanted"), [("largest", 3000), ("median", 1000), ("smallest", 400)])
def test_every_class_comes_to_the_size_of_one(to: str, wanted: int) -> None:
    out = fitted(BalanceClasses.model_validate({"target": "y", "to": to}), rows()).apply(rows())
    sizes = left(out)
    assert sizes.pop(None) == 50
    for name, n in sizes.items():
        exact = SIZES[str(name)] == wanted or wanted % SIZES[str(name)] == 0
        assert abs(n - wanted) <= (0 if exact else 5 * wanted**0.5), (name, n)
    if "_reason" in out.columns:
        assert set(out["_reason"].drop_nulls()) == {"balanced"}
    made = out.filter(pl.col(PARENT).is_not_null())
    assert made[ID].is_unique().all()
    assert (made.height == 0) == (to == "smallest")
    most = made.group_by(PARENT).len()["len"].max()
    assert most in ({7, None} if to == "largest" else {2, None})


def test_a_rate_has_a_limit_and_new_classes_stay() -> None:
    step = fitted(BalanceClasses(target="y", most=2), rows())
    assert step.state["rates"] == {"middle": 2, "rare": 2}
    more = rows().with_columns(y=pl.lit("new"))
    assert step.apply(more).height == more.height


def test_numbers_with_fractions_are_no_classes() -> None:
    with pytest.raises(ConfigurationError, match="Put numbers into classes first"):
        fitted(BalanceClasses(target="x"), pl.DataFrame({"x": [0.5]}))
    booleans = pl.DataFrame({"y": [True] * 4 + [False], "_id": pl.Series(range(5), dtype=pl.UInt128)})
    assert left(fitted(BalanceClasses(target="y"), booleans).apply(booleans)) == {True: 4, False: 4}


def test_noise_on_numbers() -> None:
    x = [100.0] * 4000 + [None, float("nan"), float("inf")]
    frame = pl.DataFrame({"x": x}).with_columns(_id=pl.int_range(4003).cast(pl.UInt128))
    frame = frame.with_columns(n=pl.lit(7, dtype=pl.Int8))
    out = AddNoise(columns=("x", "n"), sd=0.02, relative=True).apply(frame).filter(pl.col(PARENT).is_not_null())
    assert out.height == 4000
    assert abs(out["x"].std() - 2) < 0.12  # type: ignore[operator]
    assert out["n"].dtype == pl.Int8
    assert set(out["n"]) <= {6, 7, 8}
    whole = AddNoise(columns=("n",), sd=300).apply(frame).filter(pl.col(PARENT).is_not_null())
    assert whole["n"].is_between(-128, 127).all()
