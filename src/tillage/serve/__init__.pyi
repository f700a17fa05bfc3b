from .predictions import read_predictions as read_predictions
from .server import serve as serve

__all__: list[str]
