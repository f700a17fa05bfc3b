"""AutoGluon's medium_quality on one table: what it says of the held-out rows, and the CPU seconds of learning.

Runs in an environment of its own (`autogluon.tabular[lightgbm,catboost,xgboost]`). Without torch AutoGluon leaves its
neural networks out: nearest neighbours, random forest, extra trees, LightGBM in three forms, CatBoost and XGBoost are
left, and their weighted ensemble. Asked of it is what it is judged by (ROC AUC, or RMSE), with one processor. Libraries
are loaded before the seconds are counted. It may neither reach the network nor write outside FOLDER.

Usage: python benchmarks/table_autogluon.py FOLDER
FOLDER: train.parquet, held.parquet and facts.json of `table_beside.py`; autogluon.parquet is written beside them.
"""

from __future__ import annotations

import json
import os
import resource
import sys
import tempfile
from importlib.metadata import version
from pathlib import Path
from typing import Any

NETWORK = ("socket.connect", "socket.getaddrinfo", "socket.sendto", "urllib.Request")
WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT
METRICS = {"roc_auc": "roc_auc", "rmse": "root_mean_squared_error"}


def seal(folder: Path) -> None:
    """From here on: no network, and no file opened for writing outside the folder, which is home and working folder."""
    inside = str(folder) + os.sep
    os.chdir(folder)
    tempfile.tempdir = str(folder)
    os.environ |= {"HOME": str(folder), "TMPDIR": str(folder), "MPLCONFIGDIR": str(folder / "matplotlib")}

    def refuse(event: str, found: tuple[Any, ...]) -> None:
        if event in NETWORK:
            raise PermissionError(f"the network is not to be used: {event} {found}")
        if event == "open" and isinstance(found[0], str | bytes) and isinstance(found[2], int) and found[2] & WRITING:
            path = os.path.realpath(os.fsdecode(found[0]))
            if not path.startswith(inside) and path != os.devnull:
                raise PermissionError(f"'{path}' is outside the folder of this run")

    sys.addaudithook(refuse)


def cpu() -> float:
    """CPU seconds of this process and of the children that it waited for."""
    used = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(one.ru_utime + one.ru_stime for one in used)


def main() -> None:
    """Learn, answer, and print the seconds and the version as JSON."""
    folder = Path(sys.argv[1]).resolve()
    seal(folder)
    import catboost
    import lightgbm
    import pandas as pd
    import sklearn.ensemble
    import xgboost
    from autogluon.tabular import TabularPredictor

    assert all((catboost, lightgbm, sklearn.ensemble, xgboost)), "loaded before the seconds are counted"
    facts = json.loads((folder / "facts.json").read_text())
    train, held = (pd.read_parquet(folder / f"{part}.parquet") for part in ("train", "held"))
    kind = "binary" if facts["metric"] == "roc_auc" else "regression"
    begun = cpu()
    predictor = TabularPredictor(
        label=facts["target"],
        problem_type=kind,
        eval_metric=METRICS[facts["metric"]],
        path=str(folder / "autogluon"),
        verbosity=0,
    ).fit(train, presets="medium_quality", num_cpus=1, num_gpus=0)
    learnt = cpu() - begun
    rows = held.drop(columns=[facts["target"]])
    if kind == "binary":
        shares = predictor.predict_proba(rows)
        said = shares[next(c for c in shares.columns if str(c) == facts["positive"])]
    else:
        said = predictor.predict(rows)
    pd.DataFrame({"said": said.to_numpy(float)}).to_parquet(folder / "autogluon.parquet")
    models = predictor.model_names()
    print(json.dumps({"cpu": learnt, "version": version("autogluon.tabular"), "models": models}))


if __name__ == "__main__":
    main()
