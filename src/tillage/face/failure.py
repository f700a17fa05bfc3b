"""How a command fails: a short message and the exit code of the error's kind, or one JSON object."""

from __future__ import annotations

import errno
import os
import platform
import sys
import traceback
from typing import Any

from tillage.face.screen import Screen

SCHEMA = "tillage.error/1"
BUG, USAGE, DENIED, UNAVAILABLE, INTERRUPTED = 1, 2, 77, 69, 130

_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_DENIED = {errno.EACCES, errno.EPERM, errno.EROFS}


def described(error: BaseException) -> dict[str, Any]:
    """The `tillage.error/1` object of an error.

    >>> described(KeyboardInterrupt())["exit_code"]
    130
    """
    from tillage.core.errors import ConfigurationError, TillageError

    if isinstance(error, TillageError):
        problems = error.problems if isinstance(error, ConfigurationError) else ()
        listed = [{"message": p.message, "file": p.file, "line": p.line, "column": p.column} for p in problems]
        return _object(type(error).__name__, error.message, error.fix, error.exit_code, listed)
    if isinstance(error, KeyboardInterrupt):
        fix = "Finished work is kept: run the same command again to go on."
        return _object("Interrupted", "Interrupted.", fix, INTERRUPTED)
    if hasattr(error, "format_message"):  # what typer says of the command line
        return _object("UsageError", _ended(error.format_message()), _help(error), USAGE)
    if isinstance(error, OSError) and error.errno in _DENIED:
        return _object("Denied", _of_system(error), "Mend the permissions, or name another place.", DENIED)
    if isinstance(error, OSError) and error.errno in _FULL:
        fix = "Free some space and run again: finished work is kept."
        return _object("Unavailable", _of_system(error), fix, UNAVAILABLE)
    if isinstance(error, UnicodeEncodeError) and error.encoding == sys.getfilesystemencoding() != "utf-8":
        name = error.object[:80].encode("unicode_escape").decode()
        message = f"The name '{name}' cannot be written in the encoding of this system's names, {error.encoding}."
        return _object("UsageError", message, "Set PYTHONUTF8=1, or a locale of UTF-8 such as LC_ALL=C.UTF-8.", USAGE)
    if isinstance(error, MemoryError):
        return _object("Unavailable", "There is not enough memory.", "Free some, or use --workers 1.", UNAVAILABLE)
    return _object(type(error).__name__, _bug(error), _how_to_report(), BUG)


def show(error: BaseException, screen: Screen) -> int:
    """Tell of an error, and give its exit code."""
    value = described(error)
    tell(value, screen)
    if value["exit_code"] == BUG and os.environ.get("TILLAGE_DEBUG") == "1":
        screen.say("".join(traceback.format_exception(error)))
    screen.result(value)
    return int(value["exit_code"])


def tell(value: dict[str, Any], screen: Screen) -> None:
    """The error for people, on stderr."""
    screen.say(f"{value['message']}\n{value['fix']}".strip(), style="bold red" if value["exit_code"] == BUG else "red")


def _object(
    kind: str, message: str, fix: str, code: int, problems: list[dict[str, Any]] | None = None
) -> dict[str, Any]:
    return {
        "schema": SCHEMA,
        "error": kind,
        "message": message,
        "fix": fix,
        "problems": problems or [],
        "exit_code": code,
    }


def _ended(text: str) -> str:
    return text if text.endswith((".", "?", "!")) else text + "."


def _help(error: Any) -> str:
    context = getattr(error, "ctx", None)
    return f"See `{context.command_path if context else 'tillage'} --help`."


def _of_system(error: OSError) -> str:
    place = f"{error.filename}: " if error.filename else ""
    return f"{place}{error.strerror or error}."


def _bug(error: BaseException) -> str:
    return f"This is a mistake in Tillage, not in your plan or data: {type(error).__name__}: {error}"


def _how_to_report() -> str:
    from tillage import __version__

    versions = f"Tillage {__version__}, Python {platform.python_version()}, {platform.system()} {platform.machine()}"
    debug = "" if os.environ.get("TILLAGE_DEBUG") == "1" else "the output of the same command with TILLAGE_DEBUG=1, "
    words = sys.argv[1:2]
    command = f"`tillage {words[0]}`" if words else "the command"
    return f"Please report it with {debug}{command}, and: {versions}."
