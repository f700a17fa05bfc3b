"""Where data comes in: sources that bring rows, and say of each record that is none where it stood and why."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
