"""Finding the plan that a command is about, and its project."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tillage.flow.plan import Plan
    from tillage.flow.run import Project

FILE = "tillage.yaml"


def find_plan(given: Path | None) -> Path:
    """The plan's file: the one named, that of the folder named, or the nearest `tillage.yaml` here or above."""
    from tillage.core.errors import InputMissing

    if given is not None:
        path = given / FILE if given.is_dir() else given
        if not path.exists():
            raise InputMissing(f"There is no plan at {path}.", fix="Check the path after --plan.")
        return path
    here = Path.cwd()
    if (here / FILE).is_file():
        return Path(FILE)
    for folder in here.parents:
        if (folder / FILE).is_file():
            return folder / FILE
    raise InputMissing(
        f"There is no {FILE} in {here} or in a folder above it.",
        fix="Run `tillage try FILE --target COLUMN` or `tillage new DIR`, or name one with --plan PATH.",
    )


def read_plan(given: Path | None) -> Plan:
    """The plan; ConfigurationError with everything that is wrong with it."""
    from tillage.face.rooms import registry
    from tillage.flow.configuration import load

    return load(find_plan(given), registry())


def open_project(
    given: Path | None,
    *,
    workers: int | None = None,
    processes: int = 0,
    listen: Callable[[Any], None] | None = None,
    ran: bool = False,
) -> Project:
    """The project of a plan; `ran`: InputMissing unless it has been run before, and nothing is made."""
    return project_of(read_plan(given), workers=workers, processes=processes, listen=listen, ran=ran)


def project_of(
    plan: Plan,
    *,
    workers: int | None = None,
    processes: int = 0,
    listen: Callable[[Any], None] | None = None,
    ran: bool = False,
) -> Project:
    """The project of a plan that has been read; `processes`: so many for its Maps, none: threads alone."""
    from tillage.core.errors import InputMissing
    from tillage.face.rooms import in_processes, registry
    from tillage.flow.progress import silent
    from tillage.flow.run import Project

    if ran and not (plan.store / "catalog.db").is_file():
        raise InputMissing(f"Nothing has been run yet for {plan.file}.", fix="Run `tillage run`.")
    steps = registry().within(plan.root)
    engine = in_processes(plan, processes) if processes else None
    return Project(plan, steps, workers=workers, listen=listen or silent, engine=engine)


def known(what: str, name: str, names: Any) -> str:
    """`name` when it is among `names`; else UsageError with the nearest: the command line is at fault, not the plan."""
    from tillage.core.errors import UsageError, unknown_name

    if name not in names:
        raise UsageError(unknown_name(what, name, names))
    return name
