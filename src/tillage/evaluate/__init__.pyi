from .baseline import BaselineModel as BaselineModel
from .baseline import NaiveBaseline as NaiveBaseline
from .classification import ClassificationReport as ClassificationReport
from .regression import RegressionReport as RegressionReport

__all__: list[str]
