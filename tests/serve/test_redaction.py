"""What a service keeps of its requests holds no personal data where the plan says so: neither log nor table does."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

import pytest

from tests.serve import running
from tests.serve.running import Server, lay, tillage
from tillage.core.errors import ConfigurationError
from tillage.face.rooms import project, registry
from tillage.flow.configuration import parse
from tillage.flow.prediction_table import INPUTS, kept
from tillage.flow.writing import to_yaml
from tillage.store import Store
from tillage.store.segments import STAGE

SERVICE = "desk: {model: double, from: rows, keep: [text, size], redact: true}"
ROW = {"id": 7, "size": 2.0, "text": "Ring +44 20 7946 0018 or mail li.wei@example.cn"}
ANSWERS = "  answers: {collect: {predictions: {types: {text: text}}}, key: id}\n"


def lay_redacting(folder: Path, monkeypatch: pytest.MonkeyPatch, service: str = SERVICE) -> Path:
    plan = running.PLAN.replace("desk: {model: double, from: rows}", service).replace(
        "tables:\n", f"tables:\n{ANSWERS}"
    )
    monkeypatch.setattr(running, "PLAN", plan)
    return lay(folder)


def everything(folder: Path) -> bytes:
    return b"".join(path.read_bytes() for path in (folder / ".tillage").rglob("*") if path.is_file())


def inputs(folder: Path) -> list[str]:
    store = Store(folder / ".tillage")
    try:
        return sorted(kept(store).part(INPUTS)["values"].to_list())
    finally:
        store.close()


def test_personal_data_is_replaced_before_anything_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = lay_redacting(tmp_path, monkeypatch)
    with Server(folder) as server:
        server.predict(ROW, {**ROW, "size": 3.0, "text": "nobody"}, {**ROW, "size": 4.0, "text": None})
        time.sleep(1.4)
        os.kill(server.process.pid, 9)
        server.process.wait()
    wanted = [
        '{"text": "Ring [PHONE] or mail [EMAIL]", "size": 2.0}', '{"text": "nobody", "size": 3.0}',
        '{"text": null, "size": 4.0}',
    ]  # fmt: skip
    assert inputs(folder) == sorted(wanted)
    assert b"li.wei" not in everything(folder)
    with Server(folder) as server:
        assert server.end() == 0
    assert inputs(folder) == sorted(wanted), "in the table as in the log"
    tillage(folder, "run")
    with project(folder) as p:
        assert sorted(p.read("answers")["text"].drop_nulls()) == ["Ring [PHONE] or mail [EMAIL]", "nobody"]
        assert p.store.latest(STAGE) is not None
    held = everything(folder)
    assert b"li.wei" not in held
    assert b"7946" not in held


def test_the_scan_would_see_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = lay_redacting(tmp_path, monkeypatch, SERVICE.replace(", redact: true", ""))
    with Server(folder) as server:
        server.predict(ROW)
        time.sleep(1.4)
    assert b"li.wei" in everything(folder)


BREAKS = """
import tillage.privacy.redact as r
def broken(self, rows):
    raise RuntimeError("cannot")
r.Redact.apply = broken
"""


def test_what_cannot_be_redacted_is_not_written_and_the_answer_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = lay_redacting(tmp_path, monkeypatch)
    with Server(folder, before=BREAKS) as server:
        answer = server.predict(ROW)["predictions"][0]
        assert server.end() == 0
        assert "could not be redacted" in server.said()
        assert "li.wei" not in server.said()
    store = Store(folder / ".tillage")
    assert store.frame(STAGE)["_id"].to_list() == [int(answer["id"], 16)]
    store.close()
    assert inputs(folder) == []
    assert b"li.wei" not in everything(folder)


# ---- the plan

HEAD = """project: p
tables: {t: {collect: {files: a.csv}}}
models: {m: {learn: naive_bayes, from: t, input: a, target: b}}
"""


def read(service: str, folder: Path) -> Any:
    return parse(f"{HEAD}services: {{desk: {{model: m, from: t, {service}}}}}\n", folder, registry())


@pytest.mark.parametrize("given", ["true", "{types: [email]}", "{columns: [a], replacement: '[x]'}"])
def test_a_plan_is_written_as_it_was_read(given: str, tmp_path: Path) -> None:
    plan = read(f"keep: [a, c], redact: {given}", tmp_path)
    assert plan.services["desk"].redact is not None
    assert parse(to_yaml(plan, registry()), tmp_path, registry()) == plan
    assert read("keep: [a], redact: false", tmp_path).services["desk"].redact is None


@pytest.mark.parametrize(
    ("service", "said"),
    [
        ("redact: true", "4:46  'redact' of service 'desk' is of what the log keeps, and 'keep' names no column."),
        ("keep: [a], redact: 7", "'redact' of service 'desk' must be true or the parameters of the step redact, got 7"),
        ("keep: [a], redact: {columns: [b]}", "'redact' of service 'desk' names 'b', which 'keep' does not."),
        ("keep: [a], redact: {type: [email]}", "Did you mean 'types'?"),
    ],
)
def test_the_plan_is_checked(service: str, said: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError) as error:
        read(service, tmp_path)
    assert said in str(error.value)


def test_a_column_that_no_request_brings_cannot_be_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The target least of all: requests do not have it."""
    folder = lay_redacting(tmp_path, monkeypatch, "desk: {model: double, from: rows, keep: [y]}")
    with pytest.raises(AssertionError, match="'keep' of service 'desk'"):
        tillage(folder, "serve", "--port", "0")
