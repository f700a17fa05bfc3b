"""The prediction table: each prediction with its model, version, time, digest of the input, output and latency.

Predictions go to the log first (`segments`); ended segments are rolled into chunks of the stage `@predictions`, and
labels into its part `labels`. The commit that brings a segment says so, so that no record is lost or counted twice
wherever a process dies. A label comes by the id that the answer gave: late, twice (the last one holds), or never.

Inputs are not kept. Their digest is keyed with the project's secret: it tells whether two requests were the same, and
without the key it tells nothing.
"""

from __future__ import annotations

import hmac
import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b, sha256
from pathlib import Path
from secrets import token_bytes
from typing import Any

import polars as pl

from tillage.core.errors import Locked
from tillage.core.keys import Keyring
from tillage.core.rows import ID, ids
from tillage.flow.run import STORE_LOCK
from tillage.flow.score import Answers
from tillage.serve.bodies import dumped
from tillage.serve.segments import Log, records, segments
from tillage.serve.service import Loaded
from tillage.store.locks import hold
from tillage.store.tables import ROWS, Draft, NewChunk, Store

STAGE = "@predictions"
"""The stage in the catalog; no table can have this name."""

LABELS = "labels"
FOLDER = "predictions"
"""Below the store: the segments of the log."""

ROLL_BYTES, ROLL_SECONDS = 16 << 20, 600.0
"""A segment is rolled at this size, or at this age."""

_SCHEMA: dict[str, Any] = {
    ID: pl.UInt128, "time": pl.Datetime("us", "UTC"), "service": pl.String, "model": pl.String, "version": pl.Int64,
    "prediction": pl.String, "confidence": pl.Float64, "error": pl.String, "input": pl.String, "latency_ms": pl.Float64,
}  # fmt: skip
_LABELS: dict[str, Any] = {ID: pl.UInt128, "order": pl.Int64, "labelled": pl.Datetime("us", "UTC"), "label": pl.String}

_ROW_BITS = 32
_HEX = frozenset("0123456789abcdef")


@dataclass(frozen=True)
class Ids:
    """Ids of predictions: 32 hexadecimal digits, 16 of chance, 8 that only the project can make, 8 of the row.

    So an id that was never given is told from one that was, without a look at any table.

    >>> made = Ids(Keyring("00" * 32))
    >>> name = made.new(2)[1]
    >>> len(name), made.given(name), made.given("0" * 32)
    (32, True, False)
    """

    key: bytes

    def __init__(self, keys: Keyring) -> None:
        object.__setattr__(self, "key", hmac.digest(keys.subkey("pseudonym"), b"\0predictions", sha256))

    def new(self, rows: int) -> list[str]:
        """The ids of a request's rows."""
        chance = token_bytes(8)
        stem = chance.hex() + self._seal(chance)
        return [f"{stem}{row:08x}" for row in range(rows)]

    def _seal(self, chance: bytes) -> str:
        return blake2b(chance, digest_size=4, key=self.key, person=b"id").hexdigest()

    def given(self, name: str) -> bool:
        """Whether an id is one that this project gave."""
        if len(name) != 32 or not _HEX.issuperset(name):
            return False
        return hmac.compare_digest(self._seal(bytes.fromhex(name[:16])), name[16:24])

    def digest(self, columns: Mapping[str, Sequence[Any]], at: int) -> str:
        """The digest of one row's input: keyed, 128 bits."""
        values = json.dumps([str(v) if v is not None else None for v in (c[at] for c in columns.values())])
        return blake2b(values.encode(), digest_size=16, key=self.key, person=b"input").hexdigest()


class Predictions:
    """The writer of the prediction table, one a store."""

    def __init__(self, store: Store) -> None:
        self.store, self.ids = store, Ids(store.keys)
        bring(store)  # what a killed server left
        self.log = Log(store.root / FOLDER, first=rolled(store) + 1)
        self._since = time.monotonic()

    def add(
        self, loaded: Loaded, columns: Mapping[str, Sequence[Any]], given: Answers, names: Sequence[str], seconds: float
    ) -> None:
        """Append the predictions of one request; they are durable within a second. `seconds`: of latency."""
        digests = [self.ids.digest(columns, at) for at in range(len(names))]
        record = [
            "p", time.time_ns() // 1000, loaded.service, loaded.model_name, loaded.version, round(seconds * 1000, 3),
            names, given.predictions, given.confidences, given.errors, digests,
        ]  # fmt: skip
        self.log.append(dumped(record).encode())

    def label(self, labels: Sequence[tuple[str, Any]]) -> Any:
        """Append true labels by the ids of predictions; a future that is done once they are durable."""
        value = ["l", time.time_ns() // 1000, [[name, _text(label)] for name, label in labels]]
        return self.log.append_durably(dumped(value).encode())

    def tend(self) -> bool:
        """Roll the log where it is large or old enough; whether it was. Slow: to be called off the event loop."""
        grown = self.log.size > 0
        due = self.log.size >= ROLL_BYTES or time.monotonic() - self._since >= ROLL_SECONDS
        if not (grown and due):
            return False
        return self.roll()

    def roll(self) -> bool:
        """End the segment and bring all ended ones into the table; false while someone holds the store."""
        self._since = time.monotonic()
        self.log.roll()
        return bring(self.store, but=self.log.number)

    def close(self) -> None:
        """Make everything durable, and bring it into the table."""
        self.log.close()
        bring(self.store)


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


def _bring(store: Store, but: int) -> None:
    done = rolled(store)
    waiting = [(n, path) for n, path in segments(store.root / FOLDER) if n != but]
    new = [(n, path) for n, path in waiting if n > done]
    if new:
        rows, labels = _frames(new)
        draft = Draft(STAGE, "predictions", STAGE, facts={"segment": new[-1][0]}, counts={})
        draft.columns = {c: str(t) for c, t in _SCHEMA.items() if c != ID}
        for part, frame in ((ROWS, rows), (LABELS, labels)):
            if frame.height:
                key = sha256(f"{STAGE}\n{part}\n{new[0][0]}\n{new[-1][0]}".encode()).hexdigest()[:32]
                draft.added.append(NewChunk(part, store.objects.put_frame(key, frame)))
        if draft.added:
            store.commit(draft)
    for _, path in waiting:
        path.unlink(missing_ok=True)


def _frames(found: Sequence[tuple[int, Path]]) -> tuple[pl.DataFrame, pl.DataFrame]:
    """The predictions and the labels of segments."""
    rows: list[tuple[Any, ...]] = []
    labels: list[tuple[Any, ...]] = []
    for number, path in found:
        for place, record in enumerate(records(path)):
            value = json.loads(record)
            if value[0] == "p":
                _, at, service, model, version, latency, names, made, sure, errors, digests = value
                sure = sure or [None] * len(names)
                for n, p, c, e, d in zip(names, made, sure, errors, digests, strict=True):
                    rows.append((int(n, 16), at, service, model, version, _text(p), c, e, d, latency))
            else:
                order = number << _ROW_BITS | place
                labels += [(int(n, 16), order, value[1], label) for n, label in value[2]]
    return _framed(rows, _SCHEMA), _framed(labels, _LABELS)


def _framed(rows: list[tuple[Any, ...]], schema: dict[str, Any]) -> pl.DataFrame:
    columns = list(zip(*rows, strict=True)) or [()] * len(schema)
    made: list[pl.Series] = []
    for (name, dtype), values in zip(schema.items(), columns, strict=True):
        if isinstance(dtype, pl.Datetime):
            made.append(pl.Series(name, values, dtype=pl.Int64).cast(dtype))
        else:
            made.append(ids(values) if name == ID else pl.Series(name, values, dtype=dtype))
    return pl.DataFrame(made)


def _text(value: Any) -> str | None:
    """A prediction or a label as text: a number as JSON writes it, so that equal ones are equal."""
    if value is None or isinstance(value, str):
        return value
    return json.dumps(value)


def read_predictions(store: Store) -> pl.DataFrame:
    """Every prediction, oldest first, with `label` and `labelled` where the truth came; what is still in the log too.

    `id`: as the answer gave it; `input`: the keyed digest. Of several labels of one prediction the last one holds.

    >>> import tempfile
    >>> store = Store(Path(tempfile.mkdtemp()))
    >>> read_predictions(store).columns[:5]
    ['id', 'time', 'service', 'model', 'version']
    >>> store.close()
    """
    while True:
        at = store.latest(STAGE)
        done, version = (int(at.facts["segment"]), at.version) if at is not None else (0, 0)
        try:
            live = _frames([(n, path) for n, path in segments(store.root / FOLDER) if n > done])
        except FileNotFoundError:  # it was brought into the table meanwhile
            continue
        break
    rows = pl.concat([live[0].clear(), *(store.frames(STAGE, version=version) if version else ()), live[0]])
    labels = pl.concat([live[1].clear(), *(store.frames(STAGE, LABELS, version) if version else ()), live[1]])
    last = labels.sort("order").unique(ID, keep="last", maintain_order=True).drop("order")
    both = rows.join(last, on=ID, how="left", maintain_order="left").sort("time", maintain_order=True)
    names = pl.Series("id", [f"{n:032x}" for n in both[ID].to_list()], dtype=pl.String)
    told: pl.DataFrame = both.drop(ID).insert_column(0, names)
    return told
