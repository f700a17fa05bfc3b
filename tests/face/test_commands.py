"""The commands on a small project: what they print, for people and for programs, and what they leave."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from tillage.core.errors import TillageError
from tillage.face.main import application
from tillage.store.gc import KEEP

Tell = Callable[..., tuple[int, str, str]]
Ask = Callable[..., dict[str, Any]]
COMMANDS = [
    "try",
    "new",
    "check",
    "plan",
    "run",
    "show",
    "compare",
    "explain",
    "card",
    "label",
    "export",
    "replay",
    "score",
    "serve",
    "rollback",
    "trace",
    "forget",
    "verify",
    "gc",
    "steps",
]


def test_the_commands_are_those_of_the_design() -> None:
    found = [c.name or c.callback.__name__ for c in application().registered_commands if c.callback]
    assert found == COMMANDS
    [tokens] = application().registered_groups
    assert tokens.name == "token"
    assert tokens.typer_instance is not None
    assert [c.name for c in tokens.typer_instance.registered_commands] == ["new", "list", "revoke"]


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help_and_json(command: str, tell: Tell) -> None:
    code, out, err = tell(command, "--help")
    assert (code, err) == (0, "")
    assert "--json" in out
    assert command in ("try", "new", "steps") or "--plan" in out


def test_version(tell: Tell) -> None:
    code, out, _ = tell("--version")
    assert code == 0
    assert re.fullmatch(r"tillage \d+\.\d+\.\d+\n", out)


# ---- run and show


def test_run_says_what_became_of_every_row(garden: Path, tell: Tell, ask: Ask) -> None:
    (garden / "data/more.csv").write_text("id,text,topic\n1001,a new note on lice,pests\n1002,skip me,pests\n")
    code, out, err = tell("run")
    assert code == 0
    assert err == ""
    assert re.search(r"^notes +v2  in 274 = kept 274; rows 274 = kept 274; touched 2$", out, re.MULTILINE)
    assert re.search(
        r"^clean +v2  in 274 = kept 271 \+ dropped 2 \(skipped 2\) \+ merged 1; rows 271 = kept 271; ",
        out,
        re.MULTILINE,
    )
    assert re.search(r"^counts +v2  in 271 = kept 0 \+ consumed 271; rows 3 = kept 0 \+ created 3; ", out, re.MULTILINE)
    assert re.search(r"accuracy +[01]\.\d{4} +0\.\d{4} +0\.\d{4} to [01]\.\d{4}$", out, re.MULTILINE)
    assert "looks at this test part so far: 2" in out
    assert f"Report: {garden}/.tillage/report.html" in out


def test_json_of_run_and_show_is_the_same_object(garden: Path, ask: Ask) -> None:
    run, shown = ask("run", "--digest"), ask("show", "--digest")
    assert run["schema"] == shown["schema"] == "tillage.run/1"
    assert run["_code"] == shown["_code"] == 0
    assert run["tables"] == shown["tables"]
    assert run["models"] == shown["models"]
    for table in run["tables"].values():
        ways = sum(table["dropped"].values()) + sum(table["quarantined"].values()) + table["merged"] + table["consumed"]
        assert table["in"] == table["kept"] + ways
        assert table["rows"] == table["kept"] + table["created"]
        assert table["touched"] == 0
        assert re.fullmatch(r"[0-9a-f]{64}", table["digest"])
    model = run["models"]["topic"]
    assert set(model["metrics"]) == set(model["baseline"]) == set(model["interval"])
    assert ask("show")["tables"]["notes"]["digest"] is None


def test_nothing_to_do_is_said_and_the_report_stays(garden: Path, tell: Tell) -> None:
    page = garden / ".tillage/report.html"
    before = page.stat()
    code, out, _ = tell("run")
    assert code == 0
    assert out.startswith("Nothing to do: everything is up to date.\n")
    assert (page.stat().st_mtime_ns, page.stat().st_ino) == (before.st_mtime_ns, before.st_ino)
    page.unlink()
    tell("run")
    assert page.read_text().startswith("<!")


def test_a_report_goes_where_it_is_asked_to(garden: Path, ask: Ask) -> None:
    value = ask("run", "--report", garden / "报告.html")
    assert value["report"] == str(garden / "报告.html")
    assert "accuracy" in (garden / "报告.html").read_text()
    assert [p.name for p in garden.iterdir() if p.name.endswith(".tmp")] == []


def test_an_error_of_a_step_says_which_table_and_step(tmp_path: Path, ask: Ask, tell: Tell) -> None:
    """The types of columns show when the data is read: where in the plan it went wrong is then for the run to say."""
    (tmp_path / "a.csv").write_text("id,v\n1,x\n2,y\n")
    (tmp_path / "tillage.yaml").write_text(
        "project: p\n"
        "tables:\n"
        "  raw: {collect: {files: a.csv}, key: id}\n"
        "  more: {from: raw, steps: [normalize: {columns: [v]}, derive: {columns: {w: v + 1}}]}\n"
        "  sums: {from: raw, steps: [aggregate: {by: [id], columns: {s: sum(v)}}]}\n"
        "models:\n"
        "  m: {learn: tabular_regressor, from: raw, target: v, input: id}\n"
    )
    value = ask("run", "more", "--plan", tmp_path)
    assert value["_code"] == 78
    assert value["error"]["problems"][0]["message"].startswith(
        "Table 'more', derive: Column 'v' is text, and + needs numbers."
    )
    for target, start in (("sums", "Table 'sums', aggregate: "), ("m", "Model 'm'")):
        value = ask("run", target, "--plan", tmp_path)
        assert value["_code"] in (65, 78), target
        message = value["message"] if "message" in value else value["error"]["message"]
        assert message.startswith(start)
        assert message.count(f"'{target}'") == 1


def test_targets_limit_a_run(garden: Path, ask: Ask) -> None:
    (garden / "data/more.csv").write_text("id,text,topic\n1001,a new note on lice,pests\n")
    value = ask("run", "notes")
    assert value["tables"]["notes"]["version"] == 2
    assert value["tables"]["clean"]["version"] == 1


def test_plan_says_what_would_run(garden: Path, ask: Ask, tell: Tell) -> None:
    assert not any(s["runs"] for s in ask("plan")["stages"])
    assert "Nothing to do" in tell("plan")[1]
    (garden / "data/more.csv").write_text("id,text,topic\n1001,a new note on lice,pests\n")
    stages = {s["stage"]: s for s in ask("plan")["stages"]}
    assert stages["notes"]["runs"]
    assert "data/more.csv" in stages["notes"]["why"]
    assert stages["topic"]["runs"]
    assert ask("show")["tables"]["notes"]["version"] == 1, "planning runs nothing"


def test_days_beyond_those_of_python_are_shown(garden: Path, ask: Ask) -> None:
    days = pl.Series("day", [4_000_000, 19_000, None], dtype=pl.Int32).cast(pl.Date)
    pl.DataFrame({"id": [1, 2, 3], "day": days}).write_parquet(garden / "data/far.parquet")
    plan = (garden / "tillage.yaml").read_text()
    far = '  far: {collect: {files: "data/*.parquet"}, key: id}\n'
    (garden / "tillage.yaml").write_text(plan.replace("tables:\n", f"tables:\n{far}", 1))
    ask("run", "far")
    told = sorted((row["id"], row["day"]) for row in ask("show", "far", "--rows", 3)["head"])
    assert told == [(1, "+12921-08-18"), (2, "2022-01-08"), (3, None)]


def test_show_a_table(garden: Path, tell: Tell, ask: Ask) -> None:
    value = ask("show", "notes", "--rows", 2, "--digest")
    assert value["schema"] == "tillage.show/1"
    assert value["rows"] == 272
    assert [row["id"] for row in value["head"]] == [1, 2]
    assert all(re.fullmatch(r"[0-9a-f]{32}", row["_id"]) for row in value["head"])
    assert value["digest"] == ask("show", "--digest")["tables"]["notes"]["digest"]
    out = tell("show", "notes", "--rows", 2)[1]
    assert value["head"][1]["_id"] in out
    assert "(2 of 272 rows)" in out


def test_show_an_earlier_version(garden: Path, ask: Ask) -> None:
    (garden / "data/more.csv").write_text("id,text,topic\n1001,a new note on lice,pests\n")
    ask("run")
    assert ask("show", "notes")["rows"] == 273
    assert ask("show", "notes", "--version", 1)["rows"] == 272
    missing = ask("show", "notes", "--version", 9)
    assert (missing["_code"], missing["error"]) == (66, "InputMissing")


def test_show_puts_nothing_between_the_digits_of_a_value(garden: Path, tell: Tell) -> None:
    (garden / "data/more.csv").write_text("id,text,topic\n20240501,a new note on lice,pests\n")
    tell("run", "notes")
    assert " 20240501  " in tell("show", "notes", "--rows", 300)[1]


def test_show_a_model(garden: Path, tell: Tell, ask: Ask) -> None:
    value = ask("show", "topic")
    assert value["learner"] == "naive_bayes"
    assert {c["class"] for c in value["per_class"]} == {"harvest", "pests", "watering"}
    assert value["looks"] == 1
    assert sum(c["support"] for c in value["per_class"]) == value["test"]
    counts = value["confusion"]["counts"]
    wrong = sum(n for i, row in enumerate(counts) for j, n in enumerate(row) if i != j)
    assert sum(p["rows"] for p in value["confused"]) == wrong
    assert "class, the worst first" in tell("show", "topic")[1]


# ---- check


def test_check_reports_every_problem_at_once(tmp_path: Path, tell: Tell, ask: Ask) -> None:
    plan = tmp_path / "计划.yaml"
    plan.write_text("tables:\n  a: {collect: {files: x.csv}, kye: id}\n  b: {from: a, steps: [normlize]}\n")
    value = ask("check", "--plan", plan)
    assert (value["_code"], value["exit_code"], value["schema"]) == (78, 78, "tillage.error/1")
    assert [(p["line"], p["file"]) for p in value["problems"]] == [(2, str(plan)), (3, str(plan))]
    err = tell("check", "--plan", plan)[2]
    assert f"{plan}:3:" in err
    assert "Did you mean 'normalize'?" in err


def test_check_finds_missing_inputs_and_makes_nothing(tmp_path: Path, ask: Ask) -> None:
    (tmp_path / "tillage.yaml").write_text(
        "tables:\n  a: {collect: {files: none/*.csv}}\n  b: {collect: {files: other.csv}}\n"
    )
    value = ask("check", "--plan", tmp_path)
    assert value["_code"] == 66
    assert "none/*.csv" in value["message"]
    assert "other.csv" in value["message"]
    assert [p.name for p in tmp_path.iterdir()] == ["tillage.yaml"]


def test_check_refuses_a_pin_whose_version_there_is_not(garden: Path, ask: Ask) -> None:
    plan = garden / "tillage.yaml"
    text = plan.read_text("utf-8")
    learner = next(line for line in text.splitlines() if "learn:" in line)
    for version, code in ((1, 0), (9, 78)):
        plan.write_text(text.replace(learner, learner.replace("learn:", f"fit_on: {version}, learn:")), "utf-8")
        value = ask("check")
        assert value["_code"] == code
    assert "version 9 of 'clean' is not there; there is version 1." in value["message"]
    [problem] = value["problems"]
    assert (problem["line"], problem["file"]) == (text[: text.index(learner)].count("\n") + 1, "tillage.yaml")
    assert ask("run")["_code"] == 78


def test_check_says_ok(garden: Path, ask: Ask, tell: Tell) -> None:
    value = ask("check")
    assert value["ok"]
    assert value["inputs"] == {"notes": 1}
    assert tell("check")[1].startswith("ok  garden: 3 tables, 1 model\n")


# ---- the plan is found


def test_the_plan_is_found_above_and_by_folder(garden: Path, ask: Ask, monkeypatch: pytest.MonkeyPatch) -> None:
    inner = garden / "data/deep/深"
    inner.mkdir(parents=True)
    monkeypatch.chdir(inner)
    assert ask("show")["project"] == "garden"
    assert ask("show", "--plan", garden)["project"] == "garden"
    assert ask("show", "--plan", garden / "tillage.yaml")["project"] == "garden"
    assert ask("show", "--plan", garden / "nothing.yaml")["_code"] == 66
    assert ask("show", "--plan", inner)["_code"] == 66


# ---- replay, verify, gc


def test_replay_brings_records_back_after_a_fix(garden: Path, ask: Ask, tell: Tell) -> None:
    more = garden / "data/more.csv"
    more.write_text("id,text,topic\n1001,a new note,pests\n1002,broken\n")
    assert ask("run")["tables"]["notes"]["quarantined"] == {"short_row": 1}
    still = ask("replay", "notes")
    assert (still["returned"], still["before"], still["after"]) == (0, {"short_row": 1}, {"short_row": 1})
    more.write_text("id,text,topic\n1001,a new note,pests\n1002,whole,pests\n")
    code, out, _ = tell("replay", "notes")
    assert code == 0
    assert out.startswith("1 row came back; 0 of 1 still in quarantine.")
    assert "no record in quarantine" in tell("replay", "notes")[1]


def test_a_name_may_become_that_of_another_thing(tmp_path: Path, tell: Tell) -> None:
    """A table whose name a model gets, and the other way round: before the next run there is none of it to show."""
    (tmp_path / "a.csv").write_text("id,n,y\n" + "".join(f"{n},{n % 7},{'ab'[n % 2]}\n" for n in range(60)))
    source = "project: p\ntables:\n  t: {collect: {files: a.csv}, key: id}\n"
    table = source + "  m: {from: t, steps: [{derive: {columns: {z: n + 1}}}]}\n"
    model = source + "models:\n  m: {learn: naive_bayes, from: t, input: y, target: n, split: {leak: false}}\n"
    plan, said = ("--plan", tmp_path), ["table", "model"]
    for n, text in enumerate((table, model, table)):
        (tmp_path / "tillage.yaml").write_text(text)
        if n:
            code, _, error = tell("show", "m", *plan)
            assert code == 66
            assert f"was made while that was the name of a {said[n - 1]}" in error
            assert tell("show", *plan)[0] == 0
        assert tell("run", *plan)[0] == 0
        assert tell("show", "m", *plan)[0] == 0
        assert tell("verify", *plan)[0] == 0


def test_show_tells_the_profile_that_a_plan_asks_for(tmp_path: Path, tell: Tell, ask: Ask) -> None:
    (tmp_path / "a.csv").write_text("id,n\n1,4\n2,\n3,8\n")
    plan = "project: p\ntables:\n  raw: {collect: {files: a.csv}, key: id, profile: true}\n  bare: {from: raw}\n"
    (tmp_path / "tillage.yaml").write_text(plan)
    assert tell("run", "--plan", tmp_path)[0] == 0
    found = ask("show", "raw", "--plan", tmp_path)["reports"]["profile"]
    assert str(found).count("'nulls': 1") == 1
    assert re.search(r"^ +.*n, mean +6$", tell("show", "raw", "--plan", tmp_path)[1], re.MULTILINE)
    assert ask("show", "bare", "--plan", tmp_path)["reports"] == {}


def test_replay_that_changes_nothing_does_not_send_to_run(garden: Path, tell: Tell, ask: Ask) -> None:
    """Nor does it write a version, also where records of the file wait behind others of their key."""
    more = garden / "data/more.csv"
    more.write_text("id,text,topic\n1001,a new note,pests\n1002,broken\n")
    (garden / "data/zzz.csv").write_text("id,text,topic\n1001,the last word,pests\n1003,a,b,c\n")
    tell("run")
    before = ask("show", "notes")["version"]
    assert ask("show")["tables"]["notes"]["dropped"] == {"superseded": 1}
    still = "None came back; 2 of 2 still in quarantine (long_row 1, short_row 1).\n"
    assert tell("replay", "notes")[1] == still
    assert ask("show", "notes")["version"] == before
    (garden / "data/zzz.csv").unlink()
    tell("run")
    more.write_text("id,text,topic\n1001,another note,pests\n1002,broken\n")
    assert "What the table feeds waits for `tillage run`." in tell("replay", "notes")[1]


def test_show_says_which_records_are_in_quarantine_and_why(garden: Path, tell: Tell, ask: Ask) -> None:
    (garden / "data/更多.csv").write_text("id,text,topic\n1001,a new note,pests\n1002,broken\n1003,a,b,c\n")
    (garden / "data/hollow.csv").write_text("")
    before = ask("show", "notes")["version"]
    assert ask("run")["tables"]["notes"]["quarantined"] == {"empty_file": 1, "long_row": 1, "short_row": 1}
    value = ask("show", "notes")["quarantined"]
    assert value["count"] == 3
    found = [(r["object"], r["record"], r["reason"]) for r in value["records"]]
    assert found == [
        ("data/hollow.csv", None, "empty_file"),
        ("data/更多.csv", 1, "short_row"),
        ("data/更多.csv", 2, "long_row"),
    ]
    assert all(r["message"] for r in value["records"])
    assert value["records"][1]["bytes"] == [36, 47]
    out = tell("show", "notes")[1]
    assert re.search(r"^data/hollow.csv +whole +empty_file +.+$", out, re.MULTILINE)
    assert re.search(r"^data/更多.csv +1 +short_row +.*2 .*3.*$", out, re.MULTILINE)
    assert "tillage replay notes" in out
    assert len(ask("show", "notes", "--rows", 1)["quarantined"]["records"]) == 1
    assert "(1 of 3 records in quarantine)" in tell("show", "notes", "--rows", 1)[1]
    assert ask("show", "notes", "--version", before)["quarantined"] == {"count": 0, "records": []}
    assert "quarantined" not in ask("show", "counts"), "it collects nothing"
    (garden / "data/更多.csv").rename(garden / "data/zzz.csv")
    ask("run")
    renamed = ask("show", "notes")["quarantined"]["records"]
    assert [r["object"] for r in renamed] == ["data/hollow.csv", "data/zzz.csv", "data/zzz.csv"]


def test_replay_needs_a_table_that_collects(garden: Path, ask: Ask) -> None:
    value = ask("replay", "clean")
    assert value["_code"] == 2
    assert "notes" in value["fix"]


def test_verify_notices_a_flipped_bit(garden: Path, ask: Ask, tell: Tell) -> None:
    assert ask("verify")["ok"]
    assert tell("verify")[1].startswith("ok  ")
    with closing(sqlite3.connect(garden / ".tillage/catalog.db")) as db, db:
        found = "SELECT name, data FROM small WHERE name LIKE '%.arrow' ORDER BY length(data) DESC"
        name, stored = db.execute(found).fetchone()
        data = bytearray(stored)
        data[len(data) // 2] ^= 1
        db.execute("UPDATE small SET data = ? WHERE name = ?", (bytes(data), name))
    value = ask("verify")
    assert (value["_code"], value["ok"], value["schema"]) == (70, False, "tillage.verify/1")
    assert len(value["findings"]) >= 1
    code, out, err = tell("verify")
    assert code == 70
    assert "DAMAGED" in out
    assert "backup" in err


def test_gc_keeps_what_it_is_told_to(garden: Path, ask: Ask) -> None:
    for n in (1, 2):
        (garden / f"data/more{n}.csv").write_text(f"id,text,topic\n{1000 + n},note number {n} on lice,pests\n")
        ask("run")
    assert ask("show", "notes")["version"] == 3
    value = ask("gc", "--keep", 1)
    assert value["versions"] >= 2
    assert value["keep"] == 1
    assert ask("show", "notes", "--version", 1)["_code"] == 66
    assert ask("verify")["ok"]
    assert ask("gc")["keep"] == KEEP


# ---- trace


def test_trace_a_row_by_id_and_by_key(garden: Path, ask: Ask, tell: Tell) -> None:
    row = ask("show", "notes", "--rows", 1)["head"][0]
    by_id = ask("trace", "notes", row["_id"])
    assert by_id["schema"] == "tillage.trace/1"
    assert by_id["trace"] == ask("trace", "notes", "--key", row["id"])["trace"]
    assert "data/notes.csv" in str(by_id["trace"]["back"])
    code, out, _ = tell("trace", "clean", "--key", 2)
    assert code == 0
    assert "record data/notes.csv record 1" in out
    assert "model topic" in out


def test_trace_a_model(garden: Path, tell: Tell) -> None:
    out = tell("trace", "topic")[1]
    assert out.startswith("model topic")
    assert "data/notes.csv" in out


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (("nots",), 2),
        (("notes", "xyz"), 2),
        (("notes", "0" * 32), 66),
        (("notes", "--key", "a", "--key", "b"), 2),
        (("notes", "00", "--key", "a"), 2),
        (("topic", "00"), 2),
    ],
)
def test_trace_of_what_is_not_there(garden: Path, ask: Ask, words: tuple[str, ...], code: int) -> None:
    assert ask("trace", *words)["_code"] == code


# ---- steps


def test_steps_are_listed_by_where_they_stand(tell: Tell, ask: Ask) -> None:
    found = {s["name"]: s for s in ask("steps")["steps"]}
    assert found["files"]["role"] == "source"
    assert found["drop_duplicates"]["kind"] == "whole"
    assert found["text_classifier"]["role"] == "learner"
    assert "naive_baseline" not in found, "no plan can name it"
    assert all(s["meaning"].endswith(".") for s in found.values())
    out = tell("steps")[1]
    assert "under `steps` of a table:" in out
    assert all(name in out for name in found)


def test_the_parameters_of_a_step_come_from_its_fields(tell: Tell, ask: Ask) -> None:
    value = ask("steps", "text_classifier")
    parameters = {p["name"]: p for p in value["parameters"]}
    assert parameters["input"]["required"]
    assert parameters["min_rows"]["default"] == 2
    assert parameters["min_rows"]["bounds"] == "at least 1"
    assert parameters["regularisation"]["bounds"] == "above 0, at most 1000000.0"
    assert value["json_schema"]["properties"]["min_rows"]["minimum"] == 1
    out = tell("steps", "normalise")[1]
    assert out.startswith("normalize  (map; under `steps` of a table)")
    assert ">>>" not in out


def test_every_step_that_is_listed_can_be_shown(ask: Ask) -> None:
    names = [s["name"] for s in ask("steps")["steps"]]
    assert len(names) >= 14
    for name in names:
        value = ask("steps", name)
        assert (value["_code"], value["name"]) == (0, name)
        assert all(p["meaning"] for p in value["parameters"]), name


def test_parameters_are_told_as_a_plan_writes_them(tell: Tell, ask: Ask) -> None:
    shown = {name: ask("steps", name)["parameters"] for name in ("derive", "fill_missing")}
    told = {name: {p["name"]: p["type"] for p in parameters} for name, parameters in shown.items()}
    assert told["derive"] == {"columns": "dict[str, str]"}
    assert told["fill_missing"] == {
        "learn_from": "str | None",
        "columns": "tuple[str, ...]",
        "with": "Literal['mean', 'median', 'min', 'max', 'most_frequent', 'constant']",
        "value": "bool | int | float | str | None",
    }
    for name in (s["name"] for s in ask("steps")["steps"]):
        for parameter in ask("steps", name)["parameters"]:
            where = f"{name}: {parameter['type']}"
            assert not re.search(r"0x|FieldInfo|Annotated|Union|Optional|\btypes\.|\bNoneType", where), where


def test_an_unknown_step_is_a_mistake_of_usage(ask: Ask) -> None:
    value = ask("steps", "normlize")
    assert value["_code"] == 2
    assert "Did you mean 'normalize'?" in value["message"]


# ---- new


def test_new_makes_a_project_that_runs_at_once(tmp_path: Path, ask: Ask, tell: Tell) -> None:
    folder = tmp_path / "园子 a"
    made = ask("new", folder)
    assert made["files"] == ["tillage.yaml", "data/notes.csv", ".gitignore"]
    assert ".tillage/" in (folder / ".gitignore").read_text()
    assert ask("check", "--plan", folder)["ok"]
    value = ask("run", "--plan", folder)
    assert value["_code"] == 0
    assert value["tables"]["clean"]["rows"] == 270
    assert value["models"]["topic"]["metrics"]["accuracy"] > value["models"]["topic"]["baseline"]["accuracy"]
    again = ask("new", folder)
    assert again["_code"] == 2
    assert "tillage.yaml" in again["message"]


def test_new_says_how_to_go_on_in_words_a_shell_takes(tmp_path: Path, tell: Tell) -> None:
    out = tell("new", tmp_path / "a b")[1]
    assert f"cd '{tmp_path}/a b' && tillage run" in out


def test_new_leaves_what_is_there(tmp_path: Path, ask: Ask) -> None:
    (tmp_path / ".gitignore").write_text("mine\n")
    assert ".gitignore" not in ask("new", tmp_path)["files"]
    assert (tmp_path / ".gitignore").read_text() == "mine\n"
    (tmp_path / "file").write_text("")
    assert ask("new", tmp_path / "file")["_code"] == 2


def test_every_exit_code_is_one_of_the_design() -> None:
    def below(cls: type[TillageError]) -> set[int]:
        return {cls.exit_code}.union(*(below(sub) for sub in cls.__subclasses__()))

    assert below(TillageError) <= {1, 2, 10, 65, 66, 69, 70, 75, 77, 78}


def test_nothing_is_named_where_nothing_was_handed_out(garden: Path, ask: Ask) -> None:
    assert ask("forget", "notes", "--key", "900", "--dry-run")["handed_out"] == []
