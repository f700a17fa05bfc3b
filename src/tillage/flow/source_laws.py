"""The laws of sources: read again the same, each record once, and nothing new where nothing changed."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any

from tillage.core.step import Source
from tillage.flow.following import Expired, Following, Held


def _reads(source: Source, root: Path, paths: list[str]) -> dict[str, Any]:
    """Everything that a source says of a folder, the objects taken in this order."""
    states = {path: source.observe(root, path) for path in paths}
    types = source.column_types([states[path] for path in sorted(states)])
    read = {}
    for path in paths:
        batches = list(source.read(root, path, types))
        rows = [(list(b.rows.schema.items()), b.rows.rows(), b.records.to_list()) for b in batches]
        bad = [b.model_dump() for batch in batches for b in batch.bad]
        read[path] = repr((rows, bad, source.checksum(root, path)))
    return {"states": json.dumps(states, sort_keys=True), "types": list(types.items()), "read": read}


def again(source: Source, root: Path, random: Random) -> Iterator[str]:
    """Read twice, in whatever order of objects, it gives the same."""
    paths = [found.path for found in source.scan(root)]
    if paths != sorted(set(paths)):
        yield "scan does not give each object once, sorted by path."
    if [found.path for found in source.scan(root)] != paths:
        yield "scanned twice there are other objects."
    first = _reads(source, root, paths)
    for order in (paths, paths[::-1], random.sample(paths, len(paths))):
        anew = _reads(source, root, order)
        for what in first:
            if anew[what] != first[what]:
                yield f"read again, objects in the order {order[:6]}, it gives other {what}."
                return


def records(source: Source, root: Path, random: Random) -> Iterator[str]:
    """Each record is a row or a bad record, in order, in the types agreed."""
    paths = [found.path for found in source.scan(root)]
    types = source.column_types([json.loads(json.dumps(source.observe(root, path))) for path in paths])
    for path in paths:
        good: list[int] = []
        bad: list[int] = []
        for batch in source.read(root, path, types):
            good += batch.records.to_list()
            bad += [b.record for b in batch.bad]
            if batch.rows.height != len(batch.records):
                yield f"{path}: {batch.rows.height} rows have {len(batch.records)} record numbers."
            if batch.rows.columns != list(types):
                yield f"{path}: the columns are {batch.rows.columns}, not those of the types."
        if good != sorted(good) or set(good) & set(bad):
            yield f"{path}: a record is both good and bad, or records come out of order."


def followed(source: Following, root: Path, random: Random) -> Iterator[str]:
    """Where nothing changed, what it gave is all there is, and the same."""
    first = source.follow(root, ())
    if [found.path for found in first.found] != sorted({found.path for found in first.found}):
        yield "follow does not give each object once, sorted by path."
    held = [Held(f.path, f.stamp, json.loads(json.dumps(source.observe(root, f.path)))) for f in first.found]
    sums = {h.path: source.checksum(root, h.path) for h in held}
    then = source.follow(root, held)
    if {f.path for f in then.found} != set(sums):
        yield "followed with all that it gave, it gives other objects."
    elif any(_differs(source, root, path, sums[path]) for path in sums):
        yield "followed with all that it gave, an object has another content."


def _differs(source: Following, root: Path, path: str, before: str) -> bool:
    """Whether an object has another content; what was read and has expired has none."""
    try:
        return source.checksum(root, path) != before
    except Expired:
        return False
