"""Which steps there are: those that the rooms export, those of installed plug-ins, and the project's own.

The rooms are handed in, so nothing here knows a stage. Discovery is one pass over each room's `__all__`; a step, a
plug-in or a file of the project is imported only when a plan names it.
"""

from __future__ import annotations

import importlib
import inspect
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import cached_property, partial
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, TypeVar

from pydantic import ValidationError

from tillage.core.errors import ConfigurationError, Problem, UnknownName
from tillage.core.step import Fitted, Fold, Map, Source, Step, Whole, snake_case
from tillage.flow.parameters import explain, nearest, spelling

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

GROUP = "tillage.steps"
"""The entry point group in which an installed package names its steps."""

Role: TypeAlias = Literal["step", "source", "learner", "fitted", "expect", "profile", "report", "evaluation"]
S = TypeVar("S", bound=Step)

_DOTTED = re.compile(r"[A-Za-z][A-Za-z0-9_]*(\.[A-Za-z][A-Za-z0-9_]*)+")


class Shelf(Mapping[str, type[Step]]):
    """Step classes by name, each imported when it is first asked for, and the room that exports it.

    >>> Shelf().get("normalize") is None
    True
    """

    def __init__(self) -> None:
        self._places: dict[str, tuple[str, str, Callable[[], Any]]] = {}
        """By name in its one spelling: the name, the room, and what imports the class."""

    def put(self, room: str, name: str, load: Callable[[], Any]) -> None:
        """Add what a room exports under a name; raises ConfigurationError when two steps have it."""
        key = spelling(name)
        if key in self._places:
            first, second = self._step(self._places[key][2]), self._step(load)
            if first is not None and second is not None and first is not second:
                raise ConfigurationError(
                    f"Two steps are called '{name}': {_dotted(first)} and {_dotted(second)}. Rename one."
                )
            if second is None:
                return
        self._places[key] = (name, room, load)

    def room(self, name: str) -> str:
        """The room that exports a step; "" where none does."""
        return self._places.get(spelling(name), ("", "", None))[1]

    @staticmethod
    def _step(load: Callable[[], Any]) -> type[Step] | None:
        thing = load()
        return thing if inspect.isclass(thing) and issubclass(thing, Step) and not inspect.isabstract(thing) else None

    def __getitem__(self, name: str) -> type[Step]:
        cls = self._step(self._places[spelling(name)][2])
        if cls is None:
            raise KeyError(name)
        return cls

    def __iter__(self) -> Iterator[str]:
        return (name for name, _, load in self._places.values() if self._step(load) is not None)

    def __len__(self) -> int:
        return sum(1 for _ in self)


class Registry:
    """Steps by name, in either spelling; `root` is the folder in which a dotted name is looked up.

    Plug-ins are looked for when a name is not that of a step of ours: to read what each of 200 installed packages says
    of itself takes 40 ms.

    >>> registry = Registry({"prepare": []})
    >>> registry.find("normlize")
    Traceback (most recent call last):
    ...
    tillage.core.errors.UnknownName: No step is called 'normlize'. Known: none.
    """

    def __init__(
        self,
        rooms: Shelf | Mapping[str, Iterable[type[Step]]],
        plugins: Callable[[], Iterable[EntryPoint]] = lambda: (),
        root: Path | None = None,
    ) -> None:
        self.root = root
        self._classes = rooms if isinstance(rooms, Shelf) else _shelf(rooms)
        self._look = plugins

    @classmethod
    def discover(cls, rooms: Sequence[ModuleType], root: Path | None = None, plugins: bool = True) -> Registry:
        """The registry of every step that these rooms export, and of the installed plug-ins."""
        shelf = Shelf()
        for room in rooms:
            for name in (n for n in room.__all__ if n[0].isupper()):
                shelf.put(room.__name__.rpartition(".")[2], snake_case(name), partial(getattr, room, name))
        return cls(shelf, _installed if plugins else (lambda: ()), root)

    @cached_property
    def _plugins(self) -> dict[str, EntryPoint]:
        return {point.name: point for point in self._look()}

    def within(self, root: Path) -> Registry:
        """The same registry, for the plan whose folder is `root`."""
        return Registry(self._classes, lambda: list(self._plugins.values()), root)

    @property
    def rooms(self) -> dict[str, str]:
        """Step name to room."""
        return {name: self._classes.room(name) for name in self._classes}

    # ---- by name

    def find(self, name: str) -> type[Step]:
        """The class that `name` means: a step's name, or `module.Class` of the project or of a plug-in's package.

        Raises UnknownName, or ConfigurationError when the project's module cannot be loaded.
        """
        cls = self._classes.get(name)
        if cls is not None:
            return cls
        for known, point in self._plugins.items():
            if spelling(known) == spelling(name):
                return self._load_plugin(point)
        if "." in name:
            return self._beside_plugin(name) or load_own(self.root, name)
        raise UnknownName("step", name, self.names())

    def names(self, *roles: Role) -> list[str]:
        """The known names with one of these roles (all without), sorted; plug-ins, not yet loaded, count as any."""
        classes = [name for name, cls in self._classes.items() if not roles or self.role(cls) in roles]
        return sorted([*classes, *self._plugins])

    def name_of(self, cls: type[Step]) -> str:
        """The name by which a plan finds this class again; raises ConfigurationError when there is none."""
        if self._classes.get(cls.name()) is cls:
            return cls.name()
        for point in self._plugins.values():
            if point.value == f"{cls.__module__}:{cls.__qualname__}":
                return point.name
        dotted = _dotted(cls)
        if _DOTTED.fullmatch(dotted) and cls.__module__ != "__main__":
            return dotted
        raise ConfigurationError(f"{cls.__qualname__} cannot be named in a plan: put it into a file of the project.")

    def exports(self, name: str) -> bool:
        """Whether a room exports a step of this name."""
        return name in self._classes

    def step(self, name: str, /, **params: Any) -> Step:
        """An instance by name; raises ConfigurationError with everything that is wrong with the parameters."""
        cls = self.find(name)
        fields = {spelling(field): field for field in cls.model_fields}
        try:
            return cls.model_validate({fields.get(spelling(key), key): value for key, value in params.items()})
        except ValidationError as error:
            raise ConfigurationError(explain(error, cls)) from None

    # ---- by role

    def role(self, cls: type[Step]) -> Role:
        """Where in a plan a class belongs."""
        if issubclass(cls, Source):
            return "source"
        if issubclass(cls, Fitted):
            return "fitted"
        own = self._classes.get(cls.name()) is cls
        room = self._classes.room(cls.name()) if own else ""
        if "target" in cls.model_fields and room in ("learn", ""):
            return "learner"
        if room == "evaluate":
            return "evaluation"
        if issubclass(cls, Fold) and (room == "privacy" or (room == "learn" and cls.name().endswith("_report"))):
            return "report"
        if room == "govern" and cls.name() == "expect":
            return "expect"
        if room == "govern" and cls.name() == "profile":
            return "profile"
        return "step"

    @property
    def sources(self) -> dict[str, type[Source]]:
        """What can stand under `collect`."""
        return {name: cls for name, cls in self._classes.items() if issubclass(cls, Source)}

    @property
    def steps(self) -> dict[str, type[Step]]:
        """What can stand under `steps`."""
        return {name: cls for name, cls in self._classes.items() if self.role(cls) == "step"}

    @property
    def learners(self) -> dict[str, type[Step]]:
        """What can stand under `learn`: the classes of the room `learn` that have a target."""
        return {name: cls for name, cls in self._classes.items() if self.role(cls) == "learner"}

    @property
    def fitted(self) -> dict[str, type[Fitted]]:
        """The classes as which saved models and other fitted steps are loaded."""
        return {name: cls for name, cls in self._classes.items() if issubclass(cls, Fitted)}

    def fitted_class(self, name: str) -> type[Fitted]:
        """The class as which a saved result is loaded, by what `name_of` said of it; the project's own as well."""
        cls = self.find(name)
        if not issubclass(cls, Fitted):
            raise ConfigurationError(f"'{name}' is not a Fitted, so nothing can be loaded as one.")
        return cls

    def report_of(self, task: str) -> type[Step]:
        """What judges a model of a task (`classification`, `regression`, ...): `TASKReport` of the room `evaluate`."""
        return self._one(f"{task}_report", Step)

    @property
    def baseline(self) -> type[Fold]:
        """The naive model beside which every score stands."""
        return self._one("naive_baseline", Fold)  # type: ignore[type-abstract]

    def baseline_of(self, task: str) -> type[Fold]:
        """The naive model of a task: a class `TASKBaseline` of the room `evaluate`, or that of classes and numbers."""
        name = f"{task}_baseline"
        return self._one(name, Fold) if self._classes.room(name) == "evaluate" else self.baseline  # type: ignore[type-abstract]

    @property
    def split(self) -> type[Map]:
        """The Map that says on which side of a test a row stands."""
        return self._one("split", Map)  # type: ignore[type-abstract]

    @property
    def leaks(self) -> type[Whole]:
        """The Whole that removes training rows too near a test row."""
        return self._one("drop_leaks", Whole)  # type: ignore[type-abstract]

    @property
    def synthetic_leaks(self) -> type[Whole]:
        """The Whole that removes training rows made from a test row, whatever groups the rows."""
        return self._one("drop_synthetic_leaks", Whole)  # type: ignore[type-abstract]

    @property
    def expect(self) -> type[Fold]:
        """The Fold behind a table's `expect`."""
        return self._one("expect", Fold)  # type: ignore[type-abstract]

    @property
    def profile(self) -> type[Fold]:
        """The Fold behind a table's `profile`."""
        return self._one("profile", Fold)  # type: ignore[type-abstract]

    def _one(self, name: str, kind: type[S]) -> type[S]:
        cls = self._classes.get(name)
        if cls is None:
            raise UnknownName(kind.__name__, name, self._classes)
        if not issubclass(cls, kind):
            raise ConfigurationError(f"{_dotted(cls)} must be a {kind.__name__}.")
        return cls

    def _beside_plugin(self, dotted: str) -> type[Step] | None:
        """The class of an installed plug-in's package that no entry point names: what its steps return, such as Fitted.

        The plug-ins of that package are loaded, and nothing else is imported: the name may come from stored data.
        """
        module, _, name = dotted.rpartition(".")
        package = module.partition(".")[0]
        for point in self._plugins.values():
            if point.module.partition(".")[0] == package:
                self._load_plugin(point)
        owned = package in {point.module.partition(".")[0] for point in self._plugins.values()}
        found = vars(sys.modules[module]).get(name) if owned and module in sys.modules else None
        return _checked(found, dotted) if found is not None else None

    def _load_plugin(self, point: EntryPoint) -> type[Step]:
        try:
            cls = point.load()
        except Exception as error:  # whatever a stranger's module raises is reported under its name
            raise ConfigurationError(
                f"The plug-in '{point.name}' ({point.value}) could not be loaded: {_said(error)}."
            ) from error
        return _checked(cls, point.value)


def _installed() -> Iterable[EntryPoint]:
    """What installed packages name as steps; the library reads the parser of mail, so it is imported when asked."""
    from importlib.metadata import entry_points

    return entry_points(group=GROUP)


def load_own(root: Path | None, dotted: str) -> type[Step]:
    """The class `module.Class` from the Python files of the project in `root`, imported as Python imports them.

    The folder goes to the end of the search path, so a file of the project never stands in for an installed module.
    Raises ConfigurationError when the file, the class, or the import is at fault.
    """
    if root is None or not _DOTTED.fullmatch(dotted):
        raise ConfigurationError(f"'{dotted}' is neither a step nor module.Class of a file beside the plan.")
    module_name, _, class_name = dotted.rpartition(".")
    root = root.resolve()
    base = root.joinpath(*module_name.split("."))
    file = next((path for path in (base.with_suffix(".py"), base / "__init__.py") if path.is_file()), None)
    if file is None:
        modules = [path.stem for path in root.glob("*.py")]
        what = f"There is no file {module_name.replace('.', '/')}.py beside the plan for '{dotted}'."
        raise ConfigurationError(nearest(what, module_name, modules) if modules else what)
    module = _import(root, module_name, file.resolve())
    if class_name not in vars(module):
        classes = [name for name, thing in vars(module).items() if inspect.isclass(thing) and issubclass(thing, Step)]
        raise ConfigurationError(nearest(f"{file.name} has no class '{class_name}'.", class_name, classes))
    return _checked(vars(module)[class_name], dotted)


def _import(root: Path, name: str, file: Path) -> ModuleType:
    if str(root) not in sys.path:
        sys.path.append(str(root))
    _forget_other_projects(root, name)
    try:
        module = importlib.import_module(name)
    except Exception as error:  # whatever the user's module raises is reported under its name
        raise ConfigurationError(f"{file.name} could not be loaded: {_said(error)}.") from error
    if Path(str(getattr(module, "__file__", ""))).resolve() != file:
        raise ConfigurationError(
            f"{file.name} cannot be imported, because another module is called '{name}'. Rename the file."
        )
    vars(module)["__tillage_root__"] = str(root)
    return module


def _forget_other_projects(root: Path, name: str) -> None:
    """Let two projects in one process each have a module of this name: the other's is dropped and its folder too."""
    top = name.partition(".")[0]
    for loaded in [key for key in sys.modules if key == top or key.startswith(top + ".")]:
        theirs = getattr(sys.modules[loaded], "__tillage_root__", None)
        if theirs not in (None, str(root)):
            del sys.modules[loaded]
            sys.path[:] = [entry for entry in sys.path if entry != theirs]
    importlib.invalidate_caches()


def _checked(thing: Any, dotted: str) -> type[Step]:
    if not (inspect.isclass(thing) and issubclass(thing, Step)):
        raise ConfigurationError(
            f"'{dotted}' is not a step: it must be a class derived from Map, Fold, Fit, Group or Whole."
        )
    if inspect.isabstract(thing):
        missing = ", ".join(sorted(thing.__abstractmethods__))
        raise ConfigurationError(f"'{dotted}' is not finished: it lacks {missing}.")
    return thing


def _shelf(rooms: Mapping[str, Iterable[type[Step]]]) -> Shelf:
    shelf = Shelf()
    for room, classes in rooms.items():
        for cls in classes:
            shelf.put(room, cls.name(), partial(_itself, cls))
    return shelf


def _itself(cls: type[Step]) -> type[Step]:
    return cls


def _dotted(cls: type[Step]) -> str:
    return f"{cls.__module__}.{cls.__qualname__}"


def _said(error: Exception) -> str:
    return f"{type(error).__name__}: {error}".rstrip(".")


def problems_of(error: ConfigurationError, file: str, line: int, column: int) -> list[Problem]:
    """The problems of an error from below, at the place in the plan that led to it."""
    return [Problem(problem.message, file, line, column) for problem in error.problems]
