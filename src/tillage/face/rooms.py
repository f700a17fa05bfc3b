"""Where the rooms are joined: the steps they export go to flow, which knows none of them.

Everything is imported when it is asked for: the command line answers `--help` without it.
"""

from __future__ import annotations

import sys
from functools import lru_cache
from pathlib import Path

from tillage.flow.configuration import STORE, folder_name, load
from tillage.flow.engine import Engine
from tillage.flow.pipeline import folder
from tillage.flow.plan import Plan
from tillage.flow.registry import Registry
from tillage.flow.run import Project


@lru_cache(maxsize=1)
def registry() -> Registry:
    """Every step of every room, and of the installed plug-ins."""
    from tillage import augment, collect, evaluate, govern, learn, prepare, privacy

    return Registry.discover([collect, prepare, augment, govern, privacy, learn, evaluate])


def in_processes(plan: Plan, count: int) -> Engine:
    """An engine for this plan with Maps in `count` processes."""
    from tillage.flow.processes import Processes

    return Processes(count, plan, registry().within(plan.root), [sys.executable, "-m", "tillage.face.worker"])


def project(where: Path | str | Plan = ".") -> Project:
    """The project of a plan, or of a folder (or a `tillage.yaml`), in which `Rows` are run from now on.

    A folder without a `tillage.yaml` gives a project without tables.
    """
    if isinstance(where, Plan):
        return Project(where, registry().within(where.root))
    path = Path(where).absolute()
    root = path if path.is_dir() or not path.suffix else path.parent
    folder.set(root)
    if path != root or (root / "tillage.yaml").exists():
        plan = load(path, registry())
    else:
        plan = Plan(project=folder_name(root), root=root, store=root / STORE)
    return Project(plan, registry().within(root))
