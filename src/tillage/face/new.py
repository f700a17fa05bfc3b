"""`new`: a project that runs at once: a commented plan, a few rows made by this code, and what git should not keep."""

from __future__ import annotations

import csv
import io
from itertools import product
from pathlib import Path
from shlex import quote
from typing import Annotated

import typer

from tillage.face.opening import FILE
from tillage.face.options import AsJson
from tillage.face.screen import Screen
from tillage.face.whole_file import replacing

DATA = "data/notes.csv"

PLAN = """\
# A plan: tables made from data, and models made from tables. `tillage run` brings both up to date.
project: {project}

tables:
  # Raw rows. `key` names the column that tells rows apart, so that a changed row is an update.
  notes:
    collect: {{files: data/*.csv}}
    key: id

  # Rows made ready. `tillage steps` lists what can stand here, `tillage steps NAME` its parameters.
  clean:
    from: notes
    steps:
      - normalize: {{columns: [text]}}          # one form of Unicode, single spaces
      - drop_duplicates: {{columns: [text]}}    # of equal texts one is kept; the others are counted as merged
    expect:                                   # a version that fails these is never published
      - {{column: topic, not_null: true}}
      - {{column: text, matches: "\\\\w"}}

models:
  # Learnt from four fifths of the rows and tested on the rest; the score stands beside a naive baseline.
  topic:
    learn: text_classifier
    from: clean
    input: text
    target: topic
    split: {{test: 0.2}}
"""

_SUBJECTS = {
    "watering": (
        "the soil is dry",
        "the drip hose leaks",
        "the barrel is empty",
        "leaves hang at noon",
        "rain is late",
    ),
    "pests": ("snails ate the salad", "lice sit on beans", "holes in the cabbage", "mice dig at roots", "a leek moth"),
    "harvest": ("the plums are ripe", "first beans picked", "pumpkins come in", "tomatoes turn red", "apples fall"),
}
_PLACES = ["by the fence", "in bed two", "behind the shed", "under glass", "at the south wall", "in the long row"]
_TIMES = ["since Monday", "this morning", "again"]


def new(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="The folder to make, or an empty one.")],
    as_json: AsJson = False,
) -> None:
    """Make a project with a commented plan and a small sample, which runs at once."""
    from tillage.core.errors import UsageError
    from tillage.flow.configuration import folder_name

    screen = Screen(as_json)
    texts = {FILE: PLAN.format(project=folder_name(folder)), DATA: sample(), ".gitignore": ".tillage/\n"}
    if folder.exists() and not folder.is_dir():
        raise UsageError(f"{folder} is a file, not a folder.", fix="Give another name.")
    there = [name for name in (FILE, DATA) if (folder / name).exists()]
    if there:
        raise UsageError(
            f"{folder} already has {' and '.join(there)}; nothing was written.", fix="Give another folder."
        )
    if (folder / ".gitignore").exists():
        del texts[".gitignore"]  # the user's own stays as it is
    for name, text in texts.items():
        place = folder / name
        place.parent.mkdir(parents=True, exist_ok=True)
        with replacing(place) as temporary:
            temporary.write_text(text, encoding="utf-8")
        screen.line(f"made {place}")
    screen.line()
    screen.line(f"Next: cd {quote(str(folder))} && tillage run")
    screen.result({"schema": "tillage.new/1", "folder": str(folder), "files": list(texts)})


def sample() -> str:
    """A CSV of garden notes: id, text, topic; made up, the same every time.

    >>> sample().splitlines()[:2]
    ['id,text,topic', '1,since Monday: the soil is dry by the fence,watering']
    """
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(["id", "text", "topic"])
    number = 0
    for time, place, i in product(_TIMES, _PLACES, range(5)):
        for topic, subjects in _SUBJECTS.items():
            number += 1
            writer.writerow([number, f"{time}: {subjects[i]} {place}", topic])
    return out.getvalue()
