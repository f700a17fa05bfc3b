"""What a server of this project answered, as a source: predictions, the true labels that came, the inputs it kept.

Each stretch of the log that was brought into the store is an object, whose stamp follows the labels of its predictions:
a label that comes late reads that stretch again, and changes the rows that it is about. What a running server has not
brought yet (ten minutes at most) is not there yet. Cost: all labels at each look, and the stretches that changed.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from typing import ClassVar

import polars as pl
from pydantic import Field

from tillage.collect.files import TypeName
from tillage.collect.types import ClashError, Column, cast, dtype_of, infer, union
from tillage.core.errors import ConfigurationError, InputMissing
from tillage.core.rows import ID, ids, only
from tillage.core.state import State
from tillage.core.step import BadRecord, Batch, Found
from tillage.flow.bad_records import bad_row
from tillage.flow.following import Following, Held, Looked
from tillage.flow.pipeline import reader
from tillage.flow.prediction_table import INPUTS, LABELS, PARTS, SHADOW, last_labels, text
from tillage.store.locate import candidates
from tillage.store.segments import STAGE
from tillage.store.tables import ROWS, Chunk, Store

COLUMNS = {
    "id": "text",
    "time": "datetime",
    "service": "text",
    "model": "text",
    "version": "int64",
    "route": "text",
    "prediction": "text",
    "confidence": "float64",
    "error": "text",
    "label": "text",
    "labelled": "datetime",
}
"""What each prediction brings, whatever its service keeps besides."""

BEGINNING = "predictions/0000000000"
"""An object without a row: a table of predictions has its columns before a server has answered anything."""


class Predictions(Following):
    """What a server of this project answered, a row a prediction; `label` is the truth, where it came.

    Besides the columns that all have, those that the service keeps of its requests (`keep`). Of several labels of one
    prediction the last one holds; without one `label` is null. The key of the table is `id`.

    >>> import tempfile
    >>> list(Predictions().column_types([]))[:3], Predictions().scan(Path(tempfile.mkdtemp()))
    (['id', 'time', 'service'], [Found(path='predictions/0000000000', stamp={})])
    """

    sees_deletions: ClassVar[bool] = True

    service: str = Field("", description="Only what this service answered; default: all of them.")
    labelled: bool = Field(False, description="Only predictions whose true label came.")
    store: str = Field(".tillage", description="The folder of the store, where the plan names another one.")
    types: dict[str, TypeName] = Field(
        default_factory=dict, description="Column of the kept inputs to type; a value that does not fit is quarantined."
    )

    def follow(self, root: Path, held: Sequence[Held]) -> Looked:
        """One object for each stretch of the log in the store; its stamp says which labels came."""
        with self._opened(root) as store:
            found = [Found(path=BEGINNING, stamp={})]
            if store is not None:
                labels = _labels(store)
                for chunk in store.chunks(STAGE, ROWS):
                    [(_, near)] = candidates(store, STAGE, labels[ID], ROWS, [chunk]) or [(chunk, ids())]
                    found.append(Found(path=_path(chunk), stamp={"rows": chunk.checksum, "labels": _sum(labels, near)}))
        return Looked(sorted(found, key=lambda f: f.path))

    def needs_key(self) -> bool:
        """A forgotten person's answers are found by their ids."""
        return True

    def checksum(self, root: Path, path: str) -> str:
        """SHA-256 of the predictions, their labels and what was kept of their inputs."""
        frame = self._frame(root, path)
        return sha256(frame.write_json().encode()).hexdigest()

    def observe(self, root: Path, path: str) -> State:
        """What the kept inputs need, and how many predictions there are."""
        frame = self._frame(root, path)
        columns = {
            c: Column(self.types[c]) if c in self.types else infer(frame[c])[0]
            for c in frame.columns
            if c not in COLUMNS
        }
        return {
            "path": path,
            "columns": {c: column.type for c, column in columns.items()},
            "wide": sorted(c for c, column in columns.items() if column.wide),
            "records": frame.height,
        }

    def column_types(self, states: list[State]) -> dict[str, str]:
        """Column to type; raises ConfigurationError where kept inputs do not go together, or bear a name of ours."""
        try:
            merged = union(
                (s["path"], {n: Column(t, n in s["wide"]) for n, t in sorted(s["columns"].items())}) for s in states
            )
        except ClashError as clash:
            raise ConfigurationError(f"The kept inputs do not go together: {clash}.", fix="Declare 'types'.") from clash
        if fixed := sorted(COLUMNS.keys() & self.types.keys()):
            raise ConfigurationError(f"'{fixed[0]}' has a type of its own.", fix="Take it out of 'types'.")
        kept = {**{name: column.final() for name, column in merged.items()}, **self.types}
        return {**COLUMNS, **dict(sorted(kept.items()))}

    def read(self, root: Path, path: str, schema: Mapping[str, str]) -> Iterator[Batch]:
        """The predictions in the order of the log; a kept value that is not of its type is a bad record."""
        frame = self._frame(root, path)
        made: list[pl.Series] = []
        failed: dict[int, str] = {}
        for name, to in schema.items():
            given = frame[name] if name in frame.columns else pl.Series(name, [None] * frame.height, dtype=pl.String)
            values, lost = cast(given, to, declared=name in self.types)
            made.append(values.alias(name))
            for row in lost:
                failed.setdefault(row, name)
        numbers = pl.Series("records", range(frame.height), dtype=pl.UInt64)
        stays = pl.Series([row not in failed for row in range(frame.height)], dtype=pl.Boolean)
        bad = [_misfit(frame, row, name, schema[name]) for row, name in sorted(failed.items())]
        yield Batch(pl.DataFrame(made).filter(stays), numbers.filter(stays), bad)

    # -- the store --------------------------------------------------------------------------------------------------

    @contextmanager
    def _opened(self, root: Path) -> Iterator[Store | None]:
        """The store of the project, which is not made for this; None where there is none yet."""
        if not (root / self.store / "catalog.db").exists():
            yield None
            return
        store = Store(root / self.store)
        try:
            yield store
        finally:
            store.close()

    def _frame(self, root: Path, path: str) -> pl.DataFrame:
        """One stretch: the columns that all have in their types, the kept inputs as text."""
        if path == BEGINNING:
            return pl.DataFrame(schema={name: dtype_of(kind) for name, kind in COLUMNS.items()})
        with self._opened(root) as store:
            chunk = next((c for c in store.chunks(STAGE, ROWS) if _path(c) == path), None) if store else None
            if store is None or chunk is None:
                raise InputMissing(f"The predictions of {path} are not in the store any more.", fix="Run again.")
            rows = store.read(chunk).with_row_index("_at")
            labels = _labels(store)
            rows = rows.join(labels, on=ID, how="left", maintain_order="left")
            if self.service:
                rows = rows.filter(pl.col("service") == self.service)
            if self.labelled:
                rows = rows.filter(pl.col("label").is_not_null())
            kept = [only(store.read(c), near) for c, near in candidates(store, STAGE, rows[ID], INPUTS)]
        names = pl.Series("id", [f"{n:032x}" for n in rows[ID].to_list()], dtype=pl.String)
        frame = rows.with_columns(names).select(list(COLUMNS))
        values = dict(pl.concat(kept).select(ID, "values").rows()) if kept else {}
        texts = [json.loads(values.get(n, "{}")) for n in rows[ID].to_list()]
        columns = sorted({name for one in texts for name in one})
        if clash := COLUMNS.keys() & set(columns):
            raise ConfigurationError(
                f"A service keeps the column '{min(clash)}', which every prediction has.", fix="Take it out of 'keep'."
            )
        return frame.with_columns(
            pl.Series(name, [text(one.get(name)) for one in texts], dtype=pl.String) for name in columns
        )


def _labels(store: Store) -> pl.DataFrame:
    """The last label of each prediction, and of the shadow's beside it."""
    last = last_labels(_all(store, LABELS))
    return pl.concat([last, last.with_columns(pl.col(ID) + SHADOW)])


def _all(store: Store, part: str) -> pl.DataFrame:
    frames = list(store.frames(STAGE, part))
    return pl.concat(frames) if frames else pl.DataFrame(schema=PARTS[part])


def _path(chunk: Chunk) -> str:
    return f"predictions/{chunk.id:010d}"


def _sum(labels: pl.DataFrame, near: pl.Series) -> str:
    """What the labels of some predictions are, in short."""
    rows = sorted(only(labels, near).select(ID, "labelled", "label").rows())
    return sha256(repr(rows).encode()).hexdigest() if rows else ""


def _misfit(frame: pl.DataFrame, row: int, column: str, to: str) -> BadRecord:
    message = f"The value of column '{column}' is no {to}."
    return bad_row(row, "cast", "bad_value", message, column, frame.row(row, named=True))


predictions = reader(Predictions)

__all__ = ["COLUMNS", "Predictions", "predictions"]
