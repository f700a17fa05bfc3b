"""Verifying a store: every object read back against its checksum, every count taken again from the rows.

It reads everything once (0.6 ms a megabyte for the checksums) and changes nothing. A run may commit meanwhile: rows of
one version would then be held against the counts of another, so that is read again before anything is told.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from tillage.core.errors import VerifyFailed
from tillage.core.rows import MERGED, PARENT
from tillage.store.frames import is_frame
from tillage.store.gc import PURGING, owned_objects
from tillage.store.purge import QUARANTINE
from tillage.store.tables import LEFT, ROWS, Chunk, Store, Version

TRIES = 5
"""Times that a store is read back while it is written to and what is found differs."""


@dataclass(frozen=True)
class Finding:
    """One thing that is not as it was written: where, and what."""

    stage: str
    version: int
    object: str
    message: str


@dataclass(frozen=True)
class Verified:
    """What was read, what was found, and files that nobody owns (left by a killed run, until `gc`)."""

    objects: int
    bytes: int
    findings: tuple[Finding, ...]
    orphans: int


def verify(store: Store) -> Verified:
    """Read the whole store back; what is found while somebody writes must be found again to be told."""
    before: tuple[Finding, ...] | None = None
    for _ in range(TRIES):
        at = store.catalog.state()
        found = _read_back(store)
        if not found.findings or store.catalog.state() == at:
            return found
        told = found.findings if before is None else tuple(f for f in found.findings if f in before)
        if before is not None and told == found.findings:
            return found
        before, last = found.findings, replace(found, findings=told)
    return last


def _read_back(store: Store) -> Verified:
    findings = [Finding("", 0, "catalog.db", message) for message in store.catalog.check()]
    if store.catalog.meta(PURGING) is not None:
        findings.append(
            Finding("", 0, "catalog.db", "A purge was not ended: what it erased may still be on the disk. Run `gc`.")
        )
    store.objects.forget()
    size = 0
    damaged: set[str] = set()
    checked: dict[str, str] = {}
    for stage in store.stages():
        for part in store.parts(stage):
            for chunk in store.every_chunk(stage, part):
                if checked.get(chunk.object) == chunk.checksum:
                    continue
                checked[chunk.object] = chunk.checksum
                try:
                    _check(store, chunk)
                    size += chunk.size
                except VerifyFailed as error:
                    damaged.add(chunk.object)
                    findings.append(Finding(stage, chunk.added, chunk.object, error.message))
    for row in store.catalog.rows("SELECT r.stage, p.object, p.checksum FROM pieces p JOIN runs r ON r.id = p.run"):
        try:
            store.objects.get(row["object"], row["checksum"])
            checked[row["object"]] = row["checksum"]
        except VerifyFailed as error:
            findings.append(Finding(row["stage"], 0, row["object"], error.message))
    for stage in store.stages():
        newest = store.latest(stage)
        if newest is not None and not any(
            c.object in damaged for part in (ROWS, LEFT, QUARANTINE) for c in store.chunks(stage, part)
        ):
            findings += _recount(store, newest)
    orphans = len(set(store.objects.files()) - owned_objects(store))
    return Verified(len(checked), size, tuple(findings), orphans)


def _check(store: Store, chunk: Chunk) -> None:
    if not is_frame(chunk.object):
        store.objects.get(chunk.object, chunk.checksum)
        return
    frame = store.objects.get_frame(chunk.object, chunk.checksum)
    if frame.height != chunk.rows:
        raise VerifyFailed(f"The object {chunk.object} holds {frame.height:,} rows, and {chunk.rows:,} were written.")


def _recount(store: Store, version: Version) -> Iterator[Finding]:
    """Law 1, from the rows themselves."""
    counts = version.counts
    if "rows" not in counts or "in" not in counts or "erased" in version.facts:
        return
    rows = store.count(version.stage, ROWS)
    if rows != counts["rows"]:
        yield Finding(version.stage, version.version, "", f"{rows:,} rows are there, {counts['rows']:,} were counted.")
    aside: dict[str, int] = {}
    for frame in store.frames(version.stage, QUARANTINE, columns=["reason"]):
        for reason, n in frame["reason"].value_counts().rows():
            aside[reason] = aside.get(reason, 0) + n
    if aside != counts["quarantined"]:
        said = f"The quarantine holds {aside}, {counts['quarantined']} were counted."
        yield Finding(version.stage, version.version, "", said)
    taken: dict[str, int] = {}
    for frame in store.frames(version.stage, LEFT):
        own = frame.filter(frame[PARENT].is_null()) if PARENT in frame.columns else frame
        for reason, n in own["_reason"].value_counts().rows():
            taken[reason] = taken.get(reason, 0) + n
    expected = dict(counts["dropped"])
    if counts["merged"]:
        expected[MERGED] = counts["merged"]
    if taken != expected and not (counts["consumed"] or counts["created"] == counts["rows"]):
        yield Finding(version.stage, version.version, "", f"The ledger holds {taken}, {expected} were counted.")
