"""What was forgotten stays away when the plan is edited (other steps, another key, a table of another name) or a file
is moved.

Tokens of the person are looked for in every file of the store, as `canary.scan` does.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.flow.world import KEY, differences, digests
from tests.promises.canary import PERSON, TOKEN, scan

from tillage.core.errors import GateFailed, InputMissing
from tillage.face.main import ended
from tillage.face.rooms import project
from tillage.flow.run import Project
from tillage.promises import forget, release_object
from tillage.store.gc import collect
from tillage.store.verify import verify

TABLE = "project: p\ntables:\n  people: {{collect: {{files: '*.csv'}}, max_quarantine: 1, subject: who{}}}\n"
STEPS = ", steps: [{derive: {columns: {m: n * 2}}}]"
MORE = ", steps: [{drop_duplicates: {columns: [n]}}]"
CHECKED = ", expect: [{column: n, max: 99}]"
BAD = f"4,{PERSON},short {TOKEN} row,x"


@pytest.fixture(autouse=True)
def key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TILLAGE_KEY", KEY)


def planned(root: Path, rest: str) -> Path:
    root.mkdir(exist_ok=True)
    (root / "tillage.yaml").write_text(TABLE.format(rest), encoding="utf-8")
    return root


def write(root: Path, *lines: str, name: str = "a.csv") -> None:
    (root / name).write_text("\n".join(["id,who,n", *lines]) + "\n", encoding="utf-8")


def never(root: Path, rest: str) -> Project:
    """A project of the same plan that never saw the person."""
    planned(root, rest)
    write(root, "1,ann,5", "3,cyd,7")
    return project(root)


@pytest.mark.parametrize("before", [", key: id", STEPS + ", key: id", ""])
@pytest.mark.parametrize("after", [", key: id", MORE + ", key: id", CHECKED + ", key: id", ""])
def test_an_edited_plan_brings_nobody_back(tmp_path: Path, before: str, after: str) -> None:
    root = planned(tmp_path / "with", before)
    write(root, "1,ann,5", f"2,{PERSON},6", "3,cyd,7", BAD)
    with project(root) as p:
        p.run()
        forget(p, "people", subject=[PERSON])
        assert scan(p.store.root) == []
    planned(root, after)
    with project(root) as p, never(tmp_path / "never", after) as other:
        p.run()
        other.run()
        assert scan(p.store.root) == []
        if ("key" in before) == ("key" in after):
            assert differences(digests(p), digests(other)) == []
        assert sorted(p.read("people")["id"]) == [1, 3]
        assert p.run().changed == []
        assert verify(p.store).findings == ()


@pytest.mark.parametrize("steps", ["", STEPS])
def test_another_key_brings_nobody_back(tmp_path: Path, steps: str) -> None:
    root = planned(tmp_path, ", key: id")
    write(root, "1,ann,5", f"2,{PERSON},6", "3,cyd,7")
    with project(root) as p:
        p.run()
        forget(p, "people", key=["2"])
    planned(root, ", key: [id, n]" + steps)
    with project(root) as p:
        p.run()
        assert sorted(p.read("people")["id"]) == [1, 3]
        write(root, "1,ann,5", f"2,{PERSON},9", "3,cyd,8", "4,dan,8")
        p.run()
        assert sorted(p.read("people")["id"]) == [1, 3, 4]
        assert scan(p.store.root) == []
        forget(p, "people", key=["4", "8"])
    planned(root, ", key: id" + steps)
    with project(root) as p:
        p.run()
        assert sorted(p.read("people")["id"]) == [1, 3]
        (root / "a.csv").write_text("id,who\n1,ann\n4,dan\n")
        with pytest.raises(GateFailed, match=r"forgotten by their key \(id, n\), .*: a\.csv lacks 'n', in a row"):
            p.run()
        assert sorted(p.read("people")["id"]) == [1, 3]


@pytest.mark.parametrize("now", [", key: who", ""], ids=["another key", "no key"])
@pytest.mark.parametrize("header", ["who,n", "id,who,n"], ids=["gone", "empty"])
def test_who_cannot_be_told_is_read_when_that_is_decided(tmp_path: Path, now: str, header: str) -> None:
    """A column of the old key is gone from a file, or empty: the file that has it is read, this one when released."""
    root = planned(tmp_path, ", key: id")
    write(root, "1,ann,5", f"2,{PERSON},6", "3,cyd,7")
    with project(root) as p:
        p.run()
        forget(p, "people", key=["2"])
    planned(root, now)
    blank = "," if header.startswith("id") else ""
    with project(root) as p:
        p.run()
        assert sorted(p.read("people")["who"]) == ["ann", "cyd"]

        def other(*lines: str) -> None:
            (root / "b.csv").write_text("\n".join([header, *(blank + line for line in lines)]) + "\n", encoding="utf-8")

        write(root, "1,ann,5", f"2,{PERSON},6", "3,cyd,7", "4,dan,8")  # whoever has the column is known by it
        if now:
            p.run()
            assert sorted(p.read("people")["who"]) == ["ann", "cyd", "dan"]
        else:
            write(root, "1,ann,5", f"2,{PERSON},6", "3,cyd,7")
        before = sorted(p.read("people")["who"])
        other("eve,1", f"{PERSON},6")
        for _ in range(2):
            with pytest.raises(GateFailed, match=r"b.csv lacks 'id'.*tillage forget people --release b.csv\."):
                p.run()
            assert sorted(p.read("people")["who"]) == before
            assert scan(p.store.root) == []
        with pytest.raises(InputMissing, match=r"No record of 'c.csv'"):
            release_object(p, "people", "c.csv")
        other("eve,1", "fay,2")  # the person was taken out, as the message says
        assert release_object(p, "people", "b.csv") == 1
        p.run()
        assert sorted(p.read("people")["who"]) == sorted([*before, "eve", "fay"])
        assert p.run().changed == []
        with pytest.raises(InputMissing, match=r"No record of 'b.csv'"):
            release_object(p, "people", "b.csv")
        other("eve,1", "fay,2", f"{PERSON},6")  # what was decided on is not what stands there now
        with pytest.raises(GateFailed, match=r"b\.csv lacks"):
            p.run()
        assert scan(p.store.root) == []
        assert "eve" in p.read("people")["who"].to_list()


def test_whoever_is_forgotten_later_is_asked_about_again(tmp_path: Path) -> None:
    """A release is of those who were forgotten until then, by that key: not of one who follows."""
    root = planned(tmp_path, ", key: id")
    write(root, "1,ann,5", "2,bob,6", f"3,{PERSON},7")
    with project(root) as p:
        p.run()
        forget(p, "people", key=["2"])
    planned(root, ", key: who")
    (root / "b.csv").write_text("who,n\neve,1\n")
    with project(root) as p:
        assert release_object(p, "people", "b.csv") == 1
        p.run()
        assert sorted(p.read("people")["who"]) == sorted(["ann", PERSON, "eve"])
    planned(root, ", key: id")
    with project(root) as p:
        p.run()
        forget(p, "people", key=["3"])
    planned(root, ", key: who")
    with project(root) as p:
        with pytest.raises(GateFailed, match=r"b\.csv lacks 'id'"):
            p.run()
        assert release_object(p, "people", "b.csv") > 1
        p.run()
        assert sorted(p.read("people")["who"]) == ["ann", "eve"]


def test_several_files_are_named_at_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = planned(tmp_path, ", key: id")
    write(root, "1,ann,5", f"2,{PERSON},6")
    with project(root) as p:
        p.run()
        forget(p, "people", key=["2"])
    planned(root, ", key: who")
    for n in range(7):
        (root / f"b{n}.csv").write_text(f"who,n\neve{n},1\n")
    assert ended(["run", "--plan", str(root)]) == 10
    said = " ".join(capsys.readouterr().err.split())
    assert "b0.csv lacks 'id'; b1.csv lacks 'id'" in said
    assert "; so do 2 more" in said
    assert "--release b0.csv, and the same for each of the others." in said
    for n in range(7):
        assert ended(["forget", "people", "--release", f"b{n}.csv", "--plan", str(root)]) == 0
    assert "1 tombstone no longer holds for b6.csv" in " ".join(capsys.readouterr().out.split())
    assert ended(["run", "--plan", str(root)]) == 0


def test_a_release_is_of_one_file_and_not_of_its_copies(tmp_path: Path) -> None:
    """Marks are of bytes, so that a copy under another name brings nobody back; a release is of one name."""
    root = planned(tmp_path, "")
    lines = ("1,ann,5", f"2,{PERSON},6")
    for name in ("a.csv", "b.csv"):
        write(root, *lines, name=name)
    with project(root) as p:
        p.run()
        forget(p, "people", subject=[PERSON])
        write(root, *lines, name="c.csv")
        p.run()
        assert p.read("people")["id"].to_list() == [1, 1, 1]
        write(root, "1,ann,5", "3,cyd,7")
        assert p.run().waiting == ["people: a.csv"]
        assert release_object(p, "people", "a.csv") == 1
    planned(root, CHECKED)
    (root / "tillage.yaml").write_text((root / "tillage.yaml").read_text().replace("'*.csv'", "['*.csv']"))
    with project(root) as p:
        assert p.run().waiting == []
        p.run(replay=("people",))
        assert sorted(p.read("people")["id"]) == [1, 1, 1, 3]
        write(root, "1,ann,5", "3,cyd,7", "4,dan,8", name="b.csv")
        assert p.run().waiting == ["people: b.csv"]
        assert scan(p.store.root) == []
        write(root, *lines)  # the old bytes under a name that was released: it is read as it stands
        p.run()
        assert sorted(p.read("people")["id"]) == [1, 1, 1, 2]


@pytest.mark.parametrize(("before", "after"), [("", STEPS), (STEPS, ""), (CHECKED, STEPS), (STEPS, CHECKED)])
def test_the_stage_that_a_source_had_before_is_forgotten_too(tmp_path: Path, before: str, after: str) -> None:
    """What was set aside there, too, and is at the source no more."""
    root = planned(tmp_path, ", key: id" + before)
    write(root, "1,ann,5", f"2,{PERSON},6", BAD, f"5,{TOKEN}other,8")
    with project(root) as p:
        p.run()
    planned(root, ", key: id" + after)
    write(root, "1,ann,5", f"2,{PERSON},6", f"5,{TOKEN}other,8")
    with project(root) as p:
        p.run()
        forget(p, "people", subject=[PERSON, f"{TOKEN}other"])
        assert scan(p.store.root) == []
        assert p.run().changed == []
        assert verify(p.store).findings == ()


def test_steps_come_and_go(tmp_path: Path) -> None:
    """A table stands on its source alone, on steps, and on its source again: each time as a rebuild would."""
    root = planned(tmp_path, ", key: id")
    for n, rest in enumerate((", key: id", STEPS + ", key: id", ", key: id", CHECKED + ", key: id", ", key: id")):
        write(root, "1,ann,5", f"{10 + n},bob,6", f"1,zoe,{n}", name="a.csv")
        planned(root, rest)
        with project(root) as p:
            p.run()
            with Project(p.plan.model_copy(update={"store": tmp_path / f"new{n}"}), p.registry) as fresh:
                fresh.run()
                assert differences(digests(p), digests(fresh)) == []
            assert p.run().changed == []
            assert verify(p.store).findings == ()


def test_a_table_that_no_plan_has_any_more_awaits_a_decision(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = planned(tmp_path, STEPS + ", key: id")
    write(root, "1,ann,5", f"2,{PERSON},6", BAD)
    with project(root) as p:
        p.run()
    text = (root / "tillage.yaml").read_text().replace("people:", "persons:")
    (root / "tillage.yaml").write_text(text + "  more: {from: persons}\n")
    with project(root) as p:
        p.run()
        told, receipt = forget(p, "persons", subject=[PERSON])
        assert [(c["table"], c["rows"]) for c in told["undecided"]] == [("people", 3)]
        assert receipt["undecided"] == 3
        assert scan(p.store.root) != []
    for command in (["gc", "--keep", "1"], ["gc", "--abandoned"]):
        assert scan(root / ".tillage") != []
        assert ended([*command, "--plan", str(root)]) == 0
    assert "Not in the plan: people." in capsys.readouterr().out
    assert scan(root / ".tillage") == []
    with project(root) as p:
        assert p.store.stages() == ["more", "persons", "persons/source"]
        assert verify(p.store).findings == ()
        assert p.run().changed == []
        assert p.abandoned() == []
        forget(p, "persons", key=["1"])
        assert p.read("more").height == 0


@pytest.mark.parametrize("told", [False, True], ids=["after a run", "before it, too"])
def test_what_was_made_of_a_table_that_no_plan_has_goes_with_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], told: bool
) -> None:
    """Earlier versions of tables and models that the plan still has; the newest ones, once there are others."""
    root = tmp_path
    made = (
        "project: p\ntables:\n  {0}: {{collect: {{files: '{0}.csv'}}, key: id, subject: who}}\n"
        "  clean: {{from: {0}, steps: [encode: {{columns: [who]}}, drop_duplicates: {{columns: [n]}}]}}\n"
        "  more: {{from: {0}, steps: [derive: {{columns: {{t: who}}}}]}}\n"
        "models: {{m: {{learn: gaussian_naive_bayes, from: more, target: t, input: [n]}}}}\n"
    )
    lines = [f"{n},{'ann' if n % 2 else 'bob'},{n}" for n in range(40)]
    write(root, *lines, *[f"{100 + n},{PERSON},{n}" for n in range(20)], name="old.csv")
    write(root, *lines, name="new.csv")
    (root / "tillage.yaml").write_text(made.format("old"), encoding="utf-8")
    with project(root) as p:
        p.run()
    (root / "tillage.yaml").write_text(made.format("new"), encoding="utf-8")
    for early in [True, False] if told else [False]:
        if not early:
            with project(root) as p:
                p.run()
        assert ended(["gc", "--abandoned", "--plan", str(root)]) == 0
        said = capsys.readouterr().err
        assert ("there is nothing newer: clean, m, more." in said) == early, said
        found = scan(root / ".tillage")
        assert bool(found) == early, found
    with project(root) as p:
        assert verify(p.store).findings == ()
        assert p.run().changed == []
        forget(p, "new", key=["1"])
        assert p.read("clean").height == 20, "those of bob"


@pytest.mark.parametrize("rotated", [False, True], ids=["renamed", "rotated"])
def test_a_file_that_is_renamed_and_changed_is_not_read(tmp_path: Path, rotated: bool) -> None:
    """Its checksum is another and so is its name; that it is the same file, its inode tells."""
    root = planned(tmp_path, "")
    write(root, "1,ann,5", f"2,{PERSON},6")
    with project(root) as p:
        p.run()
        forget(p, "people", subject=[PERSON])
        with (root / "a.csv").open("a") as file:
            file.write("3,cyd,7\n")
        (root / "a.csv").rename(root / "b.csv")
        if rotated:
            write(root, "4,dan,8")
        waits = ["people: a.csv", "people: b.csv"] if rotated else ["people: b.csv"]
        for _ in range(2):
            assert p.run().waiting == waits
            assert p.read("people")["id"].to_list() == [1]
        assert scan(p.store.root) == []
        text = (root / "b.csv").read_text().replace(f"2,{PERSON},6\n", "")
        (root / "b.csv").write_text(text)
        assert release_object(p, "people", "a.csv" if rotated else "b.csv") == 1
        assert p.run().waiting == []
        assert sorted(p.read("people")["id"]) == [1, 3, *[4] * rotated]
        assert scan(p.store.root) == []


def test_marks_know_their_file_after_gc(tmp_path: Path) -> None:
    root = planned(tmp_path, "")
    write(root, "1,ann,5", f"2,{PERSON},6")
    write(root, "3,cyd,7", name="c.csv")
    with project(root) as p:
        p.run()
        forget(p, "people", subject=[PERSON])
        (root / "a.csv").unlink()
        p.run()
        collect(p.store, 1)
        write(root, "1,ann,9", f"2,{PERSON},6")
        assert p.run().waiting == ["people: a.csv"]
        assert scan(p.store.root) == []


def test_a_tombstone_is_of_a_record_not_of_whom_it_is_about(tmp_path: Path) -> None:
    """The same key stays away with other values; a new record of the same person is read, and can be forgotten."""
    root = planned(tmp_path, ", key: id")
    write(root, "1,ann,5", f"2,{PERSON},6")
    with project(root) as p:
        p.run()
        forget(p, "people", subject=[PERSON])
        write(root, "1,ann,5", f"2,{PERSON},99", f"3,{PERSON},6")
        p.run()
        assert sorted(p.read("people").select("id", "n").rows()) == [(1, 5), (3, 6)]
        forget(p, "people", subject=[PERSON])
        assert scan(p.store.root) == []
