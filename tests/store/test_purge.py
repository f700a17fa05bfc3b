"""Forgotten is gone, as far as the store goes: from every version, every part, every file.

Mutations caught: purge: the debt not recorded or not paid; the rows asked for by the second of two stages on one
object left out; removed ids of a stage that was not named kept; the memo kept; a ledger row made inside its table
counted; locate: dead chunks on the list of a merged run; verify: what is found told at once, though somebody writes.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from io import BytesIO
from pathlib import Path

import polars as pl
import pytest

from tillage.core.rows import ID, ids
from tillage.store import failpoints, objects
from tillage.store.digests import MODULUS, row_sum
from tillage.store.gc import FEW, PURGING, collect, remembered
from tillage.store.locate import MANY_RUNS, locate
from tillage.store.objects import Stored
from tillage.store.purge import purge
from tillage.store.tables import LEFT, ROWS, Draft, NewChunk, Store, Version
from tillage.store.verify import verify

NOTHING = {"in": 0, "rows": 0, "created": 0, "dropped": {}, "merged": 0, "consumed": 0, "quarantined": {}}


def spread(n: int) -> int:
    return (n + 1) * 0x9E3779B97F4A7C15F39CC0605CEDC835 % (1 << 128)


def secret(n: int) -> str:
    """Text that no other row has, and that zstd cannot hide: it is looked for in what it unpacks to."""
    return f"secret-of-row-{n}-{spread(n):032x}"


def frame(*numbers: int) -> pl.DataFrame:
    return pl.DataFrame({ID: ids(map(spread, numbers)), "text": [secret(n) for n in numbers]})


@pytest.fixture(params=["files", "rows of the catalog"])
def store(tmp_path: Path, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Store]:
    if request.param == "files":
        monkeypatch.setattr(objects, "SMALL", 0)
    opened = Store(tmp_path)
    yield opened
    opened.close()


def first(store: Store, *numbers: int, stage: str = "t", counts: dict[str, object] | None = None) -> None:
    draft = Draft(stage, "first", "f", columns={"text": "String"})
    draft.added = [NewChunk(ROWS, store.objects.put_frame("0" * 32, frame(*numbers)))]
    draft.counts = {**NOTHING, "in": len(numbers), "rows": len(numbers), **(counts or {})}
    store.commit(draft)


def reference(store: Store, stage: str, source: str, hidden: list[int]) -> None:
    """A stage that shows the chunks of another, some rows hidden."""
    draft = Draft(stage, "reference", "f", {source: 1}, columns={"text": "String"})
    for chunk in store.chunks(source):
        stored = Stored(chunk.object, chunk.checksum, chunk.size, chunk.rows)
        draft.added.append(NewChunk(ROWS, stored, source=chunk.id, removed=ids(map(spread, hidden))))
    store.commit(draft)


def texts(store: Store) -> set[str]:
    """Every text in any object of the store, whether or not a chunk stands on it."""
    whole = [path.read_bytes() for path in (store.root / "objects").rglob("*.arrow")]
    whole += [bytes(r[0]) for r in store.catalog.rows("SELECT data FROM small WHERE name LIKE '%.arrow'")]
    frames = [pl.read_ipc_stream(BytesIO(data)) for data in whole]
    return {text for rows in frames if "text" in rows.columns for text in rows["text"].to_list()}


def overwrite(store: Store, name: str, data: bytes | None) -> bytes:
    """Put other bytes (None: nothing) in the place of an object's; what was there."""
    row = store.catalog.row("SELECT data FROM small WHERE name = ?", name)
    if row is not None or name.startswith("small/"):
        store.catalog.write("DELETE FROM small WHERE name = ?", name)
        if data is not None:
            store.catalog.write("INSERT INTO small VALUES (?, ?)", name, data)
        return bytes(row["data"]) if row else b""
    path = store.root / "objects" / name
    before = path.read_bytes() if path.exists() else b""
    path.unlink(missing_ok=True)
    if data is not None:
        path.write_bytes(data)
    return before


def named(store: Store) -> set[int]:
    """Every id on any list of removals."""
    lists = [bytes(r[0]) for r in store.catalog.rows("SELECT ids FROM removals")]
    return {int.from_bytes(own[at : at + 16], "little") for own in lists for at in range(0, len(own), 16)}


def shown(store: Store, stage: str, version: int | None = None) -> list[int]:
    wanted = {spread(n): n for n in range(100)}
    return sorted(wanted[i] for i in store.frame(stage, version=version)[ID])


def test_old_versions_lose_it_too(store: Store) -> None:
    """Also where the locator has been merged since: chunks that ended must be read for a purge."""
    first(store, 1, 2)
    for n in range(3, 6 + MANY_RUNS):
        draft = Draft("t", "next", "f", columns={"text": "String"}, ended=[c.id for c in store.chunks("t")])
        draft.added = [NewChunk(ROWS, store.objects.put_frame(f"{n:032x}", frame(2, n)))]
        store.commit(draft)
        locate(store, "t", ids([spread(2)]))
    purge(store, {"t": ids([spread(1), spread(2)])})
    assert shown(store, "t", 1) == []
    assert shown(store, "t", 4) == [5]
    assert not {secret(1), secret(2)} & texts(store)
    assert secret(5) in texts(store)


def test_an_object_that_two_stages_show_loses_what_either_asks_for(store: Store) -> None:
    first(store, 1, 2, 3, 4)
    reference(store, "u", "t", [4])
    done = purge(store, {"t": ids([spread(1)]), "u": ids([spread(2), spread(4)])})
    assert (done.rows, done.chunks) == (3, 1)
    assert shown(store, "t") == [3]
    assert shown(store, "u") == [3]
    assert texts(store) == {secret(3)}


def test_a_stage_that_was_not_named_stays_countable(store: Store) -> None:
    first(store, 1, 2, 3, 4)
    reference(store, "u", "t", [1, 4])
    purge(store, {"t": ids([spread(1)])})
    assert store.count("u") == 2
    assert shown(store, "u") == [2, 3]
    assert named(store) == {spread(4)}


def test_a_purge_that_was_cut_off_is_ended_by_the_next_or_by_gc(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    ends: tuple[Callable[[], object], ...] = (lambda: purge(store, {}), lambda: collect(store))
    for n, end in enumerate(ends):
        first(store, 1, 2, 3, stage=f"t{n}")
        locate(store, f"t{n}", ids([spread(1)]))
        failpoints._passed.clear()
        with monkeypatch.context() as patch:
            patch.setattr(failpoints, "_armed", "purge.vacuum:1:EIO")
            patch.setattr(store.objects, "delete", lambda name: 0)
            patch.setattr(store.objects, "delete_small", lambda names: 0)
            with pytest.raises(OSError, match="Input/output"):
                purge(store, {f"t{n}": ids([spread(1)])})
        assert secret(1) in texts(store)
        assert [f.object for f in verify(store).findings] == ["catalog.db"]
        end()
        assert secret(1) not in texts(store)
        assert store.catalog.meta(PURGING) is None
        assert verify(store).findings == ()
        assert verify(store).orphans == 0


def test_ids_that_were_removed_before_leave_the_lists(store: Store) -> None:
    first(store, 1, 2, 3)
    draft = Draft("t", "second", "f", columns={"text": "String"})
    [chunk] = store.chunks("t")
    draft.remove(chunk, ids([spread(1), spread(2)]))
    store.commit(draft)
    purge(store, {"t": ids([spread(1)])})
    assert named(store) == {spread(2)}
    assert (shown(store, "t", 1), shown(store, "t", 2)) == ([2, 3], [3])
    assert [v.epoch for v in store.versions("t")] == [1, 0], "the second did not show the row"


def test_finished_work_on_it_is_forgotten(store: Store) -> None:
    first(store, 1, 2)
    [chunk] = store.chunks("t")
    kept = store.objects.put_frame("e" * 32, frame(9))
    store.remember([("on it", {"rows": {"name": chunk.object, "checksum": chunk.checksum}}), ("other", vars(kept))])
    purge(store, {"t": ids([spread(1)])})
    assert store.recall("on it") is None
    assert store.recall("other") is not None


def test_counts_of_the_ledger_and_of_the_quarantine_follow(store: Store) -> None:
    first(store, 1, counts={"in": 6, "dropped": {"old": 2}, "merged": 1, "quarantined": {"bad": 2}})
    draft = Draft("t", "second", "f", columns={"text": "String"})
    ledger = pl.DataFrame(
        {
            ID: ids(map(spread, [11, 12, 13, 14])),
            "_reason": ["old", "old", "merged", "old"],
            "_parent": pl.Series([None, None, None, spread(11)], dtype=pl.UInt128),
        }
    )
    records = pl.DataFrame({ID: ids(map(spread, [21, 22])), "reason": ["bad", "bad"]})
    draft.added = [
        NewChunk(LEFT, store.objects.put_frame("1" * 32, ledger)),
        NewChunk("quarantine", store.objects.put_frame("2" * 32, records)),
    ]
    [before] = store.versions("t")
    draft.counts = before.counts
    store.commit(draft)
    purge(store, {"t": ids(map(spread, [11, 13, 14, 21]))})
    counts = store.versions("t")[1].counts
    assert (counts["in"], counts["dropped"], counts["merged"], counts["quarantined"]) == (3, {"old": 1}, 0, {"bad": 1})
    assert verify(store).findings == ()


def test_what_leads_back_to_the_digest_before_is_on_record(store: Store) -> None:
    first(store, 1, 2, 3)
    before = store.digest("t")
    total = sum(row_sum(rows) for chunk in store.chunks("t", ROWS) if (rows := store.read(chunk)).height)
    purge(store, {"t": ids([spread(2)])})
    [row] = store.catalog.rows("SELECT * FROM erasures")
    assert (row["epoch"], row["stage"], row["version"], row["last"], row["rows"]) == (1, "t", 1, 1, 1)
    left = sum(row_sum(store.read(chunk)) for chunk in store.chunks("t", ROWS))
    assert (left + int(row["lost"], 16)) % MODULUS == total % MODULUS
    assert store.digest("t") != before
    other = Store(store.root / "other")
    first(other, 3, 1)
    assert store.digest("t") == other.digest("t")
    other.close()


def test_what_is_on_record_of_erasures_grows_as_they_do(store: Store) -> None:
    """A line for each version would be n lines for the n-th of n versions, one of which came with each erasure."""
    first(store, *range(12))
    lines = []
    for n in range(10):
        draft = Draft("t", "next", "f", columns={"text": "String"}, counts=store.versions("t")[-1].counts)
        draft.remove(store.chunks("t")[0], ids([spread(n)]))
        draft.counts = {**draft.counts, "rows": draft.counts["rows"] - 1, "in": draft.counts["in"] - 1}
        store.commit(draft)
        purge(store, {"t": ids([spread(n)])}, vacuum=False)
        lines.append(len(store.catalog.rows("SELECT * FROM erasures WHERE epoch = ?", n + 1)))
    assert lines == [1] * 10
    [last] = store.catalog.rows("SELECT version, last FROM erasures WHERE epoch = 10")
    assert tuple(last) == (1, 10)


def test_damage_is_found_and_told(store: Store) -> None:
    """What `verify` is for: each kind of damage, beside its finding."""
    first(store, 1, 2)
    draft = Draft("t", "second", "f", columns={"text": "String"})
    ledger = pl.DataFrame({ID: ids([spread(5)]), "_reason": ["old"]})
    draft.added = [NewChunk(LEFT, store.objects.put_frame("1" * 32, ledger))]
    draft.counts = {**NOTHING, "in": 3, "rows": 2, "dropped": {"old": 1}}
    store.commit(draft)
    assert verify(store).findings == ()
    for part in (ROWS, LEFT):
        [chunk] = store.chunks("t", part)
        whole = overwrite(store, chunk.object, b"")
        overwrite(store, chunk.object, whole[:-1] + bytes([whole[-1] ^ 1]))
        [finding] = verify(store).findings
        assert (finding.stage, finding.object) == ("t", chunk.object)
        assert "damaged" in finding.message
        overwrite(store, chunk.object, None)
        [finding] = verify(store).findings
        assert "missing" in finding.message
        overwrite(store, chunk.object, whole)
    locate(store, "t", ids([spread(1)]))
    [run] = store.catalog.rows("SELECT object FROM pieces")
    whole = overwrite(store, run["object"], b"x")
    assert [f.object for f in verify(store).findings] == [run["object"]]
    overwrite(store, run["object"], whole)
    (store.root / "objects" / ".half.tmp").write_bytes(b"x")
    assert verify(store).orphans == 1
    assert verify(store).findings == ()
    for counts in (
        {"rows": 3},
        {"dropped": {"old": 2}},
        {"dropped": {"new": 1}},
        {"merged": 1},
        {"quarantined": {"bad": 1}},
    ):
        store.catalog.write("UPDATE versions SET counts = json_patch(counts, ?)", json.dumps(counts))
        assert len(verify(store).findings) == 1, counts
        store.catalog.write("UPDATE versions SET counts = ?", json.dumps(draft.counts))
    store.catalog.write("UPDATE chunks SET rows = 9 WHERE part = 'rows'")
    assert any("holds 2 rows" in f.message for f in verify(store).findings)


@pytest.mark.parametrize("damaged", [False, True])
def test_what_a_commit_meanwhile_makes_look_wrong_is_not_told(
    store: Store, monkeypatch: pytest.MonkeyPatch, damaged: bool
) -> None:
    """Another process commits between the counts of a version and its rows; damage is told all the same."""
    first(store, 1, 2, stage="t")
    first(store, 3, stage="u")
    commits = iter(range(10, 12))
    whole = store.latest

    def overtaken(stage: str) -> Version | None:
        found = whole(stage)
        if stage == "t" and (n := next(commits, None)) is not None:
            other = Store(store.root)
            draft = Draft("t", "more", "f", columns={"text": "String"})
            draft.counts = {**NOTHING, "in": n - 7, "rows": n - 7}
            draft.added = [
                NewChunk(ROWS, other.objects.put_frame(f"{n:032x}", pl.DataFrame({ID: ids([n]), "text": "x"})))
            ]
            other.commit(draft)
            other.close()
        return found

    monkeypatch.setattr(store, "latest", overtaken)
    if damaged:
        overwrite(store, store.chunks("u")[0].object, None)
    found = verify(store)
    assert next(commits, None) is None, "nobody committed meanwhile"
    assert [("missing" in f.message) for f in found.findings] == [True] * damaged


@pytest.mark.parametrize("wanted", [1, FEW, FEW + 1])
def test_results_that_name_an_object_are_found_be_the_names_few_or_many(tmp_path: Path, wanted: int) -> None:
    store = Store(tmp_path)
    made = [(f"k{n}", {"name": f"a/o{n:02}", "checksum": "c", "inner": {"name": f"b/o{n:02}"}}) for n in range(40)]
    store.remember(made)
    names = {f"a/o{n:02}" for n in range(wanted)}
    assert sorted(remembered(store, lambda found: found & names)) == sorted(f"k{n}" for n in range(wanted))
    assert remembered(store, lambda found: found & {"b/o00"}) == []  # what else is called so is no object
    assert remembered(store, lambda found: found & {"a/o99"}) == []
    store.close()
