"""Learners: rows in, a fitted Map out, whose state is data."""

from tillage.learn.naive_bayes import NaiveBayes, NaiveBayesModel
from tillage.learn.tabular import (
    TabularClassifier,
    TabularClassifierModel,
    TabularRegressor,
    TabularRegressorModel,
)
from tillage.learn.text_classifier import TextClassifier, TextClassifierModel

__all__ = [
    "NaiveBayes",
    "NaiveBayesModel",
    "TabularClassifier",
    "TabularClassifierModel",
    "TabularRegressor",
    "TabularRegressorModel",
    "TextClassifier",
    "TextClassifierModel",
]
