"""The report of a project as it stands, as a file: written whole, and only when there is something new in it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tillage.face.whole_file import replacing

if TYPE_CHECKING:
    from tillage.flow.run import Project

NAME = "report.html"


def write_report(project: Project, summary: Mapping[str, Any], path: Path | None = None) -> Path:
    """Render the page into `path` (by default into the store's folder) and return its place."""
    from tillage.face.report import render

    place = path or report_path(project)
    page = render(summary, details(project, summary))
    with replacing(place) as temporary:
        temporary.write_text(page, encoding="utf-8")
    return place


def report_path(project: Project) -> Path:
    """Where the page of a project lies."""
    return project.store.root / NAME


def details(project: Project, summary: Mapping[str, Any]) -> dict[str, Any]:
    """What the page shows beyond the summary."""
    plan = project.plan
    tables = {}
    for name in summary["tables"]:
        table = plan.tables[name]
        steps = [project.registry.name_of(type(step)) for step in table.steps]
        about: dict[str, Any] = {"steps": steps, "inputs": _there((i for _, i in table.inputs), summary)}
        if project.store.latest(f"{name}/profile") is not None and table.profile is not None:
            about["profile"] = project.profile(name)
        about["reports"] = project.reports(name)
        tables[name] = about
    models = {}
    for name in summary["models"]:
        model = plan.models[name]
        inputs = _there([model.table, *([model.test_table] if model.test_table else [])], summary)
        models[name] = {**project.report(name), "inputs": inputs}
    return {"tables": tables, "models": models}


def _there(names: Any, summary: Mapping[str, Any]) -> list[str]:
    """The tables that have a version: a plan may name others that were never run."""
    return [name for name in dict.fromkeys(names) if name in summary["tables"]]
