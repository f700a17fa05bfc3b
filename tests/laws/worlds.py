"""A random world whose plan has the kinds that no room exports: children, a join, a rank, a fitted drift."""

from __future__ import annotations

import shutil
from pathlib import Path

from tests.flow.world import World

PLAN = """\
project: kinds
tables:
  notes: {collect: {files: "data/*.csv"}, key: id, max_quarantine: 1}
  words:
    from: notes
    steps:
      - normalize: {columns: [text]}
      - reference.Words: {column: text}
      - filter: "n >= 0"
      - drop_duplicates: {columns: [text, city]}
      - derive: {columns: {big: "n > 2"}}
  once: {from: notes, steps: [{drop_duplicates: {columns: [text]}}]}
  cities: {from: words, steps: [{aggregate: {by: [city], columns: {rows: count(), most: max(n)}}}]}
  beside:
    from: {left: words, right: cities}
    steps:
      - reference.Joined: {on: city, take: [rows, most]}
      - filter: "right_rows > 4"
  ranked:
    from: notes
    steps:
      - reference.Ranked: {column: n, most: 3}
      - derive: {columns: {double: "rank * 2"}}
  level: {from: notes, steps: [{reference.Drift: {column: n, rate: 0.5}}]}
"""

PINNED = {"level"}
"""Tables with a fitted step: pinned at its first run, so a rebuild fits it anew."""


class KindsWorld(World):
    """The world with the reference steps beside its plan."""

    def __init__(self, root: Path, seed: int, plan: str = PLAN) -> None:
        super().__init__(root, seed, plan)
        shutil.copy(Path(__file__).with_name("reference.py"), root / "reference.py")
