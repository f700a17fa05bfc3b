"""The naive model of marked texts: what was marked in training, looked up.

A phrase that was marked in training, and always as the same, is marked wherever it stands; the longest first. Names
that come again are found so, and no other. One pass; counts of phrases merge in any order.
Source: Tjong Kim Sang and De Meulder, Introduction to the CoNLL-2003 shared task, CoNLL 2003, section 2.5 (baseline).
"""

from __future__ import annotations

from functools import cached_property

import polars as pl
from pydantic import Field

from tillage.core.errors import BadData
from tillage.core.rows import column
from tillage.core.state import State
from tillage.core.step import Fitted, Fold
from tillage.evaluate.baseline import BASELINE
from tillage.text.dictionary import Dictionary
from tillage.text.spans import Span, spans_of, written


class TokenClassificationBaseline(Fold):
    """Mark the phrases that were marked in training, each as what it always was.

    >>> fold = TokenClassificationBaseline(target="spans", input="text")
    >>> rows = pl.DataFrame({"text": ["Ann of Ulm"], "spans": ['[[0, 3, "NAME"], [7, 10, "TOWN"]]']})
    >>> model = fold.finish(fold.update(fold.start(), rows))
    >>> model.apply(pl.DataFrame({"text": ["Anna and Ann"]}))["baseline"][0]
    '[{"end":12,"label":"NAME","start":9}]'
    """

    target: str = Field(min_length=1, description="column of spans that the model learns")
    input: str = Field(min_length=1, description="column of text")

    def needs(self) -> tuple[str, ...]:
        return (self.input, self.target)

    def start(self) -> State:
        return {}

    def update(self, state: State, rows: pl.DataFrame) -> State:
        texts = column(rows, self.input).cast(pl.String).to_list()
        found: dict[str, dict[str, int]] = {}
        for text, spans in zip(texts, spans_of(column(rows, self.target)), strict=True):
            for start, end, label in spans or ():
                phrase = (text or "")[max(0, start) : max(0, end)]
                if phrase.strip():
                    labels = found.setdefault(phrase, {})
                    labels[label] = labels.get(label, 0) + 1
        return self.merge(state, found)

    def merge(self, a: State, b: State) -> State:
        return {phrase: _added(a.get(phrase, {}), b.get(phrase, {})) for phrase in sorted({*a, *b})}

    def finish(self, state: State) -> TokenClassificationBaselineModel:
        """The Map; raises BadData when no row had a span."""
        if not state:
            raise BadData(
                f"No row has a span in the target column '{self.target}'.",
                fix="Look at the filters before the model, and at the column's name.",
            )
        phrases: dict[str, list[str]] = {}
        for phrase, labels in sorted(state.items()):
            if len(labels) == 1:
                phrases.setdefault(next(iter(labels)), []).append(phrase)
        return TokenClassificationBaselineModel(state={"input": self.input, "phrases": phrases, "warnings": []})


class TokenClassificationBaselineModel(Fitted):
    """Adds the column `baseline`: spans as JSON text.

    >>> model = TokenClassificationBaselineModel(state={"input": "t", "phrases": {"CITY": ["北京"]}})
    >>> model.apply(pl.DataFrame({"t": ["我在北京"]}))["baseline"][0]
    '[{"end":4,"label":"CITY","start":2}]'
    """

    def needs(self) -> tuple[str, ...]:
        return (str(self.state["input"]),)

    def apply(self, rows: pl.DataFrame) -> pl.DataFrame:
        texts = column(rows, self.state["input"]).cast(pl.String).to_list()
        found = [written(Span(*one) for one in self._phrases.find(text or "")) for text in texts]
        return rows.with_columns(pl.Series(BASELINE, found, dtype=pl.String))

    @cached_property
    def _phrases(self) -> Dictionary:
        return Dictionary(tuple((label, tuple(some)) for label, some in self.state["phrases"].items()))


def _added(a: State, b: State) -> State:
    return {label: a.get(label, 0) + b.get(label, 0) for label in sorted({*a, *b})}
