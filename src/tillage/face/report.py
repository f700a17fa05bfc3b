"""The report of a run as one HTML page: where the rows went, what each model scored, and where it errs.

One file under 500 kB, without script or address, so it can be mailed, archived and opened in ten years. Long lists are
shortened, and say so, until the page fits. All text of the user is data: it is escaped, and the content policy of the
page allows nothing but its own style sheet, named by its hash.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

from tillage.draw import STYLE, Bar, Chart, Edge, Node, bar_chart, confusion_matrix, flow_graph, number
from tillage.draw.chart import FONTS
from tillage.draw.markup import Markup, Value, clip, escape, table
from tillage.face.evaluations import evaluation_tables
from tillage.face.summary import flattened

LIMIT = 500_000
"""Bytes that a page stays under."""

_LISTS = (200, 40, 10, 3, 0)
"""Rows that any list may show; the next is tried when the page is too large."""

_ERRORS = ("mae", "rmse")
"""Metrics in the unit of the target, which share no axis with shares."""

_LOSSES = ("log_loss", "brier")
"""Metrics of which less is better, too, but without a unit."""

_CELL = 220.0
"""Room for a text in a table, in characters of an average width."""


@dataclass(frozen=True)
class Grid:
    """A table with a heading, and a note when it shows less than there is."""

    title: str
    table: Markup
    note: str = ""


def render(summary: Mapping[str, Any], details: Mapping[str, Any]) -> str:
    """The page for a `tillage.run/1` object and its details (by table and by model, as `run` keeps them).

    Raises ValueError when a metric of a model has no baseline: no score is shown alone.

    >>> page = render({"schema": "tillage.run/1", "project": "p", "tables": {}, "models": {}, "cpu_s": 1, "wall_s": 2},
    ...     {"tables": {}, "models": {}})
    >>> "default-src 'none'" in page, len(page.encode()) < LIMIT
    (True, True)
    """
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    style = f":root{{--fonts:{FONTS}}}{STYLE}{Path(__file__).with_name('report.css').read_text(encoding='utf-8')}"
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_safe,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    template = environment.get_template("report.html.j2")
    page = ""
    for longest in _LISTS:
        page = template.render(
            style=Markup(style),
            style_hash=Markup("sha256-" + b64encode(sha256(style.encode()).digest()).decode()),
            project=summary["project"],
            cpu_s=number(summary["cpu_s"]),
            wall_s=number(summary["wall_s"]),
            pipeline=_pipeline(summary, details),
            models=[_model(n, m, details["models"].get(n, {}), longest) for n, m in summary["models"].items()],
            tables=[_table(n, t, details["tables"].get(n, {}), longest) for n, t in summary["tables"].items()],
        )
        if len(page.encode()) < LIMIT:
            break
    return page


def _safe(value: object) -> object:
    """What the template prints: markup of ours as it is, everything else by the one way of escaping."""
    return value if hasattr(value, "__html__") else Markup(escape(value))


def _pipeline(summary: Mapping[str, Any], details: Mapping[str, Any]) -> Chart | None:
    nodes: list[Node] = []
    edges: list[Edge] = []
    for name, facts in summary["tables"].items():
        about = details["tables"].get(name, {})
        nodes.append(Node(f"table {name}", rows=facts["rows"], ways=_ways(facts)))
        inputs = about.get("inputs") or []
        for source in inputs:
            rows = facts["in"] if len(inputs) == 1 else summary["tables"][source]["rows"]
            edges.append(Edge(f"table {source}", f"table {name}", f"{number(rows)} in"))
    for name, facts in summary["models"].items():
        # Two short lines a score: one long one might be cut before its baseline.
        scores = _scores(name, facts)
        notes = tuple(note for s in scores for note in (f"{s['metric']} {s['value']}", f"  baseline {s['baseline']}"))
        nodes.append(Node(f"model {name}", "model", notes=notes))
        inputs = details["models"].get(name, {}).get("inputs") or []
        edges += [Edge(f"table {source}", f"model {name}") for source in inputs]
    return flow_graph("Where the rows went", nodes, edges) if nodes else None


def _ways(facts: Mapping[str, Any]) -> dict[str, int]:
    """Where the rows that came in went, by way and reason; the parts of law 1."""
    return {
        "kept": facts["kept"],
        "merged": facts["merged"],
        **{f"dropped: {reason}": rows for reason, rows in facts["dropped"].items()},
        "consumed": facts["consumed"],
        **{f"quarantined: {reason}": rows for reason, rows in facts["quarantined"].items()},
    }


def _scores(name: str, facts: Mapping[str, Any]) -> list[dict[str, str]]:
    alone = sorted(set(facts["metrics"]) - set(facts["baseline"]))
    if alone:
        raise ValueError(f"the model {name!r} has no baseline for {', '.join(alone)}; a score is never shown alone")
    intervals = facts.get("interval") or {}
    linear = (facts.get("linear") or {}).get("metrics") or {}
    return [
        {
            "metric": metric,
            "value": number(value),
            "baseline": number(facts["baseline"][metric]),
            "linear": number(linear[metric]) if metric in linear else "",
            "interval": " to ".join(map(number, intervals.get(metric) or ())),
        }
        for metric, value in facts["metrics"].items()
    ]


def _bars(name: str, facts: Mapping[str, Any]) -> list[Chart]:
    """The scores as bars: shares on one axis, errors in the unit of the target on another."""
    intervals = facts.get("interval") or {}
    shares: dict[str, dict[str, Bar]] = {}
    errors: dict[str, dict[str, Bar]] = {}
    losses: dict[str, dict[str, Bar]] = {}
    for metric, value in facts["metrics"].items():
        low_high = intervals.get(metric)
        bar = Bar(value, facts["baseline"][metric], (low_high[0], low_high[1]) if low_high else None)
        (errors if metric in _ERRORS else losses if metric in _LOSSES else shares)[metric] = {name: bar}
    kinds = (
        (shares, f"Scores of {name}"),
        (losses, f"Losses of {name}: less is better"),
        (errors, f"Errors of {name}, in the unit of its target"),
    )
    return [bar_chart(title, groups) for groups, title in kinds if groups]


def _model(name: str, facts: Mapping[str, Any], about: Mapping[str, Any], longest: int) -> dict[str, Any]:
    words = [f"{key} rows: {number(about[key])}" for key in ("train", "test") if about.get(key) is not None]
    words += [f"left as {reason}: {number(rows)}" for reason, rows in (about.get("left") or {}).items()]
    if about.get("looks") is not None:
        words.append(f"looks at the test part so far: {number(about['looks'])}")
    if note := (facts.get("linear") or {}).get("note"):
        words.append(f"linear model beside it: {note}")
    charts = _bars(name, facts)
    confusion = about.get("confusion")
    if confusion and confusion["classes"]:
        if longest:
            charts.append(confusion_matrix(f"Confusion of {name}", confusion["classes"], confusion["counts"]))
        else:
            words.append("the confusion matrix is left out, so that the page stays small")
    worst_first = sorted(about.get("per_class") or [], key=lambda row: (row.get("f1") or 0.0, str(row.get("class"))))
    grids = [
        *(_grid(t.title, t.lines, longest) for t in evaluation_tables(about)),
        _grid("By class, the worst first", worst_first, longest),
        _grid("Rows predicted wrong", about.get("errors") or [], longest),
    ]
    return {
        "name": name,
        "version": facts["version"],
        "digest": facts["digest"],
        "warnings": list(about.get("warnings") or []),
        "scores": _scores(name, facts),
        "facts": "; ".join(words),
        "charts": charts,
        "grids": [grid for grid in grids if grid],
    }


def _table(name: str, facts: Mapping[str, Any], about: Mapping[str, Any], longest: int) -> dict[str, Any]:
    ways: list[list[Value]] = [[way, rows] for way, rows in _ways(facts).items() if rows or way == "kept"]
    head: list[list[Value]] = [["in", facts["in"]]]
    tail: list[list[Value]] = [
        ["created", facts["created"]],
        ["rows now", facts["rows"]],
        ["touched by the last run", facts["touched"] if isinstance(facts["touched"], int) else str(facts["touched"])],
    ]
    grids = [Grid("Rows", table(["way", "rows"], head + ways + tail)), _profile(about.get("profile"), longest)]
    for title, report in (about.get("reports") or {}).items():
        grids.append(_grid(title.replace("_", " ").capitalize(), flattened(report), longest))
    return {
        "name": name,
        "version": facts["version"],
        "digest": facts["digest"],
        "inputs": ", ".join(about.get("inputs") or []),
        "steps": ", ".join(about.get("steps") or []),
        "grids": [grid for grid in grids if grid],
    }


def _profile(profile: Mapping[str, Any] | None, longest: int) -> Grid | None:
    """A profile by column (`columns: {NAME: {...}}`, or such a mapping itself), or its entries one by one."""
    if not profile:
        return None
    columns = profile.get("columns", profile)
    if isinstance(columns, Mapping) and all(isinstance(value, Mapping) for value in columns.values()):
        return _grid("Profile", [{"column": column, **facts} for column, facts in columns.items()], longest)
    return _grid("Profile", [{"what": key, "value": value} for key, value in profile.items()], longest)


def _grid(title: str, rows: Sequence[Any], longest: int) -> Grid | None:
    """The first rows of a list of records, whatever fields they have; None when there is nothing to show."""
    if not rows:
        return None
    records = [row if isinstance(row, Mapping) else {"what": row} for row in rows[:longest]]
    if not records:
        return Grid(title, Markup(), f"All {number(len(rows))} are left out, so that the page stays small.")
    head = list(dict.fromkeys(str(field) for record in records for field in record))
    body = [[_cell(record.get(field)) for field in head] for record in records]
    note = f"The first {number(longest)} of {number(len(rows))}." if len(rows) > longest else ""
    return Grid(title, table([clip(field, _CELL, 1) for field in head], body), note)


def _cell(value: Any) -> Value:
    if value is None or isinstance(value, int | float):
        return value
    if isinstance(value, Mapping):
        value = ", ".join(f"{key}: {_plain(item)}" for key, item in value.items())
    elif isinstance(value, Iterable) and not isinstance(value, str | bytes):
        value = ", ".join(_plain(item) for item in value)
    return clip(str(value), _CELL, 1)


def _plain(value: Any) -> str:
    return number(value) if value is None or isinstance(value, int | float) else str(value)


__all__ = ["LIMIT", "render"]
