from .baseline import BaselineModel as BaselineModel
from .baseline import NaiveBaseline as NaiveBaseline
from .classification import ClassificationReport as ClassificationReport
from .regression import RegressionReport as RegressionReport
from .token_classification import TokenClassificationReport as TokenClassificationReport
from .token_classification_baseline import TokenClassificationBaseline as TokenClassificationBaseline
from .token_classification_baseline import (
    TokenClassificationBaselineModel as TokenClassificationBaselineModel,
)

__all__: list[str]
