"""Steps that bring rows into shape: types and units, gaps and outliers, scales and codes, joins and windows, splits."""

from tillage.prepare.aggregate import Aggregate
from tillage.prepare.bin import Bin, Binned
from tillage.prepare.cast import Cast
from tillage.prepare.dates import Dates
from tillage.prepare.derive import Derive
from tillage.prepare.detect_language import DetectLanguage
from tillage.prepare.drop import Drop
from tillage.prepare.drop_duplicates import DropDuplicates, KeepFirst
from tillage.prepare.drop_leaks import DropLeaks
from tillage.prepare.encode import Encode, Encoded
from tillage.prepare.fill_missing import FilledMissing, FillMissing
from tillage.prepare.filter import Filter
from tillage.prepare.filter_quality import FilterQuality
from tillage.prepare.join import Join
from tillage.prepare.normalize import Normalize
from tillage.prepare.outliers import ClipOutliers, DropOutliers, OutliersClipped, OutliersDropped
from tillage.prepare.parse_dates import ParseDates
from tillage.prepare.parse_numbers import ParseNumbers
from tillage.prepare.rename import Rename
from tillage.prepare.scale import Scale, Scaled
from tillage.prepare.select import Select
from tillage.prepare.split import Split
from tillage.prepare.window import Window

__all__ = [
    "Aggregate",
    "Bin",
    "Binned",
    "Cast",
    "ClipOutliers",
    "Dates",
    "Derive",
    "DetectLanguage",
    "Drop",
    "DropDuplicates",
    "DropLeaks",
    "DropOutliers",
    "Encode",
    "Encoded",
    "FillMissing",
    "FilledMissing",
    "Filter",
    "FilterQuality",
    "Join",
    "KeepFirst",
    "Normalize",
    "OutliersClipped",
    "OutliersDropped",
    "ParseDates",
    "ParseNumbers",
    "Rename",
    "Scale",
    "Scaled",
    "Select",
    "Split",
    "Window",
]
