"""What the gradients of networks tell: attributions that add up, and attacks that stay within their budget."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import polars as pl
import pytest
from tests.flow.world import KEY
from tests.learn.test_every_learner import fit
from tests.learn.test_fine_tuned import learner as of_texts
from tests.learn.test_image_classifier import drawn
from tests.learn.test_image_classifier import learner as of_pictures
from tests.text import tiny_encoder

from tillage.core.errors import BadData, UsageError
from tillage.face.main import ended
from tillage.face.rooms import project
from tillage.learn.fine_tuned_classifier import FineTunedClassifierModel
from tillage.media import encode_image

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("torch") is None, reason="needs PyTorch, which the lock of deep learning brings"
)


@pytest.fixture(scope="module")
def bars() -> Any:
    return fit(of_pictures(), drawn())


@pytest.fixture(scope="module")
def texts(tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder = tiny_encoder.write(tmp_path_factory.mktemp("model"))
    rows = pl.DataFrame(
        {"_id": range(60), "text": ["a calm sea", "a big fever", "the sea"] * 20, "y": ["s", "f", "s"] * 20}
    )
    return fit(of_texts(folder, epochs=12), rows.with_columns(pl.col("_id").cast(pl.UInt128)))


# ---- attributions


def test_gradients_of_a_known_function_are_integrated() -> None:
    """x y from (0, 0) to (2, 3): half of 6 each; a straight way, whatever the scores between."""
    from tillage.learn.deep.gradients import integrated_gradients
    from tillage.learn.deep.trainer import torch

    found, base, score = integrated_gradients(
        lambda x: x[:, 0] * x[:, 1], torch().tensor([2.0, 3.0]), torch().tensor([0.0, 0.0])
    )
    assert np.allclose(found, [3.0, 3.0], atol=1e-4)
    assert (base, score) == (0.0, 6.0)
    found, base, score = integrated_gradients(
        lambda x: x[:, 0] ** 3 + x[:, 1], torch().tensor([2.0, 1.0]), torch().tensor([1.0, 1.0])
    )
    assert np.allclose(found, [7.0, 0.0], atol=1e-3)
    assert (base, score) == (2.0, 9.0)


def test_what_is_attributed_is_what_answers(bars: Any) -> None:
    """The functions in PyTorch are the graphs of ONNX Runtime that answer."""
    from tillage.learn.deep.image_network import answering
    from tillage.learn.deep.trainer import torch
    from tillage.learn.image_graph import write_image_graph

    random = np.random.default_rng(2)
    for rows, columns, channels in ((28, 28, 1), (8, 13, 3), (17, 9, 1)):
        shapes = [(4, channels, 3, 3), (4, 4, 3, 3), (8, 4, 3, 3), (8, 8, 3, 3), (16, 8, 3, 3), (16, 16, 3, 3), (3, 16)]
        weights = {}
        for n, shape in enumerate(shapes):
            weights[f"{n}.weight"] = random.normal(0, 0.3, shape).astype(np.float32)
            weights[f"{n}.bias"] = random.normal(0, 0.3, shape[0]).astype(np.float32)
        given = random.normal(size=(2, channels, rows, columns)).astype(np.float32)
        session = onnxruntime.InferenceSession(
            write_image_graph(weights, rows, columns), providers=["CPUExecutionProvider"]
        )
        wanted = session.run(["logits"], {"pictures": given})[0]
        found = answering(weights, rows, columns)(torch().from_numpy(given)).numpy()
        assert np.abs(found - wanted).max() < 1e-4 * np.abs(wanted).max()
    for row in drawn(4, seed=5).iter_slices(1):
        told = bars.attributions(row)
        at = bars.state["classes"].index(told["of"])
        assert told["of"] == bars.apply(row)["prediction"][0]
        assert np.isclose(told["score"], bars.scores(bars.seen(row))[0, at], atol=1e-4)
        assert np.isclose(sum(part["adds"] for part in told["parts"]), told["score"] - told["base"], atol=0.05)


def test_squares_cover_the_picture_once(bars: Any) -> None:
    seen = np.zeros((12, 12), int)
    for part in bars.attributions(drawn(1))["parts"]:
        (top, bottom), (left, right) = part["rows"], part["columns"]
        seen[top : bottom + 1, left : right + 1] += 1
        assert part["part"] == f"rows {top} to {bottom}, columns {left} to {right}"
    assert (seen == 1).all()


def test_the_bar_is_what_tells_a_bar(bars: Any) -> None:
    pixels = np.full((12, 12, 1), 30, np.uint8)
    pixels[4:6] = 180
    rows = pl.DataFrame({"_id": pl.Series([1], dtype=pl.UInt128), "picture": [encode_image(pixels)]})
    told = bars.attributions(rows)
    assert told["of"] == "lies"
    best = max(told["parts"], key=lambda part: part["adds"])
    assert best["rows"] == [4, 5]
    with pytest.raises(BadData, match="no picture"):
        bars.attributions(rows.with_columns(picture=pl.lit(b"none")))


def test_the_class_that_is_explained_is_the_one_that_is_said(texts: Any) -> None:
    """In eight bits texts near the edge may be answered otherwise than the weights in full would have it."""

    class Rounded(FineTunedClassifierModel):
        def scores(self, seen: Any) -> Any:
            return -super().scores(seen)

    rounded, rows = Rounded(state=texts.state), pl.DataFrame({"text": ["a big fever"]})
    assert rounded.attributions(rows)["of"] == rounded.apply(rows)["prediction"][0] == "s"


def test_words_add_up_and_the_one_that_decides_adds_most(texts: Any) -> None:
    for text, of, word in (("a big fever", "f", ("big", "fever")), ("the calm sea", "s", ("calm", "sea"))):
        rows = pl.DataFrame({"text": [text]})
        told = texts.attributions(rows)
        at = texts.state["classes"].index(of)
        assert told["of"] == of == texts.apply(rows)["prediction"][0]
        assert np.isclose(told["score"], texts.scores(texts.seen(rows))[0, at], atol=1e-3)
        assert np.isclose(sum(part["adds"] for part in told["parts"]), told["score"] - told["base"], atol=0.05)
        assert [text[part["start"] : part["end"]] for part in told["parts"]] == text.split()
        assert max(told["parts"], key=lambda part: part["adds"])["part"] in word
    nothing = texts.attributions(pl.DataFrame({"text": [""]}))
    assert nothing["parts"] == []
    assert np.isclose(nothing["base"], nothing["score"])


# ---- attacks


def test_an_attack_stays_within_its_budget_and_ten_steps_lose_no_less_than_one() -> None:
    from tillage.learn.deep.gradients import misled
    from tillage.learn.deep.trainer import torch

    random = np.random.default_rng(0)
    weights = torch().from_numpy(random.normal(size=(1, 2, 5, 5))).float()

    def loss(pictures: Any) -> Any:
        return (weights * pictures / 50).sin().sum(dim=(1, 2, 3))

    given = torch().from_numpy(random.integers(0, 256, (40, 2, 5, 5))).float()
    for budget in (2, 8):
        once, often = misled(loss, given, budget, 1), misled(loss, given, budget, 10)
        for made in (once, often):
            assert (made - given).abs().max() <= budget
            assert ((made >= 0) & (made <= 255) & (made == made.round())).all()
        assert ((once - given).abs() == budget)[(given > budget) & (given < 255 - budget)].all()
        assert loss(once).mean() > loss(given).mean()
        assert loss(often).mean() > loss(once).mean()
        assert (loss(often) > loss(given) - 0.5).all()


def faint(count: int, seed: int) -> pl.DataFrame:
    """Bars that stand or lie, hardly lighter than the noise that they are in."""
    random = np.random.default_rng(seed)
    made = []
    for n in range(count):
        pixels = random.integers(0, 20, (12, 12, 1))
        at = random.integers(1, 10)
        pixels[(slice(at, at + 2), slice(None)) if n % 2 else (slice(None), slice(at, at + 2))] += 12
        made.append(encode_image(pixels.astype(np.uint8)))
    ids = pl.Series(range(count), dtype=pl.UInt128)
    return pl.DataFrame({"_id": ids, "picture": made, "y": ["stands", "lies"] * (count // 2)})


def test_attacks_mislead_and_take_rows_as_they_are() -> None:
    model: Any = fit(of_pictures(), faint(200, 0))
    rows = faint(100, 1)
    plain = model.apply(rows)["prediction"]
    lost = rows.with_columns(picture=pl.when(pl.int_range(100) < 5).then(pl.lit(b"none")).otherwise("picture"))
    truth = lost["y"].set(pl.Series([n == 9 for n in range(100)]), "of no class that was learnt")
    ways = {name: answers() for name, answers in model.attacks(lost, truth)}
    assert [name[-5:] for name in ways] == ["FGSM)", "(PGD)", "FGSM)", "(PGD)"]
    right = []
    for said in ways.values():
        assert said[:5].null_count() == 5
        assert said[9] == plain[9]
        right.append((said == truth).sum())
    assert (plain == rows["y"]).sum() > 90
    assert 90 > right[0] > right[2] + 20
    assert right[1] <= right[0]
    assert right[3] <= right[2]


def test_shards_have_no_gradient() -> None:
    model: Any = fit(of_pictures(shards=2, epochs=2), drawn())
    _, answers = next(iter(model.attacks(drawn(), drawn()["y"])))
    for ask in (answers, lambda: model.attributions(drawn(1))):
        with pytest.raises(UsageError, match="several shards"):
            ask()


def test_in_a_plan_and_on_the_screen(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("TILLAGE_KEY", KEY)
    (tmp_path / "tillage.yaml").write_text(
        "project: bars\ntables: {bars: {collect: {files: bars.parquet}, key: id}}\nmodels:\n"
        "  way: {learn: image_classifier, from: bars, input: picture, size: null, target: y, width: 8, epochs: 6,\n"
        "    batch: 16, precision: float32, evaluate: {robustness: true}}\n"
    )
    drawn(150).select(pl.int_range(150).alias("id"), "picture", "y").write_parquet(tmp_path / "bars.parquet")
    with project(tmp_path) as opened:
        opened.run()
        found = opened.report("way")["robustness"]
    assert [way["name"].split(" to mislead it ")[1] for way in found["ways"]] == ["(FGSM)", "(PGD)", "(FGSM)", "(PGD)"]
    assert found["skipped"] == []
    assert all(way["score"] <= found["clean"] for way in found["ways"])
    capsys.readouterr()
    assert ended(["explain", "way", "--key", "3", "--json", "--plan", str(tmp_path)]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["schema"] == "tillage.explain/1"
    assert len(told["parts"]) == 36
    assert abs(told["parts"][0]["adds"]) == max(abs(part["adds"]) for part in told["parts"])
    assert ended(["explain", "way", "--key", "3", "--plan", str(tmp_path)]) == 0
    assert "(20 of 36 parts; all of them with --json)" in capsys.readouterr().out
