"""`show`: how things stand, without running anything: the counts, rows of a table, the report of a model."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from tillage.face.evaluations import evaluation_tables
from tillage.face.opening import known, open_project
from tillage.face.options import AsJson, PlanFile
from tillage.face.page import report_path
from tillage.face.screen import Screen
from tillage.face.summary import figure, flattened, show_model, show_summary

if TYPE_CHECKING:
    import polars as pl

    from tillage.flow.run import Project
    from tillage.store.tables import Version

ROWS = 10
"""Rows of a table that are shown unless asked otherwise."""

MISTAKES = 10
"""Confusions and wrong rows of a model that are shown for people; JSON has all."""


def show(
    *,
    name: Annotated[str | None, typer.Argument(metavar="[TABLE|MODEL]", help="One of them. Default: all.")] = None,
    plan: PlanFile = None,
    digest: Annotated[bool, typer.Option("--digest", help="Give digests: they test equality.")] = False,
    rows: Annotated[int | None, typer.Option("--rows", min=0, metavar="N", help="Rows of the table to show.")] = None,
    version: Annotated[
        int | None,
        typer.Option("--version", min=1, metavar="V", help="An earlier version of the table or model."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Show how things stand: rows in, kept, dropped and why; scores beside baselines. Nothing is run."""
    from tillage.core.errors import InputMissing, UsageError

    screen = Screen(as_json)
    with open_project(plan, ran=True) as project:
        if name is None:
            if version is not None or rows is not None:
                raise UsageError(
                    "--version and --rows belong to one table or model.", fix="Name it: tillage show TABLE."
                )
            _everything(screen, project, digest)
            return
        known("table or model", name, [*project.plan.tables, *project.plan.models])
        at = project.store.latest(name) if version is None else project.store.version(name, version)
        if at is None:
            raise InputMissing(f"'{name}' has no version yet.", fix="Run `tillage run`.")
        if not project.is_now(at):
            was = "model" if name in project.plan.tables else "table"
            raise InputMissing(
                f"Version {at.version} of '{name}' was made while that was the name of a {was}.",
                fix="Run `tillage run`, or name a later version.",
            )
        if name in project.plan.tables:
            _table(screen, project, at, ROWS if rows is None else rows, digest)
        else:
            if rows is not None:
                raise UsageError("A model has no rows to show.", fix=f"Leave --rows out: tillage show {name}.")
            _model(screen, project, at, digest)


def _everything(screen: Screen, project: Project, digest: bool) -> None:
    from tillage.core.errors import InputMissing

    value = project.summary(digest=digest)
    if not value["tables"] and not value["models"]:
        raise InputMissing("Nothing has been run yet.", fix="Run `tillage run`.")
    page = report_path(project)
    if page.exists():
        value["report"] = str(page)
    show_summary(screen, value, digest=digest)
    if page.exists():
        screen.line()
        screen.line(f"Report: {page}")
    screen.result(value)


# ---- a table


def _table(screen: Screen, project: Project, at: Version, rows: int, digest: bool) -> None:
    frame = _head(project, at, rows)
    count = project.store.count(at.stage, version=at.version)
    value: dict[str, Any] = {
        "schema": "tillage.show/1",
        "table": at.stage,
        "version": at.version,
        "created": at.created,
        "why": at.why,
        "rows": count,
        "digest": project.store.digest(at.stage, at.version) if digest else None,
        "columns": at.columns,
        "head": [_plain(row) for row in _in_reach(frame).iter_rows(named=True)],
        "reports": {**_profile(project, at), **project.reports(at.stage, at.version)},
    }
    screen.line(f"{at.stage}  v{at.version}, made {at.created} ({at.why}), {count:,} rows, {len(at.columns)} columns")
    for note in (notes := project.notes(at.stage)):
        screen.line(f"  {note}")
    if notes:
        value["notes"] = notes
    if digest:
        screen.line(f"digest {value['digest']}")
    if frame.height:
        screen.line()
        screen.table(["row_id", *at.columns], [_shown(row) for row in value["head"]], _numeric(frame))
        if frame.height < count:
            screen.line(f"({frame.height:,} of {count:,} rows)")
    _aside(screen, value, project.set_aside(at, rows))
    for name, report in value["reports"].items():
        screen.line()
        screen.line(name.replace("_", " ").capitalize(), style="bold")
        screen.table(["", ""], [[f"  {line['what']}", _told(line["value"])] for line in flattened(report)], right=(1,))
    screen.result(value)


def _in_reach(frame: pl.DataFrame) -> pl.DataFrame:
    """The rows; columns with moments beyond the years 1 to 9999, which Python does not know, as text."""
    import polars as pl

    moments = [c for c, dtype in frame.schema.items() if dtype == pl.Date or isinstance(dtype, pl.Datetime)]
    far = [c for c in moments if not frame[c].dt.year().is_between(1, 9999).all()]
    return frame.with_columns(pl.col(c).cast(pl.String) for c in far)


def _profile(project: Project, at: Version) -> dict[str, Any]:
    """The profile beside the reports, where the plan asks for one and the newest version is shown."""
    newest = project.store.latest(at.stage)
    if project.plan.tables[at.stage].profile is None or newest is None or newest.version != at.version:
        return {}
    found = project.profile(at.stage)
    return {"profile": found} if found else {}


def _aside(screen: Screen, value: dict[str, Any], aside: tuple[int, list[dict[str, Any]]] | None) -> None:
    """Which records are in quarantine, and why; of a table that collects."""
    if aside is None:
        return
    count, told = aside
    value["quarantined"] = {"count": count, "records": told}
    if told:
        screen.line()
        shown = [
            [r["object"], "whole" if r["record"] is None else str(r["record"]), r["reason"], r["column"], r["message"]]
            for r in told
        ]
        screen.table(["in quarantine: of", "record", "reason", "column", "why"], shown)
        if len(told) < count:
            screen.line(f"({len(told):,} of {count:,} records in quarantine)")
        after = f"`tillage run`; or the plan, then `tillage replay {value['table']}`"
        screen.line(f"Mend them where they came from, then {after}.")


def _head(project: Project, at: Version, rows: int) -> pl.DataFrame:
    """The first rows of a version; no more chunks are read than they need."""
    import polars as pl

    found: list[pl.DataFrame] = []
    have = 0
    for frame in project.store.frames(at.stage, version=at.version):
        if have >= rows:
            break
        found.append(frame.head(rows - have))
        have += found[-1].height
    if not found:
        return pl.DataFrame(schema={"_id": pl.UInt128, **dict.fromkeys(at.columns, pl.String)})
    return pl.concat(found, how="diagonal_relaxed").select("_id", *at.columns)


def _told(value: Any) -> str:
    return f"{value:,}" if isinstance(value, int) else f"{value:.4g}" if isinstance(value, float) else str(value)


def _plain(row: dict[str, Any]) -> dict[str, Any]:
    """A row as JSON values: ids in hexadecimal; dates as ISO 8601; NaN and the infinities by name."""
    return {name: f"{value:032x}" if name == "_id" else json_value(value) for name, value in row.items()}


def json_value(value: Any) -> Any:
    """A cell as a JSON value.

    >>> json_value(float("nan")), json_value(7), json_value(b"abc")
    ('nan', 7, '(3 bytes)')
    """
    from math import isfinite

    if isinstance(value, bytes):
        return f"({len(value):,} bytes)"
    if isinstance(value, float) and not isfinite(value):
        return str(value)
    if value is None or isinstance(value, bool | int | float | str):
        return value
    return value.isoformat() if hasattr(value, "isoformat") else str(value)


def _shown(row: dict[str, Any]) -> list[Any]:
    """The cells as they are: 2024 may be a year, so nothing is put between its digits."""
    return [None if value is None else str(value) for value in row.values()]


def _numeric(frame: pl.DataFrame) -> list[int]:
    return [i for i, dtype in enumerate(frame.dtypes) if i and dtype.is_numeric()]


# ---- a model


def _model(screen: Screen, project: Project, at: Version, digest: bool) -> None:
    facts = {"version": at.version, "digest": at.facts["digest"] if digest else None, **at.facts}
    facts["digest"] = at.facts["digest"] if digest else None
    report = project.report(at.stage, at.version)
    value = {
        "schema": "tillage.show/1",
        "model": at.stage,
        "version": at.version,
        "created": at.created,
        "why": at.why,
        "digest": facts["digest"],
        "learner": type(project.plan.models[at.stage].learner).name(),
        **report,
    }
    show_model(screen, at.stage, facts, digest=digest)
    for found in evaluation_tables(report):
        screen.line()
        screen.line(found.title, style="bold")
        screen.table(list(found.lines[0]), [list(line.values()) for line in found.lines])
    _compression(screen, report.get("compression"), report.get("latency"))
    _classes(screen, report.get("per_class") or [])
    hints = confused(report.get("confusion"))
    if hints:
        screen.line()
        screen.table(
            ["confused: true class", "taken for", "rows"], [list(h.values()) for h in hints[:MISTAKES]], right=(2,)
        )
    _errors(screen, report.get("errors") or [])
    screen.result({**value, "confused": hints})


def _compression(screen: Screen, told: dict[str, Any] | None, latency: dict[str, Any] | None) -> None:
    """What making a model small came to: its size, its score on rows held back in training, and how fast it answers."""
    if told is None:
        return
    times = [f"{time:.1f}" for time in latency["milliseconds"]] if latency else ["–", "–"]
    names, metric = ("as it was learnt", told["to"]), "f1" if "f1" in told else "accuracy"
    rows = [
        [name, f"{size:,}", f"{right:.4f}", time]
        for name, size, right, time in zip(names, told["bytes"], told[metric], times, strict=True)
    ]
    screen.line()
    screen.table(
        ["weights", "bytes", f"{metric} on {told['rows']:,} rows held back", "ms an answer, here"],
        rows,
        right=(1, 2, 3),
    )


def _classes(screen: Screen, by_class: list[dict[str, Any]]) -> None:
    if not by_class:
        return
    worst = sorted(by_class, key=lambda c: (c["f1"] or 0.0, str(c["class"])))
    screen.line()
    screen.table(
        ["class, the worst first", "precision", "recall", "f1", "test rows"],
        [[c["class"], *(figure(c[k]) for k in ("precision", "recall", "f1")), c["support"]] for c in worst],
        right=(1, 2, 3, 4),
    )


def confused(confusion: dict[str, Any] | None) -> list[dict[str, Any]]:
    """The pairs of classes that are taken for each other, the most frequent first.

    >>> confused({"classes": ["a", "b"], "counts": [[5, 2], [0, 4]]})
    [{'true': 'a', 'predicted': 'b', 'rows': 2}]
    """
    if not confusion:
        return []
    classes, counts = confusion["classes"], confusion["counts"]
    pairs = [
        {"true": classes[i], "predicted": classes[j], "rows": n}
        for i, row in enumerate(counts)
        for j, n in enumerate(row)
        if i != j and n
    ]
    return sorted(pairs, key=lambda p: (-p["rows"], p["true"], p["predicted"]))


def _errors(screen: Screen, errors: list[dict[str, Any]]) -> None:
    if errors:
        screen.line()
        head = list(errors[0])
        rows = [[e.get(k) for k in head] for e in errors[:MISTAKES]]
        screen.table([f"wrong: {head[0]}", *head[1:]], rows)
