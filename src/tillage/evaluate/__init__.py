"""Scores of models, each beside a naive baseline and with an interval."""

from tillage.evaluate.baseline import BaselineModel, NaiveBaseline
from tillage.evaluate.classification import ClassificationReport
from tillage.evaluate.regression import RegressionReport

__all__ = ["BaselineModel", "ClassificationReport", "NaiveBaseline", "RegressionReport"]
