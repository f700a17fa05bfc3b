"""The trainer, apart from any task: a network of one layer, checkpoints, early stopping, two processes."""

from __future__ import annotations

import importlib.util
import json
import os
import socket
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tillage.core.errors import BadData, Unavailable
from tillage.core.state import digest
from tillage.learn.deep.batches import by_length
from tillage.learn.deep.trainer import Checkpoint, Training, arrays, torch

ROOT = Path(__file__).parents[2]
TORCH = importlib.util.find_spec("torch") is not None
needs_torch = pytest.mark.skipif(not TORCH, reason="needs PyTorch, which the lock of deep learning brings")

FEATURES = np.random.default_rng(0).normal(size=(90, 5)).astype(np.float32)
TARGETS = (FEATURES @ np.arange(1, 6, dtype=np.float32))[:, None]


class Killed(Exception):
    """What a run dies of here."""


def network(seed: int = 0) -> Any:
    library = torch()
    made = library.nn.Sequential(library.nn.Linear(5, 8), library.nn.Dropout(0.2), library.nn.Linear(8, 1))
    draw = np.random.default_rng(seed)
    values = {name: library.from_numpy(draw.normal(0, 0.3, v.shape)).float() for name, v in made.state_dict().items()}
    made.load_state_dict(values)
    return made


def loss(trained: Any, some: Any) -> Any:
    library = torch()
    found = trained(library.from_numpy(FEATURES[some]))
    return ((found - library.from_numpy(TARGETS[some])) ** 2).sum()


def batches(epoch: int, size: int = 16) -> list[Any]:
    return by_length([1] * len(FEATURES), size, 3, epoch)


HOW = Training(epochs=4, learning_rate=0.1, precision="float32", clip=100.0)


# ---- batches


@pytest.mark.parametrize(("count", "size"), [(1, 8), (7, 8), (8, 8), (1000, 3), (0, 4)])
def test_each_row_stands_in_one_batch_of_an_epoch(count: int, size: int) -> None:
    lengths = np.random.default_rng(count).integers(3, 60, count).tolist()
    found = by_length(lengths, size, 0, 0)
    assert sorted(n for batch in found for n in batch.tolist()) == list(range(count))
    assert all(0 < len(batch) <= size for batch in found)
    assert len(found) == len(by_length(lengths, size, 0, 1)) == -(-count // size)


def test_batches_are_of_like_length_and_their_order_is_drawn() -> None:
    lengths = np.random.default_rng(1).integers(3, 60, 1600).tolist()
    found = by_length(lengths, 32, 0, 0)
    padded = sum(max(lengths[n] for n in batch) * len(batch) for batch in found)
    assert padded < 1.05 * sum(lengths)
    assert [b.tolist() for b in found] == [b.tolist() for b in by_length(lengths, 32, 0, 0)]
    for other in (by_length(lengths, 32, 0, 1), by_length(lengths, 32, 1, 0)):
        assert [b.tolist() for b in found] != [b.tolist() for b in other]
    firsts = [max(lengths[n] for n in batch) for batch in found]
    assert firsts != sorted(firsts)


# ---- the trainer


def test_without_the_library_it_is_said_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(Unavailable, match=r"pip install 'tillage\[deep\]'"):
        torch()


@needs_torch
class TestTrainer:
    def test_it_learns_and_the_same_again(self) -> None:
        first, second = network(), network()
        curve = HOW.train(first, batches, loss)
        assert curve == HOW.train(second, batches, loss)
        assert digest(arrays(first)) == digest(arrays(second))
        assert curve[-1]["loss"] < 0.5 * curve[0]["loss"]
        other = network()
        replace(HOW, seed=1).train(other, batches, loss)
        assert digest(arrays(other)) != digest(arrays(first))

    def test_what_was_set_before_stands_afterwards(self) -> None:
        library, made = torch(), network()
        library.manual_seed(5)
        before = (library.get_num_threads(), library.get_rng_state().tolist())
        HOW.train(made, batches, loss)
        assert (library.get_num_threads(), library.get_rng_state().tolist()) == before
        assert not library.are_deterministic_algorithms_enabled()

    def test_a_step_is_that_of_adamw_by_the_book(self) -> None:
        """One step from zero moments, without dropout: the update is the rate times the sign of the gradient."""
        library = torch()
        made = library.nn.Linear(5, 1)
        made.load_state_dict({"weight": library.full((1, 5), 0.5), "bias": library.zeros(1)})
        how = Training(epochs=1, learning_rate=0.1, warmup=0.5, precision="float32", weight_decay=0.2, clip=1e9)
        how.train(made, lambda epoch: [np.arange(90), np.array([], np.int64)][:1] * 2, loss)
        assert how.rates(2) == [1.0, 0.0]
        slope = 2 * FEATURES.T @ (FEATURES @ np.full((5, 1), 0.5, np.float32) - TARGETS)
        wanted = 0.5 * (1 - 0.1 * 0.2) - 0.1 * np.sign(slope[:, 0])
        assert np.abs(arrays(made)["weight"][0] - wanted).max() < 1e-5

    @pytest.mark.parametrize("last", [3, 6, 11])
    def test_a_training_that_goes_on_ends_as_one_that_was_never_stopped(self, tmp_path: Path, last: int) -> None:
        whole = network()
        curve = HOW.train(whole, batches, loss, judge=self.judge)

        def dies(step: int, values: Any) -> None:
            if step > last:
                raise Killed

        point = Checkpoint(tmp_path / "x", every=2)
        with pytest.raises(Killed):
            HOW.train(network(), batches, loss, judge=self.judge, records=[dies], checkpoint=point)
        assert point.path.exists()
        steps: list[int] = []
        again = network(seed=9)  # the checkpoint's weights stand instead
        told = HOW.train(
            again, batches, loss, judge=self.judge, records=[lambda n, v: steps.append(n)], checkpoint=point
        )
        assert steps[0] > 1
        assert told == curve
        assert digest(arrays(again)) == digest(arrays(whole))
        assert not point.path.exists()

    def test_the_best_of_before_is_not_forgotten(self, tmp_path: Path) -> None:
        """It was best after the first epoch, died in the second, and went on."""
        scores = {1: 1.0, 2: 3.0, 3: 2.0, 4: 2.5}
        how, point = replace(HOW, patience=9), Checkpoint(tmp_path / "x", every=2)

        def judged(after: int) -> Any:
            left = iter([scores[epoch] for epoch in range(after + 1, 5)])
            return lambda trained: next(left)

        def dies(step: int, values: Any) -> None:
            if step > 10:
                raise Killed

        whole, again = network(), network(seed=9)
        how.train(whole, batches, loss, judge=judged(0))
        with pytest.raises(Killed):
            how.train(network(), batches, loss, judge=judged(0), records=[dies], checkpoint=point)
        how.train(again, batches, loss, judge=judged(1), checkpoint=point)
        assert digest(arrays(again)) == digest(arrays(whole))

    def test_a_checkpoint_of_another_training_is_refused(self, tmp_path: Path) -> None:
        point = Checkpoint(tmp_path / "x", every=1)

        def dies(step: int, values: Any) -> None:
            if step == 3:
                raise Killed

        with pytest.raises(Killed):
            HOW.train(network(), batches, loss, records=[dies], checkpoint=point)
        with pytest.raises(BadData, match="another training"):
            replace(HOW, epochs=5).train(network(), batches, loss, checkpoint=point)

    @staticmethod
    def judge(trained: Any) -> float:
        return float(loss(trained, np.arange(20))) / 20

    def test_it_stops_where_nothing_gets_better_and_keeps_the_best(self) -> None:
        scores = iter([3.0, 1.0, 2.0, 1.5, 9.0])
        kept: list[str] = []

        def judge(trained: Any) -> float:
            kept.append(digest(arrays(trained)))
            return next(scores)

        made = network()
        how = replace(HOW, epochs=5, patience=2)
        curve = how.train(made, batches, loss, judge=judge)
        assert [point["judged"] for point in curve] == [3.0, 1.0, 2.0, 1.5]
        assert digest(arrays(made)) == kept[1]
        assert not made.training

    def test_records_and_gradients_are_called(self) -> None:
        told: list[tuple[int, set[str]]] = []
        frozen = network()
        before = arrays(frozen)

        def nothing(trained: Any) -> None:
            for value in trained.parameters():
                value.grad.zero_()

        HOW.train(
            frozen, batches, loss, gradients=nothing, records=[lambda step, values: told.append((step, set(values)))]
        )
        assert told[0] == (1, {"loss", "rate"})
        assert told[6] == (6, {"epoch", "loss"})
        assert len(told) == 4 * 6 + 4
        after = arrays(frozen)
        assert all(np.allclose(after[name], before[name], rtol=0.05) for name in before)  # decay alone moves them

    def test_a_loss_that_is_no_number_stops(self) -> None:
        with pytest.raises(BadData, match="step 1"):
            HOW.train(network(), batches, lambda trained, some: loss(trained, some) * float("nan"))

    def test_bfloat16_is_near(self) -> None:
        whole, half = network(), network()
        HOW.train(whole, batches, loss)
        curve = replace(HOW, precision="bfloat16").train(half, batches, loss)
        assert digest(arrays(whole)) != digest(arrays(half))
        assert curve[-1]["loss"] < 0.5 * curve[0]["loss"]

    def test_two_processes_learn_what_one_does(self, tmp_path: Path) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = str(free.getsockname()[1])
        around = {
            **os.environ,
            "MASTER_ADDR": "127.0.0.1",
            "MASTER_PORT": port,
            "PYTHONPATH": os.pathsep.join(sys.path),
        }
        runs = [
            subprocess.Popen(
                [sys.executable, __file__, str(tmp_path / str(rank))],
                env={**around, "WORLD_SIZE": "2", "RANK": str(rank), "LOCAL_RANK": str(rank)},
            )
            for rank in range(2)
        ]
        assert [run.wait(timeout=120) for run in runs] == [0, 0]
        first, second = (json.loads((tmp_path / str(rank)).read_text()) for rank in range(2))
        assert first == second
        alone = plain()
        assert all(np.allclose(first[name], alone[name], atol=1e-4) for name in alone)


def plain() -> dict[str, Any]:
    """What the training of a layer comes to, and its first gradient, in this process's part of the world."""
    made = torch().nn.Linear(5, 1)
    made.load_state_dict({"weight": torch().full((1, 5), 0.5), "bias": torch().zeros(1)})
    slopes: list[Any] = []
    HOW.train(made, batches, loss, gradients=lambda trained: slopes.append(trained.weight.grad.tolist()))
    return {"slope": slopes[0], **{name: value.tolist() for name, value in arrays(made).items()}}


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(json.dumps(plain()))
