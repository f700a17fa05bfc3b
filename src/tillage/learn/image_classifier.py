"""A small convolutional network that learns to tell pictures apart, from nothing but the pictures and their labels.

For some hundred pictures and more, of up to some hundred pixels a side. A picture of 28 by 28 takes half a millisecond
of one processor to learn from, once an epoch, and a quarter to answer, without PyTorch: the weights are written as a
graph that ONNX Runtime runs. The state is 300 kB. Twice the `width` is four times the work.
Sources: LeCun et al., Gradient-based learning applied to document recognition, 1998; Guo et al., On calibration of
modern neural networks, ICML 2017 (one temperature); Platt, Probabilistic outputs for support vector machines, 1999.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cached_property, partial
from typing import Any, ClassVar, Literal

import numpy as np
import polars as pl
from pydantic import Field

from tillage.core.errors import BadData, UsageError
from tillage.core.rows import leave
from tillage.core.state import State
from tillage.learn.calibration import temperature_of
from tillage.learn.deep.batches import by_length
from tillage.learn.deep.gradients import integrated_gradients, misled
from tillage.learn.deep.image_network import answering, folded, image_network
from tillage.learn.deep.trainer import arrays, torch
from tillage.learn.ensemble import ClassifierModel
from tillage.learn.gradient_learner import GradientLearner
from tillage.learn.image_graph import write_image_graph
from tillage.learn.image_pixels import Frame, ImageTask, frame_of
from tillage.learn.learner import CONFIDENCE, PREDICTION, Numbers, labelled, require_two
from tillage.media import SIZE, Pictures, Size, TooLarge, Unreadable
from tillage.media.image import Pixels
from tillage.onnx.session import onnx_session

UNREADABLE, TOO_LARGE, NO_IMAGE = "unreadable_image", "image_too_large", "no_image"
"""Why a row has no prediction."""

_TOGETHER = 64
"""Pictures that are changed together."""
_SQUARES = 8
"""Squares along the longer side of a picture of which it is told what they added."""

_FEWEST = 30
"""Rows held back below which the confidence stays as it is."""


class ImageClassifier(GradientLearner):
    """Classify pictures by a small network that learns from them (`pip install 'tillage[deep,image]'`).

    A share of the rows is held back by their ids (`validation`): training ends when it does no better there, the best
    epoch stands, and one number, the temperature, is learnt there that puts the confidence right. Pictures that cannot
    be read teach nothing, and the report counts them.

    `shift` moves a picture a little, anew in each epoch. `flip` turns it over: only where a picture that is turned over
    is of the same class, so never for digits, letters or signs.

    >>> ImageClassifier(target="y", flip=("diagonal",))
    Traceback (most recent call last):
    pydantic_core._pydantic_core.ValidationError: 1 validation error for ImageClassifier
    flip.0
      Input should be 'horizontal' or 'vertical' ...
    """

    task: ClassVar[Literal["classification", "regression"]] = "classification"

    input: str = Field("pixels", min_length=1, description="column of pictures, as bytes")
    size: Size = SIZE
    resolution: int | None = Field(
        None, ge=8, le=512, description="longer side of what is looked at, in pixels; null: as pictures are, at most 64"
    )
    colour: Literal["auto", "grey", "rgb"] = Field(
        "auto", description="whether colours are looked at; auto: where any picture has one"
    )
    width: int = Field(16, ge=4, le=256, description="channels of the first convolutions; of later ones 2 and 4 times")
    epochs: int = Field(20, ge=1, le=1000, description="times that every picture is learnt from, at most")
    batch: int = Field(64, ge=1, le=4096, description="pictures that are learnt from together")
    learning_rate: float = Field(3e-3, gt=0, le=1, description="greatest, after a rise over the first steps")
    clip: float = Field(5.0, gt=0, description="greatest length of all gradients together")
    dropout: float = Field(0.1, ge=0, lt=1, description="share of the last layer's inputs left out in training")
    shift: float = Field(
        0.08, ge=0, le=0.5, description="share of a side by which a picture is moved in training, at most; 0: never"
    )
    flip: tuple[Literal["horizontal", "vertical"], ...] = Field(
        (), description="ways in which every other picture is turned over in training: horizontal swaps left and right"
    )
    validation: float = Field(0.1, ge=0, le=0.5, description="share of the rows held back to judge by; 0: none")
    patience: int = Field(5, ge=1, description="epochs without a better score on them, after which training ends")
    max_pixels: int = Field(25_000_000, ge=1, le=100_000_000, description="a larger picture is not unpacked")
    seed: int = Field(0, ge=0, lt=2**31, description="of the first weights, the order of rows, and what is moved")

    def needs(self) -> tuple[str, ...]:
        return (self.input, *(self.size or ()), self.target)

    def learn(self, rows: pl.DataFrame, before: State | None) -> State:
        """The state; raises BadData when there are fewer than two classes or no picture can be read, Unavailable."""
        rows, labels = labelled(rows, self.target)
        require_two(labels.unique().sort().to_list(), self.target)
        frame, seen = self._read(rows)
        there = np.array([isinstance(one, np.ndarray) for one in seen], dtype=np.bool_)
        rows, labels = rows.filter(pl.Series(there)), labels.filter(pl.Series(there))
        if not rows.height:
            raise BadData(
                f"No row with a label has a picture in '{self.input}' that can be read.",
                fix="Look at the column; where each value is a whole file (PNG, JPEG), say `size: null`.",
            )
        classes = labels.unique().sort().to_list()
        require_two(classes, self.target)
        frame, pixels = frame.coloured([one for one in seen if isinstance(one, np.ndarray)], self.colour)
        target = labels.replace_strict(classes, range(len(classes)), return_dtype=pl.Int64).to_numpy()
        held = self.held(rows)
        learning, judging = np.flatnonzero(~held), np.flatnonzero(held)
        frame = frame.scaled(pixels[learning])
        task = ImageTask(frame, pixels, target, self.shift, self.flip)
        network = image_network(
            frame.rows, frame.columns, frame.channels, self.width, len(classes), self.dropout, self.seed
        )
        curve = self.training(self.epochs, self.learning_rate).train(
            network,
            lambda epoch: [learning[part] for part in by_length([1] * len(learning), self.batch, self.seed, epoch)],
            task.loss,
            judge=(lambda trained: task.mean(trained, judging)) if len(judging) else None,
        )
        weights = folded(arrays(network))
        state: dict[str, Any] = {
            "weights": weights,
            "frame": frame.packed(),
            "max_pixels": self.max_pixels,
            "temperature": 1.0,
            "classes": classes,
            "curve": curve,
            "input": [self.input],
            "size": list(self.size) if self.size else None,
            "target": self.target,
            "warnings": _warned(len(there) - rows.height, len(there)),
        }
        if len(judging) >= _FEWEST:
            model = ImageClassifierModel(state=state)
            state["temperature"] = temperature_of(model.raw([pixels[n] for n in judging]), target[judging])
        return state

    def fitted(self, state: State) -> ImageClassifierModel:
        return ImageClassifierModel(state=state)

    def _read(self, rows: pl.DataFrame) -> tuple[Frame, list[Pixels | Unreadable | None]]:
        """What is looked at of a picture, and each of them so."""
        pictures = Pictures(rows, self.input, self.size, self.max_pixels)
        frame = frame_of(rows, self.input, self.size, self.max_pixels, self.resolution)
        return frame, pictures.tried(lambda _, pixels: frame.fitted(pixels))


class ImageClassifierModel(ClassifierModel):
    """Adds `prediction` and `confidence` to rows by an ImageClassifier's state.

    That takes `pip install 'tillage[encoder,image]'`, and no PyTorch. A row whose picture cannot be read leaves as
    `unreadable_image`, one of too many pixels as `image_too_large`, one without as `no_image`. Each picture is run
    alone, so a row's answer depends on no other.
    Where pictures were collected as plain pixels, a value without width and height may be a whole file (PNG, JPEG).

    >>> ImageClassifierModel(state={"input": ["pixels"]}).needs()
    ('pixels',)
    """

    def reads(self) -> tuple[str, ...]:
        return tuple(self.state["input"])

    def apply(self, rows: pl.DataFrame) -> pl.DataFrame:
        seen = self.seen(rows)
        return _marked(self.told(rows, self.shares_of(seen, rows.height)), seen)

    def apply_with_shares(self, rows: pl.DataFrame) -> pl.DataFrame:
        seen = self.seen(rows)
        return _marked(self.told_with_shares(rows, self.shares_of(seen, rows.height)), seen)

    def seen(self, rows: pl.DataFrame) -> list[_Seen]:
        """Each picture as the members look at it, or why it cannot be."""
        first = self.members[0].state
        size = first["size"] if first["size"] and any(name in rows.columns for name in first["size"]) else None
        frames = {frame.key: frame for member in self.members for frame in [Frame.of(member.state["frame"])]}
        pictures = Pictures(rows, first["input"][0], size and (size[0], size[1]), first["max_pixels"])
        return pictures.tried(lambda _, pixels: {key: frame.looked_at(pixels) for key, frame in frames.items()})

    def scores(self, seen: Sequence[_Seen]) -> Numbers:
        """Of what cannot be read, nothing but zeros."""
        found = np.zeros((len(seen), len(self.state["classes"])))
        for n, one in enumerate(seen):
            if isinstance(one, dict):
                found[n] = self.raw([one[self._frame.key]])[0]
        return found / float(self.state["temperature"])

    def raw(self, pictures: Sequence[Pixels]) -> Numbers:
        """What the network says of pictures as it looks at them, before the temperature: (pictures, classes)."""
        made = np.zeros((len(pictures), len(self.state["classes"])))
        for n, pixels in enumerate(pictures):
            given = np.ascontiguousarray(self._frame.normalized(pixels[None]).transpose(0, 3, 1, 2))
            made[n] = self._session.run(None, {"pictures": given})[0][0]
        return made

    def attacks(self, rows: pl.DataFrame, truth: pl.Series) -> Iterator[tuple[str, Callable[[], pl.Series]]]:
        """What the model says of pictures that were changed in order to mislead it: ways by name, and their answers.

        Each pixel of what the network looks at is changed by 2 or 8 of 255 at most, in one step up the gradient of the
        loss (FGSM) or in ten (PGD). To ask for answers raises Unavailable without PyTorch, and UsageError for shards.
        """
        for budget in (2, 8):
            for name, steps in (("FGSM", 1), ("PGD", 10)):
                way = f"each pixel changed by {budget} of 255 to mislead it ({name})"
                yield way, partial(self._misled, rows, truth, budget, steps)

    def _misled(self, rows: pl.DataFrame, truth: pl.Series, budget: int, steps: int) -> pl.Series:
        library, logits, seen = torch(), self._differentiable(), self.seen(rows)
        classes = self.state["classes"]
        at = {name: place for place, name in enumerate(classes)}
        there = [n for n, one in enumerate(seen) if isinstance(one, dict) and truth[n] in at]
        changed = dict[int, Pixels]()
        for some in (there[first : first + _TOGETHER] for first in range(0, len(there), _TOGETHER)):
            given = library.from_numpy(np.stack([seen[n][self._frame.key] for n in some]).astype(np.float32))  # type: ignore[index]
            wanted = library.tensor([at[truth[n]] for n in some])

            def loss(pixels: Any, wanted: Any = wanted) -> Any:
                return library.nn.functional.cross_entropy(logits(pixels), wanted, reduction="none")

            made = misled(loss, given.permute(0, 3, 1, 2), budget, steps).permute(0, 2, 3, 1).numpy()
            changed |= dict(zip(some, made.astype(np.uint8), strict=True))
        plain = self.apply(rows)[PREDICTION].to_list()
        for n, pixels in changed.items():
            plain[n] = classes[int(self.raw([pixels])[0].argmax())]
        return pl.Series(PREDICTION, plain, dtype=pl.String)

    def attributions(self, rows: pl.DataFrame) -> dict[str, Any]:
        """What parts of one picture added to the score of its class: integrated gradients from the mean picture.

        `of`, `base`, `score`, and `parts`: squares of what the network looks at. Raises BadData where there is no
        picture, Unavailable without PyTorch, and UsageError for shards.
        """
        logits, (one,) = self._differentiable(), self.seen(rows)
        if not isinstance(one, dict):
            raise BadData("The row has no picture that can be read.", fix="Look at the row: `tillage show`.")
        pixels, temperature = one[self._frame.key], float(self.state["temperature"])
        given = torch().from_numpy(pixels.astype(np.float32)).permute(2, 0, 1)
        at = int(self.raw([pixels])[0].argmax())
        mean = torch().tensor(self._frame.mean).reshape(-1, 1, 1).expand_as(given)
        adds, base, score = integrated_gradients(lambda some: logits(some)[:, at] / temperature, given, mean)
        parts = list(_squares(adds.sum(axis=0)))
        return {"of": self.state["classes"][at], "base": base, "score": score, "parts": parts}

    def _differentiable(self) -> Callable[[Any], Any]:
        """Pictures of 0 to 255 (pictures, channels, rows, columns) to logits, in PyTorch."""
        if len(self.members) > 1:
            raise UsageError("A model of several shards has no one gradient.", fix="Train it without 'shards'.")
        library, frame = torch(), self._frame
        mean, deviation = (library.tensor(part).reshape(1, -1, 1, 1) for part in (frame.mean, frame.deviation))
        network = answering(self.state["weights"], frame.rows, frame.columns)
        return lambda pixels: network((pixels - mean) / deviation)

    def onnx(self, facts: Mapping[str, str] | None = None) -> bytes:
        """The model as ONNX: `pictures`, normalised as the metadata say, to `logits` before the temperature.

        The metadata, as JSON: `classes`, `temperature`, `colour`, and `mean` and `deviation` by channel, of 0 to 255;
        height and width are those of the input. Raises UsageError for shards.
        """
        if len(self.members) > 1:
            raise UsageError("A model of several shards is no one graph.", fix="Train it without 'shards'.")
        state = self.members[0].state
        frame = Frame.of(state["frame"])
        told = {"classes": state["classes"], "temperature": float(state["temperature"])}
        told |= {"colour": "grey" if frame.channels == 1 else "rgb"}
        told |= {"mean": list(frame.mean), "deviation": list(frame.deviation)}
        kept = {name: json.dumps(value, ensure_ascii=False) for name, value in told.items()}
        return write_image_graph(state["weights"], frame.rows, frame.columns, {**(facts or {}), **kept})

    def _graph(self) -> bytes:
        return write_image_graph(self.state["weights"], self._frame.rows, self._frame.columns)

    @cached_property
    def _frame(self) -> Frame:
        return Frame.of(self.state["frame"])

    @cached_property
    def _session(self) -> Any:
        return onnx_session(self._graph())


_Seen = Mapping[tuple[int, int, int], Pixels] | Unreadable | None


def _marked(told: pl.DataFrame, seen: Sequence[_Seen]) -> pl.DataFrame:
    """The rows, those without a picture as leaving, without a prediction."""
    why = [_reason(one) for one in seen]
    lost = pl.Series([reason is not None for reason in why], dtype=pl.Boolean)
    out = told.with_columns(
        pl.when(lost).then(None).otherwise(pl.col(name)).alias(name) for name in (PREDICTION, CONFIDENCE)
    )
    for reason in (UNREADABLE, TOO_LARGE, NO_IMAGE):
        out = leave(out, reason, pl.lit(pl.Series([one == reason for one in why], dtype=pl.Boolean)))
    return out


def _squares(adds: Numbers) -> Iterator[dict[str, Any]]:
    """Sums over squares, eight along the longer side at most, each with its first and last row and column."""
    side = -(-max(adds.shape) // _SQUARES)
    for row in range(0, adds.shape[0], side):
        for column in range(0, adds.shape[1], side):
            part = adds[row : row + side, column : column + side]
            rows, columns = [row, row + part.shape[0] - 1], [column, column + part.shape[1] - 1]
            name = f"{_from_to('row', *rows)}, {_from_to('column', *columns)}"
            yield {"part": name, "rows": rows, "columns": columns, "adds": float(part.sum())}


def _from_to(what: str, first: int, last: int) -> str:
    return f"{what} {first}" if first == last else f"{what}s {first} to {last}"


def _reason(one: _Seen) -> str | None:
    if isinstance(one, Unreadable):
        return TOO_LARGE if isinstance(one, TooLarge) else UNREADABLE
    return NO_IMAGE if one is None else None


def _warned(lost: int, rows: int) -> list[str]:
    if not lost:
        return []
    return [f"{lost:,} of {rows:,} training rows have no picture that can be read, and taught nothing."]
