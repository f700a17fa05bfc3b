"""Time zones by name, checked against the list of Polars, which every conversion then uses. Cost: one look-up."""

from __future__ import annotations

from typing import Annotated, Literal

import polars as pl
from pydantic import AfterValidator


def _known(name: str) -> str:
    try:
        pl.select(pl.datetime(2000, 1, 1, time_zone=name))
    except pl.exceptions.ComputeError:
        raise ValueError(f"no time zone is called {name!r}; one is written such as Asia/Shanghai or UTC") from None
    return name


TimeZone = Annotated[str, AfterValidator(_known)]
"""A name of the IANA time zone database."""


Ambiguous = Literal["earliest", "latest", "fail"]
"""What a time is that clocks show twice, where they go back."""


def in_zone(moments: pl.Expr, zone: str, ambiguous: Ambiguous = "earliest") -> pl.Expr:
    """Times without a zone as times of `zone`: null in the hour left out, and where clocks go back if that shall fail.

    >>> import datetime as dt
    >>> rows = pl.DataFrame({"t": [dt.datetime(2024, 7, 1, 12)]})
    >>> rows.select(in_zone(pl.col("t"), "Asia/Shanghai").dt.convert_time_zone("UTC"))["t"].to_list()[0].hour
    4
    """
    twice = "null" if ambiguous == "fail" else ambiguous
    return moments.dt.replace_time_zone(zone, ambiguous=twice, non_existent="null")
