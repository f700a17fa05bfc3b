"""A stream for the tests: batches in a file that is overwritten from time to time; what was read of them stays."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any, Self

import polars as pl

from tillage.core.state import State
from tillage.core.step import BadRecord, Batch, Found
from tillage.flow.bad_records import bad_row
from tillage.flow.following import Expired, Following, Held, Looked

TYPES = {"int64": pl.Int64(), "text": pl.String()}


class Tape(Following):
    """Lists of [id, n] by name in `tape.json`; a text that begins with ! is no record."""

    again: int = 0
    """Changed, all that is there is read again."""
    ghost: str = ""
    """A batch that it names though it is not there."""
    fickle: str = ""
    """A batch that is overwritten after a look at it."""

    def follow(self, root: Path, held: Sequence[Held]) -> Looked:
        paths = {h.path for h in held} | _there(root).keys() | ({self.ghost} if self.ghost else set())
        return Looked([Found(path=path, stamp={}) for path in sorted(paths)])

    def identified(self) -> tuple[Self, tuple[str, ...]]:
        return self, ("id",)

    def settled(self, root: Path, paths: Sequence[str]) -> None:
        with (root / "settled").open("a") as file:
            file.write(json.dumps(list(paths)) + "\n")

    def checksum(self, root: Path, path: str) -> str:
        return sha256(json.dumps(self._batch(root, path)).encode()).hexdigest()

    def observe(self, root: Path, path: str) -> State:
        batch = self._batch(root, path)
        return {"text": any(isinstance(n, str) and n[0] != "!" for _, n in batch), "records": len(batch)}

    def column_types(self, states: list[State]) -> dict[str, str]:
        return {"id": "int64", "n": "text" if any(s["text"] for s in states) else "int64"}

    def read(self, root: Path, path: str, schema: Mapping[str, str]) -> Iterator[Batch]:
        if path == self.fickle:
            raise Expired(f"{path} was overwritten.")
        records = list(enumerate(self._batch(root, path)))
        good = [(at, i, n) for at, (i, n) in records if not (isinstance(n, str) and n.startswith("!"))]
        bad = [bad_row(at, "read", "broken", "It is broken.", "n", {"id": i, "n": n}) for at, (i, n) in records
               if isinstance(n, str) and n.startswith("!")]  # fmt: skip
        values = [str(n) if schema["n"] == "text" else n for _, _, n in good]
        rows = pl.DataFrame({"id": [i for _, i, _ in good], "n": values}, schema=_schema(schema))
        yield Batch(rows, pl.Series([at for at, _, _ in good], dtype=pl.UInt64), bad)

    def recast(self, rows: pl.DataFrame, records: pl.Series, schema: Mapping[str, str]) -> Batch:
        cast = rows.select(pl.col(name).cast(kind, strict=False) for name, kind in _schema(schema).items())
        lost = (cast["n"].is_null() & rows["n"].is_not_null()).to_list()
        bad: list[BadRecord] = [
            bad_row(record, "cast", "bad_value", "It is none.", "n", row)
            for record, row, gone in zip(records, rows.iter_rows(named=True), lost, strict=True)
            if gone
        ]
        stays = ~pl.Series(lost, dtype=pl.Boolean)
        return Batch(cast.filter(stays), records.filter(stays), bad)

    def _batch(self, root: Path, path: str) -> list[Any]:
        there = _there(root)
        if path not in there:
            raise Expired(f"{path} was overwritten.")
        return list(there[path])


def _there(root: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((root / "tape.json").read_text())
    return found


def _schema(types: Mapping[str, str]) -> dict[str, pl.DataType]:
    return {name: TYPES[kind] for name, kind in types.items()}
