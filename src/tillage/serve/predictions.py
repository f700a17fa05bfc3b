"""The writer of the prediction table: predictions and labels go to the log first (`segments`), which is rolled into the
store (`prediction_table`) by size or age.

Inputs are not kept. Their digest is keyed with the project's secret: it tells whether two requests were the same, and
without the key it tells nothing.
"""

from __future__ import annotations

import logging
import time
from base64 import b64encode
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import polars as pl

from tillage.flow.prediction_table import bring, read_predictions, rolled, text, writing
from tillage.flow.score import Answers
from tillage.serve.bodies import dumped
from tillage.serve.linkage import About, Linkage
from tillage.serve.prediction_ids import Ids
from tillage.serve.service import Loaded
from tillage.serve.worker import RemoteLog
from tillage.store.segments import DELAY, FOLDER, Log, segments
from tillage.store.tables import Store

ROLL_BYTES, ROLL_SECONDS = 16 << 20, 600.0
"""A segment is rolled at this size, or at this age."""

log = logging.getLogger("tillage.serve")


class PredictionLog:
    """The writer of the prediction table, one a store."""

    def __init__(
        self,
        store: Store,
        aside: Callable[[Store, int], bool] = bring,
        log: Callable[[Callable[[], Sequence[bytes]]], RemoteLog] | None = None,
        delay: float = DELAY,
    ) -> None:
        """`aside`: brings segments into the table while requests are answered; `log`: that of another process, which
        brings them; `delay`: seconds at most from a record to the disk."""
        self.store, self.ids, self._aside = store, Ids(store.keys), aside
        self._linking: deque[tuple[Linkage, Sequence[str], Mapping[str, Sequence[Any]]]] = deque()
        """Predictions of which the log does not say yet whom they are about."""
        self._keeping: deque[tuple[Loaded, Sequence[str], Mapping[str, Sequence[Any]]]] = deque()
        """Predictions whose inputs are kept once personal data in them is replaced."""
        self.log: Log | RemoteLog = self._own_log(delay) if log is None else log(self._beside)
        self._since = time.monotonic()

    def _own_log(self, delay: float) -> Log:
        bring(self.store)  # what a killed server left
        # Segments first: what is brought by another process meanwhile is in the table by the time that it is asked.
        there = segments(self.store.root / FOLDER)
        first = max(rolled(self.store), there[-1][0] if there else 0) + 1
        folder = self.store.root / FOLDER
        return Log(folder, first=first, delay=delay, guard=lambda: writing(self.store), before=self._beside)

    def add(
        self, loaded: Loaded, columns: Mapping[str, Sequence[Any]], given: Answers, names: Sequence[str], seconds: float
    ) -> None:
        """Append the predictions of one request; they are durable within a second. `seconds`: of latency."""
        digests = [self.ids.digest(columns, at) for at in range(len(names))]
        record = [
            "p", time.time_ns() // 1000, loaded.service, loaded.model_name, loaded.version, round(seconds * 1000, 3),
            names, given.predictions, given.confidences, given.errors, digests,
        ]  # fmt: skip
        keep = loaded.keep if loaded.redact is None else ()
        record.append([{c: plain(columns[c][at]) for c in keep} for at in range(len(names))] if keep else None)
        record.append(loaded.route)
        link = loaded.linkage
        if link.columns:
            self._linking.append((link, names, {c: columns[c] for c in link.columns}))
        if loaded.redact is not None:
            self._keeping.append((loaded, names, {c: columns[c] for c in loaded.keep}))
        self.log.append(dumped(record).encode())

    def _beside(self) -> list[bytes]:
        """What stands in the log before a group of predictions: whom they are about, and inputs that were redacted."""
        return [record for record in (self._about(), self._kept()) if record]

    def _kept(self) -> bytes:
        """The inputs of a group, without the personal data in them; nothing where none are kept so.

        It is done here, off the path of the answers; nothing of a request is written before it.
        """
        by_model: dict[int, tuple[Loaded, list[str], dict[str, list[Any]]]] = {}
        while self._keeping:
            loaded, names, columns = self._keeping.popleft()
            _, own, values = by_model.setdefault(id(loaded), (loaded, [], {c: [] for c in loaded.keep}))
            own += names
            for column in loaded.keep:
                values[column] += columns[column]
        found: list[tuple[str, dict[str, Any]]] = []
        for loaded, names, values in by_model.values():
            given = pl.DataFrame([pl.Series(c, v, dtype=loaded.schema[c]) for c, v in values.items()])
            try:
                made = (loaded.redact.apply(given) if loaded.redact is not None else given).rows(named=True)
            except Exception as error:  # what it says may hold what is to be redacted
                why = type(error).__name__
                log.error(
                    "%s: inputs of %d rows could not be redacted (%s), and are not kept",
                    loaded.service,
                    len(names),
                    why,
                )
                continue
            found += [(n, {c: plain(v) for c, v in row.items()}) for n, row in zip(names, made, strict=True)]
        return dumped(["i", found]).encode() if found else b""

    def _about(self) -> bytes:
        """Whom the predictions of a group are about; nothing where no request said it."""
        by_link: dict[int, tuple[Linkage, list[str], dict[str, list[Any]]]] = {}
        while self._linking:
            link, names, columns = self._linking.popleft()
            _, own, values = by_link.setdefault(id(link), (link, [], {c: [] for c in link.columns}))
            own += names
            for column in link.columns:
                values[column] += columns[column]
        found: list[About] = []
        for link, names, columns in by_link.values():
            found += link.about(self.store.keys, self.ids, names, columns)
        return dumped(["a", found]).encode() if found else b""

    def label(self, labels: Sequence[tuple[str, Any]]) -> Any:
        """Append true labels by the ids of predictions; a future that is done once they are durable."""
        value = ["l", time.time_ns() // 1000, [[name, text(label)] for name, label in labels]]
        return self.log.append_durably(dumped(value).encode())

    def tend(self) -> bool:
        """Roll the log where it is large or old enough; whether it was. Slow: to be called off the event loop."""
        grown = self.log.size > 0
        due = self.log.size >= ROLL_BYTES or time.monotonic() - self._since >= ROLL_SECONDS
        if not (grown and due):
            return False
        return self.roll()

    def roll(self) -> bool:
        """End the segment and bring all ended ones into the table; false while someone holds the store."""
        self._since = time.monotonic()
        if not isinstance(self.log, Log):
            return True
        self.log.roll()
        return self._aside(self.store, self.log.number)

    def close(self) -> None:
        """Make everything durable, and bring it into the table, where the log is this process's."""
        self.log.close()
        if isinstance(self.log, Log):
            bring(self.store)


def plain(value: Any) -> Any:
    """A value of a request as JSON has it: a date, a time as ISO 8601 writes it, bytes in base64.

    >>> from datetime import date
    >>> plain(2.5), plain(None), plain(date(2026, 1, 2)), plain(b"PNG")
    (2.5, None, '2026-01-02', 'UE5H')
    """
    if isinstance(value, bytes):
        return b64encode(value).decode("ascii")
    return value if isinstance(value, str | int | float | bool | None) else str(value)


__all__ = ["PredictionLog", "plain", "read_predictions"]
