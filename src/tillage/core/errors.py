"""Every error the package raises on purpose: what, where, why, and what to do; each knows its exit code.

Anything else that reaches the user is a bug of ours (exit code 1).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from difflib import get_close_matches


class TillageError(Exception):
    """Base of all deliberate errors.

    >>> print(InputMissing("No file matches 'data/*.csv'.", fix="Put a file there, or mend 'files' in tillage.yaml."))
    No file matches 'data/*.csv'. Put a file there, or mend 'files' in tillage.yaml.
    """

    exit_code = 1
    place = ""
    """Where it happened, as far as `at` was told."""

    def __init__(self, message: str, fix: str = "") -> None:
        self.message = message
        self.fix = fix
        super().__init__(message)

    def __str__(self) -> str:
        return f"{self.message} {self.fix}".strip()

    def at(self, place: str) -> None:
        """Say where it happened, the inner place first; what names the place already stays as it is.

        >>> error = BadData("No row is left.")
        >>> for place in ("derive", "Table 'clean'"):
        ...     error.at(place)
        >>> print(error)
        Table 'clean', derive: No row is left.
        """
        self.message = self._placed(place, self.message)
        self.place = f"{place}, {self.place}" if self.place else place

    def _placed(self, place: str, message: str) -> str:
        if place.lower() in message.lower():
            return message
        bare = message.removeprefix(f"{self.place}: ")
        return f"{place}, {message}" if bare != message else f"{place}: {message}"


class UsageError(TillageError, ValueError):
    """A command or a call was given arguments that make no sense together."""

    exit_code = 2


class GateFailed(TillageError, RuntimeError):
    """An expectation or a gate refused the result; nothing was published."""

    exit_code = 10


class BadData(TillageError, ValueError):
    """More bad records than the quarantine limit allows."""

    exit_code = 65


class InputMissing(TillageError, FileNotFoundError):
    """A file, table, version or model that was asked for is not there."""

    exit_code = 66


class Unavailable(TillageError, ConnectionError):
    """Something outside (a database, an optional library) cannot be reached."""

    exit_code = 69


class VerifyFailed(TillageError, RuntimeError):
    """Stored bytes, counts or a receipt are not what they were."""

    exit_code = 70
    object = ""
    """The stored file that is at fault, where it is one."""


class Locked(TillageError, BlockingIOError):
    """Another process holds the target."""

    exit_code = 75


class Denied(TillageError, PermissionError):
    """The key, a permission or a token is missing or wrong."""

    exit_code = 77


class RowIdCollision(TillageError, RuntimeError):
    """Two different keys gave one row_id; the run stops rather than mix two rows."""

    exit_code = 65


@dataclass(frozen=True)
class Problem:
    """One thing wrong in a plan, and where. `line` and `column` count from 1; 0 means unknown."""

    message: str
    file: str = ""
    line: int = 0
    column: int = 0

    def __str__(self) -> str:
        if not self.file:
            return self.message
        place = f"{self.file}:{self.line}:{self.column}" if self.line else self.file
        return f"{place}  {self.message}"


class ConfigurationError(TillageError, ValueError):
    """Everything that is wrong with a plan, all at once, before any data is read."""

    exit_code = 78

    def __init__(self, problems: Iterable[Problem] | str, fix: str = "") -> None:
        self.problems = (Problem(problems),) if isinstance(problems, str) else tuple(problems)
        super().__init__("\n".join(str(p) for p in self.problems), fix)

    def at(self, place: str) -> None:
        """Say where it happened, of each problem that does not name a place in a file."""
        here = tuple(p if p.file else replace(p, message=self._placed(place, p.message)) for p in self.problems)
        super().at(place)
        self.problems, self.message = here, "\n".join(str(p) for p in here)


class UnknownName(ConfigurationError, KeyError):
    """A name was not found among those available; the nearest right one is offered."""

    def __init__(self, what: str, name: str, known: Iterable[str]) -> None:
        super().__init__(unknown_name(what, name, known))

    __str__ = TillageError.__str__  # KeyError would print the repr


class UnknownColumns(ConfigurationError):
    """A source was told of columns that none of its objects has: one problem a column, in the order of `names`.

    >>> error = UnknownColumns("types", ["zpi"], ["name", "zip"], "Mend 'types' of the source.")
    >>> print(error)
    No column is called 'zpi'. Did you mean 'zip'? Mend 'types' of the source.
    """

    def __init__(self, setting: str, names: Iterable[str], known: Iterable[str], fix: str = "") -> None:
        """`setting`: the word of the plan that names them."""
        self.setting, self.names = setting, tuple(names)
        there = list(known)
        super().__init__([Problem(unknown_name("column", name, there)) for name in self.names], fix)


def unknown_name(what: str, name: str, known: Iterable[str]) -> str:
    """The message for a name that is not there.

    >>> unknown_name("step", "normlize", ["normalize", "filter"])
    "No step is called 'normlize'. Did you mean 'normalize'?"
    """
    names = sorted(known)
    near = get_close_matches(name, names, n=1)
    hint = f"Did you mean '{near[0]}'?" if near else f"Known: {', '.join(names) or 'none'}."
    return f"No {what} is called '{name}'. {hint}"
