"""Steps by name: from rooms, from plug-ins, from the project's own files."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from importlib.metadata import EntryPoint
from pathlib import Path
from types import ModuleType
from typing import Any

import polars as pl
import pytest
from pydantic import Field

from tillage.core.errors import ConfigurationError, UnknownName
from tillage.core.state import State
from tillage.core.step import Fitted, Fold, Map, Step, Verdict, Whole
from tillage.face.rooms import registry as rooms
from tillage.flow.configuration import parse
from tillage.flow.parameters import spelling
from tillage.flow.registry import Registry
from tillage.flow.run import Project


class SummariseColours(Map):
    colour: str = "red"
    share: float = Field(0.5, ge=0, le=1)

    def apply(self, rows: pl.DataFrame) -> pl.DataFrame:
        return rows


class Split(SummariseColours):
    pass


class Unexported(SummariseColours):
    pass


class DropLeaks(Whole):
    def compute(self, inputs: Mapping[str, pl.DataFrame]) -> Any:
        return inputs["rows"]


class Learner(Whole):
    target: str

    def compute(self, inputs: Mapping[str, pl.DataFrame]) -> Any:
        return {}


class Forest(Learner):
    pass


class Balance(Learner):
    """Has a target, yet prepares: the room decides."""


class ForestModel(Fitted):
    def apply(self, rows: pl.DataFrame) -> pl.DataFrame:
        return rows


class Unfinished(Map):
    pass


class Expect(Fold):
    def start(self) -> State:
        return 0

    def update(self, state: State, rows: pl.DataFrame) -> State:
        return state

    def merge(self, a: State, b: State) -> State:
        return a

    def finish(self, state: State) -> Verdict:
        return Verdict(name="n", passed=True, measured=0, limit=None, why="")


class Profile(Expect):
    pass


class ClassificationReport(Expect):
    pass


class RegressionReport(Expect):
    pass


class NaiveBaseline(Expect):
    pass


def room(name: str, *things: object) -> ModuleType:
    module = ModuleType(f"rooms.{name}")
    names = [getattr(thing, "__name__", str(thing)) for thing in things]
    vars(module).update(zip(names, things, strict=True), __all__=names, Unexported=Unexported)
    return module


ROOMS = [
    room("prepare", SummariseColours, Split, DropLeaks, Balance, Unfinished, spelling),
    room("govern", Expect, Profile),
    room("learn", Forest, ForestModel),
    room("evaluate", ClassificationReport, RegressionReport, NaiveBaseline),
]
REGISTRY = Registry.discover(ROOMS, plugins=False)

OWN = """
import polars as pl
from tillage.core import Fitted, Map, Whole
from own_words import WORD

class Clean(Map):
    word: str = WORD
    def apply(self, rows: pl.DataFrame) -> pl.DataFrame:
        return rows

class Model(Whole):
    target: str
    def compute(self, inputs):
        return {}

class Half(Map):
    pass

class Known(Fitted):
    def apply(self, rows: pl.DataFrame) -> pl.DataFrame:
        return rows

NOT = 1
"""


@pytest.fixture
def project(tmp_path: Path) -> Iterator[Path]:
    """A folder with own steps; what is imported from it is forgotten afterwards."""
    (tmp_path / "my_steps.py").write_text(OWN)
    (tmp_path / "own_words.py").write_text("WORD = 'fever'\n")
    before, paths = set(sys.modules), list(sys.path)
    yield tmp_path
    for name in set(sys.modules) - before:
        del sys.modules[name]
    sys.path[:] = paths


def test_what_is_exported_is_found_with_its_room() -> None:
    assert REGISTRY.rooms == {
        "summarise_colours": "prepare",
        "split": "prepare",
        "drop_leaks": "prepare",
        "balance": "prepare",
        "expect": "govern",
        "profile": "govern",
        "forest": "learn",
        "forest_model": "learn",
        "classification_report": "evaluate",
        "regression_report": "evaluate",
        "naive_baseline": "evaluate",
    }


def test_each_role_is_found() -> None:
    assert REGISTRY.learners == {"forest": Forest}
    assert REGISTRY.fitted == {"forest_model": ForestModel}
    assert REGISTRY.sources == {}
    assert set(REGISTRY.steps) == {"summarise_colours", "split", "drop_leaks", "balance"}
    assert REGISTRY.report_of("classification") is ClassificationReport
    assert REGISTRY.report_of("regression") is RegressionReport
    found = (REGISTRY.baseline, REGISTRY.split, REGISTRY.leaks, REGISTRY.expect, REGISTRY.profile)
    assert found == (NaiveBaseline, Split, DropLeaks, Expect, Profile)


def test_a_saved_result_is_loaded_as_its_class(project: Path) -> None:
    registry = REGISTRY.within(project)
    assert registry.fitted_class("forest_model") is ForestModel
    assert registry.fitted_class("my_steps.Known").__name__ == "Known"
    with pytest.raises(ConfigurationError, match="'forest' is not a Fitted"):
        registry.fitted_class("forest")


def test_a_role_that_is_missing_or_of_another_kind_is_told() -> None:
    with pytest.raises(UnknownName, match="No Fold is called 'naive_baseline'"):
        _ = Registry({}).baseline
    with pytest.raises(ConfigurationError, match="Split must be a Map"):
        _ = Registry({"prepare": [type("Split", (DropLeaks,), {"__module__": __name__})]}).split


@pytest.mark.parametrize("name", ["summarise_colours", "summarize_colours", "summarize_colors", "summarise_colors"])
def test_both_spellings_mean_one_step(name: str) -> None:
    assert REGISTRY.step(name, color="blue") == SummariseColours(colour="blue")


@pytest.mark.parametrize(
    ("british", "american"),
    [
        ("normalise", "normalize"),
        ("standardised", "standardized"),
        ("tokeniser", "tokenizer"),
        ("normalisation", "normalization"),
        ("analyse", "analyze"),
        ("colour_jitter", "color_jitter"),
        ("neighbours", "neighbors"),
        ("centre", "center"),
    ],
)
def test_spellings_meet(british: str, american: str) -> None:
    assert spelling(british) == spelling(american) == american


def test_wrong_names_and_parameters_are_told() -> None:
    with pytest.raises(UnknownName, match=r"No step is called 'forrest'. Did you mean 'forest'\?"):
        REGISTRY.step("forrest")
    with pytest.raises(ConfigurationError) as caught:
        REGISTRY.step("split", share=8, colours="red")
    assert str(caught.value).splitlines() == [
        "'share' of Split must be between 0 and 1, got 8. Did you mean 0.8?",
        "Split has no 'colours'. Did you mean 'colour'?",
    ]


def test_two_steps_of_one_name_are_refused() -> None:
    other = type("Split", (SummariseColours,), {"__module__": "elsewhere"})
    with pytest.raises(ConfigurationError, match=r"Two steps are called 'split': .*elsewhere\.Split"):
        Registry({"prepare": [Split], "learn": [other]})


def test_a_class_without_a_name_in_plans_is_told() -> None:
    local = type("Local", (SummariseColours,), {"__module__": "__main__"})
    with pytest.raises(ConfigurationError, match="put it into a file of the project"):
        REGISTRY.name_of(local)


# ---- the project's own


def test_own_steps_come_from_the_folder_of_the_plan(project: Path) -> None:
    registry = REGISTRY.within(project)
    step = registry.step("my_steps.Clean")
    assert step == registry.step("my_steps.Clean", word="fever")
    assert registry.name_of(type(step)) == "my_steps.Clean"


def test_own_steps_stand_in_a_plan(project: Path) -> None:
    text = "tables: {a: {from: b}, b: {from: c, steps: [my_steps.Clean: {word: x}]}, c: {from: a}}"
    with pytest.raises(ConfigurationError) as caught:
        parse(text, project, REGISTRY)
    assert len(caught.value.problems) == 1  # the circle: the step was found


@pytest.mark.parametrize("name", ["yaml", "colorsys"])  # one is loaded already, the other is not
def test_own_files_never_stand_in_for_installed_modules(project: Path, name: str) -> None:
    sys.modules.pop("colorsys", None)
    (project / f"{name}.py").write_text("raise SystemExit('taken over')\n")
    with pytest.raises(ConfigurationError, match=f"another module is called '{name}'"):
        REGISTRY.within(project).find(f"{name}.Clean")


def test_two_projects_may_each_have_a_module_of_one_name(
    project: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    other = tmp_path_factory.mktemp("other")
    (other / "my_steps.py").write_text(OWN.replace("from own_words import WORD", "WORD = 'cough'"))
    first, second = (REGISTRY.within(root).step("my_steps.Clean").params() for root in (project, other))
    assert (first, second) == ({"word": "fever"}, {"word": "cough"})
    assert REGISTRY.within(project).step("my_steps.Clean").params() == {"word": "fever"}


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("my_step.Clean", "There is no file my_step.py beside the plan for 'my_step.Clean'. Did you mean 'my_steps'?"),
        ("my_steps.Claen", "my_steps.py has no class 'Claen'. Did you mean 'Clean'?"),
        ("my_steps.Half", "'my_steps.Half' is not finished: it lacks apply."),
        (
            "my_steps.NOT",
            "'my_steps.NOT' is not a step: it must be a class derived from Map, Fold, Fit, Group or Whole.",
        ),
        ("broken.Clean", "broken.py could not be loaded: ZeroDivisionError: division by zero."),
        ("..my_steps.Clean", "'..my_steps.Clean' is neither a step nor module.Class of a file beside the plan."),
        ("os.system('x').a", "'os.system('x').a' is neither a step nor module.Class of a file beside the plan."),
        ("os.PathLike", "There is no file os.py beside the plan for 'os.PathLike'. Did you mean"),
    ],
)
def test_own_steps_that_cannot_be_had_are_told(project: Path, name: str, said: str) -> None:
    (project / "broken.py").write_text("1 / 0\n")
    with pytest.raises(ConfigurationError) as caught:
        REGISTRY.within(project).find(name)
    assert str(caught.value).startswith(said.removesuffix(" Did you mean"))


def test_without_a_folder_no_file_is_looked_for() -> None:
    with pytest.raises(ConfigurationError, match="neither a step nor"):
        REGISTRY.find("my_steps.Clean")


# ---- plug-ins


def plugged(value: str) -> Registry:
    return Registry({"prepare": [Split]}, lambda: [EntryPoint("clean", value, "tillage.steps")])


def test_a_plug_in_is_imported_when_it_is_named(project: Path) -> None:
    sys.path.append(str(project))
    registry = plugged("my_steps:Clean")
    assert "clean" in registry.names("step")
    assert "my_steps" not in sys.modules
    found: type[Step] = registry.find("clean")
    assert found.__module__ == "my_steps"
    assert registry.name_of(found) == "clean"
    assert registry.within(project).find("clean") is found


def test_a_broken_plug_in_is_named() -> None:
    with pytest.raises(
        ConfigurationError, match=r"The plug-in 'clean' \(absent_package:Clean\) could not be loaded: Mod"
    ):
        plugged("absent_package:Clean").find("clean")
    with pytest.raises(ConfigurationError, match="'pathlib:Path' is not a step"):
        plugged("pathlib:Path").find("clean")


PACKAGE = {
    "acme_steps/__init__.py": "from acme_steps.learnt import Level\n",
    "acme_steps/learnt.py": """\
from tillage.core import Fit, Fitted
class Levelled(Fitted):
    def apply(self, rows):
        return rows.with_columns(rows["n"] - self.state["level"])
class Level(Fit):
    def start(self):
        return {"level": 0}
    def update(self, state, rows):
        return {"level": max(state["level"], int(rows["n"].max() or 0))}
    def finish(self, state):
        return Levelled(state=state)
""",
    "acme_steps/other.py": "raise RuntimeError('imported for the sake of a name in stored data')\n",
}


def test_what_a_plug_in_learnt_is_found_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    installed, root = tmp_path / "site", tmp_path / "project"
    for folder in (installed / "acme_steps", root):
        folder.mkdir(parents=True)
    for name, text in PACKAGE.items():
        (installed / name).write_text(text, encoding="utf-8")
    monkeypatch.syspath_prepend(str(installed))
    (root / "a.csv").write_text("n\n1\n5\n", encoding="utf-8")
    plan = "tables:\n  a: {collect: {files: a.csv}, steps: [level]}\n"

    def plugged_in() -> Registry:
        every = rooms()
        found: dict[str, list[type[Step]]] = {}
        for name, room in every.rooms.items():
            found.setdefault(room, []).append(every.find(name))
        return Registry(found, lambda: [EntryPoint("level", "acme_steps:Level", "tillage.steps")], root)

    try:
        with Project(parse(plan, root, plugged_in()), plugged_in()) as p:
            p.run()
            assert p.read("a")["n"].to_list() == [-4, 0]
        for name in [m for m in sys.modules if m.startswith("acme_steps")]:
            del sys.modules[name]  # as in another process
        again = plugged_in()
        with Project(parse(plan, root, again), again) as p:
            assert p.run().changed == []
            [fitted] = p.maps("a")
            assert isinstance(fitted, Fitted)
            assert (type(fitted).__name__, fitted.state) == ("Levelled", {"level": 5})
        for name in ("acme_steps.other.Thing", "acme_steps.learnt.Nothing", "os.path.PathLike", "sys.modules.x"):
            with pytest.raises(ConfigurationError):
                again.find(name)
        assert "acme_steps.other" not in sys.modules
    finally:
        for name in [m for m in sys.modules if m.startswith("acme_steps")]:
            del sys.modules[name]
