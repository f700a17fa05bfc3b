"""How soon the command line answers, and how many packages a base install brings.

Usage: python benchmarks/figure_start.py [--quick] [--repetitions N] [--write docs/benchmarks.md]
"""

from __future__ import annotations

import re

from child import ROOT, TILLAGE, Used, python
from figure import Figure, arguments

HELP_LIMIT = 0.4
PACKAGE_LIMIT = 46
ENTRY = re.compile(r"^([a-z0-9][a-z0-9._-]*)==", re.MULTILINE)
BACKEND = {"tillage (pyproject.toml:build)", "setuptools"}
"""Who asks for a package that only builds the project itself."""


def packages(lock: str) -> tuple[set[str], set[str]]:
    """(what the project needs to run, what only builds it), from the lock's own account of who asks for what."""
    run: set[str] = set()
    build: set[str] = set()
    for entry in re.split(r"\n(?=[a-z0-9])", lock):
        named = ENTRY.match(entry)
        if named is None:
            continue
        asking = {line.strip() for line in re.findall(r"^\s+#\s+(?:via\s+)?(\S.*)$", entry, re.MULTILINE)} - {"via"}
        (build if asking <= BACKEND else run).add(named[1])
    return run, build


def main() -> None:
    """Measure and tell."""
    given = arguments(__doc__, repetitions=5)
    figure = Figure("start", "The command line answers, and the base install is small", given)

    def helped(_: int) -> Used:
        return python(*TILLAGE, "--help")

    def bare(_: int) -> Used:
        return python("-c", "pass")

    found = figure.turns({"tillage --help": helped, "Python alone": bare})
    figure.table(found, {"tillage --help": "python -m tillage.face.main --help", "Python alone": "python -c pass"})
    run, build = packages((ROOT / "requirements" / "base.txt").read_text())
    figure.judge("`tillage --help`, CPU", [u.cpu for u in found["tillage --help"]], " s", limit=HELP_LIMIT)
    figure.judge("packages of a base install", [len(run)], "", limit=PACKAGE_LIMIT, sized=False)
    figure.judge("packages that only build the project, besides", [len(build)], "", limit=None)
    figure.close()


if __name__ == "__main__":
    main()
