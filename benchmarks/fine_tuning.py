"""One side of the figure of fine-tuning, as a child: it trains or answers, and prints what that came to as JSON.

`python fine_tuning.py train ours|plain MODEL ROWS SEED OUT [DATA]`
`python fine_tuning.py answer ours|plain MODEL ROWS SEED STATE [DATA]`
`python fine_tuning.py intents ours MODEL ROWS SEED STATE`

`plain` is what a first script does: transformers, AdamW, float32, batches in random order padded to their longest text;
its answers are those of a transformers pipeline. `intents` trains on the questions of customers that the example
`customer-service` has, a tenth held back to end by, and answers its test part.
Seconds are those of the processor, loading of libraries apart.
"""

from __future__ import annotations

import json
import statistics
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

BATCH, MOST = 32, 128
INTENTS = Path(__file__).parents[1] / "examples" / "customer-service" / "data"
"""The banking77 of Casanueva et al., 2020: 10,003 questions to learn from, 3,080 to be tested on."""


def sentences(data: Path | None, seed: int) -> tuple[list[str], list[str]]:
    """Texts and labels in an order drawn by the seed: film reviews of a folder, or made up."""
    if data is not None:
        read = {
            name: (data / "rt-polarity" / f"rt-polarity.{name}").read_text("latin-1").splitlines()
            for name in ("neg", "pos")
        }
        both = [(text.strip(), name) for name, lines in read.items() for text in lines]
    else:
        draw = np.random.default_rng(7)
        words = {"neg": ["dull", "slow", "poor", "loud"], "pos": ["bright", "warm", "fine", "wise"]}
        both = [
            (" ".join(draw.choice([*some, "film", "a", "the", "of", "scene"], draw.integers(5, 40))), name)
            for name, some in words.items()
            for _ in range(300)
        ]
    order = np.random.default_rng(seed).permutation(len(both))
    return [both[n][0] for n in order], [both[n][1] for n in order]


def train_ours(model: str, texts: list[str], labels: list[str], seed: int, out: Path) -> dict[str, Any]:
    import polars as pl

    from tillage.core.state import encode
    from tillage.learn import FineTunedClassifier
    from tillage.learn.deep.trainer import torch

    torch()
    rows = pl.DataFrame({"_id": pl.int_range(len(texts), eager=True).cast(pl.UInt128), "text": texts, "y": labels})
    step = FineTunedClassifier(input="text", target="y", model=model, epochs=1, batch=BATCH, max_tokens=MOST, seed=seed)
    begun = time.process_time()
    fitted = step.compute({"rows": rows})
    spent = time.process_time() - begun
    out.write_bytes(encode(fitted.state))
    return {"seconds": spent}


def intents(model: str, rows: int, seed: int, out: Path) -> dict[str, Any]:
    """What is right of the test part, after a training that holds a tenth of the rows back to choose its end by."""
    import polars as pl

    from tillage.core.state import encode
    from tillage.learn import FineTunedClassifier
    from tillage.learn.deep.trainer import torch

    torch()
    seen, asked = (pl.read_csv(INTENTS / f"{name}.csv").with_row_index("_id") for name in ("train", "test"))
    seen = seen.with_columns(pl.col("_id").cast(pl.UInt128)).sample(min(rows, seen.height), seed=seed)
    asked = asked.sample(min(rows, asked.height), seed=seed)
    step = FineTunedClassifier(
        input="text", target="category", model=model, learning_rate=3e-4, validation=0.1, patience=2, seed=seed
    )
    begun = time.process_time()
    fitted = step.compute({"rows": seen})
    spent = time.process_time() - begun
    out.write_bytes(encode(fitted.state))
    right = float((fitted.apply(asked)["prediction"] == asked["category"]).mean())  # type: ignore[arg-type]
    return {"seconds": spent, "right": right, "epochs": len(fitted.state["curve"])}


def train_plain(model: str, texts: list[str], labels: list[str], seed: int, out: Path) -> dict[str, Any]:
    import torch
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    from tillage.text.pretrained import Pretrained

    torch.set_num_threads(1)
    torch.manual_seed(seed)
    folder = Pretrained.find(model).folder
    cutter = AutoTokenizer.from_pretrained(folder)
    network = AutoModelForSequenceClassification.from_pretrained(folder, num_labels=2)
    names = sorted(set(labels))
    begun = time.process_time()
    optimizer = torch.optim.AdamW(network.parameters(), lr=5e-5)
    network.train()
    order = np.random.default_rng(seed).permutation(len(texts))
    for at in range(0, len(order), BATCH):
        some = order[at : at + BATCH]
        given = cutter([texts[n] for n in some], padding=True, truncation=True, max_length=MOST, return_tensors="pt")
        network(**given, labels=torch.tensor([names.index(labels[n]) for n in some])).loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    return {"seconds": time.process_time() - begun}


def answer_ours(model: str, texts: list[str], labels: list[str], seed: int, state: Path) -> dict[str, Any]:
    import polars as pl

    from tillage.core.state import decode, encode
    from tillage.learn import FineTunedClassifierModel
    from tillage.text.transformer import quantized

    whole = decode(state.read_bytes())
    small = {**whole, "weights": quantized(whole["weights"])}
    told: dict[str, Any] = {}
    for name, kept in (("float32", whole), ("int8", small)):
        fitted = FineTunedClassifierModel(state=kept)
        rows = pl.DataFrame({"text": texts})
        fitted.apply(rows[:2])
        begun = time.process_time()
        found = fitted.apply(rows)["prediction"].to_list()
        spent = time.process_time() - begun
        alone = []
        for n in range(min(200, len(texts))):
            one = rows[n : n + 1]
            at = time.process_time()
            fitted.apply(one)
            alone.append(time.process_time() - at)
        told[name] = {
            "texts": len(texts) / spent,
            "right": sum(a == b for a, b in zip(found, labels, strict=True)) / len(labels),
            "bytes": len(encode(kept)),
            "milliseconds": 1000 * statistics.median(alone),
        }
    return told


def answer_plain(model: str, texts: list[str], labels: list[str], seed: int, state: Path) -> dict[str, Any]:
    import torch
    from transformers import AutoModelForSequenceClassification, AutoTokenizer, pipeline

    from tillage.text.pretrained import Pretrained

    torch.set_num_threads(1)
    folder = Pretrained.find(model).folder
    network = AutoModelForSequenceClassification.from_pretrained(folder, num_labels=2)
    asked = pipeline("text-classification", model=network, tokenizer=AutoTokenizer.from_pretrained(folder))
    begun = time.process_time()
    asked(texts, batch_size=BATCH, truncation=True, max_length=MOST)
    return {"texts": len(texts) / (time.process_time() - begun)}


def main() -> None:
    """Do the one thing that is asked for; a fifth of all texts is for answers."""
    what, side, model, rows, seed, path, *data = sys.argv[1:]
    if what == "intents":
        print(json.dumps(intents(model, int(rows), int(seed), Path(path))))
        return
    texts, labels = sentences(Path(data[0]) if data else None, int(seed))
    cut = int(len(texts) * 0.8)
    part = slice(0, cut) if what == "train" else slice(cut, None)
    texts, labels = texts[part][: int(rows)], labels[part][: int(rows)]
    does = {("train", "ours"): train_ours, ("train", "plain"): train_plain}
    does |= {("answer", "ours"): answer_ours, ("answer", "plain"): answer_plain}
    found = does[what, side](model, texts, labels, int(seed), Path(path))
    print(json.dumps({**found, "rows": len(texts)}))


if __name__ == "__main__":
    main()
