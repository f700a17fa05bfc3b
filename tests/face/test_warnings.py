"""Warnings that cannot be missed: each stands on the screen, in JSON and on the page."""

from __future__ import annotations

import json
from html import unescape
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from tests.flow.world import KEY

from tillage.face.main import ended

PLAN = """\
project: traps
tables:
  raw: {{collect: {{files: data.csv}}, key: id}}
models:
  m: {{learn: {learn}, from: raw, input: [{input}], target: {target}, split: {{test: 0.3}}}}
"""


def data(root: Path) -> None:
    random = np.random.default_rng(0)
    count = 300
    y = random.choice(["a", "b"], count)
    rare = np.where(np.arange(count) == 7, "once", np.where(np.arange(count) < 9, "few", y))
    size = random.normal(size=count)
    columns = {"id": range(count), "noise": random.normal(size=count), "y": y, "code": np.where(y == "a", "p", "q")}
    frame = pl.DataFrame({**columns, "rare": rare, "size": size, "cm": 100 * size})
    frame.write_csv(root / "data.csv")


TRAPS = {
    "one feature gives the target away": ("tabular_classifier", "noise, code", "y", "'code' alone tells the target"),
    "a number in another unit": ("tabular_regressor", "noise, cm", "size", "'cm' is the target on another scale"),
    "too few rows of a class": ("tabular_classifier", "noise, code", "rare", "Fewer than 5 test rows"),
    "a class of one row": ("tabular_classifier", "noise, code", "rare", "Only one training row: 'once'"),
    "not better than the baseline": ("tabular_classifier", "noise", "y", "is not better than the baseline's"),
}


@pytest.mark.parametrize("trap", TRAPS)
def test_a_warning_stands_everywhere(
    trap: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TILLAGE_KEY", KEY)
    learn, columns, target, said = TRAPS[trap]
    data(tmp_path)
    (tmp_path / "tillage.yaml").write_text(PLAN.format(learn=learn, input=columns, target=target))
    assert ended(["run", "--plan", str(tmp_path)]) == 0
    out = capsys.readouterr().out
    assert any("WARNING" in line and said in line for line in out.splitlines()), out
    assert ended(["show", "--plan", str(tmp_path), "--json"]) == 0
    value = json.loads(capsys.readouterr().out)
    assert any(said in warning for warning in value["models"]["m"]["warnings"])
    page = unescape((tmp_path / ".tillage" / "report.html").read_text())
    assert any('class="warning"' in part and said in part for part in page.split("<p"))


def test_leaks_are_counted_everywhere(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TILLAGE_KEY", KEY)
    rows = ["id,text,y", *(f"{n},word{n % 40} again,{'ab'[n % 2]}" for n in range(200))]
    (tmp_path / "data.csv").write_text("\n".join(rows) + "\n")
    (tmp_path / "tillage.yaml").write_text(PLAN.format(learn="text_classifier", input="text", target="y"))
    assert ended(["run", "--plan", str(tmp_path)]) in (0, 65)
    capsys.readouterr()
    text = (tmp_path / "tillage.yaml").read_text().replace("{test: 0.3}", "{test: 0.1}")
    (tmp_path / "tillage.yaml").write_text(text)
    assert ended(["run", "--plan", str(tmp_path)]) == 0
    out = capsys.readouterr().out
    assert any("WARNING" in line and "repeat a test row" in line for line in out.splitlines()), out
    assert ended(["show", "--plan", str(tmp_path), "--json"]) == 0
    model = json.loads(capsys.readouterr().out)["models"]["m"]
    assert model["left"]["leak"] > 20
    assert any("repeat a test row" in warning for warning in model["warnings"])
    assert "repeat a test row" in (tmp_path / ".tillage" / "report.html").read_text()


def test_rows_made_up_of_test_rows_are_no_repeats(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TILLAGE_KEY", KEY)
    rows = ["id,text,y", *(f"{n},word{n} again {'ab'[n % 2] * 3},{'ab'[n % 2]}" for n in range(200))]
    (tmp_path / "data.csv").write_text("\n".join(rows) + "\n")
    plan = PLAN.format(learn="text_classifier", input="text", target="y").replace("from: raw", "from: more")
    more = "  more: {from: raw, steps: [{delete_words: {columns: [text], copies: 2}}]}\nmodels:"
    (tmp_path / "tillage.yaml").write_text(plan.replace("models:", more))
    assert ended(["run", "--plan", str(tmp_path)]) == 0
    assert "repeat a test row" not in capsys.readouterr().out
    assert ended(["show", "--plan", str(tmp_path), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["models"]["m"]["left"]["leak"] > 50
