"""`trace`: where a row or a model came from, and where it went, as a tree."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tillage.face.opening import known, open_project
from tillage.face.options import AsJson, PlanFile
from tillage.face.screen import Screen, cell

if TYPE_CHECKING:
    from tillage.flow.plan import Table
    from tillage.flow.run import Project
    from tillage.promises.trace import Node

_ID = re.compile(r"(0x)?[0-9a-fA-F]{1,32}")


def trace(
    *,
    name: Annotated[str, typer.Argument(metavar="TABLE|MODEL", help="A table or a model.")],
    row: Annotated[str | None, typer.Argument(metavar="[ROW_ID]", help="A row_id as `tillage show` prints it.")] = None,
    key: Annotated[
        list[str] | None,
        typer.Option(
            "--key", metavar="VALUE", help="The row's key instead of its row_id; repeated for each key column."
        ),
    ] = None,
    plan: PlanFile = None,
    as_json: AsJson = False,
) -> None:
    """Show where a row or a model came from, and what was made of it."""
    from tillage.core.errors import UsageError
    from tillage.promises import trace as follow

    screen = Screen(as_json)
    with open_project(plan, ran=True) as project:
        known("table or model", name, [*project.plan.tables, *project.plan.models])
        if (row is not None or key) and name in project.plan.models:
            raise UsageError(
                f"'{name}' is a model and has no rows.", fix=f"Run `tillage trace {name}`, or name a table."
            )
        if row is not None and key:
            raise UsageError("Give a row_id or --key, not both.")
        if row is not None and not _ID.fullmatch(row):
            raise UsageError(
                f"'{row}' is not a row_id: that is 32 hexadecimal digits.",
                fix=f"`tillage show {name}` prints row_ids; or give the row's key with --key VALUE.",
            )
        wanted = int(row, 16) if row is not None else _by_key(project, name, key) if key else None
        node = follow(project, name, wanted)
    _draw(screen, node)
    screen.result({"schema": "tillage.trace/1", "name": name, "trace": node.to_dict()})


def _by_key(project: Project, name: str, values: list[str]) -> int:
    """The row_id of a key: rows keep the id that the collecting table gave them."""
    import polars as pl

    from tillage.core.errors import UsageError

    origins = [t for t in _collecting(project, name) if t.key]
    if not origins:
        raise UsageError(f"No table behind '{name}' declares a key.", fix="Give the row_id that `tillage show` prints.")
    if len(origins) > 1:
        named = ", ".join(t.name for t in origins)
        raise UsageError(f"'{name}' comes from several tables with keys: {named}.", fix="Trace it in one of them.")
    origin = origins[0]
    if len(values) != len(origin.key):
        raise UsageError(
            f"The key of '{origin.name}' has {len(origin.key)} columns ({', '.join(origin.key)}), got {len(values)}.",
            fix=f"Give {' '.join(f'--key {c.upper()}' for c in origin.key)}.",
        )
    frame = pl.DataFrame({column: [value] for column, value in zip(origin.key, values, strict=True)})
    return int(project.store.keys.row_ids(origin.name, frame, origin.key)[0])


def _collecting(project: Project, name: str) -> list[Table]:
    found: dict[str, Table] = {}
    waiting = [name]
    while waiting:
        table = project.plan.tables[waiting.pop()]
        if table.source is not None:
            found[table.name] = table
        waiting += [source for _, source in table.inputs]
    return list(found.values())


def _draw(screen: Screen, node: Node) -> None:
    screen.line(_label(node), style="bold")
    for said, nodes in (("from", node.back), ("into", node.forward)):
        if nodes:
            screen.line(f"{said}:")
            _branch(screen, nodes, "  ")


def _branch(screen: Screen, nodes: tuple[Node, ...], indent: str) -> None:
    for node in nodes:
        last = node is nodes[-1]
        screen.line(f"{indent}{'└─' if last else '├─'} {_label(node)}")
        _branch(screen, (*node.back, *node.forward), indent + ("   " if last else "│  "))


def _label(node: Node) -> str:
    facts = "; ".join(f"{name}: {_fact(value)}" for name, value in node.facts.items() if value not in (None, {}, []))
    return f"{node.kind} {cell(node.label)}" + (f"  ({facts})" if facts else "")


def _fact(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name} {_fact(inner)}" for name, inner in value.items())
    if isinstance(value, list | tuple):
        return ", ".join(_fact(inner) for inner in value)
    return cell(str(value), 80)
