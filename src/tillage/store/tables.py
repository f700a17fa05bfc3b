"""Tables: versions made of immutable chunks and removed row_ids; everything the store keeps is one of these.

A stage of a plan owns parts, and each part is chunks with removed ids: `rows` (what a reader sees), `left` (the ledger
of rows that went, with reasons), `quarantine`, `index:NAME` (entries by hashed key), `state` (of Folds, by chunk).
So versions, purge, verify, gc and time travel are written once. A commit costs its change, not its table.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import numpy as np
import polars as pl

from tillage.core.errors import InputMissing, Locked
from tillage.core.rows import ID, distinct, high, ids, low, only, wide, without
from tillage.store.catalog import Catalog, dump, load
from tillage.store.digests import row_sum, table_digest
from tillage.store.failpoints import reach
from tillage.store.keyfile import opened
from tillage.store.objects import Objects, Stored

Answer = TypeVar("Answer")

ROWS = "rows"
LEFT = "left"


class Chunk(NamedTuple):
    """One object as a piece of one part of a stage, alive from version `added` until before `ended`."""

    id: int
    stage: str
    part: str
    object: str
    checksum: str
    size: int
    rows: int
    page: int
    source: int | None
    added: int
    ended: int | None


@dataclass(frozen=True)
class Version:
    """One version of a stage: when, why, from what, and what became of its input rows."""

    stage: str
    version: int
    created: str
    why: str
    fingerprint: str
    inputs: dict[str, int]
    counts: dict[str, Any]
    columns: dict[str, str]
    facts: dict[str, Any]
    epoch: int


@dataclass(frozen=True)
class NewChunk:
    """A chunk to be added by a draft.

    `removed`: ids in the object that this chunk does not show; `origins`: numbers of the source objects in it.
    """

    part: str
    stored: Stored
    page: int = -1
    source: int | None = None
    removed: pl.Series | None = None
    origins: tuple[int, ...] = ()


@dataclass
class Draft:
    """A version in the making."""

    stage: str
    why: str
    fingerprint: str
    inputs: dict[str, int] = field(default_factory=dict)
    counts: dict[str, Any] = field(default_factory=dict)
    columns: dict[str, str] = field(default_factory=dict)
    facts: dict[str, Any] = field(default_factory=dict)
    added: list[NewChunk] = field(default_factory=list)
    ended: list[int] = field(default_factory=list)
    removals: dict[int, pl.Series] = field(default_factory=dict)

    def remove(self, chunk: Chunk, gone: pl.Series) -> None:
        """Take ids out of a chunk; a chunk that would show nothing more may stay, compaction ends it."""
        if gone.is_empty():
            return
        before = self.removals.get(chunk.id)
        self.removals[chunk.id] = distinct([gone] if before is None else [before, gone])


@dataclass(frozen=True)
class Changes:
    """What came and went between two versions of a part: an updated row goes and comes under one id."""

    since: int
    until: int
    new: tuple[Chunk, ...]
    gone: tuple[Chunk, ...]
    removed: tuple[tuple[Chunk, pl.Series], ...]

    def __bool__(self) -> bool:
        return bool(self.new or self.gone or self.removed)


class Store:
    """One project's store: objects, catalog, keys.

    >>> import tempfile
    >>> store = Store(Path(tempfile.mkdtemp()))
    >>> rows = pl.DataFrame({ID: ids([1, 2]), "x": [10, 20]})
    >>> draft = Draft("numbers", "example", "0")
    >>> draft.added.append(NewChunk(ROWS, store.objects.put_frame("0" * 32, rows)))
    >>> [first] = store.commit(draft)
    >>> second = Draft("numbers", "example", "0")
    >>> second.remove(store.chunks("numbers")[0], ids([1]))
    >>> _ = store.commit(second)
    >>> store.frame("numbers")["x"].to_list(), store.frame("numbers", version=1)["x"].to_list()
    ([20], [10, 20])
    >>> store.close()
    """

    def __init__(self, root: Path) -> None:
        root.mkdir(parents=True, exist_ok=True)
        (root / "objects").mkdir(exist_ok=True)
        self.root = root
        self.catalog = Catalog(root / "catalog.db")
        try:
            self.keys = opened(root / "key", self.catalog)
        except BaseException:
            self.catalog.close()
            raise
        self.objects = Objects(root / "objects", self.catalog)
        self._known: tuple[tuple[int, int], dict[tuple[str, ...], Any]] = (-1, -1), {}
        """What the catalog was asked, while nothing has been written since."""

    def close(self) -> None:
        """Let go of the catalog and of frames in memory."""
        self.objects.forget()
        self.catalog.close()

    def once(self, question: tuple[str, ...], answer: Callable[[], Answer]) -> Answer:
        """What `answer` reads of the catalog: read once while nothing is written, by this process or another. Who is
        told must not change it."""
        at = self.catalog.state()
        if self._known[0] != at:
            self._known = at, {}
        known = self._known[1]
        if question not in known:
            known[question] = answer()
        told: Answer = known[question]
        return told

    # -- versions ---------------------------------------------------------------------------------------------------

    def latest(self, stage: str) -> Version | None:
        """The newest version of a stage, or None before the first."""
        return self.once(("latest", stage), lambda: self._latest(stage))

    def _latest(self, stage: str) -> Version | None:
        row = self.catalog.row("SELECT * FROM versions WHERE stage = ? ORDER BY version DESC LIMIT 1", stage)
        return _version(tuple(row)) if row else None

    def version(self, stage: str, version: int) -> Version:
        """One version of a stage; InputMissing when it is not kept."""
        row = self.catalog.row("SELECT * FROM versions WHERE stage = ? AND version = ?", stage, version)
        if row is None:
            raise InputMissing(
                f"'{stage}' has no version {version}.", fix=f"Kept: {[v.version for v in self.versions(stage)]}."
            )
        return _version(tuple(row))

    def versions(self, stage: str) -> list[Version]:
        """All versions that are kept, oldest first."""
        query = "SELECT * FROM versions WHERE stage = ? ORDER BY version"
        return [_version(tuple(row)) for row in self.catalog.rows(query, stage)]

    def made_from(self) -> dict[str, list[tuple[int, dict[str, int]]]]:
        """Of every stage the versions that are kept, oldest first, each with the versions that it was made from."""
        return self.once(("made from",), self._made_from)

    def _made_from(self) -> dict[str, list[tuple[int, dict[str, int]]]]:
        found: dict[str, list[tuple[int, dict[str, int]]]] = {}
        for stage, number, inputs in self.catalog.rows("SELECT stage, version, inputs FROM versions ORDER BY 1, 2"):
            found.setdefault(stage, []).append((number, load(inputs)))
        return found

    def plans_of(self, stage: str) -> int:
        """How many different things a stage did, by the plans and code of the versions that are kept."""
        query = "SELECT count(DISTINCT fingerprint) FROM versions WHERE stage = ?"
        return self.once(("plans", stage), lambda: int(self.catalog.rows(query, stage)[0][0]))

    def stages(self) -> list[str]:
        """Every stage that has a version."""
        query = "SELECT DISTINCT stage FROM versions ORDER BY stage"
        return list(self.once(("stages",), lambda: [str(r[0]) for r in self.catalog.rows(query)]))

    def commit(self, *drafts: Draft) -> list[Version]:
        """Make each draft a version; all of them, or none."""
        reach("version.begin")
        with self.catalog.transaction():
            self.objects.sync()  # small objects join the transaction
            made = [self._write(draft) for draft in drafts]
            reach("version.commit")
        reach("version.after")
        return made

    def _write(self, draft: Draft) -> Version:
        last = self.latest(draft.stage)
        number = (last.version if last else 0) + 1
        self._must_be_alive(draft)
        self.catalog.write(
            "INSERT INTO versions VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            draft.stage,
            number,
            datetime.now(UTC).isoformat(timespec="seconds"),
            draft.why,
            draft.fingerprint,
            dump(draft.inputs),
            dump(draft.counts),
            dump(list(draft.columns.items())),
            dump(draft.facts),
            last.epoch if last else 0,
        )
        self.catalog.write_many(
            "UPDATE chunks SET ended = ? WHERE id = ? AND ended IS NULL", [(number, chunk) for chunk in draft.ended]
        )
        reach("version.chunks")
        for new in draft.added:
            self._insert(draft.stage, new, number)
        self.catalog.write_many(
            "INSERT INTO removals VALUES (?, ?, ?)",
            [(chunk, number, pack(gone)) for chunk, gone in draft.removals.items() if len(gone)],
        )
        return self.version(draft.stage, number)

    def _must_be_alive(self, draft: Draft) -> None:
        """A draft that was made beside another version of its stage would bring back what that one took out."""
        named = sorted({*draft.ended, *draft.removals})
        for at in range(0, len(named), 500):
            some = named[at : at + 500]
            marks = ", ".join("?" * len(some))
            query = f"SELECT count(*) FROM chunks WHERE ended IS NULL AND id IN ({marks})"  # noqa: S608
            if self.catalog.rows(query, *some)[0][0] != len(some):
                raise Locked(
                    f"'{draft.stage}' was changed by someone else while this version of it was made.",
                    fix="Run again: finished work is kept.",
                )

    def _insert(self, stage: str, new: NewChunk, version: int) -> None:
        stored = new.stored
        chunk = self.catalog.write(
            "INSERT INTO chunks (stage, part, object, checksum, size, rows, page, source, added) "
            "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
            stage,
            new.part,
            stored.name,
            stored.checksum,
            stored.size,
            stored.rows,
            new.page,
            new.source,
            version,
        )
        self.catalog.write_many("INSERT INTO placed VALUES (?, ?)", [(o, chunk) for o in new.origins])
        if new.removed is not None and len(new.removed):
            self.catalog.write("INSERT INTO removals VALUES (?, ?, ?)", chunk, version, pack(new.removed))

    # -- chunks -----------------------------------------------------------------------------------------------------

    def chunks(self, stage: str, part: str = ROWS, version: int | None = None, page: int | None = None) -> list[Chunk]:
        """The chunks of a part that are alive at a version (default: the newest), in the order they were made.

        InputMissing when that version is not kept: some of its chunks may be gone.
        """
        query, values = "SELECT * FROM chunks WHERE stage = ? AND part = ?", [stage, part]
        if version is None:
            query += " AND ended IS NULL"
        else:
            self._must_be_kept(stage, version)
            query += " AND added <= ? AND (ended IS NULL OR ended > ?)"
            values += [version, version]  # type: ignore[list-item]
        if page is not None:
            query += " AND page = ?"
            values.append(page)  # type: ignore[arg-type]
        return [_chunk(r) for r in self.catalog.rows(query + " ORDER BY id", *values)]

    def chunks_from(self, stage: str, part: str, sources: Iterable[int], version: int | None = None) -> list[Chunk]:
        """Those chunks of a part, alive at a version (default: the newest), that were made from these chunks."""
        named = sorted(set(sources))
        query, values = "SELECT * FROM chunks WHERE stage = ? AND part = ?", [stage, part]
        if version is None:
            query += " AND ended IS NULL"
        else:
            query += " AND added <= ? AND (ended IS NULL OR ended > ?)"
            values += [version, version]  # type: ignore[list-item]
        out = []
        for at in range(0, len(named), 500):
            some = named[at : at + 500]
            marks = ", ".join("?" * len(some))
            out += self.catalog.rows(f"{query} AND source IN ({marks}) ORDER BY id", *values, *some)
        return [_chunk(r) for r in out]

    def made_of(self, stage: str, part: str, sources: Iterable[int]) -> list[int]:
        """The numbers of the chunks of a part, of whatever version, that were made from these chunks."""
        named = sorted(set(sources))
        out: list[int] = []
        for at in range(0, len(named), 500):
            some = named[at : at + 500]
            query = f"SELECT id FROM chunks WHERE stage = ? AND part = ? AND source IN ({', '.join('?' * len(some))})"  # noqa: S608
            out += [int(row[0]) for row in self.catalog.rows(query, stage, part, *some)]
        return sorted(out)

    def made_of_unknown(self, stage: str, part: str, inputs: Collection[str]) -> dict[int, int | None]:
        """The chunks of a part, of whatever version, of which nobody can ask from what chunk of these inputs they were
        made: by number the chunk that they name, which is not there any more, or None where they name none."""
        query = (
            "SELECT id, source FROM chunks c WHERE stage = ? AND part = ? AND (source IS NULL OR NOT EXISTS ("  # noqa: S608
            f"SELECT 1 FROM chunks k WHERE k.id = c.source AND k.stage IN ({', '.join('?' * len(inputs))})))"
        )
        return {int(number): source for number, source in self.catalog.rows(query, stage, part, *inputs)}

    def _must_be_kept(self, stage: str, version: int) -> None:
        if version and (epoch := self.version(stage, version).facts.get("erased")):  # 0 is before the first
            raise InputMissing(
                f"Version {version} of '{stage}' was erased (erasure {epoch}): someone was forgotten whom it showed.",
                fix="Use the newest version, which never saw them.",
            )

    def ended_chunks(self, stage: str, part: str) -> list[Chunk]:
        """The chunks of a part that the newest version does not show, of whatever version is kept."""
        query = "SELECT * FROM chunks WHERE stage = ? AND part = ? AND ended IS NOT NULL ORDER BY id"
        return [_chunk(r) for r in self.catalog.rows(query, stage, part)]

    def every_chunk(self, stage: str, part: str) -> list[Chunk]:
        """All chunks of a part, of whatever version is kept."""
        query = "SELECT * FROM chunks WHERE stage = ? AND part = ? ORDER BY id"
        found = self.once(("chunks", stage, part), lambda: [_chunk(r) for r in self.catalog.rows(query, stage, part)])
        return list(found)

    def chunks_of_origin(self, stage: str, part: str, ordinal: int) -> list[Chunk]:
        """The chunks alive now that hold rows of one source object."""
        query = (
            "SELECT c.* FROM placed p JOIN chunks c ON c.id = p.chunk "
            "WHERE p.ordinal = ? AND c.stage = ? AND c.part = ? AND c.ended IS NULL ORDER BY c.id"
        )
        return [_chunk(r) for r in self.catalog.rows(query, ordinal, stage, part)]

    def chunk(self, chunk: int) -> Chunk:
        """One chunk by its number."""
        row = self.catalog.row("SELECT * FROM chunks WHERE id = ?", chunk)
        if row is None:
            raise InputMissing(f"There is no chunk {chunk}.", fix="Run `tillage verify`.")
        return _chunk(row)

    def numbered(self, numbers: Iterable[int]) -> dict[int, Chunk]:
        """Chunks by their numbers, in that order; those that there are."""
        named = sorted(numbers)
        found: dict[int, Chunk] = {}
        for at in range(0, len(named), 500):
            some = named[at : at + 500]
            query = f"SELECT * FROM chunks WHERE id IN ({', '.join('?' * len(some))}) ORDER BY id"  # noqa: S608
            found |= {chunk.id: chunk for chunk in map(_chunk, self.catalog.rows(query, *some))}
        return found

    def chunks_on(self, name: str) -> list[Chunk]:
        """The chunks, of whatever version, that stand on an object."""
        return [_chunk(r) for r in self.catalog.rows("SELECT * FROM chunks WHERE object = ? ORDER BY id", name)]

    def parts(self, stage: str) -> list[str]:
        """The parts that a stage has ever had."""
        query = "SELECT DISTINCT part FROM chunks WHERE stage = ?"
        return list(self.once(("parts", stage), lambda: [str(r[0]) for r in self.catalog.rows(query, stage)]))

    def removed(self, chunk: Chunk, version: int | None = None, since: int = -1) -> pl.Series:
        """The ids taken out of a chunk after version `since`, up to `version`."""
        until = version if version is not None else 1 << 62
        found = self.catalog.rows(
            "SELECT ids FROM removals WHERE chunk = ? AND version > ? AND version <= ?", chunk.id, since, until
        )
        return pl.concat([unpack(r[0]) for r in found]) if found else ids()

    def removal_lists(self, chunk: Chunk) -> list[tuple[int, bytes]]:
        """What was taken out of a chunk, oldest first: (version since which it is out, packed row_ids)."""
        query = "SELECT version, ids FROM removals WHERE chunk = ? ORDER BY version"
        return [(int(version), bytes(gone)) for version, gone in self.catalog.rows(query, chunk.id)]

    def all_removed(self, stage: str, part: str) -> dict[int, pl.Series]:
        """By chunk of a part: the ids taken out of it so far; a chunk that has lost none is not named."""
        query = (
            "SELECT r.chunk, r.ids FROM chunks c JOIN removals r ON r.chunk = c.id "
            "WHERE c.stage = ? AND c.part = ? ORDER BY r.chunk, r.version"
        )
        found: dict[int, bytes] = {}
        for chunk, gone in self.catalog.rows(query, stage, part):
            found[chunk] = found.get(chunk, b"") + gone
        return {chunk: unpack(gone) for chunk, gone in found.items()}

    def read(self, chunk: Chunk, version: int | None = None, columns: Sequence[str] | None = None) -> pl.DataFrame:
        """The rows that a chunk shows at a version; `columns` come beside `_id`."""
        wanted = None if columns is None else [ID, *(c for c in columns if c != ID)]
        frame = self.objects.get_frame(chunk.object, chunk.checksum, wanted)
        return without(frame, self.removed(chunk, version))

    def some(self, chunk: Chunk, wanted: pl.Series, version: int | None = None) -> pl.DataFrame:
        """Those of the rows that a chunk shows at a version whose `_id` is among `wanted`, which should be few."""
        frame = self.objects.get_some(chunk.object, chunk.checksum, wanted)
        return without(frame, self.removed(chunk, version)) if frame.height else frame

    def frames(
        self, stage: str, part: str = ROWS, version: int | None = None, columns: Sequence[str] | None = None
    ) -> Iterator[pl.DataFrame]:
        """The rows of a part, chunk by chunk."""
        for chunk in self.chunks(stage, part, version):
            yield self.read(chunk, version, columns)

    def frame(
        self, stage: str, part: str = ROWS, version: int | None = None, columns: Sequence[str] | None = None
    ) -> pl.DataFrame:
        """The rows of a part in one frame; empty, with no columns but `_id`, when it has no chunk."""
        found = list(self.frames(stage, part, version, columns))
        return pl.concat(found, how="diagonal_relaxed") if found else pl.DataFrame(schema={ID: pl.UInt128})

    def count(self, stage: str, part: str = ROWS, version: int | None = None) -> int:
        """The number of rows of a part, without reading one."""
        return sum(c.rows - len(self.removed(c, version)) for c in self.chunks(stage, part, version))

    def changes(self, stage: str, since: int, until: int | None = None, part: str = ROWS) -> Changes:
        """What came and went after version `since` (0: before the first), up to `until` (default: the newest).

        InputMissing when one of them is not kept: the difference from it cannot be told any more.
        """
        last = self.latest(stage)
        end = until if until is not None else (last.version if last else 0)
        self._must_be_kept(stage, since)
        self._must_be_kept(stage, end)
        alive = "(ended IS NULL OR ended > ?)"
        chunks = "SELECT * FROM chunks WHERE stage = ? AND part = ? AND "
        order = " ORDER BY id"
        new = self.catalog.rows(f"{chunks}added > ? AND added <= ? AND {alive}{order}", stage, part, since, end, end)
        query = f"{chunks}added <= ? AND ended > ? AND ended <= ?{order}"
        gone = self.catalog.rows(query, stage, part, since, since, end)
        removals = self.catalog.rows(
            "SELECT r.chunk, r.ids FROM chunks c JOIN removals r ON r.chunk = c.id WHERE c.stage = ? AND c.part = ? "
            "AND c.added <= ? AND (c.ended IS NULL OR c.ended > ?) AND r.version > ? AND r.version <= ? "
            "ORDER BY r.chunk, r.version",
            *(stage, part, since, end, since, end),
        )
        taken: dict[int, bytes] = {}
        for chunk, listed in removals:
            taken[chunk] = taken.get(chunk, b"") + listed
        removed = tuple((chunk, unpack(taken[number])) for number, chunk in self.numbered(taken).items())
        return Changes(since, end, tuple(map(_chunk, new)), tuple(map(_chunk, gone)), removed)

    def added_rows(
        self, changes: Changes, columns: Sequence[str] | None = None
    ) -> Iterator[tuple[Chunk, pl.DataFrame]]:
        """The rows that came, by chunk."""
        for chunk in changes.new:
            yield chunk, self.read(chunk, changes.until, columns)

    def removed_rows(
        self, changes: Changes, columns: Sequence[str] | None = None
    ) -> Iterator[tuple[Chunk, pl.DataFrame]]:
        """The rows that went, as they stood before, by chunk."""
        for chunk in changes.gone:
            yield chunk, self.read(chunk, changes.since, columns)
        for chunk, gone in changes.removed:
            yield chunk, only(self.read(chunk, changes.since, columns), gone)

    def origins(self, chunk: Chunk) -> list[int]:
        """The numbers of the source objects whose rows a chunk holds."""
        return [int(r[0]) for r in self.catalog.rows("SELECT ordinal FROM placed WHERE chunk = ?", chunk.id)]

    def set_inputs(self, version: Version) -> None:
        """Record that a version has seen other versions of its inputs, which held the same rows."""
        self.catalog.write(
            "UPDATE versions SET inputs = ? WHERE stage = ? AND version = ?",
            dump(version.inputs),
            version.stage,
            version.version,
        )

    def replace_chunks(self, chunks: Sequence[Chunk], new: NewChunk) -> None:
        """Put one chunk in the place of several, in the version in which the last of them came."""
        self.catalog.write_many("DELETE FROM chunks WHERE id = ?", [(c.id,) for c in chunks])
        self._insert(chunks[0].stage, new, max(c.added for c in chunks))

    # -- digests ----------------------------------------------------------------------------------------------------

    def digest(self, stage: str, version: int | None = None) -> str:
        """The digest of a table; the sum of each chunk is computed once and kept."""
        at = self.version(stage, version) if version is not None else self.latest(stage)
        if at is None:
            raise InputMissing(f"'{stage}' has no version yet.", fix="Run `tillage run`.")
        rows = total = 0
        for chunk in self.chunks(stage, ROWS, at.version):
            gone = self.catalog.row(
                "SELECT max(version) FROM removals WHERE chunk = ? AND version <= ?", chunk.id, at.version
            )
            last = int(gone[0]) if gone and gone[0] is not None else 0
            kept = self.catalog.row("SELECT sum FROM digests WHERE chunk = ? AND version = ?", chunk.id, last)
            if kept is None:
                value = row_sum(self.read(chunk, at.version))
                if not self.catalog.read_only:
                    self.catalog.write("INSERT OR REPLACE INTO digests VALUES (?, ?, ?)", chunk.id, last, f"{value:x}")
            else:
                value = int(kept[0], 16)
            total += value
            rows += chunk.rows - len(self.removed(chunk, at.version))
        return table_digest(at.columns, rows, total % (1 << 128))

    # -- memo: finished work that no version holds yet -----------------------------------------------------------------

    def recall(self, key: str) -> Any | None:
        """The result of a piece of work finished before, whether or not a version came of it."""
        row = self.catalog.row("SELECT value FROM memo WHERE key = ?", key)
        return load(row[0]) if row else None

    def remember(self, results: Iterable[tuple[str, Any]]) -> None:
        """Keep results of finished work, durably, in one transaction."""
        self.objects.sync()
        with self.catalog.transaction():
            self.catalog.write_many("INSERT OR REPLACE INTO memo VALUES (?, ?)", [(k, dump(v)) for k, v in results])
            reach("memo.commit")


FEW = 64
"""Row_ids up to which they are unpacked one by one."""


def pack(values: pl.Series) -> bytes:
    """Row_ids as bytes, 16 each, little-endian."""
    if len(values) <= FEW:
        return b"".join(value.to_bytes(16, "little") for value in values.to_list())
    halves = values.rename(ID).to_frame().select(lo=low(ID), hi=high(ID))
    out = np.empty((len(halves), 2), dtype="<u8")
    out[:, 0], out[:, 1] = halves["lo"].to_numpy(), halves["hi"].to_numpy()
    return out.tobytes()


def unpack(data: bytes) -> pl.Series:
    """The inverse of `pack`.

    >>> unpack(pack(ids([1, 2**127]))).to_list() == [1, 2**127]
    True
    """
    if len(data) <= FEW * 16:  # a query costs more
        return ids(int.from_bytes(data[at : at + 16], "little") for at in range(0, len(data), 16))
    pairs = np.frombuffer(data, dtype="<u8").reshape(-1, 2)
    frame = pl.DataFrame({"lo": np.ascontiguousarray(pairs[:, 0]), "hi": np.ascontiguousarray(pairs[:, 1])})
    return frame.select(wide(pl.col("lo"), pl.col("hi")).alias(ID))[ID]


@lru_cache(maxsize=64)
def _version(row: tuple[Any, ...]) -> Version:
    """Kept, since after each write the same few are asked for again. Who is told must not change it."""
    stage, version, created, why, fingerprint, inputs, counts, columns, facts, epoch = row
    told = load(inputs), load(counts), dict(load(columns)), load(facts)
    return Version(stage, version, created, why, fingerprint, *told, epoch)


def _chunk(row: Any) -> Chunk:
    return Chunk(*row)  # a row of the catalog's table: its columns are these fields, in order
