"""Files at addresses: a real FTP server, fsspec's own file systems, one with tags; never what was there before."""

from __future__ import annotations

import hashlib
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar
from unittest import mock

import fsspec
import polars as pl
import pytest
from fsspec.implementations.memory import MemoryFileSystem
from pydantic import ValidationError
from tests.flow.world import KEY, differences, digests

from tillage.collect import Files, remote
from tillage.collect.remote import Elsewhere, Trust
from tillage.core import Denied, InputMissing, Unavailable
from tillage.face.rooms import project
from tillage.flow.run import Project

CSV = b"id,name\n1,a\n2,b\n"


class Tagged(MemoryFileSystem):  # type: ignore[misc]
    """A file system with ETags, as S3 has them; it counts what is opened."""

    protocol: ClassVar[Any] = "tagged"
    store: ClassVar[dict[str, Any]] = {}
    pseudo_dirs: ClassVar[list[str]] = [""]
    opened: ClassVar[list[str]] = []
    weak: ClassVar[bool] = False

    @classmethod
    def _strip_protocol(cls, path: str) -> str:
        return str(super()._strip_protocol(path.replace("tagged://", "memory://")))

    def _with_tag(self, info: dict[str, Any]) -> dict[str, Any]:
        if info["type"] != "file":
            return info
        tag = hashlib.md5(self.store[info["name"]].getvalue()).hexdigest()
        return {**info, "ETag": f"W/{tag}" if self.weak else tag}

    def ls(self, path: str, detail: bool = True, **more: Any) -> list[Any]:
        found = [self._with_tag(info) for info in super().ls(path, detail=True, **more)]
        return found if detail else [info["name"] for info in found]

    def info(self, path: str, **more: Any) -> dict[str, Any]:
        return self._with_tag(super().info(path, **more))

    def _open(self, path: str, mode: str = "rb", **more: Any) -> Any:
        if mode == "rb":
            self.opened.append(path)
        return super()._open(path, mode, **more)


fsspec.register_implementation("tagged", Tagged, clobber=True)


@pytest.fixture(autouse=True)
def clean() -> None:
    for system in (MemoryFileSystem, Tagged):
        system.store.clear()
        system.pseudo_dirs[:] = [""]
    Tagged.opened.clear()
    Tagged.weak = False


def put(address: str, data: bytes) -> None:
    with fsspec.open(address, "wb") as out:
        out.write(data)


@pytest.fixture
def ftp(tmp_path: Path) -> Iterator[tuple[str, Path]]:
    """A server of files, and the folder that it serves."""
    folder = tmp_path / "served"
    (folder / "in").mkdir(parents=True)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-W", "ignore", "-m", "pyftpdlib", "-i", "127.0.0.1", "-p", str(port), "-d", str(folder)]
    server = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    until = time.monotonic() + 20
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            break
        except OSError:
            assert time.monotonic() < until, "the server did not begin"
            time.sleep(0.05)
    try:
        yield f"ftp://127.0.0.1:{port}", folder
    finally:
        server.terminate()
        server.wait()


def plan(root: Path, path: object, **more: object) -> None:
    listed = f"[{', '.join(path)}]" if isinstance(path, list) else path
    root.mkdir(exist_ok=True)
    source = f"path: '{listed}', allow_private: [127.0.0.1]"
    (root / "tillage.yaml").write_text(
        f"project: far\ntables:\n  t: {{collect: {{files: {{{source}}}}}, key: id, max_quarantine: 1}}\n"
    )


def rows(p: Project) -> list[tuple[object, ...]]:
    return sorted(p.read("t").select("id", "name").rows())


@pytest.mark.parametrize("kind", ["ftp", "memory", "tagged", "file"])
def test_runs_follow_what_is_there(
    tmp_path: Path, ftp: tuple[str, Path], kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """New, changed within the second and of the same size, renamed, gone; and what a rebuild would give."""
    monkeypatch.setenv("TILLAGE_KEY", KEY)
    base = {"ftp": ftp[0], "memory": "memory://box", "tagged": "tagged://box", "file": f"file://{ftp[1]}"}[kind]

    def write(name: str, data: bytes | None) -> None:
        if kind in ("ftp", "file"):
            (ftp[1] / name).unlink(missing_ok=True) if data is None else (ftp[1] / name).write_bytes(data)
            if kind == "ftp" and data is not None:
                os.utime(ftp[1] / name, (10**9, 10**9))  # a time of change that never changes
        elif data is None:
            fsspec.open(f"{base}/{name}").fs.rm(f"{base}/{name}".replace("tagged", "memory"))
        else:
            put(f"{base}/{name}", data)

    write("in/a.csv", CSV)
    write("in/b.csv", b"id,name\n3,c\n")
    write("in/readme.md", b"no table")
    root = tmp_path / "plan"
    plan(root, f"{base}/in/*.csv")
    with project(root) as p:
        p.run()
        assert rows(p) == [(1, "a"), (2, "b"), (3, "c")]
        assert p.run().touched == {"t": 0}
        write("in/b.csv", b"id,name\n3,d\n")
        p.run()
        assert rows(p) == [(1, "a"), (2, "b"), (3, "d")]
        write("in/b.csv", None)
        write("in/c.csv", b"id,name\n3,d\n")
        p.run()
        assert rows(p) == [(1, "a"), (2, "b"), (3, "d")]
        write("in/a.csv", None)
        write("in/bad.csv", b"id,name\n4\n5,e\n")
        p.run()
        assert rows(p) == [(3, "d"), (5, "e")]
        assert p.summary()["tables"]["t"]["quarantined"] == {"short_row": 1}
        with Project(p.plan.model_copy(update={"store": root / "new"}), p.registry) as fresh:
            fresh.run()
            assert differences(digests(p), digests(fresh)) == []


def test_names_are_addresses(ftp: tuple[str, Path], tmp_path: Path) -> None:
    (ftp[1] / "in" / "a.csv").write_bytes(CSV)
    (ftp[1] / "in" / ".hidden.csv").write_bytes(CSV)
    put("memory://box/deep/b.csv", CSV)
    paths = (f"{ftp[0]}/in/*", "memory://box/**/*.csv")
    found = {f.path for f in Files(path=paths, allow_private=("127.0.0.1",)).scan(tmp_path)}
    assert found == {f"{ftp[0]}/in/a.csv", "memory://box/deep/b.csv"}


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_a_host_inside_is_refused_before_it_is_connected_to(
    ftp: tuple[str, Path], host: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    (ftp[1] / "in" / "a.csv").write_bytes(CSV)
    address = f"{ftp[0].replace('127.0.0.1', host)}/in/a.csv"
    met = list[object]()
    monkeypatch.setattr(socket, "create_connection", lambda at, *_, **__: met.append(at))
    for scheme in ("ftp", "sftp", "smb", "webhdfs"):
        with pytest.raises(Denied, match=r"inside our network\. If that is meant, allow it: allow_private: \["):
            Elsewhere().find(address.replace("ftp:", f"{scheme}:"))
    assert met == []


def test_the_host_that_was_judged_is_the_one_that_is_met(
    ftp: tuple[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A name may stand for another address a moment later."""
    (ftp[1] / "in" / "a.csv").write_bytes(CSV)
    asked, ask = list[object](), socket.getaddrinfo

    def once(host: Any, *more: Any, **also: Any) -> Any:
        asked.append(host)
        return ask("127.0.0.1" if host == "data.example" else host, *more, **also)

    monkeypatch.setattr(socket, "getaddrinfo", once)
    far = Elsewhere(trust=Trust(("127.0.0.1",)))
    assert far.content(f"{ftp[0].replace('127.0.0.1', 'data.example')}/in/a.csv").head == CSV
    assert asked.count("data.example") == 1


def test_a_tag_spares_the_reading(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TILLAGE_KEY", KEY)
    put("tagged://box/a.csv", CSV)
    plan(tmp_path, "tagged://box/*.csv")
    with project(tmp_path) as p:
        p.run()
        assert Tagged.opened == ["/box/a.csv"], "hashed, observed and read in one fetching"
        p.run()
        assert len(Tagged.opened) == 1
        Tagged.weak = True  # a weak tag says "about the same"
        p.run()
        p.run()
        assert len(Tagged.opened) >= 3
        assert rows(p) == [(1, "a"), (2, "b")]


def test_packed_and_columnar_files_are_read_there_too(tmp_path: Path) -> None:
    import gzip
    import io

    out = io.BytesIO()
    pl.DataFrame({"id": [1], "name": ["a"]}).write_parquet(out)
    put("memory://box/a.parquet", out.getvalue())
    put("memory://box/b.csv.gz", gzip.compress(b"id,name\n2,b\n"))
    put("memory://box/c.csv.gz", gzip.compress(CSV)[:-4])
    files = Files(path="memory://box/*")
    states = [files.observe(tmp_path, f.path) for f in files.scan(tmp_path)]
    types = files.column_types(states)
    read = {s["path"]: list(files.read(tmp_path, s["path"], types)) for s in states}
    assert [b[0].rows.rows() for b in read.values()] == [[(1, "a")], [(2, "b")], []]
    (bad,) = read["memory://box/c.csv.gz"][0].bad
    assert (bad.reason, bad.byte_end) == ("cut_archive", len(gzip.compress(CSV)) - 4)


def test_what_is_read_is_what_was_hashed(tmp_path: Path) -> None:
    put("memory://box/a.csv", CSV)
    far = Elsewhere()
    checksum = far.checksum("memory://box/a.csv")
    put("memory://box/a.csv", b"id,name\n9,z\n")
    assert far.content("memory://box/a.csv").head == CSV
    assert checksum == hashlib.sha256(CSV).hexdigest()
    (found,) = far.find("memory://box/a.csv")
    assert found.stamp["sha256"] == hashlib.sha256(b"id,name\n9,z\n").hexdigest()
    assert far.content("memory://box/a.csv").head == b"id,name\n9,z\n"


def test_a_copy_that_was_let_go_must_come_again_as_it_was(tmp_path: Path) -> None:
    put("memory://box/a.csv", CSV)
    put("memory://box/b.csv", CSV)
    far = Elsewhere(room=1)
    first = far.checksum("memory://box/a.csv")
    far.checksum("memory://box/b.csv")
    assert len(far._copies) == 1
    assert far.checksum("memory://box/a.csv") == first
    far.checksum("memory://box/b.csv")
    put("memory://box/a.csv", b"id,name\n9,z\n")
    with pytest.raises(Unavailable, match="changed while it was read"):
        far.content("memory://box/a.csv")


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("ftp://me:secret@host/a.csv", "FSSPEC_FTP_PASSWORD"),
        ("simplecache::s3://bucket/a.csv", "not stacked"),
        ("zip://a.csv::s3://bucket/a.zip", "not stacked"),
        ("reference://x.json", "not stacked"),
        ("HTTPS://host.example/a.csv", "write https:// in small letters"),
        ("FILE:///data/a.csv", "write file:// in small letters"),
    ],
)
def test_some_addresses_do_not_belong_into_a_plan(path: str, said: str) -> None:
    with pytest.raises(ValidationError, match=said) as caught:
        Files(path=path)
    assert "secret" not in str(caught.value.errors(include_input=False, include_url=False))


def test_what_cannot_be_had_is_said(tmp_path: Path) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        path = f"ftp://127.0.0.1:{closed.getsockname()[1]}/*.csv"
        with pytest.raises(Unavailable, match=r"cannot be reached"):
            Files(path=path, allow_private=("127.0.0.1",)).scan(tmp_path)
    with pytest.raises(InputMissing, match=r"No file matches 'memory://box/\*\.csv'\."):
        Files(path="memory://box/*.csv").scan(tmp_path)
    with pytest.raises(InputMissing, match="is not there"):
        Elsewhere().content("memory://box/a.csv")
    with pytest.raises(Unavailable, match="nosuch://a/b"):
        Files(path="nosuch://a/b").scan(tmp_path)
    with mock.patch.object(Tagged, "ls", side_effect=PermissionError("no")), pytest.raises(Denied):
        Elsewhere().find("tagged://box/*.csv")


def test_a_listing_that_fails_halfway_deletes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TILLAGE_KEY", KEY)
    put("tagged://box/a/x.csv", CSV)
    put("tagged://box/b/y.csv", b"id,name\n3,c\n")
    plan(tmp_path, "tagged://box/**/*.csv")
    listing = Tagged.ls

    def failing(self: Tagged, path: str, detail: bool = True, **more: Any) -> list[Any]:
        if path.endswith("/b"):
            raise ConnectionResetError("connection reset by peer")
        return listing(self, path, detail, **more)

    with project(tmp_path) as p:
        p.run()
        monkeypatch.setattr(Tagged, "ls", failing)
        with pytest.raises(Unavailable, match="cannot be reached"):
            p.run()
        assert rows(p) == [(1, "a"), (2, "b"), (3, "c")]


def test_the_missing_library_is_named(tmp_path: Path) -> None:
    with (
        mock.patch.object(remote, "find_spec", return_value=None),
        pytest.raises(Unavailable, match=r"tillage\[remote\]"),
    ):
        Elsewhere().find("s3://bucket/*.csv")
