"""A server answers with spans as JSON lists, tells them in its description, and hands doubtful texts over."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.flow.world import KEY
from tests.learn.test_entity_recognizer import marked
from tests.serve.running import Server
from tests.text import tiny_encoder
from tillage.face.main import ended

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("torch") is None, reason="needs PyTorch, which the lock of deep learning brings"
)

PLAN = """\
project: names
tables:
  notes: {{collect: {{files: data.jsonl}}, key: id}}
models:
  names:
    learn: entity_recognizer
    from: notes
    input: text
    model: {model}
    epochs: 12
    learning_rate: 1e-2
    head_rate: 2.0
    dropout: 0.0
    precision: float32
    split: {{test: 0.3, leak: false}}
services:
  desk: {{model: names, from: notes, hand_over: {{precision: 0.6}}}}
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    root = tmp_path_factory.mktemp("names")
    model = tiny_encoder.write(tmp_path_factory.mktemp("encoder"))
    rows = marked(260).sort("_id").select("text", "spans").iter_rows()
    lines = [json.dumps({"id": n, "text": text, "spans": json.loads(spans)}) for n, (text, spans) in enumerate(rows)]
    (root / "data.jsonl").write_text("\n".join(lines) + "\n")
    (root / "tillage.yaml").write_text(PLAN.format(model=model))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TILLAGE_KEY", KEY)
        assert ended(["run", "--plan", str(root), "--json"]) == 0
        yield root


def places(spans: list[dict[str, Any]]) -> list[tuple[int, int, str]]:
    return [(s["start"], s["end"], s["label"]) for s in spans]


def test_answers_and_what_is_said_of_them(folder: Path) -> None:
    texts = ["a big 3", "\u5927\u53d1\u70e7", ""]
    tensor = {"name": "text", "datatype": "BYTES", "shape": [3], "data": texts}
    number = {"name": "id", "datatype": "INT64", "shape": [3], "data": [1, 2, 3]}
    with Server(folder) as server:
        answered = server.predict(*({"text": text} for text in texts))["predictions"]
        outputs = server.ask("POST", "/v2/models/desk/infer", {"inputs": [number, tensor]})[1]["outputs"]
        told = server.ask("GET", "/v2/models/desk")[1]
        described = server.ask("GET", "/openapi.json")[1]
        services = server.ask("GET", "/v1/services")[1]
    assert [places(one["prediction"]) for one in answered] == [[(6, 7, "AGE")], [(1, 3, "ILLNESS")], []]
    assert all(0 < s["confidence"] <= 1 for one in answered for s in one["prediction"])
    assert all(0 < one["confidence"] <= 1 for one in answered)
    assert {type(one["hand_over"]) for one in answered} == {bool}
    by_name = {output["name"]: output for output in outputs}
    assert by_name["prediction"]["datatype"] == "BYTES"
    assert [json.loads(text) for text in by_name["prediction"]["data"]] == [one["prediction"] for one in answered]
    assert {output["name"] for output in told["outputs"]} >= {"prediction", "confidence"}
    assert '"label"' in json.dumps(described)
    rule = json.dumps(services)
    assert '"least_confidence": null' not in rule  # right ones were found among the test rows
    assert "least_confidence" in rule
