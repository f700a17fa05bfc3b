"""What learners share that go on training a pretrained encoder of texts: its parameters, and the model made small.

All of the encoder's weights learn, or thin matrices beside them (LoRA). A step a text of 27 tokens and 6 layers takes
about 20 ms of one processor. In eight bits the state is a quarter as large.
Sources: Devlin et al., BERT, NAACL 2019; Hu et al., LoRA, ICLR 2022; Zafrir et al., Q8BERT, 2019.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from hashlib import sha256
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from tillage.core.errors import GateFailed
from tillage.core.state import State
from tillage.learn.deep.text_network import HEAD
from tillage.learn.deep.trainer import Training
from tillage.learn.gradient_learner import GradientLearner
from tillage.text.pretrained import Pretrained
from tillage.text.transformer import EncoderModel, quantized, whole

_RATES = {"full": 1e-4, "lora": 1e-3}


class Compress(BaseModel):
    """How a model is made small after it has learnt.

    >>> Compress(at_most_loss=0.01).to
    'int8'
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    to: Literal["int8"] = Field("int8", description="what weights become: whole numbers of eight bits")
    at_most_loss: float = Field(
        0.003, ge=0, le=1, description="score that may be lost on the rows held back; more, and the run is refused"
    )


class EncoderLearner(GradientLearner):
    """A learner that trains a pretrained encoder of texts on a task.

    `model` is a folder of Hugging Face's layout, or an installed package that carries one, as `embed_text` takes them;
    nothing is downloaded.
    """

    model: EncoderModel
    train_weights: Literal["full", "lora"] = Field("full", description="full: all weights learn; lora: few beside them")
    rank: int = Field(8, ge=1, le=256, description="of lora: columns of the thin matrices")
    learning_rate: float | None = Field(None, gt=0, le=1, description="greatest; null: 1e-4, of lora 1e-3")
    head_rate: float = Field(10.0, gt=0, le=1000, description="how much faster the new last layer learns")
    compress: Compress | None = Field(None, description="how the model is made small; needs 'validation'")

    @model_validator(mode="after")
    def _judged_by_rows_held_back(self) -> EncoderLearner:
        if self.compress is not None and not self.validation:
            raise ValueError("'compress' is judged on rows held back: add 'validation: 0.1'")
        return self

    def fingerprint(self) -> str:
        """That of the parameters and of the files of the model."""
        return sha256(f"{super().fingerprint()} {Pretrained.find(self.model).digest()}".encode()).hexdigest()[:32]

    def of_lora(self) -> int:
        """The columns of the thin matrices; 0 where all weights learn."""
        return self.rank if self.train_weights == "lora" else 0

    def tuning(self, epochs: int) -> Training:
        """How the encoder is trained: its new last layer learns faster."""
        rate = self.learning_rate or _RATES[self.train_weights]
        return self.training(epochs, rate, {f"kept.{HEAD}": self.head_rate})

    def small(
        self, state: dict[str, Any], rows: int, metric: str, score: Callable[[Mapping[str, Any]], float]
    ) -> dict[str, Any]:
        """The state in eight bits, with a table of what that came to; raises GateFailed for too great a loss.

        `score`: of a state, on so many rows held back, by a `metric` that says more the better a model is.
        """
        assert self.compress is not None
        small = {**state, "weights": quantized(state["weights"])}
        before, after = score(state), score(small)
        if before - after > self.compress.at_most_loss:
            raise GateFailed(
                f"In eight bits the {metric} falls from {before:.4f} to {after:.4f} on {rows} rows held "
                f"back, by more than {self.compress.at_most_loss}.",
                fix="Raise 'at_most_loss', hold more rows back, or leave 'compress' out.",
            )
        sizes = [_bytes(s["weights"]) for s in (state, small)]
        told = {"to": self.compress.to, "rows": rows, metric: [before, after], "bytes": sizes}
        return {**small, "compression": told}


def unpacked(state: State) -> State | None:
    """The state of a model that was made small with its weights as numbers of 32 bits; None where it was not."""
    if "compression" not in state:
        return None
    kept = {name: value for name, value in state.items() if name != "compression"}
    return {**kept, "weights": {name: whole(value) for name, value in state["weights"].items()}}


def _bytes(weights: dict[str, Any]) -> int:
    parts = [part for w in weights.values() for part in (w.values() if isinstance(w, dict) else [w])]
    return int(sum(part.nbytes for part in parts))
