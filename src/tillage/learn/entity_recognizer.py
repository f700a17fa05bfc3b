"""A pretrained encoder of texts that learns to mark parts of them: names, places, sums (token classification).

Each word, or character of Chinese, gets a tag; tags are decoded together, so that a name is whole. A text is read to
its end, in windows that overlap. 1,200 sentences of 25 words and 6 layers take half a CPU minute an epoch. An answer
takes 8 ms of one processor, in eight bits 3 ms, and no PyTorch: the weights are written as a graph that ONNX Runtime
runs. A model of 22 million weights is 90 MB of state, in eight bits 23.
Sources: Devlin et al., BERT, NAACL 2019, section 5.3; Tjong Kim Sang and De Meulder, CoNLL 2003 (the task).
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any, ClassVar, Literal

import numpy as np
import polars as pl
from pydantic import Field

from tillage.core.errors import BadData, UsageError
from tillage.core.state import State
from tillage.learn.deep.batches import by_length
from tillage.learn.deep.text_network import HEAD, learnt, padded, text_network
from tillage.learn.deep.trainer import torch
from tillage.learn.encoder_learner import EncoderLearner, unpacked
from tillage.learn.learner import PREDICTION, Numbers
from tillage.learn.marking import MarkingModel, lost_warnings, marked_rows
from tillage.measure.spans import span_counts, span_f1
from tillage.text.encoder import Cut, Network, Tokens
from tillage.text.entity_tags import Decoded, tag_names, tagged
from tillage.text.pretrained import Pretrained
from tillage.text.spans import Span, keys_of
from tillage.text.tagger import Tagger, tagger_files, told
from tillage.text.transformer import Shape, write_graph

_JUDGED = 64
"""Windows that are looked at together where nothing is learnt."""
_SHOWN, _FEWEST, _MOST = 15_000, 3, 20
"""Texts, counted again at each epoch, that a training shows, within bounds of its epochs."""
_NOTHING = -100
"""The target of a token that is not asked for."""


class EntityRecognizer(EncoderLearner):
    """Mark names and other parts of texts by a pretrained encoder that learns to (`pip install 'tillage[deep]'`).

    `target` is a column of spans: for each text a list of `{"start": 0, "end": 5, "label": "PERSON"}`, in characters
    from 0, the end not included; `[]` is a text without any, null one that nobody has looked at. Spans do not overlap:
    of two that do the longer is learnt.

    >>> EntityRecognizer(input="text", target="spans", model="package:no_such_package")
    Traceback (most recent call last):
    pydantic_core._pydantic_core.ValidationError: 1 validation error for EntityRecognizer
    model
      Value error, No Python package is called 'no_such_package'. ...
    """

    task: ClassVar[Literal["token_classification"]] = "token_classification"

    input: str = Field(min_length=1, description="column of text")
    target: str = Field("spans", min_length=1, description="column of spans; rows where it is null are left out")
    epochs: int | None = Field(
        None,
        ge=1,
        le=1000,
        description="times that every text is learnt from, at most; null: 3 to 20, so that 15,000 are shown",
    )
    batch: int = Field(16, ge=1, le=4096, description="windows of texts that are learnt from together")
    max_tokens: int = Field(
        128,
        ge=8,
        le=8192,
        description="tokens of a window; a longer text is read in several, which overlap by a quarter",
    )

    def needs(self) -> tuple[str, ...]:
        return (self.input, self.target)

    def learn(self, rows: pl.DataFrame, before: State | None) -> State:
        """The state; raises BadData when no row has a span or its column holds none, GateFailed, Unavailable."""
        rows, texts, spans = marked_rows(rows, self.input, self.target)
        labels = sorted({span.label for some in spans for span in some})
        found = Pretrained.find(self.model)
        shape = Shape(found.config())
        most = min(self.max_tokens, found.max_tokens())
        held = self.held(rows, judged=self.compress is not None)
        task = _Task(_tokens(found.tokenizer(), most).windows(texts), spans, labels)
        seen, judging = task.of(~held), task.of(held)
        if not len(seen):
            raise BadData(f"No text in {self.input} has a word.", fix="Look at the column.")
        weights = {name: np.asarray(value) for name, value in shape.weights(found.weights()).items()}
        tags = len(tag_names(labels))
        network = text_network(shape, weights, task.ids, tags, "none", self.dropout, self.of_lora(), self.seed)
        curve = self.tuning(self.epochs or _epochs(int((~held).sum()))).train(
            network,
            lambda epoch: [seen[part] for part in by_length(task.lengths(seen), self.batch, self.seed, epoch)],
            task.loss,
            judge=(lambda trained: task.mean(trained, judging)) if len(judging) else None,
        )
        made = learnt(network)
        head = [made.pop(f"{HEAD}.weight").T.copy(), made.pop(f"{HEAD}.bias")]
        state: dict[str, Any] = {
            "config": json.dumps(found.config(), sort_keys=True),
            "tokenizer": found.tokenizer(),
            "max_tokens": most,
            "weights": made,
            "head": head,
            "classes": labels,
            "curve": curve,
            "input": [self.input],
            "target": self.target,
            "warnings": task.warnings(),
        }
        if self.compress is None:
            return state
        judged = rows.filter(pl.Series(held))
        truth = keys_of(judged[self.target])

        def score(one: State) -> float:
            return span_f1(span_counts(truth, keys_of(self.fitted(one).apply(judged)[PREDICTION])))

        return self.small(state, judged.height, "f1", score)

    def fitted(self, state: State) -> EntityRecognizerModel:
        return EntityRecognizerModel(state=state)


class EntityRecognizerModel(MarkingModel):
    """Adds `prediction` and `confidence` to rows by an EntityRecognizer's state (`pip install 'tillage[encoder]'`).

    `prediction`: the spans as JSON text, each with its `confidence`, the least share of the tags of its words.
    `confidence`: the least share of any word of the text, how sure it is that nothing is missed or made up. Each window
    is run alone, so a row's answer depends on no other.

    >>> EntityRecognizerModel(state={"input": ["text"]}).needs()
    ('text',)
    """

    def scores(self, seen: Sequence[Cut]) -> Numbers:
        """What the network says of the units of texts, one text after another: (units, tags), logarithmic."""
        return np.asarray(self._tagger.logits(seen))

    def onnx(self, facts: Mapping[str, str] | None = None) -> bytes:
        """The model as ONNX for padded batches: `input_ids`, `attention_mask` to `logits` of each token.

        The metadata `tags`, as JSON, names what the logits are of. Raises UsageError for shards.
        """
        if len(self.members) > 1:
            raise UsageError("A model of several shards is no one graph.", fix="Train it without 'shards'.")
        state = self.members[0].state
        tags = json.dumps(tag_names(state["classes"]), ensure_ascii=False)
        return _graph(state, masked=True, facts={**(facts or {}), "tags": tags})

    def beside_onnx(self) -> dict[str, bytes]:
        """The files that the graph cannot do without: the tokenizer that cuts texts into `input_ids`."""
        return {"tokenizer.json": self.members[0].state["tokenizer"].encode()}

    @property
    def uncompressed(self) -> EntityRecognizerModel | None:
        """The same model as large as it was learnt, to be compared with; None where it was not made small."""
        state = unpacked(self.state)
        return None if state is None else EntityRecognizerModel(state=state)

    def folder(self) -> dict[str, bytes]:
        """The files of a folder as Hugging Face lays out a model for token classification; UsageError for shards.

        `recognize_entities` takes it, and so does the library transformers.
        """
        if len(self.members) > 1:
            raise UsageError("A model of several shards is no one network.", fix="Train it without 'shards'.")
        state = self.members[0].state
        tags = tag_names(state["classes"])
        made = tagger_files(json.loads(state["config"]), state["weights"], state["head"], tags)
        return {**made, "tokenizer.json": state["tokenizer"].encode()}

    def marks(self, texts: Sequence[str]) -> list[Decoded]:
        """What each text's tags say, by the mean of the shards' shares."""
        first = self.members[0].state  # all shards learn from one encoder
        tokens = _tokens(first["tokenizer"], first["max_tokens"])
        return told(tokens, [member._tagger for member in self.members if isinstance(member, type(self))], texts)

    @cached_property
    def _tagger(self) -> Tagger:
        network = Network(_graph(self.state), _tokens(self.state["tokenizer"], self.state["max_tokens"]))
        return Tagger(network, tag_names(self.state["classes"]))


class _Task:
    """The windows of all texts with the tag of each token: the loss of some of them, and what is judged by."""

    def __init__(self, cuts: Sequence[Cut], spans: Sequence[Sequence[Span]], labels: Sequence[str]) -> None:
        self.ids: list[list[int]] = []
        """The tokens of each window."""
        self._tags: list[Numbers] = []
        self._rows: list[int] = []
        self._lost = self._moved = self._spans = 0
        units = 0
        for row, (cut, some) in enumerate(zip(cuts, spans, strict=True)):
            tags = tagged(cut.units, some, labels)
            self._spans += len(some)
            self._lost += tags.lost
            self._moved += tags.moved
            asked = [np.full(len(window.ids), _NOTHING, np.int64) for window in cut.windows]
            for (number, at), tag in zip(cut.seen, tags.tags, strict=True):
                asked[number][at] = tag
            for window, wanted in zip(cut.windows, asked, strict=True):
                if (wanted != _NOTHING).any():
                    self.ids.append(window.ids)
                    self._tags.append(wanted)
                    self._rows.append(row)
            units += len(cut.units)
        self._usual = units / max(1, len(self.ids))
        """Units of a window: the loss of one is a sum over its units, divided by this."""

    def of(self, rows: Numbers) -> Numbers:
        """The windows of the rows that are true."""
        return np.array([n for n, row in enumerate(self._rows) if rows[row]], np.int64)

    def lengths(self, some: Numbers) -> list[int]:
        """The tokens of each of these windows."""
        return [len(self.ids[n]) for n in some]

    def loss(self, network: Any, some: Numbers) -> Any:
        """Cross-entropy, summed over the units of these windows, in units of a usual window."""
        library = torch()
        if not len(some):  # a process of several that has no part of this batch
            return sum(value.sum() for value in network.parameters() if value.requires_grad) * 0.0
        tokens, mask = padded([self.ids[n] for n in some])
        logits = network(tokens, mask).float()
        wanted = np.full(tuple(tokens.shape), _NOTHING, np.int64)
        for at, n in enumerate(some):
            wanted[at, : len(self._tags[n])] = self._tags[n]
        asked = library.from_numpy(wanted).flatten()
        lost = library.nn.functional.cross_entropy(logits.flatten(0, 1), asked, reduction="sum", ignore_index=_NOTHING)
        return lost / self._usual

    def mean(self, network: Any, some: Numbers) -> float:
        """The mean loss of windows that are not learnt from; those of like length together."""
        order = some[np.argsort(self.lengths(some), kind="stable")]
        parts = [order[at : at + _JUDGED] for at in range(0, len(order), _JUDGED)]
        return sum(float(self.loss(network, part)) for part in parts) / len(order)

    def warnings(self) -> list[str]:
        """What could not be learnt as it is marked."""
        return lost_warnings(self._lost, self._moved, self._spans)


def _epochs(rows: int) -> int:
    """Few texts need to be seen more often.

    >>> _epochs(1_000), _epochs(100), _epochs(100_000)
    (15, 20, 3)
    """
    return max(_FEWEST, min(_MOST, round(_SHOWN / rows)))


def _tokens(tokenizer: str, most: int) -> Tokens:
    return Tokens(tokenizer, most, overlap=most // 4)


def _graph(state: State, *, masked: bool = False, facts: Mapping[str, str] | None = None) -> bytes:
    config, head = json.loads(state["config"]), (state["head"][0], state["head"][1])
    return write_graph(config, state["weights"], pooling="none", head=head, masked=masked, facts=facts)
