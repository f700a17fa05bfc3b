"""What the joined line lets its owner ask: where a row came from, where it went, and that it be forgotten."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
