"""Objects: whole or absent, checked at every read, never served after they are gone.

Mutations caught: objects: `get` without the comparison of checksums; only the size compared before a reuse; `put`
straight under the final name; the cache not asked to forget at `delete`; the cache not looking whether the file is
there; the checksum left out of the name.
"""

from __future__ import annotations

import os
from contextlib import AbstractContextManager
from pathlib import Path

import polars as pl
import pytest

from tillage.core.errors import Unavailable, VerifyFailed
from tillage.core.rows import ID, ids
from tillage.store import failpoints, objects
from tillage.store.catalog import Catalog
from tillage.store.locate import locate
from tillage.store.objects import Objects, Stored
from tillage.store.purge import purge
from tillage.store.tables import Draft, NewChunk, Store

KEY = "0123456789abcdef" * 2
FRAME = pl.DataFrame({ID: ids([1, 2**127, 5]), "text": ["a", None, "发烧"], "x": [0.5, -0.0, float("nan")]})


@pytest.fixture
def folder(tmp_path: Path) -> Objects:
    return Objects(tmp_path)


def test_what_is_put_is_got(folder: Objects) -> None:
    stored = folder.put(KEY, b"some bytes", "state", 3)
    assert folder.get(stored.name, stored.checksum) == b"some bytes"
    assert (stored.size, stored.rows) == (10, 3)
    frame = folder.put_frame(KEY, FRAME)
    folder.forget()
    assert folder.get_frame(frame.name, frame.checksum).equals(FRAME, null_equal=True)
    folder.forget()
    some = folder.get_frame(frame.name, frame.checksum, [ID, "x"])
    assert some.equals(FRAME.select(ID, "x"))
    assert frame.rows == 3


def test_the_name_is_that_of_work_and_content(folder: Objects, tmp_path: Path) -> None:
    stored = folder.put_frame(KEY, FRAME)
    assert Objects(tmp_path / "else where").root != folder.root
    other = Objects(tmp_path)
    assert other.put_frame(KEY, FRAME) == stored
    assert stored.name == f"{KEY[0]}/{KEY}-{stored.checksum[:16]}.parquet"
    assert folder.put_frame(KEY, FRAME.reverse()).name != stored.name
    assert folder.put_frame(KEY[::-1], FRAME).name != stored.name
    assert len(folder.files()) == 3


def test_a_flipped_bit_is_noticed_wherever_it_is(folder: Objects) -> None:
    stored = folder.put_frame(KEY, FRAME)
    path = folder.root / stored.name
    whole = path.read_bytes()
    places = sorted({0, 3, 4, len(whole) // 2, len(whole) - 9, len(whole) - 1, *range(0, len(whole), 37)})
    assert len(places) > 15
    for place in places:
        for bit in (0, 7):
            damaged = bytearray(whole)
            damaged[place] ^= 1 << bit
            path.write_bytes(damaged)
            folder.forget()
            for columns in (None, [ID]):
                with pytest.raises(VerifyFailed, match=r"damaged.*`tillage verify`"):
                    folder.get_frame(stored.name, stored.checksum, columns)
    for short in (whole[:-1], b"", whole + b"\0"):
        path.write_bytes(short)
        with pytest.raises(VerifyFailed, match="damaged"):
            folder.get(stored.name, stored.checksum)


def test_writing_a_damaged_object_again_mends_it(folder: Objects) -> None:
    stored = folder.put_frame(KEY, FRAME)
    path = folder.root / stored.name
    damaged = bytearray(path.read_bytes())
    damaged[len(damaged) // 2] ^= 1
    path.write_bytes(damaged)
    folder.forget()
    assert folder.put_frame(KEY, FRAME) == stored
    folder.forget()
    assert folder.get_frame(stored.name, stored.checksum).equals(FRAME, null_equal=True)


def test_a_missing_object_says_so(folder: Objects) -> None:
    stored = folder.put(KEY, b"x", "state")
    (folder.root / stored.name).unlink()
    with pytest.raises(VerifyFailed, match=r"is missing.*`tillage verify`") as error:
        folder.get(stored.name, stored.checksum)
    assert error.value.exit_code == 70


@pytest.mark.parametrize("suffix", ["parquet", "arrow"])
@pytest.mark.parametrize("data", [b"", b"no Parquet, and no stream"])
def test_a_file_that_holds_no_rows_says_so(folder: Objects, suffix: str, data: bytes) -> None:
    stored = folder.put(KEY, data, suffix)
    with pytest.raises(VerifyFailed, match="cannot be decoded"):
        folder.get_frame(stored.name, stored.checksum)


@pytest.mark.parametrize("point", ["object.open", "object.write", "object.fsync", "object.rename"])
def test_a_half_written_file_is_never_seen(folder: Objects, point: str, monkeypatch: pytest.MonkeyPatch) -> None:
    failpoints._passed.clear()
    monkeypatch.setattr(failpoints, "_armed", f"{point}:1:EIO")
    with pytest.raises(Unavailable, match=r"cannot be written.*Input/output error.*finished work is kept"):
        folder.put(KEY, b"some bytes", "state")
    assert folder.files() == {}
    assert folder.put(KEY, b"some bytes", "state").name in folder.files()


def test_the_final_name_appears_only_when_the_bytes_are_durable(
    folder: Objects, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is in the folder at each step of a write, and what has been synced by then."""
    seen: list[tuple[str, list[str]]] = []
    synced: list[str] = []
    fsync = os.fsync

    def note(point: str) -> None:
        seen.append((point, [p.suffix for p in folder.root.rglob("*") if p.is_file()]))
        if point == "object.rename":
            assert len(synced) == before + 1, "the file is not synced before it gets its name"

    def syncing(fd: int) -> None:
        synced.append(str(Path(f"/proc/self/fd/{fd}").readlink()))
        fsync(fd)

    folder.put("f" * 32, b"before", "old")
    folder.sync()
    monkeypatch.setattr(objects, "reach", note)
    monkeypatch.setattr(os, "fsync", syncing)
    before = len(synced)
    stored = folder.put(KEY, b"some bytes", "state")
    folder.sync()
    folder.sync()
    assert [point for point, _ in seen] == [
        "object.open",
        "object.write",
        "object.fsync",
        "object.rename",
        "object.folder",
    ]
    for point, suffixes in seen:
        assert (".state" in suffixes) == (point == "object.folder")
    assert synced[0].endswith(".tmp")
    assert synced[1:] == [str((folder.root / stored.name).parent), str(folder.root)]


def test_a_name_that_a_killed_run_left_is_made_durable(folder: Objects, monkeypatch: pytest.MonkeyPatch) -> None:
    """The run was killed between the rename and the sync of the folder: finding the file is not enough."""
    stored = folder.put(KEY, b"some bytes", "state")
    synced: list[Path] = []
    monkeypatch.setattr(objects, "sync_folder", synced.append)
    again = Objects(folder.root)
    assert again.put(KEY, b"some bytes", "state") == stored
    again.sync()
    assert synced == [(folder.root / stored.name).parent, folder.root]


def test_a_name_that_could_not_be_made_durable_is_tried_again(folder: Objects, monkeypatch: pytest.MonkeyPatch) -> None:
    stored = folder.put(KEY, b"some bytes", "state")
    failpoints._passed.clear()
    monkeypatch.setattr(failpoints, "_armed", "object.folder:1:EIO")
    with pytest.raises(Unavailable, match=r"cannot be made durable: Input/output error.*finished work is kept"):
        folder.sync()
    synced: list[Path] = []
    monkeypatch.setattr(objects, "sync_folder", synced.append)
    folder.sync()
    assert synced == [(folder.root / stored.name).parent, folder.root]
    folder.sync()
    assert len(synced) == 2


def test_the_catalog_names_no_file_whose_name_is_not_durable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever writes names of objects into the catalog syncs the folders first: commits, the memo, runs, purges."""
    store = Store(tmp_path)
    open_at: list[set[Path]] = []
    transaction = store.catalog.transaction

    def noting() -> AbstractContextManager[None]:
        open_at.append(set(store.objects._unsynced))
        return transaction()

    monkeypatch.setattr(store.catalog, "transaction", noting)
    draft = Draft("t", "first", "f", columns={"text": "String", "x": "Float64"})
    draft.added = [NewChunk("rows", store.objects.put_frame(KEY, FRAME))]
    store.commit(draft)
    store.objects.put_frame(KEY[::-1], FRAME)
    store.remember([("work", {})])
    assert locate(store, "t", ids([1]))
    purge(store, {"t": ids([1])})
    assert len(open_at) >= 4
    assert open_at == [set()] * len(open_at)
    store.close()


def test_the_cache_serves_no_deleted_object(folder: Objects) -> None:
    def gone(stored: Stored, columns: list[str] | None) -> None:
        with pytest.raises(VerifyFailed, match="is missing"):
            folder.get_frame(stored.name, stored.checksum, columns)

    for columns in (None, [ID]):
        stored = folder.put_frame(KEY, FRAME)
        folder.get_frame(stored.name, stored.checksum)
        assert folder.delete(stored.name) == stored.size
        assert folder.delete(stored.name) == 0
        gone(stored, columns)
        stored = folder.put_frame(KEY, FRAME)
        Objects(folder.root).delete(stored.name)  # as another process does
        gone(stored, columns)
        stored = folder.put_frame(KEY, FRAME)
        (folder.root / stored.name).unlink()
        assert folder.delete(stored.name) == 0
        assert not folder._cache


def test_small_objects_are_rows_of_the_catalog(tmp_path: Path) -> None:
    """Seen at once by who wrote them, by others after `sync`; checked, mended, deleted as files are."""
    one, other = Catalog(tmp_path / "catalog.db"), Catalog(tmp_path / "catalog.db")
    writer, reader = Objects(tmp_path, one), Objects(tmp_path, other)
    stored = writer.put_frame(KEY, FRAME)
    assert stored.name == f"small/{KEY}-{stored.checksum[:16]}.parquet"
    writer.forget()
    assert writer.get_frame(stored.name, stored.checksum).equals(FRAME, null_equal=True)
    with pytest.raises(VerifyFailed, match="is missing"):
        reader.get(stored.name, stored.checksum)
    writer.sync()
    assert reader.get_frame(stored.name, stored.checksum).equals(FRAME, null_equal=True)
    assert reader.files() == {stored.name: stored.size} | {
        p.name: p.stat().st_size for p in tmp_path.iterdir() if p.is_file()
    }
    whole = reader.get(stored.name, stored.checksum)
    for place in range(0, len(whole), 97):
        damaged = bytearray(whole)
        damaged[place] ^= 4
        other.write("UPDATE small SET data = ?", bytes(damaged))
        for each in (writer, reader):
            each.forget()
            with pytest.raises(VerifyFailed, match="damaged"):
                each.get_frame(stored.name, stored.checksum)
    assert writer.put_frame(KEY, FRAME) == stored
    writer.sync()
    assert reader.get(stored.name, stored.checksum) == whole
    assert reader.get_frame(stored.name, stored.checksum).height == 3
    assert writer.delete(stored.name) == stored.size
    assert writer.delete(stored.name) == 0
    for each in (writer, reader):
        with pytest.raises(VerifyFailed, match="is missing"):
            each.get_frame(stored.name, stored.checksum)
    one.close()
    other.close()


def test_small_objects_that_were_refused_are_written_at_the_next_sync(tmp_path: Path) -> None:
    catalog = Catalog(tmp_path / "catalog.db")
    writer = Objects(tmp_path / "objects", catalog)
    writer.root.mkdir()
    stored = writer.put(KEY, b"small", "state")
    large = writer.put(KEY, b"x" * (objects.SMALL + 1), "state")
    assert large.name.startswith("0/")
    catalog.rows("PRAGMA query_only=ON")
    with pytest.raises(Unavailable, match="mend the permissions"):
        writer.sync()
    assert writer._unsynced
    catalog.rows("PRAGMA query_only=OFF")
    writer.sync()
    assert catalog.row("SELECT data FROM small WHERE name = ?", stored.name) is not None
    assert not writer._unsynced
    catalog.close()


def test_the_cache_stays_within_its_size(folder: Objects, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(objects, "CACHE_BYTES", 4 * 2400)
    frames = [pl.DataFrame({ID: ids(range(n, n + 100)), "n": range(100)}) for n in range(12)]
    stored = [folder.put_frame(f"{n:032x}", frame) for n, frame in enumerate(frames)]
    assert sum(f.estimated_size() for f, _ in folder._cache.values()) == folder._cached
    assert 0 < folder._cached <= objects.CACHE_BYTES
    for frame, one in zip(frames, stored, strict=True):
        assert folder.get_frame(one.name, one.checksum).equals(frame)
    folder.forget()
    assert (folder._cached, len(folder._cache)) == (0, 0)
