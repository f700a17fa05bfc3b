"""A Group that works in parts: what comes to a large key costs what comes, and what leaves is forgotten."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.flow.world import KEY, digests
from tillage.face.rooms import project
from tillage.flow.run import Project

PLAN = """\
project: parts
tables:
  sales: {collect: {files: "data/*.csv"}, key: id}
  shops:
    from: sales
    steps:
      - aggregate:
          by: [shop]
          columns: {n: count(), sum: sum(x), mean: mean(x), most: max(name), whole: sum(k), middle: mean(k)}
"""
ROWS = 400
SHOPS = 4


def write(root: Path, name: str, numbers: range, x: float = 0.1) -> None:
    lines = [f"{n},shop{n % SHOPS},{n * x},name{n},{n}" for n in numbers]
    (root / "data" / name).write_text("\n".join(["id,shop,x,name,k", *lines]) + "\n")


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TILLAGE_KEY", KEY)
    (tmp_path / "data").mkdir()
    (tmp_path / "tillage.yaml").write_text(PLAN)
    write(tmp_path, "a.csv", range(ROWS))
    return tmp_path


def rebuilt(root: Path, store: str) -> dict[str, str]:
    (root / "fresh.yaml").write_text(f"store: {store}\n{PLAN}")
    with project(root / "fresh.yaml") as fresh:
        fresh.run()
        return digests(fresh)


def touched(p: Project) -> int:
    return p.run().touched["shops"]


def test_what_comes_to_a_large_key_costs_what_comes(root: Path) -> None:
    with project(root) as p:
        assert touched(p) == ROWS
        write(root, "b.csv", range(ROWS, ROWS + 2))
        assert touched(p) <= 2 + SHOPS * 2
        assert digests(p) == rebuilt(root, "one")


def test_what_leaves_a_large_key_is_taken_out_of_it(root: Path) -> None:
    with project(root) as p:
        p.run()
        write(root, "b.csv", range(ROWS, ROWS + 90))
        p.run()
        write(root, "a.csv", range(3, ROWS), x=0.3)
        p.run()
        assert p.read("shops").sort("shop")["most"].to_list() == ["name96", "name97", "name98", "name99"]
        assert digests(p) == rebuilt(root, "one")
        (root / "data" / "a.csv").unlink()  # every key is small now
        p.run()
        write(root, "c.csv", range(ROWS + 90, ROWS + 500))
        p.run()
        assert digests(p) == rebuilt(root, "two")
