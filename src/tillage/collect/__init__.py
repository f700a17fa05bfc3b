"""Where data comes in: sources that bring rows, and say of each record that is none where it stood and why."""

from tillage.collect.files import Files, read_file
from tillage.collect.sql import Sql
from tillage.collect.web import Web
from tillage.flow.pipeline import reader

files = reader(Files)
sql = reader(Sql)
web = reader(Web)

__all__ = ["Files", "Sql", "Web", "files", "read_file", "sql", "web"]
