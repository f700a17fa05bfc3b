"""`label`: the rows that are worth a person's look, as files and as a page to label them on."""

from __future__ import annotations

import json
from base64 import b64encode
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tillage.face.handing_out import recorded
from tillage.face.opening import known, open_project
from tillage.face.options import AsJson, PlanFile
from tillage.face.screen import Screen, many
from tillage.face.whole_file import replacing

if TYPE_CHECKING:
    import polars as pl

    from tillage.flow.labelling import ToLabel
    from tillage.flow.plan import Plan

NEW = "new_label"
"""The column in which labels come back."""

_LONGEST = 2_000
"""Characters of a value that the page shows."""


def label(
    model: Annotated[str, typer.Argument(metavar="MODEL", help="A model of classes.")],
    output: Annotated[
        Path | None, typer.Option("--output", metavar="FOLDER", help="Where the files go. Default: label-MODEL, here.")
    ] = None,
    rows: Annotated[int, typer.Option("--rows", min=1, max=5000, metavar="N", help="Rows at most.")] = 100,
    plan: PlanFile = None,
    as_json: AsJson = False,
) -> None:
    """Find rows worth labelling next: doubted labels, and rows without one of which the model is least sure."""
    from tillage.face.scoring import guarded
    from tillage.flow.compare import stored
    from tillage.flow.labelling import to_label

    screen = Screen(as_json)
    with open_project(plan, ran=True) as project:
        known("model", model, project.plan.models)
        judged = stored(project, model)
        found = to_label(judged, project.registry, rows)
        table = project.plan.models[model].table
        keys = [c for c in _keys(project.plan, table) if c in found.rows.columns]
        seen = [c for c in judged.fitted.needs() if c in found.rows.columns and c not in keys]
        folder = output if output is not None else Path(f"label-{model}")
        recorded(project, model, "label", folder)
    shown = _shown(found, keys, seen)
    folder.mkdir(parents=True, exist_ok=True)
    files = {"csv": folder / "to_label.csv", "jsonl": folder / "to_label.jsonl", "page": folder / "label.html"}
    with replacing(files["csv"]) as temporary:
        guarded(shown).write_csv(temporary)
    with replacing(files["jsonl"]) as temporary:
        shown.write_ndjson(temporary)
    with replacing(files["page"]) as temporary:
        temporary.write_text(page(model, found, shown, keys or ["row_id"], seen), encoding="utf-8")
    screen.line(
        f"{many(found.suspected, 'label')} doubted of {found.looked:,} training rows; "
        f"{many(found.unlabelled, 'row')} without a label; {shown.height:,} to look at",
        style="bold",
    )
    for file in files.values():
        screen.line(f"Written: {file}")
    if not keys:
        screen.say(f"'{table}' has no key of its own, so labels cannot be joined to its rows: give it a `key`.")
    screen.line(f"Label on the page, or fill '{NEW}' in the CSV; docs/evaluation.md says how labels come back.")
    told = {"suspected": found.suspected, "looked": found.looked, "unlabelled": found.unlabelled}
    value = {"schema": "tillage.label/1", "model": model, **told, "rows": shown.height}
    screen.result({**value, **{kind: str(file) for kind, file in files.items()}, "key": keys})


def _keys(plan: Plan, table: str) -> tuple[str, ...]:
    """The key of the table that collects, above one whose rows it keeps."""
    held = plan.tables[table]
    while not held.key and held.inputs:
        held = plan.tables[held.inputs[0][1]]
    return held.key


def _shown(found: ToLabel, keys: list[str], seen: list[str]) -> pl.DataFrame:
    """The rows as the files hold them: key, why, labels, an empty column for the new one, and what the model reads."""
    import polars as pl

    from tillage.face.showing import json_value

    rows = found.rows
    ids = pl.Series("row_id", [f"{value:032x}" for value in rows["_id"]], dtype=pl.String)
    if not rows.height:
        return pl.DataFrame({"row_id": ids}).with_columns(pl.lit(None, pl.String).alias(NEW))
    plain = [
        rows[c] if not rows.schema[c].is_nested() and rows.schema[c] != pl.Binary
        else pl.Series(c, [str(json_value(v)) for v in rows[c]])
        for c in seen
    ]  # fmt: skip
    told = [rows[c] for c in ("why", "given", "suggested", "doubt")]
    return pl.DataFrame([ids, *(rows[c] for c in keys), *told, pl.Series(NEW, [None] * rows.height, pl.String), *plain])


def page(model: str, found: ToLabel, shown: pl.DataFrame, keys: list[str], seen: list[str]) -> str:
    """The page to label on: all text is data, the script is ours and named by its hash, and it asks no network."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    from tillage.draw.markup import Markup

    here = Path(__file__).parent
    script = (here / "label.js").read_text(encoding="utf-8")
    style = (here / "label.css").read_text(encoding="utf-8")
    environment = Environment(loader=FileSystemLoader(here), autoescape=True, undefined=StrictUndefined)
    rows = [
        {
            "name": f"row{at}",
            "key": json.dumps([str(row[c]) for c in keys], ensure_ascii=False),
            "why": row["why"],
            "suggested": row["suggested"],
            "cells": [{"name": c, "value": str("" if row[c] is None else row[c])[:_LONGEST]} for c in seen],
        }
        for at, row in enumerate(shown.iter_rows(named=True))
    ]
    return environment.get_template("label.html.j2").render(
        model=model,
        rows=rows,
        classes=found.classes,
        columns=json.dumps(keys, ensure_ascii=False),
        style=Markup(style),
        style_hash=Markup(_hash(style)),
        script=Markup(script),
        script_hash=Markup(_hash(script)),
    )


def _hash(text: str) -> str:
    return "sha256-" + b64encode(sha256(text.encode()).digest()).decode()
