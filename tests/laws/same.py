"""One run of a world in a process of its own; run as a script it prints the digests.

`python same.py FOLDER STORE WORKERS SHUFFLE` with the environment under test.
"""

from __future__ import annotations

import json
import os
import random
import sys
from pathlib import Path
from typing import Any


class Entries:
    """What `os.scandir` gives, in another order."""

    def __init__(self, found: list[Any]) -> None:
        self.found = found

    def __iter__(self) -> Any:
        return iter(self.found)

    def __next__(self) -> Any:
        return self.found.pop()

    def __enter__(self) -> Entries:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self.found = []


def shuffle_listings(seed: int) -> None:
    """Let folders be listed in an order that no disk gives twice."""
    draw = random.Random(seed)
    scandir, listdir = os.scandir, os.listdir

    def scanned(*args: Any) -> Any:
        with scandir(*args) as entries:
            found = list(entries)
        draw.shuffle(found)
        return Entries(found)

    def listed(*args: Any) -> Any:
        found = listdir(*args)
        draw.shuffle(found)
        return found

    vars(os).update(scandir=scanned, listdir=listed)


def main(folder: str, store: str, workers: str, shuffle: str) -> None:
    from tests.flow.world import digests
    from tillage.face.rooms import project
    from tillage.flow.run import Project

    if int(shuffle):
        shuffle_listings(int(shuffle))
    made = project(Path(folder))
    plan = made.plan.model_copy(update={"store": made.plan.root / store})
    made.close()
    with Project(plan, made.registry, workers=int(workers)) as p:
        p.run()
        print(json.dumps(digests(p), sort_keys=True))


if __name__ == "__main__":
    main(*sys.argv[1:])
