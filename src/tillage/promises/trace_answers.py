"""A server's answers on the thread: from one to the version and the row behind it, from a row or a subject to them.

A request is known by the key or the subject that it brought, and by nothing else; both are kept as what cannot be read.
Cost: the log of who was asked about is read once (16 bytes a prediction).
"""

from __future__ import annotations

from typing import Any

import polars as pl

from tillage.core.errors import InputMissing, UsageError
from tillage.core.rows import ids
from tillage.flow.prediction_table import predictions_about, predictions_of, whom
from tillage.flow.stages import Stage
from tillage.promises.answers import marks
from tillage.promises.closure import Closure, Question, close
from tillage.promises.trace_graph import CARRIED, INFLUENCED, Item, Thread
from tillage.promises.trace_items import Items
from tillage.serve.linkage import behind
from tillage.serve.prediction_ids import Ids
from tillage.store.tables import LEFT, ROWS

_TOLD = ("time", "service", "prediction", "confidence", "error", "label", "labelled", "latency_ms")


def answered(items: Items, prediction: str) -> tuple[Thread, tuple[str, int], list[tuple[Stage, int, int]]]:
    """The thread of an answer as far as its log goes; the model's version, and the rows that it was about.

    A row is named by the stage that collects it, that stage's newest version, and its row_id; one that the store does
    not hold any more, or never held, is a node without a past.
    """
    store = items.store
    if not Ids(store.keys).given(prediction):
        raise UsageError(
            f"'{prediction}' is no id that this project gave to a prediction.", fix="Copy the `id` of the answer whole."
        )
    number = int(prediction, 16)
    found = predictions_of(store, ids([number]))
    if found.is_empty():
        raise InputMissing(
            f"The store has no prediction {prediction}.",
            fix="Ask again: an answer is kept within a second. An older one was forgotten with whom it was about, or "
            "the server died within that second.",
        )
    facts = found.row(0, named=True)
    thread = Thread(_item(facts))
    model, version = str(facts["model"]), int(facts["version"])
    thread.back(thread.root, items.table(model, version), INFLUENCED, "answered by")
    rows = []
    for row, table in whom(store, number):
        stage = next((s for s in items.places.stages.values() if s.target == table and s.kind == "source"), None)
        newest = items.places.latest(stage.name) if stage is not None else None
        known = items.state(stage, newest.version, row) if stage is not None and newest is not None else None
        if stage is None or newest is None or known is None:
            if table:
                gone = Item(f"{table}:{row:032x}", "row", f"{table} {row:032x}", {"table": table, "state": "not there"})
                thread.back(thread.root, gone, CARRIED, "brought its key")
            continue
        thread.back(thread.root, items.row(stage, newest.version, row, known), CARRIED, "brought its key")
        rows.append((stage, newest.version, row))
    return thread, (model, version), rows


def subject_of(items: Items, stage: Stage, version: int, row: int) -> str | None:
    """The subject of a row, where its table, or one behind it, declares one that the row shows."""
    shown = items.places.find(stage, version, [row], ROWS, None)
    shown = shown if shown.height else items.places.find(stage, version, [row], LEFT, None)
    for table in behind(items.places.project.plan, stage.target):
        if table.subject and table.subject in shown.columns and shown.height:
            [text] = shown[table.subject].cast(pl.String)[:1].to_list()
            return text or None
    return None


def about_row(items: Items, thread: Thread, row: int, subject: str | None, limit: int | None) -> None:
    """Note the answers to requests that brought a row's key, then those that named its subject alone."""
    own = predictions_about(items.store, ids([row]))
    _note(items, thread, own, "asked with its key", limit)
    if subject is not None:
        mark = Ids(items.store.keys).subject(subject)
        others = predictions_about(items.store, ids([mark]))
        _note(items, thread, others.filter(~others.is_in(own.implode())), "asked about its subject", limit)


def about_subject(items: Items, table: str, subject: str, limit: int | None) -> Thread:
    """The answers about a subject; its name stands in the thread only as the question gave it."""
    try:
        closure = close(items.places.project, Question(table, subjects=(subject,)))
    except InputMissing:  # the table was never run, and a server may know them all the same
        closure = Closure(subjects=(subject,))
    thread = Thread(Item("subject", "subject", subject, {"rows": closure.records}))
    found = predictions_about(items.store, marks(items.places.project, closure))
    _note(items, thread, found, "asked about them", limit)
    return thread


def _note(items: Items, thread: Thread, found: pl.Series, how: str, limit: int | None) -> None:
    rows = predictions_of(items.store, found) if len(found) else pl.DataFrame()
    for facts in rows.tail(limit if limit is not None else rows.height).iter_rows(named=True):
        item = _item(facts)
        thread.forward(thread.root, item, INFLUENCED, how)
        thread.forward(item.id, items.table(facts["model"], facts["version"]), INFLUENCED, "answered by")
    if limit is not None and rows.height > limit:
        more = rows.height - limit
        item = Item(f"{thread.root}:{how}", "predictions", f"{more:,} earlier", {"predictions": more})
        thread.forward(thread.root, item, INFLUENCED, "not named")


def _item(facts: dict[str, Any]) -> Item:
    told = {name: value for name in _TOLD if (value := facts.get(name)) is not None}
    told |= {name: str(told[name]) for name in ("time", "labelled") if name in told}
    told["answered_by"] = f"{facts['model']} version {facts['version']}"
    return Item(f"prediction:{facts['id']}", "prediction", str(facts["id"]), told)


__all__ = ["about_row", "about_subject", "answered", "subject_of"]
