"""Learners that are Folds in a plan: after any changes, and after an erasure, they are what a rebuild gives."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.flow.world import World, small_chunks, update_equals_rebuild

PLAN = """\
project: exact
tables:
  notes: {collect: {files: {path: "data/*.csv", types: {x: float64}}}, key: id, max_quarantine: 1}
models:
  amount: {learn: {ridge: {levels: 3}}, from: notes, input: [x, text, city], target: n, split: {test: 0.3}}
  town: {learn: gaussian_naive_bayes, from: notes, input: [x, n], target: city, split: {test: 0.3, leak: false}}
  place: {learn: linear_discriminant, from: notes, target: city, split: {test: 0.3, group: text}}
"""


@pytest.mark.parametrize("seed", [3])
def test_update_equals_rebuild(seed: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    small_chunks(monkeypatch)
    world = World(tmp_path / "w", seed, PLAN)
    update_equals_rebuild(world, 4)
