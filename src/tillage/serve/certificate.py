"""The certificate of a server that speaks HTTPS: one that was renewed in its files is taken while the server answers.

Certificates live for weeks and servers for months. Connections that are open keep the one that they began with.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable
from pathlib import Path

from tillage.core.errors import UsageError

LOOK = 1.0
"""Seconds between two looks at the files."""

Files = tuple[Path, Path]
"""A certificate with its chain, and its key, both PEM."""


def refuse_keys(files: Files) -> None:
    """Raise UsageError for files that are no certificate and its key, before anything is loaded.

    >>> refuse_keys((Path("/nowhere"), Path("/nowhere")))
    Traceback (most recent call last):
    tillage.core.errors.UsageError: /nowhere and /nowhere are no certificate and its key: No such file or directory. ...
    """
    if why := _fault(files):
        raise UsageError(
            f"{files[0]} and {files[1]} are no certificate and its key: {why}.",
            fix="Give PEM files, the chain in the first, the key without a passphrase.",
        )


def _fault(files: Files, context: ssl.SSLContext | None = None) -> str:
    """Let a context (default: one of no use) take a certificate and its key; why it cannot, empty when it has."""
    try:
        # A passphrase would be asked for on the terminal, and the server would stand still until someone types it.
        (context or ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)).load_cert_chain(*files, password="")
    except (OSError, ValueError) as error:
        return getattr(error, "strerror", None) or str(error)
    return ""


class Certificate:
    """What a context holds, and whether its files hold another one by now."""

    def __init__(self, files: Files, context: ssl.SSLContext) -> None:
        """`context`: made of these files just now."""
        self._files, self._context = files, context
        self._held = self._met = _state(files)
        self._told = ""

    def look(self) -> str:
        """Take a renewed certificate; what is to be told of it, empty where there is nothing new.

        One file is replaced before the other, so what is no pair is told of only once it has stayed so for two looks.
        """
        state = _state(self._files)
        stays, self._met = state == self._met, state
        if state == self._held:
            return ""
        why = _fault(self._files) or _fault(self._files, self._context)
        if not why:
            self._held, self._told = state, ""
            return f"The certificate in {self._files[0]} was renewed: connections from now on are given it."
        if not stays or self._told == why:
            return ""
        self._told = why
        return f"{self._files[0]} and {self._files[1]} are no certificate and its key: {why}. The one before is kept."


async def keep(files: Files, context: ssl.SSLContext, note: Callable[[str], None]) -> None:
    """Look for a renewed certificate; without end.

    In the event loop: OpenSSL does not let one thread change a context that another one begins connections with.
    """
    certificate = Certificate(files, context)
    while True:
        await asyncio.sleep(LOOK)
        if told := certificate.look():
            note(told)


def _state(files: Files) -> list[tuple[int, int, int] | None]:
    """What changes with the files: links are followed, as those of certbot are."""
    found: list[tuple[int, int, int] | None] = []
    for path in files:
        try:
            stat = path.stat()
            found.append((stat.st_mtime_ns, stat.st_size, stat.st_ino))
        except OSError:
            found.append(None)
    return found
