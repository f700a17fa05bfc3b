"""The catalog: all or nothing, and errors of ours that say what to do.

Mutations caught: catalog: the schema not compared; `_explained` called for a bug of ours; `write` outside
`_asking`; `transaction` without ROLLBACK; nested use that commits on its own; opening under a write lock;
`vacuum` without VACUUM, or with a checkpoint that does not wait; `synchronous=OFF`.
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import polars as pl
import pytest

from tillage.core.errors import TillageError, Unavailable, VerifyFailed
from tillage.core.rows import ID, ids
from tillage.store import failpoints
from tillage.store.catalog import Catalog, dump, load
from tillage.store.locate import locate
from tillage.store.tables import ROWS, Draft, NewChunk, Store
from tillage.store.verify import verify


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "catalog.db"


@pytest.fixture
def catalog(path: Path) -> Iterator[Catalog]:
    opened = Catalog(path)
    yield opened
    opened.close()


def test_what_is_set_is_there_when_it_is_opened_again(catalog: Catalog, path: Path) -> None:
    assert catalog.meta("name") is None
    catalog.set_meta("name", "one")
    catalog.set_meta("name", "发烧")
    other = Catalog(path)
    assert other.meta("name") == "发烧"
    assert other.check() == []
    other.close()
    assert load(dump({"b": [1, None], "a": "é"})) == {"a": "é", "b": [1, None]}


def test_a_commit_survives_a_power_cut(catalog: Catalog) -> None:
    """As far as a process can tell: the log is written ahead, and synced at each commit."""
    assert catalog.rows("PRAGMA journal_mode")[0][0] == "wal"
    assert catalog.rows("PRAGMA synchronous")[0][0] == 2  # FULL


def test_a_store_of_the_first_schema_is_brought_to_this_one(tmp_path: Path) -> None:
    """Its locators are made again; all else is as it was."""
    rows = pl.DataFrame({ID: ids([3, 4])})
    store = Store(tmp_path)
    draft = Draft("t", "first", "f", added=[NewChunk(ROWS, store.objects.put_frame("0" * 32, rows))])
    store.commit(draft)
    with store.catalog.transaction():
        for statement in (
            "DROP TABLE runs",
            "DROP TABLE pieces",
            "CREATE TABLE runs (id INTEGER PRIMARY KEY, stage TEXT NOT NULL, part TEXT NOT NULL, object TEXT NOT NULL, "
            "checksum TEXT NOT NULL, chunks TEXT NOT NULL)",
            "INSERT INTO runs VALUES (1, 't', 'rows', 'gone', 'gone', '[1]')",
            "DROP TABLE erasures",
            "CREATE TABLE erasures (epoch INTEGER NOT NULL, stage TEXT NOT NULL, version INTEGER NOT NULL, "
            "rows INTEGER NOT NULL, old TEXT NOT NULL, new TEXT NOT NULL, created TEXT NOT NULL, "
            "PRIMARY KEY (epoch, stage, version)) WITHOUT ROWID",
            f"INSERT INTO erasures VALUES (1, 't', 1, 2, '{5:032x}', '{7:032x}', 'then')",
            "UPDATE meta SET value = '1' WHERE key = 'schema'",
        ):
            store.catalog.write(statement)
    store.close()
    again = Store(tmp_path)
    assert again.catalog.meta("schema") == "4"
    [erasure] = again.catalog.rows("SELECT * FROM erasures")
    assert tuple(erasure) == (1, "t", 1, 2, f"{(1 << 128) - 2:032x}", "then", 1)
    assert [found["_id"].to_list() for _, found in locate(again, "t", ids([4]))] == [[4]]
    assert verify(again).findings == ()
    again.close()


def test_another_schema_is_refused(catalog: Catalog, path: Path) -> None:
    catalog.set_meta("schema", "99")
    with pytest.raises(Unavailable, match=r"schema 99, and this Tillage knows 4\..*Use the Tillage version") as error:
        Catalog(path)
    assert error.value.exit_code == 69


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(b"no database at all, whatever its name says" * 50, id="another file"),
        pytest.param(None, id="overwritten pages"),
        pytest.param(b"SQLite format 3\0" + b"\xff" * 4080, id="a header alone"),
    ],
)
def test_a_damaged_file_says_so(path: Path, content: bytes | None) -> None:
    catalog = Catalog(path)
    catalog.write_many("INSERT INTO memo VALUES (?, ?)", [(f"{n:040d}", "v" * 500) for n in range(200)])
    catalog.vacuum()
    catalog.close()
    if content is None:
        whole = bytearray(path.read_bytes())
        whole[4096:] = b"\x5a" * (len(whole) - 4096)
        content = bytes(whole)
    path.write_bytes(content)
    with pytest.raises(VerifyFailed, match=r"is damaged: .* Restore catalog.db from a backup"):
        Catalog(path).rows("SELECT * FROM memo ORDER BY value")


def test_a_database_of_someone_else_is_refused(path: Path) -> None:
    other = sqlite3.connect(path)
    other.execute("CREATE TABLE theirs (x)")
    other.close()
    with pytest.raises(TillageError):
        Catalog(path)


def test_a_file_that_may_not_be_written_says_so(catalog: Catalog) -> None:
    catalog.rows("PRAGMA query_only=ON")
    writes: tuple[Callable[[], None], ...] = (
        lambda: catalog.set_meta("a", "b"),
        lambda: catalog.write_many("INSERT INTO memo VALUES (?, ?)", [("a", "b")]),
        catalog.vacuum,
    )
    for write in writes:
        with pytest.raises(Unavailable, match=r"cannot be written: .*readonly.*mend the permissions"):
            write()
    with pytest.raises(Unavailable, match="cannot be written"), catalog.transaction():
        catalog.set_meta("a", "b")
    catalog.rows("PRAGMA query_only=OFF")
    catalog.set_meta("a", "b")
    assert catalog.meta("a") == "b"


def test_a_folder_that_is_not_there_says_so(tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match=r"cannot be written: unable to open"):
        Catalog(tmp_path / "nowhere" / "catalog.db")


def test_a_full_disk_undoes_the_whole_transaction(catalog: Catalog) -> None:
    pages = int(catalog.rows("PRAGMA page_count")[0][0])
    catalog.rows(f"PRAGMA max_page_count={pages + 4}")

    def fill() -> None:
        with catalog.transaction():
            catalog.set_meta("first", "yes")
            catalog.write_many("INSERT INTO memo VALUES (?, ?)", [(f"{n}", "v" * 4000) for n in range(20)])

    with pytest.raises(Unavailable, match=r"cannot be written: database or disk is full.*Free space"):
        fill()
    assert catalog.meta("first") is None
    assert catalog.rows("SELECT * FROM memo") == []
    catalog.rows(f"PRAGMA max_page_count={pages + 400}")
    catalog.set_meta("first", "yes")
    assert catalog.check() == []


@pytest.mark.parametrize("point", ["version.begin", "version.chunks", "version.commit"])
def test_a_commit_that_fails_makes_no_version(tmp_path: Path, point: str, monkeypatch: pytest.MonkeyPatch) -> None:
    store = Store(tmp_path)
    store.commit(Draft("a", "first", "f"))
    failpoints._passed.clear()
    monkeypatch.setattr(failpoints, "_armed", f"{point}:1:ENOSPC")
    with pytest.raises(OSError, match="No space left"):
        store.commit(Draft("a", "second", "f"), Draft("b", "first", "f"))
    assert [v.why for v in store.versions("a")] == ["first"]
    assert store.stages() == ["a"]
    store.commit(Draft("a", "second", "f"), Draft("b", "first", "f"))
    assert [v.why for v in store.versions("a")] == ["first", "second"]
    store.close()


def test_all_or_nothing_whatever_is_raised(catalog: Catalog) -> None:

    def cut_off(error: type[BaseException]) -> None:
        with catalog.transaction():
            with catalog.transaction():
                catalog.set_meta("a", "b")
            raise error

    for error in (ValueError, KeyboardInterrupt):
        with pytest.raises(error):
            cut_off(error)
        assert catalog.meta("a") is None, "the inner one must not commit on its own"
    catalog.set_meta("a", "c")
    assert catalog.meta("a") == "c"


def test_a_bug_of_ours_is_not_called_damage(catalog: Catalog) -> None:
    catalog.write("INSERT INTO memo VALUES ('a', 'b')")
    with pytest.raises(sqlite3.IntegrityError):
        catalog.write("INSERT INTO memo VALUES ('a', 'b')")
    with pytest.raises(sqlite3.IntegrityError), catalog.transaction():
        catalog.write("INSERT INTO memo VALUES ('a', 'b')")
    with pytest.raises(sqlite3.ProgrammingError):
        catalog.rows("SELECT ?")


def test_readers_do_not_wait_for_a_writer(catalog: Catalog, path: Path) -> None:
    catalog.set_meta("a", "before")
    with catalog.transaction():
        catalog.set_meta("a", "after")
        reader = Catalog(path)  # also opening must not need the writer's lock
        assert reader.meta("a") == "before"
    assert reader.meta("a") == "after"
    reader.close()


def test_a_second_writer_that_waited_too_long_says_so(catalog: Catalog, path: Path) -> None:
    other = Catalog(path)
    other.rows("PRAGMA busy_timeout=20")
    with catalog.transaction(), pytest.raises(Unavailable, match=r"is busy\. Try again"):
        other.set_meta("a", "b")
    other.set_meta("a", "b")
    other.close()


def test_what_was_asked_once_is_asked_again_when_anything_was_written(tmp_path: Path) -> None:
    """By this connection, by another, or by a transaction that was rolled back after it was asked within."""
    store, other = Store(tmp_path), Store(tmp_path)
    asked: list[int] = []

    def look() -> int:
        last = store.latest("t")
        asked.append(last.version if last is not None else 0)
        return asked[-1]

    def newest() -> int:
        return store.once(("test",), look)

    rows = pl.DataFrame({ID: ids([3, 4])})
    assert (newest(), newest(), len(asked)) == (0, 0, 1)
    for n, by in enumerate((store, other, store), start=1):
        by.commit(Draft("t", "test", "f", added=[NewChunk(ROWS, by.objects.put_frame(f"{n}" * 32, rows))]))
        assert (newest(), newest(), len(asked)) == (n, n, n + 1)
        assert store.stages() == ["t"]
        assert len(store.every_chunk("t", ROWS)) == len(store.made_from()["t"]) == n
        assert (store.plans_of("t"), store.parts("t")) == (1, [ROWS])

    def undone() -> None:
        with store.catalog.transaction():
            store.catalog.write("DELETE FROM versions")
            assert newest() == 0
            raise ValueError("back")

    with pytest.raises(ValueError, match="back"):
        undone()
    assert newest() == 3
    other.close()
    store.close()


def test_many_may_open_a_new_catalog_at_once(tmp_path: Path) -> None:
    for n in range(5):
        failed: list[BaseException] = []
        barrier = threading.Barrier(4)

        def open_it(path: Path, barrier: threading.Barrier = barrier, failed: list[BaseException] = failed) -> None:
            barrier.wait()
            try:
                Catalog(path).close()
            except BaseException as error:
                failed.append(error)

        threads = [threading.Thread(target=open_it, args=(tmp_path / f"{n}.db",)) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert failed == []


def test_nothing_deleted_is_left_in_the_files(catalog: Catalog, path: Path) -> None:
    secrets = [f"SECRET-{n:05d}-{'x' * 60}" for n in range(300)]
    catalog.write_many("INSERT INTO memo VALUES (?, ?)", [(s, s) for s in secrets])
    assert any(b"SECRET-" in p.read_bytes() for p in path.parent.iterdir())
    catalog.write("DELETE FROM memo WHERE key < 'SECRET-00299'")
    catalog.vacuum()

    def found() -> set[str]:
        return {s for s in secrets for p in path.parent.iterdir() if s.encode() in p.read_bytes()}

    assert found() == {secrets[299]}
    catalog.write("DELETE FROM memo")
    catalog.rows("PRAGMA wal_checkpoint(TRUNCATE)")
    assert found() == set(), "what is deleted is overwritten at once, also without a vacuum"


def test_a_vacuum_that_a_reader_keeps_from_ending_says_so(catalog: Catalog, path: Path) -> None:
    catalog.rows("PRAGMA busy_timeout=20")
    catalog.set_meta("a", "b")
    reader = sqlite3.connect(path, isolation_level=None)
    reader.execute("BEGIN")
    reader.execute("SELECT * FROM meta").fetchall()
    with pytest.raises(Unavailable, match="Close whatever has the store open"):
        catalog.vacuum()
    reader.execute("COMMIT")
    catalog.vacuum()
    reader.close()


def test_a_lost_catalog_is_not_begun_anew_beside_objects(tmp_path: Path) -> None:
    store = Store(tmp_path)
    rows = pl.DataFrame({ID: ids(range(20_000)), "x": [str(hash(n)) + "x" * (n % 97) for n in range(20_000)]})
    draft = Draft("numbers", "first", "0")
    draft.added.append(NewChunk(ROWS, store.objects.put_frame("0" * 32, rows)))
    store.commit(draft)
    store.close()
    objects = sorted((tmp_path / "objects").rglob("*"))
    copy = (tmp_path / "catalog.db").read_bytes()
    for lost in (lambda p: p.write_bytes(b""), Path.unlink):
        lost(tmp_path / "catalog.db")
        for _ in range(2):
            with pytest.raises(VerifyFailed, match="it was lost"):
                Store(tmp_path)
    assert sorted((tmp_path / "objects").rglob("*")) == objects
    (tmp_path / "catalog.db").write_bytes(copy)
    store = Store(tmp_path)
    assert store.frame("numbers").height == 20_000
    store.close()
