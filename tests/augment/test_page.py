"""The page on augmentation: its plans are plans, and its table names every step of the room."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import tillage.augment
from tillage.core.step import Fitted
from tillage.face.rooms import registry
from tillage.flow.configuration import load
from tillage.flow.stages import compile_plan

PAGE = (Path(__file__).parents[2] / "docs" / "augmentation.md").read_text(encoding="utf-8")
PLANS = re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)


@pytest.mark.parametrize("number", range(2))
def test_its_plans_are_plans(number: int, tmp_path: Path) -> None:
    assert len(PLANS) == 2
    (tmp_path / "tillage.yaml").write_text(PLANS[number], encoding="utf-8")
    assert compile_plan(load(tmp_path / "tillage.yaml", registry()), registry())


def test_its_table_names_every_step() -> None:
    steps = {n for n, room in registry().rooms.items() if room == "augment"}
    steps -= {n for n in steps if issubclass(registry().find(n), Fitted)}
    rows = PAGE.split("| step |")[1].split("\n\n")[0]
    assert set(re.findall(r"`(\w+)`", re.sub(r"\|[^|]*\|$", "", rows, flags=re.MULTILINE))) == steps
    assert len(steps) == 13
    assert tillage.augment.__all__
