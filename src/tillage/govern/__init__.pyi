from .check import Check as Check
from .check import RowCount as RowCount
from .compared import Batch as Batch
from .compared import Drift as Drift
from .compared import Fresh as Fresh
from .expect import Expect as Expect
from .profile import Profile as Profile
from .references import References as References
from .score_anomalies import AnomaliesScored as AnomaliesScored
from .score_anomalies import ScoreAnomalies as ScoreAnomalies

__all__: list[str]
