"""The rules of the house, held by machine: sizes, names, bans, imports, documented exports.

Each scan is also shown something bad, so that a scan which sees nothing fails.
"""

from __future__ import annotations

import ast
import importlib
import inspect
import pkgutil
import re
import sys
import tomllib
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

import tillage

ROOT = Path(__file__).parents[1]
SRC = ROOT / "src"
OURS = sorted(path for folder in ("src", "tests", "benchmarks", "examples") for path in (ROOT / folder).rglob("*.py"))
COMPILED = sorted((SRC / "tillage/text/c").iterdir())
LONGEST = 600
NAMELESS = re.compile(r"(^|_)(utils?|common|helpers?|misc|managers?)(_|$)")

UNPICKLERS = {"pickle", "_pickle", "cPickle", "cloudpickle", "dill", "joblib", "marshal", "shelve"}
CALLS = {"eval", "exec", "compile", "__import__", "os.system", "os.popen", "yaml.load", "yaml.unsafe_load"}
CALLS |= {"yaml.full_load", "yaml.load_all", "yaml.unsafe_load_all", "yaml.full_load_all", "read_pickle", "torch.load"}
LOADERS = {"yaml.Loader", "yaml.FullLoader", "yaml.UnsafeLoader"}
SWITCHES = {"shell", "allow_pickle"}

HEAVY = {"cryptography", "jinja2", "lightgbm", "onnx", "onnxruntime", "pyarrow", "scipy", "skl2onnx", "sklearn"}
HEAVY |= {"tokenizers", "torch"}
IMPORT_NAMES = {
    "lazy-loader": "lazy_loader",
    "polars-hash": "polars_hash",
    "prometheus-client": "prometheus_client",
    "pyyaml": "yaml",
    "scikit-learn": "sklearn",
}

CONFINED = {"tillage.collect.decoder"}
"""Scripts that run in a process of their own, with nothing of ours beside them: what they open may break them."""

NO_EXAMPLE: dict[str, str] = {
    "tillage.core.BadRecord": "a record handed from a source to the runner: its fields are its use",
    "tillage.core.Batch": "the same",
    "tillage.core.Beside": "what a Comparing asks of the runner: tests/govern/test_references.py shows it",
    "tillage.core.Found": "the same",
    "tillage.core.Problem": "one line of a ConfigurationError, whose message shows it",
    "tillage.promises.Node": "asked of a project that has run: the README's tour and tests/promises show it",
    "tillage.promises.trace": "the same",
    "tillage.serve.serve": "it answers until it is told to end: tests/serve and docs/serving.md show it",
    "tillage.core.Verdict": "a result handed from a check to the runner: its fields are its use",
}
"""Public callables without a runnable example, each with its reason."""


def parse(path: Path) -> ast.Module:
    return ast.parse(path.read_text(), str(path))


def module_name(path: Path) -> str:
    parts = path.relative_to(SRC).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def modules() -> dict[str, ast.Module]:
    return {module_name(path): parse(path) for path in OURS if path.is_relative_to(SRC)}


def dotted(node: ast.expr) -> str:
    """`os.path.join` of the expression that says so; empty for anything that is not a name."""
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute):
        return f"{dotted(node.value)}.{node.attr}".strip(".")
    return ""


# ---- sizes and names


def test_the_scans_see_the_project() -> None:
    assert {SRC / "tillage/core/step.py", Path(__file__)} <= set(OURS)


@pytest.mark.parametrize("path", [*OURS, *COMPILED], ids=lambda path: str(path.relative_to(ROOT)))
def test_a_file_holds_one_idea(path: Path) -> None:
    assert len(path.read_text().splitlines()) <= LONGEST
    assert not NAMELESS.search(path.stem), f"{path.name} says nothing about what it holds"


@pytest.mark.parametrize("name", ["utils", "io_utils", "common", "helpers", "test_helper", "task_manager"])
def test_names_that_say_nothing_are_seen(name: str) -> None:
    assert NAMELESS.search(name)
    assert not NAMELESS.search("utility_of_rows")


# ---- data is never code


def dangers(tree: ast.AST) -> list[str]:
    """Everything in the file by which data could become code, with its line."""
    found: list[str] = []
    for node in ast.walk(tree):
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names if alias.name.split(".")[0] in UNPICKLERS]
        elif isinstance(node, ast.ImportFrom):
            module = node.module or ""
            names = [module] if module.split(".")[0] in UNPICKLERS else []
            names += [a.name for a in node.names if f"{module}.{a.name}" in CALLS or a.name in UNPICKLERS]
        elif isinstance(node, ast.Call):
            name = dotted(node.func)
            tail = name.rpartition(".")[2]
            names = [name] if name in CALLS or tail == "read_pickle" else []
            names += [f"{k.arg}=..." for k in node.keywords if k.arg in SWITCHES and not is_false(k.value)]
        elif isinstance(node, ast.Attribute) and dotted(node) in {
            "yaml.Loader",
            "yaml.FullLoader",
            "yaml.UnsafeLoader",
        }:
            names = [dotted(node)]
        found += [f"{node.lineno}: {name}" for name in names if hasattr(node, "lineno")]
    return found


def is_false(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and node.value is False


@pytest.mark.parametrize("path", OURS, ids=lambda path: str(path.relative_to(ROOT)))
def test_data_is_never_code(path: Path) -> None:
    assert dangers(parse(path)) == []


@pytest.mark.parametrize(
    "line",
    [
        "import pickle",
        "import joblib as j",
        "from cloudpickle import loads",
        "from sklearn.externals import joblib",
        "eval('1')",
        "exec(text)",
        "yaml.load(text, Loader=yaml.SafeLoader)",
        "from yaml import load",
        "yaml.compose(text, Loader=yaml.Loader)",
        "subprocess.run(text, shell=True)",
        "subprocess.run(text, shell=flag)",
        "os.system(text)",
        "np.load(path, allow_pickle=True)",
        "pd.read_pickle(path)",
        "import marshal, shelve",
    ],
)
def test_each_danger_is_seen(line: str) -> None:
    assert dangers(ast.parse(line))


@pytest.mark.parametrize("line", ["re.compile('a')", "yaml.safe_load(text)", "run(x, shell=False)", "model.eval()"])
def test_what_is_safe_is_let_through(line: str) -> None:
    assert not dangers(ast.parse(line))


# ---- imports


def imports(tree: ast.Module) -> Iterator[tuple[str, bool]]:
    """(module or module.name, whether it is imported when the file is) for each import but those for types only."""

    def walk(node: ast.AST, at_top: bool) -> Iterator[tuple[str, bool]]:
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.If) and dotted(child.test).endswith("TYPE_CHECKING"):
                continue
            if isinstance(child, ast.Import):
                yield from ((alias.name, at_top) for alias in child.names)
            elif isinstance(child, ast.ImportFrom):
                yield from ((f"{child.module}.{alias.name}", at_top) for alias in child.names)
            else:
                yield from walk(child, at_top and not isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef))

    yield from walk(tree, True)


def import_graph(trees: dict[str, ast.Module]) -> dict[str, set[str]]:
    """Each of our modules to those of ours that it imports, inside its functions too."""
    graph: dict[str, set[str]] = {}
    for name, tree in trees.items():
        targets = {target if target in trees else target.rpartition(".")[0] for target, _ in imports(tree)}
        graph[name] = (targets & set(trees)) - {name}
    return graph


def cycle(graph: dict[str, set[str]]) -> list[str]:
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        return [str(name) for name in error.args[1]]
    return []


def test_no_import_inside_a_function_hides_a_cycle() -> None:
    graph = import_graph(modules())
    assert "tillage.core.rows" in graph["tillage.core.step"]
    assert cycle(graph) == []


def test_a_hidden_cycle_is_seen() -> None:
    trees = {"tillage.a": ast.parse("import tillage.b"), "tillage.b": ast.parse("def f():\n from tillage.a import x")}
    assert set(cycle(import_graph(trees))) == {"tillage.a", "tillage.b"}


def test_imports_are_absolute() -> None:
    relative = [
        f"{name}:{node.lineno}"
        for name, tree in modules().items()
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and node.level
    ]
    assert relative == []


def third_party(trees: dict[str, ast.Module]) -> dict[str, set[tuple[str, bool]]]:
    """Library to (our module, at its top)."""
    users: dict[str, set[tuple[str, bool]]] = {}
    for name, tree in trees.items():
        for target, at_top in imports(tree):
            library = target.split(".")[0]
            if library != "tillage" and library not in sys.stdlib_module_names:
                users.setdefault(library, set()).add((name, at_top))
    return users


def test_heavy_libraries_wait_until_they_are_needed() -> None:
    eager = {lib: {m for m, at_top in users if at_top} for lib, users in third_party(modules()).items() if lib in HEAVY}
    assert {library: users for library, users in eager.items() if users} == {}


ROOMS_OF_A_LIBRARY = ("tillage.learn.deep",)
"""Folders that stand on an optional library, and nothing outside them does."""


def _home(module: str) -> str:
    """The module, or the folder of its library that it is in."""
    return next((home for home in ROOMS_OF_A_LIBRARY if module.startswith(home + ".")), module)


def test_an_optional_library_lives_in_one_file() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    base = {re.split(r"[<>=~!\[; ]", entry)[0].lower() for entry in project["dependencies"]}
    base = {IMPORT_NAMES.get(name, name) for name in base}
    found_in = third_party(modules())
    users = {library: {_home(m) for m, _ in found} - CONFINED for library, found in found_in.items()}
    assert "polars" in base & set(users)
    assert {library: found for library, found in users.items() if library not in base and len(found) > 1} == {}


# ---- public means documented


def rooms() -> list[ModuleType]:
    return [
        importlib.import_module(f"tillage.{room.name}") for room in pkgutil.iter_modules(tillage.__path__) if room.ispkg
    ]


def exports() -> dict[str, object]:
    """`tillage.room.Name` to the thing, for every room's `__all__`."""
    return {f"{room.__name__}.{name}": getattr(room, name) for room in rooms() for name in room.__all__}


def needs_example(thing: object) -> bool:
    """Functions and classes to be called; not contracts to be filled in, errors, or types."""
    if inspect.isclass(thing) and thing is not Any:  # an alias of Any is a type
        contract = inspect.isabstract(thing) or getattr(thing, "_is_protocol", False) or _is_open(thing)
        return not contract and not issubclass(thing, BaseException)
    return inspect.isroutine(thing)


def _is_open(cls: type) -> bool:
    """A class of `core` that others derive from: it says what a step is, and is none itself."""
    return cls.__module__ == "tillage.core.step" and cls.__name__ in {"Fitted", "Step"}


def has_example(thing: object) -> bool:
    """In its docstring, or for a class in that of one of its own methods."""
    texts = [_own_doc(thing)]
    if inspect.isclass(thing):
        texts += [inspect.getdoc(member) or "" for name, member in vars(thing).items() if callable(member)]
    return any(">>>" in text for text in texts)


def test_every_room_says_what_it_exports() -> None:
    names = [room.__name__ for room in rooms()]
    assert "tillage.core" in names
    for room in rooms():
        assert room.__doc__, f"{room.__name__} does not say what it is for"
        assert len(room.__all__) == len(set(room.__all__)), f"{room.__name__} exports a name twice"


def test_every_export_is_documented() -> None:
    found = exports()
    assert len(found) > 30
    silent = [name for name, thing in found.items() if callable(thing) and not _own_doc(thing)]
    assert silent == []


def _own_doc(thing: object) -> str:
    return (vars(thing).get("__doc__") if inspect.isclass(thing) else getattr(thing, "__doc__", "")) or ""


def test_every_export_shows_its_use() -> None:
    wanted = {name for name, thing in exports().items() if needs_example(thing)}
    without = {name for name in wanted if not has_example(exports()[name])}
    assert len(wanted) >= 2
    assert without == set(NO_EXAMPLE), "missing examples, or exclusions that are stale"
