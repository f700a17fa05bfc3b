"""What thresholds by group bring and cost, on the test rows: rates by group and scores, with them and without.

A model that has them knows itself without (`unadjusted`). Cost: the test rows predicted twice, and reports of both.
"""

from __future__ import annotations

from typing import Any

import polars as pl

from tillage.core.rows import ID
from tillage.flow.judged import Judged, told
from tillage.flow.registry import Registry

_RATES = ("selection_rate", "true_positive_rate", "false_positive_rate")


def adjustment(judged: Judged, exam: pl.DataFrame, registry: Registry) -> dict[str, Any]:
    """`group`, `favourable`, `constraint`, `rows` (held back, to choose by), `by` group, and `before` and `after`: each
    `metrics` and the greatest `differences` between groups; `compared`: the two in pairs. Empty for other models.
    """
    plain = getattr(judged.fitted, "unadjusted", None)
    if plain is None:
        return {}
    state = judged.fitted.state["thresholds"]
    favourable = str(judged.fitted.state["classes"][state["favourable"]])
    evaluator = registry.report_of(judged.task).model_validate(
        {"target": judged.target, "group": judged.model.split.group, "features": (), "slices": ()}
        | {"sensitive": (state["group"],), "favourable": favourable}
    )
    group = judged.model.split.group
    kept = list(dict.fromkeys((ID, judged.target, state["group"], *((group,) if group else ()))))
    without, found = told(plain, exam, judged.task)["prediction"], {}
    for name, said in (("before", without), ("after", told(judged.fitted, exam, judged.task)["prediction"])):
        answers = pl.DataFrame([said, without.alias("baseline"), without.alias("linear")])
        report = evaluator.compute({"rows": exam.select(kept), "said": answers})  # type: ignore[attr-defined]
        over = report["fairness"]["columns"][0]["differences"]
        found[name] = {"metrics": report["metrics"], "differences": {rate: over[rate] for rate in _RATES}}
        found["compared"] = report["linear"]["compared"]
    return {
        "group": state["group"],
        "favourable": favourable,
        "constraint": state["constraint"],
        "rows": state["rows"],
        "by": state["by"],
        **found,
    }
