"""Forgetting where other rows say something of the person: sums, what was learnt of sums, what a gate still shows.

Tokens of the person are looked for in every file of the store, as `canary.scan` does.
"""

from __future__ import annotations

import json
from pathlib import Path

import polars as pl
import pytest
from tests.flow.world import KEY, differences, digests, small_chunks
from tests.laws import reference
from tests.promises.canary import PERSON, TOKEN, scan

from tillage.core.errors import BadData, InputMissing
from tillage.core.step import Verdict
from tillage.face.main import ended
from tillage.face.rooms import project
from tillage.flow.planner import intents
from tillage.flow.results import load_result
from tillage.flow.run import Project
from tillage.promises import estimate, forget
from tillage.store.handed_out import record
from tillage.store.verify import verify

HEAD = """\
project: many
tables:
  orders: {collect: {files: {path: "o/*.csv", types: {amount: int64}}}, key: id, subject: who}
"""


@pytest.fixture(autouse=True)
def key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TILLAGE_KEY", KEY)


def planned(root: Path, plan: str) -> Path:
    root.mkdir(exist_ok=True)
    (root / "tillage.yaml").write_text(HEAD + plan, encoding="utf-8")
    return root


def write(root: Path, name: str, *lines: str) -> None:
    (root / "o").mkdir(exist_ok=True)
    (root / "o" / name).write_text("\n".join(["id,who,city,amount", *lines]) + "\n", encoding="utf-8")


def others(first: int, count: int, cities: int = 5) -> list[str]:
    return [f"{n},u{n % 4},c{n % cities},{n}" for n in range(first, first + count)]


def is_gone(p: Project) -> None:
    """Nothing of the person is left, the store is whole, and a run has nothing to do."""
    assert scan(p.store.root) == []
    assert verify(p.store).findings == ()
    assert p.run().changed == []
    assert scan(p.store.root) == []


FITTED = """\
  sums:
    from: orders
    steps:
      - aggregate: {by: [city], columns: {total: sum(amount), last: max(who), n: count()}}
      - fill_missing: {columns: [last], with: most_frequent}
      - scale: {columns: [total]}
  more: {from: sums, steps: [{encode: {columns: [last]}}, {bin: {columns: [n], bins: 3}}]}
models:
  m: {learn: ridge, from: sums, input: [n], target: total, split: {test: 0.3, leak: false}}
"""


@pytest.mark.parametrize("small", [False, True])
def test_what_was_learnt_of_sums(small: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if small:
        small_chunks(monkeypatch)
    theirs = [*others(0, 40, 15), "903,,c99,1"]
    own = [f"900,{PERSON},c1,777", f"901,{PERSON},{TOKEN}city,7777", f"902,{PERSON},c2,99"]
    for name, lines in (("with", [*theirs, *own]), ("never", theirs)):
        write(planned(tmp_path / name, FITTED), "a.csv", *lines)
    with project(tmp_path / "with") as p, project(tmp_path / "never") as never:
        p.run()
        never.run()
        assert f"last_{PERSON}" in p.read("more").columns, "a column may be called as they are"
        told, _ = forget(p, "orders", subject=[PERSON])
        assert {"sums/2-fill_missing", "sums/4-scale", "more/3-bin", "more/1-encode"} >= set(told["refitted"])
        assert len(told["refitted"]) == 4
        assert differences(digests(p), digests(never)) == []
        is_gone(p)


DRIFT = """\
  sums:
    from: orders
    steps: [{aggregate: {by: [city], columns: {total: sum(amount), last: max(who)}}}]
    expect:
      - {column: total, max: 100000}
"""
FROM_2 = """\
      - {column: total, drift: {from_version: 2, by: ks, limit: 0.95}}
      - {column: last, drift: {from_version: 2, limit: 99}}
"""


def verdicts(p: Project) -> tuple[Verdict, ...]:
    found = load_result(p.store, "sums/expect", p.registry)
    assert isinstance(found, tuple)
    return found


def test_drift_from_an_earlier_version_of_sums(tmp_path: Path) -> None:
    """What is made of many cannot be made again as it was: the version is compared with as it stands afterwards."""
    root = planned(tmp_path, DRIFT)
    write(root, "a.csv", *others(0, 20), f"900,{PERSON},c1,777", f"901,{PERSON},{TOKEN}city,7777")
    with project(root) as p:
        p.run()
        write(root, "b.csv", *others(20, 9, 7), f"902,{PERSON},c2,99")
        p.run()
    planned(tmp_path, DRIFT + FROM_2)
    with project(root) as p:
        p.run()
        write(root, "c.csv", *others(40, 9, 9))
        p.run()
        forget(p, "orders", subject=[PERSON])
        left = p.store.frame("sums", version=2)
        assert set(left["city"]) == {"c0", "c3", "c4", "c5", "c6"}
        found = verdicts(p)
        assert "9 rows against 5 of version 2" in found[1].why
        now, then = p.read("sums")["total"].to_numpy(), left["total"].to_numpy()
        at = sorted({*now, *then})
        assert found[1].measured == pytest.approx(max(abs((now <= v).mean() - (then <= v).mean()) for v in at))
        is_gone(p)
        assert verdicts(p) == found
        write(root, "d.csv", "60,u1,c1,9")
        p.run()
        assert "9 rows against 5 of version 2" in verdicts(p)[1].why


HELD = """\
  sums:
    from: orders
    steps: [{aggregate: {by: [city], columns: {total: sum(amount), last: max(who)}}}]
    expect: [{column: total, max: 1000}, {column: total, min: 30}]
  next: {from: sums, steps: [{derive: {columns: {double: "total * 2"}}}]}
"""


def test_a_gate_that_holds_back_shows_no_sum_of_theirs(tmp_path: Path) -> None:
    root = planned(tmp_path, HELD)
    write(root, "a.csv", *others(0, 20), f"900,{PERSON},c1,7")
    with project(root) as p:
        p.run()
        write(root, "b.csv", "50,u1,c2,5000")
        assert p.run().failed == ["sums"]
        forget(p, "orders", subject=[PERSON])
        assert sorted(p.read("sums")["city"]) == ["c0", "c2", "c3", "c4"]
        assert p.read("sums").filter(pl.col("total") >= 1000).is_empty(), "what is held back stays back"
        assert sorted(p.read("next")["city"]) == ["c0", "c2", "c3", "c4"]
        told = p.summary()["tables"]["sums"]
        assert (told["in"], told["consumed"], told["rows"]) == (20, 20, 4), "every row is accounted for"
        is_gone(p)
        (root / "o" / "b.csv").unlink()
        assert p.run().failed == []
        assert sorted(p.read("next")["city"]) == ["c0", "c1", "c2", "c3", "c4"]
        assert verify(p.store).findings == ()


def test_a_gate_that_fails_by_an_erasure(tmp_path: Path) -> None:
    root = planned(tmp_path, HELD)
    write(root, "a.csv", "1,u1,c1,5", f"900,{PERSON},c1,700", "2,u1,c0,700")
    with project(root) as p:
        assert p.run().failed == []
        forget(p, "orders", subject=[PERSON])
        assert p.read("sums").select("city", "total").rows() == [("c0", 700)]
        assert p.summary()["tables"]["sums"]["rows"] == 1
        assert p.run().failed == ["sums"], "5 is less than 30"
        is_gone(p)


LEARNT = """\
  good:
    from: orders
    steps: [{fill_missing: {columns: [city], with: most_frequent}}]
    expect: [{column: amount, max: 1000}]
  next: {from: good, steps: [{derive: {columns: {double: "amount * 2"}}}]}
"""


def test_a_gate_whose_rows_may_say_something_of_them_does_not_publish_what_fails(tmp_path: Path) -> None:
    """Neither what fails its expectations is shown, nor what a step had learnt from the person: so nothing is."""
    root = planned(tmp_path, LEARNT)
    write(root, "a.csv", *others(0, 6), "20,u1,,7", *(f"{900 + n},{PERSON},{TOKEN}city,7" for n in range(3)))
    with project(root) as p:
        p.run()
        assert p.read("good").filter(pl.col("id") == 20)["city"].to_list() == [f"{TOKEN}city"]
        p.summary(digest=True)
        write(root, "b.csv", "50,u1,c2,5000")
        assert p.run().failed == ["good"]
        told, receipt = forget(p, "orders", subject=[PERSON])
        assert scan(p.store.root) == []
        assert told["notes"][0].startswith("good has no version now: its expectations fail without these rows")
        assert receipt["tables"]["good"][0] is not None
        assert receipt["tables"]["good"][1] is None
        assert set(p.summary()["tables"]) == {"orders"}
        for name in ("good", "next"):
            with pytest.raises(InputMissing, match="was erased"):
                p.read(name)
        assert p.run().failed == ["good"]
        is_gone(p)
        (root / "o" / "b.csv").unlink()
        assert p.run().failed == []
        assert sorted(p.read("next")["id"]) == [*range(6), 20]
        assert verify(p.store).findings == ()


def test_a_receipt_names_the_versions_that_it_erased_and_no_others(tmp_path: Path) -> None:
    root = planned(tmp_path, LEARNT.replace("1000", "9999"))
    write(root, "a.csv", *others(0, 6), f"900,{PERSON},{TOKEN}city,7", "901,u9,,8", f"902,{TOKEN}too,c1,9")
    with project(root) as p:
        p.run()
        _, one = forget(p, "orders", subject=[PERSON])
        _, two = forget(p, "orders", subject=[f"{TOKEN}too"])
        assert one["versions_erased"]
        for stage, numbers in two["versions_erased"].items():
            assert not set(numbers) & set(one["versions_erased"].get(stage, ())), stage
        is_gone(p)


def test_an_earlier_state_that_a_gate_still_shows(tmp_path: Path) -> None:
    plan = """\
  good: {from: orders, steps: [{derive: {columns: {m: "amount + 1"}}}], expect: [{column: amount, max: 1000}]}
  next: {from: good, steps: [{derive: {columns: {k: "m + 1"}}}]}
"""
    root = planned(tmp_path, plan)
    write(root, "a.csv", "1,u1,c1,5", f"2,{PERSON},{TOKEN}city,7")
    with project(root) as p:
        p.run()
        write(root, "a.csv", "1,u1,c1,5000", "2,u9,c2,7")
        assert p.run().failed == ["good"]
        forget(p, "orders", subject=[PERSON])
        assert p.read("next").select("id", "amount", "k").rows() == [(1, 5, 7)]
        assert p.summary()["tables"]["good"]["rows"] == 1
        is_gone(p)
        write(root, "a.csv", "1,u1,c1,50", "2,u9,c2,7")
        p.run()
        assert sorted(p.read("next").select("id", "k").rows()) == [(1, 52), (2, 9)]
        assert verify(p.store).findings == ()


FILLED = "fill_missing: {columns: [city], with: most_frequent}"
PLAIN = 'derive: {columns: {q: "amount * 2"}}'
SUMS = "aggregate: {by: [amount], columns: {last: max(who), city: max(city)}}"
WORDS = "reference.Words: {column: city}"
RANKED = "reference.Ranked: {column: amount, most: 99}"
ABOVE = '  v: {from: t, steps: [{derive: {columns: {k: "amount + 1"}}}]}\n'


def table(step: str, name: str = "t", source: str = "orders") -> str:
    return f"  {name}: {{from: {source}, steps: [{{{step}}}]}}\n"


CHANGES = {
    "another step": (table(FILLED), table(PLAIN)),
    "no table": (table(FILLED), ""),
    "sums before": (table(SUMS), table(PLAIN)),
    "sums after": (table(FILLED), table(SUMS)),
    "a rank before sums": (table(RANKED), table(SUMS)),
    "other sums": (table(SUMS), table(SUMS.replace("max(city)", "count()"))),
    "later in the table": (table(FILLED), f"  t: {{from: orders, steps: [{{{SUMS}}}, {{{FILLED}}}]}}\n"),
    "children": (table(WORDS), table(PLAIN)),
    "children of sums": (table(SUMS) + table(WORDS, "w", "t"), table(SUMS) + table(PLAIN, "w", "t")),
    "in another table": (table(FILLED), table(FILLED, "x") + table(PLAIN, "t", "x")),
}
"""By name: the tables of a plan, and those of the plan that came after."""


@pytest.mark.parametrize("ran", [True, False], ids=["ran", "not ran"])
@pytest.mark.parametrize("change", CHANGES)
def test_what_an_earlier_plan_made(change: str, ran: bool, tmp_path: Path) -> None:
    before, after = CHANGES[change]
    (tmp_path / "reference.py").write_bytes(Path(reference.__file__).read_bytes())
    root = planned(tmp_path, before + ABOVE)
    write(root, "a.csv", *(f"{n},u{n % 4},,{n}" for n in range(9)), "902,u1,c1,7",
          *(f"{900 + n},{PERSON},{TOKEN}city {TOKEN}too,{7 + n}" for n in range(2)))  # fmt: skip
    with project(root) as p:
        p.run()
        assert p.read("t").filter(pl.col("city").str.contains(TOKEN)).height > (2 if FILLED in before else 0)
    planned(root, after + (ABOVE if "t: {from" in after else ""))
    with project(root) as p:
        if ran:
            p.run()
        forget(p, "orders", subject=[PERSON])
        assert scan(p.store.root) == []
        assert verify(p.store).findings == ()
        p.run()
        is_gone(p)


FEW = """\
  t: {from: orders, steps: [{kmeans: {columns: [amount], clusters: 5}}, {derive: {columns: {z: "amount + 1"}}}]}
  u: {from: t, steps: [{filter: "z > 0"}, {aggregate: {by: [city], columns: {n: count(), last: max(who)}}}]}
  other: {from: orders, steps: [{derive: {columns: {z: "amount + 1"}}}]}
models:
  m: {learn: ridge, from: t, input: [amount], target: z, split: {leak: false, test: 0.01}}
"""


def test_what_cannot_be_made_without_them_has_no_version(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """An erasure goes through all the same: a step that wants more rows than are left must not keep the person."""
    root = planned(tmp_path, FEW)
    write(root, "a.csv", *(f"{n},u{n},c{n},{n * n}" for n in range(4)), f"900,{PERSON},c8,777")
    with project(root) as p:
        p.run()
        p.summary(digest=True)  # so that the receipt has digests to compare
        told, _ = forget(p, "orders", subject=[PERSON])
        assert len(told["notes"]) == 1
        assert "t/1-kmeans could not be made without these rows" in told["notes"][0]
        assert scan(p.store.root) == []
        assert verify(p.store).findings == ()
        assert p.read("other").height == 4
        assert set(p.summary()["tables"]) == {"orders", "other"}
        assert p.summary(digest=True)["models"] == {}
        with pytest.raises(InputMissing, match="was erased"):
            p.read("u")
        assert {i.stage for i in intents(p) if i.runs} >= {"t/1-kmeans", "t", "u", "m"}
        with pytest.raises(BadData, match="make no 5 clusters"):
            p.run()
    for command in (["show"], ["show", "t"], ["show", "m"], ["plan"], ["check"], ["verify"]):
        code = ended([*command, "--plan", str(root)])
        assert code in (0, 66), (command, capsys.readouterr())
    assert ended(["run", "--plan", str(root), "--json"]) == 65
    assert set(json.loads(capsys.readouterr().out.splitlines()[-1])["tables"]) == {"orders", "other"}
    write(root, "b.csv", *(f"{n},u{n},c{n},{n * n}" for n in range(5, 9)))
    with project(root) as p:
        p.run()
        assert (p.read("t").height, p.read("u").height) == (8, 8)
        is_gone(p)


EARLIER = {
    "sums, and what was made of them": (
        table(SUMS) + table("aggregate: {by: [amount], columns: {last: max(last)}}", "v", "t"),
        table(PLAIN),
    ),
    "what a hidden step had made": (
        f'  t: {{from: orders, steps: [{{{SUMS}}}, {{derive: {{columns: {{k: "amount + 1"}}}}}}]}}\n',
        table(SUMS),
    ),
}
"""What a gate still shows of an earlier plan; and the plan after it, whose expectation fails."""


@pytest.mark.parametrize("shown", EARLIER)
def test_a_gate_that_never_let_through_what_the_plan_has_now(tmp_path: Path, shown: str) -> None:
    before, after = EARLIER[shown]
    root = planned(tmp_path, before)
    write(root, "a.csv", *others(0, 9), f"900,{PERSON},{TOKEN}city,7")
    with project(root) as p:
        p.run()
    planned(root, after.replace("]}", "], expect: [{column: amount, max: 1}]}"))
    with project(root) as p:
        assert p.run().failed == ["t"]
        assert p.read("t").filter(pl.col("last") == PERSON).height == 1
        forget(p, "orders", subject=[PERSON])
        assert scan(p.store.root) == []
        is_gone(p)


def test_what_a_row_of_somebody_else_was_is_not_taken_along(tmp_path: Path) -> None:
    """A table that shows fewer rows of the same files loses its earlier versions; the files are its source's, too."""
    before = table(SUMS) + "  k: {from: orders, steps: [{drop_duplicates: {columns: [city]}}]}\n"
    root = planned(tmp_path, before)
    write(root, "a.csv", "1,u1,c1,5", "2,u2,c2,6", f"900,{PERSON},{TOKEN}city,7", f"3,{TOKEN}other,c3,8")
    with project(root) as p:
        p.run()
    planned(root, before.replace(table(SUMS), "").replace("  k:", "  t:"))
    with project(root) as p:
        p.run()
        write(root, "a.csv", "1,u1,c1,5", "2,u2,c2,6", f"900,{PERSON},{TOKEN}city,7")
        p.run()
        forget(p, "orders", subject=[PERSON])
        assert sorted(p.read("orders", 1)["id"]) == [1, 2, 3]
        forget(p, "orders", subject=[f"{TOKEN}other"])
        assert sorted(p.read("orders", 1)["id"]) == [1, 2]
        is_gone(p)


CHILDREN = """\
  sums: {from: orders, steps: [{aggregate: {by: [city], columns: {amount: sum(amount), text: max(city)}}}]}
  words: {from: sums, steps: [{reference.Words: {column: text}}]}
"""


def test_children_of_sums(tmp_path: Path) -> None:
    (tmp_path / "reference.py").write_bytes(Path(reference.__file__).read_bytes())
    root = planned(tmp_path, CHILDREN)
    write(root, "a.csv", *others(0, 9), f"900,{PERSON},{TOKEN}city and {TOKEN}more,7", f"901,{PERSON},c1,7")
    with project(root) as p:
        p.run()
        assert p.read("words").filter(pl.col("text").str.contains(TOKEN)).height == 2
        forget(p, "orders", key=["900"])
        assert p.read("words")["text"].sort().to_list() == ["c0", "c1", "c2", "c3", "c4"]
        is_gone(p)


BEHIND = """\
  sums: {from: orders, steps: [{aggregate: {by: [city], columns: {total: sum(amount), n: count()}}}]}
  more: {from: sums, steps: [{derive: {columns: {double: "total * 2"}}}]}
  ranked: {from: orders, steps: [{reference.Ranked: {column: amount, most: 99}}, {filter: "amount < 100"}]}
models:
  m: {learn: ridge, from: more, input: [n], target: double, split: {test: 0.3, leak: false}}
  r: {learn: ridge, from: ranked, input: [amount], target: rank, split: {test: 0.3, leak: false}}
  o: {learn: ridge, from: orders, input: [amount], target: id, split: {test: 0.3, leak: false}, fit_on: 1}
"""


def test_models_that_saw_sums_are_foretold_and_so_are_copies_of_them(tmp_path: Path) -> None:
    (tmp_path / "reference.py").write_bytes(Path(reference.__file__).read_bytes())
    root = planned(tmp_path, BEHIND)
    write(root, "a.csv", *others(0, 40, 15))
    with project(root) as p:
        p.run()
        write(root, "b.csv", f"900,{PERSON},c1,777")
        p.run()
        for model in ("m", "r", "o"):
            assert record(p.store.catalog, model, 1, "onnx", tmp_path / f"{model}.onnx")
        before = {name: told["version"] for name, told in p.summary()["models"].items()}
        told = estimate(p, "orders", subject=[PERSON])
        assert told["models"] == ["m", "r"], "o is pinned to a version that never showed them"
        assert [copy["model"] for copy in told["handed_out"]] == ["m", "r", "o"], "its table had them, so it is named"
        forget(p, "orders", subject=[PERSON])
        after = {name: told["version"] for name, told in p.summary()["models"].items()}
        assert [name for name in before if after[name] > before[name]] == told["models"]
