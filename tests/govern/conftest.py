"""The reference frame."""

from tests.reference_rows import empty, nothing, rows

__all__ = ["empty", "nothing", "rows"]
