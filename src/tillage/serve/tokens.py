"""Who may ask: one token for everything, made by chance at the first start, in a file that others cannot read."""

from __future__ import annotations

import hmac
import os
import secrets
from pathlib import Path

from tillage.core.errors import Denied, UsageError

FILE = "serve.token"
SHORTEST = 16
"""Characters of a token that someone chose."""


def kept_token(root: Path) -> str:
    """The token of a store: the one in its file, which is made (mode 0600) if it is missing.

    >>> import tempfile
    >>> root = Path(tempfile.mkdtemp())
    >>> kept_token(root) == kept_token(root), len(kept_token(root)), oct((root / FILE).stat().st_mode & 0o777)
    (True, 43, '0o600')
    """
    path = root / FILE
    try:
        file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    except FileExistsError:
        if path.is_symlink() or path.stat().st_mode & 0o077:
            raise Denied(f"{path} can be read by others.", fix=f"Run: chmod 600 {path}, or delete it.") from None
        return chosen_token(path.read_text().strip())
    with os.fdopen(file, "w") as out:
        token = secrets.token_urlsafe(32)
        out.write(token)
    return token


def chosen_token(token: str) -> str:
    """A token that someone chose, where it is one; else UsageError.

    >>> chosen_token("short")
    Traceback (most recent call last):
    tillage.core.errors.UsageError: The token must be 16 or more printable ASCII characters without spaces. ...
    """
    if len(token) < SHORTEST or not token.isascii() or not token.isprintable() or " " in token:
        raise UsageError(
            f"The token must be {SHORTEST} or more printable ASCII characters without spaces.",
            fix="Leave it out, and one is made by chance.",
        )
    return token


def is_right(token: bytes, header: bytes | None) -> bool:
    """Whether an Authorization header brings the token; in a time that does not tell how much of it was right.

    >>> is_right(b"abc", b"Bearer abc"), is_right(b"abc", b"Bearer abd"), is_right(b"abc", None)
    (True, False, False)
    """
    if header is None or header[:7].lower() != b"bearer ":
        return False
    return hmac.compare_digest(header[7:].strip(), token)
