"""Carrying an erasure through: the rows leave at the source, an ordinary run follows, then history is purged.

What is to be done is a record in the catalog (row_ids, never the question that chose them), written in one transaction
with the tombstones; so an erasure that was cut off anywhere is ended by whoever comes next, a run or another erasure.
It costs the chunks that hold the rows and what was made of them, in every version that is kept.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from hashlib import sha256
from typing import Any

import polars as pl

from tillage.core.errors import BadData, TillageError
from tillage.core.rows import ID, REASON, only, without
from tillage.flow.masking import masks
from tillage.flow.receipt import signed
from tillage.flow.results import Refit
from tillage.flow.seen import Held, Seen
from tillage.flow.stages import Stage
from tillage.flow.tombstones import Mark, write_marks
from tillage.store.catalog import dump, load
from tillage.store.failpoints import reach
from tillage.store.gc import PURGING, erase_replaced, forget_remembered, owned_objects, remembered
from tillage.store.locate import holding, locate
from tillage.store.objects import is_small
from tillage.store.purge import QUARANTINE, purge_doomed
from tillage.store.tables import LEFT, ROWS, Chunk, Draft, Store, pack, unpack

FORGETTING = "forgetting"
"""Names in the catalog the erasure that is under way."""

WHY = "forget"
REPORT = "report.html"

Bring = Callable[[Stage, Refit | None], Draft | None]
"""The draft of a stage as an ordinary run would make it."""

Passes = Callable[[Stage], bool]
"""Whether the expectations before a gate hold now."""


@dataclass(frozen=True)
class Erasure:
    """One erasure: which rows go, and where every stage stood before it."""

    gone: pl.Series
    """Row_ids that leave every version."""
    past: pl.Series
    """Row_ids whose earlier states leave."""
    before: dict[str, int]
    """Stage to its version when the erasure began."""
    told: dict[str, Any]
    """What the receipt says of it."""
    beside: Mapping[str, pl.Series] = field(default_factory=dict)
    """By stage that no plan has (the log of a server's answers): row_ids that leave all its parts."""


def begin(store: Store, erasure: Erasure, marks: Sequence[Mark]) -> None:
    """Decide on an erasure: from here on it will be carried through, whatever happens."""
    reach("forget.begin")
    value = {
        "gone": pack(erasure.gone).hex(),
        "past": pack(erasure.past).hex(),
        "before": erasure.before,
        "told": erasure.told,
        "beside": {stage: pack(gone).hex() for stage, gone in erasure.beside.items()},
    }
    with store.catalog.transaction():
        write_marks(store, marks)
        store.catalog.set_meta(FORGETTING, dump(value))
        reach("forget.decided")


def under_way(store: Store) -> Erasure | None:
    """The erasure that was begun and not ended."""
    kept = store.catalog.meta(FORGETTING)
    if kept is None:
        return None
    value = load(kept)
    gone, past = (unpack(bytes.fromhex(value[k])) for k in ("gone", "past"))
    beside = {stage: unpack(bytes.fromhex(packed)) for stage, packed in value.get("beside", {}).items()}
    return Erasure(gone, past, value["before"], value["told"], beside)


def unfinished(store: Store) -> bool:
    """Whether an erasure, or the purge that is its last part, waits to be ended."""
    return any(store.catalog.meta(name) is not None for name in (FORGETTING, PURGING))


def carry_through(
    store: Store,
    stages: Mapping[str, Stage],
    erasure: Erasure,
    bring: Bring,
    passes: Passes,
    held: Held | None = None,
    noted: Sequence[str] = (),
) -> dict[str, Any]:
    """End an erasure; the caller holds the store alone. What was done, as the receipt tells it.

    `held`: what is known of the objects that hold these rows; `noted`: what the receipt is to say besides.
    """
    ready = _ready(store, stages)
    held = held or Held(store, erasure.gone, erasure.past)
    seen = Seen(store, stages, erasure.gone, erasure.past, ready, held)
    seen.standing = standing = set[str]()
    asked, former = _asked_for_earlier_rows(stages, ready), set[str]()
    notes = list(noted)
    refitted: list[str] = []
    used = set[str]().union(*(stage.pinned() for stage in stages.values()))
    for name in list(ready):
        stage = stages[name]
        if not stage.needs() <= standing:  # what it is made of has no version now
            ready.remove(name)
            continue
        _ask_former(seen, stages, name, former)
        under = seen.influence(name)
        began = erasure.before.get(name, 0)
        if stage.kind == "gate" and under and not passes(stage):
            notes.append(
                f"{name} has no version now: its expectations fail without these rows, and what it showed may say "
                "something of them."
            )
            ready.remove(name)
            continue
        try:
            draft = _draft(store, stage, seen, erasure, bring, passes)
        except TillageError as error:
            if stage.kind != "learn" and not isinstance(error, BadData):
                raise
            made = "trained" if stage.kind == "learn" else "made"
            notes.append(f"{name} could not be {made} without these rows, and has no version now: {error.message}")
            ready.remove(name)
            seen.changed.add(name)
            continue
        if stage.pin is not None and draft is not None and "fit_on" not in draft.facts:
            named = f"version {stage.pin} of {stage.pinned_to}"
            word = "from_version" if stage.place else "fit_on"
            notes.append(f"{name} is pinned to {named}, which is erased: mend `{word}` in the plan.")
        if draft is not None:
            store.commit(draft)
            reach("forget.stage")
        standing.add(name)
        if name in asked and stage.kind == "group":
            seen.regroup(name)
        fitted = (stage.kind == "result" and not stage.follows) or name in used
        if fitted and _learnt_otherwise(store, name, began, seen):
            seen.changed.add(name)
        if stage.kind == "result" and not stage.follows and _newest(store, name) > began:
            refitted.append(name)
    return _purge(store, stages, erasure, ready, seen, held, refitted, notes)


def _ready(store: Store, stages: Mapping[str, Stage]) -> list[str]:
    """The stages that have been run, all that they need included, in order."""
    ready: list[str] = []
    for name, stage in stages.items():
        if store.latest(name) is not None and all(need in ready for need in stage.needs()):
            ready.append(name)
    return ready


def _draft(store: Store, stage: Stage, seen: Seen, erasure: Erasure, bring: Bring, passes: Passes) -> Draft | None:
    last = store.latest(stage.name)
    done = last is not None and last.version > erasure.before.get(stage.name, 0)
    if stage.kind == "source":
        return rows_out(store, stage.name, seen.held)
    if stage.kind == "gate" and not passes(stage):
        return _held_back(store, stage, seen)
    pinned = stage.pin is not None or (stage.kind == "result" and not stage.follows)
    if not pinned or last is None:
        return bring(stage, None)
    source = stage.inputs["rows"]
    if not done and _is_erased(store, source, last.inputs.get(source, 0)):  # nobody can say what it showed
        return bring(stage, Refit(lost=True))
    if done or not seen.shows(source, last.inputs.get(source, 0)):
        return None
    if source in seen.influenced or (source in seen.regrouped and stage.pin is None):
        return bring(stage, Refit(lost=True))
    return bring(stage, Refit(lambda chunk: seen.of(source, chunk)))


def _asked_for_earlier_rows(stages: Mapping[str, Stage], ready: Sequence[str]) -> set[str]:
    """The stages behind what does not follow its input at every run: fitted steps, pins, gates that may hold back."""
    found: set[str] = set()
    for name in reversed(ready):
        stage = stages[name]
        stays = stage.kind == "gate" or stage.pin is not None or (stage.kind == "result" and not stage.follows)
        if stays or name in found:
            found |= set(stage.inputs.values())
    return found


def _ask_former(seen: Seen, stages: Mapping[str, Stage], name: str, asked: set[str]) -> None:
    """Ask after the influence on stages of an earlier plan, which rows of this one may have been made from."""
    for source in sorted(seen.inputs.get(name, set()) - stages.keys() - asked):
        asked.add(source)
        _ask_former(seen, stages, source, asked)
        seen.influence(source)


def _held_back(store: Store, gate: Stage, seen: Seen) -> Draft | None:
    """A gate whose expectations fail: what it shows loses the rows, what it holds back stays back.

    So do earlier states of rows, and what a Group had made of the rows and others: what is in their place is held back.
    """
    draft, last = rows_out(store, gate.name, seen.held, seen), store.latest(gate.name)
    verdicts = gate.inputs["verdicts"]
    newest = {verdicts: _newest(store, verdicts)}  # those that it published by may be erased
    if draft is not None:
        draft.inputs |= newest
    elif last is not None:
        store.set_inputs(replace(last, inputs={**last.inputs, **newest}))
    return draft


def _learnt_otherwise(store: Store, name: str, began: int, seen: Seen) -> bool:
    """Whether any version of a fitted step that saw the rows had learnt something that the newest has not."""
    newest = store.latest(name)
    if newest is None:
        return False
    was = {v.facts.get("digest") for v in store.versions(name) if v.version <= began and seen.saw(v.inputs)}
    return bool(was - {newest.facts.get("digest")})


def _is_erased(store: Store, name: str, version: int) -> bool:
    return any(v.version == version and "erased" in v.facts for v in store.versions(name))


def _newest(store: Store, name: str) -> int:
    last = store.latest(name)
    return last.version if last else 0


def rows_out(store: Store, name: str, held: Held, seen: Seen | None = None) -> Draft | None:
    """The draft of a stage's next version: the newest one without the rows that go; None when it shows none of them.

    `seen`: where earlier states of rows go as well.
    """
    last = store.latest(name)
    if last is None:
        return None
    draft = Draft(
        name, WHY, last.fingerprint, dict(last.inputs), dict(last.counts), dict(last.columns), dict(last.facts)
    )
    counts = draft.counts = load(dump(last.counts))
    removed = store.all_removed(name, ROWS)
    wanted = held.gone if seen is None else pl.concat([held.gone, held.past])
    for chunk in holding(store, name, wanted, ROWS, living=True):
        rows = (held.of(chunk)[0] if seen is None else seen.doomed(chunk)).to_frame(ID)
        rows = without(rows, removed[chunk.id]) if chunk.id in removed else rows
        draft.remove(chunk, rows[ID])
        _uncount(counts, ROWS, rows)
    for chunk, rows in locate(store, name, held.gone, LEFT):
        draft.remove(chunk, rows[ID])
        _uncount(counts, LEFT, rows)
    for chunk in store.chunks(name, QUARANTINE):
        rows = only(store.read(chunk), held.gone)
        draft.remove(chunk, rows[ID])
        _uncount(counts, QUARANTINE, rows)
    return draft if draft.removals else None


def _uncount(counts: dict[str, Any], part: str, rows: pl.DataFrame) -> None:
    counts["in"] -= rows.height
    if part == ROWS:
        counts["rows"] -= rows.height
        counts["created"] = min(counts["created"], counts["rows"])
        return
    column, named = (REASON, counts["dropped"]) if part == LEFT else ("reason", counts["quarantined"])
    for reason, n in rows[column].value_counts().rows() if rows.height else ():
        named[reason] -= n
        if not named[reason]:
            del named[reason]


# -- history --------------------------------------------------------------------------------------------------------


def _purge(
    store: Store,
    stages: Mapping[str, Stage],
    erasure: Erasure,
    ready: list[str],
    run: Seen,
    held: Held,
    refitted: list[str],
    notes: list[str],
) -> dict[str, Any]:
    seen = Seen(store, stages, erasure.gone, erasure.past, ready, held)
    seen.changed = run.changed
    doomed = seen.doom(erasure.before)
    doomed.objects |= _beside(store, erasure)
    told = {**erasure.told, "refitted": refitted, "notes": notes}
    masking = masks(store, stages, pl.concat([erasure.gone, erasure.past]))
    commitments = _commitments(told["salt"], pl.concat([erasure.gone, *erasure.beside.values()]))

    def within(epoch: int, erased: Mapping[str, Sequence[int]]) -> None:
        value = {**told, "epoch": epoch, "rows": commitments, "erased_versions": erased}
        store.catalog.write("INSERT INTO receipts (erased, signed) VALUES (?, '')", dump(value))
        for query, values in masking:
            store.catalog.write(query, *values)

    number = _already(store, erasure)
    if number is None:
        purge_doomed(store, doomed, within=within)
    reach("forget.purged")
    clear_unowned(store)
    (store.root / REPORT).unlink(missing_ok=True)
    number, told = _told_after(store)
    receipt = signed(store, number, told)
    with store.catalog.transaction():
        store.catalog.write(
            "UPDATE receipts SET erased = ?, signed = ? WHERE number = ?", dump(told), dump(receipt), number
        )
        store.catalog.set_meta(PURGING, store.catalog.meta(PURGING) or "[]")  # owed: the vacuum
        store.catalog.write("DELETE FROM meta WHERE key = ?", FORGETTING)
        reach("forget.ended")
    erase_replaced(store)
    return told


def _beside(store: Store, erasure: Erasure) -> dict[str, tuple[Chunk, pl.Series]]:
    """What leaves stages that no plan has, by object."""
    return {
        chunk.object: (chunk, gone)
        for stage, gone in erasure.beside.items()
        for part in store.parts(stage)
        for chunk in holding(store, stage, gone, part)
    }


def _already(store: Store, erasure: Erasure) -> int | None:
    """The number of the receipt to be, when the purge was committed before the process died."""
    row = store.catalog.row("SELECT number, erased FROM receipts ORDER BY number DESC LIMIT 1")
    return int(row["number"]) if row and load(row["erased"])["salt"] == erasure.told["salt"] else None


def _told_after(store: Store) -> tuple[int, dict[str, Any]]:
    """The number of the receipt, and what it tells, complete with the digests as they are now."""
    row = store.catalog.row("SELECT number, erased FROM receipts ORDER BY number DESC LIMIT 1")
    if row is None:
        raise TypeError("an erasure ended without its record")
    value: dict[str, Any] = load(row["erased"])
    value["tables_after"] = {n: _digest_now(store, n) if was else None for n, was in value["tables_before"].items()}
    value["models_after"] = {name: model_digest(store, name) for name in value["models_before"]}
    return int(row["number"]), value


def _commitments(salt: str, gone: pl.Series) -> list[str]:
    """Salted SHA-256 of each row_id, sorted: who knows a row_id and the salt can look it up, nobody can list them."""
    key = bytes.fromhex(salt)
    raw = pack(gone)
    return sorted(sha256(key + raw[at : at + 16]).hexdigest() for at in range(0, len(raw), 16))


def known_digest(store: Store, stage: str) -> str | None:
    """The digest of a table's newest version, where the sums of most of its chunks are known; else None."""
    last = store.latest(stage)
    if last is None or "erased" in last.facts:
        return None
    row = store.catalog.row(
        "SELECT count(*), count(d.chunk) FROM chunks c LEFT JOIN (SELECT DISTINCT chunk FROM digests) d "
        "ON d.chunk = c.id WHERE c.stage = ? AND c.part = ? AND c.ended IS NULL",
        stage,
        ROWS,
    )
    chunks, known = (int(row[0]), int(row[1])) if row else (0, 0)
    return store.digest(stage) if known * 2 >= chunks else None


def _digest_now(store: Store, stage: str) -> str | None:
    """The digest of a table's newest version; None where it has none any more."""
    last = store.latest(stage)
    return None if last is None or "erased" in last.facts else store.digest(stage)


def model_digest(store: Store, model: str) -> str | None:
    """The digest of a model's newest version; None when it has none."""
    last = store.latest(model)
    return None if last is None or "erased" in last.facts else last.facts.get("digest")


def clear_unowned(store: Store) -> None:
    """Delete what no version owns: work ahead, temporary files, remembered results that name either."""
    owned = owned_objects(store)
    stale = remembered(store, lambda names: names - owned)
    orphans = sorted(store.objects.names() - owned)
    with store.catalog.transaction():
        forget_remembered(store, stale)
        store.objects.delete_small(orphans)
    for name in orphans:
        if not is_small(name):
            store.objects.delete(name)
