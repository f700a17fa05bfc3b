"""The prediction table: every record once, wherever a process dies; the last label holds."""

from __future__ import annotations

import hmac
import json
from concurrent.futures import ThreadPoolExecutor
from hashlib import blake2b
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tillage.core.keys import Keyring
from tillage.flow.prediction_table import bring, read_predictions
from tillage.flow.score import Answers
from tillage.serve import predictions as module
from tillage.serve.linkage import Linkage
from tillage.serve.prediction_ids import DRAWN, Ids
from tillage.serve.predictions import PredictionLog
from tillage.store import Store
from tillage.store.locks import hold
from tillage.store.segments import STAGE, Log, segments

LOADED: Any = SimpleNamespace(
    service="desk", model_name="m", version=3, linkage=Linkage(), keep=(), redact=None, route=""
)


def predict(table: PredictionLog, *values: Any, sure: list[float | None] | None = None) -> list[str]:
    names = table.ids.new(len(values))
    given = Answers(list(values), sure, [None if v is not None else "minor" for v in values])
    table.add(LOADED, {"a": list(range(len(values)))}, given, names, 0.002)
    return names


@pytest.fixture
def store(tmp_path: Path) -> Any:
    made = Store(tmp_path / "store")
    yield made
    made.close()


def test_rows_before_and_after_the_roll_are_one_table(store: Store) -> None:
    table = PredictionLog(store)
    first = predict(table, "a", None, sure=[0.5, None])
    assert table.roll()
    second = predict(table, 2.5)
    table.label([(first[0], True)]).result(5)
    before = read_predictions(store)
    assert before["id"].to_list() == [*first, *second]
    assert before["prediction"].to_list() == ["a", None, "2.5"]
    assert before["confidence"].to_list() == [0.5, None, None]
    assert before["error"].to_list() == [None, "minor", None]
    assert before["label"].to_list() == ["true", None, None]
    assert before["latency_ms"].to_list() == [2.0] * 3
    assert before["version"].to_list() == [3] * 3
    table.close()
    assert read_predictions(store).equals(before)
    assert segments(store.root / "predictions") == []
    assert [v.version for v in store.versions(STAGE)] == [1, 2]


def test_the_last_label_holds_in_whatever_segment_it_came(store: Store) -> None:
    table = PredictionLog(store)
    [name] = predict(table, "a")
    for label in ("x", "y"):
        table.label([(name, label)]).result(5)
        table.roll()
    table.label([(name, "z"), (name, "w")]).result(5)
    assert read_predictions(store)["label"].to_list() == ["w"]
    table.close()
    assert read_predictions(store)["label"].to_list() == ["w"]


@pytest.mark.parametrize("before_commit", [True, False])
def test_a_death_within_the_roll_loses_and_doubles_nothing(
    store: Store, monkeypatch: pytest.MonkeyPatch, before_commit: bool
) -> None:
    table = PredictionLog(store)
    names = predict(table, "a", "b")
    assert isinstance(table.log, Log)
    table.log.roll()

    class Killed(BaseException):
        pass

    def die(*_: Any, **__: Any) -> None:
        raise Killed

    with monkeypatch.context() as patch:
        if before_commit:
            patch.setattr(store.catalog, "transaction", die)
        else:
            patch.setattr(Path, "unlink", die)
        with pytest.raises(Killed):
            bring(store, but=table.log.number)
    assert len(segments(store.root / "predictions")) == 2
    assert read_predictions(store)["id"].to_list() == names
    table.log.close()
    again = PredictionLog(store)
    more = predict(again, "c")
    again.close()
    assert read_predictions(store)["id"].to_list() == [*names, *more]


def test_a_held_store_waits_and_loses_nothing(store: Store) -> None:
    table = PredictionLog(store)
    names = predict(table, "a")
    with hold(store.root / "locks", ["store"]):
        assert not table.roll()
    assert read_predictions(store)["id"].to_list() == names
    assert table.roll()
    assert read_predictions(store)["id"].to_list() == names
    table.close()


def test_it_is_rolled_by_size_and_by_age(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    table = PredictionLog(store)
    assert not table.tend()
    predict(table, "a")
    table.label([(table.ids.new(1)[0], 1)]).result(5)
    assert not table.tend()
    monkeypatch.setattr(module, "ROLL_BYTES", 10)
    assert table.tend()
    monkeypatch.setattr(module, "ROLL_BYTES", 1 << 30)
    predict(table, "b")
    table.label([(table.ids.new(1)[0], 1)]).result(5)
    monkeypatch.setattr(module, "ROLL_SECONDS", 0.0)
    assert table.tend()
    table.close()
    assert read_predictions(store)["prediction"].to_list() == ["a", "b"]


def test_an_id_is_of_its_project_alone(store: Store, tmp_path: Path) -> None:
    other = Store(tmp_path / "other")
    mine, theirs = Ids(store.keys), Ids(other.keys)
    name = mine.new(1)[0]
    assert mine.given(name)
    assert not theirs.given(name)
    assert not mine.given(name.upper())
    assert not mine.given(name[:-1])
    assert not mine.given(f"{name[:16]}{'0' * 8}{name[24:]}")
    digests = {ids.digest({"a": [1]}, 0) for ids in (mine, theirs)}
    assert len(digests) == 2
    assert mine.digest({"a": [None]}, 0) != mine.digest({"a": ["None"]}, 0)
    other.close()


def test_no_chance_is_drawn_twice(store: Store) -> None:
    ids = Ids(store.keys)
    with ThreadPoolExecutor(4) as pool:
        names = list(pool.map(lambda _: ids.new(1)[0], range(5 * DRAWN)))
    assert len({name[:16] for name in names}) == 5 * DRAWN
    assert all(map(ids.given, names))


@given(st.lists(st.none() | st.text() | st.integers() | st.floats() | st.binary(), min_size=1))
def test_an_input_is_known_by_the_json_list_of_its_texts(row: list[Any]) -> None:
    keys = Keyring("00" * 32)
    key = hmac.digest(keys.subkey("pseudonym"), b"\0predictions", "sha256")
    texts = json.dumps([None if value is None else str(value) for value in row]).encode()
    known = blake2b(texts, digest_size=16, key=key, person=b"input").hexdigest()
    assert Ids(keys).digest({str(at): [0, value] for at, value in enumerate(row)}, 1) == known
