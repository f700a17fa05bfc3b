"""Web pages as a source: a polite crawl of a site or a list, the main text of each page, only changed pages as changes.

A page is an object, its address the object's name. What was fetched before is asked for with its stamps, so that an
unchanged page costs one answer without a body; a page whose text is as it was changes nothing, whatever moved around
it. What a site forbids, or what leads inside our network, is skipped and counted; a page that cannot be had for the
moment keeps its row. Cost: what the site's rate leaves, and 25 ms a page for its text.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections import Counter, OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar
from urllib.parse import urldefrag, urlsplit

import numpy as np
import polars as pl
from pydantic import Field, field_validator

from tillage.collect.content import Unreadable
from tillage.collect.crawl import Crawl, crawl
from tillage.collect.extract import Article, main_text
from tillage.collect.records import bad_record
from tillage.collect.rows import no_rows
from tillage.core.errors import InputMissing
from tillage.core.state import State
from tillage.core.step import Batch, Found
from tillage.flow.following import Following, Held, Looked
from tillage.flow.pipeline import reader
from tillage.guard.hosts import networks

KEPT = 4
"""Crawls whose pages are kept until they are read."""

COLUMNS = {"url": "text", "title": "text", "text": "text", "language": "text"}
PERMANENT = {"page_too_large"}
"""Failures that are the page's own: it is there, and cannot be read."""

_crawls: OrderedDict[str, Crawl] = OrderedDict()


class Web(Following):
    """Pages of the web, one row each: `url`, `title`, `text` (the main text), `language` (as the page names it).

    >>> Web(urls="https://example.org/", depth=2, rate=0.5).urls
    'https://example.org/'
    """

    cheap: ClassVar[bool] = False

    urls: str | tuple[str, ...] = Field(description="Pages to begin with, http or https.")
    depth: int = Field(0, ge=0, le=100, description="Links to follow from them, on their hosts; 0: these pages alone.")
    max_pages: int = Field(1000, ge=1, le=1_000_000, description="Most pages to ask for in one run.")
    rate: float = Field(1.0, gt=0, le=1000, description="Requests a second to one host, at most.")
    timeout: float = Field(30.0, ge=0.1, le=600, description="Seconds that a page may take in all.")
    max_bytes: int = Field(10_000_000, ge=1000, le=1_000_000_000, description="Size of a page, unpacked, in bytes.")
    agent: str = Field("tillage", description="The name by which robots.txt and logs know us.")
    allow_private: tuple[str, ...] = Field(
        (), description="Networks inside, as 10.1.0.0/16, that pages may come from; all others are refused."
    )

    @field_validator("urls")
    @classmethod
    def _addresses(cls, value: str | tuple[str, ...]) -> str | tuple[str, ...]:
        given = (value,) if isinstance(value, str) else value
        for url in given:
            parts = urlsplit(url)
            if parts.scheme not in ("http", "https") or not parts.hostname:
                raise ValueError("an address begins with http:// or https://, and a host")
            if parts.username or parts.password:
                raise ValueError("an address holds no user and no password")
        if not given:
            raise ValueError("name at least one page")
        return value

    @field_validator("agent")
    @classmethod
    def _a_name(cls, value: str) -> str:
        if not re.fullmatch(r"[A-Za-z][\w .;:+/@()-]{0,200}", value):
            raise ValueError("the agent is a name, with letters, digits and a contact")
        return value

    @field_validator("allow_private")
    @classmethod
    def _networks(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        networks(value)
        return value

    def follow(self, root: Path, held: Sequence[Held]) -> Looked:
        """The pages that are there now. Raises InputMissing when there is none, and was none."""
        found = self._crawl({h.path: h.stamp for h in held})
        self._keep(found)
        before = {h.path: h.stamp for h in held}
        failed = {url for url in before if self._fails(url, before[url], found)}
        stamps = {url: self._stamp(found, url) for url in found.pages}
        stamps |= {url: {"failed": reason} for url, reason in found.failed.items() if reason in PERMANENT}
        for url in before.keys() - stamps.keys():
            if url in found.same or url in failed or (found.cut and not _is_over(url, found)):
                stamps[url] = before[url]
        if not stamps:
            why = ", ".join(f"{url}: {reason}" for url, reason in [*found.skipped.items(), *found.failed.items()][:5])
            raise InputMissing(f"No page was found. {why}".strip(), fix="Check 'urls', and what its robots.txt allows.")
        return Looked([Found(path=url, stamp=stamps[url]) for url in sorted(stamps)], self._counted(found, len(failed)))

    def _fails(self, url: str, stamp: Mapping[str, Any], found: Crawl) -> bool:
        """Whether a page cannot be had for the moment: it, or what was redirected to it, gave no answer."""
        answered = url in found.pages or url in found.same or _is_over(url, found)
        return not answered and any(
            u in found.failed and found.failed[u] not in PERMANENT for u in (url, *stamp.get("via", ()))
        )

    def _stamp(self, found: Crawl, url: str) -> dict[str, Any]:
        said, body = found.pages[url], found.kept(url, "body") or b""
        kept = {name: said[name] for name in ("etag", "modified", "links")}
        kept |= {"via": said["via"]} if said["via"] else {}
        return {**kept, "body": hashlib.sha256(body).hexdigest()}

    def _counted(self, found: Crawl, kept: int) -> tuple[str, ...]:
        """What was left out, and why."""
        out = []
        words = {"robots": "robots.txt", "inside": "addresses inside", "redirects": "too many redirects"}
        for reason, n in sorted(Counter(found.skipped.values()).items()):
            out.append(f"{n:,} skipped: {words.get(reason, reason)}")
        for reason, n in sorted(Counter(r for r in found.failed.values() if r not in PERMANENT).items()):
            out.append(f"{n:,} not reached: {reason}")
        if kept:
            out.append(f"{kept:,} of these keep the rows they had")
        if found.cut:
            out.append(f"there are more pages than max_pages ({self.max_pages:,})")
        return tuple(out)

    def _crawl(self, held: Mapping[str, dict[str, Any]]) -> Crawl:
        given = (self.urls,) if isinstance(self.urls, str) else self.urls
        known = {url: stamp for url, stamp in held.items() if "failed" not in stamp}
        orders = self.model_dump(mode="json", exclude={"urls"})
        return crawl({**orders, "urls": list(dict.fromkeys(urldefrag(u)[0] for u in given)), "held": known})

    # -- pages ------------------------------------------------------------------------------------------------------

    def checksum(self, root: Path, path: str) -> str:
        """SHA-256 of what becomes of the page, so that a new menu or advert is no change."""
        return hashlib.sha256(json.dumps(self._read(path), sort_keys=True).encode()).hexdigest()

    def observe(self, root: Path, path: str) -> State:
        """Columns, and `fetched`, seconds since 1970: it stands beside the rows, which know no clock."""
        found = self._with(path)
        state: dict[str, Any] = {"path": path, "columns": COLUMNS, "order": list(COLUMNS), "records": 1}
        state["fetched"] = int(found.at)
        page = self._read(path)
        return {**state, "failed": page["failed"]} if "failed" in page else state

    def column_types(self, states: list[State]) -> dict[str, str]:
        """The same for every site."""
        return dict(COLUMNS)

    def read(self, root: Path, path: str, schema: Mapping[str, str]) -> Iterator[Batch]:
        """One row, or one bad record."""
        page = self._read(path)
        if "failed" in page:
            bad = bad_record(0, 0, 0, stage="page", reason=page["failed"], message=page["message"], raw=path.encode())
            yield no_rows(schema, [bad])
            return
        values = {"url": path, **page}
        rows = pl.DataFrame({name: [values[name]] for name in schema}, schema=dict.fromkeys(schema, pl.String))
        yield Batch(rows, pl.Series("records", np.zeros(1, dtype=np.uint64)), [])

    def _read(self, url: str) -> dict[str, str]:
        """Title, text and language of a page, or why it has none."""
        found = self._with(url)
        if (done := found.kept(url, "article")) is not None:
            made: dict[str, str] = json.loads(done)
            return made
        page = self._extracted(found, url)
        found.keep(url, "article", json.dumps(page).encode())
        return page

    def _extracted(self, found: Crawl, url: str) -> dict[str, str]:
        body = found.kept(url, "body")
        if body is None:
            reason = found.failed.get(url, "unreachable")
            return {"failed": reason, "message": f"The page cannot be read: {reason}; max_bytes is {self.max_bytes:,}."}
        try:
            article: Article = main_text(body, url, found.pages[url]["charset"])
        except Unreadable as failure:
            return {"failed": failure.reason, "message": failure.message}
        return {"title": article.title, "text": article.text, "language": article.language}

    def _with(self, url: str) -> Crawl:
        """A crawl that has the page: the last one, or, where that had only its stamps, a new one without them."""
        found = _crawls.get(self._place())
        if found is None or (url not in found.pages and url not in found.failed):
            found = self._crawl({})
            self._keep(found)
        return found

    def _keep(self, found: Crawl) -> None:
        if before := _crawls.pop(self._place(), None):
            before.close()
        _crawls[self._place()] = found
        while len(_crawls) > KEPT:
            _crawls.popitem(last=False)[1].close()

    def _place(self) -> str:
        return self.model_dump_json()


def _is_over(url: str, found: Crawl) -> bool:
    """Whether there is no such page any more, or none that may be read."""
    return url in found.gone or url in found.skipped


web = reader(Web)
"""The function that begins a pipeline with this source."""
