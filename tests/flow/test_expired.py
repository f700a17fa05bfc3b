"""What a stream gave and cannot give again stays in the table: as it is, or cast where the table is written anew."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from tests.flow.world import KEY
from tillage.core.errors import GateFailed, InputMissing, VerifyFailed
from tillage.face.rooms import project
from tillage.promises import forget, release_object


class Table:
    """A table `t` that reads a tape."""

    def __init__(self, root: Path) -> None:
        self.root = root
        shutil.copy(Path(__file__).with_name("tape.py"), root / "tape.py")

    def run(self, *, key: str = "", replay: bool = False, source: str = "again: 0", **tape: list[Any]) -> list[Any]:
        """The rows after a run with this on the tape."""
        (self.root / "tape.json").write_text(json.dumps(tape))
        plan = f"{{collect: {{tape.Tape: {{{source}}}}}, {key}max_quarantine: 1}}"
        (self.root / "tillage.yaml").write_text(f"project: s\ntables: {{t: {plan}}}\n")
        with project(self.root) as opened:
            self.plan = opened.plan
            outcome = opened.run(replay=["t"] if replay else [])
            self.told = opened.summary(outcome, digest=True)["tables"]["t"]
            at = opened.store.latest("t")
            assert at is not None
            self.bad = [(b["object"], b["reason"]) for b in (opened.set_aside(at, 9) or (0, []))[1]]
            return sorted(opened.read("t").drop("_id").rows())


@pytest.fixture
def table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Table:
    monkeypatch.setenv("TILLAGE_KEY", KEY)
    return Table(tmp_path)


def test_a_source_has_a_key_of_its_own_where_the_table_names_none(table: Table) -> None:
    assert table.run(a=[[1, 2]]) == [(1, 2)]
    assert table.plan.tables["t"].key == ("id",)
    table.run(a=[[1, 2]], key="key: n, ")
    assert table.plan.tables["t"].key == ("n",)


def test_what_expired_stays_when_all_is_read_again(table: Table) -> None:
    table.run(a=[[1, 1], [2, "!x"]])
    before = table.run(b=[[3, 3]])
    assert before == [(1, 1), (3, 3)]
    version = table.told["version"]
    assert table.run(source="again: 1", b=[[3, 3]]) == before
    assert (table.told["quarantined"], table.bad) == ({"broken": 1}, [("a", "broken")])
    assert table.run(source="again: 2", b=[[3, 4]]) == [(1, 1), (3, 4)]  # what is there is read as it is now
    assert table.told["version"] > version


def test_a_release_holds_for_what_expired_since(table: Table) -> None:
    """Of a row nobody can tell who it is, and somebody decided that it is read: that stands when it is cast, too."""
    table.run(a=[[1, 5], [2, 6]], key="key: [id, n], ")
    with project(table.root) as opened:
        forget(opened, "t", key=["2", "6"])
    first: list[Any] = [[1, 5], [2, 6]]
    second: list[Any] = [[3, None]]
    with pytest.raises(GateFailed, match="b lacks 'n'"):
        table.run(key="key: id, ", a=first, b=second)
    with project(table.root) as opened:
        assert release_object(opened, "t", "b") == 1
    assert table.run(key="key: id, ", a=first, b=second) == [(1, 5), (3, None)]
    assert table.run(key="key: id, ", c=[[4, "x"]]) == [(1, "5"), (3, None), (4, "x")]
    with project(table.root) as opened, pytest.raises(InputMissing, match="No record of 'b'"):
        release_object(opened, "t", "b")


def test_what_expired_is_cast_when_a_column_takes_another_type(table: Table) -> None:
    """Superseded and quarantined records are there afterwards, too, and the rows have the ids of a rebuild."""
    table.run(a=[[1, 1], [1, 2], [2, 5], [7, "!x"]])
    table.run(b=[[2, 6]])
    assert table.run(c=[[3, "x"]]) == [(1, "2"), (2, "6"), (3, "x")]
    assert (table.told["dropped"], table.told["quarantined"]) == ({"superseded": 2}, {"broken": 1})
    assert (table.told["in"], table.bad) == (6, [("a", "broken")])
    digest = table.told["digest"]
    (table.root / "anew").mkdir()
    anew = Table(table.root / "anew")
    anew.run(a=[[1, 1], [1, 2], [2, 5], [7, "!x"]], b=[[2, 6]], c=[[3, "x"]])
    assert anew.told["digest"] == digest
    assert table.run(d=[[1, 9]]) == [(1, "9"), (2, "6"), (3, "x")]


def test_a_superseded_record_that_expired_comes_back_when_its_heir_leaves(table: Table) -> None:
    table.run(a=[[1, 1]])
    table.run(b=[[1, 2], [4, 4]])
    table.run(c=[[3, "x"]], b=[[1, 2], [4, 4]])  # a is cast
    assert table.run(source="again: 1", c=[[3, "x"]], b=[[4, 4]]) == [(1, "1"), (3, "x"), (4, "4")]


def test_a_replay_leaves_what_expired(table: Table) -> None:
    table.run(a=[[1, 1], [2, "!x"]])
    assert table.run(b=[[2, 2]]) == [(1, 1), (2, 2)]
    assert table.run(b=[[2, 2]], replay=True) == [(1, 1), (2, 2)]
    assert table.bad == [("a", "broken")]


def test_the_forgotten_do_not_come_back_out_of_what_is_cast(table: Table) -> None:
    table.run(a=[[1, 1], [2, 2]])
    with project(table.root) as opened:
        forget(opened, "t", key=["1"])
    assert table.run(b=[[1, "x"], [3, 3]]) == [(2, "2"), (3, "3")]


def test_what_never_was_in_the_table_cannot_have_expired(table: Table) -> None:
    table.run(a=[[1, 1]])
    with pytest.raises(InputMissing, match="c was overwritten"):
        table.run(source="ghost: c")
    with pytest.raises(InputMissing, match="b was overwritten"):
        table.run(source="fickle: b", b=[[2, 2]])
    assert table.run(b=[[2, 2]]) == [(1, 1), (2, 2)]


def test_what_expired_stays_when_a_lost_file_is_made_again(table: Table, monkeypatch: pytest.MonkeyPatch) -> None:
    """The file of a batch that is still there; one of a batch that is not can come back from a backup alone."""
    monkeypatch.setattr("tillage.store.objects.SMALL", 0)
    table.run(a=[[1, 1], [7, "!x"]])
    table.run(b=[[2, 2]])
    with project(table.root) as opened:
        _, second = [chunk.object for chunk in opened.store.chunks("t", "rows")]
    (table.root / ".tillage/objects" / second).unlink()
    assert table.run(b=[[2, 2]]) == [(1, 1), (2, 2)]
    assert table.bad == [("a", "broken")]
    with project(table.root) as opened:
        for chunk in opened.store.chunks("t", "rows"):
            (table.root / ".tillage/objects" / chunk.object).unlink()
    with pytest.raises(VerifyFailed):
        table.run(b=[[2, 2]])


def test_a_source_is_told_when_its_objects_are_in_the_store(table: Table) -> None:
    table.run(a=[[1, 1]])
    table.run(a=[[1, 1]])
    table.run(a=[[1, 1]], b=[[2, 2]])
    told = [json.loads(line) for line in (table.root / "settled").read_text().splitlines()]
    assert told == [["a"], ["b"]]
