"""The address of a database: read by allow-list, its secret taken from the environment and shown to nobody.

`postgresql://reader@db.example:5432/shop?sslmode=require`, `mysql://..`, `sqlite:data/app.db`, `duckdb:data/app.db`.
Drivers take options in their URLs that read files or run commands (the JDBC flaws, CVE-2023-22886, were that), so an
option that is not on the list is refused. A plan is read by many: a password in it is refused too; it stands in an
environment variable, as `secret: NAME` or as `${NAME}` in the address.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePath
from typing import Literal
from urllib.parse import parse_qsl, unquote, urlsplit

from tillage.core.errors import ConfigurationError, Denied
from tillage.guard.paths import inside

Kind = Literal["postgresql", "mysql", "sqlite", "duckdb"]

KINDS: Mapping[str, Kind] = {
    "postgresql": "postgresql",
    "postgres": "postgresql",
    "mysql": "mysql",
    "mariadb": "mysql",
    "sqlite": "sqlite",
    "duckdb": "duckdb",
}
OPTIONS: Mapping[Kind, frozenset[str]] = {
    "postgresql": frozenset({"sslmode", "sslrootcert", "connect_timeout", "application_name", "host"}),
    "mysql": frozenset({"connect_timeout", "ssl_ca"}),
    "sqlite": frozenset(),
    "duckdb": frozenset(),
}
"""The options that an address may have; `host` for a socket's folder."""

PORTS: Mapping[Kind, int] = {"postgresql": 5432, "mysql": 3306}
_NAME = r"[A-Za-z_][A-Za-z0-9_]*"
_REFERENCE = re.compile(r"\$\{(" + _NAME + r")\}")


@dataclass(frozen=True)
class Address:
    """Where a database is. `database`: its name, or the path of its file; `shown`: what may be told of it."""

    kind: Kind
    database: str
    host: str = ""
    port: int = 0
    user: str = ""
    options: Mapping[str, str] = field(default_factory=dict)
    password: str = field(default="", repr=False)

    @property
    def shown(self) -> str:
        """The address without user, password and options."""
        return f"{self.kind}://{self.host}:{self.port}/{self.database}" if self.host else f"{self.kind}:{self.database}"

    def scrubbed(self, text: str) -> str:
        """A driver's message without the password."""
        return text.replace(self.password, "***") if self.password else text


def check_address(text: str, secret: str = "") -> None:
    """Raise ValueError for an address that no environment could make right, without repeating what is secret in it.

    >>> check_address("postgresql://me@db/shop?sslmode=require", "SHOP_PASSWORD")
    >>> check_address("postgresql://me:hunter2@db/shop")
    Traceback (most recent call last):
    ValueError: a password must not stand in a plan: put it in an environment variable and name that one as 'secret'
    """
    if secret and not re.fullmatch(_NAME, secret):
        raise ValueError("'secret' is the name of an environment variable, letters, digits and _")
    if "${" in _REFERENCE.sub("", text):
        raise ValueError("'${' must name an environment variable: ${NAME}")
    made = _REFERENCE.sub("0", text)
    scheme, colon, rest = made.partition(":")
    if "${" in text.partition(":")[0] and not colon:
        return  # the whole of it is in the environment
    if not colon or scheme not in KINDS:
        raise ValueError(f"the address must begin with one of {', '.join(sorted(KINDS))}, and a colon")
    at = rest.rpartition("@")[0].rpartition("/")[2]
    written = _REFERENCE.sub("", text.partition(":")[2].rpartition("@")[0].rpartition("/")[2])
    if ":" in at and written.partition(":")[2]:
        raise ValueError(
            "a password must not stand in a plan: put it in an environment variable and name that one as 'secret'"
        )
    if ":" in at and secret:
        raise ValueError("the password is given twice, in the address and as 'secret'")
    parsed(made, Path("/"), "")


def address_of(text: str, secret: str, root: Path, environment: Mapping[str, str] | None = None) -> Address:
    """The address with what the environment holds; raises Denied naming a variable that is not set."""
    given = os.environ if environment is None else environment

    def value(name: str) -> str:
        if name not in given:
            raise Denied(f"The environment variable {name} is not set.", fix=f"Set it: export {name}=...")
        return given[name]

    made = _REFERENCE.sub(lambda match: value(match[1]), text)
    try:
        return parsed(made, root, value(secret) if secret else "")
    except ValueError as error:
        raise ConfigurationError(f"The address of the database is wrong: {error}.") from None


def parsed(text: str, root: Path, password: str) -> Address:
    """The parts of an address; raises ValueError, which never repeats the address."""
    scheme, _, rest = text.partition(":")
    kind = KINDS.get(scheme)
    if kind is None:
        raise ValueError(f"it must begin with one of {', '.join(sorted(KINDS))}, and a colon")
    try:
        parts = urlsplit(text)
        options = dict(parse_qsl(parts.query, keep_blank_values=True, strict_parsing=bool(parts.query)))
        host, port = parts.hostname or "", parts.port
    except ValueError:
        raise ValueError("it is no URL: NAME://USER@HOST:PORT/DATABASE?OPTION=VALUE") from None
    unknown = sorted(set(options) - OPTIONS[kind])
    if unknown:
        allowed = ", ".join(sorted(OPTIONS[kind])) or "none"
        raise ValueError(f"the option '{unknown[0]}' is not allowed; those of {kind} are: {allowed}")
    if parts.fragment:
        raise ValueError("it must not have a '#'")
    if kind in ("sqlite", "duckdb"):
        return Address(kind, _file(rest, root))
    socket = options.pop("host", "")
    if socket and not socket.startswith("/"):
        raise ValueError("the option 'host' is the folder of a socket, a path from /")
    if not (host or socket):
        raise ValueError("it names no host")
    database = unquote(parts.path.strip("/"))
    if not database or "/" in database:
        raise ValueError("it must name one database after the host: /NAME")
    secret = password or unquote(parts.password or "")
    return Address(kind, database, socket or host, port or PORTS[kind], unquote(parts.username or ""), options, secret)


def _file(rest: str, root: Path) -> str:
    """The path of a database that is a file: relative to the plan, or absolute after three slashes or more."""
    path = rest.partition("?")[0]
    if path.startswith("//"):
        path = path[2:]
        if path and not path.startswith("/"):
            raise ValueError("a file has no host: write it as sqlite:data/app.db")
    if not path or path.startswith(":"):
        raise ValueError("it names no file")
    return path if PurePath(path).is_absolute() else str(inside(root.absolute(), path))
