"""A crawl of real, small, badly behaved sites on this machine."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from tests.collect.site import Page, Site, article, site
from tests.flow.world import KEY

from tillage.collect import Web
from tillage.core.errors import ConfigurationError, InputMissing, TillageError
from tillage.face.rooms import project
from tillage.flow.following import Looked
from tillage.flow.planner import intents

HERE = ("127.0.0.0/8",)
QUICK: dict[str, Any] = {"rate": 500, "allow_private": HERE}


class Life:
    """A project that reads a site."""

    def __init__(self, root: Path, at: Site, rest: str = "depth: 3") -> None:
        self.root, self.site = root, at
        begin = "" if "urls:" in rest else f"urls: '{at.url}/', "
        text = f"{begin}rate: 500, allow_private: [127.0.0.0/8], {rest}"
        plan = f"project: site\ntables:\n  pages: {{collect: {{web: {{{text}}}}}, key: url, max_quarantine: 1}}\n"
        (root / "tillage.yaml").write_text(plan)

    def run(self) -> tuple[dict[str, Any], list[str]]:
        self.site.asked.clear()
        with project(self.root) as opened:
            outcome = opened.run()
            return opened.summary(outcome, digest=True)["tables"]["pages"], outcome.notes

    def texts(self) -> dict[str, str]:
        with project(self.root) as opened:
            rows = opened.read("pages")
        return {url.removeprefix(self.site.url): text for url, text in rows.select("url", "text").rows()}


@pytest.fixture
def own(monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    monkeypatch.setenv("TILLAGE_KEY", KEY)
    with site() as made:
        yield made


def look(at: Site, *paths: str, **params: Any) -> Looked:
    return Web(urls=tuple(at.url + p for p in paths or ("/",)), **{**QUICK, **params}).follow(Path(), ())


def test_a_site_lives_as_it_is(own: Site, tmp_path: Path) -> None:
    """New, changed, moved-around and deleted pages: only a changed text is a change; an unchanged page has no body."""
    own.pages["/"] = Page(article("Home of tea.", "/green", "/black"), headers={"ETag": '"1"'})
    own.pages["/green"] = Page(article("Green tea.", "/"), headers={"ETag": '"2"'})
    own.pages["/black"] = Page(article("Black tea.", "/deep"))
    own.pages["/deep"] = Page(article("Deep down."))
    life = Life(tmp_path, own)
    assert life.run()[0]["rows"] == 4
    assert {path: text.split("\n")[1][:10] for path, text in life.texts().items()} == {
        "/": "Home of te", "/green": "Green tea.", "/black": "Black tea.", "/deep": "Deep down.",
    }  # fmt: skip
    assert (life.run()[0]["version"], sorted(own.paths())) == (1, ["/", "/black", "/deep", "/green", "/robots.txt"])
    conditional = {path: headers.get("If-None-Match") for _, path, headers in own.asked}
    assert conditional == {"/robots.txt": None, "/": '"1"', "/green": '"2"', "/black": None, "/deep": None}
    own.pages["/black"] = Page(article("Black tea.", "/deep", around="<p>Buy now!</p>"))  # an advert
    assert (life.run()[0]["version"], life.run()[0]["version"]) == (1, 1)
    own.pages["/black"] = Page(article("Black tea, fermented.", "/deep", "/new"))
    own.pages["/new"] = Page(article("New."))
    own.pages["/green"] = Page(status=410)
    told, _ = life.run()
    assert told["version"] == 2
    assert told["touched"] <= 5  # of the changed page the row before and after, one new, one gone
    assert set(life.texts()) == {"/", "/black", "/deep", "/new"}
    anew = tmp_path / "anew"
    anew.mkdir()
    assert Life(anew, own).run()[0]["digest"] == told["digest"]


def test_a_page_that_fails_for_the_moment_keeps_its_row(own: Site, tmp_path: Path) -> None:
    """And so do those that only it leads to; a site that is gone as a whole is an error, and its rows stay."""
    own.pages |= {"/": Page(article("Home.", "/a")), "/a": Page(article("A.", "/b")), "/b": Page(article("B."))}
    life = Life(tmp_path, own)
    life.run()
    own.pages["/a"] = Page(status=500)
    told, notes = life.run()
    assert (told["rows"], told["version"]) == (3, 1)
    assert [n for n in notes if "not reached: status_500" in n or "keep the rows" in n] == notes
    assert len(notes) == 2
    own.pages["/robots.txt"] = Page(status=503, headers={"Retry-After": "0"})
    told, notes = life.run()
    assert (told["rows"], told["version"]) == (3, 1)
    assert any("robots_unavailable" in n for n in notes)
    own.pages = {
        "/robots.txt": Page("User-agent: *\nDisallow: /a\nDisallow: /b"),
        "/": own.pages["/"],
        "/a": own.pages["/a"],
    }
    told, notes = life.run()
    assert (set(life.texts()), notes) == ({"/"}, ["pages: 1 skipped: robots.txt"])
    own.pages = {}
    with pytest.raises(InputMissing, match="its rows stay"):
        life.run()


def test_a_redirect_that_fails_for_the_moment_keeps_the_page_that_it_led_to(own: Site, tmp_path: Path) -> None:
    """With all that the page leads to, though it be the page to begin with: the rows have the address at the end."""
    own.pages |= {"/": Page(article("Home.", "/old")), "/old": Page(status=301, headers={"Location": "/older"})}
    own.pages |= {"/older": Page(status=302, headers={"Location": "/a"}), "/a": Page(article("A.", "/b"))}
    own.pages |= {"/b": Page(article("B.")), "/start": Page(status=301, headers={"Location": "/home"})}
    own.pages["/home"] = Page(article("The other home.", "/c"))
    own.pages["/c"] = Page(article("C."))
    life = Life(tmp_path, own, f"depth: 3, urls: ['{own.url}/', '{own.url}/start']")
    whole = life.run()[0]
    assert set(life.texts()) == {"/", "/a", "/b", "/home", "/c"}
    for failing in ("/old", "/older", "/a", "/start"):
        page, own.pages[failing] = own.pages[failing], Page(status=500)
        told, notes = life.run()
        assert (told["rows"], told["version"]) == (5, 1), failing
        assert "pages: 1 of these keep the rows they had" in notes
        own.pages[failing] = page
    assert life.run()[0]["digest"] == whole["digest"]
    own.pages |= {"/old": Page(status=404), "/c": Page(b"c" * 20_000_000)}
    assert "pages: 1 of these keep the rows they had" not in life.run()[1]
    own.pages["/"] = Page(status=500)
    assert "pages: 1 of these keep the rows they had" in life.run()[1]  # of a page too large there is none
    assert set(life.texts()) == {"/", "/home"}


def test_what_a_page_was_when_does_not_show_in_its_row(own: Site, tmp_path: Path) -> None:
    own.pages["/"] = Page(article("Home."))
    life = Life(tmp_path, own, "depth: 0")
    life.run()
    with project(tmp_path) as opened:
        assert opened.read("pages").columns == ["_id", "url", "title", "text", "language"]
        (row,) = opened.store.catalog.rows("SELECT state FROM sources")
        assert '"fetched"' in row["state"]


def test_to_plan_and_check_ask_no_site(own: Site, tmp_path: Path) -> None:
    own.pages["/"] = Page(article("Home."))
    life = Life(tmp_path, own)
    life.run()
    own.asked.clear()
    with project(tmp_path) as opened:
        opened.check(look=True)
        assert next(i.why for i in intents(opened)) == "it is asked at the run"
    assert own.asked == []


def test_rate_and_crawl_delay_are_kept(own: Site) -> None:
    """At four requests a second; then at one in 0.6 s, as the site asks."""
    own.pages |= {f"/{n}": Page(article(f"{n}")) for n in range(4)}
    look(own, "/0", "/1", "/2", "/3", rate=4)
    times = [at for at, _, _ in own.asked]
    assert min(b - a for a, b in pairwise(times)) > 0.2
    own.asked.clear()
    own.pages["/robots.txt"] = Page("User-agent: *\nCrawl-delay: 0.6\n")
    look(own, "/0", "/1", "/2")
    times = [at for at, path, _ in own.asked if path != "/robots.txt"]
    assert min(b - a for a, b in pairwise(times)) > 0.5


def test_links_lead_no_further_than_asked(own: Site) -> None:
    with site({"/": Page(article("Elsewhere."))}) as other:
        own.pages["/"] = Page(article("Home.", "/a", "/a#part", f"{other.url}/", "mailto:x@y.z", "/f.zip"))
        own.pages["/a"] = Page(article("A.", "/b").replace('href="/b"', 'rel="nofollow" href="/b"'))
        own.pages |= {"/b": Page(article("B.")), "/f.zip": Page(b"PK", headers={"Content-Type": "application/zip"})}
        found = look(own, depth=5)
        assert [f.path.removeprefix(own.url) for f in found.found] == ["/", "/a"]
        assert other.asked == []
    assert [f.path.removeprefix(own.url) for f in look(own, depth=0).found] == ["/"]
    cut = look(own, depth=5, max_pages=1)
    assert (len(cut.found), cut.notes) == (1, ("there are more pages than max_pages (1)",))


def test_redirects_give_the_page_that_they_lead_to_once(own: Site) -> None:
    own.pages["/old"] = Page(status=301, headers={"Location": "/new"})
    own.pages["/older"] = Page(status=302, headers={"Location": "/old"})
    own.pages["/new"] = Page(article("New."))
    found = look(own, "/old", "/older", "/new")
    assert [f.path.removeprefix(own.url) for f in found.found] == ["/new"]


def test_without_leave_no_address_inside_is_asked(own: Site) -> None:
    """However it is written, as a name or by a redirect; the server sees no request."""
    own.pages["/"] = Page(article("Home."))
    port = own.url.rpartition(":")[2]
    written = [f"http://{host}:{port}/" for host in ("127.0.0.1", "localhost", "0x7f.1", "2130706433", "[::1]")]
    web = Web(urls=tuple(written), rate=500)
    with pytest.raises(InputMissing, match="inside"):
        web.follow(Path(), ())
    assert own.asked == []


def test_the_crawl_listens_on_no_port_and_goes_around_no_gate() -> None:
    """Scrapy's extensions open consoles, environments name proxies, and certificates are unchecked by default."""
    orders = {**Web(urls="http://x.org/").model_dump(mode="json"), "held": {}}
    code = (
        "import json, sys; from tillage.collect.spider import settings; "
        "print(json.dumps(settings(json.loads(sys.argv[1])), default=str, skipkeys=True))"
    )
    command = [sys.executable, "-W", "ignore", "-c", code, json.dumps(orders)]
    told = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    assert told["EXTENSIONS_BASE"] == {}
    off = ("HTTPPROXY_ENABLED", "COOKIES_ENABLED", "METAREFRESH_ENABLED")
    assert [told[name] for name in off] == [False] * 3
    assert told["DOWNLOAD_VERIFY_CERTIFICATES"] is True
    assert told["ROBOTSTXT_OBEY"] is True


@pytest.mark.parametrize(
    ("params", "said"),
    [
        ({"urls": "ftp://x.org/"}, "http:// or https://"),
        ({"urls": "file:///etc/passwd"}, "http:// or https://"),
        ({"urls": "http://me:secret@x.org/"}, "no user and no password"),
        ({"urls": ()}, "at least one"),
        ({"urls": "http://x.org/", "allow_private": ["all"]}, "does not appear"),
        ({"urls": "http://x.org/", "agent": "a\r\nX: 1"}, "the agent is a name"),
    ],
)
def test_what_is_no_address_is_refused(params: dict[str, Any], said: str) -> None:
    import tillage

    with pytest.raises(ConfigurationError, match=said) as told:
        tillage.collect.web(**params)
    assert "secret" not in str(told.value)


def test_a_crawl_that_breaks_off_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    real: Callable[..., Any] = subprocess.Popen
    monkeypatch.setattr(subprocess, "Popen", lambda args, **more: real([sys.executable, "-c", "pass"], **more))
    with pytest.raises(TillageError, match="before its time"):
        Web(urls="http://x.org/").follow(Path(), ())
