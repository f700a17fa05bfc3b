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
    apart = share_intervals(shares[tenfold], target[tenfold], seed=3)
    together = share_intervals(shares[tenfold], target[tenfold], tenfold, seed=3)
    for name in SHARE_METRICS:
        assert together[name][1] - together[name][0] > 2 * (apart[name][1] - apart[name][0])


def test_the_interval_is_that_of_drawing_rows() -> None:
    shares, target = drawn(200, 2)
    random = np.random.Generator(np.random.PCG64(7))
    draws = [random.integers(0, 200, 200) for _ in range(1000)]
    values = [oracle.roc_auc_score(target[rows], shares[rows, 1]) for rows in draws]
    assert np.allclose(share_intervals(shares, target, seed=7)["roc_auc"], np.quantile(values, [0.025, 0.975]))


@pytest.mark.parametrize(("classes", "rows"), [(2, 150), (10, 60), (20, 60)])
def test_the_interval_of_average_precision_holds_the_score_of_such_test_parts(classes: int, rows: int) -> None:
    """Rows that are drawn twice made it too high: with ten classes of six rows it held it 0.3 of the time."""
    random = np.random.default_rng(2)

    def part() -> tuple[np.ndarray, np.ndarray]:
        target = random.integers(0, classes, rows)
        scores = np.exp(random.normal(size=(rows, classes)) + (np.arange(classes) == target[:, None]))
        return scores / scores.sum(axis=1, keepdims=True), target

    expected = np.mean([average_precision(*part()) for _ in range(200)])
    held, own = [], []
    for shares, target in (part() for _ in range(30)):
        low, high = share_intervals(shares, target)["average_precision"]
        held.append(low <= expected <= high)
        own.append(low < average_precision(shares, target) < high)
        assert high - low < 0.35
    assert np.mean(held) >= 0.8  # three deviations of thirty draws below 0.95
    assert all(own)


@pytest.mark.parametrize("target", [[0, 1], [0, 0, 0, 1], [0, 1, 2, 2], [1, 1]])
def test_few_rows_have_an_interval_or_none(target: list[int]) -> None:
    shares = np.full((len(target), 3 if 2 in target else 2), 0.25) + np.arange(len(target))[:, None] / 10
    for name, (low, high) in share_intervals(shares, np.array(target)).items():
        assert low <= high or np.isnan(low), name
