"""What a table is and what must hold of it: profiles and expectations."""

from tillage.govern.check import Check, RowCount
from tillage.govern.expect import Expect
from tillage.govern.profile import Profile

__all__ = ["Check", "Expect", "Profile", "RowCount"]
