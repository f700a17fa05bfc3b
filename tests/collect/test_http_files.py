"""Files at http addresses, against real servers on this machine: Python's own, aiohttp's, and one that misbehaves."""

from __future__ import annotations

import asyncio
import gzip
import os
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace
from urllib.parse import unquote

import pytest
from aiohttp import web
from pydantic import ValidationError
from tests.collect.site import Handler, Page, site
from tests.flow.world import KEY, differences, digests

from tillage.collect import Files, http_files
from tillage.collect.remote import Elsewhere, Trust
from tillage.core.errors import Denied, InputMissing, Unavailable
from tillage.face.main import ended
from tillage.face.rooms import project
from tillage.flow.run import Project

CSV = b"id,name\n1,a\n2,b\n"
HERE = ("127.0.0.1",)


class Served:
    """A folder that a server shows; `asked`: method and path of each request."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.url, self.asked = folder, "", list[tuple[str, str]]()

    def read(self) -> list[str]:
        """The files that were fetched since the last call."""
        found = [unquote(path) for method, path in self.asked if method == "GET" and not path.endswith("/")]
        self.asked.clear()
        return found

    def write(self, name: str, data: bytes, age: int = 3600) -> None:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        os.utime(path, (time.time() - age,) * 2)


@contextmanager
def python_server(served: Served) -> Iterator[None]:
    """`python -m http.server`: a time of change, no ETag."""

    class Told(SimpleHTTPRequestHandler):
        def log_request(self, *_: object) -> None:
            served.asked.append((self.command, self.path))

        def log_message(self, *_: object) -> None:
            """Silent."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Told, directory=str(served.folder)))
    served.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@contextmanager
def aiohttp_server(served: Served) -> Iterator[None]:
    """aiohttp's server of static files: an ETag, a time of change."""
    loop = asyncio.new_event_loop()

    @web.middleware
    async def noting(request: web.Request, handler: object) -> web.StreamResponse:
        served.asked.append((request.method, request.path))
        return await handler(request)  # type: ignore[operator, no-any-return]

    async def start() -> web.AppRunner:
        app = web.Application(middlewares=[noting])
        app.router.add_static("/", served.folder, show_index=True)
        runner = web.AppRunner(app)
        await runner.setup()
        place = web.TCPSite(runner, "127.0.0.1", 0)
        await place.start()
        port = place._server.sockets[0].getsockname()[1]  # type: ignore[union-attr]
        served.url = f"http://127.0.0.1:{port}"
        return runner

    runner = loop.run_until_complete(start())
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    try:
        yield
    finally:
        asyncio.run_coroutine_threadsafe(runner.cleanup(), loop).result()
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


@pytest.fixture(params=["python", "aiohttp"])
def served(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Served]:
    made = Served(tmp_path / "served")
    (made.folder / "in").mkdir(parents=True)
    with {"python": python_server, "aiohttp": aiohttp_server}[request.param](made):
        yield made


def plan(root: Path, path: str, *, trust_times: bool = False) -> None:
    root.mkdir(exist_ok=True)
    source = f"path: '{path}', allow_private: [127.0.0.1]" + ", trust_times: true" * trust_times
    (root / "tillage.yaml").write_text(
        f"project: far\ntables:\n  t: {{collect: {{files: {{{source}}}}}, key: id, max_quarantine: 1}}\n"
    )


def rows(p: Project) -> list[tuple[object, ...]]:
    return sorted(p.read("t").select("id", "name").rows())


def test_only_what_changed_is_read(served: Served, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """New, changed, renamed, gone; and what a rebuild would give."""
    monkeypatch.setenv("TILLAGE_KEY", KEY)
    served.write("in/a.csv", CSV)
    served.write("in/b c%.csv", b"id,name\n3,c\n", age=7200)
    served.write("in/readme.md", b"no table")
    root = tmp_path / "plan"
    plan(root, f"{served.url}/in/*.csv", trust_times=True)
    with project(root) as p:
        p.run()
        assert rows(p) == [(1, "a"), (2, "b"), (3, "c")]
        assert served.read() == ["/in/a.csv", "/in/b c%.csv"], "hashed, observed, read in one"
        p.run()
        assert served.read() == []
        served.write("in/b c%.csv", b"id,name\n3,d\n")
        p.run()
        assert served.read() == ["/in/b c%.csv"]
        assert rows(p) == [(1, "a"), (2, "b"), (3, "d")]
        (served.folder / "in/a.csv").rename(served.folder / "in/z.csv")
        served.write("in/bad.csv", b"id,name\n4\n5,e\n")
        p.run()
        assert rows(p) == [(1, "a"), (2, "b"), (3, "d"), (5, "e")]
        (served.folder / "in/z.csv").unlink()
        p.run()
        assert rows(p) == [(3, "d"), (5, "e")]
        assert p.summary()["tables"]["t"]["quarantined"] == {"short_row": 1}
        with Project(p.plan.model_copy(update={"store": root / "new"}), p.registry) as fresh:
            fresh.run()
            assert differences(digests(p), digests(fresh)) == []


def test_a_file_put_back_with_its_old_time_and_size(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No tag tells it, and no time: only what is read does. Nothing is written where that is as it was."""
    monkeypatch.setenv("TILLAGE_KEY", KEY)
    served = Served(tmp_path / "served")
    with python_server(served):
        served.write("a.csv", CSV)
        plan(tmp_path / "plan", f"{served.url}/a.csv")
        before = (served.folder / "a.csv").stat()
        with project(tmp_path / "plan") as p:
            p.run()
            served.read()
            assert p.run().touched == {"t": 0}
            assert served.read() == ["/a.csv"]
            served.write("a.csv", CSV.replace(b"b", b"c"))
            os.utime(served.folder / "a.csv", ns=(before.st_atime_ns, before.st_mtime_ns))
            p.run()
            assert rows(p) == [(1, "a"), (2, "c")]


def test_folders_and_single_files(served: Served, tmp_path: Path) -> None:
    for name in ("in/a.csv", "in/deep/b.csv", "in/deep/.hidden.csv", "in/deep/er/c.csv", "other/d.csv"):
        served.write(name, CSV)

    def names(*patterns: str) -> set[str]:
        files = Files(path=tuple(f"{served.url}/{p}" for p in patterns), allow_private=HERE)
        return {f.path.removeprefix(served.url) for f in files.scan(tmp_path)}

    assert names("in/*.csv") == {"/in/a.csv"}
    assert names("in/a.csv", "in/*/b.csv") == {"/in/a.csv", "/in/deep/b.csv"}
    assert names("in/**/*.csv") == {"/in/a.csv", "/in/deep/b.csv", "/in/deep/er/c.csv"}
    assert names("*/d.csv") == {"/other/d.csv"}
    with pytest.raises(InputMissing, match="No file matches"):
        names("in/none.csv")
    with pytest.raises(InputMissing, match="No file matches"):
        names("nowhere/*.csv")


def test_a_fresh_time_of_change_says_nothing(tmp_path: Path) -> None:
    """Two states within a second, of one size: only what is read tells them apart."""
    served = Served(tmp_path)
    served.write("a.csv", CSV, age=1)
    with python_server(served):
        far = Elsewhere(trust=Trust(HERE, times=True))
        (one,) = far.find(f"{served.url}/a.csv")
        assert set(one.stamp) == {"sha256"}
        served.write("a.csv", CSV, age=3600)
        (old,) = far.find(f"{served.url}/a.csv")
        assert set(old.stamp) == {"size", "modified"}


def test_tags() -> None:
    """A strong tag spares the fetching, a weak one does not, and a server that knows no HEAD is asked for all."""
    with site({"/a.csv": Page(CSV, headers={"ETag": '"1"'})}) as web_site:
        far = Elsewhere(trust=Trust(HERE))
        web_site.heads = True
        assert [f.stamp for f in far.find(f"{web_site.url}/a.csv")] == [{"size": len(CSV), "etag": '"1"'}]
        web_site.pages["/a.csv"] = Page(CSV, headers={"Content-MD5": "abc=="})
        assert [f.stamp for f in far.find(f"{web_site.url}/a.csv")] == [{"size": len(CSV), "md5": "abc=="}]
        assert web_site.asked == []
        web_site.pages["/a.csv"] = Page(CSV, headers={"ETag": 'W/"1"'})
        assert [set(f.stamp) for f in far.find(f"{web_site.url}/a.csv")] == [{"sha256"}]
        web_site.heads = False
        assert [set(f.stamp) for f in far.find(f"{web_site.url}/a.csv")] == [{"sha256"}]
        assert web_site.paths() == ["/a.csv", "/a.csv"]


def half(handler: Handler) -> None:
    """What a server sends that dies in the middle of a file."""
    handler.send_response(200)
    handler.send_header("Content-Length", "1000000")
    handler.end_headers()
    handler.wfile.write(b"id,name\n" + b"1,a\n" * 1000)
    handler.wfile.flush()
    handler.connection.shutdown(socket.SHUT_RDWR)


def half_chunked(handler: Handler) -> None:
    handler.send_response(200)
    handler.send_header("Transfer-Encoding", "chunked")
    handler.end_headers()
    handler.wfile.write(b"8\r\nid,name\n\r\n")
    handler.wfile.flush()
    handler.connection.shutdown(socket.SHUT_RDWR)


def silent(handler: Handler) -> None:
    handler.send_response(200)
    handler.send_header("Content-Length", "1000000")
    handler.end_headers()
    handler.wfile.flush()
    time.sleep(2)


@pytest.mark.parametrize("how", [half, half_chunked, silent])
def test_a_server_that_dies_halfway_loses_nothing(how: object, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TILLAGE_KEY", KEY)
    monkeypatch.setattr(http_files, "SILENCE", 1)
    with site({"/a.csv": Page(CSV), "/b.csv": Page(b"id,name\n3,c\n")}) as web_site:
        web_site.pages["/"] = Page('<a href="a.csv">a</a><a href="b.csv">b</a>')
        plan(tmp_path, f"{web_site.url}/*.csv")
        with project(tmp_path) as p:
            p.run()
            web_site.pages["/b.csv"] = Page(does=how)  # type: ignore[arg-type]
            with pytest.raises(Unavailable, match=r"b\.csv cannot be reached.*"):
                p.run()
            assert rows(p) == [(1, "a"), (2, "b"), (3, "c")]
            web_site.pages["/b.csv"] = Page(b"id,name\n4,d\n")
            p.run()
            assert rows(p) == [(1, "a"), (2, "b"), (4, "d")]
    with project(tmp_path) as p:
        with pytest.raises(Unavailable) as caught:
            p.run()
        assert "run again" in str(caught.value)
        assert rows(p) == [(1, "a"), (2, "b"), (4, "d")]


def test_networks_inside_are_refused(tmp_path: Path) -> None:
    with site({"/a.csv": Page(CSV)}) as inner, site() as outer:
        local = inner.url.replace("127.0.0.1", "localhost")
        mapped = inner.url.replace("127.0.0.1", "[::ffff:127.0.0.2]")
        for url in (inner.url, local, mapped):
            with pytest.raises(Denied, match="allow_private"):
                Elsewhere().find(f"{url}/a.csv")
        assert inner.asked == []
        for target in (mapped + "/a.csv", "http://169.254.169.254/latest/meta-data/"):
            outer.pages["/a.csv"] = Page(status=302, headers={"Location": target})
            with pytest.raises(Denied, match=r"inside our network"):
                Elsewhere(trust=Trust(HERE)).find(f"{outer.url}/a.csv")
        assert inner.asked == []
        outer.pages["/a.csv"] = Page(status=302, headers={"Location": "file:///etc/passwd"})
        with pytest.raises(Unavailable, match="cannot be"):
            Elsewhere(trust=Trust(HERE)).find(f"{outer.url}/a.csv")
        outer.pages["/a.csv"] = Page(status=302, headers={"Location": "/a.csv"})
        with pytest.raises(Unavailable, match="cannot be"):
            Elsewhere(trust=Trust(HERE)).find(f"{outer.url}/a.csv")
        assert outer.paths().count("/a.csv") <= 3 + 1 + http_files.REDIRECTS + 1


def test_what_a_server_is_told_stays_with_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A header of the environment is sent, and not to the host that a redirect leads to."""
    from fsspec.config import conf

    with site({"/a.csv": Page(CSV)}) as other, site() as first:
        first.pages["/a.csv"] = Page(CSV)
        first.pages["/moved.csv"] = Page(status=302, headers={"Location": f"{other.url}/a.csv"})
        monkeypatch.setitem(conf, "http", {"headers": {"Authorization": "Bearer hush"}})
        far = Elsewhere(trust=Trust(HERE))
        assert far.content(f"{first.url}/a.csv").head == CSV
        assert far.content(f"{first.url}/moved.csv").head == CSV
        assert [headers.get("Authorization") for *_, headers in first.asked] == ["Bearer hush"] * 2
        assert [headers.get("Authorization") for *_, headers in other.asked] == [None]


@pytest.mark.parametrize(
    ("status", "error", "said"),
    [(403, Denied, "FSSPEC_HTTPS"), (410, InputMissing, "may have been moved"), (500, Unavailable, "later")],
)
def test_answers_that_are_no_file(status: int, error: type[Exception], said: str) -> None:
    with site({"/a.csv": Page(status=status)}) as web_site, pytest.raises(error, match=said):
        Elsewhere(trust=Trust(HERE)).content(f"{web_site.url}/a.csv")


def test_a_busy_server_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    waited: list[float] = []
    monkeypatch.setattr(http_files, "time", SimpleNamespace(sleep=waited.append))
    busy = Page(status=429, headers={"Retry-After": "7"})
    with site({"/a.csv": lambda n: busy if n < 3 else Page(CSV)}) as web_site:
        assert Elsewhere(trust=Trust(HERE)).content(f"{web_site.url}/a.csv").head == CSV
        assert waited == [7, 7]
    with site({"/a.csv": Page(status=503), "/b.csv": Page(status=503, headers={"Retry-After": "3600"})}) as web_site:
        for name in ("a.csv", "b.csv"):
            with pytest.raises(Unavailable, match="has no time for us"):
                Elsewhere(trust=Trust(HERE)).content(f"{web_site.url}/{name}")
        assert waited[2:] == [1, 1], "an hour is not waited for"


def test_only_what_lies_in_the_folder_is_linked() -> None:
    links = [
        "a.csv", "./b.csv", "/in/c.csv", "../in/d.csv", "http://other.example/in/e.csv", "f.csv?C=N;O=D", "#g.csv",
        "g?C=.csv", "../h.csv", "sub/i.csv", "javascript:x.csv", "%6a.csv", "http-k.csv",
    ]  # fmt: skip
    page = "".join(f'<A HREF="{link}">{link}</A>' for link in links)
    found = {"a.csv", "b.csv", "c.csv", "d.csv", "%6a.csv", "http-k.csv"}
    with site({"/in/": Page(page), **{f"/in/{unquote(name)}": Page(CSV) for name in found}}) as web_site:
        told = Elsewhere(trust=Trust(HERE)).find(f"{web_site.url}/in/*.csv")
        assert {one.path.rpartition("/")[2] for one in told} == found
        assert len(Elsewhere(trust=Trust(HERE)).find(f"{web_site.url}/in/j*.csv")) == 1, (
            "names are matched as they read"
        )


def test_what_was_packed_on_the_way_is_unpacked_with_care() -> None:
    """A server that packs though it was asked not to: the packed bytes are what is kept, and its size is right."""
    packed = gzip.compress(CSV)
    with site({"/a.csv": Page(packed, headers={"Content-Encoding": "gzip"})}) as web_site:
        files = Files(path=f"{web_site.url}/a.csv", allow_private=HERE)
        (found,) = files.scan(Path())
        state = files.observe(Path(), found.path)
        assert state["columns"] == {"id": "int64", "name": "text"}
        assert Elsewhere(trust=Trust(HERE)).size(found.path) == len(packed)
        assert web_site.asked[0][2]["Accept-Encoding"] == "identity"


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("https://me:secret@host/a.csv", "FSSPEC_HTTPS"),
        ("https://host/a.csv?X-Amz-Signature=secret", "'X-Amz-Signature' of the address is a secret"),
        ("https://host/a.csv#secret", "no '#'"),
        ("https:///a.csv", "names a host"),
        ("https://host/*.csv?v=1", "not both"),
    ],
)
def test_addresses_that_do_not_belong_into_a_plan(path: str, said: str) -> None:
    with pytest.raises(ValidationError, match=said) as caught:
        Files(path=path)
    assert "secret" not in str(caught.value.errors(include_input=False, include_url=False)).replace("is a secret", "")


def test_a_plan_says_where_it_is_wrong(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "tillage.yaml").write_text(
        "project: far\ntables:\n  a: {collect: {files: 'https://me:hush@host/a.csv'}}\n"
        "  b:\n    collect:\n      files: {path: 'https://host/b.csv', allow_private: [inside]}\n"
    )
    assert ended(["check"]) == 78
    said = capsys.readouterr().err
    assert "tillage.yaml:3:24  'path' of Files: a user or password does not belong into a plan" in said
    assert "tillage.yaml:6:58  'allow_private' of Files: 'inside'" in said
    assert "hush" not in said


def test_the_missing_library_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_files, "find_spec", lambda name: None)
    with pytest.raises(Unavailable, match=r"tillage\[remote\]"):
        Elsewhere().find("https://host.example/a.csv")


def test_a_query_is_part_of_the_address() -> None:
    with site({"/get?name=a": Page(CSV)}) as web_site:
        far = Elsewhere(trust=Trust(HERE))
        (found,) = far.find(f"{web_site.url}/get?name=a")
        assert far.content(found.path).head == CSV
