from .association_rules import AssociationRules as AssociationRules
from .cluster_report import ClusterReport as ClusterReport
from .fine_tuned_classifier import FineTunedClassifier as FineTunedClassifier
from .fine_tuned_classifier import FineTunedClassifierModel as FineTunedClassifierModel
from .forecaster import Forecaster as Forecaster
from .forecaster import ForecasterModel as ForecasterModel
from .gaussian_naive_bayes import GaussianNaiveBayes as GaussianNaiveBayes
from .gaussian_naive_bayes import GaussianNaiveBayesModel as GaussianNaiveBayesModel
from .hdbscan import Hdbscan as Hdbscan
from .hdbscan import HdbscanClustered as HdbscanClustered
from .image_classifier import ImageClassifier as ImageClassifier
from .image_classifier import ImageClassifierModel as ImageClassifierModel
from .kmeans import Kmeans as Kmeans
from .kmeans import KmeansClustered as KmeansClustered
from .linear_discriminant import LinearDiscriminant as LinearDiscriminant
from .linear_discriminant import LinearDiscriminantModel as LinearDiscriminantModel
from .naive_bayes import NaiveBayes as NaiveBayes
from .naive_bayes import NaiveBayesModel as NaiveBayesModel
from .ridge import Ridge as Ridge
from .ridge import RidgeModel as RidgeModel
from .tabular import TabularClassifier as TabularClassifier
from .tabular import TabularClassifierModel as TabularClassifierModel
from .tabular import TabularRegressor as TabularRegressor
from .tabular import TabularRegressorModel as TabularRegressorModel
from .text_classifier import TextClassifier as TextClassifier
from .text_classifier import TextClassifierModel as TextClassifierModel

__all__: list[str]
