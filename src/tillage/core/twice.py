"""Which of several names stands twice, in one pass: to count each of them would take days where somebody wrote a
million."""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from typing import TypeVar

Name = TypeVar("Name", bound=Hashable)


def first_twice(names: Iterable[Name]) -> Name | None:
    """The first that was there before; None where each stands once.

    >>> first_twice(["a", "b", "b", "a"]), first_twice("abc")
    ('b', None)
    """
    seen: set[Name] = set()
    for name in names:
        if name in seen:
            return name
        seen.add(name)
    return None
