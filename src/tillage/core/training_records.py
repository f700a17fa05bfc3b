"""Figures of a training by step, told to whoever listens: a trainer and its listeners do not know of each other.

Numbers alone are told, never a row. Who listens changes nothing that is computed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TypeAlias

Record: TypeAlias = "Callable[[int, Mapping[str, float]], None]"
"""What is told of a step: its number, from 1, and figures by name; those of an epoch have `epoch` among them."""

_LISTENING: ContextVar[tuple[Record, ...]] = ContextVar("listening", default=())


@contextmanager
def listening(record: Record) -> Iterator[None]:
    """Be told of every training inside.

    >>> told = []
    >>> with listening(lambda step, values: told.append((step, dict(values)))):
    ...     for record in listeners():
    ...         record(1, {"loss": 0.5})
    >>> told, listeners()
    ([(1, {'loss': 0.5})], ())
    """
    before = _LISTENING.set((*_LISTENING.get(), record))
    try:
        yield
    finally:
        _LISTENING.reset(before)


def listeners() -> tuple[Record, ...]:
    """Who is to be told, the first who asked first."""
    return _LISTENING.get()
