"""`export`: a model scores the same from Python, its folder, ONNX and a server; and its copies are known."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import polars as pl
import pytest
from tests.flow.world import KEY
from tests.serve.running import Server

import tillage
from tillage.face.main import ended
from tillage.flow.results import load_fitted

Tell = Callable[..., tuple[int, str, str]]
Ask = Callable[..., dict[str, Any]]

PLAN = """\
project: abroad
tables:
  houses: {collect: {files: {path: data/*.csv, types: {open: bool}}}, key: id, subject: owner}
models:
  line:   {learn: tabular_classifier, model: linear, from: houses, input: [size, kind, day, open], target: dear}
  trees:  {learn: tabular_classifier, model: boosted_trees, trees: 20, from: houses, input: [size, kind, day, open],
           target: band}
  bayes:  {learn: gaussian_naive_bayes, from: houses, input: [size, kind, open], target: band}
  plane:  {learn: linear_discriminant, from: houses, input: [size, kind, open], target: dear}
  price:  {learn: ridge, from: houses, input: [size, kind, day, open], target: price}
  forest: {learn: {tabular_regressor: {shards: 2}}, model: random_forest, trees: 20, from: houses, input: [size, kind],
           target: price}
  words:  {learn: text_classifier, from: houses, input: text, target: dear}
  counts: {learn: naive_bayes, from: houses, input: text, target: dear}
"""
WITHIN = {"line": 1e-9, "trees": 1e-5, "bayes": 1e-9, "plane": 1e-9, "price": 1e-9, "forest": 1e-5}
"""By model: how far ONNX's answers may be from Python's, as a share of the answer; sums of trees are float32 there."""


def rows(count: int, seed: int) -> list[dict[str, Any]]:
    random = np.random.default_rng(seed)
    made = []
    for n in range(count):
        size, kind = round(float(random.normal(80, 30)), 2), str(random.choice(["flat", "house", "barn"]))
        price = round(size * (3 if kind == "house" else 2) + float(random.normal(0, 20)), 1)
        given = {"size": None if n % 9 == 4 else size, "kind": None if n % 8 == 3 else kind}
        day = f"20{10 + n % 12}-{1 + n % 12:02d}-{1 + n % 28:02d}"
        told = {"open": n % 3 == 0, "text": f"a {'great' if price > 180 else 'small'} {kind} no {n}"}
        truth = {
            "price": price,
            "dear": "yes" if price > 180 else "no",
            "band": "abc"[int(price > 140) + int(price > 220)],
        }
        made.append({"id": n, "owner": f"o{n // 2}", **given, "day": day, **told, **truth})
    return made


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    root = tmp_path_factory.mktemp("abroad")
    (root / "data").mkdir()
    pl.DataFrame(rows(500, 0)).write_csv(root / "data" / "houses.csv")
    (root / "tillage.yaml").write_text(PLAN)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TILLAGE_KEY", KEY)
        assert ended(["run", "--plan", str(root), "--json"]) == 0
        yield root


@pytest.fixture(scope="module")
def asked(folder: Path) -> list[dict[str, Any]]:
    """Rows as somebody else has them: some without a size, one of a kind that training never saw."""
    columns = ("size", "kind", "day", "open", "text")
    found = [{name: row[name] for name in columns} for row in rows(40, 1)]
    found[5]["kind"] = "castle"
    with (folder / "asked.csv").open("w", newline="") as stream:
        writer = csv.DictWriter(stream, columns)
        writer.writeheader()
        writer.writerows(found)
    return found


def from_onnx(path: Path, asked: list[dict[str, Any]]) -> list[Any]:
    """The predictions, by someone who knows the graph and nothing of us."""
    onnx.checker.check_model(onnx.load(path), full_check=True)
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    given = {}
    for port in session.get_inputs():
        values = [row[port.name] for row in asked]
        if port.name == "day":
            values = np.array(values, "datetime64[s]").astype(np.int64).tolist()
        if port.type == "tensor(string)":
            given[port.name] = np.array([value or "" for value in values], object)[:, None]
        else:
            given[port.name] = np.array([np.nan if value is None else value for value in values], np.float64)[:, None]
    found: list[Any] = session.run(["prediction"], given)[0].tolist()
    return found


def test_a_model_scores_the_same_everywhere(folder: Path, asked: list[dict[str, Any]], tmp_path: Path) -> None:
    frame = pl.DataFrame(asked).with_columns(pl.col("day").str.to_date())
    python, elsewhere, scored, served = {}, {}, {}, {}
    with tillage.project(folder) as project:
        for name in WITHIN:
            python[name] = load_fitted(project.store, name, project.registry).apply(frame)["prediction"].to_list()
    for name in WITHIN:
        assert ended(["export", name, "--plan", str(folder), "--onnx", str(tmp_path / f"{name}.onnx"), "--json"]) == 0
        elsewhere[name] = from_onnx(tmp_path / f"{name}.onnx", asked)
        out = tmp_path / f"{name}.jsonl"
        asking = ["--input", str(folder / "asked.csv"), "--output", str(out), "--json"]
        assert ended(["score", name, "--plan", str(folder), *asking]) == 0
        scored[name] = [json.loads(line)["prediction"] for line in out.read_text().splitlines()]
    with Server(folder) as server:
        for name in WITHIN:
            status, value, _ = server.ask("POST", f"/v1/models/{name}", {"rows": asked})
            assert status == 200, value
            served[name] = [row["prediction"] for row in value["predictions"]]
    for name, within in WITHIN.items():
        assert scored[name] == served[name] == python[name], name
        if isinstance(python[name][0], str):
            assert elsewhere[name] == python[name], name
            assert len(set(python[name])) > 1
        else:
            np.testing.assert_allclose(elsewhere[name], python[name], rtol=within, err_msg=name)


def test_what_the_command_says(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    capsys.readouterr()
    assert ended(["export", "line", "--plan", str(folder), "--onnx", str(tmp_path / "x" / "a.onnx"), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["schema"], told["model"], told["version"], told["table"]) == ("tillage.export/1", "line", 1, "houses")
    assert [(port["name"], port["type"]) for port in told["inputs"]] == [
        ("size", "double"), ("kind", "string"), ("day", "double"), ("open", "double"),
    ]  # fmt: skip
    assert [port["name"] for port in told["outputs"]] == ["prediction", "confidence", "shares"]
    model = onnx.load(tmp_path / "x" / "a.onnx")
    facts = {prop.key: prop.value for prop in model.metadata_props}
    assert json.loads(facts["classes"]) == ["no", "yes"]
    assert (facts["tillage.model"], facts["tillage.version"], facts["tillage.digest"]) == ("line", "1", told["digest"])
    assert ended(["export", "line", "--plan", str(folder), "--onnx", str(tmp_path / "a.onnx")]) == 0
    said = capsys.readouterr()
    assert "seconds since 1970-01-01" in said.out + said.err
    assert "what its steps do to them is not in the graph" in said.out + said.err


@pytest.mark.parametrize("model", ["words", "counts"])
def test_what_cannot_be_written_is_refused(
    model: str, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert ended(["export", model, "--plan", str(folder), "--onnx", str(tmp_path / "no.onnx")]) == 2
    assert "no operator for the rules by which its words are cut" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(("where", "said"), [
    (".", "'.' is a folder. Name a file in it: --onnx line.onnx"),
    ("there", "there' is a folder"),
    ("file/a.onnx", "file' cannot be made: File exists"),
    ("file/below/a.onnx", "below' cannot be made: Not a directory"),
])  # fmt: skip
def test_where_no_file_can_stand_is_said_and_not_recorded(
    where: str, said: str, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tell: Tell, ask: Ask
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "there").mkdir()
    (tmp_path / "file").write_text("kept")
    before = ask("forget", "houses", "--plan", folder, "--subject", "o7", "--dry-run").get("handed_out", [])
    code, _, err = tell("export", "line", "--plan", folder, "--onnx", where)
    assert code == 2
    assert said in " ".join(err.split()), err
    assert "mistake in Tillage" not in err
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "there"]
    assert ask("forget", "houses", "--plan", folder, "--subject", "o7", "--dry-run").get("handed_out", []) == before


def test_forget_names_the_copies_that_it_does_not_reach(folder: Path, tmp_path: Path, tell: Tell, ask: Ask) -> None:
    paths = {"onnx": tmp_path / "line.onnx", "card": tmp_path / "card", "label": tmp_path / "label"}
    plan = ("--plan", folder)
    assert tell("export", "line", *plan, "--onnx", paths["onnx"])[0] == 0
    assert tell("export", "line", *plan, "--onnx", paths["onnx"])[0] == 0
    for form in ("card", "label"):
        assert tell(form, "line", *plan, "--output", paths[form])[0] == 0
    paths["onnx"].unlink()
    told = ask("forget", "houses", *plan, "--subject", "o7", "--dry-run")
    own = [copy for copy in told["handed_out"] if copy["path"].startswith(str(tmp_path))]
    assert [(c["form"], c["path"], c["model"], c["version"], c["there"]) for c in own] == [
        (form, str(path), "line", 1, form != "onnx") for form, path in paths.items()
    ], "once each, whatever was written twice"
    _, out, err = tell("forget", "houses", *plan, "--subject", "o7", "--dry-run")
    assert f"Handed out: {paths['card']}, card of 'line' version 1" in out + err
    assert f"Handed out: {paths['onnx']} (not there any more)" in out + err
