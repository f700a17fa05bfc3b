"""What reaches the terminal: plain lines elsewhere, folded tables and colours there, and no commands of the user's."""

from __future__ import annotations

import fcntl
import json
import os
import pty
import re
import struct
import subprocess
import sys
import termios
from pathlib import Path

import pytest

from tillage.face.screen import Screen, aligned, cell, printable
from tillage.face.watching import Watching, said
from tillage.face.whole_file import replacing
from tillage.flow.progress import Progress

SRC = Path(__file__).parents[2] / "src"


@pytest.mark.parametrize("text", ["\x1b[2J", "a\rb", "\x07", "\x9b1m", "\u202egpj.exe", "\u2028", "\x00"])
def test_no_text_of_the_user_commands_the_terminal(text: str, capsys: pytest.CaptureFixture[str]) -> None:
    screen = Screen()
    screen.line(text)
    screen.say(text)
    screen.table([text], [[text]])
    out, err = capsys.readouterr()
    assert not set(text) & set("\x1b\r\x07\x9b\u202e\u2028\x00") & set(out + err)
    assert "\\" in out
    assert "\\" in err


def test_what_is_printable_stays() -> None:
    for text in ("中文", "é", "a b", "👍", "[bold]x[/bold]", "\u200d"):
        assert printable(text) == text
    assert printable("a\nb") == "a\\nb"
    assert printable("a\nb", keep="\n") == "a\nb"


def test_markup_is_text(capsys: pytest.CaptureFixture[str]) -> None:
    Screen().table(["[red]a[/red]"], [["[b]x[/b]"], [":smile:"]])
    assert capsys.readouterr().out == "[red]a[/red]\n[b]x[/b]\n:smile:\n"


def test_off_a_terminal_nothing_is_folded_or_padded(capsys: pytest.CaptureFixture[str]) -> None:
    Screen().table(["a", "b"], [["x" * 150, "y"], ["z", ""]])
    assert capsys.readouterr().out.splitlines() == ["a".ljust(150) + "  b", "x" * 150 + "  y", "z"]


def test_columns_line_up_with_wide_characters() -> None:
    assert aligned(["", ""], [["中文", "1"], ["abcd", "22"]], right=(1,)) == ["中文   1", "abcd  22"]
    assert aligned(["a"], []) == ["a"]
    assert aligned([""], []) == []


def test_long_cells_are_cut_and_say_so() -> None:
    assert cell("x" * 500) == "x" * 199 + "…"


def test_json_mode_prints_the_object_alone(capsys: pytest.CaptureFixture[str]) -> None:
    screen = Screen(as_json=True)
    screen.line("for people")
    screen.table(["a"], [["b"]])
    screen.result({"名": "值", "n": float("nan"), "deep": [{"inf": float("-inf")}]})
    screen.say("beside")
    out, err = capsys.readouterr()
    assert json.loads(out) == {"名": "值", "n": None, "deep": [{"inf": None}]}
    assert out.count("\n") == 1
    assert err == "beside\n"


CODE = """
from tillage.face.screen import Screen
screen = Screen()
screen.line("红 line", style="bold red")
screen.table(["name", "value"], [["n" * 30, "中" * 40]])
"""


def on_terminal(columns: int, **environment: str) -> str:
    """What a terminal of that width would get."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 40, columns, 0, 0))
    base = {k: v for k, v in os.environ.items() if k not in ("NO_COLOR", "COLUMNS", "FORCE_COLOR")}
    base |= {"PYTHONPATH": str(SRC), "TERM": "xterm-256color", "PYTHONUTF8": "1", **environment}
    with subprocess.Popen(
        [sys.executable, "-c", CODE], stdout=theirs, stderr=theirs, stdin=theirs, env=base
    ) as process:
        os.close(theirs)
        parts = []
        while True:
            try:
                part = os.read(ours, 65536)
            except OSError:
                break
            if not part:
                break
            parts.append(part)
        assert process.wait() == 0
    os.close(ours)
    return b"".join(parts).decode()


def test_a_narrow_terminal_folds_cells() -> None:
    lines = re.sub(r"\x1b\[[0-9;]*m|\r", "", on_terminal(40)).splitlines()
    assert max(sum(2 if ord(c) > 0x2E80 else 1 for c in line) for line in lines) <= 40
    assert sum(line.count("中") for line in lines) == 40, "folded, not cut"
    assert sum(line.count("n") for line in lines[2:]) == 30


def test_colours_follow_the_terminal_and_no_color() -> None:
    assert "\x1b[1;31m红 line" in on_terminal(80)
    assert "\x1b[31" not in on_terminal(80, NO_COLOR="1")
    assert "\x1b" not in on_terminal(80, TERM="dumb")


# ---- progress


def test_progress_off_a_terminal_is_a_line_now_and_then(capsys: pytest.CaptureFixture[str]) -> None:
    with Watching(every=0) as watching:
        watching.listen(Progress("clean", 1000, 250, started=0))
    assert capsys.readouterr().err.startswith("clean: 250 of 1,000 rows, ")
    with Watching(every=1e9) as watching:
        watching.listen(Progress("clean", 1000, 250))
    assert capsys.readouterr().err == ""


def test_progress_has_rate_and_time_left(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("time.monotonic", lambda: 10.0)
    assert said(Progress("t", 1000, 500, started=5.0)) == "500 of 1,000 rows, 100 a second, 5 s left"
    assert said(Progress("t", 1000, 1000, started=5.0)) == "1,000 of 1,000 rows, 200 a second"
    assert said(Progress("t", 1000, 0, started=5.0)) == "0 of 1,000 rows, 0 a second"


# ---- files that are there whole or not at all


def test_a_failed_write_leaves_the_former_file(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_text("before")

    def broken() -> None:
        with replacing(path) as temporary:
            temporary.write_text("half")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        broken()
    assert path.read_text() == "before"
    assert [p.name for p in tmp_path.iterdir()] == ["a"]
