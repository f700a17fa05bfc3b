"""What an erasure meets: held-back versions, pins, models that cannot be trained, copies, changed subjects."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.flow.world import KEY

from tillage.core.errors import InputMissing, UsageError
from tillage.core.rows import ID
from tillage.face.rooms import project
from tillage.flow.run import Project
from tillage.promises import estimate, forget
from tillage.promises.copies import Search
from tillage.store.frames import is_frame
from tillage.store.gc import collect
from tillage.store.purge import QUARANTINE
from tillage.store.verify import verify


@pytest.fixture(autouse=True)
def key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TILLAGE_KEY", KEY)


class Shop:
    """A folder with a plan and files of a few rows."""

    def __init__(self, root: Path, plan: str) -> None:
        self.root = root
        (root / "tillage.yaml").write_text("project: shop\n" + plan)

    def write(self, name: str, *lines: str) -> None:
        (self.root / name).write_text("\n".join(lines) + "\n")

    def open(self) -> Project:
        return project(self.root)


def rows(n: int, more: int = 0) -> list[str]:
    return ["id,who,text,y,n", *(f"{i},u{i % 4},word{i % 5} {i},{'ab'[i % 2]},{i}" for i in range(more, n))]


def test_what_an_expectation_holds_back_stays_back(tmp_path: Path) -> None:
    plan = """\
tables:
  notes: {collect: {files: "*.csv"}, key: id}
  good: {from: notes, steps: [{derive: {columns: {m: "n + 1"}}}], expect: [{column: n, max: 20}]}
  sums: {from: good, steps: [{aggregate: {by: [who], columns: {all: sum(n)}}}]}
models:
  bayes: {learn: naive_bayes, from: good, input: text, target: y, split: {leak: false}}
"""
    shop = Shop(tmp_path, plan)
    shop.write("a.csv", *rows(20))
    with shop.open() as p:
        p.run()
        shop.write("b.csv", rows(0)[0], "99,u1,too much,a,99")
        assert p.run().failed == ["good"]
        forget(p, "notes", key=["5"])
        assert set(p.read("good")["id"].to_list()) == set(range(20)) - {5}, "the held-back row is not published"
        assert dict(p.read("sums").select("who", "all").rows())["u1"] == 1 + 9 + 13 + 17
        assert "word0" in p.model("bayes").state["vocabulary"]
        assert not verify(p.store).findings
        (tmp_path / "b.csv").unlink()
        p.run()
        assert set(p.read("good")["id"].to_list()) == set(range(20)) - {5}
        p.summary()


def test_a_fitted_step_is_refitted_on_the_version_that_it_is_pinned_to(tmp_path: Path) -> None:
    plan = """\
tables:
  notes: {collect: {files: "*.csv"}, key: id}
  full: {from: notes, steps: [{fill_missing: {columns: [n], with: max}}]}
models:
  bayes: {learn: naive_bayes, from: notes, input: text, target: y, fit_on: 1, split: {leak: false}}
"""
    shop = Shop(tmp_path, plan)
    shop.write("a.csv", *rows(20), "50,u1,rare word0,a,777", "51,u1,x,a,")
    with shop.open() as p:
        p.run()
        shop.write("b.csv", rows(0)[0], "60,u1,later,b,999", "61,u2,other,b,")
        p.run()
        assert dict(p.read("full").select("id", "n").rows())[51] == 777
        assert "rare" in p.model("bayes").state["vocabulary"]
        told, _ = forget(p, "notes", key=["50"])
        filled = dict(p.read("full").select("id", "n").rows())
        assert (filled[51], filled[61]) == (19, 19), "fitted on the first version less the row, not on the newest"
        vocabulary = p.model("bayes").state["vocabulary"]
        assert "rare" not in vocabulary
        assert "later" not in vocabulary
        assert told["refits"] == ["full/1-fill_missing"]
        assert p.run().changed == []
        with pytest.raises(InputMissing, match="was erased"):
            p.read("full", 1)


def test_a_model_that_cannot_be_trained_without_them_has_no_version(tmp_path: Path) -> None:
    plan = """\
tables:
  notes: {collect: {files: "*.csv"}, key: id}
models:
  bayes: {learn: naive_bayes, from: notes, input: text, target: y, split: {test: 0.01, leak: false}}
"""
    shop = Shop(tmp_path, plan)
    shop.write("a.csv", "id,text,y", *(f"{i},text {i},a" for i in range(9)), "77,only one,b")
    with shop.open() as p:
        p.run()
        told, receipt = forget(p, "notes", key=["77"])
        assert "bayes could not be trained" in told["notes"][0]
        assert receipt["models"]["bayes"][1] is None
        with pytest.raises(InputMissing, match="was erased"):
            p.model("bayes")
        shop.write("b.csv", "id,text,y", "78,another,b")
        p.run()
        assert p.model("bayes").state["classes"] == ["a", "b"]
        assert not verify(p.store).findings


def test_a_subject_is_followed_into_every_table_that_declares_it(tmp_path: Path) -> None:
    plan = """\
tables:
  people: {collect: {files: "people.csv"}, key: id, subject: id}
  visits: {collect: {files: "visits.csv"}, subject: who}
  stock: {collect: {files: "stock.csv"}, key: id}
  texts: {from: visits, steps: [{rename: {columns: {who: person}}}, {drop_duplicates: {columns: [text]}}]}
  words: {from: stock, steps: [{drop_duplicates: {columns: [text]}}]}
"""
    shop = Shop(tmp_path, plan)
    shop.write("people.csv", "id,name", "u1,Ann", "u2,Bob", "u3,Eve")
    shop.write("visits.csv", "who,text", "u1,hello", "u2,hello", "u1,hello", "u3,bye")
    shop.write("stock.csv", "id,text", "u1,same", "k2,same", "k3,same", "k4,other")
    with shop.open() as p:
        p.run()
        told = estimate(p, "people", where="name = 'Ann'")
        assert (told["asked"], told["subjects"], told["records"]) == (1, 1, 3)
        assert [(c["table"], c["rows"]) for c in told["undecided"]] == [("stock", 1)]
        before = p.read("stock").height
        forget(p, "people", where="name = 'Ann'")
        assert sorted(p.read("people")["id"].to_list()) == ["u2", "u3"]
        assert sorted(p.read("visits")["who"].to_list()) == ["u2", "u3"]
        assert sorted(p.read("texts")["person"].to_list()) == ["u2", "u3"], "a merged duplicate of another comes back"
        assert p.read("stock").height == before, "copies without a subject are not touched"
        merged = estimate(p, "stock", key=[p.read("words").filter(text="same")["id"][0]])["undecided"]
        assert [(c["table"], c["rows"]) for c in merged] == [("words", 2)]
        with pytest.raises(UsageError, match="declares a subject"):
            forget(p, "stock", subject=["u2"])


def test_an_earlier_state_under_another_subject_leaves_without_its_row(tmp_path: Path) -> None:
    plan = """\
tables:
  notes: {collect: {files: "*.csv"}, key: id, subject: who}
  last: {from: notes, steps: [{aggregate: {by: [n], columns: {t: max(text)}}}]}
  again: {from: last, steps: [{filter: "n > 0"}]}
"""
    shop = Shop(tmp_path, plan)
    shop.write("a.csv", "id,who,text,n", "1,u1,secret of u1,1", "2,u2,b,1", "3,u1,more of u1,2", "4,u3,z,2")
    with shop.open() as p:
        p.run()
        shop.write("a.csv", "id,who,text,n", "1,u2,moved,1", "2,u2,b,1", "3,u1,more of u1,2", "4,u3,z,2")
        p.run()
        forget(p, "notes", subject=["u1"])
        assert sorted(p.read("notes").select("id", "who").rows()) == [(1, "u2"), (2, "u2"), (4, "u3")]
        assert sorted(p.read("notes", 1)["id"].to_list()) == [2, 4]
        assert sorted(p.read("again").select("n", "t").rows()) == [(1, "moved"), (2, "z")]
        every = [p.store.objects.get_frame(c.object, c.checksum) for s in p.store.stages() for part in p.store.parts(s)
                 for c in p.store.every_chunk(s, part) if is_frame(c.object)]  # fmt: skip
        assert len(every) > 5
        assert not any("of u1" in str(frame.drop(ID).rows()) for frame in every)
        assert not verify(p.store).findings
        assert p.run().changed == []


def test_tables_that_the_plan_no_longer_has_are_purged_too(tmp_path: Path) -> None:
    plan = """\
tables:
  notes: {collect: {files: "*.csv"}, key: id}
"""
    more = """\
  copy: {from: notes, steps: [{filter: "n > 0"}]}
  sums: {from: notes, steps: [{aggregate: {by: [who], columns: {t: max(text)}}}]}
models:
  bayes: {learn: naive_bayes, from: copy, input: text, target: y, split: {leak: false}}
"""
    shop = Shop(tmp_path, plan + more)
    shop.write("a.csv", *rows(20), "50,u1,zzsecret,a,7")
    with shop.open() as p:
        p.run()
    (tmp_path / "tillage.yaml").write_text("project: shop\n" + plan)
    with shop.open() as p:
        forget(p, "notes", key=["50"])
        for stage in p.store.stages():
            for part in p.store.parts(stage):
                for c in p.store.every_chunk(stage, part):
                    data = p.store.objects.get(c.object, c.checksum)
                    whole = str(p.store.objects.get_frame(c.object, c.checksum).rows()) if part == "rows" else str(data)
                    assert "zzsecret" not in whole, (stage, part)
        assert p.store.count("copy") == 19
        assert not verify(p.store).findings


def test_a_quarantined_record_opens_after_its_file_was_renamed(tmp_path: Path) -> None:
    plan = """\
tables:
  notes: {collect: {files: "*.csv"}, key: id, subject: who, max_quarantine: 1}
"""
    shop = Shop(tmp_path, plan)
    shop.write("a.csv", *rows(8), "70,u3,short")
    with shop.open() as p:
        p.run()
        (tmp_path / "a.csv").rename(tmp_path / "b.csv")
        p.run()
        collect(p.store, keep=1)
        told, _ = forget(p, "notes", subject=["u3"])
        assert told["tables"]["notes"]["quarantined"] == 1
        assert not any("could not be opened" in note for note in told["notes"])
        assert p.store.frame("notes/source", QUARANTINE).is_empty()
        assert p.run().changed == []


def test_a_model_in_shards_is_learnt_again_on_the_version_that_it_is_pinned_to(tmp_path: Path) -> None:
    plan = """\
tables:
  notes: {collect: {files: "*.csv"}, key: id}
models:
  shards:
    from: notes
    fit_on: 1
    learn: {text_classifier: {input: text, target: y, shards: 2, min_rows: 1}}
    split: {test: 0.01, leak: false}
"""
    shop = Shop(tmp_path, plan)
    shop.write("a.csv", *rows(40), "50,u1,unheard word0,a,777")
    with shop.open() as p:
        p.run()
        shop.write("b.csv", rows(0)[0], "60,u1,later,b,999")
        p.run()
        forget(p, "notes", key=["50"])
        heard = {word for state in p.model("shards").state["shards"] for word in state["words"]}
        assert "word0" in heard
        assert not heard & {"unheard", "later"}
        assert p.report("shards")["shards"]["learnt"] == 1
        assert p.run().changed == []


def test_compound_keys_and_fields_are_matched_whole() -> None:
    search = Search(["Ann Lee", "a,b"], [("7", "x"), ("99",)])
    said = {
        "1,Ann Lee,": True, "1,Ann,Lee": False, "7,y": False, "7,x,": True, "x;7": True, "99": True, "199,99x": False,
        '{"id": "99"}': True, "note 99 here": False, "q,a,b": True,
    }  # fmt: skip
    assert {text: search.names(text) for text in said} == said
