"""Writes films.csv and hotels.csv beside itself from copies of the two sets: `python data/make.py FOLDER`.

FOLDER has `rt-polarity.pos` and `rt-polarity.neg` (a sentence a line, Windows-1252) and `ChnSentiCorp_htl_all.csv`, or
the same compressed as `ChnSentiCorp_htl_all.csv.gz` (`label`: 1 is good, `review`; UTF-8).
"""

from __future__ import annotations

import csv
import gzip
import sys
from collections.abc import Iterable
from io import StringIO
from pathlib import Path

HERE = Path(__file__).parent
MOODS = {"pos": "good", "neg": "bad", "1": "good", "0": "bad"}


def films(folder: Path) -> Iterable[tuple[str, str]]:
    """Sentence and mood."""
    for kind in ("pos", "neg"):
        for line in (folder / f"rt-polarity.{kind}").read_text(encoding="cp1252", errors="replace").split("\n"):
            if line.strip():
                yield line.strip(), MOODS[kind]


def hotels(folder: Path) -> Iterable[tuple[str, str]]:
    """Review and mood; a review that is empty is left out."""
    plain = folder / "ChnSentiCorp_htl_all.csv"
    data = plain.read_bytes() if plain.is_file() else gzip.decompress(plain.with_name(f"{plain.name}.gz").read_bytes())
    for row in csv.DictReader(StringIO(data.decode("utf-8-sig"), newline="")):
        if row["review"]:
            yield row["review"], MOODS[row["label"]]


def main(folder: Path) -> None:
    """Write both files."""
    for name, rows in (("films", films(folder)), ("hotels", hotels(folder))):
        with (HERE / f"{name}.csv").open("w", encoding="utf-8", newline="") as stream:
            writer = csv.writer(stream)
            writer.writerow(["id", "text", "mood"])
            writer.writerows((number, *row) for number, row in enumerate(rows))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
