"""Zip archives as folders, gzip and zstd on the way: what is read, what is refused, and that a member is a file."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import stat
import subprocess
import sys
import tarfile
import warnings
import zipfile
from pathlib import Path
from unittest import mock

import polars as pl
import pyarrow as pa
import pytest
from tests.flow.world import KEY

from tillage.collect import Files, content, members
from tillage.collect.unpack import Unreadable, unpacked
from tillage.face.rooms import project

CSV = b"id,name\n1,a\n2,b\n"


def zstd(data: bytes) -> bytes:
    out = pa.BufferOutputStream()
    with pa.CompressedOutputStream(out, "zstd") as packed:
        packed.write(data)
    return bytes(out.getvalue())


def zipped(path: Path, members: dict[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> Path:
    with zipfile.ZipFile(path, "w", method) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return path


def read(root: Path, pattern: str | tuple[str, ...]) -> tuple[dict[str, list[tuple[object, ...]]], dict[str, str]]:
    """Rows by object, and the reason of each object that is refused."""
    files = Files(path=pattern)
    states = {found.path: files.observe(root, found.path) for found in files.scan(root)}
    schema = files.column_types(list(states.values()))
    rows = {path: pl.concat([b.rows for b in files.read(root, path, schema)]).rows() for path in states}
    return rows, {path: state["failed"] for path, state in states.items() if "failed" in state}


@pytest.mark.parametrize("block", [16, 64, 4 << 20])
@pytest.mark.parametrize("pack", [gzip.compress, zstd])
def test_packed_files_are_read_whatever_the_blocks(tmp_path: Path, pack: object, block: int) -> None:
    data = b"id,name\n" + b"".join(b"%d,n%d\n" % (i, i) for i in range(100))
    assert callable(pack)
    (tmp_path / "a.csv.zst").write_bytes(pack(data[:300]) + pack(data[300:]))
    with mock.patch.object(content, "BLOCK", block):
        rows, failed = read(tmp_path, "*")
    assert rows == {"a.csv.zst": [(i, f"n{i}") for i in range(100)]}
    assert failed == {}


@pytest.mark.parametrize("block", [64, 4 << 20])
@pytest.mark.parametrize("encoding", ["auto", "utf-8"])
@pytest.mark.parametrize(("pack", "reason"), [(gzip.compress, "cut_archive"), (zstd, "cut_archive")])
def test_nothing_of_a_cut_file_counts(tmp_path: Path, pack: object, reason: str, encoding: str, block: int) -> None:
    """Not even where a declared encoding spares the pass that finds one out."""
    assert callable(pack)
    data = b"id,name\n" + b"".join(b"%d,n%d\n" % (i, i) for i in range(100))
    (tmp_path / "a.csv.gz").write_bytes(pack(data)[:-3])
    with mock.patch.object(content, "BLOCK", block):
        files = Files(path="*", encoding=encoding)
        assert files.observe(tmp_path, "a.csv.gz")["failed"] == reason
        batches = list(files.read(tmp_path, "a.csv.gz", {"id": "int64", "name": "text"}))
    assert [(b.rows.height, [r.reason for r in b.bad]) for b in batches] == [(0, [reason])]


def test_a_zstd_bomb_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.csv.zst").write_bytes(zstd(b"a,b\n" + bytes(70 << 20)))
    assert read(tmp_path, "*")[1] == {"a.csv.zst": "archive_bomb"}


def test_a_damaged_zstd_file_is_refused() -> None:
    packed = bytearray(zstd(CSV * 100))
    packed[len(packed) // 2] ^= 0xFF
    with pytest.raises(Unreadable) as caught:
        b"".join(unpacked(io.BytesIO(bytes(packed) + b"rubbish"), "zstd", 1000))
    assert caught.value.reason == "bad_archive"


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2])
def test_members_are_files(tmp_path: Path, method: int) -> None:
    parts = {"a.csv": CSV, "in/b.csv": b"id,name\n3,c\n", ".hidden": b"x", "__MACOSX/a.csv": b"x", "empty/": b""}
    zipped(tmp_path / "x.zip", parts, method)
    rows, failed = read(tmp_path, "x.zip")
    assert rows == {"x.zip/a.csv": [(1, "a"), (2, "b")], "x.zip/in/b.csv": [(3, "c")]}
    assert failed == {}


@pytest.mark.parametrize(
    ("codec", "names"),
    [
        ("utf-8", ["数据/一.csv", "b.csv", "é.csv"]),  # as macOS packs
        (
            "gbk",
            ["数据/一.csv", "b.csv", "誠信.csv"],
        ),  # as a Chinese Windows does; the second byte of 誠 is a backslash
        ("cp437", ["Müller.csv", "größe.csv", "b.csv", "año.csv"]),
    ],
)
def test_names_that_do_not_tell_their_encoding(tmp_path: Path, codec: str, names: list[str]) -> None:
    """Neither marks them as UTF-8; the standard would have code page 437, which makes of 一 a box and a fraction."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for n, name in enumerate(names):
            archive.writestr(chr(65 + n) * len(name.encode(codec)), CSV)
    data = packed.getvalue()
    for n, name in enumerate(names):
        data = data.replace(bytes([65 + n]) * len(name.encode(codec)), name.encode(codec))
    (tmp_path / "x.zip").write_bytes(data)
    rows, failed = read(tmp_path, "x.zip")
    assert (set(rows), failed) == ({f"x.zip/{name}" for name in names}, {})
    assert all(len(found) == 2 for found in rows.values())
    assert [found.path for found in Files(path=f"x.zip/{names[0]}").scan(tmp_path)] == [f"x.zip/{names[0]}"]


@pytest.mark.parametrize("pack", ["tar", "tar.gz", "7z", "xz", "bz2", "rar"])
def test_other_archives_are_named(tmp_path: Path, pack: str) -> None:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        entry = tarfile.TarInfo("a.csv")
        entry.size = len(CSV)
        archive.addfile(entry, io.BytesIO(CSV))
    tar = packed.getvalue()
    data = {"tar": tar, "tar.gz": gzip.compress(tar), "xz": lzma.compress(CSV), "bz2": bz2.compress(CSV)}
    data |= {"7z": b"7z\xbc\xaf\x27\x1c\0\x04", "rar": b"Rar!\x1a\x07\x01\0"}
    (tmp_path / f"a.{pack}").write_bytes(data[pack])
    state = Files(path=f"a.{pack}").observe(tmp_path, f"a.{pack}")
    assert state["failed"] == "unreadable_file"
    (batch,) = Files(path=f"a.{pack}").read(tmp_path, f"a.{pack}", {})
    assert batch.bad[0].message.endswith("archive, which is not read; unpack it, or pack it as zip, gzip or zstd.")


def test_a_glob_goes_on_into_archives(tmp_path: Path) -> None:
    (tmp_path / "d").mkdir()
    zipped(tmp_path / "d" / "x.zip", {"a.csv": CSV, "in/b.csv": b"id,name\n3,c\n", "readme.txt": b"hello"})
    names = {
        pattern: [found.path for found in Files(path=pattern).scan(tmp_path)]
        for pattern in ("d/*.zip/*.csv", "d/*.zip/**/*.csv", "d/x.zip/in/*", "d/*")
    }
    assert names == {
        "d/*.zip/*.csv": ["d/x.zip/a.csv"],
        "d/*.zip/**/*.csv": ["d/x.zip/a.csv", "d/x.zip/in/b.csv"],
        "d/x.zip/in/*": ["d/x.zip/in/b.csv"],
        "d/*": ["d/x.zip/a.csv", "d/x.zip/in/b.csv", "d/x.zip/readme.txt"],
    }


def test_parquet_and_arrow_are_read_out_of_archives(tmp_path: Path) -> None:
    frame = pl.DataFrame({"id": [1, 2], "name": ["a", "b"]})
    parquet, arrow = io.BytesIO(), io.BytesIO()
    frame.write_parquet(parquet)
    frame.write_ipc(arrow, compat_level=pl.CompatLevel.oldest())
    zipped(tmp_path / "x.zip", {"a.parquet": parquet.getvalue(), "b.arrow": arrow.getvalue()})
    (tmp_path / "c.parquet.gz").write_bytes(gzip.compress(parquet.getvalue()))
    rows, failed = read(tmp_path, "*")
    assert set(rows) == {"x.zip/a.parquet", "x.zip/b.arrow", "c.parquet.gz"}
    assert all(found == [(1, "a"), (2, "b")] for found in rows.values())
    assert failed == {}


def bad_zip(path: Path, how: str) -> None:
    if how in ("../a.csv", "/a.csv", "a/../../b.csv", "c:/a.csv", "a\\..\\b.csv"):
        zipped(path, {how: CSV, "good.csv": CSV})
    elif how == "link":
        info = zipfile.ZipInfo("a.csv")
        info.external_attr = (stat.S_IFLNK | 0o777) << 16
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr(info, "/etc/passwd")
    elif how == "twice":
        with warnings.catch_warnings(), zipfile.ZipFile(path, "w") as archive:
            warnings.simplefilter("ignore")
            archive.writestr("a.csv", CSV)
            archive.writestr("a.csv", CSV)
    elif how == "encrypted":
        marked = bytearray(zipped(path, {"a.csv": CSV}).read_bytes())
        marked[6] |= 1
        marked[marked.index(b"PK\x01\x02") + 8] |= 1
        path.write_bytes(marked)
    elif how == "bomb":
        zipped(path, {"a.csv": b"a,b\n" + bytes(70 << 20)})
    elif how == "many small bombs":
        zipped(path, {f"{i}.csv": b"a,b\n" + bytes(10 << 20) for i in range(8)})
    elif how == "overlap":
        data = zipped(path, {"a.csv": CSV, "b.csv": CSV}).read_bytes()
        second = data.index(b"PK\x01\x02", data.index(b"PK\x01\x02") + 4)
        path.write_bytes(data[: second + 42] + bytes(4) + data[second + 46 :])
    elif how == "cut":
        data = zipped(path, {"a.csv": CSV}).read_bytes()
        path.write_bytes(data[:-10])
    elif how == "empty":
        zipped(path, {})
    else:
        raise AssertionError(how)


@pytest.mark.parametrize(
    ("how", "reason"),
    [
        ("../a.csv", "unsafe_archive"),
        ("/a.csv", "unsafe_archive"),
        ("a/../../b.csv", "unsafe_archive"),
        ("c:/a.csv", "unsafe_archive"),
        ("a\\..\\b.csv", "unsafe_archive"),
        ("link", "unsafe_archive"),
        ("twice", "unsafe_archive"),
        ("encrypted", "encrypted_archive"),
        ("bomb", "archive_bomb"),
        ("many small bombs", "archive_bomb"),
        ("overlap", "archive_bomb"),
        ("cut", "bad_archive"),
        ("empty", "empty_archive"),
    ],
)
def test_a_bad_archive_is_refused_whole(tmp_path: Path, how: str, reason: str) -> None:
    bad_zip(tmp_path / "x.zip", how)
    (tmp_path / "good.csv").write_bytes(CSV)
    rows, failed = read(tmp_path, "*")
    assert failed == {"x.zip": reason}
    assert rows == {"good.csv": [(1, "a"), (2, "b")], "x.zip": []}


def test_too_many_members_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(members, "MOST", 2)
    zipped(tmp_path / "x.zip", {f"{i}.csv": CSV for i in range(3)})
    assert read(tmp_path, "*")[1] == {"x.zip": "archive_bomb"}


@pytest.mark.parametrize("block", [16, 4 << 20])
def test_a_damaged_member_is_a_bad_file(tmp_path: Path, block: int) -> None:
    path = zipped(tmp_path / "x.zip", {"a.csv": CSV * 9, "b.csv": CSV}, zipfile.ZIP_STORED)
    data = path.read_bytes()
    path.write_bytes(data.replace(b"2,b", b"2,c", 1))
    with mock.patch.object(content, "BLOCK", block):
        rows, failed = read(tmp_path, "*")
    assert failed == {"x.zip/a.csv": "bad_archive"}
    assert rows == {"x.zip/a.csv": [], "x.zip/b.csv": [(1, "a"), (2, "b")]}


def test_an_archive_in_an_archive_is_refused(tmp_path: Path) -> None:
    zipped(
        tmp_path / "x.zip",
        {"a.csv.gz": gzip.compress(CSV), "b.zip": zipped(tmp_path / "b.zip", {"a": CSV}).read_bytes()},
    )
    assert read(tmp_path, "x.zip")[1] == {"x.zip/a.csv.gz": "nested_archive", "x.zip/b.zip": "unreadable_file"}


def test_a_changed_archive_costs_its_changed_member(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TILLAGE_KEY", KEY)
    (tmp_path / "tillage.yaml").write_text("project: z\ntables:\n  t: {collect: {files: '*.zip'}, key: id}\n")
    zipped(tmp_path / "x.zip", {"a.csv": CSV, "b.csv": b"id,name\n3,c\n"})
    with project(tmp_path) as opened:
        assert opened.run().touched == {"t": 3}
        assert opened.run().touched == {"t": 0}
        zipped(tmp_path / "x.zip", {"a.csv": CSV, "b.csv": b"id,name\n3,d\n"})
        assert opened.run().touched["t"] < 5
        assert sorted(opened.read("t").select("id", "name").rows()) == [(1, "a"), (2, "b"), (3, "d")]
        zipped(tmp_path / "x.zip", {"b.csv": b"id,name\n3,d\n"})
        opened.run()
        assert opened.read("t").select("id", "name").rows() == [(3, "d")]


def test_a_directory_of_many_members_is_read_once(tmp_path: Path) -> None:
    """Two thousand members in no more than 3 CPU seconds: a directory read for each would take twenty."""
    zipped(tmp_path / "x.zip", {f"{i}.csv": CSV for i in range(2_000)})
    probe = (
        "import sys, time; from pathlib import Path; from tillage.collect import places\n"
        "root = Path(sys.argv[1]); begun = time.process_time()\n"
        "n = sum(len(places.content(root, found.path).head) for found in places.find(root, ('*.zip',)))\n"
        "print(n, time.process_time() - begun)"
    )
    around = {"PYTHONPATH": str(Path(__file__).parents[2] / "src")}
    done = subprocess.run(
        [sys.executable, "-c", probe, str(tmp_path)], env=around, capture_output=True, text=True, check=True
    )
    size, spent = done.stdout.split()
    assert int(size) == 2_000 * len(CSV)
    assert float(spent) < 3
