"""Where something stands in the plan's file, for problems that are found only when it is compared with the store.

The file is read again, on that path alone: a plan need not carry the place of every word.
"""

from __future__ import annotations

from pathlib import Path

from tillage.core.errors import ConfigurationError, Problem
from tillage.flow.plan import Plan
from tillage.flow.positions import Node, read


def problem_at(
    plan: Plan, message: str, *paths: tuple[str | int, ...], item: int | None = None, key: str | None = None
) -> Problem:
    """The problem with file, line and column of the value at the first of `paths` that is there (or nearest to it).

    `item`: number of the item, where that value is a list; `key`: the key itself, where it is a mapping. Without a
    place where the plan came from no file, or the file cannot be read any more.

    >>> problem_at(Plan(project="p", root=Path("."), store=Path(".")), "No.", ("models", "m")).line
    0
    """
    tree = _tree(plan)
    if tree is None:
        return Problem(message)
    node = next((node for path in paths if (node := _exactly(tree, path)) is not None), tree.find(paths[0]))
    if key is not None and key in node.keys:
        return Problem(message, plan.file, *node.keys[key])
    return Problem(message, plan.file, *node.find(() if item is None else (item,)).place)


def _exactly(tree: Node, path: tuple[str | int, ...]) -> Node | None:
    here: Node | None = tree
    for part in path:
        here = here.value.get(str(part)) if here is not None and isinstance(here.value, dict) else None
    return here


def _tree(plan: Plan) -> Node | None:
    try:
        return read(Path(plan.file).read_text("utf-8-sig"), plan.file)[0] if plan.file else None
    except (OSError, UnicodeDecodeError, ConfigurationError):  # it was read before, and has changed since
        return None
