"""One project and one server for the tests that change neither."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.serve.running import Server, lay


@pytest.fixture(scope="session")
def project_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return lay(tmp_path_factory.mktemp("served"), "factor: 2, fails_at: 1300")


@pytest.fixture(scope="session")
def server(project_folder: Path) -> Iterator[Server]:
    with Server(project_folder) as running:
        yield running
