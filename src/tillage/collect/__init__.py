"""Where data comes in: sources that bring rows, and say of each record that is none where it stood and why."""

from tillage.collect.files import Files, read_file

__all__ = ["Files", "read_file"]
