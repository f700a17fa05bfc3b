"""The card as Hugging Face's own library reads it, the bill of materials as CycloneDX's own validator judges it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from huggingface_hub import ModelCard, ModelCardData
from huggingface_hub.repocard import metadata_load
from huggingface_hub.repocard_data import model_index_to_eval_results
from tests.flow.world import KEY

from tillage.core.errors import ConfigurationError
from tillage.face.main import ended
from tillage.face.rooms import registry
from tillage.flow.configuration import load, parse
from tillage.flow.run import Project
from tillage.flow.writing import to_yaml
from tillage.promises.card_facts import card_facts
from tillage.promises.model_card import code, model_card, plain

HOSTILE = "Only | here\n# <script>alert(1)</script> `x` *y* --- {{z}}"
PLAN = f"""\
project: carded
tables:
  raw: {{collect: {{files: data.csv}}, key: id}}
  clean: {{from: raw, steps: [{{filter: "x < 3"}}]}}
models:
  who:
    learn: tabular_classifier
    model: boosted_trees
    trees: 8
    from: clean
    input: [x, kind]
    target: y
    evaluate: {{slices: [kind], sensitive: [kind], favourable: up, folds: 3}}
    card:
      intended_use: {json.dumps(HOSTILE)}
      limitations: Young people only.
      licence: Apache-2.0
      authors: [Ann, Bo]
      language: [en, zh]
      licences: {{raw: CC-BY-4.0}}
  size: {{learn: tabular_regressor, model: linear, from: clean, input: [x], target: n}}
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    root = tmp_path_factory.mktemp("carded")
    random = np.random.default_rng(1)
    x = random.normal(size=400)
    y = np.where(x + random.normal(0, 0.5, 400) > 0, "up", "down")
    pl.DataFrame({"id": range(400), "x": x, "kind": random.choice(["p|q", "r"], 400), "y": y, "n": 2 * x}).write_csv(
        root / "data.csv"
    )
    (root / "tillage.yaml").write_text(PLAN)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TILLAGE_KEY", KEY)
        assert ended(["run", "--plan", str(root), "--json"]) == 0
        for model in ("who", "size"):
            assert ended(["card", model, "--plan", str(root), "--output", str(root / model), "--json"]) == 0
        yield root


@pytest.fixture
def facts(folder: Path) -> Iterator[tuple[Any, dict[str, Any]]]:
    with Project(load(folder, registry()), registry()) as project:
        yield card_facts(project, "who", "0"), project.report("who")


@pytest.mark.parametrize("model", ["who", "size"])
def test_hugging_face_reads_the_head(folder: Path, model: str) -> None:
    path = folder / model / "README.md"
    head = metadata_load(path)
    assert head is not None
    data = ModelCardData(**{key: value for key, value in head.items() if key != "model-index"})
    assert data.library_name == "tillage"
    assert data.pipeline_tag == ("tabular-classification" if model == "who" else "tabular-regression")
    name, results = model_index_to_eval_results(head["model-index"])
    assert name == model
    with Project(load(folder, registry()), registry()) as project:
        metrics = project.report(model)["metrics"]
    assert sorted(r.metric_value for r in results) == pytest.approx(sorted(metrics.values()))
    card = ModelCard.load(path)
    assert card.data.to_dict().get("license") == ("apache-2.0" if model == "who" else None)
    assert card.data.eval_results is not None
    assert len(card.data.eval_results) == len(metrics)


def test_no_score_stands_alone_in_the_card(folder: Path, facts: tuple[Any, dict[str, Any]]) -> None:
    _, report = facts
    text = (folder / "who" / "README.md").read_text()
    scores = text.split("## Scores")[1].split("Looks at them")[0]
    lines = {line.split("|")[1].strip(): line for line in scores.splitlines() if line.startswith("| ")}
    for name, value in report["metrics"].items():
        cells = [cell.strip() for cell in lines[name].split("|")[1:-1]]
        low, high = report["interval"][name]
        beside = [report["baseline"][name], report["linear"]["metrics"][name]]
        assert cells == [name, *(f"{v:.4g}" for v in (value, *beside)), f"{low:.4g} to {high:.4g}"]
    for warning in report["warnings"]:
        assert warning[:20] in text
    for said in ("3 folds", "### By slice", "Groups by kind", "What it goes by", "CC-BY-4.0", "Ann, Bo", "filter"):
        assert said in text, said
    digest = sha256((folder / "data.csv").read_bytes()).hexdigest()
    assert digest in text


def test_hostile_text_stays_text(folder: Path) -> None:
    text = (folder / "who" / "README.md").read_text()
    assert "<script>" not in text
    assert "&lt;script" in text
    assert "\n# &lt;" not in text
    body = text.split("---\n", 2)[2]
    rows = [line for line in body.splitlines() if line.startswith("| ") and "p\\|q" in line]
    assert rows, "a bar in a value ends no cell"


@pytest.mark.parametrize("model", ["who", "size"])
def test_the_bill_is_valid_and_whole(folder: Path, model: str) -> None:
    text = (folder / model / "bom.json").read_text()
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(text) is None
    bom = json.loads(text)
    assert bom["metadata"]["component"]["type"] == "machine-learning-model"
    refs = {c["bom-ref"] for c in bom["components"]} | {bom["metadata"]["component"]["bom-ref"]}
    for edge in bom["dependencies"]:
        assert {edge["ref"], *edge["dependsOn"]} <= refs
    (file,) = [c for c in bom["components"] if c["type"] == "file"]
    assert file["hashes"] == [{"alg": "SHA-256", "content": sha256((folder / "data.csv").read_bytes()).hexdigest()}]
    tables = {c["name"]: c for c in bom["components"] if c["type"] == "data"}
    assert set(tables) == {"raw", "clean"}
    with Project(load(folder, registry()), registry()) as project:
        properties = {p["name"]: p["value"] for p in tables["clean"]["data"][0]["contents"]["properties"]}
        assert properties["digest"] == project.store.digest("clean")
        assert properties["rows"] == str(project.store.count("clean"))
        metrics = project.report(model)["metrics"]
    measured = bom["metadata"]["component"]["modelCard"]["quantitativeAnalysis"]["performanceMetrics"]
    alone = {m["type"] for m in measured} - {m["type"] for m in measured if "naive" in m["slice"]}
    assert alone == set()
    assert {m["type"]: float(m["value"]) for m in measured if m["slice"] == "test rows"} == pytest.approx(metrics)


def test_a_broken_bill_would_be_noticed(folder: Path) -> None:
    bom = json.loads((folder / "who" / "bom.json").read_text())
    bom["metadata"]["component"]["modelCard"]["modelParameters"]["approach"] = {"type": "clever"}
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(json.dumps(bom)) is not None


def test_the_same_model_gives_the_same_bytes(folder: Path, tmp_path: Path) -> None:
    assert ended(["card", "who", "--plan", str(folder), "--output", str(tmp_path), "--json"]) == 0
    for name in ("README.md", "bom.json"):
        assert (tmp_path / name).read_bytes() == (folder / "who" / name).read_bytes()


def test_the_command_says_what_people_did_not_say(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert ended(["card", "size", "--plan", str(folder), "--output", str(folder / "size")]) == 0
    out, err = capsys.readouterr()
    assert "does not say its intended_use, out_of_scope, limitations" in out + err
    assert "*Not said." in (folder / "size" / "README.md").read_text()


def test_a_card_changes_nothing_that_is_computed(folder: Path) -> None:
    plan = PLAN.replace("Young people only.", "Old people only.")
    assert plan != PLAN
    (folder / "other.yaml").write_text(plan)
    with Project(load(folder / "other.yaml", registry()), registry()) as project:
        assert project.run().changed == []


def test_mistakes_in_a_card_are_told_and_it_is_written_as_it_was_read() -> None:
    mistakes = {"{licences: {row: x}}": "Did you mean 'raw'", "{intended: x}": "Did you mean 'intended_use'"}
    for given, said in mistakes.items():
        text = PLAN.replace("input: [x], target: n", f"input: [x], target: n, card: {given}")
        with pytest.raises(ConfigurationError) as caught:
            parse(text, Path("/p"), registry())
        assert said in str(caught.value)
    plan = parse(PLAN, Path("/p"), registry())
    assert plan.models["who"].card.intended_use == HOSTILE
    assert parse(to_yaml(plan, registry()), Path("/p"), registry()) == plan


@pytest.mark.parametrize(
    ("text", "said", "in_a_cell"),
    [
        ("a|b", "`a|b`", r"`a\|b`"),
        ("`tick", "`` `tick ``", "`` `tick ``"),
        ("a``b`c", "```a``b`c```", "```a``b`c```"),
        ("two  blanks ", "`two  blanks `", "`two  blanks `"),
        ("a\r\nb", "`a b`", "`a b`"),
    ],
)
def test_a_name_is_shown_as_it_is(text: str, said: str, in_a_cell: str) -> None:
    assert code(text) == said
    assert code(text, cell=True) == in_a_cell


def test_a_slice_that_was_asked_for_and_is_worse_is_shown_once(facts: tuple[Any, dict[str, Any]]) -> None:
    known = facts[0]
    one = known.report["slices"]["asked"][0]
    told = replace(known, report={**known.report, "slices": {**known.report["slices"], "worst": [one]}})
    assert model_card(told).count(f"| kind | {plain(one['value'])} |") == 1
