"""`explain`: what moved one prediction."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from tillage.face.opening import known, open_project
from tillage.face.options import AsJson, PlanFile
from tillage.face.screen import Screen

if TYPE_CHECKING:
    import polars as pl

    from tillage.flow.plan import Model
    from tillage.flow.run import Project

_PARTS = 20
"""Words or parts of a picture that the screen shows, those that add most first."""


def explain(
    model: Annotated[str, typer.Argument(metavar="MODEL", help="A model.")],
    row: Annotated[str | None, typer.Argument(metavar="ROW_ID", help="A row of its table, as `show` gives it.")] = None,
    key: Annotated[
        str | None, typer.Option("--key", metavar="K", help="The row by its key, instead of by its row_id.")
    ] = None,
    plan: PlanFile = None,
    as_json: AsJson = False,
) -> None:
    """Explain the prediction of one row: what each column, word or part of a picture adds to its score."""
    from tillage.core.errors import UsageError
    from tillage.face.summary import figure
    from tillage.flow.compare import stored
    from tillage.flow.explanation import contributions
    from tillage.flow.judged import told

    screen = Screen(as_json)
    if (row is None) == (key is None):
        raise UsageError("One row is explained, by its row_id or by --key.", fix=f"tillage explain {model} ROW_ID")
    with open_project(plan, ran=True) as project:
        known("model", model, project.plan.models)
        judged = stored(project, model)
        rows = _row(project, project.plan.models[model], row, key)
        found = contributions(judged, rows)
        parts = judged.fitted.attributions(rows) if hasattr(judged.fitted, "attributions") else None
        said = told(judged.fitted, rows, judged.task)
    if found is not None:
        values = found["values"][0].tolist()
        kind, of, base = "column", found["of"][0], float(found["base"][0])
        score = base + sum(values)
        lines: list[dict[str, Any]] = [
            {"column": column, "value": _cell(rows[column][0]), "adds": value}
            for column, value in zip(found["columns"], values, strict=True)
        ]
    elif parts is not None:
        kind, of, base, score, lines = "part", parts["of"], parts["base"], parts["score"], parts["parts"]
    else:
        raise UsageError(
            "What moved a prediction is known of boosted trees and linear models of tables, of fine-tuned encoders and "
            f"networks of pictures; '{model}' is another.",
            fix=f"See which columns it goes by: tillage show {model}",
        )
    lines = sorted(lines, key=lambda one: (-abs(one["adds"]), one[kind]))
    prediction = said["prediction"][0]
    sure = said["confidence"][0] if "confidence" in said.columns else None
    what = f"the score of '{of}'" if judged.task == "classification" else f"'{judged.target}'"
    shown = prediction if isinstance(prediction, str) else figure(prediction)
    screen.line(f"{model} says {shown}{'' if sure is None else f' (confidence {sure:.3f})'}", style="bold")
    screen.line(f"{what}: {figure(base)} before anything is known, {figure(score)} with this row's {kind}s")
    named = ("column", "value") if kind == "column" else ("part",)
    told_of = lines if kind == "column" else lines[:_PARTS]
    if lines:
        screen.table(
            [*named, "adds"], [[*(x[n] for n in named), figure(x["adds"])] for x in told_of], right=(len(named),)
        )
    else:
        screen.line(f"The model read no {kind} of this row, so that none adds anything.")
    if len(told_of) < len(lines):
        screen.line(f"({len(told_of)} of {len(lines)} parts; all of them with --json)")
    screen.result(
        {
            "schema": "tillage.explain/1",
            "model": model,
            "row_id": f"{rows['_id'][0]:032x}",
            "prediction": prediction,
            "confidence": sure,
            "of": of,
            "base": base,
            "score": score,
            f"{kind}s": lines,
        }
    )


def _cell(value: Any) -> Any:
    from tillage.face.showing import json_value

    return json_value(value)


def _row(project: Project, model: Model, row: str | None, key: str | None) -> pl.DataFrame:
    """The one row of the tables that teach and test a model; InputMissing where there is none."""
    import polars as pl

    from tillage.core.errors import InputMissing
    from tillage.promises.tracing import row_of_key

    tables = list(dict.fromkeys(name for name in (model.table, model.test_table) if name is not None))
    for table in tables:
        wanted = row_of_key(project, table, [key or ""]) if row is None else _number(row, table)
        found = project.read(table).filter(pl.col("_id") == pl.lit(wanted, dtype=pl.UInt128))
        if found.height:
            return found
    what = f"key {key}" if row is None else f"row_id {row}"
    named = " or ".join(f"'{table}'" for table in tables)
    raise InputMissing(f"No row of {named} has the {what}.", fix=f"See `tillage show {tables[0]} --rows 5`.")


def _number(row: str, table: str) -> int:
    from tillage.core.errors import UsageError

    try:
        wanted = int(row, 16)
    except ValueError:
        wanted = -1
    if not 0 <= wanted < 1 << 128:
        raise UsageError(f"'{row}' is not a row_id.", fix=f"See `tillage show {table} --rows 5`.")
    return wanted
