"""Bytes and pictures from outside: one answer in Python, from a file, and from the server, in JSON or as tensors."""

from __future__ import annotations

import base64
import csv
import importlib.util
import json
import struct
import time
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from PIL import Image

from tests.flow.world import KEY
from tests.serve.running import Server, lay, tillage
from tillage.core.state import digest
from tillage.face.main import ended
from tillage.face.rooms import project
from tillage.flow.score import Answers, answers, typed, way
from tillage.media import encode_image
from tillage.serve import unpacking
from tillage.serve.service import Served

needs_torch = pytest.mark.skipif(
    importlib.util.find_spec("torch") is None, reason="needs PyTorch, which the lock of deep learning brings"
)

SHARP = """\
project: sharp
tables:
  pictures: {collect: {files: "data/*/*.png"}}
  measured:
    from: pictures
    steps:
      - image_quality: {}
      - derive: {columns: {doubled: "sharpness * 2"}}
models:
  sharp: {learn: ridge, from: measured, input: sharpness, target: doubled}
services:
  desk: {model: sharp, from: pictures, keep: [pixels]}
"""

BARS = """\
project: bars
tables:
  pictures: {collect: {files: "data/*/*.png"}}
  named:
    from: pictures
    steps:
      - extract: {column: path, pattern: "/(?P<way>\\\\w+)/[^/]+$"}
models:
  bars: {learn: image_classifier, from: named, target: way, width: 8, epochs: 6, batch: 16, precision: float32}
services:
  desk: {model: bars, from: pictures}
"""


def bar(random: np.random.Generator, way: str, side: int = 12) -> Any:
    pixels = random.integers(0, 60, (side, side, 3)).astype(np.uint8)
    at = random.integers(1, side - 2)
    pixels[(slice(at, at + 2), slice(None)) if way == "lies" else (slice(None), slice(at, at + 2))] += np.uint8(150)
    return pixels


def laid(folder: Path, plan: str, count: int = 100) -> Path:
    """A project of pictures in a folder for each class."""
    random = np.random.default_rng(0)
    for way_ in ("lies", "stands"):
        (folder / "data" / way_).mkdir(parents=True)
        for n in range(count // 2):
            (folder / "data" / way_ / f"{n}.png").write_bytes(encode_image(bar(random, way_)))
    (folder / "tillage.yaml").write_text(plan)
    return folder


def written(data: bytes) -> str:
    return base64.b64encode(data).decode()


# ---- bytes, whatever they are


def test_bytes_are_written_in_base64() -> None:
    texts = ["AP8=", "", None, " AP8=\n", "AP8", "AP8*", "1234", "\u00e9"]
    made, errors = typed(pl.DataFrame({"p": texts}), {"p": pl.Binary()})
    assert made["p"].to_list() == [b"\0\xff", None, None, b"\0\xff", None, None, b"\xd7\x6d\xf8", None]
    assert [n for n, error in enumerate(errors) if error] == [4, 5, 7]
    assert errors[5] == "'AP8*' in column 'p' is not bytes written in base64"


@pytest.fixture(scope="module")
def sharp(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = laid(tmp_path_factory.mktemp("sharp"), SHARP, 40)
    tillage(folder, "run")
    with Server(folder) as running:
        yield running


def test_a_server_takes_plain_pixels_and_whole_files(sharp: Server) -> None:
    pixels = bar(np.random.default_rng(5), "lies")
    plain = {"pixels": written(pixels.tobytes()), "width": 12, "height": 12}
    file = {"pixels": written(encode_image(pixels)), "width": None, "height": None}
    first, second, third, fourth = sharp.predict(
        plain, file, {**plain, "width": 13}, {**file, "pixels": written(b"no picture")}
    )["predictions"]
    assert first["prediction"] == second["prediction"] > 0
    assert third["error"] == fourth["error"] == "unreadable_image"
    status, value, _ = sharp.ask("POST", "/v1/services/desk", {"rows": [{**plain, "pixels": "AP8*"}]})
    assert (status, value["field"]) == (400, "rows[0].pixels")
    assert "base64" in value["error"]
    status, value, _ = sharp.ask("POST", "/v1/services/desk", {"rows": [{**plain, "pixels": 7}]})
    assert (status, value["field"]) == (400, "rows[0].pixels")


def bomb(side: int) -> str:
    buffer = BytesIO()
    Image.new("1", (side, side)).save(buffer, "PNG")
    return written(buffer.getvalue())


def test_a_request_unpacks_so_many_pixels_and_no_more(sharp: Server) -> None:
    small = {
        "pixels": written(encode_image(bar(np.random.default_rng(5), "lies"))),
        "path": "new",
        "width": None,
        "height": None,
    }
    large = {**small, "pixels": bomb(5000)}
    [wanted] = sharp.predict(small)["predictions"]
    began = time.monotonic()
    first, *others, last = sharp.predict(large, *[large] * 40, small)["predictions"]
    assert time.monotonic() - began < 20
    assert "prediction" in first
    assert "prediction" in others[0], "two of them are what a request may unpack"
    assert {row["error"] for row in others[1:]} == {"too_many_pixels"}
    assert last["error"] == "too_many_pixels"
    assert sharp.predict(small)["predictions"][0]["prediction"] == wanted["prediction"]


def test_pixels_of_a_request_are_counted_and_the_rows_beyond_keep_their_place(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(unpacking, "MOST_PIXELS", 100)
    sizes = [(9, 10), (3, 3), (1, 1), (5, 5), (1, 1), None]
    files = [encode_image(np.zeros((*size, 3), np.uint8)) if size else None for size in sizes]
    many = "too_many_pixels"
    assert unpacking.too_large({"p": files, "q": [None] * 6}, ["p", "q"]) == {3: many, 4: many}
    assert unpacking.too_large({"p": [encode_image(np.zeros((20, 20, 1), np.uint8)), files[2]]}, ["p"]) == {1: many}
    answered = Answers([1.0, 2.0], None, [None, "odd"], {"prediction_low": [0.5, None]})
    given = unpacking.refused_among(answered, {0: many, 2: many})
    assert (given.predictions, given.confidences) == ([None, 1.0, None, 2.0], None)
    assert given.errors == ["too_many_pixels", None, "too_many_pixels", "odd"]
    assert given.more == {"prediction_low": [None, 0.5, None, None]}


def test_requests_of_late_are_kept_up_to_so_many_bytes_and_only_what_was_answered(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tillage(lay(tmp_path), "run")
    monkeypatch.chdir(tmp_path)
    with project(tmp_path) as p:
        served = Served(p, p.plan.services["desk"])
        served.record({"size": [1.0, 2.0], "text": ["a", "b" * 100]}, [None, "negative"])
        assert list(served.recent) == [({"size": [1.0], "text": ["a"]}, 1)]
        served.record({"size": [1.0]}, ["negative"])
        assert len(served.recent) == 1
        for n in range(100):
            served.record({"size": [float(n)], "text": ["c" * 1_000_000]}, [None])
        assert sum(len(columns["text"][0]) for columns, _ in served.recent) <= 8 << 20
        assert [columns["size"][0] for columns, _ in served.recent] == [92.0, 93.0, 94.0, 95.0, 96.0, 97.0, 98.0, 99.0]
        for n in range(100):
            served.record({"size": [float(n)] * 30, "text": ["c"] * 30}, [None] * 30)
        assert len(served.recent) == 64
        assert {rows for _, rows in served.recent} == {8}


def test_a_tensor_of_bytes_is_taken_as_it_is(sharp: Server) -> None:
    pixels = bar(np.random.default_rng(6), "stands")
    [wanted] = sharp.predict({"pixels": written(pixels.tobytes()), "width": 12, "height": 12})["predictions"]
    raw = struct.pack("<I", pixels.nbytes) + pixels.tobytes()  # no UTF-8
    sizes = [{"name": n, "shape": [1], "datatype": "INT64", "data": [12]} for n in ("width", "height")]
    binary = {"name": "pixels", "shape": [1], "datatype": "BYTES", "parameters": {"binary_data_size": len(raw)}}
    head = json.dumps({"inputs": [*sizes, binary]}).encode()
    length: dict[str, str | None] = {"Inference-Header-Content-Length": str(len(head))}
    text = {"name": "pixels", "shape": [1], "datatype": "BYTES", "data": [written(pixels.tobytes())]}
    plain = json.dumps({"inputs": [*sizes, text]}).encode()
    for body, headers in ((head + raw, length), (plain, None)):
        status, value, _ = sharp.ask("POST", "/v2/models/desk/infer", body, headers)
        assert status == 200, value
        assert value["outputs"][0]["data"] == [wanted["prediction"]]


def test_what_is_said_of_a_column_of_bytes(sharp: Server) -> None:
    _, value, _ = sharp.ask("GET", "/openapi.json")
    row = value["paths"]["/v1/services/desk"]["post"]["requestBody"]["content"]["application/json"]["schema"]
    told = row["properties"]["rows"]["items"]["properties"]["pixels"]
    assert told == {"type": ["string", "null"], "contentEncoding": "base64"}
    _, value, _ = sharp.ask("GET", "/v2/models/desk")
    assert {"name": "pixels", "datatype": "BYTES", "shape": [-1]} in value["inputs"]


# ---- a classifier of pictures


@needs_torch
def test_one_answer_everywhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = laid(tmp_path, BARS)
    monkeypatch.chdir(folder)
    assert ended(["run"]) == 0
    random = np.random.default_rng(8)
    shown = [bar(random, "lies"), bar(random, "stands"), bar(random, "lies")]
    files = [encode_image(pixels) for pixels in shown]
    with project(folder) as p:
        assert p.report("bars")["metrics"]["accuracy"] > 0.9
        model, taken = p.model("bars"), way(p, "named", "pictures")
        frame = pl.DataFrame({"path": "new", "pixels": [*files, b"?"]}, schema_overrides={"pixels": pl.Binary})
        none = pl.lit(None, dtype=pl.Int64)
        given = answers(taken.maps, model, frame.with_columns(width=none, height=none))
    assert given.errors == [None, None, None, "unreadable_image"]
    assert given.predictions == ["lies", "stands", "lies", None]
    wanted = [*zip(given.predictions[:3], given.confidences[:3], strict=True)]  # type: ignore[index]

    # from files: a picture as it was collected, and lines with pictures in base64
    (folder / "new.png").write_bytes(files[1])
    assert ended(["score", "bars", "--input", "new.png", "--output", "out.csv", "--from", "pictures"]) == 0
    with (folder / "out.csv").open(newline="") as file:
        [row] = csv.DictReader(file)
    assert (row["prediction"], float(row["confidence"])) == wanted[1]
    assert base64.b64decode(row["pixels"]) == shown[1].tobytes()
    lines = [{"pixels": written(data), "path": "new"} for data in [*files, b"?"]]
    (folder / "new.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    (folder / "new.csv").write_text("path,pixels\n" + "".join(f"new,{line['pixels']}\n" for line in lines))
    for name in ("new.jsonl", "new.csv"):
        assert ended(["score", "bars", "--input", name, "--output", "out.jsonl"]) == 0
        made = [json.loads(line) for line in (folder / "out.jsonl").read_text().splitlines()]
        assert [(row["prediction"], row["confidence"]) for row in made[:3]] == wanted
        assert (made[3]["prediction"], made[3]["error"]) == (None, "unreadable_image")
        assert [row["pixels"] for row in made] == [line["pixels"] for line in lines]

    # from the server
    with Server(folder) as running:
        rows = [{"pixels": line["pixels"], "path": "new"} for line in lines]
        said = running.predict(*rows)["predictions"]
        assert [(row["prediction"], row["confidence"]) for row in said[:3]] == wanted
        assert said[3]["error"] == "unreadable_image"


@needs_torch
def test_the_same_model_with_one_worker_and_with_two(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TILLAGE_KEY", KEY)
    monkeypatch.chdir(tmp_path)
    folder = laid(tmp_path, BARS.replace("epochs: 6", "epochs: 1"), 60)
    found = []
    for workers in (1, 2):
        assert ended(["run", "--workers", str(workers)]) == 0
        with project(folder) as p:
            found.append(digest(p.model("bars").state))
        (folder / ".tillage").rename(folder / f"store {workers}")
    assert found[0] == found[1]
