"""The locks: few packages, every one hashed, no address of an index, and the same versions for users and developers."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
LOCKS = ("base.txt", "dev.txt", "deep.txt")
PIN = re.compile(r"^(?P<name>[a-z0-9][a-z0-9._-]*)==(?P<version>[^ ]+)(?P<rest>.*)$", re.MULTILINE)
ENTRY = re.compile(r"^(?P<name>[a-z0-9][a-z0-9._-]*)==(?P<rest>(?:.*\n)(?:[ #].*\n)*)", re.MULTILINE)
LIMIT = 46
"""Packages of the base install, without those that only build it."""


def read(name: str) -> str:
    return (ROOT / "requirements" / name).read_text()


def pins(text: str) -> dict[str, set[str]]:
    """Package to its versions: more than one where they differ by Python version."""
    found: dict[str, set[str]] = {}
    for match in PIN.finditer(text):
        found.setdefault(match["name"], set()).add(match["version"])
    return found


def only_to_build(lock: str) -> set[str]:
    """Packages that the build backend alone asks for: users' own programs never load them."""
    wanted = {
        m["name"]: set(re.findall(r"^    #(?: via|  ) +(\S.*)$", m["rest"], re.MULTILINE)) for m in ENTRY.finditer(lock)
    }
    out: set[str] = set()
    while more := {n for n, by in wanted.items() if by and by <= out | {"tillage (pyproject.toml:build)"}} - out:
        out |= more
    return out


def test_what_only_builds_is_told_from_what_runs() -> None:
    assert {"setuptools"} <= only_to_build(read("base.txt"))
    assert not {"polars", "typer", "uvicorn", "packaging"} & only_to_build(read("base.txt"))


def declared(entries: list[str]) -> set[str]:
    return {re.split(r"[<>=~!\[; ]", entry)[0].lower().replace("_", "-") for entry in entries}


def test_the_base_install_stays_small() -> None:
    names = set(pins(read("base.txt")))
    assert 20 < len(names - only_to_build(read("base.txt"))) <= LIMIT
    assert not names & {"torch", "numba", "llvmlite", "pyspark", "ray", "pandas"}


@pytest.mark.parametrize("lock", LOCKS)
def test_every_package_is_pinned_with_hashes(lock: str) -> None:
    entries = [entry for entry in re.split(r"\n(?=[^\s#])", read(lock)) if not entry.startswith("#")]
    assert len(entries) > 20
    for entry in entries:
        assert PIN.match(entry), entry.splitlines()[0]
        assert re.search(r"--hash=sha256:[0-9a-f]{64}", entry), entry.splitlines()[0]


@pytest.mark.parametrize("lock", LOCKS)
def test_a_lock_names_no_address(lock: str) -> None:
    text = read(lock)
    assert not re.search(r"://|@ |find-links|index-url|trusted-host", text)
    assert all(option == "--hash" for option in re.findall(r"(?<![\w-])--[a-z-]+", text))


def test_the_locks_hold_what_the_project_declares() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    groups = project["dependency-groups"]
    base, dev = pins(read("base.txt")), pins(read("dev.txt"))
    assert declared(project["project"]["dependencies"] + groups["build"]) <= set(base)
    assert declared(groups["dev"]) <= set(dev)
    assert declared(groups["dev"] + groups["deep"]) <= set(pins(read("deep.txt")))
    assert declared(project["build-system"]["requires"]) <= set(base)


def test_developers_run_the_versions_of_users() -> None:
    base, dev = pins(read("base.txt")), pins(read("dev.txt"))
    assert {name: dev.get(name) for name in base} == base
