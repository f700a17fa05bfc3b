"""Plans from YAML: what right ones become, what wrong ones are told, and that writing is the inverse of reading."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from types import ModuleType
from typing import Annotated, Any, Literal

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, ConfigDict, Field, SecretStr

from tillage.core.errors import ConfigurationError, InputMissing
from tillage.core.state import State
from tillage.core.step import Batch, Fitted, Fold, Found, Map, Source, Step, Verdict, Whole
from tillage.flow.configuration import load, parse
from tillage.flow.plan import Model, Plan, Service, Split, Table
from tillage.flow.registry import Registry
from tillage.flow.writing import to_yaml

ROOT = Path("/data/symptoms")


class Files(Source):
    files: str | tuple[str, ...] = Field(min_length=1, description="pattern of the files to read")
    delimiter: str = Field(",", min_length=1, max_length=1)
    types: dict[str, str] = {}
    password: SecretStr | None = Field(None, min_length=8)

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


class Rowwise(Map):
    def apply(self, rows: pl.DataFrame) -> pl.DataFrame:
        return rows


class Normalize(Rowwise):
    columns: tuple[str, ...] = Field(min_length=1, description="text columns to normalise")
    form: Literal["NFC", "NFKC"] = "NFKC"
    lower: bool = False


class Filter(Rowwise):
    where: str = Field(min_length=1, description="condition that a row must fulfil")
    reason: str = "filtered"


class Fill(Rowwise):
    column: str
    value: str | float | bool | None
    colour: str = "red"


class First(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    first: str


class DropDuplicates(Whole):
    columns: tuple[str, ...] = ()
    similarity: float = Field(1.0, ge=0, le=1)
    permutations: int = Field(128, gt=15, le=1024)
    keep: Literal["smallest_id"] | First = "smallest_id"

    def compute(self, inputs: Mapping[str, pl.DataFrame]) -> Any:
        return inputs["rows"]


class Join(Whole):
    ports = ("rows", "other")
    on: str

    def compute(self, inputs: Mapping[str, pl.DataFrame]) -> Any:
        return inputs["rows"]


class Tally(Fold):
    """A Fold without anything to do."""

    def start(self) -> State:
        return 0

    def update(self, state: State, rows: pl.DataFrame) -> State:
        return state

    def merge(self, a: State, b: State) -> State:
        return a

    def finish(self, state: State) -> Verdict:
        return Verdict(name="n", passed=True, measured=0, limit=None, why="")


class Scale(Tally):
    columns: tuple[str, ...] = Field(min_length=1)


class Scaled(Fitted):
    def apply(self, rows: pl.DataFrame) -> pl.DataFrame:
        return rows


class Check(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    column: str
    not_null: bool = False
    min: Annotated[float, Field(ge=-1000)] | None = None
    one_of: tuple[str | int, ...] = ()


class Expect(Tally):
    checks: tuple[Check, ...] = Field(min_length=1)


class Profile(Tally):
    bins: int = Field(20, ge=2)


class TextClassifier(Whole):
    input: str | tuple[str, ...] = Field(min_length=1, description="column or columns of text")
    target: str = Field(min_length=1, description="column to learn")
    strength: float = Field(1.0, gt=0)
    seed: int = 0

    def compute(self, inputs: Mapping[str, pl.DataFrame]) -> Any:
        return {}


class ClassificationReport(Tally):
    pass


def room(name: str, *classes: type[Step]) -> ModuleType:
    module = ModuleType(f"rooms.{name}")
    vars(module).update({cls.__name__: cls for cls in classes}, __all__=[cls.__name__ for cls in classes])
    return module


REGISTRY = Registry.discover(
    [
        room("collect", Files),
        room("prepare", Normalize, Filter, Fill, DropDuplicates, Join, Scale, Scaled),
        room("govern", Expect, Profile),
        room("learn", TextClassifier),
        room("evaluate", ClassificationReport),
    ],
    plugins=False,
)

GOOD = """
project: symptoms
tables:
  notes:   {collect: {files: data/*.csv}, key: id, subject: patient}
  clean:
    from: notes
    steps:
      - normalize: {columns: [text]}
      - drop_duplicates: {columns: [text], similarity: 0.8}
      - scale: [age]
      - filter: age > 7
    expect:
      - {column: disease, not_null: true}
    profile: true
    fit_on: {scale: 3}
models:
  triage: {learn: text_classifier, from: clean, input: text, target: disease, split: {test: 0.3, group: patient}}
services:
  desk: {model: triage, from: notes}
"""


def read(text: str) -> Plan:
    return parse(text, ROOT, REGISTRY)


def complaints(text: str) -> list[str]:
    with pytest.raises(ConfigurationError) as caught:
        read(text)
    return str(caught.value).splitlines()


def table(body: str) -> str:
    return "tables:\n  notes: {collect: {files: '*.csv'}}\n  clean:\n" + "".join(
        f"    {line}\n" for line in body.splitlines()
    )


def model(body: str) -> str:
    return "tables:\n  notes: {collect: {files: '*.csv'}}\nmodels:\n  triage: {" + body + "}\n"


# ---- right plans


def test_a_plan_is_read() -> None:
    assert read(GOOD) == Plan(
        project="symptoms",
        root=ROOT,
        store=ROOT / ".tillage",
        tables={
            "notes": Table(name="notes", source=Files(files="data/*.csv"), key=("id",), subject="patient"),
            "clean": Table(
                name="clean",
                inputs=(("rows", "notes"),),
                steps=(
                    Normalize(columns=("text",)),
                    DropDuplicates(columns=("text",), similarity=0.8),
                    Scale(columns=("age",)),
                    Filter(where="age > 7"),
                ),
                expect=Expect(checks=(Check(column="disease", not_null=True),)),
                profile=Profile(),
                fit_on={"scale": 3},
            ),
        },
        models={
            "triage": Model(
                name="triage",
                learner=TextClassifier(input="text", target="disease"),
                table="clean",
                split=Split(test=0.3, group="patient"),
            )
        },
        services={"desk": Service(name="desk", model="triage", table="notes")},
        file="tillage.yaml",
    )


def test_a_plan_without_anything_has_the_name_of_its_folder() -> None:
    plan = parse("tables:", Path("/data/My Symptoms"), REGISTRY)
    assert (plan.project, plan.tables, plan.store) == ("my_symptoms", {}, Path("/data/My Symptoms/.tillage"))


@pytest.mark.parametrize(
    ("written", "ports"),
    [
        ("from: notes", (("rows", "notes"),)),
        ("from: [notes, more]", (("rows", "notes"), ("rows", "more"))),
        ("from: [notes, more]\nsteps: [join: id]", (("rows", "notes"), ("other", "more"))),
        ("from: {other: more, rows: notes}\nsteps: [{join: {on: id}}]", (("other", "more"), ("rows", "notes"))),
    ],
)
def test_inputs_find_their_ports(written: str, ports: tuple[tuple[str, str], ...]) -> None:
    text = table(written) + "  more: {collect: {files: 'x.csv'}}\n"
    assert read(text).tables["clean"].inputs == ports


@pytest.mark.parametrize(
    ("written", "leak"), [("true", 1.0), ("false", None), ("no", None), ("{similarity: 0.8}", 0.8)]
)
def test_leaks_may_be_near_or_let_be(written: str, leak: float | None) -> None:
    plan = read(model(f"learn: text_classifier, from: notes, input: a, target: b, split: {{leak: {written}}}"))
    assert plan.models["triage"].split == Split(leak=leak)


def test_a_learner_takes_its_parameters_flat_or_below() -> None:
    flat = read(model("learn: text_classifier, from: notes, input: a, target: b, strength: 2"))
    below = read(model("learn: {text_classifier: {strength: 2, input: a}}, from: notes, target: b"))
    assert flat.models == below.models


@pytest.mark.parametrize("step", ["normalise: [a]", "Normalise: [a]", "normalize: [a]"])
def test_both_spellings(step: str) -> None:
    if step[0].isupper():
        assert "Did you mean 'normalize'?" in complaints(table(f"from: notes\nsteps: [{step}]"))[0]
    else:
        assert read(table(f"from: notes\nsteps: [{step}]")).tables["clean"].steps == (Normalize(columns=("a",)),)


def test_a_parameter_has_both_spellings_but_once() -> None:
    fill = "from: notes\nsteps:\n- fill: {column: a, value: 1, color: blue}"
    assert read(table(fill)).tables["clean"].steps == (Fill(column="a", value=1, colour="blue"),)
    [complaint] = complaints(table(fill.replace("color", "colour: red, color")))
    assert complaint.endswith("'color' and another spelling of it stand here both.")


def test_yes_and_no_are_truth_values_where_those_are_wanted() -> None:
    assert read(table("from: notes\nsteps:\n- normalize: {columns: [a], lower: yes}")).tables["clean"].steps == (
        Normalize(columns=("a",), lower=True),
    )


def test_what_is_quoted_is_text() -> None:
    plan = read("tables: {'007': {collect: {files: 'a'}, key: ['007', 'no', '1:30', '2024-01-01']}}")
    assert plan.tables["007"].key == ("007", "no", "1:30", "2024-01-01")


def test_an_unquoted_date_is_its_text() -> None:
    assert read("tables: {a: {collect: {files: x}, key: 2024-01-01}}").tables["a"].key == ("2024-01-01",)


def test_aliases_may_be_used() -> None:
    text = "tables:\n  a: {collect: {files: x}, key: &k [id]}\n  b: {collect: {files: y}, key: *k}"
    assert read(text).tables["b"].key == ("id",)


# ---- wrong plans, one message each

WRONG = {
    "unknown key of the plan": ("porject: x", "1:1  The plan has no 'porject'. Did you mean 'project'?"),
    "not a mapping": ("- a", "1:1  the plan must be a mapping of names to values, got a list of 1."),
    "unknown key of a table": (
        table("form: notes\nfrom: notes"),
        "4:5  Table 'clean' has no 'form'. Did you mean 'from'?",
    ),
    "unknown step": (
        table("from: notes\nsteps:\n  - normlize: {columns: [a]}"),
        "6:9  No step is called 'normlize'. Did you mean 'normalize'?",
    ),
    "unknown source": (
        "tables: {a: {collect: {file: x}}}",
        "1:24  No source is called 'file'. Did you mean 'files'?",
    ),
    "unknown learner": (
        model("learn: text_clasifier, from: notes, target: b"),
        "4:19  No learner is called 'text_clasifier'. Did you mean 'text_classifier'?",
    ),
    "unknown table": (table("from: note"), "4:11  No table is called 'note'. Did you mean 'notes'?"),
    "unknown table of a model": (
        model("learn: text_classifier, from: nodes, input: a, target: b"),
        "4:42  No table is called 'nodes'. Did you mean 'notes'?",
    ),
    "unknown model of a service": (
        table("from: notes") + "services: {desk: {model: triage, from: clean}}",
        "5:26  No model is called 'triage'. Known: none.",
    ),
    "a value out of bounds": (
        table("from: notes\nsteps:\n  - drop_duplicates: {similarity: 8}"),
        "6:39  'similarity' of DropDuplicates must be between 0 and 1, got 8. Did you mean 0.8?",
    ),
    "a percentage": (
        table("from: notes\nsteps:\n  - drop_duplicates: {similarity: 85}"),
        "6:39  'similarity' of DropDuplicates must be between 0 and 1, got 85. Did you mean 0.85?",
    ),
    "a whole number out of bounds": (
        table("from: notes\nsteps: [drop_duplicates: {permutations: 15}]"),
        "5:45  'permutations' of DropDuplicates must be above 15 and at most 1024, got 15.",
    ),
    "text for a number": (
        table("from: notes\nsteps: [drop_duplicates: {similarity: high}]"),
        "5:43  'similarity' of DropDuplicates must be a number, got 'high'.",
    ),
    "text for a list": (
        table("from: notes\nsteps: [normalize: text]"),
        "5:24  'columns' of Normalize must be a list, got 'text'. Did you mean [text]?",
    ),
    "none of the choices": (
        table("from: notes\nsteps: [normalize: {columns: [a], form: nfkd}]"),
        "5:45  'form' of Normalize must be one of 'NFC' or 'NFKC', got 'nfkd'.",
    ),
    "either of two": (
        table("from: notes\nsteps: [drop_duplicates: {keep: last}]"),
        "5:37  'keep' of DropDuplicates must be one of 'smallest_id' or a mapping of names to values, got 'last'.",
    ),
    "unknown parameter": (
        table("from: notes\nsteps: [normalize: {colums: [a], columns: [b]}]"),
        "5:25  Normalize has no 'colums'. Did you mean 'columns'?",
    ),
    "missing parameter": (
        table("from: notes\nsteps: [normalize]"),
        "5:13  'columns' of Normalize is missing: text columns to normalise.",
    ),
    "missing target": (
        model("learn: text_classifier, from: notes, input: a"),
        "4:19  'target' of TextClassifier is missing: column to learn.",
    ),
    "unknown key of a model": (
        model("learn: text_classifier, from: notes, input: a, target: b, traget: c"),
        "4:70  TextClassifier has no 'traget'. Did you mean 'target'?",
    ),
    "bare value without an obvious place": (
        table("from: notes\nsteps: [drop_duplicates: text]"),
        "5:30  DropDuplicates needs its parameters by name, such as {columns: ...}.",
    ),
    "parameters beside the step": (
        table("from: notes\nsteps:\n  - normalize:\n    columns: [a]"),
        "7:9  A step of table 'clean' must name one step; if 'columns' belongs to 'normalize', indent it below 'normalize:'.",
    ),
    "parameters beside the source": (
        "tables: {a: {collect: {files: x, delimiter: ;}}}",
        "1:34  'collect' of table 'a' must name a source; if 'delimiter' belongs to 'files', indent it below 'files:'.",
    ),
    "inside a list": (
        table("from: notes\nexpect:\n- {column: a}\n- {colum: b, column: c}"),
        "7:8  Expect has no 'checks[1].colum'. Did you mean 'column'?",
    ),
    "missing inside a list": (
        table("from: notes\nexpect: [{not_null: true}]"),
        "5:14  'checks[0].column' of Expect is missing.",
    ),
    "out of bounds inside a list": (
        table("from: notes\nexpect: [{column: a, min: -2000}]"),
        "5:31  'checks[0].min' of Expect must be at least -1000, got -2000.",
    ),
    "no where text is wanted": (
        table("from: notes\nsteps: [normalize: [text, no]]"),
        "5:31  'columns[1]' of Normalize must be text, but YAML reads no as false. Write \"no\".",
    ),
    "on where anything goes": (
        table("from: notes\nsteps: [fill: {column: a, value: On}]"),
        '5:38  YAML reads On as true. Write "On" for the text, or true.',
    ),
    "007 as key": (
        "tables: {a: {collect: {files: x}, key: 007}}",
        '1:40  YAML reads 007 as 7. Write "007" for the text, or 7.',
    ),
    "a time of day": (
        table("from: notes\nsteps: [fill: {column: a, value: 12:30}]"),
        '5:38  YAML reads 12:30 as 750. Write "12:30" for the text, or 750.',
    ),
    "a number as key": (
        "tables: {a: {collect: {files: x}, key: 12}}",
        "1:40  'key' of table 'a' must be text, but YAML reads 12 as a number. Write \"12\".",
    ),
    "a truth value as a name": (
        "tables: {true: {collect: {files: x}}}",
        '1:10  A key must be a text, but YAML reads true as a truth value. Write "true".',
    ),
    "a name that is none": (
        "tables: {Old Notes: {collect: {files: x}}}",
        "1:10  'Old Notes' cannot be the name of a table: lower-case letters, digits, - and _, at most 64, "
        "a letter or digit first. Did you mean 'old_notes'?",
    ),
    "a path as a name": (
        "project: ../../etc",
        "1:10  '../../etc' cannot be the name of a project: lower-case letters, digits, - and _, at most 64, "
        "a letter or digit first. Did you mean 'etc'?",
    ),
    "one name twice": (
        "tables:\n  a: {collect: {files: x}}\n  a:",
        "3:3  'a' stands here twice; the first is on line 2.",
    ),
    "one name for two things": (
        model("learn: text_classifier, from: notes, input: a, target: b").replace("triage", "notes"),
        "4:3  'notes' is already the name of a table; a model needs another.",
    ),
    "neither collect nor from": (
        "tables: {a: {key: id, collect: {files: x}}, b: {}}",
        "1:48  Table 'b' needs 'collect' or 'from'.",
    ),
    "both collect and from": (
        table("from: notes\ncollect: {files: x}"),
        "4:5  Table 'clean' has both 'collect' and 'from': keep one.",
    ),
    "a key without a source": (
        table("from: notes\nkey: id"),
        "5:5  'key' of table 'clean' belongs to the table that collects; rows keep their ids.",
    ),
    "a circle": (
        "tables: {a: {from: c}, b: {from: a}, c: {from: b}, d: {from: d}}",
        "1:20  Tables are made from each other in a circle: a <- c <- b <- a.\n"
        "1:62  Tables are made from each other in a circle: d <- d.",
    ),
    "a learner among the steps": (
        table("from: notes\nsteps: [text_classifier: {input: a, target: b}]"),
        "5:13  'text_classifier' is not a step: it learns a model, so it belongs under 'models', as 'learn'.",
    ),
    "a source among the steps": (
        table("from: notes\nsteps: [files: x]"),
        "5:13  'files' is not a step: it reads data, so it belongs under 'collect'.",
    ),
    "a step as a learner": (
        model("learn: scale, from: notes, target: b"),
        "4:19  'scale' is not a learner: it belongs under the 'steps' of a table.",
    ),
    "a step that is no input": (
        table("from: notes\nsteps: [normalize: [a], join: id]"),
        "5:29  'join' takes several tables (rows, other), so it must be the first step of table 'clean'.",
    ),
    "a join of one": (
        table("from: notes\nsteps: [join: id]"),
        "4:11  'from' of table 'clean' must give 'join' its inputs: from: {rows: TABLE, other: TABLE}.",
    ),
    "ports that nothing has": (
        table("from: {left: notes}"),
        "4:11  'from' of table 'clean' must give a table without such a step its inputs: from: {rows: TABLE}.",
    ),
    "a pin on no step": (
        table("from: notes\nsteps: [scale: [a]]\nfit_on: {scael: 2}"),
        "6:14  No fitted step of table 'clean' is called 'scael'. Did you mean 'scale'?",
    ),
    "a pin on version 0": (
        table("from: notes\nsteps: [scale: [a]]\nfit_on: {scale: 0}"),
        "6:21  'fit_on.scale' of table 'clean' must be a version, at least 1, got 0.",
    ),
    "a share above one": (
        table("from: notes\nmax_quarantine: 5"),
        "5:21  'max_quarantine' of table 'clean' must be between 0 and 1, got 5. Did you mean 0.5?",
    ),
    "a split above one": (
        model("learn: text_classifier, from: notes, input: a, target: b, split: {test: 20}"),
        "4:84  'test' of 'split' of model 'triage' must be above 0 and below 1, got 20. Did you mean 0.2?",
    ),
    "a leak without its word": (
        model("learn: text_classifier, from: notes, input: a, target: b, split: {leak: 0.8}"),
        "4:84  'leak' of 'split' of model 'triage' must be true, false or {similarity: ...}, got 0.8. "
        "Did you mean {similarity: 0.8}?",
    ),
    "a test twice": (
        table("from: notes")
        .replace("clean:", "clean: {from: notes}\nmodels:\n  triage:")
        .replace(
            "    from: notes\n",
            "    {learn: text_classifier, from: notes, input: a, target: b, test_from: clean, split: {test: 0.5}}\n",
        ),
        "6:90  'test' of 'split' of model 'triage' means nothing beside 'test_from': keep one.",
    ),
    "a test on the training rows": (
        model("learn: text_classifier, from: notes, input: a, target: b, test_from: notes"),
        "4:81  'test_from' of model 'triage' must be another table than 'from'.",
    ),
    "a store elsewhere": ("store: s3://bucket/x", "1:8  'store' must be a folder, got 's3://bucket/x'."),
    "a secret": (
        "tables: {a: {collect: {files: {files: x, password: hunter2}}}}",
        "1:52  'password' of Files must be text of at least 8 characters.",
    ),
    "a merge": (
        "tables:\n  a: &a {collect: {files: x}}\n  b: {<<: *a, key: id, collect: {files: y}}",
        "3:7  Merging with '<<' is not supported: write the keys out.",
    ),
    "a tag": (
        "project: !!python/object/apply:os.getcwd []",
        "1:10  The tag 'tag:yaml.org,2002:python/object/apply:os.getcwd' is not allowed: a plan holds data only.",
    ),
    "a dotted name in no file": (
        table("from: notes\nsteps: [my_steps.Clean]"),
        "5:13  There is no file my_steps.py beside the plan for 'my_steps.Clean'.",
    ),
    "not YAML": (
        "tables: {a: [}",
        "1:14  This is not YAML that a plan can be: while parsing a flow node expected the node content, but found '}'.",
    ),
    "a tab": (
        "tables:\n\ta: 1",
        "2:1  This is not YAML that a plan can be: while scanning for the next token found character '\\t' that "
        "cannot start any token. Indent with spaces.",
    ),
    "two documents": (
        "project: a\n---\nproject: b",
        "2:1  This is not YAML that a plan can be: expected a single document in the stream but found another document. "
        "A plan is one document: remove the line '---'.",
    ),
    "a control character": ("project: a\x07", "1:11  The character U+0007 is not allowed in YAML."),
    "nothing": ("# only a comment", "1:1  The plan is empty. Begin with: project: NAME"),
}


@pytest.mark.parametrize("case", WRONG)
def test_a_wrong_plan_is_told_what_where_and_what_to_do(case: str) -> None:
    text, wanted = WRONG[case]
    assert complaints(text) == [f"tillage.yaml:{line}" for line in wanted.splitlines()]


def test_there_are_many_ways_to_be_wrong() -> None:
    assert len(WRONG) >= 50


def test_everything_is_said_at_once_and_in_order() -> None:
    text = (
        table("form: notes\nsteps:\n- normlize\n- drop_duplicates: {similarity: 8, colums: [a]}\n- fill: {column: no}")
        + "models:\n  triage: {learn: text_classifier, from: nodes}\nservices:\n  desk: {model: x}\n"
    )
    found = complaints(text)
    places = [tuple(map(int, line.split()[0].split(":")[1:])) for line in found]
    assert places == sorted(places)
    for part in (
        "no 'form'",
        "'clean' needs 'collect' or 'from'",
        "'normlize'",
        "got 8",
        "'colums'",
        "YAML reads no",
        "'value' of Fill is missing",
        "'nodes'",
        "'target' of TextClassifier",
        "'input' of TextClassifier",
        "'x'",
        "Service 'desk' needs 'from'",
    ):
        assert part in "\n".join(found)
    assert len(found) == 12


# ---- limits


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a: " + "[" * 10_000, "nested deeper than 50"),
        ("a: &a x\nb: [" + ", ".join(["*a"] * 101) + "]", "more than 100 aliases"),
        ("a: &a [*a]", "This value holds itself"),
        ("project: " + "x" * 1_000_001, "larger than 1 MB"),
        ("a0: &a0 [x, x]\n" + "".join(f"a{i}: &a{i} [*a{i - 1}, *a{i - 1}]\n" for i in range(1, 31)), "100000 values"),
        ("a0: &a0 [x]\n" + "".join(f"a{i}: &a{i} [*a{i - 1}]\n" for i in range(1, 60)), "nested deeper than 50"),
        ("project: " + "9" * 5000, "cannot be read as int"),
    ],
    ids=["depth", "aliases", "circle", "size", "laughs", "ladder", "digits"],
)
def test_a_hostile_file_is_refused_before_it_is_walked(text: str, said: str) -> None:
    assert any(said in line for line in complaints(text))


# ---- files


def test_a_plan_is_loaded_from_its_folder_or_file(tmp_path: Path) -> None:
    (tmp_path / "tillage.yaml").write_bytes(b"\xef\xbb\xbf" + GOOD.encode())
    plan = load(tmp_path / "tillage.yaml", REGISTRY)
    assert plan == load(tmp_path, REGISTRY)
    assert (plan.root, plan.store) == (tmp_path, tmp_path / ".tillage")
    assert plan.tables == read(GOOD).tables


def test_no_plan_and_no_text(tmp_path: Path) -> None:
    with pytest.raises(InputMissing, match="There is no plan at"):
        load(tmp_path, REGISTRY)
    (tmp_path / "tillage.yaml").write_bytes(b"project: x\nstore: caf\xe9\n")
    with pytest.raises(ConfigurationError, match=r"tillage\.yaml:2:1  The plan must be UTF-8"):
        load(tmp_path, REGISTRY)


# ---- round trip

texts = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=8) | st.sampled_from(
    ["no", "On", "007", "1:30", "2024-01-01", "null", "~", "1e3", "x: y", "# a", "0x1F", "<<", "=", "- a", "", " a"]
).filter(bool)
columns = st.lists(texts, min_size=1, max_size=3).map(tuple)
names = st.from_regex(r"\A[a-z0-9][a-z0-9_-]{0,9}\Z")
numbers = st.floats(allow_nan=False, allow_infinity=False)

steps = st.one_of(
    st.builds(Normalize, columns=columns, form=st.sampled_from(["NFC", "NFKC"]), lower=st.booleans()),
    st.builds(Filter, where=texts, reason=texts),
    st.builds(Fill, column=texts, value=texts | numbers | st.booleans() | st.none(), colour=texts),
    st.builds(
        DropDuplicates,
        columns=columns,
        similarity=st.floats(0, 1),
        permutations=st.integers(16, 1024),
        keep=st.just("smallest_id") | st.builds(First, first=texts),
    ),
    st.builds(Scale, columns=columns),
)
checks = st.builds(
    Check,
    column=texts,
    not_null=st.booleans(),
    min=st.none() | st.floats(-1000, 1e9),
    one_of=st.lists(texts | st.integers(), max_size=2).map(tuple),
)
sources = st.builds(
    Files,
    files=texts | columns,
    delimiter=st.sampled_from([",", ";", "\t", "|"]),
    types=st.dictionaries(texts, texts, max_size=2),
)


@st.composite
def plans(draw: st.DrawFn) -> Plan:
    called = draw(st.lists(names, min_size=3, max_size=7, unique=True))
    tables: dict[str, Table] = {}
    for name in called[:-2]:
        settings: dict[str, Any] = {
            "steps": tuple(draw(st.lists(steps, max_size=3))),
            "subject": draw(st.none() | texts),
            "max_quarantine": draw(st.floats(0, 1)),
            "expect": draw(st.none() | st.builds(Expect, checks=st.lists(checks, min_size=1, max_size=2).map(tuple))),
            "profile": draw(st.none() | st.builds(Profile, bins=st.integers(2, 30))),
        }
        if any(isinstance(step, Scale) for step in settings["steps"]):
            settings["fit_on"] = draw(st.just({}) | st.builds(lambda v: {"scale": v}, st.integers(1, 99)))
        earlier = sorted(tables)
        if earlier and draw(st.booleans()):
            if len(earlier) > 1 and draw(st.booleans()):
                settings["inputs"] = (("rows", earlier[0]), ("other", earlier[1]))
                settings["steps"] = (Join(on=draw(texts)), *settings["steps"])
            else:
                chosen = draw(st.lists(st.sampled_from(earlier), min_size=1, max_size=2, unique=True))
                settings["inputs"] = tuple(("rows", other) for other in chosen)
        else:
            settings |= {"source": draw(sources), "key": draw(st.just(()) | columns)}
        tables[name] = Table(name=name, **settings)
    own = draw(st.sampled_from(sorted(tables)))
    others = sorted(tables.keys() - {own})
    test = draw(st.none() | st.sampled_from(others)) if others else None
    leak = draw(st.none() | st.floats(0, 1, exclude_min=True))
    if test is None:
        shares = st.floats(0, 1, exclude_min=True, exclude_max=True)
        split = Split(test=draw(shares), group=draw(st.none() | texts), seed=draw(st.integers()), leak=leak)
    else:
        split = Split(leak=leak)
    learner = TextClassifier(input=draw(texts | columns), target=draw(texts), seed=draw(st.integers(0, 99)))
    pinned = draw(st.none() | st.integers(1, 9))
    return Plan(
        project=draw(names),
        root=ROOT,
        store=draw(st.sampled_from([ROOT / ".tillage", ROOT / "kept/here", Path("/elsewhere")])),
        tables=tables,
        models={
            called[-2]: Model(name=called[-2], learner=learner, table=own, split=split, test_table=test, fit_on=pinned)
        },
        services={called[-1]: Service(name=called[-1], model=called[-2], table=own)},
        file="tillage.yaml",
    )


@given(plans())
def test_what_is_written_reads_back_equal(plan: Plan) -> None:
    assert read(to_yaml(plan, REGISTRY)) == plan


def test_what_is_written_is_short() -> None:
    lines = to_yaml(read(GOOD), REGISTRY).splitlines()
    assert "      - filter: age > 7" in lines
    assert "      - scale: [age]" in lines
    assert "      - {column: disease, not_null: true}" in lines
    assert "    profile: true" in lines
    assert "    split: {test: 0.3, group: patient}" in lines
    assert not any("permutations" in line or "max_quarantine" in line or "store" in line for line in lines)


@given(st.text(max_size=60))
def test_no_text_breaks_the_reader(text: str) -> None:
    try:
        read(text)
    except ConfigurationError as error:
        assert error.problems
