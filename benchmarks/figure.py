"""How a figure is told: the machine, each side with median, least and most, each limit beside what was reached.

The same words go to the screen and, with `--write FILE`, into that file's block between `<!-- figure NAME -->` and
`<!-- end NAME -->`. Sides to be compared are run in turn, the order reversed at every other turn, and their ratio is
taken turn by turn, so that a machine that slows down meets both.
"""

from __future__ import annotations

import argparse
import os
import platform
import re
import statistics
import sys
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from importlib.metadata import version
from pathlib import Path

from child import Used, compiled

Side = Callable[[int], Used]
"""Run one side once; the argument is the turn, from 0."""


def arguments(
    about: str | None, *, repetitions: int, data: str | None = None, peers: bool = False
) -> argparse.Namespace:
    """`--quick`, `--repetitions`, `--write`: the options of every figure; `--data DIR` where it needs `data`;
    `--peers PYTHON` where others are compared that need not be installed."""
    parser = parser_of(about, repetitions=repetitions)
    if data is not None:
        parser.add_argument("--data", type=Path, metavar="DIR", help=f"folder of {data}; without it that is left out")
    if peers:
        parser.add_argument("--peers", metavar="PYTHON", help="an interpreter that has the libraries to compare with")
    return settled(parser, repetitions=repetitions)


def parser_of(about: str | None, *, repetitions: int) -> argparse.ArgumentParser:
    """The options of every figure, for one that adds its own; then comes `settled`."""
    parser = argparse.ArgumentParser(description=about, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--quick", action="store_true", help="small sizes, one turn: shows that it runs, judges nothing"
    )
    parser.add_argument("--repetitions", type=int, default=repetitions, metavar="N", help="turns (default %(default)s)")
    parser.add_argument("--write", type=Path, metavar="FILE", help="replace this figure's block in FILE")
    return parser


def settled(parser: argparse.ArgumentParser, *, repetitions: int) -> argparse.Namespace:
    """What was given, checked; with `usual`, whether the number of turns is the figure's own."""
    given = parser.parse_args()
    given.usual = given.repetitions == repetitions
    if given.quick:
        given.repetitions = 1
    if given.quick and given.write:
        parser.error("--quick sizes are not worth writing down")
    if given.repetitions < 1:
        parser.error("--repetitions must be at least 1")
    return given


class Figure:
    """One figure as it comes about."""

    def __init__(self, name: str, title: str, given: argparse.Namespace) -> None:
        compiled()
        self.name, self.given = name, given
        self.lines: list[str] = []
        self.judged: list[str] = []
        self.say(f"### {title}")
        self.say()
        command = f"python benchmarks/figure_{name}.py"
        if given.quick or not given.usual:
            command += " --quick" if given.quick else f" --repetitions {given.repetitions}"
        for option in ("data", "peers"):
            if getattr(given, option, None) is not None:
                command += f" --{option} DIR"
        self.say(f"`{command}` on {machine()}")
        self.say(f"at {datetime.now().astimezone():%Y-%m-%d %H:%M %Z}, {load('at the start')}.")

    def say(self, line: str = "") -> None:
        """A line for the screen and the page."""
        print(line, flush=True)
        self.lines.append(line)

    def note(self, line: str) -> None:
        """A line for the screen only: progress."""
        print(f"  {line}", file=sys.stderr, flush=True)

    def turns(self, sides: Mapping[str, Side]) -> dict[str, list[Used]]:
        """Run the sides in turn, the order reversed at every other turn."""
        found: dict[str, list[Used]] = {name: [] for name in sides}
        for turn in range(self.given.repetitions):
            for name in sides if turn % 2 == 0 else reversed(list(sides)):
                used = sides[name](turn)
                found[name].append(used)
                self.note(f"{turn + 1}: {name}: {used.cpu:.2f} s CPU, {used.peak:.0f} MB, {used.wall:.1f} s")
        return found

    def table(self, found: Mapping[str, Sequence[Used]], commands: Mapping[str, str]) -> None:
        """What each side cost; `commands`: how each was called."""
        self.say()
        self.say("| side | command | runs | CPU s: median (least to most) | peak MB |")
        self.say("|---|---|---|---|---|")
        for name, used in found.items():
            cpu = spread([u.cpu for u in used], "")
            peak = spread([u.peak for u in used], "", 0)
            self.say(f"| {name} | `{commands[name]}` | {len(used)} | {cpu} | {peak} |")

    def judge(
        self,
        what: str,
        values: Sequence[float],
        unit: str,
        *,
        limit: float | None,
        at_least: bool = False,
        sized: bool = True,
    ) -> None:
        """What was reached beside what is asked for; the median decides. No limit: reported only.

        `sized`: it depends on how much data there is, so that a quick run cannot judge it.
        """
        if limit is None:
            asked, verdict = "–", "–"
        else:
            reached = statistics.median(values)
            passed = reached >= limit if at_least else reached <= limit
            asked = f"{'at least' if at_least else 'at most'} {limit:g}{unit}"
            verdict = "not judged" if self.given.quick and sized else "PASS" if passed else "**FALLS SHORT**"
        whole = unit == " MB" or all(float(v).is_integer() for v in values)
        digits = 0 if whole else 3 if abs(statistics.median(values)) < 1 else 2
        self.judged.append(f"| {what} | {spread(values, unit, digits)} | {asked} | {verdict} |")

    def hold(self, what: str, reached: int, of: int) -> None:
        """Something that must hold every time."""
        verdict = "not judged" if not of else "PASS" if reached == of else "**FALLS SHORT**"
        self.judged.append(f"| {what} | {reached} of {of} | {of} of {of} | {verdict} |")

    def close(self) -> None:
        """Print the judgements, and put everything into its block of the page."""
        self.say()
        self.say("| figure | reached: median (least to most) | asked for | |")
        self.say("|---|---|---|---|")
        for line in self.judged:
            self.say(line)
        self.say()
        print(load("at the end").capitalize() + ".")
        if self.given.write is not None:
            page = self.given.write
            page.write_text(replaced(page.read_text(encoding="utf-8"), self.name, self.lines), encoding="utf-8")
            print(f"Written into {page}.")


def ratios(above: Sequence[Used], below: Sequence[Used]) -> list[float]:
    """The ratio of CPU seconds, turn by turn."""
    return [a.cpu / b.cpu for a, b in zip(above, below, strict=True)]


def spread(values: Sequence[float], unit: str, digits: int = 2) -> str:
    """Median (least to most).

    >>> spread([1.0, 3.0, 2.0], " s"), spread([2.0], "x")
    ('2.00 s (1.00 to 3.00)', '2.00x')
    """
    middle = f"{statistics.median(values):,.{digits}f}{unit}"
    return middle if len(values) == 1 else f"{middle} ({min(values):,.{digits}f} to {max(values):,.{digits}f})"


def replaced(page: str, name: str, lines: Sequence[str]) -> str:
    """The page with the block of a figure replaced; ValueError when it has none.

    >>> replaced("a\\n<!-- figure x -->\\nold\\n<!-- end x -->\\nb\\n", "x", ["new"])
    'a\\n<!-- figure x -->\\nnew\\n<!-- end x -->\\nb\\n'
    """
    begin, end = f"<!-- figure {name} -->", f"<!-- end {name} -->"
    if page.count(begin) != 1 or page.count(end) != 1:
        raise ValueError(f"the page needs one block between {begin} and {end}")
    before, rest = page.split(begin)
    return before + "\n".join([begin, *lines]).rstrip() + f"\n{end}" + rest.split(end)[1]


WIDEST = {
    "avx512_bf16": "AVX-512 with bfloat16",
    "avx512_vnni": "AVX-512 with VNNI",
    "avx512f": "AVX-512",
    "avx2": "AVX2",
}
"""Flags of a processor to how they are told, the widest first."""


def machine() -> str:
    """Processors and the widest of their vector instructions, on which half of a figure hangs; Python, libraries."""
    cores = len(os.sched_getaffinity(0))
    described = Path("/proc/cpuinfo").read_text() if Path("/proc/cpuinfo").exists() else ""
    named = re.search(r"model name\s*: (.*)", described)
    libraries = ", ".join(f"{name} {version(name)}" for name in ("polars", "polars-hash", "pyarrow"))
    model = named[1] if named else platform.processor() or platform.machine()
    flags = set(described.split())
    widest = next((said for flag, said in WIDEST.items() if flag in flags), "no AVX")
    return f"{cores} cores of {model} ({widest}), Python {platform.python_version()}, {libraries}"


def load(when: str) -> str:
    """How busy the machine was with anything: a figure taken under load is not worth much."""
    return f"load average {os.getloadavg()[0]:.1f} {when}"
