"""Tokens that may do some things, for some time: `predict`, `feedback`, `admin`; kept as digests that open nothing.

A token is 256 bits of chance, which nobody can try through: a plain SHA-256 keeps it (a slow hash is for what people
choose). The file is read again when it changes, so a token that is revoked is refused from the next request on.
"""

from __future__ import annotations

import hmac
import json
import logging
import os
import re
import secrets
import time
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path

from tillage.core.errors import BadData, Denied, TillageError, UnknownName, UsageError
from tillage.store.locks import hold

FILE = "serve.tokens"
SCOPES = ("predict", "feedback", "admin")
"""What a token may do; `admin` may do all."""

log = logging.getLogger("tillage.serve")

_TOKEN = re.compile(r"tlg_([0-9a-f]{8})_([A-Za-z0-9_-]{43})")
_SPAN = re.compile(r"([1-9][0-9]{0,5})([hdw])")
_SECONDS = {"h": 3600, "d": 86_400, "w": 604_800}


@dataclass(frozen=True)
class Token:
    """What is kept of a token."""

    id: str
    scopes: tuple[str, ...]
    digest: str
    created: str
    expires: float | None
    """Seconds since 1970; None: never."""
    name: str = ""

    def expired(self) -> bool:
        """Whether its time is over."""
        return self.expires is not None and time.time() >= self.expires

    def may(self, scope: str) -> bool:
        """Whether it may do this; an empty scope is what every token may."""
        return not scope or scope in self.scopes or "admin" in self.scopes


def seconds_of(span: str) -> int:
    """A span of time in seconds; UsageError for what is none.

    >>> seconds_of("12h"), seconds_of("30d")
    (43200, 2592000)
    """
    found = _SPAN.fullmatch(span)
    if found is None:
        raise UsageError(f"'{span}' is no span of time.", fix="Write hours, days or weeks: 12h, 30d, 4w.")
    return int(found[1]) * _SECONDS[found[2]]


def new_token(root: Path, scopes: tuple[str, ...], expires: str | None = None, name: str = "") -> tuple[str, Token]:
    """A new token of a store, and what is kept of it; the text is shown this once.

    >>> import tempfile
    >>> root = Path(tempfile.mkdtemp())
    >>> text, kept = new_token(root, ("predict",), "30d")
    >>> found = Tokens(root).find(text.encode())
    >>> found.scopes, text.encode() in (root / FILE).read_bytes()
    (('predict',), False)
    """
    for scope in scopes:
        if scope not in SCOPES:
            raise UnknownName("scope", scope, SCOPES)
    if not scopes:
        raise UsageError("A token must be for something.", fix=f"Give --scope: {', '.join(SCOPES)}.")
    text = f"tlg_{secrets.token_hex(4)}_{secrets.token_urlsafe(32)}"
    now = time.time()
    made = Token(
        text[4:12],
        tuple(s for s in SCOPES if s in scopes),
        sha256(text.encode()).hexdigest(),
        datetime.fromtimestamp(now, UTC).isoformat(timespec="seconds"),
        now + seconds_of(expires) if expires is not None else None,
        name,
    )
    with hold(root / "locks", ["@tokens"], wait=True):
        _write(root, [*read_tokens(root), made])
    return text, made


def revoke_token(root: Path, token: str) -> Token:
    """Take a token away by its id; UnknownName when there is none."""
    with hold(root / "locks", ["@tokens"], wait=True):
        every = read_tokens(root)
        found = next((t for t in every if t.id == token), None)
        if found is None:
            raise UnknownName("token", token, [t.id for t in every])
        _write(root, [t for t in every if t.id != token])
    return found


def read_tokens(root: Path) -> list[Token]:
    """What is kept of all tokens; Denied for a file that others can read, BadData for one that holds none."""
    path = root / FILE
    try:
        file = os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
    except FileNotFoundError:
        return []
    except OSError as error:
        raise Denied(f"{path} cannot be read: {error.strerror}.", fix="Put the file back, or take it away.") from error
    try:
        if os.fstat(file).st_mode & 0o077:
            raise Denied(f"{path} can be read by others.", fix=f"Run: chmod 600 {path}")
        with os.fdopen(file, "rb", closefd=False) as stream:
            kept = [Token(**{**one, "scopes": tuple(one["scopes"])}) for one in json.load(stream)]
        if not all(isinstance(t.expires, float | int | None) and isinstance(t.digest, str) for t in kept):
            raise TypeError("a field is of another type")
    except Denied:
        raise
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise BadData(f"{path} holds no tokens.", fix="Take it away and make new tokens.") from error
    finally:
        os.close(file)
    return kept


def _write(root: Path, tokens: list[Token]) -> None:
    draft = root / f".{FILE}.{secrets.token_hex(8)}"
    file = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    with os.fdopen(file, "w", encoding="utf-8") as out:
        json.dump([asdict(t) for t in tokens], out, ensure_ascii=False, indent=1)
        out.flush()
        os.fsync(out.fileno())
    draft.replace(root / FILE)


class Tokens:
    """The scoped tokens of a store as a server sees them: read again when their file has changed."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._stamp: tuple[int, int, int] | None = None
        self._known: dict[str, Token] = {}

    def find(self, token: bytes) -> Token | None:
        """What is kept of a token that is right and whose time is not over; None otherwise."""
        shaped = _TOKEN.fullmatch(token.decode("latin-1"))
        if shaped is None:
            return None
        self._look()
        found = self._known.get(shaped[1])
        if found is None or not hmac.compare_digest(found.digest, sha256(token).hexdigest()) or found.expired():
            return None
        return found

    def _look(self) -> None:
        try:
            at = (self.root / FILE).lstat()
        except FileNotFoundError:
            self._stamp, self._known = None, {}
            return
        stamp = at.st_mtime_ns, at.st_ino, at.st_mode
        if stamp != self._stamp:
            self._known, self._stamp = {}, stamp
            try:
                self._known = {t.id: t for t in read_tokens(self.root)}
            except TillageError as error:  # no token of it is right until it can be read
                log.error("No token but the server's own is taken: %s", error)
