"""The last file of a source is gone: the rows stay until its owner says that the table shall be empty."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.flow.test_changes_of_shape import EVERY_KIND, HEAD, Folder, lines, one_key
from tillage.core.errors import InputMissing

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
