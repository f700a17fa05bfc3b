"""`trace`: where a row, a record, an answer, a table or a model came from, and where it went, as a tree."""

from __future__ import annotations

import re
import shutil
import sys
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tillage.face.opening import open_project
from tillage.face.options import AsJson, PlanFile
from tillage.face.screen import Screen, cell, many
from tillage.face.whole_file import replacing

if TYPE_CHECKING:
    from rich.tree import Tree

    from tillage.flow.run import Project
    from tillage.promises.tracing import Node

_ID = re.compile(r"(0x)?[0-9a-fA-F]{1,32}")
_SHORT = {"digest": 16, "sha256": 16}
"""Digits of a digest on the tree; `--json` has them all."""

PREDICTION = "prediction"
"""What stands before the id of an answer, unless a table or a model is called so."""

_WIDE = 10_000
"""Columns where nobody looks: lines of a file or a pipe are not folded."""


def trace(
    *,
    name: Annotated[
        str,
        typer.Argument(
            metavar="TABLE|MODEL|FILE|prediction",
            help="A table, a model, a file that a table reads, or `prediction` before the id of a server's answer.",
        ),
    ],
    row: Annotated[
        str | None,
        typer.Argument(
            metavar="[ROW_ID|RECORD|ID]",
            help="A row_id as `tillage show` prints it; of a file the record, from 0; the id that an answer bears.",
        ),
    ] = None,
    key: Annotated[
        list[str] | None,
        typer.Option(
            "--key", metavar="VALUE", help="The row's key instead of its row_id; repeated for each key column."
        ),
    ] = None,
    subject: Annotated[
        str | None,
        typer.Option("--subject", metavar="VALUE", help="The answers that a server gave about this subject."),
    ] = None,
    version: Annotated[
        int | None,
        typer.Option("--version", metavar="N", help="The version of the table or model. Default: the newest."),
    ] = None,
    direction: Annotated[
        str, typer.Option("--direction", metavar="back|forward|both", help="Which way to follow the thread.")
    ] = "both",
    depth: Annotated[int | None, typer.Option("--depth", min=1, metavar="N", help="Steps to follow at most.")] = None,
    limit: Annotated[
        int, typer.Option("--limit", min=1, metavar="N", help="Rows of one stage to name; the others are counted.")
    ] = 10,
    openlineage: Annotated[
        Path | None, typer.Option("--openlineage", metavar="FILE", help="Also write it as OpenLineage events.")
    ] = None,
    svg: Annotated[Path | None, typer.Option("--svg", metavar="FILE", help="Also draw it.")] = None,
    plan: PlanFile = None,
    as_json: AsJson = False,
) -> None:
    """Show where a row, a record or a model came from, and what was made of it."""
    from tillage.core.errors import UsageError, unknown_name

    if direction not in ("back", "forward", "both"):
        raise UsageError(unknown_name("direction", direction, ("back", "forward", "both")))
    screen = Screen(as_json)
    with open_project(plan, ran=True) as project:
        bounds: dict[str, Any] = {"direction": direction, "depth": depth, "limit": limit}
        if subject is not None:
            node = _about(project, name, subject, (row, key, version), limit)
        else:
            node = _node(project, name, row, key, version, bounds)
        if openlineage is not None:
            from tillage.promises.lineage_events import as_lines, lineage_events

            _write(openlineage, as_lines(lineage_events(project, node)), screen)
    if svg is not None:
        from tillage.promises.trace_picture import picture

        _write(svg, picture(node).standalone(), screen)
    _draw(screen, node)
    screen.result({"schema": "tillage.trace/1", "name": name, "trace": node.to_dict()})


def _about(project: Project, name: str, subject: str, others: tuple[Any, ...], limit: int) -> Node:
    from tillage.core.errors import UsageError
    from tillage.promises.tracing import trace_subject

    if any(other not in (None, []) for other in others):
        raise UsageError("--subject stands alone: it asks for the answers about somebody, not about one row.")
    if name not in project.plan.tables:
        raise UsageError(
            f"--subject needs a table that says whose its rows are, and '{name}' is none.",
            fix="Name one: tillage trace TABLE --subject VALUE. Tables: " + ", ".join(sorted(project.plan.tables)),
        )
    return trace_subject(project, name, subject, limit=limit)


def _node(
    project: Project, name: str, row: str | None, key: list[str] | None, version: int | None, bounds: dict[str, Any]
) -> Node:
    from tillage.core.errors import UsageError, unknown_name
    from tillage.promises.trace_record import is_read, paths
    from tillage.promises.tracing import row_of_key, trace, trace_prediction, trace_record

    tables, models = project.plan.tables, project.plan.models
    if name not in tables and name not in models:
        if (asked := _answer(project, name, row)) is not None and not key and version is None:
            return trace_prediction(project, asked, **bounds)
        if is_read(project, name):
            return trace_record(project, name, _record(name, row, key, version), **bounds)
        if len(name) == 32 and _ID.fullmatch(name):
            table = next(iter(tables)) if len(tables) == 1 else "TABLE"
            among = "" if len(tables) == 1 else f" Tables: {', '.join(tables)}."
            fix = f"Name its table: `tillage trace {table} {name}`.{among}"
            raise UsageError(f"'{name}' looks like a row_id.", fix=fix)
        raise UsageError(unknown_name("table, model or source file", name, [*tables, *models, *paths(project)]))
    if (row is not None or key) and name in models:
        raise UsageError(f"'{name}' is a model and has no rows.", fix=f"Run `tillage trace {name}`, or name a table.")
    if row is not None and key:
        raise UsageError("Give a row_id or --key, not both.")
    if row is not None and not _ID.fullmatch(row):
        raise UsageError(
            f"'{row}' is not a row_id: that is 32 hexadecimal digits.",
            fix=f"`tillage show {name}` prints row_ids; or give the row's key with --key VALUE.",
        )
    wanted = int(row, 16) if row is not None else row_of_key(project, name, key) if key else None
    return trace(project, name, wanted, version=version, **bounds)


def _answer(project: Project, name: str, row: str | None) -> str | None:
    """The id of a prediction, where one is asked about: after the word, or by itself."""
    from tillage.core.errors import UsageError
    from tillage.serve.prediction_ids import Ids

    if name == PREDICTION:
        if row is None:
            raise UsageError(
                "Which prediction?", fix="Give the `id` that the answer bears: tillage trace prediction ID."
            )
        return row
    return name if row is None and Ids(project.store.keys).given(name) else None


def _record(name: str, record: str | None, key: list[str] | None, version: int | None) -> int:
    from tillage.core.errors import UsageError

    example = f"`tillage trace {name} 0` traces its first record"
    if key or version is not None:
        raise UsageError(f"'{name}' is a file: it has records, no --key and no --version.", fix=f"{example}.")
    if record is None:
        raise UsageError(f"Which record of {name}?", fix=f"Give its number: {example}.")
    if not record.isascii() or not record.isdigit():
        raise UsageError(f"'{record}' is not the number of a record.", fix=f"They are counted from 0: {example}.")
    return int(record)


def _write(path: Path, text: str, screen: Screen) -> None:
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")
    screen.say(f"Written to {path}.")


def _draw(screen: Screen, node: Node) -> None:
    if screen.as_json:
        return
    screen.line(_label(node), style="bold")
    for said, side in (("from", "back"), ("into", "forward")):
        edges = node.thread.of(side, node.id)  # type: ignore[arg-type]
        if edges:
            for line in _lines(node, said, side):
                screen.line(line)
    counted = [n for n in node.thread.items.values() if n.kind == "rows"]
    if counted:
        rows = sum(int(n.facts.get("rows", 0)) for n in counted)
        screen.say(f"{many(rows, 'row')} counted and not named: --limit names more.")


def _lines(node: Node, said: str, side: Any) -> list[str]:
    """One side of the thread as a tree; what hangs on two branches is spread out on the first alone."""
    from rich.text import Text
    from rich.tree import Tree

    tree = Tree(Text(f"{said}:"))
    seen: set[str] = {node.id}
    waiting: list[tuple[Tree, str]] = [(tree, node.id)]
    while waiting:
        branch, at = waiting.pop()
        more: list[tuple[Tree, str]] = []
        for edge in node.thread.of(side, at):
            known = edge.end in seen
            text = _label(type(node)(node.thread, edge.end))
            how = f"  [{'~ ' if edge.kind == 'influenced' else ''}{cell(edge.how, 60)}]" if edge.how else ""
            twig = branch.add(Text(text + how + ("  (as above)" if known else "")))
            seen.add(edge.end)
            if not known:
                more.append((twig, edge.end))
        waiting += reversed(more)
    return _printed(tree)


def _printed(tree: Tree) -> list[str]:
    from rich.console import Console

    held = StringIO()
    width = shutil.get_terminal_size().columns if sys.stdout.isatty() else _WIDE
    Console(file=held, width=width, color_system=None, highlight=False, markup=False, emoji=False).print(tree)
    return [line.rstrip() for line in held.getvalue().splitlines()]


def _label(node: Node) -> str:
    facts = "; ".join(
        f"{name}: {_fact(value)[: _SHORT.get(name)]}" for name, value in node.facts.items() if _worth(name, value)
    )
    return f"{node.kind} {cell(node.label)}" + (f"  ({facts})" if facts else "")


def _worth(name: str, value: Any) -> bool:
    """Whether a fact says something on a tree, where the table and the state of a kept row go without saying."""
    said_already = name in ("table", "object", "record", "version") or (name, value) == ("state", "kept")
    return value not in (None, {}, []) and not said_already


def _fact(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name} {_fact(inner)}" for name, inner in value.items())
    if isinstance(value, list | tuple):
        return ", ".join(_fact(inner) for inner in value)
    return cell(str(value), 80)
