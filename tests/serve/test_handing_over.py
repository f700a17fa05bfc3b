"""Hand-over to a person: the confidence is chosen on one half of the held-out rows, and holds on the other."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from random import Random

import numpy as np
import pytest

from tests.flow.world import KEY
from tests.serve.running import Server, tillage
from tillage.core.errors import ConfigurationError, UsageError
from tillage.face.rooms import project, registry
from tillage.flow.configuration import parse
from tillage.measure import wilson
from tillage.serve.handing_over import HandOver, least_confidence
from tillage.serve.routing import services_of

PLAN = """project: p
tables:
  notes: {collect: {files: a.csv}}
models:
  kinds: {learn: naive_bayes, from: notes, input: text, target: kind, split: {test: 0.5}}
services:
  desk: {model: kinds, from: notes, hand_over: {precision: 0.9}}
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Texts of which some say what they are, and some say nothing."""
    root, draw = tmp_path_factory.mktemp("handed"), Random(3)
    words = {"red": ("apple", "rose", "brick"), "blue": ("sky", "sea", "jeans")}
    lines = ["text,kind"]
    for n in range(1600):
        kind = draw.choice(("red", "blue"))
        told = draw.choice(words[kind]) if draw.random() < 0.6 else "thing"
        lines.append(f"the {told} of {n},{kind}")
    (root / "a.csv").write_text("\n".join(lines) + "\n")
    (root / "tillage.yaml").write_text(PLAN)
    with pytest.MonkeyPatch.context() as patch:  # the same split each time
        patch.setenv("TILLAGE_KEY", KEY)
        tillage(root, "run")
        yield root


def test_the_least_confidence_against_every_other() -> None:
    draw = np.random.default_rng(5)
    for precision in (0.5, 0.8, 0.9, 0.99):
        sure = np.round(draw.random(300), 2)
        right = draw.random(300) < sure
        good = [
            t for t in sorted(set(sure)) if wilson(int(right[sure >= t].sum()), int((sure >= t).sum()))[0] >= precision
        ]
        assert least_confidence(sure, right, precision) == (good[0] if good else None)


def test_it_holds_on_rows_that_it_was_not_chosen_on(folder: Path) -> None:
    with project(folder) as p:
        over = services_of(p, lambda _: None)["desk"].own.now.hand_over
        assert over is not None
        assert over.least is not None
        assert over.reached is not None
        assert over.chosen_on + over.seen_on > 600
        assert 0.4 < over.answered < 0.8, "what says nothing goes to a person"
        assert over.reached[1] > 0.9
    with Server(folder) as server:
        [clear, unclear] = server.predict({"text": "apple, rose, brick"}, {"text": "the thing"})["predictions"]
        assert (clear["prediction"], clear["hand_over"], unclear["hand_over"]) == ("red", False, True)
        told = {s["name"]: s["hand_over"] for s in server.ask("GET", "/v1/services")[1]["services"]}
        assert told["desk"]["least_confidence"] == over.least
        assert told["kinds"] is None
        tensors = {"inputs": [{"name": "text", "shape": [1], "datatype": "BYTES", "data": ["the thing of 7"]}]}
        outputs = server.ask("POST", "/v2/models/desk/infer", tensors)[1]["outputs"]
        assert [o["data"] for o in outputs if o["name"] == "hand_over"] == [[True]]
        assert 'tillage_handed_over_total{service="desk"} 2.0' in server.ask("GET", "/metrics")[1].decode()
        document = server.ask("GET", "/openapi.json")[1]
        assert "hand_over" in json.dumps(document["paths"]["/v1/services/desk"])


def test_where_no_confidence_is_enough_a_person_answers_all() -> None:
    over = HandOver(0.99, least_confidence(np.array([0.9, 0.8]), np.array([True, True]), 0.99), 2, 2, 0.0, None)
    assert over.least is None
    assert over.of(1.0)
    assert over.told()["reached"] is None


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("{precision: 95}", "'precision' of 'hand_over' of service 'desk' must be above 0 and below 1, got 95"),
        ("{precison: 0.9}", "Did you mean 'precision'?"),
        ("0.9", "'hand_over' of service 'desk' must be a mapping"),
    ],
)
def test_the_plan_is_checked(given: str, said: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError) as error:
        parse(PLAN.replace("{precision: 0.9}", given), tmp_path, registry())
    assert said in str(error.value)


def test_a_regression_cannot_hand_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TILLAGE_KEY", KEY)
    lines = [f"{n / 10},{n}" for n in range(80)]
    (tmp_path / "a.csv").write_text("x,y\n" + "\n".join(lines) + "\n")
    plan = PLAN.replace("naive_bayes", "tabular_regressor").replace("input: text, target: kind", "input: x, target: y")
    (tmp_path / "tillage.yaml").write_text(plan)
    with project(tmp_path) as p:
        p.run()
        with pytest.raises(UsageError, match="tells no confidence"):
            services_of(p, lambda _: None)
