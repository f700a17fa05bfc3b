"""Names and paths from outside stay inside."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tillage.core import Denied, UsageError
from tillage.guard import checked_name, inside, matches, open_inside
from tillage.guard.paths import is_dangling


@pytest.mark.parametrize("name", ["a", "0", "notes-2_x", "a" * 64])
def test_names(name: str) -> None:
    assert checked_name(name) == name


@pytest.mark.parametrize("name", ["", "A", "-a", "_a", "a" * 65, "a/b", "..", "a\n", "a b", "é", "a#b", "a%2f", "a\0"])
def test_what_is_no_name(name: str) -> None:
    with pytest.raises(UsageError, match="cannot be a table"):
        checked_name(name, "table")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "root"
    (folder / "sub" / "deep").mkdir(parents=True)
    for name in ("a.csv", "b.txt", "[x].csv", ".hidden.csv", "sub/c.csv", "sub/deep/d.csv"):
        (folder / name).write_text(name)
    (tmp_path / "secret.csv").write_text("secret")
    (tmp_path / "root2").mkdir()
    (tmp_path / "root2" / "e.csv").write_text("e")
    return folder


@pytest.mark.parametrize(
    ("pattern", "found"),
    [
        ("*.csv", ["[x].csv", "a.csv"]),
        ("./a.csv", ["a.csv"]),
        ("[x].csv", ["[x].csv"]),
        ("[ab].*", ["a.csv", "b.txt"]),
        (".*.csv", [".hidden.csv"]),
        ("sub/*.csv", ["sub/c.csv"]),
        ("*/*.csv", ["sub/c.csv"]),
        ("**/*.csv", ["[x].csv", "a.csv", "sub/c.csv", "sub/deep/d.csv"]),
        ("sub/**", ["sub/c.csv", "sub/deep/d.csv"]),
        ("sub", []),
        ("none/*.csv", []),
        ("a.csv/*", []),
        ("?.csv", ["a.csv"]),
    ],
)
def test_matches(root: Path, pattern: str, found: list[str]) -> None:
    assert [p.relative_to(root).as_posix() for p in matches(root, pattern)] == found


def test_links_inside_are_followed_and_those_that_lead_out_are_named(root: Path) -> None:
    (root / "l.csv").symlink_to(root / "a.csv")
    assert root / "l.csv" in matches(root, "*.csv")
    (root / "loop").symlink_to(root)
    assert len(matches(root, "**/*.csv")) == 5, "a folder that is a link is not walked"
    (root / "out.csv").symlink_to(root.parent / "secret.csv")
    with pytest.raises(Denied, match=r"'out\.csv' leads out of"):
        matches(root, "*.csv")
    (root / "out.csv").unlink()
    (root / "sub" / "far").symlink_to(root.parent / "root2")
    with pytest.raises(Denied, match="leads out of"):
        matches(root, "sub/far/*.csv")


def test_only_plain_files_match_and_links_to_what_is_not_there(root: Path) -> None:
    os.mkfifo(root / "pipe.csv")
    (root / "folder.csv").mkdir()
    (root / "broken.csv").symlink_to(root / "nothing")
    (root / "of-folder.csv").symlink_to(root / "sub")
    assert [p.name for p in matches(root, "*.csv")] == ["[x].csv", "a.csv", "broken.csv"]
    assert [p.name for p in (root / n for n in ("a.csv", "broken.csv", "of-folder.csv")) if is_dangling(p)] == [
        "broken.csv"
    ]
    assert matches(root, "none.csv") == []


@pytest.mark.parametrize("pattern", ["../*.csv", "sub/../../secret.csv", "/etc/passwd", ""])
def test_patterns_that_lead_out(root: Path, pattern: str) -> None:
    with pytest.raises(Denied):
        matches(root, pattern)


def test_inside(root: Path) -> None:
    assert inside(root, "sub/../a.csv") == root.resolve() / "a.csv"
    (root / "out").symlink_to(root.parent)
    for path in ("../secret.csv", "out/secret.csv", "/etc/passwd", "../root2/e.csv"):
        with pytest.raises(Denied, match="leads out of"):
            inside(root, path)


def test_open_inside(root: Path) -> None:
    with open_inside(root, "sub/deep/d.csv") as file:
        assert file.read() == b"sub/deep/d.csv"
    (root / "l.csv").symlink_to(root / "a.csv")
    (root / "way").symlink_to(root / "sub")
    os.mkfifo(root / "pipe")
    for path in ("l.csv", "way/c.csv", "../secret.csv", "/etc/passwd", "sub", "pipe", "a.csv/x", ""):
        with pytest.raises(Denied):
            open_inside(root, path)
    with pytest.raises(FileNotFoundError):
        open_inside(root, "sub/none.csv")
