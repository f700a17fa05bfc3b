"""Plans, and the runner that brings them up to date."""

from tillage.flow.plan import Plan
from tillage.flow.run import Project

__all__ = ["Plan", "Project"]
