"""What people touch: the command line and the report. Thin: whatever it shows, a room below has worked out."""

from tillage.face.report import render

__all__ = ["render"]
