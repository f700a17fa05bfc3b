"""Plans from YAML: what right ones become, what wrong ones are told, and that writing is the inverse of reading."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from types import ModuleType
from typing import Annotated, Any, Literal

import polars as pl
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import BaseModel, ConfigDict, Field, SecretStr

from tillage.core.errors import ConfigurationError, InputMissing
from tillage.core.state import State
from tillage.core.step import Batch, Fitted, Fold, Found, Map, Source, Step, Verdict, Whole
from tillage.face.rooms import registry as rooms
from tillage.flow.configuration import load, parse
from tillage.flow.plan import Model, Plan, Service, Split, Table
from tillage.flow.registry import Registry
from tillage.flow.writing import to_yaml

ROOT = Path("/data/symptoms")


class Files(Source):
    files: str | tuple[str, ...] = Field(min_length=1, description="pattern of the files to read")
    delimiter: str = Field(",", min_length=1, max_length=1)
    types: dict[str, str] = Field({}, description="column to type")
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
        ("from: [notes]", (("rows", "notes"),)),
        ("from: [notes, more]", (("notes", "notes"), ("more", "more"))),
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

WRONG = {case["case"]: case for case in yaml.safe_load(Path(__file__).with_name("wrong_plans.yaml").read_text())}


@pytest.mark.parametrize("case", WRONG)
def test_a_wrong_plan_is_told_what_where_and_what_to_do(case: str) -> None:
    assert complaints(WRONG[case]["plan"]) == [f"tillage.yaml:{line}" for line in WRONG[case]["said"]]


def test_there_are_many_ways_to_be_wrong() -> None:
    assert len(WRONG) >= 60


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
        ("project: " + "x" * 1_000_001, "larger than 1 MB, which no plan is. Name the file of the plan with --plan"),
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


def test_a_file_that_is_too_large_is_told_so_wherever_it_is_cut(tmp_path: Path) -> None:
    for before in range(3):
        (tmp_path / "tillage.yaml").write_text("p" * before + "字" * 400_000, "utf-8")
        with pytest.raises(ConfigurationError, match="larger than 1 MB, which no plan is"):
            load(tmp_path, REGISTRY)


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
            settings["fit_on"] = draw(st.dictionaries(st.just("scale"), st.integers(1, 99)))
        earlier = sorted(tables)
        if len(earlier) > 0 and draw(st.booleans()):
            if len(earlier) > 1 and draw(st.booleans()):
                settings["inputs"] = (("rows", earlier[0]), ("other", earlier[1]))
                settings["steps"] = (Join(on=draw(texts)), *settings["steps"])
            else:
                chosen = draw(st.lists(st.sampled_from(earlier), min_size=1, max_size=2, unique=True))
                settings["inputs"] = tuple((name if len(chosen) > 1 else "rows", name) for name in chosen)
        else:
            settings |= {"source": draw(sources), "key": draw(st.lists(texts, max_size=3, unique=True).map(tuple))}
        tables[name] = Table(name=name, **settings)
    own = draw(st.sampled_from(sorted(tables)))
    others = sorted(tables.keys() - {own})
    test = draw(st.none() | st.sampled_from(others)) if others else None
    leak = draw(st.none() | st.floats(0.1, 1))
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


@settings(max_examples=60)
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
    with suppress(ConfigurationError):
        assert read(text).file == "tillage.yaml"


@pytest.mark.parametrize(
    ("step", "said"),
    [
        (
            "fill_missing: {columns: [x], with: meen}",
            "'with' of FillMissing must be one of 'mean', 'median', 'min', 'max',",
        ),
        ("fill_missing: {columns: [x], with: meen}", "got 'meen'. Did you mean 'mean'?"),
        ("fill_missing: {columns: [x], wiht: mean}", "FillMissing has no 'wiht'. Did you mean 'with'?"),
        ("aggregate: {by: [x], columns: {n: cuont()}}", "No function is called 'cuont'. Did you mean 'count'?"),
    ],
)
def test_a_wrong_parameter_is_named_as_it_is_written(step: str, said: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        parse(f"tables:\n  n: {{collect: {{files: a.csv}}, steps: [{{{step}}}]}}\n", Path(), rooms())
    [problem] = caught.value.problems
    assert said in problem.message
    assert problem.message.endswith("?")
    assert problem.column > 50, "where the value stands, not the step"
