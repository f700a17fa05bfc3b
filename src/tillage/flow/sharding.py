"""Learning in shards: the states of shards whose rows stand as they stood are recalled, the others learn again.

A state is remembered under what it was made from: the learner, the columns, and the sums of its slices' row hashes. So
whatever changed, be it a row forgotten, edited or added, costs its shard alone, from its slice on; a killed run goes on
with the shard that it was at; and no state can be recalled that has seen other rows than these. Each state is a chunk
of the model, so a purge finds it. Cost: a pass over the rows for the sums, and the states are kept beside the model.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

import polars as pl

from tillage.core.rows import ID
from tillage.core.state import State, decode, encode
from tillage.core.step import Result, Sharded
from tillage.flow.progress import Progress
from tillage.flow.results import ResultRun
from tillage.store.catalog import dump
from tillage.store.digests import row_sum
from tillage.store.objects import Stored
from tillage.store.tables import NewChunk

SHARD = "shard"
"""The part of a model's stage that holds the states; the page is the shard and the slice."""


@dataclass(frozen=True)
class Shards:
    """What learning in shards came to."""

    result: Result
    told: dict[str, int]
    """`shards`; `slices`, 1 where the learner cannot resume; `learnt`, shards that learnt now; `rows` that they saw."""
    warnings: list[str]


def learn_in_shards(run: ResultRun, learner: Sharded, rows: pl.DataFrame, named: Sequence[str]) -> Shards:
    """The result over `rows`, which are those of one version; the states go into the draft.

    `named`: the columns that the learner was told to use; when it was, it sees no others, and they cost nothing.
    """
    if named:
        needed = {ID, *learner.needs()}
        rows = rows.select(c for c in rows.columns if c in needed)
    work = _Work(run, learner, rows)
    states = [work.shard(number, slices) for number, slices in enumerate(learner.parted(rows))]
    work.close()
    told = {"shards": learner.shards, "slices": work.slices, "learnt": len(work.learnt), "rows": work.rows}
    run.touched += work.rows
    return Shards(learner.join(states), told, [*work.warnings, *_slices_unused(learner)])


class _Work:
    """The shards of one version in the making."""

    def __init__(self, run: ResultRun, learner: Sharded, rows: pl.DataFrame) -> None:
        self.run, self.learner = run, learner
        self.slices = learner.slices if learner.resumes else 1
        self.schema = [[name, str(dtype)] for name, dtype in rows.schema.items()]
        self.progress = Progress(run.stage.target, rows.height, note=run.stage.name)
        self.before = {(c.page, c.object): c for c in run.store.chunks(run.stage.name, SHARD) if run.last is not None}
        self.learnt: set[int] = set()
        self.rows = 0
        self.warnings: list[str] = []

    def shard(self, number: int, slices: Sequence[pl.DataFrame]) -> State:
        """The state of one shard after its last slice."""
        store, learner = self.run.store, self.learner
        sums = [f"{row_sum(part):x}" for part in slices]
        kept: dict[str, Any] | None = None
        state: State | None = None
        for k in range(len(slices)):
            made = dump([SHARD, learner.fingerprint(), self.schema, number, sums[: k + 1]])
            key = sha256(made.encode()).hexdigest()[:32]
            before, kept = kept, store.recall(key)
            if kept is None:
                rows = pl.concat(slices[: k + 1])
                if state is None and before is not None:
                    state = self._load(before)
                state = learner.train(rows, state)
                kept = vars(store.objects.put(key, encode(state), "state", rows.height))
                store.remember([(key, kept)])
                self.learnt.add(number)
                self.rows += rows.height
            else:
                state = None
            self._keep(number * self.slices + k, Stored(**kept))
        self.progress.done += sum(part.height for part in slices)
        self.run.listen(self.progress)
        state = self._load(kept) if state is None and kept is not None else state
        why = learner.refused(state)
        if why is not None:
            self.warnings.append(f"Shard {number + 1} of {learner.shards} takes no part: {why}")
        return state

    def _load(self, kept: dict[str, Any]) -> State:
        stored = Stored(**kept)
        return decode(self.run.store.objects.get(stored.name, stored.checksum))

    def _keep(self, page: int, stored: Stored) -> None:
        """The state belongs to the version: as it did before, or from now on."""
        if self.before.pop((page, stored.name), None) is None:
            self.run.draft.added.append(NewChunk(SHARD, stored, page))

    def close(self) -> None:
        """What stands no more ends."""
        self.run.draft.ended += [chunk.id for chunk in self.before.values()]


def _slices_unused(learner: Sharded) -> list[str]:
    if learner.resumes or learner.slices == 1:
        return []
    return [
        f"'slices' saves nothing here: {learner.name()} cannot resume, so a touched shard learns all its rows again."
    ]
