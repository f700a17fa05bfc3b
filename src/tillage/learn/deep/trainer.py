"""Gradient descent, written once: whatever is trained here brings its network, its batches and its loss.

AdamW on all parameters in one kernel, a learning rate that warms up and falls to nothing, gradients cut to a length,
products in bfloat16 where the processor has them (twice as fast; weights and sums stay in float32). One thread, and a
draw that begins anew at each step: the same arguments give the same bits on one class of processor, and a training
that goes on from a checkpoint ends as one that was never stopped. Under `torchrun` each process takes its part of each
batch, and the mean of the gradients is that of the whole batch.
Sources: Loshchilov and Hutter, Decoupled weight decay regularization, ICLR 2019; Devlin et al., BERT, NAACL 2019
(warm-up and linear decay); Micikevicius et al., Mixed precision training, ICLR 2018.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any, Literal, TypeAlias

import numpy as np

from tillage.core.errors import BadData, Unavailable
from tillage.core.state import decode, encode
from tillage.core.training_records import Record, listeners
from tillage.learn.learner import Numbers

Loss: TypeAlias = "Callable[[Any, Numbers], Any]"
"""Network and the numbers of some examples to the sum of their losses, a tensor without shape."""
Batches: TypeAlias = "Callable[[int], Sequence[Numbers]]"
"""Epoch to the examples of each of its batches, by number; as many batches each time."""

Precision = Literal["auto", "float32", "bfloat16"]


def torch() -> Any:
    """The library; raises Unavailable with the line that installs it."""
    try:
        import torch as library
    except ImportError as error:
        raise Unavailable("PyTorch is not installed.", fix="Run: pip install 'tillage[deep]'") from error
    return library


@dataclass(frozen=True)
class Checkpoint:
    """A file from which training goes on; written whole, and taken away when training has ended.

    It holds weights that have seen the examples: keep it no longer than them.
    """

    path: Path
    every: int = 100
    """Steps from one to the next."""


@dataclass(frozen=True)
class Training:
    """How a network is trained.

    >>> Training(epochs=2, warmup=0.5).rates(4)
    [0.5, 1.0, 0.5, 0.0]
    """

    epochs: int = 3
    learning_rate: float = 5e-5
    warmup: float = 0.1
    """Share of the steps in which the rate rises."""
    weight_decay: float = 0.01
    clip: float = 1.0
    """Greatest length of all gradients together."""
    precision: Precision = "auto"
    patience: int = 1
    """Epochs without a better score, after which training ends; only where something judges."""
    seed: int = 0
    rates_of: Mapping[str, float] = field(default_factory=dict)
    """Beginning of the names of some parameters to how much faster they learn."""

    def rates(self, steps: int) -> list[float]:
        """What the learning rate is multiplied by at each step."""
        rise = max(1, round(self.warmup * steps))
        return [min((n + 1) / rise, (steps - n - 1) / max(1, steps - rise)) for n in range(steps)]

    def train(
        self,
        network: Any,
        batches: Batches,
        loss: Loss,
        *,
        judge: Callable[[Any], float] | None = None,
        gradients: Callable[[Any], None] | None = None,
        records: Sequence[Record] = (),
        checkpoint: Checkpoint | None = None,
    ) -> list[dict[str, float]]:
        """Train the network in place; the curve, a dict an epoch: `epoch`, `loss`, and `judged` where something judges.

        `judge`: what is to become small, on examples that are not learnt from: the network ends as it was best.
        `gradients`: called with the network before gradients are cut and used (noise, masks). Raises BadData when the
        loss is no number. `records`: called with figures of each step and each epoch, as whoever is `listening` is.
        """
        with settled(self.seed):
            told = (*records, *listeners())
            return _Run(self, network, batches, loss, judge, gradients, told, checkpoint).run()

    def half(self) -> bool:
        """Whether products are taken in bfloat16."""
        if self.precision != "auto":
            return self.precision == "bfloat16"
        library = torch()
        knows = getattr(library.cpu, "_is_avx512_bf16_supported", None)
        return bool(knows and knows())


@contextmanager
def settled(seed: int) -> Iterator[None]:
    """One thread and a seeded draw inside; as they were, afterwards."""
    library = torch()
    threads, drawn = library.get_num_threads(), library.get_rng_state()
    strict, filled = (
        library.are_deterministic_algorithms_enabled(),
        library.utils.deterministic.fill_uninitialized_memory,
    )
    library.set_num_threads(1)
    library.use_deterministic_algorithms(True)
    library.utils.deterministic.fill_uninitialized_memory = False  # a net for code that reads it, at 2 % of the time
    library.manual_seed(seed)
    try:
        yield
    finally:
        library.set_num_threads(threads)
        library.use_deterministic_algorithms(strict)
        library.utils.deterministic.fill_uninitialized_memory = filled
        library.set_rng_state(drawn)


def arrays(network: Any) -> dict[str, Numbers]:
    """The parameters and buffers of a network as NumPy arrays of their own."""
    return {name: np.array(value.detach().numpy()) for name, value in network.state_dict().items()}


def restore(network: Any, values: Mapping[str, Numbers]) -> None:
    """Put arrays back into a network; the names must be the same."""
    network.load_state_dict({name: torch().from_numpy(np.array(value)) for name, value in values.items()})


class _Run:
    """One training under way."""

    def __init__(
        self,
        how: Training,
        network: Any,
        batches: Batches,
        loss: Loss,
        judge: Callable[[Any], float] | None,
        gradients: Callable[[Any], None] | None,
        records: Sequence[Record],
        checkpoint: Checkpoint | None,
    ) -> None:
        self.torch, self.how, self.network, self.batches, self.loss = torch(), how, network, batches, loss
        self.judge, self.gradients, self.records, self.checkpoint = judge, gradients, records, checkpoint
        self.parts, self.part = int(os.environ.get("WORLD_SIZE", "1")), int(os.environ.get("RANK", "0"))
        self.shared = network
        if self.parts > 1:
            if not self.torch.distributed.is_initialized():
                self.torch.distributed.init_process_group("gloo")
            self.shared = self.torch.nn.parallel.DistributedDataParallel(network)
        self.trained = {name: value for name, value in network.named_parameters() if value.requires_grad}
        self.optimizer = self.torch.optim.AdamW(self._groups(), lr=how.learning_rate, fused=True)
        self.of_epoch = len(batches(0))
        self.rates = how.rates(how.epochs * self.of_epoch)
        self.half = how.half()
        self.step = 0
        self.lost = 0.0
        self.examples = 0
        self.curve: list[dict[str, float]] = []
        self.best: dict[str, Numbers] | None = None

    def _groups(self) -> list[dict[str, Any]]:
        """Parameters by how fast they learn and whether they decay: vectors (biases, norms) do not."""
        groups: dict[tuple[float, float], list[Any]] = {}
        for name, value in self.trained.items():
            faster = next((rate for start, rate in self.how.rates_of.items() if name.startswith(start)), 1.0)
            groups.setdefault((faster, self.how.weight_decay if value.ndim > 1 else 0.0), []).append(value)
        return [{"params": some, "weight_decay": decay, "faster": faster} for (faster, decay), some in groups.items()]

    def run(self) -> list[dict[str, float]]:
        self._resume()
        self.network.train()
        while self.step < len(self.rates) and not self._stops():
            epoch = self.step // self.of_epoch
            batches = self.batches(epoch)
            for place in range(self.step % self.of_epoch, self.of_epoch):
                self._learn(batches[place])
                if self.checkpoint is not None and self.step % self.checkpoint.every == 0 and place + 1 < self.of_epoch:
                    self._save(self.checkpoint.path)
            self._end_epoch(epoch)
        if self.best is not None:
            restore(self.network, self.best)
        self.network.eval()
        if self.checkpoint is not None and self.part == 0:
            self.checkpoint.path.unlink(missing_ok=True)
        return self.curve

    def _learn(self, batch: Numbers) -> None:
        library = self.torch
        library.manual_seed((self.how.seed * 1_000_003 + self.step) * 64 + self.part)
        with library.autocast("cpu", dtype=library.bfloat16, enabled=self.half):
            lost = self.loss(self.shared, batch[self.part :: self.parts])
        (lost * (self.parts / len(batch))).backward()
        if self.gradients is not None:
            self.gradients(self.network)
        library.nn.utils.clip_grad_norm_(self.trained.values(), self.how.clip)
        for group in self.optimizer.param_groups:
            group["lr"] = self.how.learning_rate * self.rates[self.step] * group["faster"]
        self.optimizer.step()
        self.optimizer.zero_grad()
        value = float(lost.detach())
        if not np.isfinite(value):
            raise BadData(
                f"The loss became {value} at step {self.step + 1}.", fix="Lower 'learning_rate', or raise 'warmup'."
            )
        self.step += 1
        self.lost, self.examples = self.lost + value, self.examples + len(batch[self.part :: self.parts])
        for record in self.records:
            record(self.step, {"loss": value * self.parts / len(batch), "rate": self.rates[self.step - 1]})

    def _end_epoch(self, epoch: int) -> None:
        point = {"epoch": float(epoch + 1), "loss": self.lost / max(1, self.examples)}
        self.lost, self.examples = 0.0, 0
        if self.judge is not None:
            self.network.eval()
            with self.torch.no_grad(), self.torch.autocast("cpu", dtype=self.torch.bfloat16, enabled=self.half):
                point["judged"] = self.judge(self.network)
            self.network.train()
            if all(point["judged"] < before["judged"] for before in self.curve):
                self.best = arrays(self.network)
        self.curve.append(point)
        for record in self.records:
            record(self.step, point)
        if self.checkpoint is not None:
            self._save(self.checkpoint.path)

    def _stops(self) -> bool:
        """Whether the last epochs, as many as patience allows, were none of them the best."""
        judged = [point["judged"] for point in self.curve if "judged" in point]
        return bool(judged) and len(judged) - 1 - int(np.argmin(judged)) >= self.how.patience

    # ---- going on

    def _asked(self) -> str:
        """What a checkpoint must be of: the same training of the same network."""
        shapes = sorted((name, list(value.shape)) for name, value in self.trained.items())
        return sha256(repr((self.how, self.of_epoch, shapes)).encode()).hexdigest()

    def _save(self, path: Path) -> None:
        if self.part:
            return
        moments = self.optimizer.state_dict()["state"]
        state = {
            "asked": self._asked(), "step": self.step, "lost": self.lost, "examples": self.examples,
            "curve": self.curve, "weights": arrays(self.network), "best": self.best,
            "moments": [
                {name: value.numpy() for name, value in moments[number].items()} for number in sorted(moments)
            ],
        }  # fmt: skip
        fresh = path.with_name(path.name + ".fresh")
        fresh.write_bytes(encode(state))
        fresh.replace(path)

    def _resume(self) -> None:
        if self.checkpoint is None or not self.checkpoint.path.exists():
            return
        state = decode(self.checkpoint.path.read_bytes())
        if state["asked"] != self._asked():
            raise BadData(
                f"The checkpoint {self.checkpoint.path} is of another training.", fix="Remove it, or name another file."
            )
        restore(self.network, state["weights"])
        made = {
            number: {name: self.torch.from_numpy(np.array(value)) for name, value in moment.items()}
            for number, moment in enumerate(state["moments"])
        }
        self.optimizer.load_state_dict({**self.optimizer.state_dict(), "state": made})
        self.step, self.lost, self.examples = state["step"], state["lost"], state["examples"]
        self.curve, self.best = state["curve"], state["best"]
