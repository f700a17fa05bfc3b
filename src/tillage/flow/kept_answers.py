"""Answers to the rows of a file, kept in the store: who scores it again answers what is new in it and nothing else.

A part is what the rows of one slice were answered, each beside a keyed digest of what the model and its Maps read of
it; the rows themselves are not in it. It is found by its model and all its rows, or else, where the slice has grown or
changed, by its model and the slice's first row, and then only rows that are not in it are answered anew. So a run that
was killed goes on behind the last slice that was written, an appended file costs its new rows, and the same rows in
another file cost nothing.

A part belongs to no version, like all work that was finished before its time: every erasure deletes it with the rest
of such work, and so does `gc`. It costs 0.6 CPU s a million rows the first time, and to find them again 0.3.
"""

from __future__ import annotations

import hmac
import time
from collections.abc import Callable
from hashlib import sha256

import polars as pl
import polars_hash as plh

from tillage.core.answers import CONFIDENCE, PREDICTION
from tillage.core.code import source_digest
from tillage.core.errors import Locked, Unavailable, VerifyFailed
from tillage.core.step import Fitted
from tillage.flow.run import STORE_LOCK
from tillage.flow.score import ERROR, Answers, Way
from tillage.flow.scored import added
from tillage.store.catalog import dump
from tillage.store.locks import hold
from tillage.store.tables import Store, pack

SAVE_SECONDS = 2.0
"""How long a part may wait to be written: what a kill can cost, beside the slice at hand."""

FORM = 1
"""Of a part; raised when what is kept in it comes to mean something else."""

ROW = "_row"
"""The digest of a row, UInt128."""

Answering = Callable[[pl.DataFrame, pl.Series], Answers]
"""Rows in their types, and why each could not be read (null: it could), to their answers."""


class KeptAnswers:
    """The answers that one version of a model has given to rows that came one way.

    >>> import tempfile
    >>> from pathlib import Path
    >>> class Length(Fitted):
    ...     def apply(self, rows: pl.DataFrame) -> pl.DataFrame:
    ...         return rows.with_columns(prediction=pl.col("text").str.len_chars())
    >>> store, way = Store(Path(tempfile.mkdtemp())), Way("raw", {"text": pl.String()})
    >>> from tillage.flow.score import score
    >>> for words in (["a", "bc"], ["a", "bc", "def"]):
    ...     kept = KeptAnswers(store, way, Length(state={}), "version 1")
    ...     made = score(way, Length(state={}), pl.DataFrame({"text": words}), kept)
    ...     made["prediction"].to_list(), kept.anew
    ([1, 2], 2)
    ([1, 2, 3], 1)
    >>> store.close()
    """

    def __init__(self, store: Store, taken: Way, model: Fitted, digest: str) -> None:
        """`digest`: of what the model learnt, as its version has it."""
        cls = type(model)
        code = [cls.__module__, cls.__qualname__, cls.version, source_digest(cls.__module__)]
        maps = [step.fingerprint() for step in taken.maps]
        self._store, self._model = store, model
        self._way = dump([FORM, digest, code, maps])
        self._seed = int.from_bytes(hmac.digest(store.keys.subkey("seed"), b"\0answered", sha256)[:8], "little")
        self._epoch = store.catalog.meta("epoch")
        self._fresh: list[tuple[tuple[str, ...], pl.DataFrame]] = []
        self._saved = time.monotonic()
        self.anew = 0
        """Rows that were answered, and not found."""
        self.unkept = "the store can only be read" if store.catalog.read_only else ""
        """Why nothing is kept; empty where it is."""

    def answers(self, number: int, ready: pl.DataFrame, errors: pl.Series, make: Answering) -> Answers:
        """The answers to the slice of this number, those that are missing by `make`, which are kept from now on.

        A part that is gone or damaged counts as missing. Nothing is kept while somebody holds the store alone, after
        an erasure that began later than this, or where the store cannot be written; the answers are the same.
        """
        rows = self._digests(ready, errors)
        shape = dump([self._way, [[name, str(dtype)] for name, dtype in ready.schema.items()]])
        whole = _key("rows", shape, pack(rows))
        part = self._found(whole)
        if part is not None:
            return self._restored(part, errors)
        begins = _key(f"begins {number}", shape, pack(rows[:1]))
        former = self._found(begins)
        if former is None:
            made = make(ready, errors)
            self.anew += ready.height
            self._keep(_part(rows, made, errors), whole, begins)
            return made
        part = self._completed(former, rows, ready, errors, make)
        self._keep(part, whole, begins)
        return self._restored(part, errors)

    def _digests(self, ready: pl.DataFrame, errors: pl.Series) -> pl.Series:
        """Of each row all that its answer depends on, under a seed of the project: nobody else can look a row up."""
        asked = ready.with_columns(errors.is_null().alias("_read"))
        bytes_ = asked.select_seq(plh.hash_rows(pl.all(), version=1).alias(ROW))
        return bytes_.select_seq(plh.col(ROW).nchash.xxh3_128(seed=self._seed))[ROW]

    def _found(self, key: str) -> pl.DataFrame | None:
        named = self._store.recall(key)
        if named is None:
            return None
        try:
            return self._store.objects.get_frame(named["name"], named["checksum"])
        except VerifyFailed:  # collected by somebody since it was named, or damaged: to answer again mends it
            return None

    def _completed(
        self, former: pl.DataFrame, rows: pl.Series, ready: pl.DataFrame, errors: pl.Series, make: Answering
    ) -> pl.DataFrame:
        """The part of these rows: from a former one what it has, the rest answered anew."""
        known = former.select(ROW).with_row_index("at").unique(ROW, keep="first", maintain_order=True)
        at = rows.to_frame().join(known, on=ROW, how="left", maintain_order="left")["at"]
        new = at.is_null()
        kept = former[at.drop_nulls()]
        if not new.any():
            return kept
        ready, errors = ready.filter(new), errors.filter(new)
        self.anew += ready.height
        made = _part(rows.filter(new), make(ready, errors), errors)
        order = pl.concat([(~new).arg_true(), new.arg_true()])
        return pl.concat([kept, made], how="diagonal_relaxed")[order.arg_sort()]

    def _restored(self, part: pl.DataFrame, errors: pl.Series) -> Answers:
        """As `flow.score.answers` gives them."""
        said = errors.zip_with(errors.is_not_null(), part[ERROR]).to_list()
        stays = CONFIDENCE in part.columns and None in said
        more = {name: part[name].to_list() for name in added(self._model)}
        return Answers(part[PREDICTION].to_list(), part[CONFIDENCE].to_list() if stays else None, said, more)

    def _keep(self, part: pl.DataFrame, *keys: str) -> None:
        self._fresh.append((keys, part))
        if time.monotonic() - self._saved >= SAVE_SECONDS:
            self.save()

    def save(self) -> None:
        """Write what waits: a commit for each part would cost a fast model more than its answers."""
        fresh, self._fresh, self._saved = self._fresh, [], time.monotonic()
        store = self._store
        if self.unkept or not fresh:
            return
        try:
            with hold(store.root / "locks", [STORE_LOCK], shared=True):
                if store.catalog.meta("epoch") != self._epoch:
                    self.unkept = "rows were forgotten meanwhile"
                    return
                stored = [(keys, vars(store.objects.put_frame(keys[0], part))) for keys, part in fresh]
                store.remember([(key, named) for keys, named in stored for key in keys])
        except Locked:  # an erasure or a collection deletes such parts at this moment; neither waits for a file
            return
        except Unavailable as error:  # a full disk costs the next run its head start, this one nothing
            self.unkept = error.message.rstrip(".")


def _key(what: str, shape: str, rows: bytes) -> str:
    return sha256(f"{what}\n{shape}\n".encode() + rows).hexdigest()[:32]


def _part(rows: pl.Series, made: Answers, errors: pl.Series) -> pl.DataFrame:
    """What is kept of answers. Why a row could not be read shows its values, and is seen again each time: not kept."""
    columns = [rows, pl.Series(PREDICTION, made.predictions, strict=False)]
    if made.confidences is not None:
        columns.append(pl.Series(CONFIDENCE, made.confidences, dtype=pl.Float64))
    columns += [pl.Series(name, values, dtype=pl.Float64) for name, values in made.more.items()]
    said = pl.Series(ERROR, made.errors, dtype=pl.String)
    return pl.DataFrame([*columns, said.set(errors.is_not_null(), None)])
