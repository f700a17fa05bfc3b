"""A process that does the work of `flow.processes`: orders come on standard input, answers go to standard output.

The first line tells the plan; each further one names a chunk and the stage whose Maps it passes through. It ends when
its input does, so it does not outlive who started it. What a step prints goes to standard error.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

from tillage.core.errors import TillageError
from tillage.face.rooms import registry
from tillage.flow.configuration import parse
from tillage.flow.maps import Remote
from tillage.flow.plan import Plan
from tillage.flow.processes import READY
from tillage.flow.run import Project


class Worker:
    """A plan, and the stage that was last worked on: its Maps are loaded once."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self._at: tuple[str, int] | None = None
        self._project: Project | None = None
        self._remote: Remote | None = None

    def answer(self, order: dict[str, Any]) -> dict[str, Any]:
        """What was made of the chunk, in the catalog and on disk when this returns."""
        at = (str(order["stage"]), int(order["version"]))
        if self._project is None or self._remote is None or at != self._at:
            self.close()
            self._project = Project(self.plan, registry().within(self.plan.root), workers=1)
            stage = self._project.stages[at[0]]
            self._remote = Remote(self._project.store, stage, self._project.chains(stage))
            self._at = at
        return self._remote.done(order)

    def close(self) -> None:
        """Let go of the store."""
        if self._project is not None:
            self._project.close()
            self._project = None


def main() -> None:
    """Answer until the input ends."""
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    told = json.loads(sys.stdin.readline())
    root = Path(told["root"])
    plan = parse(told["plan"], root, registry()).model_copy(update={"store": Path(told["store"])})
    worker = Worker(plan)
    _say(answers, READY)
    for line in sys.stdin:
        try:
            said = {"result": worker.answer(json.loads(line))}
        except (TillageError, ArithmeticError, LookupError, MemoryError, OSError, TypeError, ValueError) as error:
            said = {"error": {"said": f"{type(error).__name__}: {error}"[:500]}}  # who asked does it again, and reports
        _say(answers, said)
    worker.close()


def _say(answers: Any, said: Any) -> None:
    answers.write(json.dumps(said) + "\n")
    answers.flush()


if __name__ == "__main__":
    main()
