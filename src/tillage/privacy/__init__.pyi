from .anonymity_report import AnonymityReport as AnonymityReport
from .anonymize import Anonymize as Anonymize
from .find_pii import FindPii as FindPii
from .hierarchies import Hierarchy as Hierarchy
from .marks import Marks as Marks
from .pii_report import PiiReport as PiiReport
from .presidio import Presidio as Presidio
from .pseudonymize import Pseudonymize as Pseudonymize
from .recognise import Recogniser as Recogniser
from .recognise import Span as Span
from .redact import Redact as Redact

__all__: list[str]
