"""Confident learning on labels that were flipped on purpose, and by its definition."""

from __future__ import annotations

import numpy as np
import pytest

from tillage.measure.label_errors import suspected


def test_thresholds_are_means_of_own_shares() -> None:
    """The published example's rule, by hand: a class counts only from its own mean share on."""
    shares = np.array([[0.6, 0.4], [0.9, 0.1], [0.45, 0.55], [0.3, 0.7], [0.2, 0.8], [0.05, 0.95]])
    label = np.array([0, 0, 0, 1, 1, 1])
    found = suspected(shares, label)
    assert (shares[:3, 0].mean(), shares[3:, 1].mean()) == (pytest.approx(0.65), pytest.approx(0.8166667))
    assert found.places.tolist() == [], "0.55 is the greater share, and below the 0.817 of its class"
    label[4] = 0
    assert suspected(shares, label).places.tolist() == [], "0.8 is below the 0.825 of its class"


def test_so_many_are_wrong_as_the_sure_rows_say() -> None:
    """By hand: thresholds 0.61 and 0.77, so that 4 and 1 of the ten rows of class 0 are sure: a fifth is wrong."""
    first = np.array([0.9, 0.9, 0.9, 0.9, 0.4, 0.5, 0.55, 0.45, 0.4, 0.2])
    second = np.array([0.9, 0.8, 0.8, 0.58])
    shares = np.concatenate([np.column_stack([first, 1 - first]), np.column_stack([1 - second, second])])
    label = np.repeat([0, 1], [10, 4])
    assert (first.mean(), second.mean()) == (pytest.approx(0.61), pytest.approx(0.77))
    found = suspected(shares, label)
    assert found.places.tolist() == [9, 4], "the two of class 0 of the greatest share of class 1; of equals, the first"
    assert found.margin.tolist() == pytest.approx([0.6, 0.2])
    assert found.suggested.tolist() == [1, 1]


@pytest.mark.parametrize("classes", [2, 4])
def test_flipped_labels_are_found(classes: int) -> None:
    random = np.random.default_rng(classes)
    truth = random.integers(0, classes, 3000)
    shares = np.full((3000, classes), 0.4 / classes)
    shares[np.arange(3000), truth] += 0.6
    shares += random.dirichlet(np.ones(classes) * 2, 3000) * 0.5
    shares /= shares.sum(axis=1, keepdims=True)
    flipped = random.random(3000) < 0.1
    label = np.where(flipped, (truth + random.integers(1, classes, 3000)) % classes, truth)
    found = suspected(shares, label)
    hits = flipped[found.places]
    assert hits.mean() > 0.9, "precision"
    assert hits.sum() / flipped.sum() > 0.9, "recall"
    assert (found.suggested[hits] == truth[found.places[hits]]).mean() > 0.95
    assert (np.diff(found.margin) <= 0).all(), "the surest first"


def test_clean_labels_are_left_alone() -> None:
    truth = np.arange(600) % 3
    shares = np.full((600, 3), 0.1)
    shares[np.arange(600), truth] = 0.8
    assert len(suspected(shares, truth).places) == 0


def test_a_class_that_nobody_has_suggests_nothing() -> None:
    shares = np.array([[0.2, 0.1, 0.7]] * 4 + [[0.1, 0.6, 0.3]] * 4)
    found = suspected(shares, np.array([0] * 4 + [1] * 4))
    assert 2 not in found.suggested
