"""Steps that bring rows into shape: types and units, gaps and outliers, scales and codes, joins and windows, splits."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
