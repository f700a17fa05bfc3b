"""Microsoft Presidio's recognisers, where a plan asks for them: entities of many countries, and names by a spaCy model.

A model is never fetched: its package must be installed, and without one only the recognisers that need no model are
asked. Some milliseconds a text. Extra: `pip install tillage[presidio]`. Source: github.com/microsoft/presidio.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from importlib.util import find_spec
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from tillage.core.errors import ConfigurationError, Unavailable, unknown_name


class Presidio(BaseModel):
    """What Presidio looks for, and with which model.

    >>> Presidio(entities=("US_BANK_NUMBER",)).language
    'en'
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    entities: tuple[Annotated[str, Field(pattern="^[A-Z_]{1,40}$")], ...] = Field(
        min_length=1, description="names of Presidio's entities, such as PERSON"
    )
    language: str = Field("en", pattern="^[a-z]{2}$", description="language of the texts, in two letters")
    spacy_model: str = Field(
        "", pattern="^[a-z0-9_]*$", description="installed package of a spaCy model; empty: recognisers without a model"
    )
    score: float = Field(0.4, ge=0, le=1, description="least score of what is taken, 0 to 1")


def entities_in(text: str, wanted: Presidio) -> Iterator[tuple[int, int, str]]:
    """(start, end, entity in lower case) of what Presidio finds in a text.

    Raises Unavailable when the library or the model is not installed, ConfigurationError for an unknown entity.
    """
    engine = _engine(wanted.language, wanted.spacy_model)
    known = engine.get_supported_entities(wanted.language)
    for entity in wanted.entities:
        if entity not in known:
            raise ConfigurationError(unknown_name("entity of Presidio", entity, known))
    found = engine.analyze(text, language=wanted.language, entities=list(wanted.entities), score_threshold=wanted.score)
    yield from sorted((one.start, one.end, one.entity_type.lower()) for one in found)


@lru_cache(maxsize=4)
def _engine(language: str, model: str) -> Any:
    try:
        import presidio_analyzer as presidio
        import tldextract
        from presidio_analyzer.nlp_engine import NoOpNlpEngine, SpacyNlpEngine
    except ImportError:
        raise Unavailable(
            "'presidio' needs the library presidio-analyzer.", fix="Install it: pip install 'tillage[presidio]'"
        ) from None
    if model and find_spec(model) is None:
        raise Unavailable(f"The spaCy model '{model}' is not installed.", fix=f"Install the package {model}.")
    # the check of e-mail domains would otherwise fetch a list of suffixes from the network at its first use
    tldextract.tldextract.TLD_EXTRACTOR = tldextract.TLDExtract(suffix_list_urls=(), cache_dir=None)
    models = [{"lang_code": language, "model_name": model or "none"}]
    nlp = SpacyNlpEngine(models=models) if model else NoOpNlpEngine(models=models)
    nlp.load()
    registry = presidio.RecognizerRegistry(supported_languages=[language])
    registry.load_predefined_recognizers(languages=[language], nlp_engine=nlp)
    return presidio.AnalyzerEngine(registry=registry, nlp_engine=nlp, supported_languages=[language])
