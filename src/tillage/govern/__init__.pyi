from .check import Check as Check
from .check import RowCount as RowCount
from .expect import Expect as Expect
from .profile import Profile as Profile

__all__: list[str]
