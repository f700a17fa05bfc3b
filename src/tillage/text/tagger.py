"""A network that tags the tokens of texts, and what its tags say: spans, each with a confidence.

Each window of a text is run alone, so that no text's spans depend on those beside it. Several networks of one tokenizer
answer together, by the mean of their shares. Cost: that of the network, and 15 microseconds a word.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from tillage.core.errors import BadData
from tillage.text.encoder import Array, Cut, Network, Tokens
from tillage.text.entity_tags import Decoded, decoded, tag_names
from tillage.text.pretrained import Pretrained, safetensors
from tillage.text.transformer import Shape, Weight, quantized, write_graph

_BEGINS, _GOES_ON = "BSU", "IEML"
"""How tags begin that begin a span, and that go on with one: IOB2, and schemes that mark ends and single words too."""
HEAD = ("classifier.weight", "classifier.bias")
"""The last layer of Hugging Face's models for token classification."""


@dataclass(frozen=True)
class Tagger:
    """A network, and the names of its outputs: `O`, `B-LABEL`, `I-LABEL`."""

    network: Network
    tags: Sequence[str]

    @property
    def labels(self) -> list[str]:
        """The labels of its tags, in order."""
        return labels_of(self.tags)

    def logits(self, cuts: Sequence[Cut]) -> Array:
        """What the network says of the units of texts, one text after another: Float64 (units, tags)."""
        made = []
        for cut in cuts:
            told = [self.network.of(window.ids) for window in cut.windows] if cut.units else []
            made += [told[window][at] for window, at in cut.seen]
        return np.asarray(made, np.float64).reshape(len(made), len(self.tags))


def labels_of(tags: Sequence[str]) -> list[str]:
    """The labels of these tags, in order; raises BadData for a tag of no known scheme.

    >>> labels_of(["O", "B-PER", "I-PER", "S-LOC"])
    ['LOC', 'PER']
    >>> labels_of(["LABEL_0", "LABEL_1"])
    Traceback (most recent call last):
    tillage.core.errors.BadData: The model's tag 'LABEL_0' is none that marks a span. ...
    """
    for tag in tags:
        if tag != "O" and not (tag[:1] in _BEGINS + _GOES_ON and tag[1:2] == "-" and len(tag) > 2):
            raise BadData(
                f"The model's tag '{tag}' is none that marks a span.",
                fix="Take a model whose `id2label` are O, B-LABEL and I-LABEL.",
            )
    return sorted({tag[2:] for tag in tags if tag != "O"})


def told(tokens: Tokens, taggers: Sequence[Tagger], texts: Sequence[str]) -> list[Decoded]:
    """The spans of each text, by the mean of what the taggers say; all of them have this tokenizer."""
    labels = sorted({label for tagger in taggers for label in tagger.labels})
    place = {tag: at for at, tag in enumerate(tag_names(labels))}
    cuts = tokens.windows(texts) if texts else []
    shares = np.zeros((sum(len(cut.units) for cut in cuts), len(place)))
    for tagger in taggers:
        own = _softmax(tagger.logits(cuts)) / len(taggers)
        for at, tag in enumerate(tagger.tags):
            name = tag if tag == "O" else f"{'B' if tag[0] in _BEGINS else 'I'}-{tag[2:]}"
            shares[:, place[name]] += own[:, at]
    ends = np.cumsum([len(cut.units) for cut in cuts])
    parts = zip(cuts, ends, strict=True)
    return [decoded(shares[end - len(cut.units) : end], cut.units, labels) for cut, end in parts]


def pretrained_tagger(model: Pretrained, *, int8: bool = False) -> Tagger:
    """The tagger of a folder with a model for token classification; raises BadData when it has no such layer."""
    config, weights = model.config(), model.weights()
    named = config.get("id2label")
    if not isinstance(named, dict) or any(name not in weights for name in HEAD):
        raise BadData(
            f"The model in {model.folder} does not tag tokens: it has no layer '{HEAD[0]}', or no `id2label`.",
            fix="Take a model for token classification, or export one that entity_recognizer has learnt: "
            "tillage export MODEL --folder FOLDER.",
        )
    tags = [str(named.get(str(n))) for n in range(len(weights[HEAD[1]]))]
    labels_of(tags)
    encoder = Shape(config).weights(weights)
    head = (np.asarray(weights[HEAD[0]]).T, np.asarray(weights[HEAD[1]]))
    graph = write_graph(config, quantized(encoder) if int8 else encoder, pooling="none", head=head)
    return Tagger(Network(graph, Tokens(model.tokenizer(), model.max_tokens())), tags)


def tagger_files(
    config: Mapping[str, Any], weights: Mapping[str, Weight], head: Sequence[Array], tags: Sequence[str]
) -> dict[str, bytes]:
    """A tagger as Hugging Face's folders hold one, without the tokenizer: `config.json`, `model.safetensors`.

    `weights`: of `Shape.weights`; those in eight bits become float32 again. `head`: (width, tags) and biases.
    """
    family = Shape(config).family
    architecture = {"bert": "Bert", "distilbert": "DistilBert", "roberta": "Roberta", "xlm-roberta": "XLMRoberta"}
    kind = architecture.get(family, "Camembert")
    made = {**config, "architectures": [f"{kind}ForTokenClassification"]}
    made |= {"id2label": dict(enumerate(tags)), "label2id": {tag: at for at, tag in enumerate(tags)}}
    found = {theirs: _whole(weights[ours]) for ours, theirs in Shape(config).saved_names(weights).items()}
    found |= {
        HEAD[0]: np.ascontiguousarray(np.asarray(head[0], np.float32).T),
        HEAD[1]: np.asarray(head[1], np.float32),
    }
    return {"config.json": json.dumps(made, indent=1).encode(), "model.safetensors": safetensors(found)}


def _whole(weight: Weight) -> Array:
    if isinstance(weight, dict):
        return np.asarray(weight["values"] * weight["scale"][:, None], np.float32)
    return np.asarray(weight, np.float32)


def _softmax(scores: Array) -> Array:
    if not len(scores):
        return scores
    shares = np.exp(scores - scores.max(axis=1, keepdims=True))
    return np.asarray(shares / shares.sum(axis=1, keepdims=True))
