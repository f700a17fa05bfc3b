"""Small encoders with random weights, as folders of Hugging Face's layout, and what they give by NumPy alone."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from scipy.special import erf

WORDS = ["small", "calm", "big", "loud", "thing", "of", "a", "b", "c", "red", "blue", "sea", "sky", "##s", "##ly"]
WORDS += [str(n) for n in range(10)] + ["\u53d1", "\u70e7", "\u5c0f", "\u5927", ",", "."]
SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]

Arrays = dict[str, Any]


def write(folder: Path, family: str = "bert", width: int = 16, layers: int = 2, heads: int = 2, seed: int = 0) -> Path:
    """A folder with an encoder; the same arguments give the same bytes."""
    folder.mkdir(parents=True, exist_ok=True)
    made = config(family, width, layers, heads)
    (folder / "config.json").write_text(json.dumps(made))
    (folder / "tokenizer.json").write_text(tokenizer())
    write_safetensors(folder / "model.safetensors", weights(family, width, layers, seed))
    return folder


def write_tagger(folder: Path, tags: list[str], family: str = "bert", seed: int = 0) -> Path:
    """The same encoder with a layer that tags tokens, as Hugging Face's folders have it."""
    write(folder, family, seed=seed)
    made = config(family, 16, 2, 2) | {"id2label": dict(enumerate(tags))}
    (folder / "config.json").write_text(json.dumps(made))
    random = np.random.default_rng(seed + 1)
    top = family if family in ("bert", "distilbert") else "roberta"
    found = {f"{top}.{name}": value for name, value in weights(family, 16, 2, seed).items()}
    found["classifier.weight"] = random.normal(0, 0.3, (len(tags), 16)).astype(np.float32)
    found["classifier.bias"] = random.normal(0, 0.3, len(tags)).astype(np.float32)
    write_safetensors(folder / "model.safetensors", found)
    return folder


def config(family: str, width: int, layers: int, heads: int) -> dict[str, Any]:
    words = len(SPECIAL + WORDS)
    if family == "distilbert":
        made = {"dim": width, "n_layers": layers, "n_heads": heads, "hidden_dim": 2 * width, "activation": "gelu"}
        made |= {"dropout": 0.1, "attention_dropout": 0.1}
    else:
        made = {"hidden_size": width, "num_hidden_layers": layers, "num_attention_heads": heads, "hidden_act": "gelu"}
        made |= {"intermediate_size": 2 * width, "type_vocab_size": 2, "layer_norm_eps": 1e-12}
        made |= {"hidden_dropout_prob": 0.1, "attention_probs_dropout_prob": 0.1}
    architecture = {"bert": "BertModel", "roberta": "RobertaModel", "distilbert": "DistilBertModel"}[family]
    made |= {"model_type": family, "vocab_size": words, "max_position_embeddings": 40, "pad_token_id": 0}
    return made | {"architectures": [architecture]}


def weights(family: str, width: int, layers: int, seed: int) -> Arrays:
    """Random weights under the family's names, large enough that each part shows in the result."""
    random = np.random.default_rng(seed)

    def some(*shape: int) -> Any:
        return random.normal(0, 0.3, shape).astype(np.float32)

    found = {"embeddings.word_embeddings.weight": some(len(SPECIAL + WORDS), width)}
    found["embeddings.position_embeddings.weight"] = some(40, width)
    if family != "distilbert":
        found["embeddings.token_type_embeddings.weight"] = some(2, width)
    norm, dense = {"embeddings.LayerNorm": width}, dict[str, tuple[int, int]]()
    for n in range(layers):
        if family == "distilbert":
            at = f"transformer.layer.{n}."
            parts = [f"attention.{p}_lin" for p in "qkv"] + ["attention.out_lin"]
            dense |= {at + "ffn.lin1": (2 * width, width), at + "ffn.lin2": (width, 2 * width)}
            norm |= {at + "sa_layer_norm": width, at + "output_layer_norm": width}
        else:
            at = f"encoder.layer.{n}."
            parts = [f"attention.self.{p}" for p in ("query", "key", "value")] + ["attention.output.dense"]
            dense |= {at + "intermediate.dense": (2 * width, width), at + "output.dense": (width, 2 * width)}
            norm |= {at + "attention.output.LayerNorm": width, at + "output.LayerNorm": width}
        dense |= {at + part: (width, width) for part in parts}
    for name, size in norm.items():
        found |= {f"{name}.weight": 1 + some(size), f"{name}.bias": some(size)}
    for name, shape in dense.items():
        found |= {f"{name}.weight": some(*shape), f"{name}.bias": some(shape[0])}
    return found


def write_safetensors(path: Path, arrays: Arrays) -> None:
    header: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    body = b""
    for name, values in arrays.items():
        raw = np.ascontiguousarray(values, dtype="<f4").tobytes()
        header[name] = {"dtype": "F32", "shape": list(values.shape), "data_offsets": [len(body), len(body) + len(raw)]}
        body += raw
    text = json.dumps(header).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text + body)


def tokenizer() -> str:
    """BERT's own: lower case, Chinese by character, pieces of words."""
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors

    words = {word: n for n, word in enumerate(SPECIAL + WORDS)}
    made = Tokenizer(models.WordPiece(words, unk_token="[UNK]"))
    made.normalizer = normalizers.BertNormalizer(lowercase=True)
    made.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    made.post_processor = processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    return str(made.to_str())


def vectors(config: dict[str, Any], arrays: Arrays, tokens: list[int], first: int = 0) -> Any:
    """The last layer's vectors of one BERT, by the book, in float64. `first`: the position of the first token."""
    w = {name: values.astype(np.float64) for name, values in arrays.items()}
    heads, width = config["num_attention_heads"], config["hidden_size"]

    def linear(x: Any, name: str) -> Any:
        return x @ w[f"{name}.weight"].T + w[f"{name}.bias"]

    def norm(x: Any, name: str) -> Any:
        spread = np.sqrt(x.var(axis=-1, keepdims=True) + config["layer_norm_eps"])
        return (x - x.mean(axis=-1, keepdims=True)) / spread * w[f"{name}.weight"] + w[f"{name}.bias"]

    x = w["embeddings.word_embeddings.weight"][tokens]
    x = x + w["embeddings.position_embeddings.weight"][first : first + len(tokens)]
    x = norm(x + w["embeddings.token_type_embeddings.weight"][0], "embeddings.LayerNorm")
    for n in range(config["num_hidden_layers"]):
        at = f"encoder.layer.{n}."
        q, k, v = (
            linear(x, f"{at}attention.self.{p}").reshape(len(tokens), heads, -1).swapaxes(0, 1)
            for p in ("query", "key", "value")
        )
        scores = np.exp(q @ k.swapaxes(1, 2) / np.sqrt(width // heads))
        heard = (scores / scores.sum(axis=-1, keepdims=True) @ v).swapaxes(0, 1).reshape(len(tokens), width)
        x = norm(x + linear(heard, f"{at}attention.output.dense"), f"{at}attention.output.LayerNorm")
        inner = linear(x, f"{at}intermediate.dense")
        inner = inner * 0.5 * (1 + erf(inner / np.sqrt(2)))
        x = norm(x + linear(inner, f"{at}output.dense"), f"{at}output.LayerNorm")
    return x
