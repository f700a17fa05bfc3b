"""Canary, shadow, rollback: who answers is named in the reply and in the log; a bad version is never gone back to."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.serve import running
from tests.serve.running import Server, lay, stored, tillage, until
from tillage.core.errors import ConfigurationError
from tillage.face.rooms import registry
from tillage.flow.configuration import parse
from tillage.flow.writing import to_yaml

PLAN = running.PLAN.replace(
    "  double: {learn: {own.Doubling: {PARAMETERS}}, from: clean, target: y, evaluate: {linear: false}}\n",
    "  double: {learn: {own.Doubling: {PARAMETERS}}, from: clean, target: y, evaluate: {linear: false}}\n"
    "  triple: {learn: {own.Doubling: {factor: 3}}, from: clean, target: y, evaluate: {linear: false}}\n",
).replace(
    "desk: {model: double, from: rows}",
    "desk: {model: double, from: rows}\n"
    "  split: {model: double, from: rows, canary: {model: triple, share: 0.3, by: text}}\n"
    "  random: {model: double, from: rows, canary: {model: triple, share: 0.3}}\n"
    "  behind: {model: double, from: rows, shadow: triple}",
)


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(running, "PLAN", PLAN)
        folder = lay(tmp_path_factory.mktemp("routed"))
    with Server(folder) as server:
        yield server


def logged(server: Server) -> list[dict[str, Any]]:
    return stored(server.folder).rows(named=True)


def test_a_canary_answers_its_share_the_same_one_for_the_same_value(served: Server) -> None:
    told = {}
    for n in range(200):
        answer = served.predict({"size": 1.0, "text": f"person {n}"}, name="split")
        [made] = answer["predictions"]
        told[n] = answer["model"]
        assert made["prediction"] == {"double": 2.0, "triple": 3.0}[answer["model"]]
    assert 0.15 < Counter(told.values())["triple"] / 200 < 0.45
    for n in range(0, 200, 7):
        assert served.predict({"size": 1.0, "text": f"person {n}"}, name="split")["model"] == told[n]
    by_chance = Counter(served.predict({"size": 1.0, "text": "one"}, name="random")["model"] for _ in range(150))
    assert 0.1 < by_chance["triple"] / 150 < 0.5
    until(lambda: sum(r["service"] == "split" for r in logged(served)) >= 200)
    routes = {(r["model"], r["route"]) for r in logged(served) if r["service"] in ("split", "random")}
    assert routes == {("double", ""), ("triple", "canary")}


def test_a_shadow_answers_for_the_log_alone(served: Server) -> None:
    answer = served.predict({"size": 0.0, "text": "a"}, {"size": 5.0, "text": "b"}, name="behind")
    assert [(p["prediction"]) for p in answer["predictions"]] == [0.0, 10.0]
    first = answer["predictions"][1]["id"]
    assert served.ask("POST", "/feedback", {"id": first, "label": 15})[0] == 200
    until(lambda: sum(r["service"] == "behind" for r in logged(served)) == 4)
    rows = [r for r in logged(served) if r["service"] == "behind"]
    shown = {(r["model"], r["route"], r["prediction"], r["label"]) for r in rows}
    assert shown == {
        ("double", "", "0.0", None), ("triple", "shadow", "0.0", None),
        ("double", "", "10.0", "15"), ("triple", "shadow", "15.0", "15"),
    }  # fmt: skip
    lines = served.ask("GET", "/metrics")[1].decode()
    assert 'tillage_shadow_rows_total{how="same",service="behind"} 1.0' in lines
    assert 'tillage_shadow_rows_total{how="other",service="behind"} 1.0' in lines
    listed = {s["name"]: s for s in served.ask("GET", "/v1/services")[1]["services"]}
    assert listed["behind"]["beside"] == [{"route": "shadow", "model": "triple", "version": 1}]


def test_rollback_by_a_request_and_by_the_command_line(tmp_path: Path) -> None:
    lay(tmp_path, "factor: 2")
    running.change(tmp_path, "factor: 5, fails_at: 77")
    with Server(tmp_path) as server:

        def says() -> tuple[int, float]:
            answer = server.predict({"size": 1.0, "text": "a"})
            return answer["version"], answer["predictions"][0]["prediction"]

        assert says() == (2, 5.0)
        back = "/v1/services/desk/rollback"
        assert server.ask("POST", back, {"version": 9})[0] == 409
        assert server.ask("POST", back, {"version": "1"})[0] == 400
        assert server.ask("POST", back, {"version": True})[0] == 400
        status, value, _ = server.ask("POST", back, {"version": 1})
        assert (status, value) == (200, {"service": "desk", "model": "double", "version": 1, "held": True})
        assert says() == (1, 2.0)
        running.change(tmp_path, "factor: 7")  # a newer version comes, and the service is held
        assert server.predict({"size": 1.0, "text": "a"}, name="double")["model"] == "double"
        until(lambda: server.predict({"size": 1.0, "text": "a"}, name="double")["version"] == 3)
        assert says() == (1, 2.0)
        tillage(tmp_path, "rollback", "desk", "--newest")
        until(lambda: says() == (3, 7.0))
        told = json.loads(tillage(tmp_path, "rollback", "desk", "--json"))
        assert told["version"] == 2
        until(lambda: says() == (2, 5.0))
    lines = [json.loads(line) for line in (tmp_path / ".tillage" / "serve.audit.jsonl").read_text().splitlines()]
    assert [(a["act"], a["version"], a["who"]) for a in lines] == [
        ("rollback", 1, "the server's own token"), ("rollback", None, "command line"), ("rollback", 2, "command line"),
    ]  # fmt: skip
    with Server(tmp_path) as again:
        assert again.predict({"size": 1.0, "text": "a"})["version"] == 2, "it outlives the server"


def test_a_version_that_saw_rows_of_other_steps_is_not_gone_back_to(tmp_path: Path) -> None:
    lay(tmp_path, "factor: 2")
    plan = (tmp_path / "tillage.yaml").read_text()
    (tmp_path / "tillage.yaml").write_text(plan.replace("size >= 0", "size >= 1"))
    tillage(tmp_path, "run")
    with Server(tmp_path) as server:
        status, value, _ = server.ask("POST", "/v1/services/desk/rollback", {"version": 1})
        assert (status, value["field"]) == (409, "version")
        assert "'clean' was made by another plan" in value["error"]
        assert server.predict({"size": 2.0, "text": "a"})["version"] == 2


@pytest.mark.parametrize(
    ("service", "said"),
    [
        ("canary: {share: 0.5}", "'canary' of service 'desk' needs 'model'"),
        ("canary: {model: double}", "must be another model than the service's own"),
        ("canary: {model: tripel}", "No model is called 'tripel'. Did you mean 'triple'?"),
        (
            "canary: {model: triple, share: 2}",
            "6:74  'share' of 'canary' of service 'desk' must be above 0 and below 1, got 2",
        ),
        ("canary: {model: triple, shares: 0.1}", "Did you mean 'share'?"),
        ("shadow: double", "'shadow' of service 'desk' must be another model"),
    ],
)
def test_the_plan_is_checked(service: str, said: str, tmp_path: Path) -> None:
    text = (
        "project: p\ntables: {t: {collect: {files: a.csv}}}\nmodels:\n"
        "  double: {learn: naive_bayes, from: t, input: a, target: b}\n"
        "  triple: {learn: naive_bayes, from: t, input: a, target: b}\n"
    )
    with pytest.raises(ConfigurationError) as error:
        parse(f"{text}services: {{desk: {{model: double, from: t, {service}}}}}", tmp_path, registry())
    assert said in str(error.value)


def test_a_plan_with_all_of_it_is_written_as_it_was_read(tmp_path: Path) -> None:
    text = (
        "project: p\ntables: {t: {collect: {files: a.csv}}}\nmodels:\n"
        "  one: {learn: naive_bayes, from: t, input: a, target: b}\n"
        "  two: {learn: naive_bayes, from: t, input: a, target: b}\n"
        "services:\n  desk: {model: one, from: t, keep: [a], canary: {model: two, share: 0.2, by: a}, shadow: two}\n"
    )
    plan = parse(text, tmp_path, registry())
    assert parse(to_yaml(plan, registry()), tmp_path, registry()).services == plan.services
