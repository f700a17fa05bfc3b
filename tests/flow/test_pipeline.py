"""The Python way gives the plan that YAML gives, and runs it through a project."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import polars as pl
import pytest
from pydantic import Field

import tillage
from tillage.core.errors import ConfigurationError, UsageError
from tillage.core.rows import ID, leave
from tillage.core.state import State
from tillage.core.step import Batch, Fitted, Fold, Found, Map, Source, Step, Verdict, Whole
from tillage.flow.configuration import parse
from tillage.flow.pipeline import Rows, Trained, folder, reader
from tillage.flow.plan import Plan, Split
from tillage.flow.registry import Registry


class Files(Source):
    files: str = Field(min_length=1)
    delimiter: str = ","

    def scan(self, root: Path) -> list[Found]:
        return []

    def checksum(self, root: Path, path: str) -> str:
        return ""

    def observe(self, root: Path, path: str) -> State:
        return {}

    def column_types(self, states: list[State]) -> dict[str, str]:
        return {}

    def read(self, root: Path, path: str, schema: Mapping[str, str]) -> Iterator[Batch]:
        return iter(())


class Upper(Map):
    column: str

    def apply(self, rows: pl.DataFrame) -> pl.DataFrame:
        return rows.with_columns(pl.col(self.column).str.to_uppercase())


class Filter(Map):
    least: int

    def apply(self, rows: pl.DataFrame) -> pl.DataFrame:
        return leave(rows, "short", pl.col("text").str.len_chars() < self.least)


class Join(Whole):
    ports = ("rows", "other")
    on: str

    def compute(self, inputs: Mapping[str, pl.DataFrame]) -> Any:
        return inputs["rows"]


class Expect(Fold):
    checks: tuple[str, ...] = Field(min_length=1)

    def start(self) -> State:
        return 0

    def update(self, state: State, rows: pl.DataFrame) -> State:
        return state

    def merge(self, a: State, b: State) -> State:
        return a

    def finish(self, state: State) -> Verdict:
        return Verdict(name="n", passed=True, measured=0, limit=None, why="")


class TextClassifier(Whole):
    input: str
    target: str

    def compute(self, inputs: Mapping[str, pl.DataFrame]) -> Any:
        return {}


class FirstLetter(Fitted):
    def apply(self, rows: pl.DataFrame) -> pl.DataFrame:
        return rows.with_columns(prediction=pl.col("text").str.slice(0, 1), confidence=pl.lit(0.5))


def room(name: str, *classes: type[Step]) -> ModuleType:
    module = ModuleType(f"rooms.{name}")
    vars(module).update({cls.__name__: cls for cls in classes}, __all__=[cls.__name__ for cls in classes])
    return module


ROOMS = [room("collect", Files), room("prepare", Upper, Filter, Join), room("govern", Expect)]
REGISTRY = Registry.discover([*ROOMS, room("learn", TextClassifier)], plugins=False)

files = reader(Files)

YAML = """
project: symptoms
tables:
  notes: {collect: {files: data/*.csv}, key: id, subject: patient}
  more: {collect: {files: {files: more.csv, delimiter: ;}}, steps: [upper: text], max_quarantine: 0.5}
  clean: {from: notes, steps: [upper: text, filter: 3], expect: [a], fit_on: {}}
  both: {from: [notes, more]}
  joined: {from: {rows: clean, other: more}, steps: [join: id]}
"""


class Told:
    """A project that writes down what it is asked for."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.asked: list[Any] = []

    def run(self, targets: Sequence[str] = ()) -> None:
        self.asked.append(("run", targets))

    def read(self, table: str) -> pl.DataFrame:
        self.asked.append(("read", table))
        return pl.DataFrame({"table": [table]})

    def model(self, name: str) -> Fitted:
        return FirstLetter(state={"name": name})

    def maps(self, table: str) -> Sequence[Map]:
        return [step for step in self.plan.tables[table].steps if isinstance(step, Map)]


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[list[Told]]:
    """The projects that are opened in a test, in order; the folder is none that an earlier test chose."""
    found: list[Told] = []

    def project(plan: Plan) -> Told:
        found.append(Told(plan))
        return found[-1]

    monkeypatch.setattr(tillage, "project", project, raising=False)
    monkeypatch.chdir(tmp_path)
    token = folder.set(None)
    yield found
    folder.reset(token)


def test_python_builds_the_tables_of_the_yaml() -> None:
    notes = files("data/*.csv", key="id", subject="patient").named("notes")
    more = (files("more.csv", delimiter=";") | Upper(column="text")).named("more").having(max_quarantine=0.5)
    clean = (notes | Upper(column="text") | Filter(least=3)).named("clean").having(expect=Expect(checks=("a",)))
    joined = (Rows.of(rows=clean, other=more) | Join(on="id")).named("joined")
    both = Rows.of(notes, more).named("both")
    wanted = parse(YAML, Path("/data"), REGISTRY).tables
    assert joined.tables() == {name: wanted[name] for name in ("notes", "clean", "more", "joined")}
    assert both.tables() == {name: wanted[name] for name in ("notes", "more", "both")}


def test_nameless_rows_find_their_table_again() -> None:
    def made(least: int) -> Rows:
        return files("a.csv", key=["id"]) | Upper(column="text") | Filter(least=least)

    (source, table), (same_source, other) = list(made(3).tables().values()), list(made(4).tables().values())
    assert made(3).tables() == made(3).tables()
    assert source == same_source  # its rows keep their ids, and so their side of a split
    assert source.key == ("id",)
    assert source.steps == ()
    assert table.name != other.name
    assert table.inputs == (("rows", source.name),)
    assert source.name.startswith("files-")
    assert table.name.startswith("filter-")


def test_a_name_ends_a_table() -> None:
    first = (files("a.csv") | Upper(column="a")).named("first")
    assert list((first | Upper(column="b")).named("second").tables()) == ["first", "second"]
    assert [len(t.steps) for t in (first | Upper(column="b")).named("second").tables().values()] == [1, 1]


def test_rows_are_never_changed() -> None:
    rows = files("a.csv")
    _ = rows | Upper(column="a")
    assert rows.having(subject="p") != rows
    assert rows == files("a.csv")


def test_one_name_for_two_tables_is_refused() -> None:
    rows = Rows.of(files("a.csv").named("x"), files("b.csv").named("x")).named("y")
    with pytest.raises(ConfigurationError, match="Two different tables are called 'x'"):
        rows.tables()


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (lambda: files("a.csv") | Upper, r"Rows are piped into Upper\(...\)"),
        (
            lambda: files("a.csv").__or__("upper"),  # type: ignore[operator]
            "Rows are piped into a step",
        ),
        (lambda: files("a.csv") | Files(files="b"), r"begins a pipeline: Rows.read\(Files"),
        (lambda: files("a.csv").named("Old Notes"), "'Old Notes' cannot be the name of a table"),
        (lambda: files("a.csv").named("notes\n"), "cannot be the name of a table"),
        (lambda: files("a.csv").having(max_quarantine=5), "must be between 0 and 1, got 5"),
        (lambda: files("a.csv", files="b.csv"), "Files needs its parameters by name"),
        (lambda: files("a.csv", delimeter=";"), r"Files has no 'delimeter'. Did you mean 'delimiter'\?"),
        (files, "'files' of Files is missing"),
        (Rows.of, "Give rows to be stacked"),
        (lambda: Rows.of(files("a"), other=files("b")), "Give rows to be stacked"),
        (lambda: Rows().named("a").table(), "come from nowhere"),
    ],
)
def test_wrong_calls_are_told(wrong: Any, said: str) -> None:
    with pytest.raises((UsageError, ConfigurationError), match=said):
        wrong()


def test_collect_brings_the_table_up_to_date_and_reads_it(opened: list[Told], tmp_path: Path) -> None:
    frame = (files("a.csv").named("notes") | Upper(column="text")).named("loud").collect()
    assert frame["table"].to_list() == ["loud"]
    assert opened[0].asked == [("run", ["loud"]), ("read", "loud")]
    assert (opened[0].plan.root, opened[0].plan.store) == (tmp_path, tmp_path / ".tillage")


def test_the_folder_of_the_project_is_that_of_the_rows(opened: list[Told], tmp_path: Path) -> None:
    token = folder.set(tmp_path / "elsewhere")
    try:
        files("a.csv").collect()
    finally:
        folder.reset(token)
    assert opened[0].plan.store == tmp_path / "elsewhere" / ".tillage"
    assert opened[0].plan.project == "elsewhere"


def test_a_learner_fits_rows_and_rows_fit_a_learner(opened: list[Told]) -> None:
    clean = (files("a.csv").named("notes") | Upper(column="text") | Filter(least=3)).named("clean")
    exam = files("exam.csv").named("exam")
    learner = TextClassifier(input="text", target="disease")
    first = learner.fit(clean)
    second = clean.fit(learner, split=Split(leak=None), name="triage", test=exam)
    assert isinstance(first, Trained)
    assert (first.name, second.name) == ("text_classifier", "triage")
    assert [project.asked for project in opened] == [[("run", ["text_classifier"])], [("run", ["triage"])]]
    text = """
tables:
  notes: {collect: {files: a.csv}}
  clean: {from: notes, steps: [upper: text, filter: 3]}
  exam: {collect: {files: exam.csv}}
models:
  triage: {learn: text_classifier, input: text, target: disease, from: clean, test_from: exam, split: {leak: false}}
"""
    wanted = parse(text, Path("/data"), REGISTRY)
    assert (opened[1].plan.tables, opened[1].plan.models) == (wanted.tables, wanted.models)


def trained(opened: list[Told]) -> Trained:
    clean = (files("a.csv").named("notes") | Upper(column="text") | Filter(least=3)).named("clean")
    model: Trained = clean.fit(TextClassifier(input="text", target="y"))
    return model


def test_one_row_is_predicted_through_the_same_maps(opened: list[Told]) -> None:
    assert trained(opened).predict({"text": "fever"}) == {"prediction": "F", "confidence": 0.5}


def test_a_row_that_is_turned_away_is_told(opened: list[Told]) -> None:
    with pytest.raises(UsageError, match="This row is turned away: short"):
        trained(opened).predict({"text": "ok"})


def test_many_rows_are_predicted_and_none_vanishes(opened: list[Told]) -> None:
    for rows in (
        pl.DataFrame({"text": ["fever", "ok", "cough"]}),
        [{"text": "fever"}, {"text": "ok"}, {"text": "cough"}],
    ):
        answer = trained(opened).predict(rows)
        assert answer["text"].to_list() == ["FEVER", "COUGH", "OK"]
        assert answer["prediction"].to_list() == ["F", "C", None]
        assert answer["_reason"].to_list() == [None, None, "short"]
        assert ID not in answer.columns


def test_importing_the_package_loads_no_room() -> None:
    said = "import sys, tillage; print([m for m in sys.modules if m.startswith('tillage.') or m == 'polars'])"
    source = str(Path(tillage.__file__).parents[1])
    done = subprocess.run(
        [sys.executable, "-c", said], capture_output=True, text=True, check=True, env={"PYTHONPATH": source}
    )
    assert done.stdout.strip() == "[]"


def test_the_package_knows_its_names() -> None:
    assert tillage.Rows is Rows
    assert set(tillage.__all__) <= set(dir(tillage))
    with pytest.raises(AttributeError, match="no attribute 'colect'"):
        _ = tillage.colect
