"""A file that goes, or is another one, between two looks: the rows stay until its owner says that the table shall be
empty; and no rows stand for the checksum of a file that they are not from."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from zipfile import ZipFile

import pytest

from tests.flow.test_changes_of_shape import EVERY_KIND, HEAD, Folder, lines, one_key
from tests.flow.world import differences
from tillage.collect import Files
from tillage.core.errors import InputMissing
from tillage.core.step import Batch

__all__ = ["one_key"]


@pytest.mark.parametrize("key", ["", ", key: id"])
def test_a_path_that_matches_nothing_empties_no_table(tmp_path: Path, key: str) -> None:
    folder = Folder(tmp_path / "f", EVERY_KIND % key)
    folder.write("data/a.csv", HEAD + lines(0, 20))
    folder.write("data/b.csv", HEAD + lines(100, 20))
    before = folder.run()
    (folder.root / "data/b.csv").unlink()
    assert folder.same_as_a_rebuild()["tables"]["raw"]["rows"] == 20, "a deleted file's rows leave"
    (folder.root / "data/a.csv").unlink()
    with folder.open() as p:
        with pytest.raises(InputMissing, match=r"^Table 'raw': .*read from \(1\) is gone; its rows stay") as caught:
            p.run()
        assert "that holds the header alone" in caught.value.fix
        assert p.read("raw").height == 20
    folder.write("data/none.csv", HEAD)
    after = folder.same_as_a_rebuild()
    assert before["tables"].keys() == after["tables"].keys()
    assert {t["rows"] for t in after["tables"].values()} == {0}


@pytest.mark.parametrize("key", ["", ", key: id"])
@pytest.mark.parametrize("name", ["x.csv", "x.zip"])
def test_a_file_that_is_replaced_while_it_is_read_is_read_again(
    tmp_path: Path, key: str, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Put back before the next run, it has the checksum that it was surveyed with, and the rows are the other's; so
    have the members of an archive."""
    folder = Folder(tmp_path / "f", f"project: p\ntables:\n  raw: {{collect: {{files: {name}}}{key}}}\n")
    good, other = HEAD + lines(0, 20), HEAD + lines(0, 20, text="other {0}")

    def write(to: str, text: str) -> None:
        if name.endswith(".csv"):
            folder.write(to, text)
            return
        with ZipFile(folder.root / to, "w") as archive:
            archive.writestr("in/a.csv", text)
            archive.writestr("b.csv", HEAD + lines(50, 60))

    write(name, good)
    right = folder.run("right")
    whole = Files.read

    def replaced(self: Files, root: Path, path: str, schema: Mapping[str, str]) -> Iterator[Batch]:
        write("away", other)
        (root / "away").replace(root / name)
        yield from whole(self, root, path, schema)

    with monkeypatch.context() as patched:
        patched.setattr(Files, "read", replaced)
        assert differences(folder.run(), right) != []
    write(name, good)
    assert differences(folder.run(), right) == []
