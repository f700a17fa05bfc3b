from .fine_tuned_classifier import FineTunedClassifier as FineTunedClassifier
from .fine_tuned_classifier import FineTunedClassifierModel as FineTunedClassifierModel
from .naive_bayes import NaiveBayes as NaiveBayes
from .naive_bayes import NaiveBayesModel as NaiveBayesModel
from .tabular import TabularClassifier as TabularClassifier
from .tabular import TabularClassifierModel as TabularClassifierModel
from .tabular import TabularRegressor as TabularRegressor
from .tabular import TabularRegressorModel as TabularRegressorModel
from .text_classifier import TextClassifier as TextClassifier
from .text_classifier import TextClassifierModel as TextClassifierModel

__all__: list[str]
