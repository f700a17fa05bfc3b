"""What an anonymous table keeps and loses, by counting rows: nothing here knows how it was made anonymous.

k and l are counted over every class (rows equal in all columns). Two measures of loss: the discernibility (Bayardo and
Agrawal, ICDE 2005), for each row the rows of its class and for one that left the rows of the table, summed; and the
normalised certainty penalty (Xu et al., KDD 2006), for each cell the share of the column that its label leaves open: of
numbers the width from the least to the greatest whole number in it, of categories the different values of the raw table
that the label stands for, if it is more than one; 1 for the cells of a row that left.

Usage: python benchmarks/anonymity_score.py PROJECT RAW TABLE SENSITIVE TREES    (TREES: column to tree, as JSON)
"""

from __future__ import annotations

import json
import re
import sys
from collections import Counter, defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import tillage


def nodes(tree: Any, above: tuple[str, ...] = ()) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Each value of a tree, and the nodes above it."""
    if isinstance(tree, list):
        yield from ((value, above) for value in tree)
    else:
        for name, below in tree.items():
            yield from nodes(below, (*above, name))


def width(label: str, least: int, most: int) -> float:
    """Of a label of whole numbers."""
    if label == "*":
        return 1.0
    found = re.fullmatch(r"\[(-?\d+), (-?\d+)([)\]])", label)
    if found is None:
        return 0.0
    return min(1.0, (int(found[2]) - (found[3] == ")") - int(found[1])) / (most - least))


def penalty(values: list[Any], labels: list[str], tree: Any) -> float:
    """Of a column: the sum over its labels."""
    if all(isinstance(value, int) for value in values):
        least, most = min(values), max(values)
        return sum(width(label, least, most) for label in labels)
    below: dict[str, set[str]] = defaultdict(set)
    for value, above in nodes(tree or []):
        for name in above:
            below[name].add(value)
    different = set(values)
    below["*"] = different
    shares = {label: len(under & different) / len(different) for label, under in below.items() if len(under) > 1}
    return sum(shares.get(label, 0.0) for label in labels)


def main() -> None:
    """Count and print."""
    folder, raw_name, name, sensitive, trees = sys.argv[1:]
    columns = json.loads(trees)
    project = tillage.project(Path(folder))
    raw, table = project.read(raw_name), project.read(name)
    classes: dict[tuple[Any, ...], list[Any]] = defaultdict(list)
    for *known, secret in table.select([*columns, sensitive]).rows():
        classes[tuple(known)].append(secret)
    left = raw.height - table.height
    lost = [penalty(raw[c].to_list(), table[c].to_list(), tree) + left for c, tree in columns.items()]
    print(
        json.dumps(
            {
                "rows": raw.height,
                "left": left,
                "classes": len(classes),
                "k": min(map(len, classes.values())),
                "l": min(len(Counter(found)) for found in classes.values()),
                "discernibility": sum(len(found) ** 2 for found in classes.values()) + left * raw.height,
                "ncp": sum(lost) / raw.height / len(columns),
            }
        )
    )


if __name__ == "__main__":
    main()
