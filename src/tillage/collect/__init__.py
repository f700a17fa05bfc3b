"""Where data comes in: sources that bring rows, and say of each record that is none where it stood and why."""

from tillage.collect.files import Files, read_file
from tillage.collect.sql import Sql
from tillage.flow.pipeline import reader

files = reader(Files)
sql = reader(Sql)

__all__ = ["Files", "Sql", "files", "read_file", "sql"]
