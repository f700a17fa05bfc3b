"""How commands fail: each exit code, one object on standard output, and no traceback unless it is asked for."""

from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tillage.face import failure
from tillage.store.locks import hold

Tell = Callable[..., tuple[int, str, str]]
Ask = Callable[..., dict[str, Any]]
SRC = Path(__file__).parents[2] / "src"


def started(*words: str, cwd: Path, **more: Any) -> subprocess.Popen[bytes]:
    environment = {**os.environ, "PYTHONPATH": str(SRC), "PYTHONUTF8": "1", **more.pop("env", {})}
    command = [sys.executable, "-m", "tillage.face.main", *words]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **more}
    return subprocess.Popen(command, cwd=cwd, env=environment, **pipes)


@pytest.mark.parametrize(
    "words",
    [
        ("rnu",),
        ("run", "--nix"),
        ("run", "notse"),
        ("run", "--refit", "nothing"),
        ("show", "--version", "1"),
        ("score",),
    ],
)
def test_2_usage(garden: Path, ask: Ask, tell: Tell, words: tuple[str, ...]) -> None:
    value = ask(*words)
    assert (value["_code"], value["exit_code"], value["error"]) == (2, 2, "UsageError")
    code, out, err = tell(*words)
    assert (code, out) == (2, "")
    assert value["message"] in err
    assert "Traceback" not in err


def test_a_wrong_name_comes_with_the_nearest(garden: Path, ask: Ask) -> None:
    assert "Did you mean 'notes'?" in ask("run", "notse")["message"]
    assert "Did you mean 'run'?" in ask("rnu")["message"]


def test_66_without_a_plan_or_a_run(tmp_path: Path, ask: Ask, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert ask("run")["_code"] == 66
    (tmp_path / "tillage.yaml").write_text("tables:\n  a: {collect: {files: a.csv}}\n")
    for words in (("show",), ("show", "a"), ("verify",), ("gc",), ("trace", "a"), ("replay", "a")):
        value = ask(*words)
        assert value["_code"] == 66, words
        assert "tillage run" in value["fix"]
    assert not (tmp_path / ".tillage").exists()
    (tmp_path / "a.csv").write_text("x\n1\n")
    ask("plan")
    assert "tillage run" in ask("show")["fix"]


def test_10_failed_expectations_with_the_checks(garden: Path, ask: Ask, tell: Tell) -> None:
    (garden / "data/more.csv").write_text("id,text,topic\n1001,a note without topic,\n")
    value = ask("run")
    assert (value["_code"], value["schema"]) == (10, "tillage.run/1")
    assert [(c["table"], c["passed"]) for c in value["checks"]] == [("clean", False)]
    assert value["failed"] == ["clean"]
    assert value["tables"]["notes"]["version"] == 2
    assert value["tables"]["clean"]["version"] == 1, "what failed is not published"
    code, out, err = tell("run")
    assert code == 10
    assert "FAILED  clean: topic not_null." in out
    assert "clean" in err
    assert "Nothing to do" not in out


def test_65_more_bad_records_than_the_limit(garden: Path, ask: Ask, tell: Tell) -> None:
    (garden / "data/more.csv").write_text("id,text,topic\n" + "broken\n" * 20)
    value = ask("run")
    assert (value["_code"], value["schema"]) == (65, "tillage.run/1")
    assert value["error"]["error"] == "BadData"
    assert value["error"]["exit_code"] == 65
    assert value["tables"]["notes"]["rows"] == 272, "the last version stays"
    assert value["tables"]["notes"]["touched"] == 20, "what was read was read, though it was refused"
    code, out, err = tell("run")
    assert code == 65
    assert out.startswith("notes ")
    assert "more than the limit" in err


def test_a_first_run_that_is_refused_speaks_of_no_last_version(tmp_path: Path, ask: Ask, tell: Tell) -> None:
    (tmp_path / "a.csv").write_text("id,x\n1,\n")
    plan = "tables:\n  a: {collect: {files: a.csv}, key: id, expect: [{column: x, not_null: true}]}\n"
    (tmp_path / "tillage.yaml").write_text(plan)
    code, _, err = tell("run", "--plan", tmp_path)
    assert code == 10
    assert "Not published" in err
    assert "last version" not in err
    (tmp_path / "a.csv").write_text("id,x\n1,2\n" + "broken\n" * 20)
    (tmp_path / "tillage.yaml").write_text(plan.replace("  a:", "  b:"))
    code, _, err = tell("run", "--plan", tmp_path)
    assert code == 65
    assert "There is no version of it yet." in err


def test_65_a_lowered_limit_is_judged_though_no_file_changed(garden: Path, ask: Ask) -> None:
    (garden / "data/more.csv").write_text("id,text,topic\n" + "broken\n" * 20)
    plan = (garden / "tillage.yaml").read_text("utf-8")
    (garden / "tillage.yaml").write_text(plan.replace("key: id}", "key: id, max_quarantine: 0.5}"), "utf-8")
    assert ask("run")["_code"] == 0
    for limit, code in ((0.3, 0), (0.02, 65), (0.02, 65), (0.5, 0)):
        changed = plan.replace("key: id}", f"key: id, max_quarantine: {limit}}}")
        (garden / "tillage.yaml").write_text(changed, "utf-8")
        assert ask("run")["_code"] == code, limit


def test_75_locked_names_the_holder(garden: Path, ask: Ask) -> None:
    with hold(garden / ".tillage/locks", ["notes"]):
        value = ask("run")
    assert (value["_code"], value["error"]) == (75, "Locked")
    assert str(os.getpid()) in value["message"]
    with hold(garden / ".tillage/locks", ["store"], shared=True):
        assert ask("gc")["_code"] == 75
    assert ask("run")["_code"] == 0


def test_77_a_key_that_others_can_read(garden: Path, ask: Ask) -> None:
    (garden / ".tillage/key").chmod(0o644)
    value = ask("show")
    assert (value["_code"], value["error"]) == (77, "Denied")


def test_77_a_link_that_leads_out_of_the_folder(
    garden: Path, tmp_path_factory: pytest.TempPathFactory, ask: Ask
) -> None:
    outside = tmp_path_factory.mktemp("outside") / "secret.csv"
    outside.write_text("id,text,topic\n1,a,b\n")
    (garden / "data" / "link.csv").symlink_to(outside)
    for words in (("check",), ("plan",)):
        assert (ask(*words)["_code"], ask(*words)["error"]) == (77, "Denied"), words
    value = ask("run")  # which makes the other tables
    assert (value["_code"], value["error"]["error"]) == (77, "Denied")


def test_1_a_mistake_of_ours_is_short_and_says_what_to_report(
    garden: Path, ask: Ask, tell: Tell, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object, **__: object) -> None:
        raise RuntimeError("no such luck")

    monkeypatch.setattr("tillage.flow.run.Project.summary", broken)
    value = ask("show")
    assert (value["_code"], value["error"]) == (1, "RuntimeError")
    code, out, err = tell("show")
    assert (code, out) == (1, "")
    assert "no such luck" in err
    assert "report" in err
    assert "Traceback" not in err
    assert len(err.splitlines()) <= 3
    monkeypatch.setenv("TILLAGE_DEBUG", "1")
    assert "Traceback" in tell("show")[2]


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (OSError(errno.ENOSPC, "No space left on device", "/x"), 69),
        (PermissionError(errno.EACCES, "Permission denied", "/x"), 77),
        (OSError(errno.EROFS, "Read-only file system", "/x"), 77),
        (MemoryError(), 69),
        (KeyboardInterrupt(), 130),
        (OSError(errno.EIO, "Input/output error", "/x"), 1),
        (ZeroDivisionError("x"), 1),
    ],
)
def test_errors_of_the_system_have_their_code(error: BaseException, code: int) -> None:
    value = failure.described(error)
    assert value["exit_code"] == code
    assert set(value) == {"schema", "error", "message", "fix", "problems", "exit_code"}


SLOW = """\
import time
from pathlib import Path
from tillage.core import Whole

class Slow(Whole):
    def compute(self, inputs):
        Path("started").write_text("")
        time.sleep(60)
        return inputs["rows"]
"""


def test_130_on_interruption_and_what_is_finished_stays(tmp_path: Path) -> None:
    (tmp_path / "slow.py").write_text(SLOW)
    (tmp_path / "a.csv").write_text("x\n1\n2\n")
    (tmp_path / "tillage.yaml").write_text(
        "tables:\n  a: {collect: {files: a.csv}}\n  b: {from: a, steps: [slow.Slow]}\n"
    )
    process = started("run", "--json", cwd=tmp_path)
    for _ in range(600):
        if (tmp_path / "started").exists() or process.poll() is not None:
            break
        time.sleep(0.1)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 130, err
    value = json.loads(out)
    assert (value["error"], value["exit_code"]) == ("Interrupted", 130)
    assert b"Finished work is kept" in err
    assert b"Traceback" not in err
    shown = started("show", "--json", cwd=tmp_path)
    tables = json.loads(shown.communicate(timeout=60)[0])["tables"]
    assert tables["a"]["rows"] == 2
    assert "b" not in tables


def test_a_reader_that_goes_away_is_no_error(garden: Path) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    process = started("show", "notes", "--rows", "200", cwd=garden, stdout=writing)
    os.close(writing)
    _, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (0, b"")


def test_help_answers_before_anything_heavy_is_loaded(tmp_path: Path) -> None:
    code = (
        "import sys, resource\nfrom tillage.face.main import ended\nassert ended(['--help']) == 0\n"
        "heavy = {'polars', 'sklearn', 'numpy', 'scipy', 'pyarrow', 'jinja2'} & set(sys.modules)\n"
        "print(sorted(heavy), resource.getrusage(resource.RUSAGE_SELF).ru_utime, file=sys.stderr)"
    )
    seconds = []
    for _ in range(3):
        done = subprocess.run(
            [sys.executable, "-c", code], env={**os.environ, "PYTHONPATH": str(SRC)}, capture_output=True, check=True
        )
        heavy, used = done.stderr.decode().rsplit(" ", 1)
        assert heavy == "[]"
        seconds.append(float(used))
    assert min(seconds) <= 0.4
