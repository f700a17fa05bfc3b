"""Locks between real processes: the second is refused by name or waits, and a dead holder holds nothing.

Mutations caught: locks: LOCK_NB always or never; LOCK_SH for both kinds; the holder's text not written, or written
before the lock is held; a killed process still named; `/` and `@` in one file; the descriptor not closed.
"""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from select import select

import pytest

from tillage.core.errors import Locked
from tillage.store.locks import hold

SOURCE = Path(__file__).parents[2] / "src"
HOLDER = """
import sys
from pathlib import Path
from tillage.store.locks import hold
with hold(Path(sys.argv[1]), sys.argv[3:], wait=True, shared=sys.argv[2] == "shared"):
    print("held", flush=True)
    sys.stdin.readline()
print("released", flush=True)
"""


@contextmanager
def holding(folder: Path, *targets: str, shared: bool = False) -> Iterator[subprocess.Popen[str]]:
    """Another process that holds the targets until its input ends."""
    command = [sys.executable, "-c", HOLDER, str(folder), "shared" if shared else "alone", *targets]
    process = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env={"PYTHONPATH": str(SOURCE)}
    )
    assert process.stdout is not None
    assert process.stdin is not None
    try:
        assert select([process.stdout], [], [], 30)[0], "it waits for what should be free"
        assert process.stdout.readline() == "held\n"
        yield process
    finally:
        process.kill()
        process.communicate()


def release(process: subprocess.Popen[str]) -> None:
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write("\n")
    process.stdin.flush()
    assert process.stdout.readline() == "released\n"


def refused(folder: Path, *targets: str, shared: bool = False) -> str:
    with pytest.raises(Locked) as error, hold(folder, targets, shared=shared):
        pass
    assert error.value.exit_code == 75
    return str(error.value)


def test_the_second_is_refused_and_told_by_whom(tmp_path: Path) -> None:
    with holding(tmp_path, "notes") as process:
        message = refused(tmp_path, "clean", "notes")
        assert f"'notes' is being worked on by process {process.pid} since 2" in message
        assert "--wait" in message
        with hold(tmp_path, ["clean"]):
            pass  # what was taken before the refusal has been let go, and another target is free
        release(process)
        with hold(tmp_path, ["notes"]):
            pass


def test_a_killed_holder_leaves_nothing(tmp_path: Path) -> None:
    with holding(tmp_path, "notes") as process:
        process.kill()
        process.wait()
        with hold(tmp_path, ["notes"]):
            assert "process" in refused(tmp_path, "notes")
    with holding(tmp_path, "notes") as killed:
        killed.kill()
        killed.wait()
    with holding(tmp_path, "notes", shared=True) as alive:
        assert f"process {alive.pid} " in refused(tmp_path, "notes")


def test_nobody_who_is_dead_is_named(tmp_path: Path) -> None:
    with holding(tmp_path, "notes", shared=True) as first, holding(tmp_path, "notes", shared=True) as second:
        assert f"process {second.pid} " in refused(tmp_path, "notes")
        second.kill()
        second.wait()
        assert f"'notes' is being worked on by process {first.pid} since" in refused(tmp_path, "notes")
        assert first.poll() is None


@pytest.mark.parametrize("text", ["", "no json", "[]", "{}", '{"pid": "x"}'])
def test_what_stands_in_the_file_is_for_the_message_alone(tmp_path: Path, text: str) -> None:
    with holding(tmp_path, "notes"):
        (tmp_path / "notes.lock").write_text(text)
        assert "another process" in refused(tmp_path, "notes")
    with hold(tmp_path, ["notes"]):
        pass


def test_waiting_ends_with_the_holder(tmp_path: Path) -> None:
    got: list[float] = []

    def wait_for_it() -> None:
        with hold(tmp_path, ["notes"], wait=True):
            got.append(time.monotonic())

    with holding(tmp_path, "notes") as process:
        thread = threading.Thread(target=wait_for_it)
        thread.start()
        time.sleep(0.1)
        assert got == []
        before = time.monotonic()
        release(process)
        thread.join(10)
        assert got
        assert got[0] >= before
    with holding(tmp_path, "notes") as process:
        thread = threading.Thread(target=wait_for_it)
        thread.start()
        process.kill()
        thread.join(10)
        assert len(got) == 2


def test_those_who_share_do_not_disturb_one_another(tmp_path: Path) -> None:
    with holding(tmp_path, "store", shared=True) as process:
        with hold(tmp_path, ["store"], shared=True):
            release(process)
            refused(tmp_path, "store")
            with holding(tmp_path, "store", shared=True):
                pass
        with hold(tmp_path, ["store"]):
            refused(tmp_path, "store", shared=True)


def test_names_that_look_alike_are_two_targets(tmp_path: Path) -> None:
    names = ["a/b", "a@b", "a%2Fb", "a%b", "病人/记录"]
    with ExitStack() as stack:
        for name in names:
            stack.enter_context(hold(tmp_path, [name]))
        for name in names:
            refused(tmp_path, name)
    assert all(p.parent == tmp_path for p in tmp_path.rglob("*"))
    with hold(tmp_path, [*names, *names]):
        pass


def test_two_who_want_the_same_in_another_order_do_not_block_one_another(tmp_path: Path) -> None:
    done: list[str] = []

    def both(first: str, second: str) -> None:
        for _ in range(30):
            with hold(tmp_path, [first, second], wait=True):
                done.append(first)

    threads = [threading.Thread(target=both, args=pair) for pair in (("a", "b"), ("b", "a"))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert len(done) == 60


def test_of_several_that_share_a_lock_those_that_live_are_named(tmp_path: Path) -> None:
    with holding(tmp_path, "store", shared=True) as first:
        with holding(tmp_path, "store", shared=True) as second:
            message = refused(tmp_path, "store")
            assert f"process {first.pid} since" in message
            assert f"process {second.pid} since" in message
            release(second)
            assert str(second.pid) not in refused(tmp_path, "store"), "who has left is not named"
        with holding(tmp_path, "store", shared=True) as third:
            third.kill()
            third.wait()
        message = refused(tmp_path, "store")
        assert f"by process {first.pid} since" in message, "one that came later and was killed hides nobody"
        assert str(third.pid) not in message
