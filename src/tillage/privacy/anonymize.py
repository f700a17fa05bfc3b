"""A table in which nobody stands out: columns by which people could be recognised are made coarser, all rows alike.

Every combination of these columns that remains is shared by at least k rows (k-anonymity), with at least l different
values of each sensitive column (l-diversity), whose shares differ from those of the whole table by at most t
(t-closeness); rows for which that cannot be had leave. Of all ways to choose a level for each column (the lattice) the
minimal ones are searched, and of these the one that loses least is taken; or rows are parted by Mondrian, whose classes
have labels of their own (`mondrian.py`). The promise holds for every version of the
table by itself: all rows are judged anew whenever one comes or goes, since a class of k loses it with one row.
Cost: the rows once, and for each node of the lattice tried a count of the different combinations (10 ms for 30,000).
Sources: Sweeney (2002), k-anonymity; Samarati, Protecting respondents' identities in microdata release, IEEE TKDE
13(6), 2001; El Emam et al., A globally optimal k-anonymity method for the de-identification of health data, JAMIA
16(5), 2009 (the search); Machanavajjhala et al., l-diversity, ACM TKDD 1(1), 2007; Li, Li and Venkatasubramanian,
t-closeness, ICDE 2007 (with equal distances).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import product
from typing import ClassVar, Literal, Self

import numpy as np
import numpy.typing as npt
import polars as pl
from pydantic import Field, model_validator

from tillage.core.errors import ConfigurationError, Problem, unknown_name
from tillage.core.rows import leave, user_columns
from tillage.core.step import Whole
from tillage.privacy.classes import Ints, coded, different, distances
from tillage.privacy.hierarchies import Hierarchy
from tillage.privacy.mondrian import recoded

REASON = "not_anonymous"
"""The reason of a row that leaves because too few share its combination."""

MOST_NODES = 100_000
"""Ways to choose levels that are searched at most."""

Method = Literal["full_domain", "mondrian"]

Mask = npt.NDArray[np.bool_]


class Anonymize(Whole):
    """Make `columns` coarser until each of their combinations is shared by `k` rows; the rest of the rows leave.

    `columns` names what others may know of a person (quasi-identifiers), each with its hierarchy; they become text, at
    one level for all rows. At most the share `suppress` of the rows leaves (reason `not_anonymous`) where any choice of
    levels allows that; all rows leave where there are fewer than `k`. Names and numbers that tell a person alone are
    no quasi-identifiers: drop or pseudonymise them. Two nulls are equal.

    Lost is, for a row that stays, the mean over the columns of level / highest level, and for one that leaves 1; that
    mean over all rows is least among the minimal choices.

    With `method: mondrian` each class of rows gets labels of its own, as fine as its rows allow: `[21, 38]` is from the
    least to the greatest value in it, a node of a tree the finest that holds it. That loses far less, and no row leaves
    (or all do, where all together are too few, or not diverse); widths of ranges and parts of dates are not asked for.
    Its price: labels of a column overlap, so that rows cannot be grouped and joined by them as they can by levels.

    What is published twice in different versions can be compared: this step does not protect against that, nor against
    who knows a sensitive value otherwise.

    >>> rows = pl.DataFrame({"age": [21, 23, 38, 36, 70], "zip": ["111", "112", "121", "122", "911"]})
    >>> rows = rows.with_columns(_id=pl.int_range(5).cast(pl.UInt128))
    >>> step = Anonymize(columns={"age": {"ranges": [10, 20]}, "zip": {"prefix": [2, 1]}}, k=2, suppress=0.2)
    >>> out = step.compute({"rows": rows})
    >>> out.select("age", "zip", "_reason").rows()
    [('[20, 30)', '11*', None), ('[20, 30)', '11*', None), ('[30, 40)', '12*', None), ('[30, 40)', '12*', None),
    ('[70, 80)', '91*', 'not_anonymous')]
    >>> step = Anonymize(columns={"age": {}, "zip": {"prefix": [2, 1]}}, k=2, method="mondrian")
    >>> step.compute({"rows": rows}).select("age", "zip").rows()
    [('[21, 23]', '11*'), ('[21, 23]', '11*'), ('[36, 70]', '*'), ('[36, 70]', '*'), ('[36, 70]', '*')]
    """

    version: ClassVar[int] = 2

    columns: dict[str, Hierarchy] = Field(
        min_length=1, description="what others may know of a person: column to how it is made coarser"
    )
    k: int = Field(5, ge=2, description="fewest rows that share a combination")
    sensitive: tuple[str, ...] = Field((), description="columns that must not be guessed, for `l` and `t`")
    l: int = Field(1, ge=1, description="fewest different values of each sensitive column in a combination")  # noqa: E741
    t: float = Field(1.0, gt=0, le=1, description="most that shares of sensitive values differ from the whole table's")
    suppress: float = Field(0.05, ge=0, le=1, description="share of the rows that may leave, before levels are raised")
    method: Method = Field(
        "full_domain", description="`full_domain`: one level for all rows of a column; `mondrian`: cuts at medians"
    )

    @model_validator(mode="after")
    def _goes_together(self) -> Self:
        if (self.l > 1 or self.t < 1) and not self.sensitive:
            raise ValueError("'l' and 't' are about 'sensitive' columns: name them")
        both = sorted(set(self.sensitive) & set(self.columns))
        if both:
            raise ValueError(f"'{both[0]}' is made coarser and cannot be sensitive as well")
        if self.method == "mondrian":
            if self.suppress != type(self).model_fields["suppress"].default:
                raise ValueError("'suppress' is for 'full_domain': 'mondrian' lets no row go where all can stay")
            return self
        nodes = int(np.prod([h.height + 1 for h in self.columns.values()], dtype=np.float64))
        if nodes > MOST_NODES:
            raise ValueError(
                f"{nodes:,} ways to choose levels are more than {MOST_NODES:,}: give fewer levels, or"
                " 'method: mondrian'"
            )
        return self

    @classmethod
    def example(cls) -> Self:
        """An instance that works on the reference frame."""
        columns = {
            "n": Hierarchy(ranges=(4, 20)),
            "day": Hierarchy(dates=("month", "year")),
            "city": Hierarchy(tree={"south": ["Ulm", "Rome"], "east": {"far": ["北京"]}}),
            "text": Hierarchy(prefix=(2, 0)),
        }
        return cls(columns=columns, k=2, sensitive=("id",), l=2, t=0.9, suppress=0.3)

    def needs(self) -> tuple[str, ...]:
        """The columns that are made coarser, and the sensitive ones."""
        return (*self.columns, *self.sensitive)

    def compute(self, inputs: Mapping[str, pl.DataFrame]) -> pl.DataFrame:
        """All rows in their order, the columns at the levels chosen; those that leave are marked."""
        rows = inputs["rows"]
        known = user_columns(rows)
        missing = [c for c in self.needs() if c not in known]
        if missing:
            raise ConfigurationError(Problem(unknown_name("column", c, known)) for c in missing)
        if self.method == "mondrian":
            columns, kept = recoded(rows, self.columns, self.sensitive, self.k, self.l, self.t)
            return leave(rows.with_columns(columns), REASON, pl.lit(pl.Series(~kept)))
        lattice = Lattice.of(rows, self)
        node = lattice.best(self)
        kept = lattice.kept(node, self)[lattice.place]
        out = rows.with_columns(
            lattice.labels[c][level].gather(lattice.codes[c]).alias(c)
            for c, level in zip(self.columns, node, strict=True)
        )
        return leave(out, REASON, pl.lit(pl.Series(~kept)))


@dataclass(frozen=True)
class Lattice:
    """The different combinations of a table, and how they fall together at each choice of levels.

    `codes` (by row) and `labels` (by level) tell a column's values; `place` is the combination of each row, `counts`
    how many rows each has, `coarse` its code by column and level, `secret` that of its sensitive values (-1: null).
    """

    codes: dict[str, pl.Series]
    labels: dict[str, list[pl.Series]]
    place: Ints
    counts: Ints
    coarse: list[list[Ints]]
    secret: list[Ints]

    @classmethod
    def of(cls, rows: pl.DataFrame, step: Anonymize) -> Lattice:
        """That of a table."""
        codes, labels, maps, tables = {}, {}, [], []
        for name, hierarchy in step.columns.items():
            code, values = coded(rows[name])
            codes[name] = code
            labels[name] = [hierarchy.labels(values, level) for level in range(hierarchy.height + 1)]
            maps.append([coded(texts)[0].to_numpy().astype(np.int64) for texts in labels[name]])
            tables.append(code.to_numpy().astype(np.int64))
        secrets = []
        for name in step.sensitive:
            code, values = coded(rows[name])
            secrets.append(np.where(rows[name].is_null().to_numpy(), -1, code.to_numpy().astype(np.int64)))
        every = np.stack([*tables, *secrets], axis=1) if rows.height else np.empty((0, len(tables) + len(secrets)), int)
        unique, place, counts = np.unique(every, axis=0, return_inverse=True, return_counts=True)
        coarse = [[level[unique[:, at]] for level in maps[at]] for at in range(len(maps))]
        secret = [unique[:, len(maps) + at] for at in range(len(secrets))]
        return cls(codes, labels, place.reshape(-1), counts.astype(np.int64), coarse, secret)

    def classes(self, node: tuple[int, ...]) -> Ints:
        """The class of each combination, numbered from 0."""
        found, kinds = np.zeros(len(self.counts), np.int64), 1
        for column, level in zip(self.coarse, node, strict=True):
            more = int(column[level].max(initial=0)) + 1
            if kinds * more >= 1 << 62:
                found = np.unique(found, return_inverse=True)[1].reshape(-1)
                kinds = int(found.max(initial=0)) + 1
            found, kinds = found * more + column[level], kinds * more
        return np.unique(found, return_inverse=True)[1].reshape(-1)

    def kept(self, node: tuple[int, ...], step: Anonymize) -> Mask:
        """The combinations whose class is large, diverse and close enough.

        Closeness is to the rows that stay, so what leaves is taken out until nothing more has to.
        """
        classes = self.classes(node)
        size = int(classes.max(initial=-1)) + 1
        good = np.bincount(classes, self.counts, size) >= step.k
        for secret in self.secret:
            good &= different(classes[secret >= 0], secret[secret >= 0], size) >= step.l
        while step.t < 1 and good.any():
            far = np.zeros(size)
            for secret in self.secret:
                far = np.maximum(far, distances(classes, secret, self.counts * good[classes], size))
            closer = good & (far <= step.t + 1e-12)
            if (closer == good).all():
                break
            good = closer
        kept: Mask = good[classes]
        return kept

    def best(self, step: Anonymize) -> tuple[int, ...]:
        """The choice of levels that loses least, of those below which every choice makes too many rows leave."""
        heights = np.array([h.height for h in step.columns.values()])
        nodes = np.array(list(product(*(range(h + 1) for h in heights))), dtype=np.int64)
        total = int(self.counts.sum())
        fits = np.full(len(nodes), -1, np.int8)
        monotone = step.t >= 1
        sums = nodes.sum(axis=1)
        for height in _bisected(int(sums.max())):
            for at in np.flatnonzero((sums == height) & (fits < 0)).tolist():
                left = total - int(self.counts[self.kept(tuple(nodes[at].tolist()), step)].sum())
                fits[at] = left <= step.suppress * total
                if monotone and fits[at]:
                    fits[(nodes >= nodes[at]).all(axis=1)] = 1
                elif monotone:
                    fits[(nodes <= nodes[at]).all(axis=1)] = 0
        if not (fits == 1).any():
            return tuple(heights.tolist())
        fitting = {tuple(node) for node in nodes[fits == 1].tolist()}
        minimal = [node for node in fitting if not any(below in fitting for below in _below(node))]
        return min(minimal, key=lambda node: (self.lost(node, heights, step), node))

    def lost(self, node: tuple[int, ...], heights: Ints, step: Anonymize) -> float:
        """What is lost of the table, 0 to 1."""
        total, stay = int(self.counts.sum()), int(self.counts[self.kept(node, step)].sum())
        return float(1 - stay / total * (1 - np.mean(np.array(node) / heights))) if total else 0.0


def _below(node: tuple[int, ...]) -> list[tuple[int, ...]]:
    return [(*node[:at], level - 1, *node[at + 1 :]) for at, level in enumerate(node) if level]


def _bisected(most: int) -> list[int]:
    """The numbers from 0 to `most`, middles first."""
    out, spans = [], [(0, most)]
    for low, high in spans:
        if low > high:
            continue
        middle = (low + high) // 2
        out.append(middle)
        spans += [(low, middle - 1), (middle + 1, high)]
    return out
