"""1,000 CSV files of 1,000 rows through clean, derive and aggregate, process start included; and never stale.

Each turn: everything from nothing, a run with nothing changed, a run with one file added. Then, on a smaller folder,
an edit, a deletion, a touch, a rename, and an edit that keeps size and mtime: after each, a run of the store that is
there must give the digests of a rebuild in a new one, and they must have changed exactly where the data has.

Usage: python benchmarks/figure_many_files.py [--quick] [--repetitions N] [--write docs/benchmarks.md]
"""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

from child import BENCHMARKS, Used, python, tillage
from figure import Figure, arguments

FULL_LIMIT, IDLE_LIMIT, ADDED_LIMIT = 8, 0.8, 1.2


def write(folder: Path, files: int, first: int = 0) -> None:
    """Files `first`, `first` + 1, ... of the folder, and its plan."""
    python(BENCHMARKS / "many_files.py", folder, "--files", str(files), "--first", str(first))


class Folder:
    """One turn's three runs; the second and third belong to the first."""

    def __init__(self, folder: Path, files: int) -> None:
        self.folder, self.files = folder, files
        self.idle: list[Used] = []
        self.added: list[Used] = []
        write(folder, files)

    def full(self, _: int) -> Used:
        """From nothing; then with nothing changed; then with one file more, which is taken away again."""
        used = tillage("run", cwd=self.folder)
        self.idle.append(tillage("run", cwd=self.folder))
        write(self.folder, 1, first=self.files)
        self.added.append(tillage("run", cwd=self.folder))
        (self.folder / f"data/f{self.files:05d}.csv").unlink()
        shutil.rmtree(self.folder / ".tillage")
        return used


# ---- never stale


def edit(data: Path) -> None:
    """The first row of a file gets another amount, one digit longer."""
    change(data / "f00001.csv", "1234")


def delete(data: Path) -> None:
    """A file goes."""
    (data / "f00002.csv").unlink()


def touch(data: Path) -> None:
    """A file gets a new mtime and keeps its content."""
    os.utime(data / "f00003.csv", (2_000_000_000, 2_000_000_000))


def rename(data: Path) -> None:
    """A file gets another name, which sorts elsewhere."""
    (data / "f00004.csv").rename(data / "a-renamed.csv")


def disguise(data: Path) -> None:
    """One digit of a file changes, and its size and mtime do not; only its ctime tells."""
    path = data / "f00005.csv"
    before = path.stat()
    lines = path.read_text().splitlines(keepends=True)
    for n, line in enumerate(lines[1:], 1):
        key, shop, amount, rest = line.split(",", 3)
        if len(amount) == 1 and amount != "0":
            lines[n] = ",".join([key, shop, "2" if amount == "1" else "1", rest])
            break
    path.write_text("".join(lines))
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    after = path.stat()
    if (after.st_size, after.st_mtime_ns) != (before.st_size, before.st_mtime_ns):
        raise RuntimeError(f"{path} was to keep its size and mtime")


def change(path: Path, amount: str) -> None:
    lines = path.read_text().splitlines(keepends=True)
    key, shop, _, rest = lines[1].split(",", 3)
    lines[1] = ",".join([key, shop, amount, rest])
    path.write_text("".join(lines))


CHANGES: dict[str, tuple[Callable[[Path], None], bool]] = {
    "an edit": (edit, True),
    "a deletion": (delete, True),
    "a touch": (touch, False),
    "a rename": (rename, False),
    "an edit that keeps size and mtime": (disguise, True),
}
"""What is done to the folder, and whether it changes the data."""


def digests(folder: Path, *plan: str) -> dict[str, str]:
    """The digest of each table, by `show`."""
    shown = json.loads(tillage("show", "--digest", "--json", *plan, cwd=folder).out)
    return {name: table["digest"] for name, table in shown["tables"].items()}


def rebuilt(folder: Path) -> dict[str, str]:
    """The digests of the same plan and files in a store that has never seen them."""
    plan = folder / "rebuild.yaml"
    plan.write_text((folder / "tillage.yaml").read_text() + "store: rebuilt\n")
    tillage("run", "--plan", plan.name, cwd=folder)
    found = digests(folder, "--plan", plan.name)
    shutil.rmtree(folder / "rebuilt")
    return found


def stale(folder: Path, figure: Figure) -> None:
    """Each change in turn, on the store that has seen all before it."""
    tillage("run", cwd=folder)
    before = digests(folder)
    for name, (act, changes) in CHANGES.items():
        act(folder / "data")
        ran = json.loads(tillage("run", "--json", cwd=folder).out)
        after, again = digests(folder), rebuilt(folder)
        if len(again) != 3 or None in again.values():
            raise RuntimeError(f"three digests were expected: {again}")
        # A change that moves no digest would pass although nobody looked at it.
        seen = (after["sales"] != before["sales"]) == changes
        figure.hold(f"after {name}: tables with the digest of a rebuild", sum(after[t] == again[t] for t in again), 3)
        figure.hold(f"after {name}: the data {'has' if changes else 'has not'} changed", int(seen), 1)
        if not changes:
            figure.judge(f"after {name}: rows read", [ran["tables"]["sales"]["touched"]], "", limit=0, sized=False)
        before = after


def main() -> None:
    """Measure and tell."""
    given = arguments(__doc__, repetitions=3)
    files = 20 if given.quick else 1000
    figure = Figure("many_files", f"{files:,} CSV files of 1,000 rows: clean, derive, aggregate", given)
    with tempfile.TemporaryDirectory(prefix="tillage-figure-") as root:
        folder = Folder(Path(root) / "all", files)
        found = figure.turns({"everything": folder.full})
        found |= {"nothing changed": folder.idle, "one file added": folder.added}
        figure.table(found, dict.fromkeys(found, "python -m tillage.face.main run"))
        figure.judge("everything, CPU", [u.cpu for u in found["everything"]], " s", limit=FULL_LIMIT)
        figure.judge("nothing changed, CPU", [u.cpu for u in folder.idle], " s", limit=IDLE_LIMIT)
        figure.judge("one file added, CPU", [u.cpu for u in folder.added], " s", limit=ADDED_LIMIT)
        write(Path(root) / "some", 8 if given.quick else 100)
        stale(Path(root) / "some", figure)
    figure.close()


if __name__ == "__main__":
    main()
