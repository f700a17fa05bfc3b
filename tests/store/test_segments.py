"""The log: what was said to be durable is there, a torn end is cut off, a full disk is told and hides nothing."""

from __future__ import annotations

import errno
import os
import time
from pathlib import Path

import pytest

from tillage.core.errors import Unavailable
from tillage.store.segments import Log, records, segments


def held(folder: Path) -> list[bytes]:
    return [record for _, path in segments(folder) for record in records(path)]


def test_a_promise_is_kept_at_once_and_the_rest_within_the_delay(tmp_path: Path) -> None:
    log = Log(tmp_path, delay=0.4)
    log.append(b"later")
    assert held(tmp_path) == []
    time.sleep(1)
    assert held(tmp_path) == [b"later"]
    log.append_durably(b"now").result(5)
    assert held(tmp_path) == [b"later", b"now"]
    log.close()


def test_a_full_group_does_not_wait(tmp_path: Path) -> None:
    log = Log(tmp_path, delay=60, group=8)
    for n in range(8):
        log.append(b"%d" % n)
    end = time.monotonic() + 10
    while len(held(tmp_path)) < 8:
        assert time.monotonic() < end
        time.sleep(0.01)
    log.close()


def test_every_fsync_is_made_before_a_promise_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[int] = []
    real = os.fsync
    log = Log(tmp_path)

    def noted(fd: int) -> None:
        real(fd)
        synced.append(os.fstat(fd).st_size)

    monkeypatch.setattr(os, "fsync", noted)
    log.append_durably(b"abc").result(5)
    assert synced == [11]  # a head of 8 bytes, 3 bytes
    log.close()


@pytest.mark.parametrize("cut", range(1, 14))
def test_a_torn_end_is_cut_off(tmp_path: Path, cut: int) -> None:
    log = Log(tmp_path)
    log.append_durably(b"first").result(5)
    log.append_durably(b"second").result(5)
    log.close()
    [(_, path)] = segments(tmp_path)
    path.write_bytes(path.read_bytes()[:-cut])
    assert held(tmp_path) == [b"first"]


def test_a_flipped_bit_is_seen(tmp_path: Path) -> None:
    log = Log(tmp_path)
    log.append_durably(b"first").result(5)
    log.append_durably(b"second").result(5)
    log.close()
    [(_, path)] = segments(tmp_path)
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    assert held(tmp_path) == [b"first"]


def test_segments_follow_each_other(tmp_path: Path) -> None:
    log = Log(tmp_path)
    log.append(b"a")
    assert log.roll() == 1
    log.append(b"b")
    log.close()
    assert [(n, list(records(p))) for n, p in segments(tmp_path)] == [(1, [b"a"]), (2, [b"b"])]
    again = Log(tmp_path, first=2)
    assert again.number == 3
    again.close()
    assert Log(tmp_path, first=9).number == 9


@pytest.mark.parametrize("failing", ["write", "fsync"])
def test_a_full_disk_is_told_and_leaves_no_half_record(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failing: str
) -> None:
    log = Log(tmp_path)
    log.append_durably(b"before").result(5)
    real_write = os.write

    def refuse(fd: int, *data: memoryview) -> int:
        if data:
            real_write(fd, data[0][:3])
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, failing, refuse)
        with pytest.raises(Unavailable, match="No space left"):
            log.append_durably(b"lost").result(5)
    assert log.lost == 1
    log.append_durably(b"after").result(5)
    assert held(tmp_path) == [b"before", b"after"]
    log.close()


def test_what_a_full_disk_refused_is_written_once_there_is_room(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    beside = [b"beside 1"]
    log = Log(tmp_path, delay=0.01, before=lambda: [beside.pop()] if beside else [])
    log.append_durably(b"first").result(5)
    beside.append(b"beside 2")

    def refuse(fd: int, data: memoryview) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "write", refuse)
        for n in range(3):
            log.append(b"waits %d" % n)
            with pytest.raises(Unavailable, match="No space left"):
                log.append_durably(b"promised").result(5)
        assert (log.unlogged, log.lost) == (7, 3), "three that wait, with what stands beside them"
    log.append_durably(b"last").result(5)
    assert held(tmp_path) == [b"beside 1", b"first", b"beside 2", b"waits 0", b"waits 1", b"waits 2", b"last"]
    assert (log.unlogged, log.lost) == (3, 3)
    log.close()
    assert [record.getMessage() for record in caplog.records] == [
        f"The log in {tmp_path} cannot be written: No space left on device. Free space or mend the disk. "
        "What is not promised waits."
    ]


def test_of_what_waits_the_oldest_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tillage.store.segments.MOST_WAITING", 10)
    log = Log(tmp_path, delay=60)

    def refuse(fd: int) -> None:
        raise OSError(errno.EIO, "Input/output error")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", refuse)
        for record in (b"1234", b"567", b"89", b"abcde"):
            log.append(record)
            with pytest.raises(Unavailable):
                log.append_durably(b"").result(5)
    assert log.lost == 1
    log.close()
    assert held(tmp_path) == [b"567", b"89", b"abcde"], "ten bytes"
    assert log.unlogged == 1


def test_what_still_waits_at_the_end_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse(fd: int, data: memoryview) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    log = Log(tmp_path, delay=60)
    log.append(b"one")
    log.append(b"two")
    monkeypatch.setattr(os, "write", refuse)
    log.close()
    assert (log.lost, log.unlogged) == (2, 2)
    assert caplog.records[-1].getMessage() == f"2 records of the log in {tmp_path} could not be written."
