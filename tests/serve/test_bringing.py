"""The log is brought into the table by a process of its own, and nothing is lost wherever that dies."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from tests.serve.running import Server, lay
from tests.serve.test_predictions import predict
from tillage.flow.prediction_table import bring, read_predictions, rolled
from tillage.serve import bringing as module
from tillage.serve import predictions
from tillage.serve.bringing import Bringing
from tillage.serve.predictions import PredictionLog
from tillage.store import Store
from tillage.store.locks import hold
from tillage.store.segments import FOLDER, STAGE, segments


@pytest.fixture
def store(tmp_path: Path) -> Any:
    made = Store(tmp_path / "store")
    yield made
    made.close()


def refuse(*_: Any, **__: Any) -> bool:
    raise AssertionError("it was brought by this process")


def test_another_process_brings_all_but_the_segment_that_is_written_to(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = PredictionLog(store, Bringing())
    first = predict(table, "a", "b")
    with monkeypatch.context() as patch:
        patch.setattr(module, "bring", refuse)
        assert table.roll()
        second = predict(table, "c")
        table.label([(first[0], "x")]).result(5)
        assert rolled(store) == 1
        assert [n for n, _ in segments(store.root / FOLDER)] == [2]
        with hold(store.root / "locks", ["store"]):
            assert not table.roll()  # somebody holds the store: another look, another try
        assert read_predictions(store)["id"].to_list() == [*first, *second]
        assert table.roll()
        assert rolled(store) == 3
    table.close()
    kept = read_predictions(store)
    assert kept["id"].to_list() == [*first, *second]
    assert kept["label"].to_list() == ["x", None, None]


@pytest.mark.parametrize("program", ["/bin/false", "/nowhere/python"])
def test_where_no_process_can_be_had_it_is_done_here(
    store: Store, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, program: str
) -> None:
    monkeypatch.setattr(sys, "executable", program)
    table = PredictionLog(store, Bringing())
    names = predict(table, "a")
    assert table.roll()
    assert rolled(store) == 1
    assert "process" in caplog.text
    table.close()
    assert read_predictions(store)["id"].to_list() == names


def test_what_a_process_says_of_its_failure_is_told(
    store: Store, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("TILLAGE_KEY", "no key")
    assert Bringing()(store)  # this process has opened the store already
    said = capfd.readouterr().err
    assert "TILLAGE_KEY" in said
    assert "Traceback" not in said


def test_no_file_is_left_open(store: Store) -> None:
    there = Path("/proc/self/fd")
    bringing = Bringing()
    before = len(list(there.iterdir()))
    assert all(bringing(store) for _ in range(3))
    assert len(list(there.iterdir())) == before


def test_the_end_waits_for_none_and_loses_nothing(
    store: Store, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    slow = tmp_path / "slow"
    slow.write_text("#!/bin/sh\nexec sleep 60\n")
    slow.chmod(0o700)
    bringing, told = Bringing(), list[bool]()
    table = PredictionLog(store, bringing)
    names = predict(table, "a")
    with monkeypatch.context() as patch:
        patch.setattr(sys, "executable", str(slow))
        patch.setattr(module, "bring", refuse)
        rolling = Thread(target=lambda: told.append(table.roll()))
        rolling.start()
        time.sleep(0.3)
        bringing.end()
        rolling.join(5)
        assert told == [False]
        assert not bringing(store), "none is begun any more"
    assert rolled(store) == 0
    table.close()
    assert read_predictions(store)["id"].to_list() == names
    assert rolled(store) == 2


def test_what_is_brought_while_a_server_starts_takes_no_number_twice(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = PredictionLog(store)
    first = predict(before, "a")
    before.log.close()  # killed, and the process that it began goes on

    def looked_at_too_early(seen: Store) -> int:
        done = rolled(seen)
        assert bring(seen)
        return done

    with monkeypatch.context() as patch:
        patch.setattr(predictions, "bring", lambda _: False)  # the other process holds the store
        patch.setattr(predictions, "rolled", looked_at_too_early)
        after = PredictionLog(store)
    second = predict(after, "b")
    after.close()
    assert read_predictions(store)["id"].to_list() == [*first, *second]
    assert [v.facts["segment"] for v in store.versions(STAGE)] == [1, 2]


ELSEWHERE = """
import tillage.serve.predictions as p, tillage.flow.prediction_table as t
p.ROLL_SECONDS, own = 0.0, t._bring
def only_at_its_ends(store, but):
    if but:
        raise RuntimeError("brought by the server")
    own(store, but)
t._bring = only_at_its_ends
"""


def test_a_server_brings_its_log_elsewhere(tmp_path: Path) -> None:
    folder = lay(tmp_path)
    with Server(folder, before=ELSEWHERE) as server:
        [made] = server.predict({"size": 2.5, "text": "a"})["predictions"]
        store, end = Store(folder / ".tillage"), time.monotonic() + 20
        while rolled(store) == 0:
            assert time.monotonic() < end, server.said()
            time.sleep(0.1)
        assert store.frame(STAGE).height == 1
        store.close()
        assert server.end() == 0
        assert "brought" not in server.said()
    store = Store(folder / ".tillage")
    assert read_predictions(store)["id"].to_list() == [made["id"]]
    store.close()
