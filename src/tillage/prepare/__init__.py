"""Steps that bring rows into shape: normalise, derive, filter, fill, aggregate, remove duplicates, split."""

from tillage.prepare.aggregate import Aggregate
from tillage.prepare.derive import Derive
from tillage.prepare.detect_language import DetectLanguage
from tillage.prepare.drop import Drop
from tillage.prepare.drop_duplicates import DropDuplicates, KeepFirst
from tillage.prepare.drop_leaks import DropLeaks
from tillage.prepare.fill_missing import FilledMissing, FillMissing
from tillage.prepare.filter import Filter
from tillage.prepare.filter_quality import FilterQuality
from tillage.prepare.normalize import Normalize
from tillage.prepare.rename import Rename
from tillage.prepare.select import Select
from tillage.prepare.split import Split

__all__ = [
    "Aggregate",
    "Derive",
    "DetectLanguage",
    "Drop",
    "DropDuplicates",
    "DropLeaks",
    "FillMissing",
    "FilledMissing",
    "Filter",
    "FilterQuality",
    "KeepFirst",
    "Normalize",
    "Rename",
    "Select",
    "Split",
]
