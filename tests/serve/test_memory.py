"""A budget of memory: what is beyond it does not start, and is not changed to; the version before goes on."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from tests.serve.running import Server, change, lay, tillage


def held(server: Server) -> int:
    status = Path(f"/proc/{server.process.pid}/status").read_text()
    return int(next(line for line in status.splitlines() if line.startswith("VmRSS")).split()[1]) // 1000


def test_a_version_beyond_the_budget_is_refused(tmp_path: Path) -> None:
    lay(tmp_path)
    with pytest.raises(
        AssertionError, match=r"With version 1 of 'double' the server holds .* MB, more than --memory 20"
    ):
        tillage(tmp_path, "serve", "--memory", "20")
    with Server(tmp_path) as server:
        usual = held(server)
    with Server(tmp_path, "--memory", str(usual + 60)) as server:
        change(tmp_path, "factor: 3, ballast: 100")
        end = time.monotonic() + 30
        while "version 2 does not answer" not in server.said():
            assert time.monotonic() < end, server.said()
            time.sleep(0.05)
        assert "more than --memory" in server.said()
        answer = server.predict({"size": 2.0, "text": "a"})
        assert (answer["version"], answer["predictions"][0]["prediction"]) == (1, 4.0)
        change(tmp_path, "factor: 5")
        while (answer := server.predict({"size": 2.0, "text": "a"}))["version"] != 3:
            assert time.monotonic() < end + 30
            time.sleep(0.05)
        assert answer["predictions"][0]["prediction"] == 10.0
        assert server.end() == 0
