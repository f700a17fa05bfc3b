"""`compare`: which of two models is better, on the rows that test both."""

from __future__ import annotations

from typing import Annotated

import typer

from tillage.face.opening import known, open_project
from tillage.face.options import AsJson, PlanFile
from tillage.face.screen import Screen, many


def compare(
    first: Annotated[str, typer.Argument(metavar="MODEL", help="A model.")],
    second: Annotated[str, typer.Argument(metavar="OTHER", help="Another model of the same target.")],
    plan: PlanFile = None,
    as_json: AsJson = False,
) -> None:
    """Compare two models row by row, on the rows that test both, with a paired test."""
    from tillage.core.errors import UsageError
    from tillage.face.evaluations import compared_line
    from tillage.face.summary import figure
    from tillage.flow import compare as comparing

    screen = Screen(as_json)
    with open_project(plan, ran=True) as project:
        for name in (first, second):
            known("model", name, project.plan.models)
        if first == second:
            raise UsageError(f"'{first}' is one model; two are compared.", fix="Name another one.")
        found = comparing.compare(project, first, second)
        naive = {name: (project.report(name).get("baseline") or {}) for name in (first, second)}
    by = f", grouped by '{found['groups']}'" if found["groups"] else ""
    screen.line(f"{first} and {second} on {many(found['rows'], 'row')} that test both{by}", style="bold")
    rows = []
    for one in found["metrics"]:
        line = compared_line(one)
        scores = [figure(one["first"]), figure(one["second"]), figure(naive[first].get(one["metric"]))]
        rows.append([line["metric"], *scores, line["difference"], line["95 % interval"], line["p"], line["test"]])
    screen.table(
        ["", first, second, "baseline", "difference", "95 % interval", "p", "test"], rows, right=(1, 2, 3, 4, 6)
    )
    screen.line(f"  looks at their test parts so far: {found['looks'][0]:,} and {found['looks'][1]:,}")
    value = {"schema": "tillage.compare/1", "first": first, "second": second, **found}
    screen.result({**value, "baseline": naive[first]})
