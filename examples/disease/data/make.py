"""Writes notes.csv beside itself: what people might say of an illness, made up; or a copy of a set of your own.

`python data/make.py` writes 900 notes about nobody: a complaint or two of an illness, and often one that fits it
badly, in everyday words. `python data/make.py FILE` writes those of a CSV file with the columns `text` and `label`
(such as Symptom2Disease.csv), whatever else it holds.
"""

from __future__ import annotations

import csv
import sys
from collections.abc import Iterable
from pathlib import Path
from random import Random

HERE = Path(__file__).parent
COUNT = 900
ODD = 0.6
"""How often a note has a complaint of any illness besides."""

COMPLAINTS = {
    "cold": (
        "my nose is running", "I keep sneezing", "my throat is scratchy", "I have a slight cough",
        "my head feels stuffed up", "my voice is hoarse",
    ),
    "flu": (
        "the fever came all of a sudden", "all my muscles ache", "I am shivering in bed", "I have a dry cough",
        "I am too weak to get up", "my head hurts badly",
    ),
    "hay fever": (
        "my eyes itch and water", "I keep sneezing", "my nose is running when I am outside",
        "it comes every spring", "it is worse near grass", "my nose is blocked at night",
    ),
    "asthma": (
        "my chest feels tight", "there is a whistle when I breathe out", "I am short of breath at night",
        "running makes me cough", "cold air takes my breath away", "my inhaler helps for a while",
    ),
    "stomach flu": (
        "I have been sick four times", "I have watery diarrhoea", "my stomach cramps", "I cannot keep food down",
        "others in the family have it too", "I feel feverish",
    ),
    "migraine": (
        "one side of my head throbs", "light hurts my eyes", "I see zigzag lines before it starts",
        "I feel sick with it", "I have to lie down in the dark", "every noise is too much",
    ),
    "bladder infection": (
        "it burns when I pass water", "I have to go every half hour", "my water is cloudy",
        "there is a pain low in my belly", "hardly anything comes out", "it smells strong",
    ),
    "gout": (
        "my big toe is swollen and red", "even the blanket hurts my foot", "the pain woke me at night",
        "the joint is hot", "it began after a big meal", "I cannot get my shoe on",
    ),
    "eczema": (
        "the skin in my elbows itches", "there are red dry patches behind my knees", "I scratch until it bleeds",
        "soap makes my skin worse", "my skin cracks in winter", "the rash comes and goes",
    ),
}  # fmt: skip
OPENINGS = ("", "", "Hello, ", "Doctor, ", "Please help: ", "I am not sure what this is, but ")
SINCE = ("since yesterday", "for three days now", "for about a week", "since Monday", "on and off for a month", "")
ENDS = ("", "", " What should I do?", " Is it serious?", " I have not taken anything yet.", " It is getting worse.")


def made() -> Iterable[tuple[str, str]]:
    """Text and illness, the same ones each time."""
    random = Random(1)
    every = sorted({complaint for some in COMPLAINTS.values() for complaint in some})

    def one(values: tuple[str, ...] | list[str]) -> str:
        return values[int(random.random() * len(values))]

    for _ in range(COUNT):
        illness = one(list(COMPLAINTS))
        some: list[str] = []
        more = 1 + (random.random() < 0.6)
        while len(some) < more:
            said = one(COMPLAINTS[illness])
            some += [said] * (said not in some)
        if random.random() < ODD:
            some.insert(int(random.random() * len(some)), one(every))
        since = one(SINCE)
        said = " and ".join([*([", ".join(some[:-1])] if some[1:] else []), some[-1]])
        text = f"{one(OPENINGS)}{said}{', ' if since else ''}{since}.{one(ENDS)}"
        yield text[0].upper() + text[1:], illness


def copied(file: Path) -> Iterable[tuple[str, str]]:
    """The same of a file of your own."""
    with file.open(encoding="utf-8-sig", newline="") as stream:
        for row in csv.DictReader(stream):
            yield row["text"], row["label"]


def main(given: list[str]) -> None:
    """Write the file."""
    with (HERE / "notes.csv").open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(["id", "text", "illness"])
        writer.writerows((number, *row) for number, row in enumerate(copied(Path(given[0])) if given else made()))


if __name__ == "__main__":
    main(sys.argv[1:])
