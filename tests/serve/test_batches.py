"""What waits is answered together, what fails takes nobody with it, what would wait too long is refused."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from threading import Event, current_thread
from typing import Any

import pytest

from tillage.flow.score import Answers
from tillage.serve import batches as module
from tillage.serve.batches import Batches
from tillage.serve.bodies import Columns
from tillage.serve.refusal import Refused


class Model:
    """Answers each request with its own first value; notes what came together."""

    def __init__(self, seconds: float, gate: Event | None = None, seconds_a_row: float = 0.0) -> None:
        self.seconds, self.gate, self.seconds_a_row = seconds, gate, seconds_a_row
        self.seen: list[list[int]] = []
        self.threads: list[str] = []

    def answer(self, requests: Sequence[Columns], rows: Sequence[int]) -> list[Answers]:
        if self.gate is not None:
            assert self.gate.wait(10)
        self.seen.append([r["a"][0] for r in requests])
        self.threads.append(current_thread().name.partition("_")[0])
        if any(r["a"][0] < 0 for r in requests):
            raise ValueError("negative")
        return [Answers([r["a"][0]], None, [None]) for r in requests]


async def gathered(batches: Batches, asked: Sequence[tuple[Any, int]]) -> list[Any]:
    calls = [batches.answer(model, {"a": [n]}, 1) for model, n in asked]
    return list(await asyncio.gather(*calls, return_exceptions=True))


@pytest.mark.parametrize("seconds", [0.0, 1.0])
def test_requests_of_one_turn_are_answered_together(seconds: float) -> None:
    async def run() -> None:
        batches, model = Batches(), Model(seconds)
        found = await gathered(batches, [(model, n) for n in range(20)])
        assert [f.predictions for f in found] == [[n] for n in range(20)]
        assert model.seen == [list(range(20))]
        batches.close()

    asyncio.run(run())


@pytest.mark.parametrize("seconds", [0.0, 1.0])
def test_one_that_fails_takes_nobody_with_it(seconds: float) -> None:
    async def run() -> None:
        batches, model = Batches(), Model(seconds)
        found = await gathered(batches, [(model, n) for n in (1, -1, 2)])
        assert isinstance(found[1], ValueError)
        assert [f.predictions for f in (found[0], found[2])] == [[1], [2]]
        assert batches.waiting == 0
        batches.close()

    asyncio.run(run())


def test_each_request_is_answered_by_the_version_that_read_it() -> None:
    async def run() -> None:
        batches, old, new = Batches(), Model(0.0), Model(0.0)
        await gathered(batches, [(old, 1), (new, 2), (new, 3), (old, 4)])
        assert (old.seen, new.seen) == ([[1], [4]], [[2, 3]])
        batches.close()

    asyncio.run(run())


def test_over_capacity_is_503_and_so_is_what_waited_too_long(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PATIENCE", 0.2)

    async def run() -> None:
        gate = Event()
        batches, model = Batches(), Model(1.0, gate)
        first = asyncio.create_task(batches.answer(model, {"a": [0]}, 1))  # type: ignore[arg-type]
        await asyncio.sleep(0.05)
        waiting = [asyncio.create_task(batches.answer(model, {"a": [n]}, 1)) for n in range(module.MOST_WAITING)]  # type: ignore[arg-type]
        await asyncio.sleep(0)
        with pytest.raises(Refused) as refused:
            await batches.answer(model, {"a": [999]}, 1)  # type: ignore[arg-type]
        assert (refused.value.status, refused.value.retry_after) == (503, 1)
        await asyncio.sleep(0.3)  # the event loop is free while the model works
        gate.set()
        assert (await first).predictions == [0]
        late = await asyncio.gather(*waiting, return_exceptions=True)
        assert {getattr(e, "status", None) for e in late} == {503}
        assert (await batches.answer(model, {"a": [5]}, 1)).predictions == [5]  # type: ignore[arg-type]
        batches.close()

    asyncio.run(run())


def test_what_waits_is_refused_in_time_though_the_batch_before_it_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PATIENCE", 0.2)

    async def run() -> None:
        gate = Event()
        batches, model = Batches(), Model(1.0, gate)
        first = asyncio.create_task(batches.answer(model, {"a": [0]}, 1))  # type: ignore[arg-type]
        await asyncio.sleep(0.05)
        for _ in range(2):
            began = time.monotonic()
            with pytest.raises(Refused) as refused:
                await asyncio.wait_for(batches.answer(model, {"a": [1]}, 1), 5)  # type: ignore[arg-type]
            assert (refused.value.status, refused.value.retry_after) == (503, 1)
            assert 0.15 < time.monotonic() - began < 2
        assert batches.waiting == 0
        gate.set()
        assert (await first).predictions == [0]
        assert batches.close()

    asyncio.run(run())


def test_who_waited_for_nobody_is_answered_however_long_the_machine_stood_still(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "PATIENCE", 0.05)

    async def run() -> None:
        batches, gate = Batches(), Event()
        quick, slow = Model(0.0), Model(1.0, gate)
        calls = [asyncio.create_task(batches.answer(quick, {"a": [n]}, 1)) for n in range(3)]  # type: ignore[arg-type]
        await asyncio.sleep(0)  # all of them wait for the next turn
        time.sleep(0.1)  # which does not come: the process is not given a processor
        assert [f.predictions for f in await asyncio.gather(*calls)] == [[0], [1], [2]]
        first = asyncio.create_task(batches.answer(slow, {"a": [0]}, 1))  # type: ignore[arg-type]
        await asyncio.sleep(0.01)
        late = asyncio.create_task(batches.answer(slow, {"a": [1]}, 1))  # type: ignore[arg-type]
        await asyncio.sleep(0)
        time.sleep(0.1)
        gate.set()
        assert (await first).predictions == [0]
        with pytest.raises(Refused) as refused:  # it waited for the one before it
            await late
        assert refused.value.status == 503
        batches.close()

    asyncio.run(run())


def test_who_was_passed_over_for_a_batch_has_waited(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PATIENCE", 0.05)

    async def run() -> None:
        batches = Batches()
        old, new = Model(0.0), Model(0.0)
        answer = old.answer

        def slowly(requests: Sequence[Columns], rows: Sequence[int]) -> list[Answers]:
            time.sleep(0.1)
            return answer(requests, rows)

        monkeypatch.setattr(old, "answer", slowly)
        found = await gathered(batches, [(old, 1), (new, 2)])
        assert found[0].predictions == [1]
        assert getattr(found[1], "status", None) == 503
        batches.close()

    asyncio.run(run())


def test_the_end_does_not_wait_for_a_batch_without_end() -> None:
    async def run() -> None:
        gate = Event()
        batches, model = Batches(), Model(1.0, gate)
        call = asyncio.create_task(batches.answer(model, {"a": [0]}, 1))  # type: ignore[arg-type]
        await asyncio.sleep(0.05)
        began = time.monotonic()
        assert not batches.close()
        assert time.monotonic() - began < 2
        gate.set()
        await call

    asyncio.run(run())


def test_a_request_that_was_given_up_is_passed_over() -> None:
    async def run() -> None:
        gate = Event()
        batches, model = Batches(), Model(1.0, gate)
        calls = [asyncio.create_task(batches.answer(model, {"a": [n]}, 1)) for n in range(2)]  # type: ignore[arg-type]
        await asyncio.sleep(0.05)
        third = asyncio.create_task(batches.answer(model, {"a": [2]}, 1))  # type: ignore[arg-type]
        await asyncio.sleep(0)
        for call in (calls[0], third):
            call.cancel()
        gate.set()
        assert (await calls[1]).predictions == [1]
        assert (await batches.answer(model, {"a": [3]}, 1)).predictions == [3]  # type: ignore[arg-type]
        assert model.seen == [[0, 1], [3]]
        batches.close()

    began = time.monotonic()
    asyncio.run(run())
    assert time.monotonic() - began < 10


def test_a_model_that_takes_its_time_for_each_row_gets_texts_of_like_length_and_no_more_than_a_span() -> None:
    async def run() -> None:
        batches, model = Batches(), Model(0.01, seconds_a_row=module.SPAN / 4)
        lengths = [3, 300, 2, 310, 3, 2, 400, 2, 3, 260]
        calls = [
            batches.answer(model, {"a": [n], "text": ["x" * length]}, 1)  # type: ignore[arg-type]
            for n, length in enumerate(lengths)
        ]
        found = await asyncio.gather(*calls)
        assert [f.predictions for f in found] == [[n] for n in range(10)]
        assert sorted(n for batch in model.seen for n in batch) == list(range(10))
        for batch in model.seen:
            assert len(batch) <= 4
            assert len({lengths[n] < 200 for n in batch}) == 1, "short ones do not wait for long ones"
        assert model.seen[0] == [0, 2, 4, 5], "the oldest first, and those like it in their order"
        assert batches.waiting == 0
        batches.close()

    asyncio.run(run())


def test_the_oldest_is_never_passed_by() -> None:
    async def run() -> None:
        batches, model = Batches(), Model(0.01, seconds_a_row=module.SPAN / 2)
        long = asyncio.create_task(batches.answer(model, {"a": [0], "text": ["x" * 900]}, 1))  # type: ignore[arg-type]
        short = [
            asyncio.create_task(batches.answer(model, {"a": [n], "text": ["x"]}, 1))  # type: ignore[arg-type]
            for n in range(1, 40)
        ]
        await asyncio.gather(long, *short)
        assert 0 in model.seen[0]
        batches.close()

    asyncio.run(run())


def test_a_second_thread_helps_where_more_waits_than_a_batch_may_take() -> None:
    async def run(seconds_a_row: float) -> int:
        gate = Event()
        batches, model = Batches(), Model(0.01, gate, seconds_a_row)
        calls = [asyncio.create_task(batches.answer(model, {"a": [n]}, 1)) for n in range(12)]  # type: ignore[arg-type]
        await asyncio.sleep(0.1)
        waiting = batches.waiting
        gate.set()
        assert [f.predictions for f in await asyncio.gather(*calls)] == [[n] for n in range(12)]
        batches.close()
        return waiting

    assert asyncio.run(run(module.SPAN / 4)) == 12 - 2 * 4
    assert asyncio.run(run(module.A_ROW)) == 0, "one batch takes all of it"


def test_a_quick_model_answers_few_rows_at_once_and_many_in_a_thread() -> None:
    async def run() -> None:
        batches, model = Batches(), Model(0.0)
        await batches.answer(model, {"a": [1]}, module.FEW)  # type: ignore[arg-type]
        await batches.answer(model, {"a": [2]}, module.FEW + 1)  # type: ignore[arg-type]
        assert model.threads == ["MainThread", "answers"]
        batches.close()

    asyncio.run(run())


def test_several_wait_for_those_that_the_next_turns_bring_and_one_alone_for_none() -> None:
    async def later(batches: Batches, model: Model, turns: int, n: int) -> None:
        for _ in range(turns):
            await asyncio.sleep(0)
        await batches.answer(model, {"a": [n]}, 1)  # type: ignore[arg-type]

    async def run(came: Sequence[int]) -> list[list[int]]:
        batches, model = Batches(), Model(0.0)
        await asyncio.gather(*(later(batches, model, turns, n) for n, turns in enumerate(came)))
        assert batches.close()
        return model.seen

    assert asyncio.run(run([0, 0, 1, 2, 3])) == [[0, 1, 2, 3, 4]]
    assert asyncio.run(run([0, 1, 2]))[0] == [0], "who comes alone is answered in the next turn"
    assert asyncio.run(run([0, 0, 9]))[0] == [0, 1], "a turn that brings none ends it"


def test_company_is_waited_for_no_longer_than_a_moment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "GATHERING", 0.0)

    async def run() -> None:
        batches, model = Batches(), Model(0.0)
        await gathered(batches, [(model, n) for n in range(3)])
        assert model.seen == [[0, 1, 2]]
        assert not batches._gathers()

    asyncio.run(run())
