"""Law 5, forgotten is gone: no live file holds a token of the person, and nothing is as if they had ever been there.

A purge that leaves out any one of its steps is caught by the scan, shown for each step.
"""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from tests.flow.world import KEY, differences, digests, small_chunks
from tests.promises.canary import PERSON, TOKEN, Folder, scan

from tillage.core.errors import InputMissing, UsageError
from tillage.core.rows import ID, ids
from tillage.face.rooms import project
from tillage.flow import erasure, seen, sharding
from tillage.flow.kept_answers import KeptAnswers
from tillage.flow.prediction_table import read_predictions
from tillage.flow.score import score, way
from tillage.promises import forget, release_object
from tillage.promises.answers import Answers
from tillage.promises.copies import Named
from tillage.store import purge
from tillage.store.segments import segments
from tillage.store.tables import LEFT
from tillage.store.verify import verify


class Lives:
    """Both worlds after their history; tests work on copies."""

    def __init__(self, root: Path) -> None:
        self.root, self.number = root, 0
        Folder(root / "with", seen=True).live()
        Folder(root / "without", seen=False).live()

    def copy(self, name: str = "with") -> Folder:
        self.number += 1
        made = Folder.__new__(Folder)
        made.root, made.seen = self.root / f"{name}{self.number}", name == "with"
        shutil.copytree(self.root / name, made.root)
        return made


@pytest.fixture(scope="module")
def pieces(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lives]:
    """In many small chunks."""
    with pytest.MonkeyPatch.context() as patch:
        small_chunks(patch)
        yield Lives(tmp_path_factory.mktemp("pieces"))


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Lives:
    """In chunks that hold everything."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TILLAGE_KEY", KEY)
        return Lives(tmp_path_factory.mktemp("whole"))


@pytest.fixture
def key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TILLAGE_KEY", KEY)


def store_of(folder: Folder) -> Path:
    return folder.root / ".tillage"


def test_the_person_is_everywhere_before(pieces: Lives) -> None:
    found = scan(pieces.root / "with" / ".tillage")
    assert scan(pieces.root / "without" / ".tillage") == []
    assert {"report.html", "catalog table versions"} <= set(found)
    with project(pieces.root / "with") as p:
        whose = {r["_id"]: r["person"] == PERSON for r in p.read("people").iter_rows(named=True)}
        entries = p.store.frame("plain/2", LEFT) if p.store.latest("plain/2") else p.store.frame("plain", LEFT)
        merged = [(whose[r["_id"]], whose[r["_into"]]) for r in entries.iter_rows(named=True)]
        assert {(True, True), (True, False), (False, True)} <= set(merged), "a keeper, a copy, and both"
        assert p.read("clean").filter(pl.col("town") == f"{TOKEN}town", pl.col("person") != PERSON).height > 0
        assert any(TOKEN in word for word in p.model("bayes").state["vocabulary"])
        for name in ("shards", "slices"):
            states = [p.store.objects.get(c.object, c.checksum) for c in p.store.every_chunk(name, sharding.SHARD)]
            assert sum(TOKEN.encode() in state for state in states) > 1


def test_gone_from_every_file_and_as_if_never_there(pieces: Lives, key: None) -> None:
    folder = pieces.copy()
    with folder.open() as p, pieces.copy("without").open() as never:
        told, receipt = forget(p, "people", subject=[PERSON])
        assert scan(store_of(folder)) == []
        assert (told["records"], told["undecided"]) == (22, [])
        assert told["refitted"] == ["clean/2-fill_missing", "level/1-drift"]
        assert {t: f["quarantined"] for t, f in told["tables"].items() if f["quarantined"]} == {
            "people": 2,
            "visits": 1,
        }
        found = verify(p.store)
        assert (found.findings, found.orphans) == ((), 0)
        assert differences(digests(p), digests(never)) == []
        assert p.run().changed == []
        assert told["answers"] == {"predictions": 8, "labels": 6} == receipt["counts"]["@predictions"]
        left = read_predictions(p.store)
        assert (left["prediction"].to_list(), left["label"].to_list()) == (["red"] * 6, ["blue"] * 6)
        assert segments(store_of(folder) / "predictions") == []
        assert receipt["counts"]["people"] == {
            "rows": 19,
            "chunks": receipt["counts"]["people"]["chunks"],
            "quarantined": 2,
        }
        states = {
            name: p.store.version(name, 1).facts.get("erased") for name in ("bayes", "texts", "clean/2-fill_missing")
        }
        assert set(states.values()) == {1}
        with pytest.raises(InputMissing, match="was erased"):
            p.model("bayes", 1)
        with pytest.raises(InputMissing, match="was erased"):
            p.read("clean", 1)
        assert p.read("people", 1).height > 0, "history stays where it says nothing of the person"
    assert scan(store_of(folder)) == []


def test_nothing_comes_back(whole: Lives, key: None) -> None:
    folder, other = whole.copy(), whole.copy("without")
    with folder.open() as p, other.open() as never:
        forget(p, "clean", subject=[PERSON])
        assert p.run().changed == []
        for path in sorted(folder.root.glob("*/*.csv")):
            os.utime(path, (1, 1))
        assert p.run().changed == []
        for root in (folder.root, other.root):
            (root / "people/b.csv").rename(root / "people/d.csv")
            path = root / "people/a.csv"
            path.write_text(path.read_text() + "p700,someone9,name1,one more text,ulm,red,7\n")
        assert p.run().changed != []
        never.run()
        assert differences(digests(p), digests(never)) == []
        assert scan(store_of(folder)) == []
        with p.store.catalog.transaction():  # what would happen if the marks were lost
            p.store.catalog.write("DELETE FROM tombstones")
        path = folder.root / "people/a.csv"
        path.write_text(path.read_text() + "p701,someone9,name1,yet more,ulm,red,7\n")
        p.run()
        assert scan(store_of(folder)) != []


def test_a_file_without_a_key_waits_when_it_changes(whole: Lives, key: None) -> None:
    folder = whole.copy()
    with folder.open() as p:
        forget(p, "people", subject=[PERSON])
        before = p.read("visits").height
        path = folder.root / "visits/v.jsonl"
        path.write_text(path.read_text() + '{"person": "someone1", "text": "new"}\n')
        for _ in range(2):
            outcome = p.run()
            assert outcome.waiting == ["visits: visits/v.jsonl"]
            assert outcome.changed == []
        path.unlink()
        p.run()
        path.write_text('{"person": "someone1", "text": "the file is back, and other"}\n')
        assert p.run().waiting == ["visits: visits/v.jsonl"], "gone and back again is no way round"
        assert scan(store_of(folder)) == []
        with pytest.raises(InputMissing, match="No record"):
            release_object(p, "visits", "visits/other.jsonl")
        with pytest.raises(UsageError, match="collects nothing"):
            release_object(p, "clean", "visits/v.jsonl")
        assert release_object(p, "visits", "visits/v.jsonl") == 3
        assert p.run().waiting == []
        assert p.read("visits").height < before


def test_answers_kept_of_a_file_are_gone(whole: Lives, key: None) -> None:
    """Also those of who began to score before the erasure, and ends after it; both are answered again, and the same."""
    folder = whole.copy()
    with folder.open() as p:
        model, taken = p.model("bayes"), way(p, "plain", "people")
        rows = p.read("people").select(taken.schema.keys())
        before = p.store.objects.names()
        kept, late = (KeptAnswers(p.store, taken, model, "digest of the model") for _ in range(2))
        first = score(taken, model, rows, kept)
        [part] = p.store.objects.names() - before
        assert any(part in place and "prediction" in place for place in scan(store_of(folder)))
        again = KeptAnswers(p.store, taken, model, "digest of the model")
        assert score(taken, model, rows, again).equals(first)
        assert (kept.anew, again.anew) == (rows.height, 0)
        forget(p, "people", subject=[PERSON])
        assert scan(store_of(folder)) == []
        assert verify(p.store).orphans == 0
        assert score(taken, model, rows, late).equals(first)
        assert (late.anew, late.unkept) == (rows.height, "rows were forgotten meanwhile")
        assert verify(p.store).orphans == 0
    assert scan(store_of(folder)) == []


def _skip(where: Any, name: str, instead: Any = None) -> Callable[[pytest.MonkeyPatch], None]:
    def patch(monkeypatch: pytest.MonkeyPatch) -> None:
        place = sys.modules[where] if isinstance(where, str) else where
        monkeypatch.setattr(place, name, lambda *_, **__: instead)

    return patch


def _no_deletion(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (purge, erasure):
        monkeypatch.setattr(module, "erase_replaced", lambda *_, **__: None)
    monkeypatch.setattr(erasure, "clear_unowned", lambda *_: None)


STEPS: dict[str, Callable[[pytest.MonkeyPatch], None]] = {
    "rows in chunks": _skip(purge.Rewriting, "rewrite"),
    "ledger and indexes": _skip(seen.Seen, "_beside", ()),
    "results and reports": _skip(seen.Seen, "_results"),
    "versions under the influence": _skip(seen.Seen, "_end"),
    "outputs of groups": _skip(seen.Seen, "regroup"),
    "what facts say": _skip(purge, "_mark_erased", {}),
    "states of shards": _skip(sharding._Work, "close"),
    "refits": _skip(erasure, "_learnt_otherwise", False),
    "old objects": _no_deletion,
    "work that no version owns": _skip(erasure, "clear_unowned"),
    "the page": lambda patch: patch.setattr(erasure, "REPORT", "other.html"),
    "the vacuum": lambda patch: patch.setattr(erasure, "erase_replaced", lambda *_, **__: None),
    "answers of a server": _skip("tillage.promises.forgetting", "answers", Answers()),
    "segments of its log": _skip("tillage.promises.forgetting", "settle"),
    "what no plan has": _skip(erasure, "_beside", {}),
    "classes that only they had": _skip("tillage.promises.answers", "_said", set()),
    "quarantined records": _skip("tillage.promises.forgetting", "quarantined", Named(ids(), [], [], 0)),
}


@pytest.mark.parametrize("step", [None, *STEPS])
def test_a_purge_that_leaves_out_a_step_is_caught(
    step: str | None, whole: Lives, key: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = whole.copy()
    if step is not None:
        STEPS[step](monkeypatch)
    with folder.open() as p:
        ahead = p.store.objects.put_frame("f" * 32, pl.DataFrame({ID: ids([1]), "text": [f"{TOKEN} ahead"]}))
        p.store.remember([("work of a run that was killed", vars(ahead))])
        p.store.catalog.write(
            "INSERT INTO meta VALUES (?, ?)", "of old", TOKEN * 20_000
        )  # more pages than are used again
        p.store.catalog.write("DELETE FROM meta WHERE key = ?", "of old")
        forget(p, "people", subject=[PERSON])
        found = scan(store_of(folder))
    assert bool(found) == (step is not None), found
    shutil.rmtree(folder.root)
