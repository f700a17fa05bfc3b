"""A process that answers requests beside others (`serve --workers`): what it serves it is told on standard input."""

from __future__ import annotations

import json
import sys
from contextlib import ExitStack
from pathlib import Path

from tillage import __version__
from tillage.core.errors import TillageError
from tillage.face.opening import project_of
from tillage.face.rooms import registry
from tillage.flow.configuration import parse
from tillage.serve.server import work
from tillage.serve.tracing import Traces


def main() -> int:
    """Serve until told to end; the exit code."""
    told = json.load(sys.stdin)
    root = Path(told["root"])
    tls = (Path(told["tls"][0]), Path(told["tls"][1])) if told["tls"] else None
    with ExitStack() as opened:
        try:
            plan = parse(told["plan"], root, registry()).model_copy(update={"store": Path(told["store"])})
            project = opened.enter_context(project_of(plan, ran=True))
        except TillageError as error:
            sys.stderr.write(f"{error}\n")
            return error.exit_code
        return work(
            project,
            channel=told["channel"],
            listener=told["listener"],
            token=told["token"],
            version=__version__,
            hosts=told["hosts"],
            tls=tls,
            memory=told["memory"],
            traces=Traces(told["otel"], __version__) if told["otel"] else None,
        )


if __name__ == "__main__":
    sys.exit(main())
