"""The laws of the kinds of step, as functions: whoever writes a step can run them on it.

`check_step(step, frame)` tries every law of the step's kind on a frame and tells each breach. Laws prove that a step is
consistent, never that it is right: a wrong formula applied consistently passes them all, so a step needs an oracle of
its own besides. Cost: some thirty runs of the step over the frame; a hundred rows are plenty.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from random import Random
from typing import Any, TypeAlias

import polars as pl
from pydantic import ValidationError

from tillage.core.errors import TillageError
from tillage.core.keys import hash_text
from tillage.core.rows import ID, INTO, MERGED, PARENT, REASON, RESERVED, drop_columns, only, without
from tillage.core.state import State, decode, encode
from tillage.core.step import Algebraic, Fit, Fitted, Fold, Group, Map, MultiPass, Sharded, Source, Step, Whole
from tillage.flow.algebraic_law import in_parts
from tillage.flow.comparison import canonical, cuts, difference, halves, outcome, shuffled
from tillage.flow.following import Following
from tillage.flow.results import packed
from tillage.flow.shard_laws import apart
from tillage.flow.source_laws import again, followed, records
from tillage.flow.variants import undescribed, variants
from tillage.store.index import KEY, Overlay

Given: TypeAlias = "pl.DataFrame | Mapping[str, pl.DataFrame] | Path"
"""What a step is tried on: rows, rows by port, or for a Source the folder that its paths are relative to."""

Rows: TypeAlias = "dict[str, pl.DataFrame]"

BATCHES = 8
"""Changes in a row by which a Whole with `change` is tried."""


@dataclass(frozen=True)
class Breach:
    """One law that a step does not keep, and how that showed."""

    law: str
    message: str

    def __str__(self) -> str:
        return f"{self.law}: {self.message}"


@dataclass(frozen=True)
class Law:
    """One law of one kind of step."""

    name: str
    says: str
    check: Callable[[Any, Any, Random], Iterator[str]]


def check_step(step: Step, given: Given, *, seed: int = 0) -> tuple[Breach, ...]:
    """Every breach of the laws of the step's kind on these rows; empty when all are kept.

    `given`: rows with `_id` (UInt128, each once) and the columns that the step needs; by port where it has several;
    the root folder for a Source. `seed`: of the cuts, orders and changes that are tried.

    >>> from tillage.core import ID, Map
    >>> class Rank(Map):
    ...     def apply(self, rows: pl.DataFrame) -> pl.DataFrame:
    ...         return rows.with_columns(rank=pl.col("n").rank())
    >>> rows = pl.DataFrame({"_id": pl.Series([1, 2, 3], dtype=pl.UInt128), "n": [5, 7, 6]})
    >>> print(check_step(Rank(), rows)[0])
    Map: chunking: rows 0 to 2 taken by [0, 1, 2, 3] give other values in 'rank' than taken at once.
    """
    found = []
    for law in laws_of(step):
        wanted = _given(step, given)
        try:
            found += [Breach(law.name, message) for message in law.check(step, wanted, Random(seed))]  # noqa: S311
        except TillageError as error:
            found.append(Breach(law.name, f"It refused these rows: {error}"))
    return tuple(found)


def laws_of(step: Step) -> tuple[Law, ...]:
    """The laws that hold for a step: those of every step, and those of its kind."""
    return tuple(law for kind, laws in LAWS.items() if isinstance(step, kind) for law in laws)


def _given(step: Step, given: Given) -> Any:
    if isinstance(given, Path):
        return given
    by_port = given if isinstance(given, Mapping) else dict.fromkeys(step.ports, given)
    return {port: rows.clone() for port, rows in by_port.items()}  # a step that writes into it spoils one law alone


# -- every step -------------------------------------------------------------------------------------------------------


def _fingerprint(step: Step, given: Any, random: Random) -> Iterator[str]:
    if step.fingerprint() != _again(step).fingerprint():
        yield "two equal steps have two fingerprints."
    for name, other in variants(step).items():
        if other is not None and other.fingerprint() == step.fingerprint():
            yield f"another '{name}' has the same fingerprint, so a run would not notice the change."


def _described(step: Step, given: Any, random: Random) -> Iterator[str]:
    for name in undescribed(type(step)):
        yield f"the parameter '{name}' says nowhere what it means."


def _round_trip(step: Step, given: Any, random: Random) -> Iterator[str]:
    again = _again(step)
    if isinstance(step, Fitted):
        if encode(again.state) != encode(step.state):  # type: ignore[attr-defined]
            yield "its state is another one after it has been saved and loaded."
    elif again != step:
        yield f"written as JSON and read again it is {again!r}."
    json.dumps(step.params(), allow_nan=True)


def _frozen(step: Step, given: Any, random: Random) -> Iterator[str]:
    for name in [*type(step).model_fields, "something_else"]:
        try:
            setattr(step, name, getattr(step, name, 1))
        except (ValidationError, ValueError, AttributeError):
            continue
        yield f"'{name}' can be set, so a step could keep state."


def _again(step: Step) -> Step:
    """The step after it has been written down and read."""
    if isinstance(step, Fitted):
        return type(step)(state=decode(encode(step.state)))
    return type(step).model_validate_json(step.model_dump_json(by_alias=True))


# -- Map --------------------------------------------------------------------------------------------------------------


def _chunking(step: Map, given: Rows, random: Random) -> Iterator[str]:
    rows = given["rows"]
    own, made = _apart(step.apply(rows), rows)
    for cut in cuts(rows.height, random):
        parts = [_apart(step.apply(rows[a:b]), rows[a:b]) for a, b in pairwise(cut)] or [(own, made)]
        for whole, pieces in ((own, [p[0] for p in parts]), (made.sort(ID), [p[1] for p in parts])):
            told = _pieces_differ(whole, pieces, by_id=whole is not own)
            if told:
                yield f"rows 0 to {rows.height - 1} taken by {cut[:12]} give {told} than taken at once."
                return


def _pieces_differ(whole: pl.DataFrame, pieces: list[pl.DataFrame], *, by_id: bool) -> str | None:
    for piece in pieces:
        if piece.schema != whole.schema:
            return difference(whole, piece)
    joined = pl.concat(pieces)
    return difference(whole, joined.sort(ID) if by_id else joined)


def _apart(out: pl.DataFrame, rows: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
    """(rows that came in, children)."""
    return only(out, rows[ID]), without(out, rows[ID])


def _alone(step: Map, given: Rows, random: Random) -> Iterator[str]:
    rows = given["rows"]
    mixed = shuffled(rows, random)
    if canonical(step.apply(mixed)) != canonical(step.apply(rows)):
        yield "the same rows in another order become others: a row sees its neighbours."


def _same_twice(step: Map, given: Rows, random: Random) -> Iterator[str]:
    rows = given["rows"]
    told = difference(step.apply(rows), step.apply(rows))
    if told:
        yield f"done twice it gives {told}."


def _map_untouched(step: Map, given: Rows, random: Random) -> Iterator[str]:
    rows = given["rows"]
    yield from _untouched(given, lambda: step.apply(rows))


def _untouched(given: Rows, call: Callable[[], Any]) -> Iterator[str]:
    before = {
        port: pl.DataFrame({c: s.to_list() for c, s in f.to_dict().items()}, f.schema) for port, f in given.items()
    }
    outcome(call)
    for port, frame in given.items():
        if told := difference(before[port], frame):
            yield f"it changes the rows that it was given by '{port}': {told}."


def _ids(step: Map, given: Rows, random: Random) -> Iterator[str]:
    rows = given["rows"]
    out = step.apply(rows)
    own, made = _apart(out, rows)
    if own[ID].to_list() != rows[ID].to_list():
        lost = rows.height - own[ID].n_unique()
        yield f"{lost} of {rows.height} rows are lost." if lost > 0 else "the rows come back twice or in another order."
    if made.height and not step.makes_children:
        yield f"{made.height} rows have an _id that none came with (declare `makes_children` if they are children)."
    elif made.height:
        parents = made[PARENT] if PARENT in made.columns else pl.Series(PARENT, [None] * made.height)
        if not parents.is_in(rows[ID].implode()).fill_null(value=False).all():
            yield "a new row has no _parent among the rows that came."
        if made[ID].is_duplicated().any():
            yield "two children have one _id."


def _marks(step: Map, given: Rows, random: Random) -> Iterator[str]:
    rows = given["rows"]
    yield from _marked(step.apply(rows), rows)


def _marked(out: pl.DataFrame, rows: pl.DataFrame) -> Iterator[str]:
    if REASON in out.columns and out.schema[REASON] not in (pl.String, pl.Null):
        yield f"_reason holds {out.schema[REASON]}, not text."
    elif REASON in out.columns and (out[REASON].drop_nulls() == "").any():
        yield "a row leaves with the empty text as its reason."
    ours = [c for c in out.columns if c.startswith("_") and c not in RESERVED and c not in rows.columns]
    if ours:
        yield f"it makes a column '{ours[0]}'; names that begin with _ are reserved."


# -- Fold -------------------------------------------------------------------------------------------------------------


def _merge(step: Fold, given: Rows, random: Random) -> Iterator[str]:
    rows = given["rows"]
    first, rest = halves(rows, random)
    second, third = halves(rest, random)
    a, b, c = (step.update(step.start(), part) for part in (first, second, third))
    whole = encode(step.update(step.start(), rows))
    if encode(step.merge(step.merge(a, b), c)) != encode(step.merge(a, step.merge(b, c))):
        yield "merge is not associative: (a + b) + c is not a + (b + c)."
    if encode(step.merge(a, b)) != encode(step.merge(b, a)):
        yield "merge is not commutative: a + b is not b + a."
    if not encode(step.merge(a, step.start())) == encode(a) == encode(step.merge(step.start(), a)):
        yield "start is not the identity of merge."
    if encode(step.merge(step.merge(a, b), c)) != whole:
        yield "the merged states of parts are not the state of the whole."
    if encode(step.update(step.update(a, second), third)) != whole:
        yield "updating by parts does not give the state of the whole."


def _order(step: Fold, given: Rows, random: Random) -> Iterator[str]:
    rows = given["rows"]
    if encode(step.update(step.start(), shuffled(rows, random))) != encode(step.update(step.start(), rows)):
        yield "the order of the rows shows in the state."
    parts = [step.update(step.start(), rows[i : i + 1]) for i in range(min(rows.height, 12))]
    totals = set()
    for _ in range(3):
        random.shuffle(parts)
        total = step.start()
        for part in parts:
            total = step.merge(total, part)
        totals.add(encode(total))
    if len(totals) > 1:
        yield "the order of merging shows in the state."


def _state_is_a_value(step: Fold | Fit, given: Rows, random: Random) -> Iterator[str]:
    rows = given["rows"]
    first, second = rows[: rows.height // 2], rows[rows.height // 2 :]
    a = step.update(step.start(), first)
    before = encode(a)
    b = step.update(a, second)
    if encode(a) != before:
        yield "update changes the state that it was given."
    if isinstance(step, Fold):
        other = step.update(step.start(), second)
        kept = encode(other)
        step.merge(a, other)
        if (encode(a), encode(other)) != (before, kept):
            yield "merge changes a state that it was given."
    after = encode(b)
    outcome(lambda: step.finish(b))
    if encode(b) != after:
        yield "finish changes the state that it was given."
    if encode(step.start()) != encode(step.start()):
        yield "start gives another state each time."
    yield from _saved(step, a, second)


def _saved(step: Fold | Fit, a: State, second: pl.DataFrame) -> Iterator[str]:
    """A state that was kept in the store serves like the one that never left memory."""
    loaded = decode(encode(a))
    if encode(loaded) != encode(a):
        yield "a state is another one after it has been saved and loaded."
    if encode(step.update(loaded, second)) != encode(step.update(a, second)):
        yield "a state that was saved and loaded goes on otherwise."
    if isinstance(step, Fold) and encode(step.merge(loaded, loaded)) != encode(step.merge(a, a)):
        yield "a state that was saved and loaded merges otherwise."


def _finish(step: Fold | Fit, given: Rows, random: Random) -> Iterator[str]:
    rows = given["rows"]
    state = step.update(step.start(), rows)
    if len({outcome(lambda: step.finish(state)), outcome(lambda: step.finish(decode(encode(state))))}) > 1:
        yield "one state has two results."
    try:
        result = step.finish(state)
    except TillageError:  # too few rows to make anything of: a refusal, and the same one each time
        return
    yield from _result_is_data(result, rows)


def _result_is_data(result: Any, rows: pl.DataFrame) -> Iterator[str]:
    """What a result holds survives the store; a fitted Map does afterwards what it did before."""
    value = packed(result)
    loaded = decode(encode(value))
    if encode(loaded) != encode(value):
        yield "the result is another one after it has been saved and loaded."
    if isinstance(result, Fitted):
        again = type(result)(state=loaded["state"])
        if again.fingerprint() != result.fingerprint():
            yield "the fitted Map has another fingerprint after it has been saved and loaded."
        if outcome(lambda: again.apply(rows)) != outcome(lambda: result.apply(rows)):
            yield "the fitted Map does something else after it has been saved and loaded."


# -- Fit --------------------------------------------------------------------------------------------------------------


def _resumed(step: Fit, given: Rows, random: Random) -> Iterator[str]:
    rows = given["rows"]
    straight = encode(step.update(step.start(), rows))
    for cut in cuts(rows.height, random):
        state = step.start()
        for a, b in pairwise(cut):
            state = decode(encode(step.update(state, rows[a:b])))
        if encode(state) != straight:
            yield f"stopped at {cut[:12]} and resumed it learns something else than straight on."
            return


# -- Group ------------------------------------------------------------------------------------------------------------


def _keyed(step: Group, given: Rows) -> Rows:
    return {port: rows.with_columns(hash_text(rows, step.key(rows, port)).alias(KEY)) for port, rows in given.items()}


def _keys(given: Rows) -> list[int]:
    return pl.concat([rows[KEY] for rows in given.values()]).unique().sort().to_list()


def _at(given: Rows, keys: list[int]) -> Rows:
    wanted = pl.Series(keys, dtype=pl.UInt128).implode()
    return {port: rows.filter(pl.col(KEY).is_in(wanted)) for port, rows in given.items()}


def _keys_apart(step: Group, given: Rows, random: Random) -> Iterator[str]:
    keyed = _keyed(step, given)
    keys = _keys(keyed)
    whole = outcome(lambda: step.apply(keyed))
    for size in (1, 3):
        random.shuffle(keys)
        portions = [keys[i : i + size] for i in range(0, len(keys), size)]
        if whole != outcome(lambda: pl.concat([step.apply(_at(keyed, p)) for p in [[], *portions]])):  # noqa: B023
            yield f"keys taken {size} at a time give other rows or columns than taken together."


def _group_order(step: Group, given: Rows, random: Random) -> Iterator[str]:
    keyed = _keyed(step, given)
    mixed = {port: shuffled(rows, random) for port, rows in keyed.items()}
    if outcome(lambda: step.apply(mixed)) != outcome(lambda: step.apply(keyed)):
        yield "the order of the rows shows in what is made of them."


def _group_rows(step: Group, given: Rows, random: Random) -> Iterator[str]:
    keyed = _keyed(step, given)
    yield from _untouched(keyed, lambda: step.apply(keyed))
    try:
        out = step.apply(keyed)
    except TillageError:
        return
    if KEY not in out.columns:
        yield "its rows have no _key."
    elif strangers := set(out[KEY]) - set(_keys(keyed)):
        yield f"{len(strangers)} of its rows have a _key that none came with."
    yield from _marked(out, next(iter(keyed.values())))


# -- Whole ------------------------------------------------------------------------------------------------------------


def _whole_order(step: Whole, given: Rows, random: Random) -> Iterator[str]:
    mixed = {port: shuffled(rows, random) for port, rows in given.items()}
    first = outcome(lambda: step.compute(given))
    if outcome(lambda: step.compute(given)) != first:
        yield "done twice it gives two results."
    if outcome(lambda: step.compute(mixed)) != first:
        yield "the order of the rows shows in the result."


def _whole_rows(step: Whole, given: Rows, random: Random) -> Iterator[str]:
    yield from _untouched(given, lambda: step.compute(given))
    try:
        out = step.compute(given)
    except TillageError:
        return
    if not isinstance(out, pl.DataFrame):
        yield from _result_is_data(out, next(iter(given.values())))
        return
    yield from _marked(out, next(iter(given.values())))
    if out[ID].is_duplicated().any():
        yield "two of its rows have one _id."
    if step.incremental and sorted(out[ID]) != sorted(given["rows"][ID]):
        yield "it follows changes, and so may mark rows but neither make nor lose any."
    merged = out.filter(pl.col(REASON) == MERGED) if REASON in out.columns else out.clear()
    if merged.height:
        keepers = out.filter(pl.col(REASON).is_null())[ID]
        if INTO not in out.columns or not merged[INTO].is_in(keepers.implode()).fill_null(value=False).all():
            yield "a row was merged into one that does not stay."


def _entries(step: Whole, given: Rows, random: Random) -> Iterator[str]:
    if not step.incremental:
        return
    rows = given["rows"]
    whole = step.entries(rows)
    if not {ID, KEY} <= set(whole.columns) or whole.schema[KEY] != pl.UInt128:
        yield "its entries need _id and _key (UInt128)."
        return
    for cut in cuts(rows.height, random):
        told = _pieces_differ(whole, [step.entries(rows[a:b]) for a, b in pairwise(cut)] or [whole], by_id=False)
        if told:
            yield f"the entries of rows taken by {cut[:12]} have {told} than of all at once."
            return


def _change(step: Whole, given: Rows, random: Random) -> Iterator[str]:
    """Rows come, go and change under their `_id`; after each batch the decisions are those of `compute`."""
    if not step.incremental:
        return
    rows = given["rows"]
    table, index = rows.clear(), Overlay(step.entries(rows).clear(), step.recalled())
    known: dict[int, tuple[str | None, int | None]] = {}
    for batch in range(BATCHES):
        came, went = _batch(rows, table, random)
        added, removed = step.entries(came), step.entries(went)
        if batch % 2:
            removed = drop_columns(removed, *step.recalled())
        index.came = came
        light = batch // 2 % 2 and step.reads_again()
        decided = step.change(index, drop_columns(added, *step.recalled()) if light else added, removed)
        index = Overlay(pl.concat([without(index.entries, removed[ID]), added]), step.recalled())
        table = pl.concat([without(table, went[ID]), came])
        known = {i: d for i, d in known.items() if i not in set(went[ID])} | _decisions(decided)
        wanted = _decisions(step.compute({"rows": table}))
        wrong = [i for i in wanted.keys() | known.keys() if wanted.get(i) != known.get(i)]
        if wrong or decided[ID].is_duplicated().any() or not set(came[ID]) <= set(decided[ID]):
            i = wrong[0] if wrong else 0
            yield (
                f"after batch {batch} ({came.height} rows came, {went.height} went) {len(wrong)} rows are decided "
                f"otherwise by `change` than by `compute`, such as {i}: {known.get(i)} and {wanted.get(i)}."
            )
            return


def _cut_anyhow(step: MultiPass, given: Rows, random: Random) -> Iterator[str]:
    rows = given["rows"]
    whole = outcome(lambda: step.compute(given))
    for cut in cuts(rows.height, random):
        mixed = shuffled(rows, random)
        parts = [mixed[a:b] for a, b in pairwise(cut)]
        if outcome(lambda: step.compute_in_passes(lambda: iter(parts))) != whole:  # noqa: B023
            yield f"cut at {cut[:12]} it gives another result than uncut."
            return


def _batch(rows: pl.DataFrame, table: pl.DataFrame, random: Random) -> tuple[pl.DataFrame, pl.DataFrame]:
    """(rows that come, rows that go): new ones, lost ones, and some that stay under another row's values."""
    here = set(table[ID])
    new = [i for i in rows[ID] if i not in here and random.random() < 0.3]
    old = sorted(here)
    lost = {i for i in old if random.random() < 0.2}
    edited = [i for i in old if i not in lost and random.random() < 0.2]
    other = rows[[random.randrange(rows.height) for _ in edited]] if edited else rows.clear()
    other = other.with_columns(pl.Series(ID, edited, dtype=pl.UInt128))
    came = pl.concat([only(rows, pl.Series(ID, new, dtype=pl.UInt128)), other])
    return came, only(table, pl.Series(ID, [*lost, *edited], dtype=pl.UInt128))


def _decisions(marked: pl.DataFrame) -> dict[int, tuple[str | None, int | None]]:
    nothing = pl.lit(None)
    found = marked.select(ID, *(c if c in marked.columns else nothing.alias(c) for c in (REASON, INTO)))
    return {row[0]: (row[1], row[2]) for row in found.rows()}


STEP_LAWS = (
    Law("Step: fingerprint", "Equal parameters, equal fingerprints; another parameter, another one.", _fingerprint),
    Law("Step: described", "Every parameter says what it means.", _described),
    Law("Step: round trip", "Written as JSON and read again it is the same step.", _round_trip),
    Law("Step: frozen", "A step holds no state.", _frozen),
)

MAP_LAWS = (
    Law("Map: chunking", "How rows are cut into chunks does not show.", _chunking),
    Law("Map: alone", "No row influences another.", _alone),
    Law("Map: pure", "The same rows give the same rows.", _same_twice),
    Law("Map: input untouched", "The rows that came stay as they were.", _map_untouched),
    Law("Map: ids", "No row is lost, doubled or moved, and no _id invented; a child has a _parent.", _ids),
    Law("Map: marks", "A row that leaves has a reason, in text.", _marks),
)

FOLD_LAWS = (
    Law("Fold: merge", "merge is associative and commutative, start its identity, parts make the whole.", _merge),
    Law("Fold: order", "Equal rows make equal bytes, in whatever order they came or were merged.", _order),
    Law("Fold: state", "A state is a value: saved, loaded, never changed.", _state_is_a_value),
    Law("Fold: finish", "One state, one result, and that is data.", _finish),
)

FIT_LAWS = (
    Law("Fit: resumed", "Stopped, saved and resumed it learns what it learns straight on.", _resumed),
    Law("Fit: state", "A state is a value: saved, loaded, never changed.", _state_is_a_value),
    Law("Fit: finish", "One state, one result, and that is data.", _finish),
)

GROUP_LAWS = (
    Law("Group: keys apart", "Keys taken apart give the rows that they give together.", _keys_apart),
    Law("Group: order", "The order of the rows does not show.", _group_order),
    Law("Group: rows", "Its rows bear the keys that came, and what came stays as it was.", _group_rows),
)

ALGEBRAIC_LAWS = (
    Law("Algebraic: parts", "Partial results, stored and merged in any order, give what all rows give.", in_parts),
)

WHOLE_LAWS = (
    Law("Whole: order", "The order of the rows does not show, and twice is the same.", _whole_order),
    Law("Whole: rows", "Rows leave with a reason, merged ones into one that stays; a result is data.", _whole_rows),
    Law("Whole: entries", "Entries are made row by row.", _entries),
    Law("Whole: change", "`change` after any changes decides what `compute` decides.", _change),
)

MULTI_PASS_LAWS = (
    Law(
        "MultiPass: cuts", "However its rows are cut, and in whatever order they come, the result is one.", _cut_anyhow
    ),
)

SHARDED_LAWS = (
    Law("Sharded: apart", "A shard knows its own rows alone, and a saved state serves like a fresh one.", apart),
)

SOURCE_LAWS = (
    Law("Source: again", "Read twice, in whatever order of objects, it gives the same.", again),
    Law("Source: records", "Each record is a row or a bad record, in order, in the types agreed.", records),
)

FOLLOWING_LAWS = (
    Law("Following: again", "Where nothing changed, what it gave is all there is, and the same.", followed),
)

LAWS: Mapping[type[Step], tuple[Law, ...]] = {
    Step: STEP_LAWS,
    Map: MAP_LAWS,
    Fold: FOLD_LAWS,
    Fit: FIT_LAWS,
    Group: GROUP_LAWS,
    Algebraic: ALGEBRAIC_LAWS,
    Whole: WHOLE_LAWS,
    MultiPass: MULTI_PASS_LAWS,
    Sharded: SHARDED_LAWS,
    Source: SOURCE_LAWS,
    Following: FOLLOWING_LAWS,
}
"""The laws of each kind of step; `Step` are those of every one."""
