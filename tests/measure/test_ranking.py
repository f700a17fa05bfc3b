"""Metrics of shares against scikit-learn, ties and weights included; intervals against drawing rows one by one."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from sklearn import metrics as oracle

from tillage.measure.ranking import SHARE_METRICS, Ranked, average_precision, brier, log_loss, roc_auc, share_intervals


def drawn(rows: int, classes: int, seed: int = 0) -> tuple[Any, Any]:
    random = np.random.default_rng(seed)
    target = random.integers(0, classes, rows)
    shares = random.dirichlet(np.ones(classes), rows) + np.eye(classes)[target] * 0.3
    shares = np.round(shares, 2) + 1e-9  # ties
    return shares / shares.sum(axis=1, keepdims=True), target


@pytest.mark.parametrize("seed", range(5))
def test_two_classes(seed: int) -> None:
    shares, target = drawn(200, 2, seed)
    assert np.isclose(roc_auc(shares, target), oracle.roc_auc_score(target, shares[:, 1]))
    assert np.isclose(average_precision(shares, target), oracle.average_precision_score(target, shares[:, 1]))
    assert np.isclose(log_loss(shares, target), oracle.log_loss(target, shares))
    assert np.isclose(brier(shares, target), oracle.brier_score_loss(target, shares[:, 1]))


def test_many_classes_are_each_against_the_rest() -> None:
    shares, target = drawn(300, 4)
    assert np.isclose(roc_auc(shares, target), oracle.roc_auc_score(target, shares, multi_class="ovr"))
    each = [oracle.average_precision_score(target == k, shares[:, k]) for k in range(4)]
    assert np.isclose(average_precision(shares, target), np.mean(each))
    assert np.isclose(log_loss(shares, target), oracle.log_loss(target, shares))
    assert np.isclose(brier(shares, target), np.mean(((shares - np.eye(4)[target]) ** 2).sum(axis=1)))
    kept = target != 3
    each = [oracle.roc_auc_score(target[kept] == k, shares[kept, k]) for k in range(3)]
    assert np.isclose(roc_auc(shares[kept], target[kept]), np.mean(each)), "a class without rows does not count"


def test_rows_drawn_several_times_are_weights() -> None:
    shares, target = drawn(150, 2)
    times = np.random.default_rng(1).integers(0, 4, 150)
    ranked, twice = Ranked(shares[:, 1], target == 1), np.repeat(np.arange(150), times)
    assert np.isclose(ranked.roc_auc(times * 1.0), oracle.roc_auc_score(target[twice], shares[twice, 1]))
    expected = oracle.average_precision_score(target[twice], shares[twice, 1])
    assert np.isclose(ranked.average_precision(times * 1.0), expected)


def test_one_class_has_no_rank() -> None:
    assert np.isnan(roc_auc(np.array([[0.5, 0.5]]), np.array([1])))
    assert np.isnan(average_precision(np.array([[0.5, 0.5]]), np.array([0])))


@pytest.mark.parametrize("classes", [2, 3])
def test_intervals_hold_the_value_and_groups_widen_them(classes: int) -> None:
    shares, target = drawn(200, classes)
    found = share_intervals(shares, target, seed=3)
    assert found == share_intervals(shares, target, seed=3)
    for name, metric in SHARE_METRICS.items():
        low, high = found[name]
        assert low < metric(shares, target) < high
    tenfold = np.repeat(np.arange(200), 10)
    apart = share_intervals(shares[tenfold], target[tenfold], seed=3)["roc_auc"]
    together = share_intervals(shares[tenfold], target[tenfold], tenfold, seed=3)["roc_auc"]
    assert together[1] - together[0] > 2 * (apart[1] - apart[0])


def test_the_interval_is_that_of_drawing_rows() -> None:
    shares, target = drawn(200, 2)
    random = np.random.Generator(np.random.PCG64(7))
    draws = [random.integers(0, 200, 200) for _ in range(1000)]
    values = [oracle.roc_auc_score(target[rows], shares[rows, 1]) for rows in draws]
    assert np.allclose(share_intervals(shares, target, seed=7)["roc_auc"], np.quantile(values, [0.025, 0.975]))
