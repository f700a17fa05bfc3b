"""Reports of a table in a plan: made at each run, read back by version, shown, written, and refused elsewhere."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from tillage.core import ConfigurationError
from tillage.face.main import application
from tillage.face.rooms import project, registry
from tillage.flow.configuration import parse
from tillage.flow.writing import to_yaml

PLAN = """\
project: clinic
tables:
  visits:
    collect: {files: "*.csv"}
    key: id
    reports: [pii_report: {columns: [note]}]
  open:
    from: visits
    steps:
      - drop: [id, note]
      - anonymize: {columns: {age: {ranges: [10, 20]}, zip: {prefix: [3]}}, k: 3, sensitive: [ill], l: 2}
    reports:
      - anonymity_report: {columns: {age: {ranges: [10, 20]}, zip: {prefix: [3]}}, sensitive: [ill]}
"""


@pytest.fixture
def clinic(tmp_path: Path) -> Path:
    drawn = random.Random(5)
    rows = [
        f"{i},{drawn.randint(18, 79)},1{drawn.randint(1, 2)}111,{drawn.choice('abc')},13812345678" for i in range(90)
    ]
    (tmp_path / "a.csv").write_text("\n".join(["id,age,zip,ill,note", *rows]) + "\n")
    (tmp_path / "tillage.yaml").write_text(PLAN)
    return tmp_path


def run(*arguments: str) -> Any:
    done = CliRunner().invoke(application(), [*arguments, "--json"])
    assert done.exit_code == 0, done.output
    return json.loads(done.stdout)


def test_reports_follow_their_table(clinic: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(clinic)
    run("run")
    first = run("show", "open")["reports"]["anonymity_report"]
    assert first["k"] >= 3
    assert first["l"]["ill"] >= 2
    assert first["rows"] == run("show", "open")["rows"]
    assert run("show", "visits")["reports"]["pii_report"]["columns"] == {
        "note": {"phone": {"found": 90, "rows": 90, "share": 1.0}}
    }
    (clinic / "b.csv").write_text("id,age,zip,ill,note\n" + "".join(f"{900 + i},33,11111,a,none\n" for i in range(9)))
    run("run")
    second = run("show", "open")["reports"]["anonymity_report"]
    assert second["rows"] == run("show", "open")["rows"] > first["rows"]
    assert run("show", "visits")["reports"]["pii_report"]["rows"] == 99
    assert run("show", "open", "--version", "1")["reports"] == {"anonymity_report": first}
    said = CliRunner().invoke(application(), ["show", "visits"]).stdout
    assert "Pii report" in said
    assert "columns, note, phone, found" in said


def test_an_anonymous_table_stays_so_and_equals_a_rebuild(
    clinic: Path, monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> None:
    monkeypatch.chdir(clinic)
    monkeypatch.setenv("TILLAGE_KEY", "cd" * 32)
    run("run")
    lines = (clinic / "a.csv").read_text().splitlines()
    (clinic / "a.csv").write_text("\n".join([lines[0], *lines[4::2]]) + "\n")
    run("run")
    other = tmp_path_factory.mktemp("rebuilt")
    (other / "a.csv").write_text((clinic / "a.csv").read_text())
    (other / "tillage.yaml").write_text(PLAN)
    here = run("show", "open", "--digest")
    monkeypatch.chdir(other)
    run("run")
    there = run("show", "open", "--digest")
    assert here["digest"] == there["digest"]
    assert here["reports"] == there["reports"]
    assert here["reports"]["anonymity_report"]["k"] >= 3


def test_a_plan_with_reports_is_written_and_read_back(tmp_path: Path) -> None:
    plan = parse(PLAN, tmp_path, registry())
    assert parse(to_yaml(plan, registry()), tmp_path, registry()) == plan
    assert [type(r).name() for r in plan.tables["open"].reports] == ["anonymity_report"]


@pytest.mark.parametrize(
    ("reports", "said"),
    [
        ("{pii_report: {}}", "'reports' of table 'visits' must be a list"),
        ("[pii_report, pii_report]", "'pii_report' stands twice"),
        ("[scale: [age]]", "it belongs under the 'steps' of a table"),
        ("[classification_report: {target: ill}]", "evaluated without being asked"),
        ("[pii_reprot]", "Did you mean 'pii_report'"),
    ],
)
def test_what_is_no_report_is_told(reports: str, said: str, tmp_path: Path) -> None:
    text = f"project: x\ntables:\n  visits: {{collect: {{files: '*.csv'}}, reports: {reports}}}\n"
    with pytest.raises(ConfigurationError) as caught:
        parse(text, tmp_path, registry())
    assert said in str(caught.value)


def test_a_report_among_the_steps_is_told_where_it_belongs(tmp_path: Path) -> None:
    text = "project: x\ntables:\n  visits: {collect: {files: '*.csv'}, steps: [pii_report]}\n"
    with pytest.raises(ConfigurationError, match="belongs under the table's 'reports'"):
        parse(text, tmp_path, registry())


def test_the_page_has_the_reports(clinic: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from tillage.face.page import details
    from tillage.face.report import render

    monkeypatch.chdir(clinic)
    run("run")
    opened = project(clinic)
    summary = opened.summary()
    page = render(summary, details(opened, summary))
    assert "Anonymity report" in page
    assert "discernibility" in page
