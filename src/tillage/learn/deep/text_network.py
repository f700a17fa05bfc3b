"""An encoder of the BERT family with a linear layer on top, in PyTorch, its parameters named as in the saved folder.

So what is learnt goes as it is into the graph that answers (`text/transformer.py`). Words that no text at hand holds
stay as they were and take no part: half of the weights are words', of an encoder of many languages most of them. LoRA
learns two thin matrices beside each of the encoder's, and adds their product in the end: a tenth of the memory to
train, nothing to answer.
Sources: Devlin et al., BERT, NAACL 2019; Hu et al., LoRA, ICLR 2022;
Gal and Ghahramani, A theoretically grounded application of dropout, NeurIPS 2016 (one mask at all places).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal

import numpy as np

from tillage.learn.deep.trainer import arrays, torch
from tillage.learn.learner import Numbers
from tillage.text.pretrained import Pooling
from tillage.text.transformer import Shape

HEAD = "head"
_WORDS = "embeddings.word_embeddings.weight"
_DOWN, _UP = "lora_down", "lora_up"
_ADAPTED = ("query", "key", "value", "attention.output.dense", "intermediate.dense", "output.dense")


def text_network(
    shape: Shape,
    weights: Mapping[str, Numbers],
    texts: Iterable[Sequence[int]],
    classes: int,
    pooling: Pooling | Literal["none"],
    dropout: float,
    rank: int,
    seed: int,
) -> Any:
    """The network: tokens Int64 (texts, tokens) and their mask to logits (texts, classes).

    With the pooling `none` each token has its own: (texts, tokens, classes).
    `weights`: of `Shape.weights`. `texts`: as tokens, all that the network will be shown; a token that none of them
    holds raises IndexError. `rank`: of LoRA, which leaves the weights as they are; 0: all of them learn.
    """
    library = torch()
    nn, functional = library.nn, library.nn.functional
    random = np.random.Generator(np.random.PCG64(seed))
    words = np.unique(np.concatenate([np.asarray(text, np.int64) for text in texts]))
    places = np.full(len(weights[_WORDS]), len(words))
    places[0] = 0  # where padding looks does not matter
    places[words] = np.arange(len(words))

    class TextNetwork(nn.Module):  # type: ignore[misc, name-defined]
        def __init__(self) -> None:
            super().__init__()
            self.untouched, self.words = weights[_WORDS], words
            self.places = library.from_numpy(places)
            made: dict[str, Numbers] = {**weights, _WORDS: weights[_WORDS][words]}
            made[f"{HEAD}.weight"] = random.normal(0, 0.02, (classes, shape.width)).astype(np.float32)
            made[f"{HEAD}.bias"] = np.zeros(classes, np.float32)
            for name, value in weights.items() if rank else ():
                if name.endswith(tuple(f"{part}.weight" for part in _ADAPTED)):
                    down = random.uniform(-1, 1, (rank, value.shape[1])) / np.sqrt(value.shape[1])
                    made[f"{name}.{_DOWN}"] = down.astype(np.float32)
                    made[f"{name}.{_UP}"] = np.zeros((value.shape[0], rank), np.float32)
            self.kept = nn.ParameterDict()
            for name, value in made.items():
                learns = not rank or name.startswith(HEAD) or name.endswith((_DOWN, _UP))
                held = library.from_numpy(np.array(value, dtype=np.float32))
                self.kept[_plain(name)] = nn.Parameter(held, requires_grad=learns)

        def of(self, name: str) -> Any:
            return self.kept[_plain(name)]

        def linear(self, hidden: Any, name: str) -> Any:
            out = functional.linear(hidden, self.of(f"{name}.weight"), self.of(f"{name}.bias"))
            if rank and name != HEAD:
                thin = functional.linear(hidden, self.of(f"{name}.weight.{_DOWN}"))
                out = out + functional.linear(thin, self.of(f"{name}.weight.{_UP}")) * 2.0
            return out

        def drop(self, hidden: Any) -> Any:
            """Some values of each text, the same ones at all its tokens: to draw for each took a fifth of the time."""
            if not (self.training and dropout):
                return hidden
            kept = hidden.new_ones(hidden.shape[0], *(1,) * (hidden.ndim - 2), hidden.shape[-1])
            return hidden * functional.dropout(kept, dropout)

        def norm(self, hidden: Any, name: str) -> Any:
            weight, bias = self.of(f"{name}.weight"), self.of(f"{name}.bias")
            return functional.layer_norm(hidden, (shape.width,), weight, bias, shape.epsilon)

        def forward(self, tokens: Any, mask: Any) -> Any:
            return self.answered(self.looked_up(tokens), mask)

        def looked_up(self, tokens: Any) -> Any:
            """The vectors of the words, before anything is done to them: (texts, tokens, width)."""
            return functional.embedding(self.places[tokens], self.of(_WORDS))

        def answered(self, hidden: Any, mask: Any) -> Any:
            """The logits of texts whose words have these vectors."""
            texts, length = hidden.shape[:2]
            first = shape.first_position
            hidden = hidden + self.of("embeddings.position_embeddings.weight")[first : first + length]
            if shape.family != "distilbert":
                hidden = hidden + self.of("embeddings.token_type_embeddings.weight")[0]
            hidden = self.drop(self.norm(hidden, "embeddings.LayerNorm"))
            whole = bool(mask.all())
            seen = None if whole else mask[:, None, None, :].bool()
            for n in range(shape.layers):
                at = f"encoder.layer.{n}."
                parts = (
                    self.linear(hidden, f"{at}attention.self.{p}").view(texts, length, shape.heads, -1).transpose(1, 2)
                    for p in ("query", "key", "value")
                )
                heard = functional.scaled_dot_product_attention(*parts, attn_mask=seen)
                heard = heard.transpose(1, 2).reshape(texts, length, shape.width)
                heard = self.drop(self.linear(heard, f"{at}attention.output.dense"))
                hidden = self.norm(hidden + heard, f"{at}attention.output.LayerNorm")
                inner = self.linear(hidden, f"{at}intermediate.dense")
                outer = self.drop(self.linear(_activated(functional, inner, shape.activation), f"{at}output.dense"))
                hidden = self.norm(hidden + outer, f"{at}output.LayerNorm")
            if pooling == "none":
                return self.linear(self.drop(hidden), HEAD)
            if pooling == "cls":
                vector = hidden[:, 0]
            elif whole:
                vector = hidden.mean(dim=1)
            else:
                shares = mask / mask.sum(dim=1, keepdim=True)
                vector = (hidden * shares[:, :, None]).sum(dim=1)
            return self.linear(self.drop(vector), HEAD)

    return TextNetwork()


def learnt(network: Any) -> dict[str, Numbers]:
    """The weights of a trained network under their own names, LoRA's products added to what they stand beside."""
    named = {name.removeprefix("kept.").replace("/", "."): value for name, value in arrays(network).items()}
    out = {name: value for name, value in named.items() if not name.endswith((_DOWN, _UP))}
    for name, up in named.items():
        if name.endswith(_UP):
            of = name.removesuffix(f".{_UP}")
            out[of] = (out[of] + 2.0 * (up @ named[f"{of}.{_DOWN}"])).astype(np.float32)
    whole = np.array(network.untouched, np.float32)
    whole[network.words] = out[_WORDS]
    return {**out, _WORDS: whole}


def padded(cut: Sequence[Sequence[int]]) -> tuple[Any, Any]:
    """The tokens of some texts as one tensor (texts, tokens), padded with 0 to the longest, and 1 where one stands."""
    library = torch()
    longest = max(map(len, cut))
    tokens = np.zeros((len(cut), longest), np.int64)
    mask = np.zeros((len(cut), longest), np.float32)
    for row, found in enumerate(cut):
        tokens[row, : len(found)], mask[row, : len(found)] = found, 1
    return library.from_numpy(tokens), library.from_numpy(mask)


def _plain(name: str) -> str:
    """A name that a module may give: without dots."""
    return name.replace(".", "/")


def _activated(functional: Any, values: Any, name: str) -> Any:
    if name == "relu":
        return functional.relu(values)
    return functional.gelu(values, approximate="none" if name == "gelu" else "tanh")
