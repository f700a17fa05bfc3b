"""What a source holds now beside what its table was read from: decided from stamps and checksums, before a row is read.

An object whose stamp is unchanged is not opened; one with a new stamp and the old checksum was touched or renamed.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from hashlib import sha256
from pathlib import Path
from typing import Any

from tillage.core.errors import GateFailed, InputMissing, UnknownColumns
from tillage.core.step import Found, Source
from tillage.flow.engine import Engine
from tillage.flow.following import Expired, Following, Looked, look
from tillage.flow.plan import Table
from tillage.flow.stages import Stage
from tillage.flow.tombstones import Tombstones
from tillage.store.catalog import load
from tillage.store.tables import LEFT, Store, Version


@dataclass
class Known:
    """One object as the catalog knows it."""

    ordinal: int
    path: str
    stamp: dict[str, Any]
    checksum: str
    state: Any
    fresh: bool = False
    """It must be read: it is new, or its content or the plan's way to read it changed."""
    again: bool = False
    """It is to be read for the sake of its quarantined records alone."""


@dataclass
class Survey:
    """What is there now beside what was there: decided before a row is read."""

    live: list[Known]
    gone: list[Known]
    columns: dict[str, str]
    retype: list[str] = field(default_factory=list)
    """Columns whose type or place changed, so that the table is read again."""

    notes: tuple[str, ...] = ()
    """What the source says of itself and of what it found."""

    waiting: list[str] = field(default_factory=list)
    """Objects that changed after records of them were forgotten: what they hold now awaits a decision."""

    @property
    def fresh(self) -> list[Known]:
        return [k for k in self.live if k.fresh]


def survey(
    store: Store,
    stage: Stage,
    root: Path,
    *,
    reread: bool = False,
    force: frozenset[int] = frozenset(),
    engine: Engine | None = None,
) -> Survey:
    """Compare the source with the catalog; opens new and changed objects to learn their types, reads no row into it.

    `engine`: looks at objects side by side where the source allows it.
    """
    source = source_of(stage)
    old = {k.path: k for k in known(store, stage.name)}
    unclaimed = dict(old)
    live: list[Known] = []
    strangers = []
    looked = _looked(source, store, stage, root, len(old))
    for found in looked.found:
        before = unclaimed.pop(found.path, None)
        if before is not None and before.stamp == found.stamp and not reread:
            live.append(Known(before.ordinal, found.path, found.stamp, before.checksum, before.state))
        else:
            strangers.append((found, before))
    last = read_before(store, stage.name)
    movable = bool(table_of(stage).key) and not store.chunks(stage.name, LEFT)
    by_checksum = {k.checksum: k for k in unclaimed.values()} if movable else {}
    ordinal = 1 + max((k.ordinal for k in _ever(store, stage.name)), default=-1)
    forgotten = Tombstones(store, stage.name, table_of(stage).key)
    waiting: list[str] = []

    def summed(stranger: tuple[Found, Known | None]) -> str | Expired:
        try:
            return source.checksum(root, stranger[0].path)
        except Expired as gone:
            return gone

    apart = engine if source.side_by_side() else None
    sums = apart.each(summed, strangers) if apart is not None else map(summed, strangers)
    for (found, before), checksum in zip(strangers, sums, strict=True):
        if isinstance(checksum, Expired):
            if before is None:
                raise checksum
            live.append(replace(before, stamp=found.stamp))
            continue
        moved = None if before is not None or table_of(stage).key else _moved(found, old)
        if not table_of(stage).key and forgotten.awaits((moved or found).path, checksum):
            waiting.append(found.path)
            stays = before or (unclaimed.pop(moved.path, None) if moved is not None else None)
            if stays is not None:
                live.append(replace(stays, path=found.path))
            continue
        same = before if before is not None and before.checksum == checksum else None
        if before is None and checksum in by_checksum:
            same = by_checksum.pop(checksum)
            del unclaimed[same.path]
        if same is not None and not reread:
            live.append(Known(same.ordinal, found.path, found.stamp, checksum, same.state))
            continue
        number = before.ordinal if before is not None else ordinal
        ordinal += before is None
        live.append(Known(number, found.path, found.stamp, checksum, None, fresh=True))
    unseen = [k for k in live if k.fresh]

    def observed(k: Known) -> Any:
        return source.observe(root, k.path)

    states = apart.each(observed, unseen) if apart is not None else map(observed, unseen)
    for k, state in zip(unseen, states, strict=True):
        k.state = state
    live.sort(key=lambda k: k.path)
    for k in live:
        k.again = not k.fresh and k.ordinal in force and k.path not in waiting
        k.fresh = k.fresh or k.again
    columns = source.column_types([k.state for k in live])
    refuse_key(table_of(stage), columns)
    retype = [
        c
        for c in {**columns, **(last.columns if last else {})}
        if last and last.facts["types"].get(c) != columns.get(c)
    ]
    if last is not None and not retype and last.columns.keys() == columns.keys():  # digests and ids know the order
        retype = [c for c, was in zip(columns, last.columns, strict=True) if c != was]
    if retype and last is not None:
        for k in live:
            k.fresh, k.again = True, False
    if waiting and (retype or reread):
        raise GateFailed(
            f"Table '{stage.target}' has to be read again, but {', '.join(waiting)} changed after records of it were "
            "forgotten.",
            fix=f"Take those records out of the file, then run: tillage forget {stage.target} --release {waiting[0]}",
        )
    told = source.notes([k.state for k in live]) if isinstance(source, Following) else ()
    return Survey(live, list(unclaimed.values()), columns, retype, (*told, *looked.notes), waiting)


def note_replaced(root: Path, objects: Iterable[Known]) -> bool:
    """Whether a file is no longer what it was when it was surveyed: its rows may be of either, so the checksum of
    neither stands for them, and the next run reads it again, though it be put back by then."""
    replaced = [k for k in objects if _is_replaced(root, k)]
    for k in replaced:
        k.checksum = sha256(f"replaced\n{k.checksum}".encode()).hexdigest()
    return bool(replaced)


def _is_replaced(root: Path, k: Known) -> bool:
    if "inode" not in k.stamp:
        return False
    place = Path(root, k.path)
    for file in (place, *place.parents):
        try:
            info = file.stat()
        except NotADirectoryError:  # it lies in an archive, whose stamp is its own
            continue
        except OSError:  # gone, which the next run sees
            return False
        now = {"size": info.st_size, "mtime_ns": info.st_mtime_ns, "ctime_ns": info.st_ctime_ns, "inode": info.st_ino}
        return now != k.stamp
    return False


def _moved(found: Found, old: Mapping[str, Known]) -> Known | None:
    """The file that a new name stands for, if it had another: a log that is rotated, and was written to before."""
    inode = found.stamp.get("inode")
    return next((k for k in old.values() if inode is not None and k.stamp.get("inode") == inode), None)


def read_before(store: Store, stage: str) -> Version | None:
    """The newest version of a stage, if a source was read for it: with other steps the table's name was another's."""
    last = store.latest(stage)
    return last if last is not None and "types" in last.facts else None


def refuse_key(table: Table, columns: Mapping[str, str]) -> None:
    """Raise UnknownColumns where a key names columns that the source does not have."""
    absent = [c for c in table.key if columns and c not in columns]
    if absent:
        raise UnknownColumns("key", absent, columns, f"Mend 'key' of table '{table.name}', or the files.")


_EMPTY = " If the table shall be empty, put a file there that holds the header alone ([] in JSON)."


def _looked(source: Source, store: Store, stage: Stage, root: Path, held: int) -> Looked:
    """What the source holds now; where it finds nothing at all, more likely a slip than a wish, how to say that it is.

    A deleted object's rows leave; if the last one went without a word, a misspelt path would empty the table.
    """
    try:
        return look(source, store, stage, root)
    except InputMissing as error:
        if not held:
            raise
        empty = "" if isinstance(source, Following) else _EMPTY
        raise InputMissing(
            f"{error.message} What it was read from ({held:,}) is gone; its rows stay.", fix=f"{error.fix}{empty}"
        ) from error


def held_objects(store: Store, stage: str) -> dict[int, tuple[str, str]]:
    """Number to path and stamp (as the catalog writes it) of the objects that the newest version was read from."""
    found = store.catalog.rows("SELECT ordinal, path, stamp FROM sources WHERE stage = ? AND ended IS NULL", stage)
    return {r[0]: (r[1], r[2]) for r in found}


def known(store: Store, stage: str) -> list[Known]:
    """The objects that the newest version was read from."""
    found = store.catalog.rows("SELECT * FROM sources WHERE stage = ? AND ended IS NULL ORDER BY path", stage)
    return [Known(r["ordinal"], r["path"], load(r["stamp"]), r["checksum"], load(r["state"])) for r in found]


def _ever(store: Store, stage: str) -> list[Known]:
    found = store.catalog.rows("SELECT * FROM sources WHERE stage = ?", stage)
    return [Known(r["ordinal"], r["path"], {}, "", None) for r in found]


def source_of(stage: Stage) -> Source:
    if not isinstance(stage.step, Source):
        raise InputMissing(f"'{stage.name}' has no source.")
    return stage.step


def table_of(stage: Stage) -> Table:
    if stage.table is None:
        raise InputMissing(f"'{stage.name}' has no table.")
    return stage.table
