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
        temporary.write_text(page(model, found, keys, seen), encoding="utf-8")
    screen.line(
        f"{many(found.suspected, 'label')} doubted of {found.looked:,} training rows; "
        f"{many(found.unlabelled, 'row')} without a label; {shown.height:,} to look at",
        style="bold",
    )
    for file in files.values():
        screen.line(f"Written: {file}")
    if not keys and shown.height:
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
    """The rows as the files hold them: key, why, labels, an empty column for the new one, and what the model reads.

    A key keeps its name, and what is told of a row of that name is called `label_NAME`; a column that the model reads
    is called `input_NAME` where its name is taken. Raises UsageError for a key that is called as the new label.
    """
    import polars as pl

    from tillage.core.errors import UsageError
    from tillage.face.showing import json_value

    if NEW in keys:
        raise UsageError(
            f"The key '{NEW}' is called as the column in which labels come back.",
            fix=f"Call the key otherwise: give the table a step `rename: {{columns: {{{NEW}: OTHER}}}}`.",
        )
    rows = found.rows
    ids = [f"{value:032x}" for value in rows["_id"]]
    plain = [
        rows[c] if not rows.schema[c].is_nested() and rows.schema[c] != pl.Binary
        else pl.Series(c, [str(json_value(v)) for v in rows[c]], dtype=pl.String)
        for c in seen
    ]  # fmt: skip
    told = [pl.Series("row_id", ids, dtype=pl.String), *found.told]
    taken = {*keys, NEW}
    named = [each.alias(_apart("label", each.name, taken)) for each in told]
    named[1:1] = [rows[c] for c in keys]
    named.append(pl.Series(NEW, [None] * rows.height, dtype=pl.String))
    return pl.DataFrame([*named, *(each.alias(_apart("input", each.name, taken)) for each in plain)])


def _apart(kind: str, name: str, taken: set[str]) -> str:
    """The name, or one that none of those `taken` is; from now on it is one of them."""
    while name in taken:
        name = f"{kind}_{name}"
    taken.add(name)
    return name


def page(model: str, found: ToLabel, keys: list[str], seen: list[str]) -> str:
    """The page to label on: all text is data, the script is ours and named by its hash, and it asks no network."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    from tillage.draw.markup import Markup

    here = Path(__file__).parent
    script = (here / "label.js").read_text(encoding="utf-8")
    style = (here / "label.css").read_text(encoding="utf-8")
    environment = Environment(loader=FileSystemLoader(here), autoescape=True, undefined=StrictUndefined)
    inputs = found.rows.select(seen).iter_rows()
    known = found.rows.select(keys).iter_rows() if keys else ((f"{row_id:032x}",) for row_id in found.rows["_id"])
    rows = [
        {
            "name": f"{row_id:032x}",  # by which choices are put back after a reload: to the same rows
            "key": json.dumps([str(value) for value in key], ensure_ascii=False),
            "why": why,
            "suggested": suggested,
            "cells": [{"name": c, "value": _cell(value)} for c, value in zip(seen, cells, strict=True)],
        }
        for row_id, key, why, suggested, cells in zip(
            found.rows["_id"], known, found.told["why"], found.told["suggested"], inputs, strict=True
        )
    ]
    return environment.get_template("label.html.j2").render(
        model=model,
        rows=rows,
        classes=found.classes,
        columns=json.dumps(keys or ["row_id"], ensure_ascii=False),
        style=Markup(style),
        style_hash=Markup(_hash(style)),
        script=Markup(script),
        script_hash=Markup(_hash(script)),
    )


def _cell(value: object) -> str:
    """What the page shows of a value; an ellipsis says that there is more of it."""
    from tillage.face.showing import json_value

    text = "" if value is None else value if isinstance(value, str) else str(json_value(value))
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]} …"


def _hash(text: str) -> str:
    return "sha256-" + b64encode(sha256(text.encode()).digest()).decode()
