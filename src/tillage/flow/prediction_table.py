"""The prediction table: each prediction with its model, version, time, digest of the input, output and latency.

Ended segments of the log are rolled into chunks of the stage `@predictions`: the predictions, the labels that came,
whom each prediction is about, and what a service keeps of its inputs, each in a part of its own. The commit that brings
a segment says so, so that no record is lost or counted twice wherever a process dies. A label comes by the id that the
answer gave: late, twice (the last one holds), or never; the label of a prediction that is not there, because it was
forgotten, is not kept.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import polars as pl

from tillage.core.errors import Locked
from tillage.core.rows import ID, ids, only
from tillage.flow.run import STORE_LOCK
from tillage.store.locate import candidates, release
from tillage.store.locks import hold
from tillage.store.segments import FOLDER, STAGE, records, segments
from tillage.store.tables import ROWS, Draft, NewChunk, Store

LABELS, ABOUT, INPUTS = "labels", "about", "inputs"
LOG_LOCK = "@predictions-log"
"""Held while a group is written to the log, and while someone else takes the segment that is written to away."""

_ABOUT = "_about"
_SCHEMA: dict[str, Any] = {
    ID: pl.UInt128, "time": pl.Datetime("us", "UTC"), "service": pl.String, "model": pl.String, "version": pl.Int64,
    "route": pl.String, "prediction": pl.String, "confidence": pl.Float64, "error": pl.String, "input": pl.String,
    "latency_ms": pl.Float64,
}  # fmt: skip
_LABELS: dict[str, Any] = {ID: pl.UInt128, "order": pl.Int64, "labelled": pl.Datetime("us", "UTC"), "label": pl.String}
_ABOUTS: dict[str, Any] = {ID: pl.UInt128, _ABOUT: pl.UInt128, "table": pl.String}
_INPUTS: dict[str, Any] = {ID: pl.UInt128, "values": pl.String}
PARTS = {ROWS: _SCHEMA, LABELS: _LABELS, ABOUT: _ABOUTS, INPUTS: _INPUTS}

AT_ONCE = 10_000
"""Entries that are Python objects at once: they take ten times what they take in a frame."""

_ROW_BITS = 32
SHADOW = 1 << 31
"""Added to the id of an answer it is that of the shadow's: the number of a row is always below."""


def writing(store: Store) -> AbstractContextManager[None]:
    """The lock of who writes to the log, or takes a segment of it away."""
    return hold(store.root / "locks", [LOG_LOCK], wait=True)


def rolled(store: Store) -> int:
    """The number of the last segment that is in the table."""
    last = store.latest(STAGE)
    return int(last.facts["segment"]) if last is not None else 0


def bring(store: Store, but: int = 0) -> bool:
    """Bring segments into the table in one commit, and delete them; false while someone holds the store.

    `but`: the segment that is still written to. What a killed process left is brought by the next one.
    """
    try:
        with hold(store.root / "locks", [STORE_LOCK], shared=True), hold(store.root / "locks", [STAGE]):
            _bring(store, but)
    except Locked:
        return False
    return True


def bring_all(store: Store) -> None:
    """Bring every segment, also the one that a running server writes to; the caller holds the store alone.

    The server finds its segment gone at its next group, and begins another.
    """
    if segments(store.root / FOLDER):
        with writing(store), hold(store.root / "locks", [STAGE], wait=True):
            _bring(store, 0)


def _bring(store: Store, but: int) -> None:
    done = rolled(store)
    waiting = [(n, path) for n, path in segments(store.root / FOLDER) if n != but]
    new = [(n, path) for n, path in waiting if n > done]
    if new:
        found = _frames(new)
        found[LABELS] = _with_predictions(store, found)
        draft = Draft(STAGE, "predictions", STAGE, facts={"segment": new[-1][0]}, counts={})
        draft.columns = {c: str(t) for c, t in _SCHEMA.items() if c != ID}
        for part, frame in found.items():
            if frame.height:
                key = sha256(f"{STAGE}\n{part}\n{new[0][0]}\n{new[-1][0]}".encode()).hexdigest()[:32]
                draft.added.append(NewChunk(part, store.objects.put_frame(key, frame)))
        if draft.added:
            store.commit(draft)
        for chunk in draft.added:  # a server goes on for months, and nobody in it reads what it has brought
            store.objects.forget(chunk.stored.name)
        release(store)
    for _, path in waiting:
        path.unlink(missing_ok=True)


def _with_predictions(store: Store, found: dict[str, pl.DataFrame]) -> pl.DataFrame:
    """The labels whose predictions are there."""
    labels = found[LABELS]
    known = [found[ROWS][ID]]
    for chunk, near in candidates(store, STAGE, labels[ID].unique(), ROWS):
        known.append(only(store.objects.get_frame(chunk.object, chunk.checksum, [ID]), near)[ID])
    return only(labels, pl.concat(known))


def _frames(found: Sequence[tuple[int, Path]]) -> dict[str, pl.DataFrame]:
    """What segments hold, by part."""
    held: dict[str, list[pl.DataFrame]] = {part: [_framed([], schema)] for part, schema in PARTS.items()}
    waiting: dict[str, list[tuple[Any, ...]]] = {part: [] for part in PARTS}
    rows, labels, abouts, inputs = (waiting[part] for part in (ROWS, LABELS, ABOUT, INPUTS))

    def settle() -> None:
        for part, own in waiting.items():
            if own:
                held[part].append(_framed(own, PARTS[part]))
                own.clear()

    for number, path in found:
        for place, record in enumerate(records(path)):
            value = json.loads(str(record, "utf-8"))  # of bytes it would try to guess the encoding first
            if value[0] == "p":
                _, at, service, model, version, latency, names, made, sure, errors, digests, kept_of, route = value
                sure = sure or [None] * len(names)
                for n, p, c, e, d in zip(names, made, sure, errors, digests, strict=True):
                    rows.append((int(n, 16), at, service, model, version, route, text(p), c, e, d, latency))
                for n, values in zip(names, kept_of or (), strict=bool(kept_of)):
                    inputs.append((int(n, 16), json.dumps(values, ensure_ascii=False)))
            elif value[0] == "i":
                inputs += [(int(n, 16), json.dumps(values, ensure_ascii=False)) for n, values in value[1]]
            elif value[0] == "a":
                abouts += [(int(n, 16), int(about, 16), table) for n, about, table in value[1]]
            else:
                order = number << _ROW_BITS | place
                labels += [(int(n, 16), order, value[1], label) for n, label in value[2]]
            if len(rows) > AT_ONCE or len(labels) > AT_ONCE or len(abouts) > AT_ONCE:
                settle()
    settle()
    return {part: pl.concat(frames) for part, frames in held.items()}


def _framed(rows: list[tuple[Any, ...]], schema: dict[str, Any]) -> pl.DataFrame:
    columns = list(zip(*rows, strict=True)) or [()] * len(schema)
    made: list[pl.Series] = []
    for (name, dtype), values in zip(schema.items(), columns, strict=True):
        if isinstance(dtype, pl.Datetime):
            made.append(pl.Series(name, values, dtype=pl.Int64).cast(dtype))
        else:
            made.append(ids(values).alias(name) if dtype == pl.UInt128 else pl.Series(name, values, dtype=dtype))
    return pl.DataFrame(made)


def text(value: Any) -> str | None:
    """A prediction or a label as text: a number as JSON writes it, so that equal ones are equal.

    >>> text("red"), text(True), text(2.5), text(None)
    ('red', 'true', '2.5', None)
    """
    if value is None or isinstance(value, str):
        return value
    return json.dumps(value)


# -- reading ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Kept:
    """The prediction table at one moment, with what is still in the log."""

    store: Store
    version: int
    """Of the stage; 0 before the first."""
    live: dict[str, pl.DataFrame]
    """What is in the log alone, by part."""

    def part(self, part: str) -> pl.DataFrame:
        """A part, whole."""
        rolled = self.store.frames(STAGE, part, self.version) if self.version else ()
        made: pl.DataFrame = pl.concat([self.live[part].clear(), *rolled, self.live[part]])
        return made

    def of(self, part: str, wanted: pl.Series) -> pl.DataFrame:
        """What a part says of some predictions."""
        found = [only(self.live[part], wanted)]
        if self.version:
            for chunk, near in candidates(self.store, STAGE, wanted, part):
                found.append(only(self.store.objects.get_frame(chunk.object, chunk.checksum), near))
        return pl.concat(found)


def kept(store: Store) -> Kept:
    """The prediction table as it is now."""
    while True:
        at = store.latest(STAGE)
        done, version = (int(at.facts["segment"]), at.version) if at is not None else (0, 0)
        try:
            live = _frames([(n, path) for n, path in segments(store.root / FOLDER) if n > done])
        except FileNotFoundError:  # it was brought into the table meanwhile
            continue
        return Kept(store, version, live)


def read_predictions(store: Store) -> pl.DataFrame:
    """Every prediction, oldest first, with `label` and `labelled` where the truth came; what is still in the log too.

    `id`: as the answer gave it; `input`: the keyed digest. Of several labels of one prediction the last one holds.

    >>> import tempfile
    >>> store = Store(Path(tempfile.mkdtemp()))
    >>> read_predictions(store).columns[:5]
    ['id', 'time', 'service', 'model', 'version']
    >>> store.close()
    """
    table = kept(store)
    return with_labels(table.part(ROWS), table.part(LABELS))


def predictions_of(store: Store, wanted: pl.Series) -> pl.DataFrame:
    """Some predictions by their ids, as `read_predictions` gives them.

    >>> import tempfile
    >>> store = Store(Path(tempfile.mkdtemp()))
    >>> predictions_of(store, ids([7])).height
    0
    >>> store.close()
    """
    table = kept(store)
    return with_labels(table.of(ROWS, wanted), table.of(LABELS, wanted))


def with_labels(rows: pl.DataFrame, labels: pl.DataFrame) -> pl.DataFrame:
    """Predictions, oldest first, with the last label of each; a shadow's answer has that of the answer given."""
    last = last_labels(labels)
    last = pl.concat([last, last.with_columns(pl.col(ID) + SHADOW)])
    both = rows.join(last, on=ID, how="left", maintain_order="left").sort("time", maintain_order=True)
    names = pl.Series("id", [f"{n:032x}" for n in both[ID].to_list()], dtype=pl.String)
    told: pl.DataFrame = both.drop(ID).insert_column(0, names)
    return told


def last_labels(labels: pl.DataFrame) -> pl.DataFrame:
    """Of several labels of one prediction the last that came: `_id`, `labelled`, `label`.

    >>> came = pl.DataFrame({ID: ids([1, 1]), "order": [2, 1], "labelled": [None, None], "label": ["b", "a"]})
    >>> last_labels(came)["label"].to_list()
    ['b']
    """
    return labels.sort("order").unique(ID, keep="last", maintain_order=True).drop("order")


def predictions_about(store: Store, wanted: pl.Series) -> pl.Series:
    """The ids of the predictions that are about any of these rows (row_ids) or subjects (marks).

    >>> import tempfile
    >>> store = Store(Path(tempfile.mkdtemp()))
    >>> predictions_about(store, ids([7])).to_list()
    []
    >>> store.close()
    """
    abouts = kept(store).part(ABOUT)
    return abouts.filter(pl.col(_ABOUT).is_in(wanted.implode()))[ID].unique()


def whom(store: Store, prediction: int) -> list[tuple[int, str]]:
    """What a prediction is about: row_ids, each with its table; marks of subjects with "".

    >>> import tempfile
    >>> store = Store(Path(tempfile.mkdtemp()))
    >>> whom(store, 7)
    []
    >>> store.close()
    """
    found = kept(store).of(ABOUT, ids([prediction]))
    return [(about, table) for about, table in found.select(_ABOUT, "table").rows()]
