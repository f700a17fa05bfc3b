"""Pictures and a plan for the figure of images; and the milliseconds that an answer takes.

Usage: python benchmarks/image_data.py write mnist|digits FOLDER SEED EPOCHS [DATA]
       python benchmarks/image_data.py answer FOLDER

A fifth of the pictures, drawn once and for all, is the test part. `digits` are the 1,797 of 8 by 8 that come with
scikit-learn (UCI, CC BY 4.0), `mnist` the 10,000 of the test part of MNIST, in DATA/mnist-t10k.
"""

from __future__ import annotations

import gzip
import json
import statistics
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from sklearn.datasets import load_digits

from tillage.face.rooms import project
from tillage.media import encode_image

PLAN = """\
project: pictures
tables:
  learnt: {{collect: {{files: data/train.parquet}}, key: id}}
  exam: {{collect: {{files: data/test.parquet}}, key: id}}
models:
  sort:
    learn: image_classifier
    from: learnt
    test_from: exam
    input: picture
    size: null
    target: digit
    seed: {seed}
    epochs: {epochs}
"""


def pictures(name: str, data: str) -> tuple[Any, Any]:
    """Pixels (pictures, rows, columns) and labels."""
    if name == "digits":
        found = load_digits()
        return (found.images * 15.9375).astype(np.uint8), found.target
    folder = Path(data) / "mnist-t10k"
    raw, labels = (
        gzip.decompress((folder / f"t10k-{part}.gz").read_bytes())
        for part in ("images-idx3-ubyte", "labels-idx1-ubyte")
    )
    return np.frombuffer(raw[16:], np.uint8).reshape(-1, 28, 28), np.frombuffer(labels[8:], np.uint8).astype(np.int64)


def write(name: str, folder: Path, seed: str, epochs: str, data: str = "") -> None:
    """The folder of a project; `EPOCHS` of 2 or fewer: of some hundred pictures alone."""
    pixels, labels = pictures(name, data)
    order = np.random.default_rng(0).permutation(len(labels))
    cut = len(order) * 4 // 5
    if int(epochs) <= 2:
        order, cut = order[:400], 320
    (folder / "data").mkdir(parents=True)
    for part, some in (("train", order[:cut]), ("test", order[cut:])):
        made = [encode_image(pixels[n][:, :, None]) for n in some]
        pl.DataFrame({"id": some, "picture": made, "digit": labels[some]}).write_parquet(
            folder / "data" / f"{part}.parquet"
        )
    (folder / "tillage.yaml").write_text(PLAN.format(seed=seed, epochs=epochs))


def answer(folder: Path) -> None:
    """Print what one picture costs to answer, alone, as JSON."""
    with project(folder) as opened:
        model, exam = opened.model("sort"), opened.store.frame("exam")
    model.apply(exam[:5])
    spent = []
    for n in range(min(300, exam.height)):
        begun = time.process_time()
        model.apply(exam[n : n + 1])
        spent.append(time.process_time() - begun)
    print(json.dumps({"milliseconds": 1000 * statistics.median(spent)}))


if __name__ == "__main__":
    if sys.argv[1] == "write":
        write(sys.argv[2], Path(sys.argv[3]), *sys.argv[4:])
    else:
        answer(Path(sys.argv[2]))
