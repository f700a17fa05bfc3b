"""The libraries that a plan may ask for besides: tried where they are installed, refused with a way out where not."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from importlib.util import find_spec

import polars as pl
import pytest
from pydantic import ValidationError

from tillage.core.errors import ConfigurationError, Unavailable
from tillage.privacy import FindPii, Presidio, Redact
from tillage.privacy.presidio import _engine

WITH_PHONENUMBERS = pytest.mark.skipif(find_spec("phonenumbers") is None, reason="needs the extra pii")
WITH_PRESIDIO = pytest.mark.skipif(find_spec("presidio_analyzer") is None, reason="needs the extra presidio")
ROWS = pl.DataFrame({"t": ["Ruf an: 030 901820, oder 13812345678", "x", None]})


@pytest.fixture(autouse=True)
def fresh() -> Iterator[None]:
    """No engine that another test made."""
    _engine.cache_clear()
    yield
    _engine.cache_clear()


@pytest.mark.parametrize(
    ("library", "step", "install"),
    [
        ("phonenumbers", Redact(phone_regions=("DE",)), "tillage\\[pii\\]"),
        ("presidio_analyzer", FindPii(presidio=Presidio(entities=("PERSON",))), "tillage\\[presidio\\]"),
    ],
)
def test_an_absent_library_is_named_with_its_install_line(
    library: str, step: Redact | FindPii, install: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, library, None)
    with pytest.raises(Unavailable, match=install):
        step.apply(ROWS)


def test_what_is_asked_of_them_is_checked_before() -> None:
    with pytest.raises(ValidationError):
        Presidio(entities=())
    with pytest.raises(ValidationError):
        Presidio(entities=("PERSON",), spacy_model="../model")
    with pytest.raises(ValidationError):
        Redact(phone_regions=("Germany",))


@WITH_PHONENUMBERS
def test_phonenumbers_finds_what_its_countries_plan_says() -> None:
    assert Redact().apply(ROWS)["t"][0] == "Ruf an: 030 901820, oder [PHONE]"
    assert Redact(phone_regions=("DE",)).apply(ROWS)["t"].to_list() == ["Ruf an: [PHONE], oder [PHONE]", "x", None]


@WITH_PRESIDIO
def test_presidio_finds_without_a_model_and_without_the_network() -> None:
    rows = pl.DataFrame({"t": ["mail a.b@example.com now", "x", None]})
    step = Redact(types=(), presidio=Presidio(entities=("EMAIL_ADDRESS",)))
    assert step.apply(rows)["t"].to_list() == ["mail [EMAIL_ADDRESS] now", "x", None]
    with pytest.raises(ConfigurationError, match="Did you mean 'EMAIL_ADDRESS'"):
        Redact(presidio=Presidio(entities=("EMAIL_ADRESS",))).apply(rows)
    with pytest.raises(Unavailable, match="no_such_model"):
        Redact(presidio=Presidio(entities=("PERSON",), spacy_model="no_such_model")).apply(rows)
