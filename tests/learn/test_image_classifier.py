"""Pictures told apart: what answers is what was trained, without PyTorch; pictures that are none have a reason."""

from __future__ import annotations

import importlib.util
import json
import re
import struct
import sys
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import polars as pl
import pytest
from pydantic import ValidationError
from scipy.optimize import minimize_scalar
from tests.flow.world import KEY
from tests.learn.test_every_learner import fit

from tillage.core.errors import BadData, ConfigurationError, Unavailable, UnknownName
from tillage.core.keys import fraction
from tillage.core.state import decode, digest, encode
from tillage.face.main import ended
from tillage.face.rooms import project
from tillage.learn import ImageClassifier, ImageClassifierModel
from tillage.learn.calibration import temperature_of
from tillage.learn.image_pixels import Frame, ImageTask, frame_of
from tillage.learn.learner import softmax
from tillage.media import encode_image, gray, resized

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("torch") is None, reason="needs PyTorch, which the lock of deep learning brings"
)

HOW: dict[str, Any] = {"input": "picture", "size": None, "target": "y", "width": 8, "precision": "float32"}


def learner(**more: Any) -> ImageClassifier:
    return ImageClassifier.model_validate({**HOW, "epochs": 8, "batch": 16, "validation": 0.0, **more})


def drawn(count: int = 120, seed: int = 0, side: int = 12, colours: int = 1) -> pl.DataFrame:
    """Bars that stand or lie, anywhere, of any light, in noise: as PNG."""
    random = np.random.default_rng(seed)
    lies = random.random(count) < 0.5
    made = []
    for flat in lies:
        pixels = random.integers(0, 60, (side, side, colours))
        at = random.integers(1, side - 2)
        pixels[(slice(at, at + 2), slice(None)) if flat else (slice(None), slice(at, at + 2))] += random.integers(
            90, 190
        )
        made.append(encode_image(pixels.astype(np.uint8)))
    ids = pl.Series([int(n) * 7919 + 2**70 for n in random.permutation(count)], dtype=pl.UInt128)
    return pl.DataFrame({"_id": ids, "picture": made, "y": ["lies" if flat else "stands" for flat in lies]})


def bomb(side: int) -> bytes:
    """A PNG of a few bytes that unpacks to side times side pixels."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = chunk(b"IHDR", struct.pack(">IIBBBBB", side, side, 1, 0, 0, 0, 0))
    lines = zlib.compress(bytes((side // 8 + 1) * min(side, 5000)), 9)
    return b"\x89PNG\r\n\x1a\n" + head + chunk(b"IDAT", lines) + chunk(b"IEND", b"")


@pytest.fixture(scope="module")
def model() -> Any:
    return fit(learner(), drawn())


# ---- learning


def test_it_learns(model: Any) -> None:
    rows = drawn(200, seed=1)
    assert (model.apply(rows)["prediction"] == rows["y"]).sum() > 0.95 * rows.height


def test_the_same_again_whatever_the_order() -> None:
    rows, step = drawn(60), learner(epochs=2, validation=0.2, flip=("horizontal",))
    first = digest(fit(step, rows).state)
    assert digest(fit(step, rows).state) == first
    assert digest(fit(step, rows.sample(fraction=1, shuffle=True, seed=3)).state) == first
    assert digest(fit(learner(epochs=2, validation=0.2), rows).state) != first
    assert digest(fit(learner(epochs=2, validation=0.2, flip=("horizontal",), seed=1), rows).state) != first


def test_what_answers_is_what_was_trained() -> None:
    """The network in PyTorch with its normalisations, and the graph without them, on odd sizes and colours."""
    from tillage.learn.deep.image_network import folded, image_network
    from tillage.learn.deep.trainer import arrays, torch
    from tillage.learn.image_graph import write_image_graph

    random = np.random.default_rng(2)
    for rows, columns, channels in ((28, 28, 1), (8, 13, 3), (17, 9, 1), (40, 64, 3)):
        network = image_network(rows, columns, channels, 4, 3, 0.5, seed=5)
        values = network.state_dict()
        for name, value in values.items():  # as if it had seen something
            if name.endswith(("running_mean", "running_var", "bias")) or value.ndim == 1:
                values[name] = torch().from_numpy(random.uniform(0.5, 2.0, tuple(value.shape)).astype(np.float32))
        network.load_state_dict({n: v for n, v in values.items() if "batches" not in n}, strict=False)
        network.train(False)
        given = random.normal(size=(2, channels, rows, columns)).astype(np.float32)
        with torch().no_grad():
            wanted = network(torch().from_numpy(given)).numpy()
        session = onnxruntime.InferenceSession(
            write_image_graph(folded(arrays(network)), rows, columns), providers=["CPUExecutionProvider"]
        )
        found = session.run(["logits"], {"pictures": given})[0]
        assert np.abs(found - wanted).max() < 1e-4 * np.abs(wanted).max()


def test_rows_held_back_are_judged_by_and_stop_it() -> None:
    rows = drawn(150)
    learnt = fit(learner(validation=0.3, epochs=30, patience=2, learning_rate=0.02), rows)
    judged = [point["judged"] for point in learnt.state["curve"]]
    assert len(judged) < 30
    assert judged.index(min(judged)) == len(judged) - 3
    held = rows.filter(fraction(rows["_id"], "validation") < 0.3)
    shares = learnt.shares(held)  # type: ignore[attr-defined]
    at = held["y"].replace_strict(["lies", "stands"], [0, 1], return_dtype=pl.Int64).to_numpy()
    warm = np.log(shares) * learnt.state["temperature"]  # the best epoch's network, before the temperature
    assert np.isclose(-np.log(softmax(warm)[np.arange(len(at)), at]).mean(), min(judged), rtol=1e-3)


def test_the_temperature_is_that_of_the_least_loss() -> None:
    random = np.random.default_rng(4)
    truth = random.integers(0, 4, 800)
    scores = random.normal(size=(800, 4)) + 1.5 * np.eye(4)[truth]
    aim = np.full((800, 4), 1 / 802 / 3)
    aim[np.arange(800), truth] = 801 / 802

    def lost(temperature: float) -> float:
        return float(-(aim * np.log(softmax(scores / temperature))).sum(axis=1).mean())

    best = minimize_scalar(lost, bounds=(0.25, 16), method="bounded", options={"xatol": 1e-8}).x
    for times in (0.5, 1.0, 3.0):
        assert np.isclose(temperature_of(scores * times, truth), times * best, rtol=1e-4)


def test_confidence_comes_true_where_labels_are_wrong() -> None:
    """A fifth of the labels is drawn anew: nobody can be right more often than nine times in ten."""
    rows = drawn(700, seed=5)
    random = np.random.default_rng(6)
    wrong = pl.Series(random.random(700) < 0.2)
    rows = rows.with_columns(
        y=pl.when(wrong).then(pl.Series(random.choice(["lies", "stands"], 700))).otherwise(pl.col("y"))
    )
    learnt, fresh = fit(learner(validation=0.3, epochs=12, patience=12), rows[:500]), rows[500:]
    said = learnt.apply(fresh)
    right = float((said["prediction"] == fresh["y"]).to_numpy().mean())
    assert abs(float(said["confidence"].to_numpy().mean()) - right) < 0.06


def test_shards_learn_apart_and_the_answer_is_their_mean() -> None:
    rows, exam = drawn(90, colours=3), drawn(20, seed=3)
    of = pl.Series([int(x * 2) for x in fraction(rows["_id"], "shard")])
    made = [encode_image(resized(_pixels(p), 9, 10)) if n else p for p, n in zip(rows["picture"], of, strict=True)]
    small = rows.with_columns(picture=pl.Series(made))  # the shards look at pictures of two sizes
    alone = [fit(learner(epochs=2), small.filter(of == n)) for n in range(2)]
    assert [m.state["frame"]["rows"] for m in alone] == [12, 9]
    found = fit(learner(epochs=2, shards=2), small).apply_with_shares(exam)  # type: ignore[attr-defined]
    said = [m.apply_with_shares(exam)["shares"].struct.unnest().to_numpy() for m in alone]  # type: ignore[attr-defined]
    assert np.allclose(found["shares"].struct.unnest().to_numpy(), np.mean(said, axis=0), rtol=1e-12)


def _pixels(data: bytes) -> Any:
    from tillage.media import decode_image

    return decode_image(data)


# ---- what is looked at


def test_pictures_of_one_size_stay_as_they_are() -> None:
    rows = drawn(5)
    frame = frame_of(rows, "picture", None, 10**6, None)
    assert (frame.rows, frame.columns) == (12, 12)
    for data in rows["picture"]:
        assert np.array_equal(frame.fitted(_pixels(data)), _pixels(data))


def test_others_keep_their_ratio_and_large_ones_are_shrunk() -> None:
    wide = pl.DataFrame({"p": [encode_image(np.zeros((h, w, 3), np.uint8)) for h, w in ((50, 200), (60, 300), (9, 9))]})
    frame = frame_of(wide, "p", None, 10**6, None)
    assert (frame.rows, frame.columns) == (16, 64)  # the middle is 50 by 200
    assert (frame_of(wide, "p", None, 10**6, 200).rows, frame_of(wide, "p", None, 10**6, 200).columns) == (50, 200)
    ramp = np.arange(64, dtype=np.uint8).reshape(8, 8, 1)
    fitted = frame.fitted(ramp)
    assert fitted.shape == (16, 64, 1)
    assert np.array_equal(fitted[:, 24:40], resized(ramp, 16, 16))
    assert (fitted[:, :24] == fitted[:, 24:25]).all()
    assert (fitted[:, 40:] == fitted[:, 39:40]).all()


def test_grey_or_colours_follow_from_the_pictures() -> None:
    flat, red = np.full((8, 8, 3), 9, np.uint8), np.full((8, 8, 3), (9, 8, 9), np.uint8)
    frame = Frame(8, 8)
    assert frame.coloured([flat, flat], "auto")[0].channels == 1
    assert frame.coloured([flat, red], "auto")[0].channels == 3
    assert frame.coloured([flat[:, :, :1], red], "auto")[1].shape == (2, 8, 8, 3)
    grey, pixels = frame.coloured([flat, red], "grey")
    assert grey.channels == 1
    assert np.array_equal(pixels[1, :, :, 0], gray(red))
    assert frame.coloured([flat], "rgb")[0].channels == 3
    clear = np.zeros((8, 8, 4), np.uint8)
    assert (frame.looked_at(clear) == 255).all()


def test_numbers_are_about_nothing_in_the_middle_and_one_wide() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (50, 8, 8, 3)).astype(np.uint8) // np.array([1, 2, 4], np.uint8)
    given = Frame(8, 8).scaled(pixels).normalized(pixels)
    assert np.abs(given.mean(axis=(0, 1, 2))).max() < 1e-5
    assert np.abs(given.std(axis=(0, 1, 2)) - 1).max() < 1e-5
    black = np.zeros((2, 8, 8, 1), np.uint8)
    assert np.isfinite(Frame(8, 8, 1).scaled(black).normalized(black)).all()


def test_pictures_are_moved_and_turned_over_as_is_said() -> None:
    ramp = np.arange(60, dtype=np.uint8).reshape(6, 10)
    pixels, target = np.repeat(ramp[None, :, :, None], 400, axis=0), np.zeros(400, np.int64)

    def moved(shift: float, flip: tuple[str, ...]) -> Any:
        import torch

        torch.manual_seed(0)
        return ImageTask(Frame(6, 10, 1), pixels, target, shift, flip)._moved(pixels)[:, :, :, 0]

    assert (moved(0, ()) == ramp).all()
    found = {one.tobytes() for one in moved(0.2, ())}
    edges = np.pad(ramp, ((1, 1), (2, 2)), mode="edge")
    assert found == {edges[a : a + 6, b : b + 10].tobytes() for a in range(3) for b in range(5)}
    assert {one.tobytes() for one in moved(0, ("horizontal",))} == {ramp.tobytes(), ramp[:, ::-1].tobytes()}
    assert {one.tobytes() for one in moved(0, ("vertical",))} == {ramp.tobytes(), ramp[::-1].tobytes()}
    assert len({one.tobytes() for one in moved(0, ("horizontal", "vertical"))}) == 4


# ---- answering


def test_answers_need_no_pytorch(model: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = drawn(20, seed=7)
    wanted = model.apply(rows)
    monkeypatch.setitem(sys.modules, "torch", None)
    again = ImageClassifierModel(state=decode(encode(model.state)))
    assert again.apply(rows).equals(wanted)
    with pytest.raises(Unavailable, match=r"tillage\[deep\]"):
        fit(learner(), drawn(20))


def test_a_model_is_a_map(model: Any) -> None:
    rows = drawn(30, seed=8).drop("y")
    whole = model.apply(rows)
    assert whole.drop("prediction", "confidence", "_reason").equals(rows)
    assert whole["_reason"].null_count() == 30
    assert pl.concat([model.apply(rows[n : n + 1]) for n in range(30)]).equals(whole)
    assert model.apply(rows.reverse()).reverse().equals(whole)
    assert whole["confidence"].is_between(0.5, 1).all()
    assert model.apply(rows.clear()).height == 0


def test_pictures_that_are_none_have_a_reason(model: Any) -> None:
    good = drawn(1)["picture"][0]
    svg = b"<svg xmlns='http://www.w3.org/2000/svg' width='9' height='9'/>"
    postscript = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\nshowpage\n"
    bad = [b"", b"no picture", good[:60], svg, postscript, bytes(432)]
    given = [good, *bad, bomb(200_000), bomb(9_000), None]
    out = model.apply(pl.DataFrame({"picture": pl.Series(given, dtype=pl.Binary)}))
    assert out["_reason"].to_list() == [None, *["unreadable_image"] * 6, *["image_too_large"] * 2, "no_image"]
    assert out["prediction"].is_null().to_list() == [False] + [True] * 9
    assert out["confidence"].is_null().to_list() == [False] + [True] * 9
    shares = model.apply_with_shares(pl.DataFrame({"picture": [b""]}))["shares"][0]
    assert shares == {"lies": 0.5, "stands": 0.5}


def test_pictures_of_any_size_and_kind_are_answered(model: Any) -> None:
    random = np.random.default_rng(9)
    shapes = [(1, 1, 1), (1, 300, 3), (300, 1, 4), (50, 50, 4), (13, 12, 3)]
    made = [encode_image(random.integers(0, 256, shape).astype(np.uint8)) for shape in shapes]
    assert model.apply(pl.DataFrame({"picture": made}))["prediction"].null_count() == 0


def test_plain_pixels_and_files_give_the_same_answer() -> None:
    rows = drawn(80, colours=3)
    plain = rows.with_columns(
        picture=pl.Series([_pixels(p).tobytes() for p in rows["picture"]]), width=pl.lit(12), height=pl.lit(12)
    )
    learnt = fit(learner(size=("width", "height"), epochs=2), plain)
    assert digest(learnt.state["weights"]) == digest(fit(learner(epochs=2), rows).state["weights"])
    wanted = learnt.apply(plain)["confidence"]
    none = pl.lit(None, dtype=pl.Int64)
    for files in (rows, rows.with_columns(width=none, height=none)):
        assert learnt.apply(files)["confidence"].equals(wanted)
    huge = pl.DataFrame({"picture": [bomb(9_000)]})
    assert learnt.apply(huge.with_columns(width=none, height=none))["_reason"].to_list() == ["image_too_large"]
    lying = learnt.apply(plain.with_columns(width=pl.lit(13)))
    assert set(lying["_reason"]) == {"unreadable_image"}


def test_the_graph_gives_the_same_by_its_metadata_alone(model: Any) -> None:
    data = model.onnx({"tillage.model": "way"})
    facts = {prop.key: prop.value for prop in onnx.load_from_string(data).metadata_props}
    assert facts.pop("tillage.model") == "way"
    told = {name: json.loads(value) for name, value in facts.items()}
    assert told["colour"] == "grey"
    session = onnxruntime.InferenceSession(data, providers=["CPUExecutionProvider"])
    rows = drawn(9, seed=3)
    assert session.get_inputs()[0].shape[1:] == [1, 12, 12]
    pixels = np.stack([_pixels(p) for p in rows["picture"]]).astype(np.float32)
    given = ((pixels - told["mean"]) / told["deviation"]).transpose(0, 3, 1, 2).astype(np.float32)
    shares = softmax(session.run(["logits"], {"pictures": given})[0] / told["temperature"])
    said = model.apply(rows)
    assert np.allclose(shares.max(axis=1), said["confidence"].to_numpy(), atol=1e-5)
    assert [told["classes"][n] for n in shares.argmax(axis=1)] == said["prediction"].to_list()


PLAN = """\
project: bars
tables:
  bars: {collect: {files: bars.parquet}, key: id}
models:
  way:
    learn: image_classifier
    from: bars
    input: picture
    size: null
    target: y
    epochs: 6
    batch: 16
    width: 8
    precision: float32
    split: {test: 0.3}
"""


@pytest.mark.parametrize("shards", [1, 2])
def test_in_a_plan_what_cannot_be_read_is_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, shards: int) -> None:
    """Among training rows it is warned of, among test rows it is a mistake."""
    monkeypatch.setenv("TILLAGE_KEY", KEY)
    (tmp_path / "tillage.yaml").write_text(PLAN + (f"    shards: {shards}\n" if shards > 1 else ""))
    good = drawn(200).select(pl.int_range(200).alias("id"), "picture", "y")
    bad = good[:40].select(pl.col("id") + 1000, pl.format("no picture {}", "id").cast(pl.Binary).alias("picture"), "y")
    pl.concat([good, bad]).write_parquet(tmp_path / "bars.parquet")
    with project(tmp_path) as opened:
        opened.run()
        report = opened.report("way")
    graph = tmp_path / "way.onnx"
    assert ended(["export", "way", "--plan", str(tmp_path), "--onnx", str(graph)]) == (0 if shards == 1 else 2)
    assert graph.exists() == (shards == 1)
    assert report["train"] + report["test"] == 240
    warned = [re.match(r"(\d+) of (\d+) training rows have no picture", w) for w in report["warnings"]]
    lost = [(int(found[1]), int(found[2])) for found in warned if found]
    assert len(lost) == shards
    assert sum(rows for _, rows in lost) == report["train"]
    none = 40 - sum(one for one, _ in lost)
    assert none > 3
    at = report["confusion"]["classes"].index("(no prediction)")
    assert sum(row[at] for row in report["confusion"]["counts"]) == none
    assert report["metrics"]["accuracy"] <= 1 - none / report["test"] + 1e-9


# ---- refusals


def test_pictures_that_teach_nothing_are_left_out_and_told_of() -> None:
    rows = drawn(60)
    more = rows[:3].with_columns(_id=pl.col("_id") + 1, picture=pl.Series([b"?", None, b""]))
    more = pl.concat([rows, more, rows[:2].with_columns(_id=pl.col("_id") + 2, y=pl.lit(None, pl.String))])
    learnt = fit(learner(epochs=1), more)
    assert digest(learnt.state["weights"]) == digest(fit(learner(epochs=1), rows).state["weights"])
    assert learnt.state["warnings"] == ["3 of 63 training rows have no picture that can be read, and taught nothing."]


def test_what_cannot_be_is_refused(model: Any) -> None:
    rows = drawn(30)
    with pytest.raises(BadData, match="single class 'lies'"):
        fit(learner(), rows.with_columns(y=pl.lit("lies")))
    with pytest.raises(BadData, match=r"'picture' that can be read.*size: null"):
        fit(learner(), rows.with_columns(picture=pl.lit(b"?")))
    with pytest.raises(BadData, match="single class"):  # the other's pictures cannot be read
        fit(learner(), rows.with_columns(pl.when(pl.col("y") == "lies").then(pl.lit(b"?")).otherwise("picture")
                                         .alias("picture")))  # fmt: skip
    with pytest.raises(UnknownName, match="'y'"):
        fit(learner(), rows.drop("y"))
    with pytest.raises(ConfigurationError, match="holds String, and this step needs bytes"):
        fit(learner(), rows.with_columns(picture=pl.lit("x")))
    with pytest.raises(ConfigurationError, match="size: null"):
        fit(learner(size=("width", "height")), rows)
    with pytest.raises(ConfigurationError, match="'picture'"):
        model.apply(rows.drop("picture"))
    for wrong in ({"resolution": 4}, {"flip": ("sideways",)}, {"shift": 0.6}, {"colour": "cmyk"}):
        with pytest.raises(ValidationError):
            learner(**wrong)


def test_a_class_of_one_row_is_learnt() -> None:
    rows = drawn(40).with_columns(y=pl.when(pl.int_range(40) == 0).then(pl.lit("one")).otherwise("y"))
    learnt = fit(learner(epochs=1), rows)
    assert learnt.state["classes"] == ["lies", "one", "stands"]


def test_the_extra_is_named_where_a_library_is_missing(model: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    rows, fresh = drawn(2), ImageClassifierModel(state=model.state)
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(Unavailable, match=r"tillage\[encoder\]"):
        fresh.apply(rows)
    monkeypatch.setitem(sys.modules, "PIL", None)
    with pytest.raises(Unavailable, match=r"tillage\[image\]"):
        fresh.apply(rows)
