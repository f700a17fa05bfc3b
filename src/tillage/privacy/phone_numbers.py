"""Telephone numbers by Google's libphonenumber, where a plan asks for it: the numbering plan of every country.

Some 30 microseconds a text with digits, so it is a second stage and off by default. Extra: `pip install tillage[pii]`.
Source: github.com/daviddrysdale/python-phonenumbers.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Annotated

from pydantic import Field

from tillage.core.errors import Unavailable

Region = Annotated[str, Field(pattern="^[A-Z]{2}$")]
"""A country, as ISO 3166-1 writes it in two letters."""


def numbers_in(text: str, regions: Sequence[str]) -> Iterator[tuple[int, int]]:
    """(start, end) of each number that is valid in one of the regions, or anywhere with its country code.

    Raises Unavailable when the library is not installed.
    """
    try:
        import phonenumbers
    except ImportError:
        raise Unavailable(
            "'phone_regions' needs the library phonenumbers.", fix="Install it: pip install 'tillage[pii]'"
        ) from None
    if not any(c.isdigit() for c in text):
        return
    found = set()
    for region in regions:
        for match in phonenumbers.PhoneNumberMatcher(text, region):
            found.add((match.start, match.end))
    yield from sorted(found)
