"""A store that may only be read is read: on a medium that cannot be written, or by someone who may not."""

from __future__ import annotations

import os
import shutil
import tempfile
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tillage.core.errors import Unavailable
from tillage.store.catalog import Catalog

NOBODY = 65534


@pytest.fixture
def folder() -> Iterator[Path]:
    made = Path(tempfile.mkdtemp())
    yield made
    made.chmod(0o755)
    shutil.rmtree(made)


def barred(folder: Path, look: Callable[[], None]) -> int:
    """The exit code of `look`, 0 when it raised nothing, done by who may only read the folder."""
    for path in folder.iterdir():
        path.chmod(0o444)
    folder.chmod(0o555)
    child = os.fork()
    if child == 0:
        code = 1
        try:
            if os.getuid() == 0:
                os.setgid(NOBODY)
                os.setuid(NOBODY)
            look()
            code = 0
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


@pytest.mark.parametrize("logged", [False, True])
def test_what_cannot_be_written_can_be_read(folder: Path, logged: bool) -> None:
    catalog = Catalog(folder / "catalog.db")
    catalog.set_meta("known", "yes")

    def look() -> None:
        seen = Catalog(folder / "catalog.db")
        assert seen.read_only
        assert seen.meta("known") == "yes"
        assert seen.check() == []
        with pytest.raises(Unavailable, match="cannot be written"):
            seen.set_meta("known", "no")
        with pytest.raises(Unavailable), seen.transaction():
            pass
        seen.close()

    if logged:  # another process writes: its log holds what the file does not yet
        assert (folder / "catalog.db-wal").stat().st_size
        assert barred(folder, look) == 0
        catalog.close()
    else:
        catalog.close()
        assert barred(folder, look) == 0


def test_a_folder_without_a_catalog_is_no_store_to_be_read(folder: Path) -> None:
    def look() -> None:
        with pytest.raises(Unavailable, match="unable to open"):
            Catalog(folder / "catalog.db")

    assert barred(folder, look) == 0
