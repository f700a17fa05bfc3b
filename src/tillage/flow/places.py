"""Where something stands in the plan's file, for problems that are found only when it is compared with the store.

The file is read again, on that path alone: a plan need not carry the place of every word.
"""

from __future__ import annotations

from pathlib import Path

from tillage.core.errors import ConfigurationError, Problem
from tillage.flow.plan import Plan
from tillage.flow.positions import Node, read


def problem_at(plan: Plan, path: tuple[str | int, ...], message: str) -> Problem:
    """The problem with file, line and column of the value at `path`, or of the nearest thing above it.

    Without them where the plan came from no file, or the file cannot be read any more.

    >>> from tillage.flow.plan import Plan
    >>> problem_at(Plan(project="p", root=Path("."), store=Path(".")), ("models", "m"), "No.").line
    0
    """
    tree = _tree(plan)
    if tree is None:
        return Problem(message)
    return Problem(message, plan.file, *tree.find(path).place)


def _tree(plan: Plan) -> Node | None:
    try:
        return read(Path(plan.file).read_text("utf-8-sig"), plan.file)[0] if plan.file else None
    except (OSError, UnicodeDecodeError, ConfigurationError):  # it was read before, and has changed since
        return None
