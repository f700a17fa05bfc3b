"""Personal data: found, replaced, counted; columns under pseudonyms."""

from tillage.privacy.find_pii import FindPii
from tillage.privacy.pii_report import PiiReport
from tillage.privacy.presidio import Presidio
from tillage.privacy.pseudonymize import Pseudonymize
from tillage.privacy.recognise import Recogniser, Span
from tillage.privacy.redact import Redact

__all__ = ["FindPii", "PiiReport", "Presidio", "Pseudonymize", "Recogniser", "Redact", "Span"]
