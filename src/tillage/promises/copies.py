"""What may also be of the person and bears no subject: quarantined records that name them, and copies elsewhere.

Quarantined records are opened and searched, word by word, for the subject and for the whole key. Copies in tables
without a subject are only listed: whether they are of the same person is for someone to decide who knows.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any, NamedTuple

import polars as pl

from tillage.core.errors import Denied
from tillage.core.rows import ID, INTO, MERGED, REASON, distinct, ids, only, without
from tillage.flow.plan import Table
from tillage.flow.quarantine import opened
from tillage.flow.run import Project
from tillage.flow.stages import Stage
from tillage.flow.tombstones import stages_of
from tillage.promises.closure import Closure, may_hold_copies
from tillage.store.catalog import load
from tillage.store.purge import QUARANTINE
from tillage.store.tables import LEFT, ROWS

MOST = 20
"""Row_ids that are named of a copy; the rest are counted."""

_FIELDS = r"[,;|\t\r\n\"'{}\[\]:]+"
_WORDS = r"[\s,;|\"'{}\[\]:]+"


class Named(NamedTuple):
    """Quarantined records that name the person: their ids, their places, their bytes."""

    ids: pl.Series
    places: list[tuple[str, int]]
    raw: list[bytes]
    unopened: int
    """Records that no longer open: nobody can say whether they name anyone."""


def quarantined(project: Project, stage: Stage, closure: Closure) -> Named:
    """The quarantined records of a source that name a subject, or hold a key of the rows whole."""
    store = project.store
    keys = [values for values in closure.keys.get(stage.name, ()) if all(values)]
    chunks = [c for name in stages_of(stage.name) for c in store.every_chunk(name, QUARANTINE)]
    if not (closure.subjects or keys) or not chunks:
        return Named(ids(), [], [], 0)
    search = Search(closure.subjects, keys)
    places: dict[tuple[str, int], list[tuple[str, str]]] = {}
    for row in store.catalog.rows("SELECT * FROM sources WHERE stage IN (?, ?)", *stages_of(stage.name)):
        codec = str((load(row["state"]) or {}).get("encoding") or "utf-8")
        places.setdefault((row["stage"], row["ordinal"]), []).append((row["checksum"], codec))
    found: dict[int, tuple[str, int, bytes]] = {}
    unopened = 0
    for own, name, checksum in {(c.stage, c.object, c.checksum) for c in chunks}:
        for record in store.objects.get_frame(name, checksum).iter_rows(named=True):
            known = places.get((own, record["_object"]), [])
            raw = _raw(project, stage, record)
            if raw is None:
                unopened += 1
                continue
            codec = known[-1][1] if known else "utf-8"
            if search.names(_text(raw, codec)):
                found[record[ID]] = (known[-1][0] if known else "", int(record["record"]), raw)
    return Named(
        ids(found), [(c, n) for c, n, _ in found.values() if c], [raw for _, _, raw in found.values()], unopened
    )


def _raw(project: Project, stage: Stage, record: dict[str, Any]) -> bytes | None:
    try:
        return opened({**record, "expires": None}, stage.target, project.store.keys)
    except Denied:  # it was sealed under another key
        return None


def _text(raw: bytes, codec: str) -> str:
    try:
        return raw.decode(codec, "replace")
    except LookupError:
        return raw.decode("utf-8", "replace")


class Search:
    """Texts that name somebody: a subject as a word or a field of its own, a key as whole fields.

    >>> search = Search(["Ann"], [("7",)])
    >>> [search.names(text) for text in ("1,to Ann and Bob", "7,short", "1,seven of 7", "1,Anna")]
    [True, True, False, False]
    """

    def __init__(self, subjects: Iterable[str], keys: Iterable[tuple[str, ...]]) -> None:
        self._subjects = set(subjects)
        self._keys = {values[0] for values in keys if len(values) == 1}
        self._compound = [values for values in keys if len(values) > 1]
        self._split = {v for v in self._subjects | self._keys if re.search(_FIELDS, v)}

    def names(self, text: str) -> bool:
        """Whether a text names one of them."""
        fields = {field.strip() for field in re.split(_FIELDS, text)}
        if fields & self._keys or (fields | set(re.split(_WORDS, text))) & self._subjects:
            return True
        if any(value in text for value in self._split):
            return True
        return any(all(v in fields or (re.search(_FIELDS, v) and v in text) for v in key) for key in self._compound)


# -- copies ---------------------------------------------------------------------------------------------------------


def undecided(project: Project, closure: Closure) -> list[dict[str, Any]]:
    """Rows without a subject that hold the same key or subject, or that were merged with a row that goes."""
    out = []
    values = {key[0] for keys in closure.keys.values() for key in keys if len(key) == 1} | set(closure.subjects)
    for stage in project.stages.values():
        table = stage.table
        if stage.kind == "source" and table is not None and may_hold_copies(table):
            out += _same_key(project, stage, table, closure, values)
    out += _merged(project, closure)
    out += _abandoned(project)
    return out


def _abandoned(project: Project) -> list[dict[str, Any]]:
    """Tables that collected by an earlier plan: what in them is whose, this plan cannot say."""
    out = []
    mine = {name for stage in project.stages for name in stages_of(stage)}
    for name in project.abandoned():
        chunks = [c for part in (ROWS, LEFT, QUARANTINE) for c in project.store.every_chunk(name, part)]
        if name not in mine and any(project.store.origins(c) for c in chunks):
            why = "no plan has this table any more, so nobody looked there (`tillage gc --abandoned` removes it)"
            rows = sum(c.rows for c in chunks if c.ended is None)
            out.append({"table": stages_of(name)[0], "why": why, "rows": rows, "ids": []})
    return out


def _same_key(project: Project, stage: Stage, table: Table, closure: Closure, values: set[str]) -> list[dict[str, Any]]:
    values = values - {key[0] for key in closure.looked_up.get(stage.name, ())}
    if not values or project.store.latest(stage.name) is None:
        return []
    frame = pl.DataFrame({table.key[0]: sorted(values)})
    wanted = project.store.keys.row_ids(table.name, frame, table.key)
    wanted = without(wanted.to_frame(ID), closure.gone)[ID]
    found = [rows[ID] for _, rows in _locate(project, stage.name, wanted)]
    return _copy(table.name, "holds the same key", distinct([ids(), *found]))


def _locate(project: Project, stage: str, wanted: pl.Series) -> list[tuple[Any, pl.DataFrame]]:
    from tillage.store.locate import locate

    return locate(project.store, stage, wanted, ROWS, columns=[])


def _merged(project: Project, closure: Closure) -> list[dict[str, Any]]:
    """Rows of equal content that were merged into a row that goes (they come back), or into which it was merged."""
    out = []
    for stage in project.stages.values():
        if stage.kind != "whole" or stage.model is not None or stage.target in project.plan.models:
            continue
        back, keepers = [ids()], [ids()]
        for entries in project.store.frames(stage.name, LEFT):
            if INTO not in entries.columns:
                continue
            merged = entries.filter(pl.col(REASON) == MERGED)
            back.append(merged.filter(pl.col(INTO).is_in(closure.gone.implode()))[ID])
            keepers.append(only(merged, closure.gone)[INTO])
        came = without(pl.concat(back).to_frame(ID), closure.gone)[ID].unique()
        kept = without(pl.concat(keepers).rename(ID).to_frame(), closure.gone)[ID].unique()
        out += _copy(stage.target, "was merged into a row that goes, and comes back", _without_subject(project, came))
        out += _copy(stage.target, "is the row into which one that goes was merged", _without_subject(project, kept))
    return out


def _without_subject(project: Project, wanted: pl.Series) -> pl.Series:
    """Those whose source declares no subject: of the others it is known that they are someone else's."""
    for stage in project.stages.values():
        if stage.kind == "source" and stage.table is not None and stage.table.subject and len(wanted):
            for _, rows in _locate(project, stage.name, wanted):
                wanted = without(wanted.to_frame(ID), rows[ID])[ID]
    return wanted


def _copy(table: str, why: str, found: pl.Series) -> list[dict[str, Any]]:
    if found.is_empty():
        return []
    named = [f"{row:032x}" for row in sorted(found.to_list())[:MOST]]
    return [{"table": table, "why": why, "rows": len(found), "ids": named}]
