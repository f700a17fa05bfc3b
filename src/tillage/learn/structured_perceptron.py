"""Marked texts learnt without a network: words, their shapes and neighbours are weighed by an averaged perceptron.

Where the best tags of a text by the weights of now are not those that are marked, the features of the one lose a point
and those of the other win one; the answer is by the mean of all weights there ever were. Points are whole numbers, so
the model is the same on every machine. Chinese is taken by character. 1,200 sentences of 25 words and 17 labels are
learnt in 3 CPU seconds; an answer takes a millisecond. The state is a megabyte or two, words among them.
Sources: Collins, Discriminative training methods for hidden Markov models, EMNLP 2002; Freund and Schapire, Large
margin classification using the perceptron algorithm, 1999 (averaging); Guo et al., On calibration of modern neural
networks, ICML 2017 (one temperature).
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import Any, ClassVar, Literal

import numpy as np
import polars as pl
from pydantic import Field

from tillage.core.errors import BadData
from tillage.core.keys import fraction
from tillage.core.rows import ID
from tillage.core.state import State
from tillage.learn.ensemble import ShardedLearner
from tillage.learn.learner import Numbers
from tillage.learn.marking import MarkingModel, lost_warnings, marked_rows
from tillage.text.entity_tags import Decoded, decoded, tag_names, tagged

_UNSPACED = "\u3040-\u30ff\u3400-\u9fff\U00020000-\U0003ffff"
_UNIT = re.compile(rf"[{_UNSPACED}]|[^\W{_UNSPACED}]+|[^\w\s]")
_FORBIDDEN = -(10**12)
_LEAST_SEEN = 2
"""Times that a feature stands in the training texts, below which it is not learnt."""
_FEWEST = 100
"""Words held back below which the confidence is a guess."""
_LOWEST = -300.0
"""Logarithm below which what is unlikely is not told apart: two such and a share of them are no zero yet."""
_USUAL = 4.0
"""Points that make a factor of e where nothing was held back to learn that from."""


class StructuredPerceptron(ShardedLearner):
    """Mark names and other parts of texts by the words and their neighbours: needs no library beyond the base.

    `target` is as of `entity_recognizer`. A tenth of the rows is held back by their ids (`validation`): one number,
    the temperature, is learnt there that puts the confidence right.

    >>> from tillage.text.spans import spans_of
    >>> step = StructuredPerceptron(input="text", target="spans", validation=0.0)
    >>> rows = pl.DataFrame({"text": ["call Ann now", "call Bob now", "now call"] * 5,
    ...     "spans": ['[[5, 8, "NAME"]]', '[[5, 8, "NAME"]]', "[]"] * 5})
    >>> model = step.compute({"rows": rows})
    >>> spans_of(model.apply(pl.DataFrame({"text": ["call Eve now"]}))["prediction"])
    [[Span(start=5, end=8, label='NAME')]]
    """

    task: ClassVar[Literal["token_classification"]] = "token_classification"

    input: str = Field(min_length=1, description="column of text")
    target: str = Field("spans", min_length=1, description="column of spans; rows where it is null are left out")
    epochs: int = Field(10, ge=1, le=1000, description="times that every text is learnt from")
    validation: float = Field(0.1, ge=0, le=0.5, description="share of the rows held back, for the confidence; 0: none")
    seed: int = Field(0, ge=0, lt=2**31, description="of the order of texts")

    def needs(self) -> tuple[str, ...]:
        return (self.input, self.target)

    def learn(self, rows: pl.DataFrame, before: State | None) -> State:
        """The state; raises BadData when no row has a span or a text, or its column holds no spans."""
        rows, texts, spans = marked_rows(rows, self.input, self.target)
        labels = sorted({span.label for some in spans for span in some})
        ids = rows[ID] if ID in rows.columns else pl.Series(range(rows.height), dtype=pl.Int64)
        held = (fraction(ids, "validation") < self.validation).to_list()
        cut = [units_of(text) for text in texts]
        told = [tagged(units, some, labels) for units, some in zip(cut, spans, strict=True)]
        seen = [n for n in range(len(texts)) if cut[n] and not held[n]]
        if not seen:
            raise BadData(f"No text in {self.input} has a word to learn from.", fix="Add rows, or change 'validation'.")
        features = [list(features_of(text, units)) for text, units in zip(texts, cut, strict=True)]
        counts = Counter(name for n in seen for unit in features[n] for name in unit)
        vocabulary = sorted(name for name, times in counts.items() if times >= _LEAST_SEEN)
        place = {name: at for at, name in enumerate(vocabulary)}
        points = _Points(len(vocabulary), len(tag_names(labels)))
        examples = [(_places(features[n], place), told[n].tags) for n in seen]
        for epoch in range(self.epochs):
            for at in np.random.Generator(np.random.PCG64([self.seed, epoch])).permutation(len(examples)):
                points.learn(*examples[at])
        weights, following = points.mean()
        used = np.flatnonzero(weights[:-1].any(axis=1))
        state: dict[str, Any] = {
            "features": [vocabulary[at] for at in used],
            "weights": weights[used],
            "following": following,
            "temperature": _USUAL,
            "classes": labels,
            "input": [self.input],
            "target": self.target,
            "warnings": lost_warnings(sum(t.lost for t in told), sum(t.moved for t in told), sum(map(len, spans))),
        }
        judging = [n for n in range(len(texts)) if held[n] and cut[n]]
        if sum(len(cut[n]) for n in judging) >= _FEWEST:
            model = StructuredPerceptronModel(state=state)
            scores = [model.points(features[n]) for n in judging]
            state["temperature"] = _temperature(scores, following, [told[n].tags for n in judging])
        return state

    def fitted(self, state: State) -> StructuredPerceptronModel:
        return StructuredPerceptronModel(state=state)


class StructuredPerceptronModel(MarkingModel):
    """Adds `prediction` and `confidence` to rows by a StructuredPerceptron's state.

    `prediction`: the spans as JSON text, each with its `confidence`, the least share of the tags of its words.
    `confidence`: the least share of any word of the text.

    >>> StructuredPerceptronModel(state={"input": ["text"]}).needs()
    ('text',)
    """

    @property
    def is_linear(self) -> bool:
        """Whether scores are a weighted sum of features: always."""
        return True

    def marks(self, texts: Sequence[str]) -> list[Decoded]:
        labels = self.state["classes"]
        place = {tag: at for at, tag in enumerate(tag_names(labels))}
        members = [member for member in self.members if isinstance(member, StructuredPerceptronModel)]
        own = [[place[tag] for tag in tag_names(member.state["classes"])] for member in members]
        found = []
        for text in texts:
            units = units_of(text)
            features = list(features_of(text, units))
            shares = np.zeros((len(units), len(place)))
            for member, columns in zip(members, own, strict=True):
                shares[:, columns] += member.scores(features) / len(members)
            found.append(decoded(shares, units, labels))
        return found

    def scores(self, seen: Sequence[Sequence[str]]) -> Numbers:
        """How likely each tag is of the units of one text, by their features: (units, tags), each row's sum 1."""
        if not seen:
            return np.zeros((0, len(tag_names(self.state["classes"]))))
        return _shares(self.points(seen), self.state["following"], float(self.state["temperature"]))

    def points(self, features: Sequence[Sequence[str]]) -> Numbers:
        """What the features of the units of one text say for each tag: Float64 (units, tags)."""
        return np.asarray(self._weights[_places(features, self._place)].sum(axis=1))

    @cached_property
    def _place(self) -> dict[str, int]:
        return {name: at for at, name in enumerate(self.state["features"])}

    @cached_property
    def _weights(self) -> Numbers:
        weights = np.asarray(self.state["weights"], np.float64)
        return np.concatenate([weights, np.zeros((1, weights.shape[1]))])


class _Points:
    """Weights of features and of tags that follow each other, in whole numbers, and what their mean takes."""

    def __init__(self, features: int, tags: int) -> None:
        self._weights = np.zeros((features + 1, tags), np.int64)  # the last row is of what is not known
        self._later = np.zeros_like(self._weights)
        self._following = np.zeros((tags, tags), np.int64)
        self._following_later = np.zeros_like(self._following)
        self._step = 0
        self._barred = _barred(tags)

    def learn(self, places: Numbers, tags: Sequence[int]) -> None:
        """One text: where its best tags are not these, these gain."""
        found = _best(self._weights[places].sum(axis=1), self._following + self._barred)
        for at, (wanted, said) in enumerate(zip(tags, found, strict=True)):
            if wanted != said:
                self._move(self._weights, self._later, places[at], wanted, said)
            if at and (tags[at - 1], wanted) != (found[at - 1], said):
                self._move(self._following, self._following_later, tags[at - 1], wanted, None)
                self._move(self._following, self._following_later, found[at - 1], None, said)
        self._weights[-1] = self._later[-1] = 0
        self._step += 1

    def _move(self, weights: Numbers, later: Numbers, rows: Any, up: int | None, down: int | None) -> None:
        for tag, sign in ((up, 1), (down, -1)):
            if tag is not None:
                weights[rows, tag] += sign
                later[rows, tag] += sign * self._step

    def mean(self) -> tuple[Numbers, Numbers]:
        """The mean of all weights there were after each text: Float32, rounded once."""
        found = []
        for weights, later in ((self._weights, self._later), (self._following, self._following_later)):
            found.append(((weights * self._step - later) / self._step).astype(np.float32))
        return found[0], found[1]


def units_of(text: str) -> list[tuple[int, int]]:
    """Where the words, the characters of Chinese and Japanese, and the signs of a text begin and end.

    >>> [text[a:b] for text in ["Ann's 3.5 张三"] for a, b in units_of(text)]
    ['Ann', "'", 's', '3', '.', '5', '张', '三']
    """
    return [match.span() for match in _UNIT.finditer(text)]


def features_of(text: str, units: Sequence[tuple[int, int]]) -> Iterator[list[str]]:
    """Of each unit what is known: itself, its shape, its ends, and those of its neighbours; none twice.

    >>> list(features_of("Ann", [(0, 3)]))[0][:4]
    ['w ann', 's Xx', '<1 a', '>1 n']
    """
    words = [text[a:b].lower() for a, b in units]
    shapes = [_shape(text[a:b]) for a, b in units]
    pad = ["", ""]
    w, s = [*pad, *words, *pad], [*pad, *shapes, *pad]
    for at, (start, _) in enumerate(units, 2):
        word = w[at]
        found = [f"w {word}", f"s {s[at]}"]
        for size in range(1, min(4, len(word))):
            found += [f"<{size} {word[:size]}", f">{size} {word[-size:]}"]
        found += [f"w{n} {w[at + n]}" for n in (-2, -1, 1, 2)]
        found += [f"s{n} {s[at + n]}" for n in (-1, 1)]
        found += [f"ww- {w[at - 1]} {word}", f"ww+ {word} {w[at + 1]}", f"w+- {w[at - 1]} {w[at + 1]}"]
        found += [f"ss {s[at - 1]} {s[at]} {s[at + 1]}", f"sw {s[at]} {w[at - 1]}"]
        found.append("apart" if start == 0 or text[start - 1].isspace() else "joined")
        yield found


def _shape(word: str) -> str:
    """Capitals X, small letters x, digits d with their number up to four, other signs themselves; runs as one.

    >>> _shape("McDonald"), _shape("2024"), _shape("-"), _shape("\u5f20")
    ('XxXx', 'd4', '-', '\u6587')
    """
    if word.isdigit():
        return f"d{min(len(word), 5)}"
    kinds = ["X" if c.isupper() else "x" if c.islower() else "d" if c.isdigit() else c for c in word]
    kinds = ["\u6587" if kind.isalpha() and kind not in "Xxd" else kind for kind in kinds]
    return "".join(kind for n, kind in enumerate(kinds) if not n or kind != kinds[n - 1])


def _places(features: Sequence[Sequence[str]], place: dict[str, int]) -> Numbers:
    """The places of the features of each unit, filled up with the one of what is not known."""
    none = len(place)
    most = max(map(len, features), default=0)
    found = np.full((len(features), most), none, np.int64)
    for at, names in enumerate(features):
        found[at, : len(names)] = [place.get(name, none) for name in names]
    return found


def _barred(tags: int) -> Numbers:
    """What keeps I from following anything but B or I of its label: (tag before, tag)."""
    found = np.zeros((tags, tags), np.int64)
    for inside in range(2, tags, 2):
        found[:, inside] = _FORBIDDEN
        found[inside - 1 : inside + 1, inside] = 0
    return found


def _best(scores: Numbers, following: Numbers) -> list[int]:
    """The tags of the greatest sum (Viterbi); of equals the first. I never stands at the beginning."""
    best = scores[0].copy()
    best[2::2] += _FORBIDDEN
    back = []
    for row in scores[1:]:
        ways = best[:, None] + following
        back.append(ways.argmax(axis=0))
        best = ways.max(axis=0) + row
    path = [int(best.argmax())]
    for step in reversed(back):
        path.append(int(step[path[-1]]))
    return path[::-1]


def _shares(scores: Numbers, following: Numbers, temperature: float) -> Numbers:
    """How likely each tag of each unit is over all sequences (forward and backward): (units, tags)."""
    unit = np.asarray(scores, np.float64) / temperature
    both = np.asarray(following, np.float64) / temperature
    ways = np.exp(np.maximum(both - both.max(), _LOWEST)) * (_barred(len(following)) == 0)
    weight = np.exp(np.maximum(unit - unit.max(axis=1, keepdims=True), _LOWEST))
    weight[0, 2::2] = 0
    forward, backward = np.zeros_like(weight), np.ones_like(weight)
    for at in range(len(weight)):
        reached = weight[at] * (forward[at - 1] @ ways if at else 1)
        forward[at] = reached / reached.sum()
    for at in range(len(weight) - 2, -1, -1):
        backward[at] = ways @ (weight[at + 1] * backward[at + 1])
        backward[at] /= backward[at].sum()
    shares = forward * backward
    return np.asarray(shares / shares.sum(axis=1, keepdims=True))


def _temperature(scores: Sequence[Numbers], following: Numbers, tags: Sequence[Sequence[int]]) -> float:
    """The temperature by which the tags of rows held back are likeliest, of powers of the fourth root of 2."""

    def lost(power: int) -> float:
        total = 0.0
        for one, wanted in zip(scores, tags, strict=True):
            shares = _shares(one, following, 2 ** (power / 4))[np.arange(len(wanted)), wanted]
            total -= float(np.log(np.maximum(shares, 1e-12)).sum())
        return total

    return float(2 ** (min(range(-4, 29), key=lost) / 4))
