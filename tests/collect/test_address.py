"""Addresses of databases: what is allowed, what is refused, and that nothing secret is repeated."""

from __future__ import annotations

from pathlib import Path

import pytest

import tillage
from tillage.collect.address import address_of, check_address
from tillage.collect.sql import Sql
from tillage.core.errors import ConfigurationError, Denied

ROOT = Path("/srv/plan")


@pytest.mark.parametrize(
    ("text", "secret"),
    [
        ("postgresql://me@db/shop", "PW"),
        ("postgres://db:5433/shop?sslmode=verify-full&sslrootcert=/etc/ca.pem&connect_timeout=5", ""),
        ("postgresql://me@/shop?host=/run/postgresql", ""),
        ("mysql://me:${PW}@db/shop", ""),
        ("mariadb://${USER}@${HOST}/shop", "PW"),
        ("${ADDRESS}", ""),
        ("sqlite:data/a.db", ""),
        ("sqlite:///srv/a.db", ""),
        ("duckdb:a.duckdb", ""),
    ],
)
def test_addresses_that_are_taken(text: str, secret: str) -> None:
    check_address(text, secret)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("postgresql://me:hunter2@db/shop", "password must not stand"),
        ("postgresql://me:hunter2${X}@db/shop", "password must not stand"),
        ("mysql://root:hunter2@db/shop?connect_timeout=1", "password must not stand"),
        ("postgresql://me@db/shop?options=-c%20session_preload_libraries%3Dx", "'options' is not allowed"),
        ("postgresql://me@db/shop?passfile=/etc/passwd", "'passfile' is not allowed"),
        ("postgresql://me@db/shop?service=x", "'service' is not allowed"),
        ("postgresql://me@db/shop?host=evil.example", "folder of a socket"),
        ("postgresql://me@db/shop?password=hunter2", "'password' is not allowed"),
        ("mysql://me@db/shop?local_infile=1", "'local_infile' is not allowed"),
        ("mysql://me@db/shop?read_default_file=/etc/my.cnf", "'read_default_file' is not allowed"),
        ("mysql://me@db/shop?init_command=DROP", "'init_command' is not allowed"),
        ("sqlite:a.db?mode=rwc", "'mode' is not allowed"),
        ("sqlite::memory:", "names no file"),
        ("sqlite://host/a.db", "no host"),
        ("postgresql://me@db/shop#x", "'#'"),
        ("postgresql://me@db/", "one database"),
        ("postgresql:///shop", "no host"),
        ("postgresql://me@db:port/shop", "no URL"),
        ("oracle://me@db/shop", "must begin with"),
        ("shop", "must begin with"),
        ("postgresql://${my pw}@db/shop", "must name an environment variable"),
    ],
)
def test_addresses_that_are_refused(text: str, said: str) -> None:
    with pytest.raises(ConfigurationError, match=said) as told:
        tillage.collect.sql(address=text, table="t")
    assert "hunter2" not in str(told.value)


def test_a_file_must_lie_where_files_may(tmp_path: Path) -> None:
    with pytest.raises((ConfigurationError, Denied)):
        address_of("sqlite:../../etc/a.db", "", tmp_path)
    assert address_of("sqlite:a.db", "", tmp_path).database == str(tmp_path / "a.db")


def test_the_environment_is_asked_when_it_is_needed() -> None:
    given = {"PW": "p@ss/word", "HOST": "db.example"}
    made = address_of("postgresql://me@${HOST}:6000/shop", "PW", ROOT, given)
    assert (made.host, made.port, made.user, made.password) == ("db.example", 6000, "me", "p@ss/word")
    assert "p@ss" not in repr(made) + made.shown + made.scrubbed("failed for p@ss/word")
    with pytest.raises(Denied, match="HOST is not set"):
        address_of("postgresql://me@${HOST}/shop", "", ROOT, {})
    with pytest.raises(ConfigurationError) as told:
        address_of("${ALL}", "", ROOT, {"ALL": "postgresql://me:hunter2@db/shop?options=x"})
    assert "hunter2" not in str(told.value)


@pytest.mark.parametrize(
    ("params", "said"),
    [
        ({}, "either 'table' or 'query'"),
        ({"table": "t", "query": "SELECT 1"}, "either 'table' or 'query'"),
        ({"query": "SELECT 1"}, "no key of its own"),
        ({"table": "a.b.c"}, "no name of a table"),
        ({"table": "t", "secret": "my password"}, "name of an environment variable"),
    ],
)
def test_sources_that_make_no_sense(params: dict[str, str], said: str) -> None:
    with pytest.raises(ConfigurationError, match=said):
        tillage.collect.sql(address="sqlite:a.db", **params)


def test_a_source_is_its_parameters_and_no_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PW", "hunter2")
    source = Sql(address="postgresql://me@db/shop", secret="PW", table="t")
    assert "hunter2" not in source.model_dump_json() + repr(source)
    first = source.fingerprint()
    monkeypatch.setenv("PW", "other")
    assert source.fingerprint() == first
